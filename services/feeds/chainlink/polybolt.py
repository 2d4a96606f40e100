"""PolyBolt, Polymarket's price stream (`wss://ws-live-v2.polymarket.com/ws`): Chainlink spot and 60 s TWAP.

Source: docs.polymarket.com/api-reference/wss/polybolt, polymarket-client 0.14.0. Reading needs API credentials.

- `full_accuracy_value` is a plain decimal here; times are milliseconds.
- `seq` counts every frame of a channel on this connection, snapshots included. A gap, or `dropped`, means that frames
  are lost; subscribing again yields no snapshot, so the connection is made anew.
- The spot channel may be served by another provider than the one asked for: `source` is read on every frame.
- Server pings prove nothing: freshness is judged on the stamps of the prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from services.feeds.chainlink.oracle_stream import CHANNEL, HISTORY_S, VENUE, OracleStream, agreed_price
from services.feeds.parsing import DECODE_ERRORS, NS_PER_S, Evidence, drop, parse_positive
from services.feeds.protocol import Act, Reconnect, Send
from shared.messages import OracleKind

SPOT_CHANNEL = "price.crypto"
TWAP_CHANNEL = "price.crypto.twap"
TWAP_WINDOW_S = 60
ACK_TIMEOUT_NS = 10 * NS_PER_S
PROVIDER = "chainlink"

# Seconds to wait before the next connection, by the reason the last one ended: uniform between the two numbers.
# Everything else backs off by itself. The long ones are for what a retry cannot mend.
RECONNECT_DELAYS_S: dict[str, tuple[float, float]] = {
    "close_4001": (300.0, 330.0),
    "close_4003": (0.0, 10.0),
    "close_4008": (300.0, 330.0),
    "auth_invalid": (300.0, 330.0),
    "auth_expired": (300.0, 330.0),
    "auth_attempts": (300.0, 330.0),
    "auth_unavailable": (5.0, 15.0),
    "rate_limited": (5.0, 15.0),
}
# Reasons after which another connection with the same credentials is pointless.
CREDENTIALS_REFUSED = frozenset({"close_4001", "auth_invalid", "auth_expired", "auth_attempts"})
_KNOWN_ERRORS = frozenset({"bad_channel", "bad_filter"})  # and the following, which concern the whole connection
_CONNECTION_ERRORS = frozenset(
    {
        "auth_required",
        "auth_unavailable",
        "auth_expired",
        "auth_attempts",
        "auth_invalid",
        "rate_limited",
        "sub_limit",
        "bad_op",
    }
)


class Credentials(NamedTuple):
    """CLOB API credentials."""

    api_key: str
    secret: str
    passphrase: str


class _Point(msgspec.Struct):
    timestamp: int
    value: float | None = None
    full_accuracy_value: str | None = None


class _Payload(msgspec.Struct):
    symbol: str
    timestamp: int = 0
    value: float | None = None
    full_accuracy_value: str | None = None
    window_seconds: int | None = None
    source: str | None = None
    is_carried_forward: bool = False
    points: list[_Point] = msgspec.field(name="data", default_factory=list)


class _Frame(msgspec.Struct):
    version: int = msgspec.field(name="v", default=0)
    channel: str = ""
    seq: int | None = None
    snapshot: bool = False
    dropped: int = 0
    payload: _Payload | None = None
    op: str = ""
    code: str = ""
    rid: str = ""


_frames = msgspec.json.Decoder(_Frame)


class PolyBoltProtocol:
    """One PolyBolt socket for these assets: spot and 60 s TWAP of each."""

    venue = VENUE

    def __init__(self, assets: Sequence[str], credentials: Credentials, *, history_s: int = HISTORY_S) -> None:
        kinds: tuple[tuple[str, OracleKind], ...] = ((TWAP_CHANNEL, "twap60"), (SPOT_CHANNEL, "spot"))
        self._streams = {
            (channel, f"{asset.lower()}usd"): OracleStream(asset, kind, history_s=history_s)
            for asset in assets
            for channel, kind in kinds
        }
        self._symbols = tuple(f"{asset.lower()}usd" for asset in assets)
        self._credentials = credentials
        self._evidence = Evidence()
        self._seq: dict[str, int] = {}
        self._unacknowledged: set[tuple[str, str]] = set()  # (request, channel)
        self._asked_ns: int | None = None
        self._is_authed = False

    def on_open(self, ts_ns: int) -> Sequence[Act]:
        """Authenticate; subscriptions follow the answer."""
        self._reset()
        self._asked_ns = ts_ns
        auth = {
            "apiKey": self._credentials.api_key,
            "secret": self._credentials.secret,
            "passphrase": self._credentials.passphrase,
        }
        return (_send({"op": "auth", "rid": "auth", "auth": auth}),)

    def _reset(self) -> None:
        self._seq.clear()
        self._unacknowledged.clear()
        self._evidence.forget()
        self._asked_ns = None
        self._is_authed = False

    def on_frame(self, frame: str | bytes, ts_recv_ns: int) -> Sequence[Act]:
        """One frame. Never raises."""
        try:
            parsed = _frames.decode(frame)
        except DECODE_ERRORS as error:
            return (drop("malformed", error),)
        if parsed.payload is not None:
            return self._on_price(parsed, parsed.payload, ts_recv_ns)
        match parsed.op:
            case "authed":
                return self._subscribe(ts_recv_ns)
            case "subscribed":
                self._unacknowledged.discard((parsed.rid, parsed.channel))
                if not self._unacknowledged:
                    self._asked_ns = None
                return ()
            case "error":
                return self._on_error(parsed)
            case "pong" | "unsubscribed":
                return ()
        return (drop("unknown_frame", parsed),)

    def _subscribe(self, ts_ns: int) -> Sequence[Act]:
        if self._is_authed:
            return ()
        self._is_authed = True
        self._asked_ns = ts_ns
        acts: list[Act] = []
        for symbol in self._symbols:
            wanted = (
                {"channel": TWAP_CHANNEL, "filter": {"symbol": symbol, "window_seconds": TWAP_WINDOW_S}},
                {"channel": SPOT_CHANNEL, "filter": {"symbol": symbol, "provider": PROVIDER}},
            )
            self._unacknowledged |= {(symbol, TWAP_CHANNEL), (symbol, SPOT_CHANNEL)}
            acts.append(_send({"op": "subscribe", "rid": symbol, "subscriptions": wanted}))
        return acts

    def _on_error(self, frame: _Frame) -> Sequence[Act]:
        code = frame.code if frame.code in _CONNECTION_ERRORS | _KNOWN_ERRORS else "venue_error"
        acts: list[Act] = [drop(code, f"{frame.code} {frame.channel} {frame.rid}")]
        self._unacknowledged.discard((frame.rid, frame.channel))
        for (channel, symbol), stream in self._streams.items():
            if frame.channel in ("", channel) and frame.rid in ("", "auth", symbol):
                acts.extend(self._evidence.doubt(CHANNEL, stream.subject, "DOWN", code))
        if code in _CONNECTION_ERRORS:
            acts.append(Reconnect(code))
        return acts

    def _on_price(self, frame: _Frame, payload: _Payload, ts_recv_ns: int) -> Sequence[Act]:
        if frame.version != 1:
            return (drop("version", f"version {frame.version}"),)
        refusal = self._check_continuity(frame)
        if refusal is not None:
            return refusal
        stream = self._streams.get((frame.channel, payload.symbol))
        if stream is None:
            return (drop("unknown_symbol", f"{frame.channel} {payload.symbol}"),)
        if frame.channel == TWAP_CHANNEL and payload.window_seconds not in (None, TWAP_WINDOW_S):
            return (drop("wrong_window", f"{payload.symbol} {payload.window_seconds} s"),)
        if payload.source not in (None, PROVIDER):
            return (
                drop("wrong_source", f"{payload.symbol} from {payload.source}"),
                *self._evidence.doubt(CHANNEL, stream.subject, "STALE", "wrong_source"),
            )
        if frame.snapshot:
            return stream.on_snapshot_points(payload.points, _price_of, ts_recv_ns)
        if payload.is_carried_forward:
            return (drop("carried_forward", f"{payload.symbol} stamped {payload.timestamp}"),)
        price = _price_of(payload)
        if price is None:
            return (drop("inconsistent", f"{payload.symbol} {payload.full_accuracy_value} and {payload.value}"),)
        return stream.on_tick(payload.timestamp, price, ts_recv_ns, self._evidence)

    def _check_continuity(self, frame: _Frame) -> Sequence[Act] | None:
        """What to do when frames of this channel are missing or come again; None when all is well."""
        seq, last = frame.seq, self._seq.get(frame.channel)
        if seq is None:
            return (drop("malformed", f"{frame.channel} without a sequence number"),)
        if frame.dropped or (last is not None and seq > last + 1):
            reason = "dropped" if frame.dropped else "gap"
            acts: list[Act] = [drop(reason, f"{frame.channel} {seq} after {last}, {frame.dropped} dropped")]
            for (channel, _), stream in self._streams.items():
                if channel == frame.channel:
                    acts.extend(self._evidence.doubt(CHANNEL, stream.subject, "GAP", reason))
            self._seq[frame.channel] = seq
            return (*acts, Reconnect(reason))
        if last is not None and seq <= last:
            return (drop("duplicate", f"{frame.channel} {seq} after {last}"),)
        self._seq[frame.channel] = seq
        return None

    def on_response(self, request: str, status: int, body: bytes, ts_recv_ns: int) -> Sequence[Act]:  # noqa: ARG002
        """This venue is never asked by REST."""
        return ()

    def on_timer(self, ts_ns: int) -> Sequence[Act]:
        """The histories; answers that did not come."""
        acts: list[Act] = []
        for stream in self._streams.values():
            acts.extend(stream.on_timer(ts_ns))
        if self._asked_ns is not None and ts_ns - self._asked_ns >= ACK_TIMEOUT_NS:
            self._asked_ns = None
            acts.append(Reconnect("no_acknowledgement" if self._is_authed else "no_authentication"))
        return acts

    def on_close(self, ts_ns: int) -> Sequence[Act]:  # noqa: ARG002
        """Sequence numbers and doubts end with the connection; the history stays."""
        self._reset()
        return ()


def _price_of(point: _Point | _Payload) -> float | None:
    text = point.full_accuracy_value
    exact = None if text is None else parse_positive(text)
    if text is not None and exact is None:
        return None
    return agreed_price(exact=exact, rounded=point.value)


def _send(body: dict[str, object]) -> Send:
    return Send(msgspec.json.encode(body).decode())

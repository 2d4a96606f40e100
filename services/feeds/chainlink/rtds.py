"""RTDS, Polymarket's older price stream (`wss://ws-live-data.polymarket.com`): Chainlink spot and 60 s TWAP, no login.

Source: Polymarket/real-time-data-client and its issues #26, #31, #35; recordings of April to September 2026.

- `full_accuracy_value` is an integer of 10^-18 on the Chainlink topics and a plain decimal on `crypto_prices`;
  snapshots of the spot topic have none, and arrive under the topic `crypto_prices`: the symbol's form tells them apart.
- A filter must be compact JSON and hold one symbol; one unknown topic silences its whole request. So every stream is
  subscribed in a request of its own.
- There is no sequence number and no acknowledgement, and the socket can stay open and silent: missing seconds and the
  age of the prices are the only evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.feeds.chainlink.oracle_stream import CHANNEL, HISTORY_S, VENUE, OracleStream, agreed_price
from services.feeds.parsing import DECODE_ERRORS, NS_PER_S, Evidence, drop, parse_e18, parse_positive
from services.feeds.protocol import Act, Send
from shared.messages import OracleKind

SPOT_TOPIC = "crypto_prices_chainlink"
TWAP_TOPIC = "crypto_prices_twap_sixty"
BINANCE_TOPIC = "crypto_prices"
PING_INTERVAL_NS = 5 * NS_PER_S


class _Point(msgspec.Struct):
    timestamp: int
    value: float | None = None
    full_accuracy_value: str | None = None


class _Payload(msgspec.Struct):
    symbol: str = ""
    timestamp: int = 0
    value: float | None = None
    full_accuracy_value: str | None = None
    window_s: int | None = None
    points: list[_Point] = msgspec.field(name="data", default_factory=list)


class _ErrorBody(msgspec.Struct):
    message: str = ""


class _Frame(msgspec.Struct):
    topic: str = ""
    kind: str = msgspec.field(name="type", default="")
    payload: _Payload | None = None
    body: _ErrorBody | None = None
    status_code: int = msgspec.field(name="statusCode", default=0)


_frames = msgspec.json.Decoder(_Frame)


class RtdsProtocol:
    """One RTDS socket for these assets: spot and 60 s TWAP of each."""

    venue = VENUE

    def __init__(self, assets: Sequence[str], *, history_s: int = HISTORY_S) -> None:
        kinds: tuple[tuple[str, OracleKind], ...] = ((TWAP_TOPIC, "twap60"), (SPOT_TOPIC, "spot"))
        self._streams = {
            (topic, f"{asset.lower()}/usd"): OracleStream(asset, kind, history_s=history_s)
            for asset in assets
            for topic, kind in kinds
        }
        self._evidence = Evidence()
        self._pinged_ns = 0
        self._is_open = False

    def on_open(self, ts_ns: int) -> Sequence[Act]:
        """Subscribe, one request a stream."""
        self._is_open = True
        self._pinged_ns = ts_ns
        return [_subscription(topic, symbol) for topic, symbol in self._streams]

    def on_frame(self, frame: str | bytes, ts_recv_ns: int) -> Sequence[Act]:
        """One frame. Never raises."""
        if not frame or frame in ("PONG", b"PONG", "PING", b"PING"):
            return ()
        try:
            parsed = _frames.decode(frame)
        except DECODE_ERRORS as error:
            return (drop("malformed", error),)
        payload = parsed.payload
        if payload is None:
            return self._on_error(parsed)
        topic = _topic_of(parsed.topic, payload)
        stream = self._streams.get((topic, payload.symbol))
        if stream is None:
            reason = "other_source" if parsed.topic == BINANCE_TOPIC else "unknown_symbol"
            return (drop(reason, f"{parsed.topic} {payload.symbol}"),)
        if topic == TWAP_TOPIC and payload.window_s not in (None, 60):
            return (drop("wrong_window", f"{payload.symbol} {payload.window_s} s"),)
        if parsed.kind == "subscribe":
            return stream.on_snapshot_points(payload.points, _price_of, ts_recv_ns)
        if parsed.kind != "update" or parsed.topic == BINANCE_TOPIC:
            return (drop("unknown_type", f"{parsed.kind} of {parsed.topic}"),)
        price = _price_of(payload)
        if price is None:
            return (drop("inconsistent", f"{payload.symbol} {payload.full_accuracy_value} and {payload.value}"),)
        return stream.on_tick(payload.timestamp, price, ts_recv_ns, self._evidence)

    def _on_error(self, frame: _Frame) -> Sequence[Act]:
        if frame.body is None and not frame.status_code:
            return (drop("unknown_frame", frame),)
        message = frame.body.message if frame.body is not None else ""
        acts: list[Act] = [drop("venue_error", f"{frame.status_code} {message}")]
        named = [topic for topic in (TWAP_TOPIC, SPOT_TOPIC) if topic in message]
        for (topic, _), stream in self._streams.items():
            if topic in named:
                acts.extend(self._evidence.doubt(CHANNEL, stream.subject, "DOWN", "topic refused"))
        return acts

    def on_response(self, request: str, status: int, body: bytes, ts_recv_ns: int) -> Sequence[Act]:  # noqa: ARG002
        """This venue is never asked by REST."""
        return ()

    def on_timer(self, ts_ns: int) -> Sequence[Act]:
        """The histories, and the text ping the docs ask for."""
        acts: list[Act] = []
        for stream in self._streams.values():
            acts.extend(stream.on_timer(ts_ns))
        if self._is_open and ts_ns - self._pinged_ns >= PING_INTERVAL_NS:
            self._pinged_ns = ts_ns
            acts.append(Send("PING"))
        return acts

    def on_close(self, ts_ns: int) -> Sequence[Act]:  # noqa: ARG002
        """Doubts end with the connection; the history stays."""
        self._is_open = False
        self._evidence.forget()
        return ()


def _topic_of(topic: str, payload: _Payload) -> str:
    """The topic a payload belongs to, whatever its label says: only Chainlink symbols have a slash."""
    if topic == BINANCE_TOPIC and "/" in payload.symbol:
        return SPOT_TOPIC if payload.window_s is None else TWAP_TOPIC
    return topic


def _price_of(point: _Point | _Payload) -> float | None:
    text = point.full_accuracy_value
    if text is None:
        return agreed_price(exact=None, rounded=point.value)
    exact = parse_positive(text) if "." in text else parse_e18(text)
    return None if exact is None else agreed_price(exact=exact, rounded=point.value)


def _subscription(topic: str, symbol: str) -> Send:
    filters = msgspec.json.encode({"symbol": symbol}).decode()
    entry = {"topic": topic, "type": "*", "filters": filters}
    return Send(msgspec.json.encode({"action": "subscribe", "subscriptions": [entry]}).decode())

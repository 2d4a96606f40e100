"""Whether each stream of a venue can be relied on now. Pure: time comes in, `FeedStatus` goes out.

A stream is one (channel, subject), such as (`SpotQuote`, `BTC`). Four kinds of evidence decide its state:

- **connection**: no socket, or nothing received since it opened, is DOWN;
- **the protocol's own word** (`Status`: a gap, a crossed book, a refusal) stands until the protocol withdraws it;
- **age of data** beyond an absolute limit of the channel is STALE, unless the protocol proved meanwhile, by data, that
  nothing happened (a `LIVE` status: a heartbeat whose sequence stands still, a confirmed book hash). Pings never count.
  Oracle prices age by their own stamps, everything else by receipt;
- **two signals together**: an age that the stream's own rate makes implausible (as a Poisson stream, with the odds of
  `QUIET_EVENTS`) *and* a reference that moved meanwhile (another stream of the same asset) is STALE. One alone is not:
  a quiet market must not halt itself (Polymarket/poly-market-maker, cryptofeed #223).

Rates are exponentially weighted counts over exponentially weighted time watched,
r = sum_i e^(-(t-t_i)/T) / integral e^(-(t-s)/T) ds, with T = 5 s (`seen_rate_hz`) and 300 s (`expected_rate_hz`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.feeds.protocol import Status
from shared.market import Series
from shared.messages import (
    AnyMessage,
    FeedState,
    FeedStatus,
    OraclePrice,
    OutcomeBook,
    OutcomeTrade,
    SpotQuote,
    SpotTrade,
)

NS_PER_S = 1_000_000_000
SEEN_TIME_S = 5.0
EXPECTED_TIME_S = 300.0
WARM_EXPOSURE_S = 10.0  # watched time before a rate means anything
QUIET_EVENTS = 20.0  # events that should have come in the silence before it is suspicious; e^-20 by Poisson
REPORT_INTERVAL_NS = NS_PER_S
REFERENCE_SPACING_NS = 100_000_000
REFERENCE_MEMORY = 1200  # two minutes of it
REFERENCE_MAX_AGE_NS = 5 * NS_PER_S
LONGEST_PATIENCE_S = 600.0

Stream = tuple[str, str]  # channel, subject


class Limits(NamedTuple):
    """What a channel is allowed. `None` switches a rule off."""

    stale_s: float | None  # absolute age
    reconnect_s: float | None  # age at which the connection is made anew
    move_bps: float | None  # move of a reference that a silent stream should have followed
    by_event_time: bool = False  # age by the stamp in the message, not by receipt


LIMITS: Mapping[str, Limits] = {
    "SpotQuote": Limits(stale_s=5.0, reconnect_s=10.0, move_bps=5.0),
    "SpotTrade": Limits(stale_s=None, reconnect_s=120.0, move_bps=10.0),
    "OraclePrice": Limits(stale_s=6.0, reconnect_s=10.0, move_bps=10.0, by_event_time=True),
    "OutcomeBook": Limits(stale_s=15.0, reconnect_s=45.0, move_bps=10.0),
    "OutcomeTrade": Limits(stale_s=None, reconnect_s=None, move_bps=None),
    "Period": Limits(stale_s=None, reconnect_s=None, move_bps=None),  # nothing but the protocol's own word
}
# Files have no connection and no heartbeat: only their own stamps tell.
FILE_LIMITS: Mapping[str, Limits] = {
    channel: Limits(stale_s=5.0, reconnect_s=None, move_bps=None, by_event_time=True)
    for channel in ("SpotQuote", "OraclePrice", "OutcomeBook")
}


def stream_of(message: AnyMessage) -> Stream | None:
    """The stream a message belongs to; None for messages that are not market data."""
    match message:
        case SpotQuote():
            return "SpotQuote", message.asset
        case SpotTrade():
            return "SpotTrade", message.asset
        case OraclePrice():
            return "OraclePrice", f"{message.asset}.{message.kind}"
        case OutcomeBook():
            return "OutcomeBook", f"{message.market}.{message.outcome}"
        case OutcomeTrade():
            return "OutcomeTrade", f"{message.market}.{message.outcome}"
        case _:
            return None


def expected_streams(venue: str, series: Iterable[Series]) -> list[Stream]:
    """The streams a venue must yield for these series, in the order they are reported."""
    markets = tuple(series)
    assets = tuple(dict.fromkeys(each.asset for each in markets))
    if venue == "polymarket":
        return [("OutcomeBook", f"{each.name}.{outcome}") for each in markets for outcome in ("CALL", "PUT")]
    if venue == "chainlink":
        return [("OraclePrice", f"{asset}.{kind}") for asset in assets for kind in ("twap60", "spot")]
    return [(channel, asset) for asset in assets for channel in ("SpotQuote", "SpotTrade")]


def asset_of(stream: Stream) -> str:
    """The underlying of a stream: `BTC` for `BTC`, `BTC.twap60` and `btc-15m.CALL`."""
    return stream[1].partition(".")[0].partition("-")[0].upper()


def reference_price(message: AnyMessage) -> float | None:
    """The price of the underlying in a message, where there is one."""
    match message:
        case SpotQuote():
            return 0.5 * (message.bid + message.ask)
        case SpotTrade() | OraclePrice():
            return message.price
        case _:
            return None


class Rate:
    """Events a second, exponentially weighted; `None` until enough time was watched."""

    __slots__ = ("_count", "_exposure_s", "_last_ns", "_time_s")

    def __init__(self, time_s: float) -> None:
        self._time_s = time_s
        self._count = 0.0
        self._exposure_s = 0.0
        self._last_ns: int | None = None

    def _advance(self, ts_ns: int) -> None:
        if self._last_ns is None:
            self._last_ns = ts_ns
            return
        elapsed_s = (ts_ns - self._last_ns) / NS_PER_S
        if elapsed_s <= 0.0:
            return
        self._last_ns = ts_ns
        kept = math.exp(-elapsed_s / self._time_s)
        self._count *= kept
        self._exposure_s = self._exposure_s * kept + self._time_s * (1.0 - kept)

    def count(self, ts_ns: int) -> None:
        """An event happened."""
        self._advance(ts_ns)
        self._count += 1.0

    def pause(self) -> None:
        """The time until the next event was not watched."""
        self._last_ns = None

    def per_s(self, ts_ns: int) -> float:
        """The rate at an instant; 0 before anything was watched."""
        self._advance(ts_ns)
        return self._count / self._exposure_s if self._exposure_s > 0.0 else 0.0

    def is_warm(self) -> bool:
        """Whether enough time was watched to believe the rate."""
        return self._exposure_s >= min(WARM_EXPOSURE_S, 0.9 * self._time_s)


@dataclass(slots=True)
class _Health:
    """What is known about one stream."""

    stream: Stream
    limits: Limits
    state: FeedState = "DOWN"
    reason: str = "no data yet"
    since_ns: int = 0  # when the state began
    received_ns: int | None = None  # last data, by our clock, on any connection
    event_ns: int | None = None  # newest stamp in the data
    proven_ns: int | None = None  # last proof, by data, that nothing was missed
    fresh: bool = False  # data since the connection opened
    word: tuple[FeedState, str] | None = None  # what the protocol says
    patience_s: float = 0.0  # silence tolerated before the next reconnection on account of this stream
    seen: Rate = field(default_factory=lambda: Rate(SEEN_TIME_S))
    expected: Rate = field(default_factory=lambda: Rate(EXPECTED_TIME_S))

    def data_ns(self) -> int | None:
        """The instant from which the age of the data counts."""
        return self.event_ns if self.limits.by_event_time else self.received_ns


class _Reference:
    """The recent price of an underlying from one source."""

    __slots__ = ("_points",)

    def __init__(self) -> None:
        self._points: deque[tuple[int, float]] = deque(maxlen=REFERENCE_MEMORY)

    def add(self, ts_ns: int, price: float) -> None:
        points = self._points
        if points and ts_ns - points[-1][0] < REFERENCE_SPACING_NS:
            return
        points.append((ts_ns, price))

    def move_bps(self, *, since_ns: int, ts_ns: int) -> float | None:
        """How far it moved since then; None when it does not know."""
        points = self._points
        if not points or ts_ns - points[-1][0] > REFERENCE_MAX_AGE_NS:
            return None
        before = next((price for at_ns, price in reversed(points) if at_ns <= since_ns), None)
        return None if before is None else 1e4 * abs(math.log(points[-1][1] / before))


class Freshness:
    """The health of every stream of one venue.

    `expected` streams are reported from the start, before they ever yield anything.
    """

    def __init__(self, venue: str, *, expected: Iterable[Stream] = (), limits: Mapping[str, Limits] = LIMITS) -> None:
        self.venue = venue
        self.reconnects = 0
        self._limits = limits
        self._healths: dict[Stream, _Health] = {}
        self._references: dict[tuple[str, str], _Reference] = {}  # (asset, source)
        self._opened_ns: int | None = None
        self._close_reason = "not connected"
        self._reported_ns = 0
        for stream in expected:
            self._health_of(stream)

    def _health_of(self, stream: Stream) -> _Health | None:
        health = self._healths.get(stream)
        if health is None:
            limits = self._limits.get(stream[0])
            if limits is None:
                return None
            health = _Health(stream, limits, patience_s=limits.reconnect_s or 0.0)
            self._healths[stream] = health
        return health

    def on_open(self, ts_ns: int) -> Sequence[FeedStatus]:
        """The socket is open. Everything is DOWN until its first data."""
        self._opened_ns = ts_ns
        for health in self._healths.values():
            health.fresh = False
            health.proven_ns = None
        return self._judge_all(ts_ns)

    def on_close(self, ts_ns: int, reason: str) -> Sequence[FeedStatus]:
        """The socket is gone, for this reason. What the protocol said about it is void."""
        if self._opened_ns is not None:
            self.reconnects += 1
        self._opened_ns = None
        self._close_reason = reason
        for health in self._healths.values():
            health.fresh = False
            health.proven_ns = None
            health.word = None
            health.seen.pause()
            health.expected.pause()
        return self._judge_all(ts_ns)

    def on_message(self, message: AnyMessage, ts_ns: int) -> Sequence[FeedStatus]:
        """A message the protocol made of venue data just now."""
        stream = stream_of(message)
        if stream is None:
            return ()
        health = self._healths.get(stream) or self._health_of(stream)
        if health is None:
            return ()
        health.received_ns = ts_ns
        if health.event_ns is None or message.ts_event_ns > health.event_ns:
            health.event_ns = message.ts_event_ns
        health.fresh = True
        health.patience_s = health.limits.reconnect_s or 0.0
        health.seen.count(ts_ns)
        health.expected.count(ts_ns)
        price = reference_price(message)
        if price is not None:
            self._refer(asset_of(stream), stream[0] + stream[1], price, ts_ns)
        if health.state == "LIVE" and health.word is None and not health.limits.by_event_time:
            return ()
        return self._judge(health, ts_ns)

    def on_status(self, status: Status, ts_ns: int) -> Sequence[FeedStatus]:
        """The protocol's word on one of its streams."""
        health = self._health_of((status.channel, status.subject))
        if health is None:
            return ()
        if status.state == "LIVE":
            health.word = None
            health.proven_ns = ts_ns
            health.fresh = True
        else:
            health.word = (status.state, status.reason)
        return self._judge(health, ts_ns)

    def on_reference(self, message: AnyMessage, ts_ns: int) -> None:
        """A price of the underlying from elsewhere, to hold against streams that went quiet."""
        stream, price = stream_of(message), reference_price(message)
        if stream is not None and price is not None:
            self._refer(asset_of(stream), f"elsewhere {stream}", price, ts_ns)

    def _refer(self, asset: str, source: str, price: float, ts_ns: int) -> None:
        reference = self._references.get((asset, source))
        if reference is None:
            reference = self._references[asset, source] = _Reference()
        reference.add(ts_ns, price)

    def on_timer(self, ts_ns: int) -> Sequence[FeedStatus]:
        """Silence is judged here; the whole report goes out once a second."""
        changes = self._judge_all(ts_ns)
        if ts_ns - self._reported_ns < REPORT_INTERVAL_NS:
            return changes
        self._reported_ns = ts_ns
        return [self._report(health, ts_ns) for health in self._healths.values()]

    def age_s(self, stream: Stream, ts_ns: int) -> float | None:
        """Age of the last data; None before the first. Negative when the venue's clock is ahead of ours."""
        health = self._healths.get(stream)
        data_ns = None if health is None else health.data_ns()
        return None if data_ns is None else (ts_ns - data_ns) / NS_PER_S

    def state(self, stream: Stream) -> FeedState:
        """What was last judged of a stream; DOWN for one that is not known."""
        health = self._healths.get(stream)
        return "DOWN" if health is None else health.state

    def streams(self) -> Iterable[Stream]:
        """Every stream known."""
        return self._healths.keys()

    def overdue(self, ts_ns: int) -> str | None:
        """Why the connection should be made anew; None when it should not.

        A stream that stays silent after a reconnection gets twice the patience each time, so that one dead stream does
        not keep interrupting the live ones.
        """
        if self._opened_ns is None:
            return None
        found: str | None = None
        for health in self._healths.values():
            if health.limits.reconnect_s is None or health.state == "LIVE":
                continue
            if health.limits.stale_s is None and health.state == "DOWN":
                continue
            if health.word is not None and health.word[0] == "DOWN":
                continue  # the venue refused it: asking again on a new socket is not the remedy
            silent_since_ns = max(health.received_ns or 0, health.proven_ns or 0, self._opened_ns)
            if health.limits.by_event_time and health.fresh and health.event_ns is not None:
                silent_since_ns = max(health.event_ns, self._opened_ns)
            if health.state == "GAP":
                silent_since_ns = max(health.since_ns, self._opened_ns)
            if (ts_ns - silent_since_ns) / NS_PER_S >= health.patience_s:
                health.patience_s = min(2.0 * health.patience_s, LONGEST_PATIENCE_S)
                found = f"{health.state.lower()}_{health.stream[0]}"
        return found

    def _judge_all(self, ts_ns: int) -> list[FeedStatus]:
        return [status for health in self._healths.values() for status in self._judge(health, ts_ns)]

    def _judge(self, health: _Health, ts_ns: int) -> tuple[FeedStatus, ...]:
        state, reason = self._verdict(health, ts_ns)
        if state == health.state and (state == "LIVE" or reason == health.reason):
            health.reason = reason
            return ()
        if state != health.state:
            health.since_ns = ts_ns
        health.state, health.reason = state, reason
        return (self._report(health, ts_ns),)

    def _verdict(self, health: _Health, ts_ns: int) -> tuple[FeedState, str]:
        if self._opened_ns is None:
            return "DOWN", self._close_reason
        if health.word is not None:
            return health.word
        data_ns = health.data_ns()
        if health.fresh and health.limits.stale_s is None and data_ns is None:
            return "LIVE", "nothing happened yet"
        if not health.fresh or data_ns is None:
            if health.limits.stale_s is None and any(other.fresh for other in self._healths.values()):
                return "LIVE", "nothing happened yet"  # trades come when they come
            return "DOWN", "no data yet"
        limits = health.limits
        proven_ns = 0 if limits.by_event_time else health.proven_ns or 0  # a stamp is not made younger by anything
        age_s = (ts_ns - max(data_ns, proven_ns)) / NS_PER_S
        if limits.stale_s is not None and age_s > limits.stale_s:
            return "STALE", f"no data for more than {limits.stale_s:g} s"
        if limits.move_bps is None or not health.expected.is_warm():
            return "LIVE", ""
        expected_events = health.expected.per_s(ts_ns) * age_s
        if expected_events < QUIET_EVENTS:
            return "LIVE", ""
        moved_bps = self._moved_bps(health, ts_ns, int(age_s * NS_PER_S))
        if moved_bps is not None and moved_bps > limits.move_bps:
            return "STALE", "silent while the underlying moved"
        return "LIVE", "quiet"

    def _moved_bps(self, health: _Health, ts_ns: int, age_ns: int) -> float | None:
        """The largest move of any other source of the same asset since this stream's last data."""
        asset, own = asset_of(health.stream), health.stream[0] + health.stream[1]
        moves = [
            move
            for (of_asset, source), reference in self._references.items()
            if of_asset == asset and source != own
            for move in (reference.move_bps(since_ns=ts_ns - age_ns, ts_ns=ts_ns),)
            if move is not None
        ]
        return max(moves, default=None)

    def _report(self, health: _Health, ts_ns: int) -> FeedStatus:
        data_ns = health.data_ns()
        return FeedStatus(
            ts_event_ns=ts_ns,
            ts_recv_ns=ts_ns,
            venue=self.venue,
            channel=health.stream[0],
            subject=health.stream[1],
            state=health.state,
            reason=health.reason,
            age_s=None if data_ns is None else (ts_ns - data_ns) / NS_PER_S,
            expected_rate_hz=health.expected.per_s(ts_ns),
            seen_rate_hz=health.seen.per_s(ts_ns),
            reconnects=self.reconnects,
        )

"""One oracle stream of one asset, whoever relays it: accepted ticks, their history, and what to publish of them.

`OraclePrice` never goes back in time: a tick older than the newest one only enters the history, which is then
republished at once. Two values for one second: the later receipt wins; of several stamps within a second, the one
nearest to its beginning stands in the history, because that is the stamp that settles.

A price that jumps waits for company: see `TickGuard`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median_low
from typing import NamedTuple, Protocol, TypeVar

from services.feeds.parsing import NS_PER_MS, NS_PER_S, Evidence, drop, is_price
from services.feeds.protocol import Act, Publish, Status
from shared.messages import OracleHistory, OracleKind, OraclePrice

VENUE = "chainlink"
CHANNEL = "OraclePrice"
HISTORY_S = 960  # a 15-minute period and some: a consumer that restarts within it still finds the strike
REPEAT_NS = 5 * NS_PER_S
OLDEST_TICK_MS = 600_000
OLDEST_LIVE_TICK_MS = 60_000
NEWEST_TICK_MS = 2_000  # ahead of our clock
MISSING_S = 3  # stamps skipped in a row before it is called a gap; single ones are missing every day
REACH = 0.01  # of the price: what one tick may move by itself
LONG_REACH = 0.2  # the same after a silence
REACH_MS = 60_000  # how old the last tick may be to be compared by `REACH`
STREAK_REACH = 0.0025  # what unconfirmed ticks may differ by from one to the next
INSISTENCE = 3  # unconfirmed ticks of following seconds that make a price believed
AGREEMENT = 1e-6  # relative difference allowed between the exact and the rounded value of one frame


def agreed_price(*, exact: float | None, rounded: float | None) -> float | None:
    """The exact value when the venue's own rounding confirms its scale; the rounded one when it stands alone."""
    if rounded is not None and not is_price(rounded):
        return None
    if exact is None:
        return rounded
    if rounded is not None and abs(exact - rounded) > AGREEMENT * rounded:
        return None
    return exact


class SnapshotPoint(Protocol):
    """One tick of a relay's snapshot; `value` is rounded."""

    timestamp: int
    value: float | None
    full_accuracy_value: str | None


Point = TypeVar("Point", bound=SnapshotPoint)


class Tick(NamedTuple):
    """A price and its stamp."""

    stamp_ms: int
    price: float


class TickGuard:
    """Holds a tick far from the last good one until the ticks of the following seconds agree with it.

    A tick within 1 % of the newest accepted one passes (20 % when that is more than a minute older or younger). Another
    is held until three of following seconds agree within 0.25 % from one to the next; then the world has moved, and all
    of them pass. Single missing seconds are forgiven. A second value for one second never confirms the first.
    """

    __slots__ = ("_held", "_newest")

    def __init__(self) -> None:
        self._newest: Tick | None = None
        self._held: list[Tick] = []

    def expect(self, stamp_ms: int, price: float) -> None:
        """A reference for the first tick ever; ignored when there was one."""
        if self._newest is None:
            self._newest = Tick(stamp_ms, price)

    def admit(self, stamp_ms: int, price: float) -> Sequence[Tick]:
        """The ticks that may be used now, this one last; none while it waits for company."""
        tick, newest = Tick(stamp_ms, price), self._newest
        if newest is None or self._is_near(tick, newest):
            if newest is None or stamp_ms >= newest.stamp_ms:
                self._newest = tick
            if self._held and stamp_ms > self._held[-1].stamp_ms:
                self._held.clear()
            return (tick,)
        if newest.stamp_ms > stamp_ms:
            return ()  # a late tick is no evidence of where the price is
        if not self._hold(tick):
            return ()
        admitted, self._held = self._held, []
        self._newest = tick
        return admitted

    def _is_near(self, tick: Tick, newest: Tick) -> bool:
        reach = REACH if abs(tick.stamp_ms - newest.stamp_ms) <= REACH_MS else LONG_REACH
        return abs(tick.price - newest.price) <= reach * newest.price

    def _hold(self, tick: Tick) -> bool:
        """Whether enough of them agree."""
        if not self._held:
            self._held = [tick]
            return False
        last = self._held[-1]
        later_s = tick.stamp_ms // 1000 - last.stamp_ms // 1000
        if later_s < 0:
            return False
        agrees = abs(tick.price - last.price) <= STREAK_REACH * last.price
        if not agrees or later_s >= MISSING_S:
            self._held = [tick]
        elif later_s > 0:
            self._held.append(tick)
        return len(self._held) >= INSISTENCE


class OracleStream:
    """The ticks of one (asset, kind). Stamps are the oracle's, in milliseconds."""

    def __init__(self, asset: str, kind: OracleKind, *, history_s: int = HISTORY_S) -> None:
        self.asset = asset
        self.kind = kind
        self.subject = f"{asset}.{kind}"
        self._history_s = history_s
        self._seconds: dict[int, tuple[int, float]] = {}  # second -> (stamp within it in ms, price)
        self._newest_ms = 0
        self._newest_price = 0.0
        self._repeated_ns = 0
        self._guard = TickGuard()

    def on_tick(self, stamp_ms: int, price: float, ts_recv_ns: int, evidence: Evidence) -> Sequence[Act]:
        """A live tick."""
        now_ms = ts_recv_ns // NS_PER_MS
        if not -OLDEST_LIVE_TICK_MS <= stamp_ms - now_ms <= NEWEST_TICK_MS:
            return (
                drop("clock", f"{self.subject} stamped {str(stamp_ms)[:40]}"),
                *evidence.doubt(CHANNEL, self.subject, "STALE", "clock"),
            )
        admitted = self._guard.admit(stamp_ms, price)
        if not admitted:
            return (drop("absurd", f"{self.subject} {price}"),)
        for tick in admitted:
            self._remember(*tick)
        if stamp_ms < self._newest_ms:
            return (self._publish_history(ts_recv_ns),)
        if stamp_ms == self._newest_ms and price == self._newest_price:
            return (drop("duplicate", f"{self.subject} stamped {stamp_ms}"),)
        acts: list[Act] = []
        skipped_s = (stamp_ms - self._newest_ms) // 1000 - 1
        if self._newest_ms and skipped_s >= MISSING_S:
            acts.append(Status(CHANNEL, self.subject, "GAP", f"{skipped_s} s missing"))
            acts.append(Status(CHANNEL, self.subject, "LIVE", "resumed"))
        rewrites_history = stamp_ms == self._newest_ms or len(admitted) > 1
        self._newest_ms, self._newest_price = stamp_ms, price
        acts.append(self._publish_newest(ts_recv_ns))
        if rewrites_history:
            acts.append(self._publish_history(ts_recv_ns))
        acts.extend(evidence.trust(CHANNEL, self.subject))
        return acts

    def on_snapshot(self, ticks: Iterable[tuple[int, float]], ts_recv_ns: int) -> Sequence[Act]:
        """The relay's memory of the last minutes, sent after a subscription."""
        now_ms = ts_recv_ns // NS_PER_MS
        acts: list[Act] = []
        newest_ms, newest_price = self._newest_ms, self._newest_price
        usable: list[Tick] = []
        for stamp_ms, price in ticks:
            if -OLDEST_TICK_MS <= stamp_ms - now_ms <= NEWEST_TICK_MS and is_price(price):
                usable.append(Tick(stamp_ms, price))
            else:
                acts.append(drop("clock", f"{self.subject} snapshot stamped {str(stamp_ms)[:40]}"))
        usable.sort()
        if usable:
            self._guard.expect(usable[0].stamp_ms, median_low([tick.price for tick in usable]))
        for tick in usable:
            admitted = self._guard.admit(*tick)
            if not admitted:
                acts.append(drop("absurd", f"{self.subject} snapshot {tick.price}"))
            for stamp_ms, price in admitted:
                if not self._confirms(stamp_ms, price):
                    self._remember(stamp_ms, price)
                if stamp_ms > newest_ms:
                    newest_ms, newest_price = stamp_ms, price
        if newest_ms > self._newest_ms:
            self._newest_ms, self._newest_price = newest_ms, newest_price
            acts.append(self._publish_newest(ts_recv_ns))
        if self._seconds:
            acts.append(self._publish_history(ts_recv_ns))
        return acts

    def on_snapshot_points(
        self, points: Iterable[Point], price_of: Callable[[Point], float | None], ts_recv_ns: int
    ) -> Sequence[Act]:
        """As `on_snapshot`, of points whose price is read the relay's way (`price_of`; None when inconsistent)."""
        acts: list[Act] = []
        ticks: list[Tick] = []
        for point in points:
            price = price_of(point)
            if price is None:
                detail = f"{self.subject} snapshot {point.full_accuracy_value} and {point.value}"
                acts.append(drop("inconsistent", detail))
            else:
                ticks.append(Tick(point.timestamp, price))
        return [*acts, *self.on_snapshot(ticks, ts_recv_ns)]

    def price_near(self, second: int, *, within_s: int) -> float | None:
        """The price stamped nearest to this second; None when none is within reach."""
        for distance in range(within_s + 1):
            for candidate in (second - distance, second + distance):
                if (known := self._seconds.get(candidate)) is not None:
                    return known[1]
        return None

    def on_timer(self, ts_ns: int) -> Sequence[Act]:
        """The history again, when it is due."""
        if not self._seconds or ts_ns - self._repeated_ns < REPEAT_NS:
            return ()
        return (self._publish_history(ts_ns),)

    def _confirms(self, stamp_ms: int, price: float) -> bool:
        """Whether a snapshot only repeats what a live tick said, perhaps with fewer digits."""
        second, within_ms = divmod(stamp_ms, 1000)
        known = self._seconds.get(second)
        return known is not None and known[0] == within_ms and abs(known[1] - price) <= 1e-9 * price

    def _remember(self, stamp_ms: int, price: float) -> None:
        second, within_ms = divmod(stamp_ms, 1000)
        known = self._seconds.get(second)
        if known is not None and known[0] < within_ms:
            return
        is_newest = known is None and (not self._seconds or second > next(reversed(self._seconds)))
        self._seconds[second] = (within_ms, price)
        if known is None and not is_newest:
            self._seconds = dict(sorted(self._seconds.items()))
        oldest = next(reversed(self._seconds)) - self._history_s
        while (first := next(iter(self._seconds))) <= oldest:
            del self._seconds[first]

    def _publish_newest(self, ts_recv_ns: int) -> Publish:
        return Publish(
            OraclePrice(
                ts_event_ns=self._newest_ms * NS_PER_MS,
                ts_recv_ns=ts_recv_ns,
                asset=self.asset,
                kind=self.kind,
                price=self._newest_price,
                venue=VENUE,
            )
        )

    def _publish_history(self, ts_ns: int) -> Publish:
        self._repeated_ns = ts_ns
        return Publish(
            OracleHistory(
                ts_event_ns=self._newest_ms * NS_PER_MS,
                ts_recv_ns=ts_ns,
                asset=self.asset,
                kind=self.kind,
                venue=VENUE,
                seconds=tuple(self._seconds),
                prices=tuple(price for _, price in self._seconds.values()),
            )
        )

"""One oracle stream of one asset, whoever relays it: accepted ticks, their history, and what to publish of them.

`OraclePrice` never goes back in time: a tick older than the newest one only enters the history, which is then
republished at once. Two values for one second: the later receipt wins; of several stamps within a second, the one
nearest to its beginning stands in the history, because that is the stamp that settles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.feeds.parsing import NS_PER_MS, NS_PER_S, Evidence, PriceGuard, drop, is_price
from services.feeds.protocol import Act, Publish, Status
from shared.messages import OracleHistory, OracleKind, OraclePrice

VENUE = "chainlink"
CHANNEL = "OraclePrice"
HISTORY_S = 960  # a 15-minute period and some: a consumer that restarts within it still finds the strike
REPEAT_NS = 5 * NS_PER_S
OLDEST_TICK_MS = 600_000
OLDEST_LIVE_TICK_MS = 60_000
NEWEST_TICK_MS = 5_000  # ahead of our clock
MISSING_S = 3  # stamps skipped in a row before it is called a gap; single ones are missing every day
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
        self._guard = PriceGuard()

    def on_tick(self, stamp_ms: int, price: float, ts_recv_ns: int, evidence: Evidence) -> Sequence[Act]:
        """A live tick."""
        now_ms = ts_recv_ns // NS_PER_MS
        if not -OLDEST_LIVE_TICK_MS <= stamp_ms - now_ms <= NEWEST_TICK_MS:
            return (
                drop("clock", f"{self.subject} stamped {str(stamp_ms)[:40]}"),
                *evidence.doubt(CHANNEL, self.subject, "STALE", "clock"),
            )
        if not self._guard.accept(price):
            return (drop("absurd", f"{self.subject} {price}"),)
        self._remember(stamp_ms, price)
        if stamp_ms < self._newest_ms:
            return (self._publish_history(ts_recv_ns),)
        if stamp_ms == self._newest_ms and price == self._newest_price:
            return (drop("duplicate", f"{self.subject} stamped {stamp_ms}"),)
        acts: list[Act] = []
        skipped_s = (stamp_ms - self._newest_ms) // 1000 - 1
        if self._newest_ms and skipped_s >= MISSING_S:
            acts.append(Status(CHANNEL, self.subject, "GAP", f"{skipped_s} s missing"))
            acts.append(Status(CHANNEL, self.subject, "LIVE", "resumed"))
        is_correction = stamp_ms == self._newest_ms
        self._newest_ms, self._newest_price = stamp_ms, price
        acts.append(self._publish_newest(ts_recv_ns))
        if is_correction:
            acts.append(self._publish_history(ts_recv_ns))
        acts.extend(evidence.trust(CHANNEL, self.subject))
        return acts

    def on_snapshot(self, ticks: Iterable[tuple[int, float]], ts_recv_ns: int) -> Sequence[Act]:
        """The relay's memory of the last minutes, sent after a subscription."""
        now_ms = ts_recv_ns // NS_PER_MS
        acts: list[Act] = []
        newest_ms, newest_price = self._newest_ms, self._newest_price
        for stamp_ms, price in ticks:
            if not -OLDEST_TICK_MS <= stamp_ms - now_ms <= NEWEST_TICK_MS or not is_price(price):
                acts.append(drop("clock", f"{self.subject} snapshot stamped {str(stamp_ms)[:40]}"))
                continue
            if not self._guard.accept(price):
                acts.append(drop("absurd", f"{self.subject} snapshot {price}"))
                continue
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

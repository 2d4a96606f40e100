"""The periods of one series: the current one, the next two prepared ahead, and those that ended and must settle."""

from __future__ import annotations

from services.feeds.polymarket.gamma import refused_rules
from services.feeds.polymarket.period_market import PeriodMarket
from services.feeds.protocol import Act, Publish, Status
from shared.market import NS_PER_S, Series
from shared.messages import Period, PeriodRole

ROLES: tuple[PeriodRole, PeriodRole, PeriodRole] = ("current", "next", "next2")
REPEAT_NS = 5 * NS_PER_S
ENDED_FOR_S = 900
OWN_TICK_WAIT_S = 180
DISCOVERY_NS = 3 * NS_PER_S // 2  # how long a period may be unknown before others are told to forget what they know


class SeriesPeriods:
    """Which period has which role at an instant, and what is known of each."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.markets: dict[int, PeriodMarket] = {}
        self.ended: dict[int, PeriodMarket] = {}
        self.current_start = -1
        self.missing: dict[int, str] = {}
        self._wanted_ns: dict[int, int] = {}
        self._repeat_ns = 0
        self._last: dict[PeriodRole, Period] = {}
        self._discovery: tuple[str, str] | None = None

    def starts(self) -> tuple[int, int, int]:
        """Starts (Unix seconds) of the current and the next two periods."""
        following = self._following(self.current_start)
        return self.current_start, following, self._following(following)

    def current(self) -> PeriodMarket | None:
        """The current period, when its rules are known."""
        return self.markets.get(self.current_start)

    def all_markets(self) -> list[PeriodMarket]:
        """Prepared, current and ended ones."""
        return [*self.markets.values(), *self.ended.values()]

    def boundary_ns(self) -> int:
        """When the current period ends."""
        return (self.current_start + self.series.length_s) * NS_PER_S

    def roll(self, ts_ns: int) -> list[Act]:
        """Let the period of this instant be the current one; its prepared books are published at once."""
        start = self.series.start_of(ts_ns)
        if start == self.current_start:
            return []
        self.current_start = start
        wanted = self.starts()
        for old in [known for known in self.markets if known not in wanted]:
            market = self.markets.pop(old)
            market.leave()
            if old < start:
                self.ended[old] = market
        self.missing = {known: reason for known, reason in self.missing.items() if known in wanted}
        self._wanted_ns = {known: self._wanted_ns.get(known, ts_ns) for known in wanted}
        self._discovery = None
        self._last.clear()
        acts = self.publish_periods(ts_ns)
        if (market_now := self.current()) is not None:
            acts += market_now.enter(ts_ns)
        return acts

    def add(self, start_s: int, market: PeriodMarket, ts_ns: int) -> list[Act]:
        """The rules of a wanted period became known."""
        self.markets[start_s] = market
        self.missing.pop(start_s, None)
        return market.enter(ts_ns) if start_s == self.current_start else []

    def find(self, start_s: int) -> PeriodMarket | None:
        """The period that starts then, prepared, current or ended."""
        return self.markets.get(start_s) or self.ended.get(start_s)

    def publish_periods(self, ts_ns: int) -> list[Act]:
        """`Period` of each role that changed, all of them every five seconds; and whether discovery works.

        A period is refused as not discovered only when asked for in vain: we may know less than those who listen.
        """
        repeat = ts_ns - self._repeat_ns >= REPEAT_NS
        if repeat:
            self._repeat_ns = ts_ns
        acts: list[Act] = []
        for role, start_s in zip(ROLES, self.starts(), strict=True):
            if self._is_being_discovered(start_s, ts_ns):
                continue
            message = self._message(role, start_s, ts_ns)
            last = self._last.get(role)
            if repeat or last is None or not _same(last, message):
                self._last[role] = message
                acts.append(Publish(message))
        return acts + self._tell_discovery()

    def prune(self, ts_ns: int) -> bool:
        """Drop ended periods whose settlement is complete, or that are too old to wait for. True when any was."""
        before = len(self.ended)
        now_s = ts_ns // NS_PER_S
        for start_s, market in list(self.ended.items()):
            age_s = now_s - market.rules.end_s
            complete = market.audit.official is not None and (
                market.audit.own_final is not None or age_s > OWN_TICK_WAIT_S
            )
            if age_s > ENDED_FOR_S or (complete and market.audit.published_final is not None) or not market.tokens:
                del self.ended[start_s]
        return len(self.ended) < before

    def _is_being_discovered(self, start_s: int, ts_ns: int) -> bool:
        is_unknown = start_s not in self.markets and start_s not in self.missing
        return is_unknown and ts_ns - self._wanted_ns[start_s] < DISCOVERY_NS

    def _message(self, role: PeriodRole, start_s: int, ts_ns: int) -> Period:
        market = self.markets.get(start_s)
        if market is None:
            rules = refused_rules(self.series, start_s, self.missing.get(start_s, "not_discovered"))
            market = PeriodMarket.unknown(self.series, rules)
        return market.period_message(role, ts_ns)

    def _tell_discovery(self) -> list[Act]:
        market = self.current()
        told = ("LIVE", "") if market is not None else ("DOWN", self.missing.get(self.current_start, "not_discovered"))
        if told == self._discovery:
            return []
        self._discovery = told
        return [Status("Period", self.series.name, "LIVE" if told[0] == "LIVE" else "DOWN", told[1])]

    def _following(self, start_s: int) -> int:
        return self.series.start_of((start_s + self.series.length_s) * NS_PER_S)


def _same(one: Period, other: Period) -> bool:
    return all(
        getattr(one, field) == getattr(other, field)
        for field in one.__struct_fields__
        if field not in ("ts_event_ns", "ts_recv_ns")
    )

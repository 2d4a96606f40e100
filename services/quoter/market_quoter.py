"""One market: its periods, what is known about it, and the quotes it last published.

    judge the inputs (`faults.py`) -> `requote` (compiled) -> decide the action (`action.py`) -> QuoteSet

A QuoteSet is published when its action, reasons or ladder changed, when only its value moved (at most
`max_value_updates_per_s`), and otherwise every third of the lease. The story of the number in `QuoteSet.breakdown` is
told in `records.py`; `oracle_twap60`, when present, is the oracle's own published average in dollars, as a cross-check.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from services.quoter.action import decide
from services.quoter.asset_prices import AssetPrices, Print
from services.quoter.faults import FaultFinder, Judgment
from services.quoter.inputs import nanoseconds
from services.quoter.ladders import Held, Ladder, LadderBook, LadderKey
from services.quoter.period_quotes import PeriodQuotes, rules_of
from services.quoter.reasons import all_reasons, decision_of
from services.quoter.records import ANSWER_AT, PHASES, breakdown_names, settings_of
from services.quoter.requote import requote
from services.quoter.signals import Signal, Signals
from shared.config import MMConfig
from shared.market import NS_PER_S, Series
from shared.messages import Action, FeedStatus, LeadLag, Outcome, OutcomeBook, Period, QuoteSet
from shared.projection import Config as ProjectionConfig
from shared.projection import new_venue

_FAIR, _LOW, _HIGH = ANSWER_AT["fair_value"], ANSWER_AT["fair_low"], ANSWER_AT["fair_high"]
_PHASE, _DEFINED = ANSWER_AT["phase"], ANSWER_AT["is_defined"]
_VALUE_STEP = 1e-4  # a fair value that moved less than this is not worth a message of its own
_PENDING_BOOKS = 8
_FLAT: Held = (0.0, 0.0)
_NO_LADDERS: tuple[Ladder, Ladder] = ((), ())


class Standing(NamedTuple):
    """What was last published: everything that makes another set of it, the value, and when."""

    slug: str
    action: Action
    reasons: tuple[str, ...]
    ladder: LadderKey | None
    fair_value: float | None
    ts_ns: int


_NOTHING_SAID = Standing("", "PULL_QUOTES", (), None, None, 0)


class MarketQuoter:
    """Made at the start, one a market."""

    def __init__(self, series: Series, prices: AssetPrices, config: MMConfig, projection: ProjectionConfig) -> None:
        self.series = series
        self.name = series.name
        self.asset = prices
        self.signals = Signals()
        self.periods: dict[str, PeriodQuotes] = {}
        self.active: PeriodQuotes | None = None
        self.pending_books: dict[tuple[str, Outcome], tuple[OutcomeBook, int]] = {}
        self.inputs: dict[str, int] = {}  # topic -> sequence number of everything used
        self.leading: str | None = None
        self.recheck_ns = 0  # the inputs are judged anew from this instant on; 0 at once
        self._config = config
        self._faults = FaultFinder(config, prices, self.signals)
        self._judgment: Judgment | None = None
        self._settings = settings_of(config, projection)
        self._breakdown = breakdown_names(config)
        self._no_venue = new_venue()
        self._ladders = LadderBook()
        self._standing = _NOTHING_SAID
        self._pulls_final = config.techniques.phases and not config.quote_final_phase
        self._book_ns = nanoseconds(config.limits.book_s)
        self._regime_ns = nanoseconds(config.limits.regime_s)
        self._lease_ns = nanoseconds(config.lease_s)
        self._repeat_ns = self._lease_ns // 3
        self._value_ns = nanoseconds(1.0 / config.max_value_updates_per_s)

    # -- inputs ------------------------------------------------------------------------------------------------------

    def take_period(self, period: Period, now_ns: int) -> None:
        """Take a description of a period; open its windows when it is new, or when its rules are."""
        known = self.periods.get(period.slug)
        if known is not None and rules_of(known.period) == rules_of(period):
            known.take(period)
        elif now_ns < period.end_ns and period.start_ns < period.end_ns:
            self._begin(period, known)
        self.select_period(now_ns)

    def _begin(self, period: Period, refuted: PeriodQuotes | None) -> None:
        """Open a period; `refuted` is the same one under rules that were not true, such as a refused placeholder."""
        opened = self.periods[period.slug] = PeriodQuotes(period, self._config)
        for stamp_ns, log_price in self.asset.prints.items():
            opened.take_print(stamp_ns, log_price)
        if refuted is not None:
            opened.adopt_books(refuted)
            if self.active is refuted:
                self.active = None
        for outcome in opened.books:
            pending = self.pending_books.pop((period.slug, outcome), None)
            if pending is not None:
                opened.take_book(*pending)

    def select_period(self, now_ns: int) -> None:
        """Make the period that holds this instant the active one; otherwise the next, otherwise the last."""
        active = self.active
        if active is not None and active.start_ns <= now_ns < active.end_ns:
            return
        by_start = sorted(self.periods.values(), key=lambda each: each.start_ns)
        alive = [each for each in by_start if each.end_ns > now_ns]
        chosen = next(iter(alive or by_start[-1:]), None)
        if chosen is None or chosen is active:
            return
        self.periods = {slug: each for slug, each in self.periods.items() if each.end_ns > now_ns or each is chosen}
        self.active = chosen
        if self.asset.oracle_ns:
            chosen.take_oracle(self.asset.oracle_ns, self.asset.oracle_log)
        for held in (self.signals.volatility, self.signals.regime, self.signals.flow, self.signals.position):
            chosen.take_signal(held.message)

    def take_book(self, book: OutcomeBook, now_ns: int) -> bool:
        """Take a book; False when no answer is due: its period is not known yet (it is kept) or not active, or its
        outcome's mirror is on the way (both are one book and change with one frame; if not, a Timer answers).
        """
        period = self.periods.get(book.slug)
        if period is None:
            self.pending_books.pop((book.slug, book.outcome), None)
            self.pending_books[(book.slug, book.outcome)] = (book, now_ns)
            if len(self.pending_books) > _PENDING_BOOKS:
                del self.pending_books[next(iter(self.pending_books))]
            return False
        was_usable = period.books[book.outcome].is_usable(now_ns, self._book_ns)
        before = (period.book_fault, period.mirror_broken_since_ns)
        period.take_book(book, now_ns)
        if not was_usable or before != (period.book_fault, period.mirror_broken_since_ns):
            self.recheck_ns = 0
        is_half = before == (None, 0) and period.book_fault is None and period.mirror_broken_since_ns > 0
        return period is self.active and not is_half

    def take_prints(self, prints: list[Print]) -> None:
        """Take oracle prints, already noted by the asset, into the windows of every period."""
        for period in self.periods.values():
            for stamp_ns, log_price in prints:
                period.take_print(stamp_ns, log_price)
            period.take_oracle(self.asset.oracle_ns, self.asset.oracle_log)

    def take_signal(self, signal: Signal, now_ns: int) -> None:
        """Take a signal, or the position."""
        self.signals.take(signal, now_ns)
        if self.active is not None:
            self.active.take_signal(signal)
        if isinstance(signal, LeadLag) and signal.warm and signal.leader is not None:
            lead_s = signal.lead_s
            if lead_s is not None and lead_s >= 0.0:
                self.asset.leads_s[signal.leader] = lead_s

    def take_status(self, status: FeedStatus, part: str, now_ns: int) -> bool:
        """Take the health of one stream of this market; False when no quote depends on it."""
        return self.signals.take_status(status, part, now_ns)

    def lose(self, name: str, source: str) -> bool:
        """Messages were lost: stale that input until its next one. False: it is not used."""
        if name != "OutcomeBook":
            return self.signals.lose(name, source)
        for period in self.periods.values():
            for outcome, held in period.books.items():
                if outcome == source:
                    held.has_gap = True
        return source in ("CALL", "PUT")

    def forget(self) -> None:
        """Time was set back: everything that was received is of unknown age. The periods stay."""
        self.signals.forget()
        for period in self.periods.values():
            period.forget()
        self.pending_books.clear()
        self.leading = None
        self._judgment, self.recheck_ns = None, 0
        self._standing = _NOTHING_SAID

    # -- the answer --------------------------------------------------------------------------------------------------

    def requote(self, now_ns: int, *, trigger: str, trigger_recv_ns: int) -> QuoteSet | None:
        """Quotes of this instant; None when the same set was published recently."""
        judgment, active = self.judged(now_ns), self.active
        if active is None or judgment is None:
            return self._publish_nothing(now_ns, trigger, trigger_recv_ns)
        venue = judgment.venue
        requote(
            active.market,
            active.windows,
            self._no_venue if venue is None else venue.state,
            self._settings,
            active.quote,
            now_ns,
            venue is not None,
            judgment.lead_s,
            judgment.has_regime,
            judgment.has_flow,
            judgment.missing,
            judgment.allow_bid,
            judgment.allow_ask,
        )
        numbers: list[float] = active.answer.tolist()
        defined = numbers[_DEFINED] == 1.0 and active.refusal is None and math.isfinite(sum(numbers))
        bits = all_reasons(active.quote, self._settings, judgment.bits, defined, venue is not None, self._pulls_final)
        action, reasons = decision_of(bits)
        return self._publish(active, action, reasons, numbers, defined, now_ns, trigger, trigger_recv_ns)

    def judged(self, now_ns: int) -> Judgment | None:
        """What the inputs of the active period allow now, judged anew when that can have changed; None without one."""
        if self._judgment is not None and now_ns < self.recheck_ns:
            return self._judgment
        self.select_period(now_ns)
        if self.active is None:
            self._judgment, self.recheck_ns = None, now_ns + NS_PER_S
            return None
        judgment = self._judgment = self._faults.judge(self.active, now_ns)
        self.recheck_ns = judgment.until_ns
        self.leading = None if judgment.venue is None else judgment.venue.name
        return judgment

    def _publish(
        self,
        active: PeriodQuotes,
        action: Action,
        reasons: tuple[str, ...],
        numbers: list[float],
        defined: bool,
        now_ns: int,
        trigger: str,
        trigger_recv_ns: int,
    ) -> QuoteSet | None:
        fair_value = numbers[_FAIR] if defined else None
        ladder = None
        if action != "PULL_QUOTES":
            ladder = (active.per_dollar, self._held(), active.ladder.tobytes())
        if self._is_repeated(active.slug, action, reasons, ladder, fair_value, now_ns):
            return None
        self._standing = Standing(active.slug, action, reasons, ladder, fair_value, now_ns)
        call, put = _NO_LADDERS
        if ladder is not None:
            call, put = self._ladders.of(ladder, active.prices, active.ladder)
        breakdown = dict(zip(self._breakdown, numbers, strict=False)) if defined else {}
        if self.asset.twap is not None:
            breakdown["oracle_twap60"] = self.asset.twap.price
        return QuoteSet(
            ts_event_ns=now_ns,
            ts_recv_ns=now_ns,
            market=self.name,
            slug=active.slug,
            action=action,
            reasons=reasons,
            phase=PHASES[int(numbers[_PHASE])],
            regime=self._judgment.regime if self._judgment is not None else "unknown",
            time_to_expiry_s=(active.end_ns - now_ns) / NS_PER_S,
            tick_size=active.tick_size,
            fair_value=fair_value,
            fair_low=numbers[_LOW] if defined else None,
            fair_high=numbers[_HIGH] if defined else None,
            breakdown=breakdown,
            call=call,
            put=put,
            valid_until_ns=now_ns + self._lease_ns,
            inputs=self.inputs.copy(),
            trigger=trigger,
            trigger_recv_ns=trigger_recv_ns,
        )

    def _is_repeated(
        self,
        slug: str,
        action: Action,
        reasons: tuple[str, ...],
        ladder: LadderKey | None,
        fair_value: float | None,
        now_ns: int,
    ) -> bool:
        """Whether the same was said recently enough that it need not be said again."""
        last = self._standing
        if ladder != last.ladder or reasons != last.reasons or action != last.action or slug != last.slug:
            return False
        since_ns = now_ns - last.ts_ns
        if since_ns >= self._repeat_ns:
            return False
        if fair_value is None or last.fair_value is None:
            return fair_value is last.fair_value
        return abs(fair_value - last.fair_value) < _VALUE_STEP or since_ns < self._value_ns

    def _held(self) -> Held:
        position = self.signals.position.message
        return _FLAT if position is None else (position.call_shares, position.put_shares)

    def _publish_nothing(self, now_ns: int, trigger: str, trigger_recv_ns: int) -> QuoteSet | None:
        action, reasons = decide(["no_period"])
        if self._is_repeated("", action, reasons, None, None, now_ns):
            return None
        self._standing = Standing("", action, reasons, None, None, now_ns)
        return QuoteSet(
            ts_event_ns=now_ns,
            ts_recv_ns=now_ns,
            market=self.name,
            slug="",
            action=action,
            reasons=reasons,
            phase="before",
            regime=self.signals.regime_name(now_ns, self._regime_ns),
            time_to_expiry_s=0.0,
            tick_size=0.01,
            fair_value=None,
            fair_low=None,
            fair_high=None,
            breakdown={},
            call=(),
            put=(),
            valid_until_ns=now_ns + self._lease_ns,
            inputs=self.inputs.copy(),
            trigger=trigger,
            trigger_recv_ns=trigger_recv_ns,
        )

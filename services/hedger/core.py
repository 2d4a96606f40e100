"""The owner of the positions: books what happened, says what we hold, answers questions about it.

The state is the ledger's; the core judges a booking, hands its entries to the journal, and answers `ok` once they stand
there. Bookings that wait together become durable together. `Position` is published each second and at each change of
the current period of each market, `Fill` once for each booked fill. Periods that begin to wait for their outcome
are named once: when it was missed, only somebody who knows it can book it.

Time is the latest Timer or question, or a `ts_recv_ns` at most `CLOCK_SLACK_NS` ahead of the Timer. A Timer further
back than that says that the clock was set back, and time goes back with it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from typing import Any

from services.hedger.accounts import Account, Books
from services.hedger.attribution import MarketAttribution, mid_of
from services.hedger.bookings import Batch, Verdict, is_period_of, wanted
from services.hedger.entries import Entry
from services.hedger.hedge import answer_hedge
from services.hedger.hedge_inputs import HedgeError, OtherPosition
from services.hedger.journal import Journal, JournalError, MemoryJournal
from services.hedger.market_view import MarketView, position_of
from services.hedger.pnl import held_usd
from services.hedger.rows import entry_row, pnl_row, utc_text
from shared.config import MMConfig
from shared.core import Delivery, Event, EventClock, Gap
from shared.market import NS_PER_S
from shared.messages import AnyMessage, Fill, OpenOrders, Outcome, OutcomeBook, Period, Position, QuoteSet, Settlement
from shared.money import from_micro
from shared.requests import (
    Answer,
    BookCash,
    BookFill,
    Booking,
    BookMerge,
    BookReversal,
    BookSettlement,
    FillsQuery,
    HedgeQuery,
    PnlQuery,
    PositionQuery,
    PositionsQuery,
    Question,
    decode_question,
    encode_answer,
)

REPEAT_NS = NS_PER_S // 2  # the quoter pulls when it has not heard for three of these
MOST_ROWS = 1000
_OUTCOMES_KEPT = 64
MOST_NAMED = 10
DAY_NS = 86_400 * NS_PER_S
WAITING_NS = 5 * NS_PER_S  # how often all periods are looked at for such as wait

_BOOKINGS = (BookFill, BookReversal, BookMerge, BookCash, BookSettlement)


class HedgerCore:
    """The positions of these markets, from what stands in the journal. `config` says how much risk is minded.

    `refused` counts refusals by reason, `booked` entries by kind. `notices` are texts for the log: whoever runs the
    core takes them, and what `take_messages` returns, after each call.
    """

    def __init__(self, markets: Sequence[str], journal: Journal | None = None, config: MMConfig | None = None) -> None:
        self.books = Books()
        self.refused: Counter[str] = Counter()  # for good, by reason
        self.delayed: Counter[str] = Counter()  # what its sender sends again
        self.booked: Counter[str] = Counter()
        self.ledger_errors = 0
        self.notices: list[str] = []
        self._clock = EventClock()
        self._journal: Journal = MemoryJournal() if journal is None else journal
        self._config = MMConfig() if config is None else config
        self._views = {market: MarketView(market) for market in markets}
        self._settlements: dict[str, Settlement] = {}
        self._outcomes: dict[str, Settlement] = {}  # of periods in which nothing was ever booked
        self._disputed: set[str] = set()
        self._messages: list[AnyMessage] = []
        self._is_in_doubt = False
        self._next_repeat_ns = 0
        self._next_waiting_ns = 0
        self._named: set[str] = set()  # those of the periods that wait
        self.books.replay(self._journal.after(0))
        self.attributions = {market: MarketAttribution() for market in markets}
        for account in self.books.accounts.values():
            for entry in account.history if account.market in self.attributions else ():
                self.attributions[account.market].take(entry, None, None)

    @property
    def now_ns(self) -> int:
        """Our clock, as far as events told it."""
        return self._clock.now_ns

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Follow periods, settlements, fair values, books and open orders; repeat the positions twice a second."""
        if self._clock.take(event):
            self._next_repeat_ns = self._next_waiting_ns = 0
        if isinstance(event, Delivery):
            self._take(event.message)
        elif isinstance(event, Gap):
            return ()  # every input is a snapshot, or repeated
        elif self.now_ns >= self._next_waiting_ns:  # at the first Timer the last values of the bus are taken
            self._next_waiting_ns = self.now_ns + WAITING_NS
            self._name_waiting()
        if self.now_ns >= self._next_repeat_ns:
            self._next_repeat_ns = self.now_ns + REPEAT_NS
            self._settle()
            for view in self._views.values():
                self._publish(view)
        return self.take_messages()

    def take_messages(self) -> list[AnyMessage]:
        """What is to be published now: fills in the order they were booked, then the last position of each market."""
        messages, self._messages = self._messages, []
        if len(messages) > 1:
            last = {each.market: each for each in messages if isinstance(each, Position)}
            messages = [each for each in messages if not isinstance(each, Position)] + list(last.values())
        return messages

    def _take(self, message: AnyMessage) -> None:
        view = self._views.get(getattr(message, "market", ""))
        if view is None:
            return
        match message:
            case Period():
                if message.role == "current" and view.take_period(message):
                    self._publish(view)
            case Settlement():
                self._take_settlement(message)
            case QuoteSet():
                view.take_quotes(message)
            case OutcomeBook():
                view.take_book(message)
                if message.outcome == "CALL":
                    self.attributions[message.market].mark(message.slug, mid_of(message))
            case OpenOrders():
                view.take_orders(message, self.now_ns)
                last = view.published
                if last is None or last.worst_case_usd != self._position(view).worst_case_usd:
                    self._publish(view)

    def _publish(self, view: MarketView) -> None:
        if view.slug:
            view.published = self._position(view)
            self._messages.append(view.published)

    def _position(self, view: MarketView) -> Position:
        account = self.books.accounts.get(view.slug) or Account(view.market, view.slug)
        return view.position(account, self.now_ns, sequence=self.books.sequence)

    def positions(self) -> tuple[Position, ...]:
        """The current period of each market, then older ones that wait for their outcome, newest first."""
        current = [self._position(view) for view in self._views.values() if view.slug]
        shown = {each.slug for each in current}
        waiting = [each for each in self.books.accounts.values() if each.is_open() and each.slug not in shown]
        waiting.sort(key=lambda account: (-account.start_s, account.market))
        sequence = self.books.sequence
        return (*current, *(position_of(each, self.now_ns, sequence=sequence) for each in waiting))

    def waiting(self) -> list[Account]:
        """Periods that are over and whose outcome is not known, oldest first."""
        found = [each for each in tuple(self.books.accounts.values()) if each.is_waiting(self.now_ns)]
        return sorted(found, key=lambda account: (account.end_ns, account.slug))

    def _name_waiting(self) -> None:
        all_waiting = self.waiting()
        waiting = [each for each in all_waiting if each.slug not in self._named]
        self._named = {each.slug for each in all_waiting}
        named = ", ".join(f"{each.slug} since {utc_text(each.end_ns)}" for each in waiting[:MOST_NAMED])
        more = f" and {len(waiting) - MOST_NAMED} more" if len(waiting) > MOST_NAMED else ""
        if waiting:
            self.notices.append(
                f"periods that wait for their outcome: {named}{more}; when the venue's word was missed, book it: "
                "python -m services.hedger.client book-settlement --slug <slug> --outcome CALL|PUT"
            )

    def published(self) -> tuple[Position, ...]:
        """What was last published of each market."""
        return tuple(view.published for view in self._views.values() if view.published is not None)

    # -- settlements ------------------------------------------------------------------------------------------------

    def _take_settlement(self, settlement: Settlement) -> None:
        """Only the venue's word counts, and only its first: our own recomputation books nothing."""
        if settlement.official is None or not is_period_of(settlement.market, settlement.slug):
            return
        slug = settlement.slug
        account = self.books.accounts.get(slug)
        if account is not None and account.outcome is not None:
            first = account.outcome
        else:
            first = self._unbooked_outcomes().get(slug, settlement.official)
        if first != settlement.official:
            self._dispute(slug, first, settlement.official)
        elif account is None:  # nothing to book, until a late fill says otherwise
            self._outcomes.setdefault(slug, settlement)
            if len(self._outcomes) > _OUTCOMES_KEPT:
                del self._outcomes[next(iter(self._outcomes))]
        elif account.outcome is None:
            self._settlements.setdefault(slug, settlement)
            self._settle()

    def _dispute(self, slug: str, first: Outcome, second: Outcome) -> None:
        if slug not in self._disputed:
            self._disputed.add(slug)
            self.notices.append(f"{slug} was settled as {first}; the venue now says {second}: not booked, look at it")

    def _unbooked_outcomes(self) -> dict[str, Outcome]:
        """What the venue said first of periods whose outcome is not booked."""
        known = self._outcomes | self._settlements
        return {slug: each.official for slug, each in known.items() if each.official is not None}

    def _settle(self) -> None:
        """Book the outcomes that wait; what the ledger cannot take now is tried again each second."""
        if not self._settlements or not self._is_certain():
            return
        batch = Batch(self.books, self._views, (), now_ns=self.now_ns)
        for each in self._settlements.values():
            if each.official is not None:
                batch.settle(market=each.market, slug=each.slug, outcome=each.official, ts_ns=each.ts_event_ns)
        if self._commit(batch):
            self._settlements.clear()

    # -- bookings ---------------------------------------------------------------------------------------------------

    def _book(self, bookings: Sequence[Booking]) -> list[Verdict]:
        """Judge them in their order and commit what is sound, all at once."""
        if not bookings:
            return []
        if not self._is_certain():
            return self._count([_UNAVAILABLE] * len(bookings))
        ids, order_ids = wanted(bookings)
        try:
            found = self._journal.find(ids=ids, order_ids=order_ids)
        except JournalError as error:
            self._fail(error)
            return self._count([_UNAVAILABLE] * len(bookings))
        batch = Batch(self.books, self._views, found, now_ns=self.now_ns, outcomes=self._unbooked_outcomes())
        verdicts = [batch.book(each) for each in bookings]
        late = [each for slug, each in self._outcomes.items() if slug in self.books.accounts]
        for known in late:
            if known.official is not None:
                batch.settle(market=known.market, slug=known.slug, outcome=known.official, ts_ns=known.ts_event_ns)
        is_committed = self._commit(batch)
        if is_committed:
            for known in late:
                del self._outcomes[known.slug]
        else:  # a refusal may rest on what was not written
            verdicts = [each if each.is_known else _UNAVAILABLE for each in verdicts]
        return self._count(verdicts)

    def _count(self, verdicts: list[Verdict]) -> list[Verdict]:
        for verdict in verdicts:
            if verdict.status in ("unavailable", "unknown_market"):
                self.delayed[verdict.name] += 1
            elif verdict.status != "ok":
                self.refused[verdict.name] += 1
        return verdicts

    def _commit(self, batch: Batch) -> bool:
        if not batch.entries:
            return True
        try:
            self._journal.append(batch.entries)
        except JournalError as error:
            batch.undo()
            self._fail(error)
            return False
        self._announce(batch.entries)
        return True

    def _announce(self, entries: Sequence[Entry]) -> None:
        """Say what stands in the ledger now."""
        changed: dict[str, None] = {}
        for entry in entries:
            self.booked[entry.kind] += 1
            changed[entry.slug] = None
            self._attribute(entry)
            if entry.kind == "fill":
                self._messages.append(_fill_of(entry))
        for view in self._views.values():
            if view.slug in changed:
                self._publish(view)

    def _attribute(self, entry: Entry) -> None:
        view = self._views.get(entry.market)
        if view is not None:
            call_mid = mid_of(view.book("CALL", self.now_ns)) if view.slug == entry.slug else None
            self.attributions[entry.market].take(entry, call_mid, self.books.accounts[entry.slug].outcome)

    def day_pnl_usd(self, market: str) -> float:
        """Profit net of fees of the periods that ended in the last 24 hours or have no outcome yet, in dollars.

        What is held counts at the last mid of its period; where none is known, under the outcome that is worse for it.
        """
        since_ns = self.now_ns - DAY_NS
        total_usd = 0.0
        for account in tuple(self.books.accounts.values()):
            if account.market == market and (account.end_ns > since_ns or account.is_open()):
                mid = self.attributions[market].last_mid(account.slug)
                worths = (0.0, 1.0) if mid is None else (mid,)
                total_usd += from_micro(account.realized_micro) + min(held_usd(account, each) for each in worths)
        return total_usd

    def _fail(self, error: JournalError) -> None:
        self.ledger_errors += 1
        if not self._is_in_doubt:
            self._is_in_doubt = True
            self.notices.append(f"the ledger is unavailable, nothing is booked: {error}")

    def _is_certain(self) -> bool:
        """After a failure: read what stands in the ledger, for the commit may have come through."""
        if not self._is_in_doubt:
            return True
        try:
            missed = list(self._journal.after(self.books.sequence))
        except JournalError as error:
            self._fail(error)
            return False
        self._is_in_doubt = False
        self.notices.append(f"the ledger answers again; entries that had come through unseen: {len(missed)}")
        self.books.replay(missed)
        self._announce(missed)
        return True

    # -- questions --------------------------------------------------------------------------------------------------

    def answer(self, question: bytes) -> bytes:
        """The answer to one question. Never raises on what was asked."""
        return self.answer_all([question], now_ns=self.now_ns)[0]

    def answer_all(self, questions: Sequence[bytes], *, now_ns: int) -> list[bytes]:
        """The answers to all questions that wait, in their order; what is booked is durable when this returns."""
        self._clock.now_ns = max(self._clock.now_ns, now_ns)
        asked: list[Question | str] = [_decoded(each) for each in questions]
        verdicts = iter(self._book([each for each in asked if isinstance(each, _BOOKINGS)]))
        answers = []
        for question in asked:
            if isinstance(question, str):
                answer = Answer(status="malformed", detail=question, sequence=self.books.sequence)
            elif isinstance(question, _BOOKINGS):
                verdict = next(verdicts)
                answer = Answer(
                    status=verdict.status, detail=verdict.detail, sequence=self.books.sequence, entry=verdict.entry
                )
            else:
                answer = self._answer(question)
            answers.append(encode_answer(answer))
        return answers

    def _answer(self, question: Question) -> Answer:
        sequence = self.books.sequence
        market = getattr(question, "market", "")
        if market and market not in self._views:
            detail = f"{market!r}; served here: {', '.join(self._views)}"
            return Answer(status="unknown_market", detail=detail, sequence=sequence)
        match question:
            case PositionsQuery():
                positions = self.positions()
                return Answer(positions=positions, waiting=self._waiting_of(positions), sequence=sequence)
            case PositionQuery():
                view = self._views.get(market)
                if view is None:
                    return Answer(status="unknown_market", detail="name a market", sequence=sequence)
                positions = (self._position(view),) if view.slug else ()
                return Answer(positions=positions, waiting=self._waiting_of(positions), sequence=sequence)
            case PnlQuery():
                return self._answer_pnl(question)
            case FillsQuery():
                return self._answer_fills(question)
            case HedgeQuery():
                try:
                    return Answer(rows=self._hedge_rows(market), sequence=sequence)
                except HedgeError as error:
                    return Answer(status="unavailable", detail=str(error), sequence=sequence)
        raise AssertionError(f"a booking is not answered here: {question}")

    def _waiting_of(self, positions: Sequence[Position]) -> dict[str, int]:
        accounts = [self.books.accounts.get(each.slug) for each in positions]
        return {each.slug: each.end_ns for each in accounts if each is not None and each.is_waiting(self.now_ns)}

    def _hedge_rows(self, market: str) -> tuple[dict[str, Any], ...]:
        """The hedge analysis of the current period. Raises HedgeError when there is none."""
        view, now_ns, config = self._views.get(market), self.now_ns, self._config
        if view is None or view.period is None:
            raise HedgeError("market", f"no period of {market!r} is current", "name a market whose period is known")
        if config.inventory_skew_mode != "logit":
            raise HedgeError(
                "inventory_skew_mode",
                f"{config.inventory_skew_mode} leans by dollars a share, which is no risk aversion",
                "set it to logit, or give hedge_analyzer.py the position and --gamma",
            )
        account = self.books.accounts.get(view.slug) or Account(market, view.slug)
        others, without_value = self._others(market)
        quotes = view.quotes(now_ns)
        return answer_hedge(
            period=view.period,
            now_ns=now_ns,
            call_units=account.call.units,
            put_units=account.put.units,
            cost_micro=account.call.cost_micro + account.put.cost_micro,
            call_book=view.book("CALL", now_ns),
            put_book=view.book("PUT", now_ns),
            fair=None if quotes is None else quotes.fair_value,
            fair_low=None if quotes is None else quotes.fair_low,
            fair_high=None if quotes is None else quotes.fair_high,
            sigma_per_sqrt_s=None if quotes is None else quotes.breakdown.get("sigma"),
            gamma_per_usd=config.inventory_skew_factor,
            resting=view.orders,
            resting_age_s=view.orders_age_s(now_ns),
            others=others,
            others_without_value=without_value,
        )

    def _others(self, market: str) -> tuple[list[OtherPosition], list[str]]:
        """What is held in other current periods of the same asset: with a fair value, and without one."""
        others, without_value = [], []
        for name, view in self._views.items():
            account = self.books.accounts.get(view.slug)
            is_ours = name != market and name.partition("-")[0] == market.partition("-")[0]
            if not is_ours or account is None or account.call.units == account.put.units:
                continue
            per_bp = view.fair_per_bp(self.now_ns)
            if per_bp is None:
                without_value.append(name)
            else:
                net_shares = from_micro(account.call.units - account.put.units)
                others.append(OtherPosition(market=name, usd_per_bp=net_shares * per_bp))
        return others, without_value

    def _answer_pnl(self, query: PnlQuery) -> Answer:
        sequence = self.books.sequence
        if not 0 < query.periods <= MOST_ROWS:
            return Answer(status="refused", detail=f"periods: ask for 1 to {MOST_ROWS}", sequence=sequence)
        accounts = (
            each for each in self.books.accounts.values() if each.entries and query.market in ("", each.market)
        )  # fmt: skip
        newest = heapq.nlargest(query.periods, accounts, key=lambda account: (account.start_s, account.market))
        views = {view.slug: view for view in self._views.values()}
        rows = []
        for account in newest:
            view = views.get(account.slug)
            if view is None:
                position = position_of(account, self.now_ns, sequence=sequence)
            else:
                position = view.position(account, self.now_ns, sequence=sequence)
            rows.append(pnl_row(account, position))
        return Answer(rows=tuple(rows), sequence=sequence)

    def _answer_fills(self, query: FillsQuery) -> Answer:
        sequence = self.books.sequence
        if not 0 < query.count <= MOST_ROWS:
            return Answer(status="refused", detail=f"count: ask for 1 to {MOST_ROWS}", sequence=sequence)
        try:
            entries = self._journal.latest(market=query.market, count=query.count)
        except JournalError as error:
            self._fail(error)
            return Answer(status="unavailable", detail=f"ledger: {error}", sequence=sequence)
        return Answer(rows=tuple(map(entry_row, entries)), sequence=sequence)


_UNAVAILABLE = Verdict("unavailable", "ledger", "ledger: it cannot be written now; nothing was booked, send it again")


def _decoded(question: bytes) -> Question | str:
    """The question, or what is wrong with it."""
    try:
        return decode_question(question)
    except ValueError as error:
        return str(error) or "malformed"


def _fill_of(entry: Entry) -> Fill:
    return Fill(
        ts_event_ns=entry.ts_ns,
        ts_recv_ns=entry.booked_ns,
        market=entry.market,
        slug=entry.slug,
        fill_id=entry.entry_id,
        order_id=entry.order_id,
        outcome="CALL" if entry.outcome == "CALL" else "PUT",
        side="buy" if entry.side == "buy" else "sell",
        price=from_micro(entry.price_micro),
        size=from_micro(entry.units),
        fee_usd=from_micro(entry.fee_micro),
        rebate_usd=from_micro(entry.rebate_micro),
        is_maker=entry.liquidity == "maker",
    )

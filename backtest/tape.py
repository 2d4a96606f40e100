"""The first pass of a backtest: events through the cores that run live, written down as tapes (ADR 0014).

A tape is one period as the quoter saw it. A *step* is an instant: our clock, what happened (the book changed, a trade
was printed, time passed), and whether the quoter would requote. The records that `requote` reads lie behind each other
in one *image* of 64-bit words; each step names the words that changed. So whoever applies the words of all steps has
exactly the bytes that the live quoter had, whatever they mean.

What our own orders cause is not on a tape: what we hold, our markouts, when value and book last agreed. Books and
trades are kept as the executor takes them: CALL's whole depth, as the levels that changed since the book before, and
every trade of either token, by the venue's stamp bounded by our receipt.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.records import MID, UNKNOWN
from backtest.session import Session
from services.analyzers.core import KINDS, AnalyzerCore
from services.analyzers.volatility_analyzer import settings_of
from services.quoter.core import QuoterCore
from services.quoter.faults import Judgment
from services.quoter.market_quoter import MarketQuoter
from services.quoter.period_quotes import PeriodQuotes
from services.quoter.records import MARKET, REGIME_INDEX, SETTINGS
from shared.config import MMConfig
from shared.core import Core, Delivery, Event, Timer
from shared.digital import WINDOW
from shared.kernel import State, kernel
from shared.market import NS_PER_S, Series
from shared.messages import AnyMessage, Flow, Outcome, OutcomeBook, OutcomeTrade, Period, Position
from shared.money import MICRO, to_micro
from shared.projection import VENUE, new_venue
from shared.wiring import PART, subscriptions

TIMER_NS = NS_PER_S // 10
LONGEST_SILENCE_NS = 3600 * NS_PER_S  # a longer hole between events is jumped over, not timed through
_LAST_TIMERS = 30  # after the last message: for orders that are on their way
LATE_NS = 2 * NS_PER_S  # books and trades of a period are still taken so long after its end

# What a step is; several at once.
REQUOTE, BOOK_STEP, TRADE_STEP, TIMER_STEP, FLOW_STEP = 1, 2, 4, 8, 16

JUDGED = np.dtype(  # what the inputs allow
    [
        ("lead_s", "f8"),
        ("bits", "i8"),  # reasons, see services.quoter.reasons
        ("missing", "i8"),
        ("regime", "i8"),  # place in REGIMES
        ("permissions", "i8"),
    ]
)
HAS_VENUE, HAS_REGIME, HAS_FLOW, ALLOW_BID, ALLOW_ASK, IS_REFUSED = 1, 2, 4, 8, 16, 32

WORD = 8

Progress = Callable[[int], None]
Words = NDArray[np.uint64]
Levels = frozenset[tuple[int, float]]  # ticks and shares


class Part(NamedTuple):
    """Where a record lies in the image, in words."""

    first: int
    words: int
    dtype: np.dtype[Any]

    def view(self, image: NDArray[np.uint64]) -> State:
        """The record itself, in the image's memory."""
        return image[self.first : self.first + self.words].view(self.dtype)


def _lay_out(*records: tuple[np.dtype[Any], int]) -> Iterator[Part]:
    first = 0
    for dtype, rows in records:
        words = rows * dtype.itemsize // WORD
        yield Part(first, words, dtype)
        first += words


JUDGED_PART, MARKET_PART, WINDOWS_PART, VENUE_PART = _lay_out((JUDGED, 1), (MARKET, 1), (WINDOW, 2), (VENUE, 1))
IMAGE_WORDS = VENUE_PART.first + VENUE_PART.words

OWN_FIELDS = ("call_shares", "put_shares", "own_markout", "agreed_ns")  # of MARKET: the second pass writes them


def _own_words() -> NDArray[np.uint8]:
    owned = np.zeros(IMAGE_WORDS, np.uint8)
    fields = MARKET.fields
    assert fields is not None
    for name in OWN_FIELDS:
        owned[MARKET_PART.first + fields[name][1] // WORD] = 1
    return owned


_OWNED = _own_words()

STEP = np.dtype([("now_ns", "i8"), ("patch_end", "i8"), ("kind", "i8")])
BOOK_ROW = np.dtype([("at_ns", "i8"), ("tick_micro", "i8"), ("change_end", "i8")])
TRADE_ROW = np.dtype([("ts_ns", "i8"), ("side", "i8"), ("price_micro", "i8"), ("units", "i8")])  # in CALL


class Tape(NamedTuple):
    """One period: steps, the words that change, books and trades, CALL's mids, and how it ended (None: unknown)."""

    period: Period
    steps: NDArray[Any]  # STEP
    patch_at: NDArray[np.uint16]
    patch_word: NDArray[np.uint64]
    books: NDArray[Any]  # BOOK_ROW
    change_micro: NDArray[np.int32]  # the price of a level that changed: above 0 a bid, below 0 (negated) an ask
    change_units: NDArray[np.float64]  # what stands there now; 0: nothing
    trades: NDArray[Any]  # TRADE_ROW
    mids: NDArray[Any]  # MID
    winner: Outcome | None

    @property
    def slug(self) -> str:
        """The period's."""
        return self.period.slug

    @property
    def memory_bytes(self) -> int:
        """What its arrays take."""
        return sum(each.nbytes for each in self if isinstance(each, np.ndarray))


# -- which settings a tape depends on ----------------------------------------------------------------------------------

_REQUOTES: tuple[str, ...] = SETTINGS.names or ()
_READ_BY_BOTH = {"default_lead_s"}
_AFTER_REQUOTE = {"tier_mode", "inventory_skew_mode", "quote_final_phase", "lease_s", "max_value_updates_per_s"}
SECOND_PASS = frozenset(MMConfig.model_fields) & (set(_REQUOTES) - _READ_BY_BOTH | _AFTER_REQUOTE)
SECOND_PASS_TECHNIQUES = frozenset(
    ("settlement_twap", "oracle_projection", "inventory_skew", "pin_risk", "tiers", "phases", "fees")
)


def tape_key(config: MMConfig) -> str:
    """A short identity of the settings that the first pass reads: equal keys, equal tapes of the same events."""
    settings = config.model_dump(mode="json", exclude=set(SECOND_PASS))
    for name in SECOND_PASS_TECHNIQUES:
        del settings["techniques"][name]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


# -- writing -----------------------------------------------------------------------------------------------------------


@kernel
def note_changes(
    image: NDArray[np.uint64],
    first: int,
    words: NDArray[np.uint64],
    owned: NDArray[np.uint8],
    places: NDArray[np.uint16],
    changed: NDArray[np.uint64],
    count: int,
) -> int:
    """Bring a record's words into the image; note those that changed behind the first `count`. Returns the new count.

    Words that are `owned` by the second pass are left as they are.
    """
    for k in range(len(words)):
        place = first + k
        if words[k] != image[place] and owned[place] == 0:
            image[place] = words[k]
            places[count] = place
            changed[count] = words[k]
            count += 1
    return count


@kernel
def note_records(
    image: NDArray[np.uint64],
    judged: NDArray[np.uint64],
    market: NDArray[np.uint64],
    windows: NDArray[np.uint64],
    venue: NDArray[np.uint64],
    owned: NDArray[np.uint8],
    places: NDArray[np.uint16],
    changed: NDArray[np.uint64],
    count: int,
) -> int:
    """`note_changes` of all records of the image, in its order."""
    count = note_changes(image, 0, judged, owned, places, changed, count)
    first = len(judged)
    count = note_changes(image, first, market, owned, places, changed, count)
    first += len(market)
    count = note_changes(image, first, windows, owned, places, changed, count)
    return note_changes(image, first + len(windows), venue, owned, places, changed, count)


class _TapeWriter:
    """One period's tape while it is written."""

    def __init__(self) -> None:
        self._image = np.zeros(IMAGE_WORDS, np.uint64)
        self._judged: State = np.zeros(1, JUDGED)
        self._judged_words = self._judged.view(np.uint64)
        self._no_venue = new_venue()
        self._judgment: Judgment | None = None
        self._period: PeriodQuotes | None = None
        self._venue: State | None = None
        self._market: Words = np.zeros(0, np.uint64)
        self._windows: Words = self._market
        self._venue_words: Words = self._market
        self._places = np.empty(1 << 16, np.uint16)
        self._words = np.empty(1 << 16, np.uint64)
        self._count = 0
        self._now_ns, self._kinds, self._patch_ends = array("q"), array("q"), array("q")
        self._books = array("q")
        self._prices, self._shares = array("i"), array("d")
        self._tick_micro = 0
        self._bids: Levels = frozenset()
        self._asks: Levels = frozenset()
        self._trades = array("q")
        self._mids = array("q")
        self._last_mid = UNKNOWN
        self._step_ns = 0  # of a step whose book or trade waits for the requote of the same instant
        self._kind = 0

    def take_book(self, book: OutcomeBook, now_ns: int) -> None:
        """CALL's book changed."""
        tick_micro = to_micro(book.tick_size)
        at_ns = min(book.ts_event_ns, now_ns)
        if tick_micro != self._tick_micro:  # ticks of two grids say nothing of each other
            self._change(self._bids, frozenset(), self._tick_micro)
            self._change(self._asks, frozenset(), -self._tick_micro)
            self._tick_micro, self._bids, self._asks = tick_micro, frozenset(), frozenset()
        bids = frozenset(zip(book.bid_ticks, book.bid_sizes, strict=True))
        asks = frozenset(zip(book.ask_ticks, book.ask_sizes, strict=True))
        self._change(self._bids, bids, tick_micro)
        self._change(self._asks, asks, -tick_micro)
        self._bids, self._asks = bids, asks
        self._books.extend((at_ns, tick_micro, len(self._prices)))
        mid = UNKNOWN
        if book.bid_ticks and book.ask_ticks and book.bid_ticks[0] < book.ask_ticks[0]:
            mid = (book.bid_ticks[0] + book.ask_ticks[0]) * tick_micro // 2
        if mid != self._last_mid:
            self._last_mid = mid
            self._mids.extend((at_ns, mid))
        self.happen(BOOK_STEP, now_ns)

    def _change(self, before: Levels, after: Levels, tick_micro: int) -> None:
        """Note the levels of one side that are others than before; `tick_micro` is negated for asks."""
        if before == after:
            return
        new = after - before
        kept = {ticks for ticks, _ in new}
        for ticks, size in (*((ticks, 0.0) for ticks, _ in before - after if ticks not in kept), *new):
            self._prices.append(ticks * tick_micro)
            self._shares.append(size)

    def take_trade(self, trade: OutcomeTrade, now_ns: int) -> None:
        """A trade of either token was printed."""
        price_micro, units = to_micro(trade.price), to_micro(trade.size)
        side = 1 if trade.aggressor == "buy" else -1
        if trade.outcome == "PUT":
            side, price_micro = -side, MICRO - price_micro
        if 0 < price_micro < MICRO and units > 0:
            self._trades.extend((min(trade.ts_event_ns, now_ns), side, price_micro, units))
            self.happen(TRADE_STEP, now_ns)

    def happen(self, kind: int, now_ns: int) -> None:
        """Something happened at this instant; a requote may follow."""
        if self._kind:
            self._end_step()
        self._kind, self._step_ns = kind, now_ns

    def requote(self, period: PeriodQuotes, judgment: Judgment, now_ns: int) -> None:
        """The quoter would requote: note what changed of what it reads."""
        if self._kind & REQUOTE or (self._kind and self._step_ns != now_ns):
            self._end_step()
        self._kind |= REQUOTE
        self._step_ns = now_ns
        if judgment is not self._judgment:
            self._take_judgment(judgment, period)
        if period is not self._period:
            self._period = period
            self._market, self._windows = period.market.view(np.uint64), period.windows.view(np.uint64)
        venue = self._no_venue if judgment.venue is None else judgment.venue.state
        if venue is not self._venue:
            self._venue, self._venue_words = venue, venue.view(np.uint64)
        if self._count + IMAGE_WORDS > len(self._places):
            self._places = np.resize(self._places, 2 * len(self._places))
            self._words = np.resize(self._words, 2 * len(self._words))
        self._count = note_records(
            self._image,
            self._judged_words,
            self._market,
            self._windows,
            self._venue_words,
            _OWNED,
            self._places,
            self._words,
            self._count,
        )

    def _take_judgment(self, judgment: Judgment, period: PeriodQuotes) -> None:
        self._judgment = judgment
        judged = self._judged[0]
        judged["lead_s"] = judgment.lead_s
        judged["bits"] = judgment.bits
        judged["missing"] = judgment.missing
        judged["regime"] = REGIME_INDEX[judgment.regime]
        judged["permissions"] = (
            HAS_VENUE * (judgment.venue is not None)
            | HAS_REGIME * judgment.has_regime
            | HAS_FLOW * judgment.has_flow
            | ALLOW_BID * judgment.allow_bid
            | ALLOW_ASK * judgment.allow_ask
            | IS_REFUSED * (period.refusal is not None)
        )

    def _end_step(self) -> None:
        self._now_ns.append(self._step_ns)
        self._kinds.append(self._kind)
        self._patch_ends.append(self._count)
        self._kind = 0

    def tape(self, period: Period, winner: Outcome | None) -> Tape:
        """What was written."""
        if self._kind:
            self._end_step()
        steps = np.zeros(len(self._now_ns), STEP)
        steps["now_ns"], steps["kind"], steps["patch_end"] = self._now_ns, self._kinds, self._patch_ends
        return Tape(
            period=period,
            steps=steps,
            patch_at=self._places[: self._count].copy(),
            patch_word=self._words[: self._count].copy(),
            books=np.array(self._books, np.int64).view(BOOK_ROW),
            change_micro=np.array(self._prices, np.int32),
            change_units=np.rint(np.array(self._shares, np.float64) * MICRO),
            trades=np.array(self._trades, np.int64).view(TRADE_ROW),
            mids=np.array(self._mids, np.int64).view(MID),
            winner=winner,
        )


class TapeCore:
    """Implements `shared.core.Core`: the live quoter's input side, and a tape for each period that it quotes."""

    def __init__(self, config: MMConfig, markets: Sequence[str]) -> None:
        self._quoter = QuoterCore(config, markets)
        self._writers: dict[str, _TapeWriter] = {}  # by slug
        self._periods: dict[str, Period] = {}
        self._books: dict[str, OutcomeBook] = {}  # CALL's, of periods that have no tape yet
        self._held: dict[str, str] = {}  # market -> the period of which it was told that nothing is held

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; publishes nothing."""
        quoter = self._quoter
        touched = quoter.take(event)
        now_ns = quoter.now_ns
        if isinstance(event, Delivery):
            self._note(event.message, now_ns)
        elif isinstance(event, Timer):
            for market in quoter.markets.values():
                self._hold_nothing(market, now_ns)
                writer = None if market.active is None else self._writers.get(market.active.slug)
                if writer is not None:
                    writer.happen(TIMER_STEP, now_ns)
        for market in touched:
            self._requote(market, now_ns, is_flow=isinstance(event, Delivery) and isinstance(event.message, Flow))
        return ()

    def _note(self, message: AnyMessage, now_ns: int) -> None:
        """Keep what the exchange model will be shown."""
        match message:
            case Period():
                self._periods[message.slug] = message
            case OutcomeBook(outcome="CALL"):
                writer = self._writers.get(message.slug)
                if writer is None:
                    self._books[message.slug] = message
                elif now_ns < self._periods[message.slug].end_ns + LATE_NS:
                    writer.take_book(message, now_ns)
            case OutcomeTrade():
                writer = self._writers.get(message.slug)
                if writer is not None and now_ns < self._periods[message.slug].end_ns + LATE_NS:
                    writer.take_trade(message, now_ns)
            case _:
                pass

    def _hold_nothing(self, market: MarketQuoter, now_ns: int) -> None:
        """The first pass holds nothing, and knows it."""
        active = market.active
        if active is None:
            return
        flat = Position(
            ts_event_ns=now_ns,
            ts_recv_ns=now_ns,
            market=market.name,
            slug=active.slug,
            call_shares=0.0,
            put_shares=0.0,
            call_average_price=None,
            put_average_price=None,
            mergeable_pairs=0.0,
            realized_pnl_usd=0.0,
            unrealized_pnl_usd=None,
            liquidation_pnl_usd=None,
            fees_usd=0.0,
            rebates_usd=0.0,
            worst_case_usd=0.0,
            fills=0,
            sequence=0,
        )
        market.take_signal(flat, now_ns)
        self._held[market.name] = active.slug

    def _requote(self, market: MarketQuoter, now_ns: int, *, is_flow: bool) -> None:
        judgment, period = market.judged(now_ns), market.active
        if judgment is not None and period is not None and self._held.get(market.name) != period.slug:
            self._hold_nothing(market, now_ns)  # the ledger speaks of a period as soon as it begins
            market.recheck_ns = 0
            judgment = market.judged(now_ns)
        if judgment is None or period is None:
            return
        writer = self._writers.get(period.slug)
        if writer is None:
            if period.slug not in self._periods:
                return
            writer = self._writers[period.slug] = _TapeWriter()
            book = self._books.pop(period.slug, None)
            if book is not None:
                writer.take_book(book, now_ns)
        if is_flow:
            writer.happen(FLOW_STEP, now_ns)
        writer.requote(period, judgment, now_ns)

    def tapes(self, winners: Mapping[str, Outcome]) -> list[Tape]:
        """The tapes of all periods, in the order of their starts."""
        found = [writer.tape(self._periods[slug], winners.get(slug)) for slug, writer in self._writers.items()]
        return sorted(found, key=lambda each: (each.period.start_ns, each.slug))


def tapes_of(
    messages: Iterable[AnyMessage],
    config: MMConfig,
    markets: Sequence[str],
    winners: Mapping[str, Outcome],
    *,
    progress: Progress | None = None,
) -> list[Tape]:
    """Play messages through the analyzers and the quoter's input side; the tapes of all periods, by their start.

    Time passes between messages as it does live, in tenths of a second. `winners` are the outcomes by slug. `progress`
    hears of every thousand messages how many there were.
    """
    return tapes_under(messages, [config], markets, winners, progress=progress)[0]


def tapes_under(
    messages: Iterable[AnyMessage],
    configs: Sequence[MMConfig],
    markets: Sequence[str],
    winners: Mapping[str, Outcome],
    *,
    progress: Progress | None = None,
) -> list[list[Tape]]:
    """`tapes_of` under several configurations in one pass: what the analyzers do the same is done once.

    ValueError when the analyzers would do something else under one of them.
    """
    if any(settings_of(each) != settings_of(configs[0]) for each in configs):
        raise ValueError("these configurations set the analyzers differently: play the events for each")
    series = [Series.parse(name) for name in markets]
    names = [each.name for each in series]
    cores: dict[str, Core] = {kind: AnalyzerCore(kind, names, configs[0]) for kind in KINDS}
    session = Session(cores, series)
    prefixes = (*subscriptions(PART["quoter"], series), *(f"OutcomeTrade.{each.name}." for each in series))
    writers = [TapeCore(config, names) for config in configs]
    for number, writer in enumerate(writers):
        session.add(f"tape {number}", writer, prefixes)
    now_ns = 0
    for number, message in enumerate(messages, 1):
        at_ns = message.ts_recv_ns
        if now_ns == 0 or at_ns - now_ns > LONGEST_SILENCE_NS:
            now_ns = at_ns - at_ns % TIMER_NS
        while now_ns + TIMER_NS <= at_ns:
            now_ns += TIMER_NS
            session.timer(now_ns)
        session.publish(message)
        if number % 1000 == 0 and progress is not None:
            progress(number)
    for _ in range(_LAST_TIMERS):
        now_ns += TIMER_NS
        session.timer(now_ns)
    return [writer.tapes(winners) for writer in writers]


def are_played_together(one: MMConfig, other: MMConfig) -> bool:
    """Whether the analyzers do the same under two configurations."""
    return settings_of(one) == settings_of(other)

"""Sample data: market events of the simulator's own model, without its sockets and frames.

    for events in generate(SampleSettings(series="btc-15m", periods=200, seed=1)):
        ...

The simulated world is played and what it does is written down as the feeds would have published it:

books      both tokens' whole depth after every change of a level within ten ticks of the touch; farther changes wait
           for the next one, or for the next tenth of a second. Only of the running period, from its first instant on.
trades     every trade of the running period, with the taker's side.
spot       Bybit's and Coinbase's best bid and ask.
oracle     the prints that the relay does not lose, at their receipt.
periods    `next`, `current`, and `current` again when the strike is proven or the tick size changes.
labels     the outcome, source `simulated`.

Receipt is emission plus `network_delay_ms`, of the oracle the delivery itself: its measured lags end at the receipt.
What the feeds do besides is not here: the first second of a connection, REST proofs of a book that was quiet for three
seconds (`book_rate` far below 1), `next2`, repeated periods and oracle histories.

Periods come in *chunks* of following periods, each an independent world with a seed of its own, so that processes can
make them side by side; the same settings give the same events whatever the workers. Before its first period a chunk has
`warm_up_s` seconds of spot and oracle, for the analyzers. They lie in grid slots that stay empty, and the time between
two chunks is an outage of every stream: prices do not go on from one chunk to the next.

What a maker can earn depends on who trades with him. A noise taker pays half a spread whoever he meets; an informed one
trades toward the price that he sees now, and takes from the makers what they lag behind. Two worlds for tests of what
looks for good settings (what the crowd earns at the touch is measured in `tests/backtest/test_sample.py`):

`PLANTED_EDGE`    no informed takers, makers who do not lag: a fill at the touch earns its half-spread and the rebate on
                  average, so the tighter quote that fills more earns more.
`NO_EDGE`         all takers informed, makers 50 ms late: what the takers know is worth about what the half-spread and
                  the rebate pay, and the crowd knows the leader as early as anybody behind `network_delay_ms` can.

With the default settings the crowd earns about the rebate alone, and who sees the leader earlier than `maker_lag_ms`
can earn more.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, field_validator

from backtest.events import BOOK, LEVEL, ORACLE, ORACLE_KINDS, OUTAGE, SPOT, TRADE, Events, Label, Rows
from services.feeds.freshness import expected_streams
from services.feeds.polymarket.book_pair import Tolerances
from services.feeds.polymarket.gamma import parse_clob_market, parse_event
from services.feeds.polymarket.period_market import PeriodMarket
from services.feeds.polymarket.wire import Refused
from services.simulator import clob, gamma
from services.simulator.events import (
    BookRefresh,
    BookUpdate,
    BybitQuote,
    CoinbaseLevels,
    Event,
    LevelChange,
    OracleTick,
    OutcomeTrade,
    TickSizeChange,
)
from services.simulator.outcome_book import MICRO
from services.simulator.params import ASSETS
from services.simulator.period import Period as TruePeriod
from services.simulator.settings import WorldKnobs
from services.simulator.wire import e18_text
from services.simulator.world import World, WorldConfig
from shared.market import NS_PER_S, Series
from shared.messages import OracleKind, Period, PeriodRole

SOURCE = "simulated"
INVENTED = "simulated periods: figures say nothing of what a real market pays"
NS_PER_MS = 1_000_000
NEAR_TICKS = 10  # of the market feed: changes farther from the touch wait
TIMER_MS = 100  # of the market feed
PROVE_FROM_MS, PROVE_MS = 2_000, 15_000  # when after a start, and how often, it asks for a strike it did not see
AFTER_S = 5  # after the last period, so that its final print is there
MILLS = 1000  # of a dollar
_ROWS_AT_ONCE = 4_096
_VENUES = ("bybit", "coinbase", "chainlink", "polymarket")
_BYBIT_MATCHING_MS = 2  # its frames leave so long after the change they tell of
_KINDS: dict[str, OracleKind] = {"spot": "spot", "twap": "twap60"}

PLANTED_EDGE: dict[str, Any] = {"informed_share": 0.0, "maker_lag_ms": 0}
NO_EDGE: dict[str, Any] = {"informed_share": 1.0, "maker_lag_ms": 50}


class SampleSettings(WorldKnobs):
    """What to simulate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    series: str = Field(default="btc-15m", description="One series of a coin that the simulator knows.")
    periods: int = Field(default=200, ge=1, description="How many periods.")
    seed: int = Field(default=1, ge=0, description="The same settings and seed give the same events.")
    start_s: int = Field(default=1_791_241_200, gt=0, description="Unix seconds of the first period, on the grid.")
    chunk_periods: int = Field(default=4, ge=1, le=96, description="Following periods of one world.")
    warm_up_s: int = Field(default=180, ge=5, le=3_600, description="Spot and oracle before a chunk's first period.")
    network_delay_ms: int = Field(default=20, ge=0, le=1_000, description="From a venue's emission to our receipt.")
    depth: int | None = Field(default=None, ge=1, description="Levels kept of each side of a book; None: all, as live.")

    @field_validator("series")
    @classmethod
    def _known_coin(cls, name: str) -> str:
        series = Series.parse(name)
        if series.asset not in ASSETS:
            raise ValueError(f"no simulated coin {series.asset}: known are {', '.join(ASSETS)}")
        return series.name

    @property
    def chunks(self) -> int:
        """How many worlds."""
        return -(-self.periods // self.chunk_periods)

    @property
    def name(self) -> str:
        """A short identity of everything but how many periods: the first chunks of a longer sample are the same."""
        told = json.dumps(self.model_dump(mode="json", exclude={"periods"}), sort_keys=True)
        return f"{self.series}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def starts(self, chunk: int) -> tuple[int, ...]:
        """Starts (Unix seconds) of the periods of one chunk. Between two chunks enough slots are empty to warm up."""
        series = Series.parse(self.series)
        first_s = series.start_of(self.start_s * NS_PER_S)
        idle = -(-(self.warm_up_s + AFTER_S) // series.length_s)
        before = chunk * (self.chunk_periods + idle)
        count = min(self.chunk_periods, self.periods - chunk * self.chunk_periods)
        return tuple(first_s + (before + step) * series.length_s for step in range(count))

    def world_config(self, chunk: int) -> WorldConfig:
        """The world of one chunk."""
        return WorldConfig(
            seed=int(np.random.SeedSequence([self.seed, chunk]).generate_state(1)[0]),
            series=(self.series,),
            **self.knobs(),
        )


class Display(Protocol):
    """The part of `rich.progress.Progress` that is used."""

    def add_task(self, description: str, *, total: float | None) -> Any:
        """A new bar; its id."""

    def advance(self, task_id: Any, advance: float) -> None:
        """So much more of it is done."""


def generate(
    settings: SampleSettings, *, workers: int | None = None, progress: Display | None = None
) -> Iterator[Events]:
    """The chunks in order of time, made by that many processes (None: one a core; 1: this one).

    `names` is the same in all of them. At most `workers` + 1 chunks are held at a time. Ctrl-C ends the sample early,
    so that what was made stays: chunks on which other processes work are finished and yielded, and no others are
    begun. A second Ctrl-C gives those up.
    """
    count = settings.chunks
    workers = min(workers or os.cpu_count() or 1, count)
    task = progress.add_task("sample periods", total=settings.periods) if progress is not None else None
    chunks = _here(settings) if workers == 1 else _in_processes(settings, workers)
    try:
        for events in chunks:
            yield events
            if progress is not None:
                progress.advance(task, len(events.labels))
    except KeyboardInterrupt:
        return


def _here(settings: SampleSettings) -> Iterator[Events]:
    for chunk in range(settings.chunks):
        yield make_chunk(settings, chunk)


def _in_processes(settings: SampleSettings, workers: int) -> Iterator[Events]:
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_interrupts_to_the_parent
    )
    try:
        yield from in_order(settings, pool, at_once=workers + 1)
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(settings: SampleSettings, pool: Executor, *, at_once: int) -> Iterator[Events]:
    """The chunks as a pool makes them, that many begun at a time; after an interrupt only those that are begun.

    Raises KeyboardInterrupt at a second one.
    """
    waiting = iter(range(settings.chunks))
    begun: deque[Future[Events]] = deque(pool.submit(make_chunk, settings, chunk) for chunk in islice(waiting, at_once))
    is_interrupted = False
    while begun:
        try:
            events = begun[0].result()
        except KeyboardInterrupt:
            if is_interrupted:
                raise
            is_interrupted, waiting = True, iter(())
            begun = deque(each for each in begun if not each.cancel())
            continue
        begun.popleft()
        begun.extend(pool.submit(make_chunk, settings, chunk) for chunk in islice(waiting, 1))
        yield events


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def joined(chunks: Iterable[Events]) -> Events:
    """All chunks of one sample in memory. Raises ValueError when there are none, or of different samples."""
    parts = list(chunks)
    if not parts:
        raise ValueError("no chunk to join")
    if any((part.source, part.names) != (parts[0].source, parts[0].names) for part in parts):
        raise ValueError("chunks of different samples have different names")
    books = np.concatenate([part.books for part in parts])
    offsets = np.cumsum([0, *(len(part.levels) for part in parts[:-1])])
    books["first"] += np.repeat(offsets, [len(part.books) for part in parts])
    return parts[0]._replace(
        spot=np.concatenate([part.spot for part in parts]),
        oracle=np.concatenate([part.oracle for part in parts]),
        books=books,
        levels=np.concatenate([part.levels for part in parts]),
        trades=np.concatenate([part.trades for part in parts]),
        outages=np.concatenate([part.outages for part in parts]),
        periods=tuple(period for part in parts for period in part.periods),
        labels=tuple(label for part in parts for label in part.labels),
    )


def make_chunk(settings: SampleSettings, chunk: int) -> Events:
    """Play one world and write down what the feeds would have published."""
    return _Chunk(settings, chunk).play()


class _Chunk:
    """One world and what was heard of it. `*_ms` are Unix ms; receipts are our clock's."""

    def __init__(self, settings: SampleSettings, chunk: int) -> None:
        self._settings = settings
        self._chunk = chunk
        self._series = Series.parse(settings.series)
        self._delay_ms = settings.network_delay_ms
        self._starts = settings.starts(chunk)
        self._begin_ms = (self._starts[0] - settings.warm_up_s) * 1000
        self._world = World(settings.world_config(chunk), start_ms=self._begin_ms)
        self._streams = [(venue, *stream) for venue in _VENUES for stream in expected_streams(venue, [self._series])]
        every_start = (start_s for each in range(settings.chunks) for start_s in settings.starts(each))
        names = (self._series.asset, *chain.from_iterable(self._streams), *map(self._series.slug, every_start))
        self._names = tuple(dict.fromkeys(names))
        self._place = {name: place for place, name in enumerate(self._names)}
        self._asset_place = self._place[self._series.asset]
        self._markets: dict[str, PeriodMarket] = {}
        self._entered: list[TruePeriod] = []  # the world forgets them in time
        self._current: TruePeriod | None = None
        self._tick_size: float | None = None  # of the current period since it changed
        self._books = BookRows(settings.depth)
        self._spot: list[tuple[Any, ...]] = []
        self._oracle: list[tuple[Any, ...]] = []
        self._trades: list[tuple[Any, ...]] = []
        self._periods: list[Period] = []

    def play(self) -> Events:
        """Everything from the warm-up to a moment after the last period."""
        self._announce(self._starts[0], "next", self._begin_ms + self._delay_ms)
        for place, start_s in enumerate(self._starts):
            self._advance_before(start_s)
            self._enter(start_s, self._starts[place + 1 : place + 2])
            self._advance_before(start_s + self._series.length_s)
            self._current = None
            self._books.leave(receipt_ms=(start_s + self._series.length_s) * 1000)
        self._advance_before(self._starts[-1] + self._series.length_s + AFTER_S)
        books, levels = self._books.records()
        return Events(
            source=SOURCE,
            notes=self._notes(),
            drops={},
            names=self._names,
            spot=np.array(self._spot, SPOT),
            oracle=np.array(self._oracle, ORACLE),
            books=books,
            levels=levels,
            trades=np.array(self._trades, TRADE),
            outages=self._outages(),
            periods=tuple(sorted(self._periods, key=lambda period: period.ts_recv_ns)),
            labels=tuple(_label(period) for period in self._entered),
        )

    def _advance_before(self, second: int) -> None:
        """Play all that is received before a second of our clock."""
        self._world.advance(second * 1000 - self._delay_ms - 1, self._hear)

    def _hear(self, event: Event) -> None:
        match event:
            case BookUpdate():
                if event.period is self._current:
                    self._books.update(event.change, event.ts_ms, receipt_ms=event.ts_ms + self._delay_ms)
            case BybitQuote():
                self._on_bybit(event)
            case CoinbaseLevels():
                self._on_coinbase(event)
            case OracleTick():
                self._on_oracle(event)
            case OutcomeTrade():
                if event.period is self._current:
                    self._on_trade(event)
            case BookRefresh():
                if event.period is self._current:
                    self._books.flush(receipt_ms=event.ts_ms + self._delay_ms)
            case TickSizeChange():
                self._on_tick_size(event)
            case _:
                pass

    # --- prices ----------------------------------------

    def _on_bybit(self, quote: BybitQuote) -> None:
        self._spot.append(
            (
                (quote.ts_ms - _BYBIT_MATCHING_MS) * NS_PER_MS,
                (quote.ts_ms + self._delay_ms) * NS_PER_MS,
                self._asset_place,
                self._place["bybit"],
                float(quote.bid),
                float(quote.bid_size),
                float(quote.ask),
                float(quote.ask_size),
            )
        )

    def _on_coinbase(self, levels: CoinbaseLevels) -> None:
        """The best of both sides. Sizes are drawn anew each time, so a batch never leaves both as they were."""
        venue = self._world.coinbase[levels.asset]
        self._spot.append(
            (
                levels.ts_ms * NS_PER_MS,
                (levels.ts_ms + self._delay_ms) * NS_PER_MS,
                self._asset_place,
                self._place["coinbase"],
                float(venue.price_text(venue.bid_ticks)),
                float(venue.bids[venue.bid_ticks]),
                float(venue.price_text(venue.ask_ticks)),
                float(venue.asks[venue.ask_ticks]),
            )
        )

    def _on_oracle(self, tick: OracleTick) -> None:
        kind, price = _KINDS[tick.kind], float(e18_text(tick.e18))
        stamp_ns, receipt_ns = tick.stamp_s * NS_PER_S, tick.ts_ms * NS_PER_MS
        self._oracle.append(
            (stamp_ns, receipt_ns, self._asset_place, self._place["chainlink"], ORACLE_KINDS.index(kind), price)
        )
        for slug, market in self._markets.items():
            is_current = self._current is not None and self._current.slug == slug
            if market.strike.on_oracle(kind, tick.stamp_s, price) and is_current:
                self._announce(market.rules.start_s, "current", tick.ts_ms)

    # --- the market ----------------------------------------

    def _enter(self, start_s: int, following: tuple[int, ...]) -> None:
        """A period becomes the current one, at its start by our clock."""
        self._current = self._world.periods[self._series.slug(start_s)]
        self._entered.append(self._current)
        self._tick_size = None
        self._announce(start_s, "current", start_s * 1000)
        for next_s in following:
            self._announce(next_s, "next", start_s * 1000)
        self._books.enter(self._current, self._place[self._current.slug], receipt_ms=start_s * 1000)
        published_ms = self._world.periods[self._series.slug(start_s - self._series.length_s)].metadata_ms
        first_ms = start_s * 1000 + PROVE_FROM_MS
        asked_ms = first_ms + -(-(published_ms - first_ms) // PROVE_MS) * PROVE_MS
        self._world.schedule.at(asked_ms, lambda ts_ms: self._read_published(start_s, ts_ms))

    def _read_published(self, start_s: int, ts_ms: int) -> None:
        """The strike as the website and Gamma say it, for a feed that did not see the oracle's own print."""
        slug = self._series.slug(start_s)
        strike, market = self._world.periods[slug].strike, self._markets[slug]
        is_current = self._current is not None and self._current.slug == slug
        if strike is None or not is_current or market.strike.view.state == "PROVEN":
            return
        market.on_published("website", strike)
        market.on_published("gamma_previous_final", strike)
        self._announce(start_s, "current", ts_ms)

    def _announce(self, start_s: int, role: PeriodRole, receipt_ms: int) -> None:
        slug = self._series.slug(start_s)
        market = self._markets.get(slug)
        if market is None:
            market = self._markets[slug] = self._rules(slug)
        told = market.period_message(role, receipt_ms * NS_PER_MS)
        if role == "current" and self._tick_size is not None:
            told = msgspec.structs.replace(told, tick_size=self._tick_size)
        self._periods.append(told)

    def _rules(self, slug: str) -> PeriodMarket:
        """A period as the feed reads it from the venue's REST endpoints."""
        period = self._world.periods[slug]
        facts = parse_event(json.dumps(gamma.event_json(period, self._world.now_ms)).encode(), slug)
        book_facts = parse_clob_market(json.dumps(clob.market_json(period)).encode())
        if isinstance(facts, Refused) or isinstance(book_facts, Refused):
            raise RuntimeError(f"the feed refuses the simulator's own {slug}: {facts}, {book_facts}")
        market = PeriodMarket(self._series, facts, tolerances=Tolerances(), near_ticks=NEAR_TICKS)
        market.on_clob(book_facts)
        return market

    def _on_trade(self, trade: OutcomeTrade) -> None:
        self._trades.append(
            (
                trade.ts_ms * NS_PER_MS,
                (trade.ts_ms + self._delay_ms) * NS_PER_MS,
                self._place[trade.period.slug],
                trade.outcome_index,
                1 if trade.taker_side == "buy" else -1,
                0,
                trade.mills / MILLS,
                trade.micro_shares / MICRO,
                (self._chunk + 1) << 32 | len(self._trades),
            )
        )

    def _on_tick_size(self, change: TickSizeChange) -> None:
        if change.period is self._current:
            receipt_ms = change.ts_ms + self._delay_ms
            self._tick_size = change.new_mills / MILLS
            self._books.regrid(receipt_ms=receipt_ms)
            self._announce(change.period.start_s, "current", receipt_ms)

    def _outages(self) -> Rows:
        """All streams, from the end of the chunk before to the beginning of this one (books: to its first period)."""
        if self._chunk == 0:
            return np.zeros(0, OUTAGE)
        before_s = self._settings.starts(self._chunk - 1)[-1] + self._series.length_s
        rows = []
        for venue, channel, subject in self._streams:
            is_book = venue == "polymarket"
            down_ms = (before_s + (0 if is_book else AFTER_S)) * 1000
            up_ms = self._starts[0] * 1000 if is_book else self._begin_ms
            places = (self._place[venue], self._place[channel], self._place[subject])
            rows.append((down_ms * NS_PER_MS, up_ms * NS_PER_MS, *places))
        return np.array(rows, OUTAGE)

    def _notes(self) -> tuple[str, ...]:
        chosen = self._settings.model_dump(exclude_defaults=True)
        return (
            INVENTED,
            f"worlds of {self._settings.chunk_periods} periods; prices do not go on from one to the next",
            f"settings that differ from the default: {json.dumps(chosen, sort_keys=True)}",
        )


def _label(period: TruePeriod) -> Label:
    if period.up_won is None:
        raise RuntimeError(f"{period.slug} ended without an outcome")
    return Label(period.slug, "CALL" if period.up_won else "PUT", SOURCE)


class BookRows:
    """Both books of the current period, a row for each time they are published, expanded at the end.

    The tokens' books are mirrors, so a row holds the CALL levels: bids best first, then asks best first.
    """

    def __init__(self, depth: int | None) -> None:
        self._depth = depth
        self._rows: list[list[int]] = []  # as _ROW
        self._mills = array("h")
        self._micro_shares = array("q")
        self._period: TruePeriod | None = None
        self._slug_place = 0
        self._sizes: dict[LevelChange, int] = {}
        self._waits = False  # the newest row has far changes only; its receipt is that of the next timer

    def enter(self, period: TruePeriod, slug_place: int, *, receipt_ms: int) -> None:
        """The whole book of a period that becomes the current one."""
        self._period, self._slug_place = period, slug_place
        self._sizes = {
            LevelChange(mills, is_bid): size
            for is_bid in (True, False)
            for mills, size in period.book.levels(is_bid=is_bid)
        }
        self._append(period.book.last_change_ms, receipt_ms)

    def leave(self, *, receipt_ms: int) -> None:
        """The period is over: what waited is never published."""
        if self._is_waiting(receipt_ms - 1):
            self._drop_last()

    def update(self, change: LevelChange, ts_ms: int, *, receipt_ms: int) -> None:
        """One level has its new size. One that is no change only moves the stamp of what waits."""
        assert self._period is not None
        book, (mills, is_bid) = self._period.book, change
        best = book.best_bid() if is_bid else book.best_ask()
        is_near = best is None or abs(best - mills) <= NEAR_TICKS * book.tick_mills
        micro_shares = book.size(mills, is_bid=is_bid)
        is_waiting = self._is_waiting(receipt_ms)
        if self._sizes.get(change, 0) == micro_shares:
            if is_waiting:
                self._rows[-1][0] = ts_ms
                if is_near:
                    self.flush(receipt_ms=receipt_ms)
            return
        self._sizes[change] = micro_shares
        if is_waiting:
            self._drop_last()
        self._append(ts_ms, receipt_ms if is_near else (receipt_ms // TIMER_MS + 1) * TIMER_MS)
        self._waits = not is_near

    def flush(self, *, receipt_ms: int) -> None:
        """What waits is published now."""
        if self._is_waiting(receipt_ms):
            self._rows[-1][1] = receipt_ms
            self._waits = False

    def regrid(self, *, receipt_ms: int) -> None:
        """Both books again, in the new tick."""
        assert self._period is not None
        if self._is_waiting(receipt_ms):
            self._drop_last()
        self._append(self._period.book.last_change_ms, receipt_ms)

    def records(self) -> tuple[Rows, Rows]:
        """BOOK and LEVEL records: at each row first CALL's, then PUT's."""
        rows = np.array(self._rows, np.int64).reshape(-1, len(_Row._fields))
        event_ms, receipt_ms, slug, tick_mills, bids, asks = rows.T
        count = bids + asks
        ends = np.cumsum(count)
        books = np.zeros(2 * len(rows), BOOK)
        for outcome, (own_bids, own_asks) in enumerate(((bids, asks), (asks, bids))):
            each = books[outcome::2]
            each["ts_event_ns"], each["ts_recv_ns"] = event_ms * NS_PER_MS, receipt_ms * NS_PER_MS
            each["slug"], each["outcome"], each["tick_size"] = slug, outcome, tick_mills / MILLS
            each["first"], each["bids"], each["asks"] = 2 * (ends - count) + outcome * count, own_bids, own_asks
        levels = np.zeros(2 * len(self._mills), LEVEL)
        for first in range(0, len(rows), _ROWS_AT_ONCE):  # what is needed besides the result stays small
            self._expand(rows[first : first + _ROWS_AT_ONCE], ends[first : first + _ROWS_AT_ONCE], levels)
        return books, levels

    def _expand(self, rows: NDArray[np.int64], ends: NDArray[np.int64], levels: Rows) -> None:
        """The levels of some following rows into their places."""
        tick_mills, bids, asks = rows.T[3:]
        count = bids + asks
        begin, end = int(ends[0] - count[0]), int(ends[-1])
        mills = np.array(self._mills[begin:end], np.int64)
        shares = np.array(self._micro_shares[begin:end], np.int64) / MICRO
        tick, length, start = (np.repeat(each, count) for each in (tick_mills, count, ends - count))
        within = np.arange(begin, end) - start
        call = 2 * start + within
        levels["ticks"][call], levels["shares"][call] = mills // tick, shares
        put = 2 * start + length + (within - np.repeat(bids, count)) % length  # its bids are the asks
        levels["ticks"][put], levels["shares"][put] = (MILLS - mills) // tick, shares

    def _is_waiting(self, receipt_ms: int) -> bool:
        """Whether the newest row is not published before that instant."""
        self._waits = self._waits and self._rows[-1][1] > receipt_ms
        return self._waits

    def _append(self, ts_ms: int, receipt_ms: int) -> None:
        assert self._period is not None
        book = self._period.book
        bids, bid_sizes = book.best_first(self._depth, is_bid=True)
        asks, ask_sizes = book.best_first(self._depth, is_bid=False)
        self._rows.append(list(_Row(ts_ms, receipt_ms, self._slug_place, book.tick_mills, len(bids), len(asks))))
        self._mills.fromlist(bids)
        self._mills.fromlist(asks)
        self._micro_shares.fromlist(bid_sizes)
        self._micro_shares.fromlist(ask_sizes)
        self._waits = False

    def _drop_last(self) -> None:
        row = _Row(*self._rows.pop())
        del self._mills[len(self._mills) - row.bids - row.asks :]
        del self._micro_shares[len(self._micro_shares) - row.bids - row.asks :]
        self._waits = False


class _Row(NamedTuple):
    event_ms: int
    receipt_ms: int
    slug: int
    tick_mills: int
    bids: int
    asks: int

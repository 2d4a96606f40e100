"""Columns of a recording as the records of `Events`: names, books, and what is refused of them.

A book that cannot be true is refused whole and counted by reason; nothing is repaired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.events import BOOK, LEVEL, OUTAGE, Rows
from backtest.importers.eras import COARSE_TICK, FINE_TICK
from shared.market import NS_PER_S, parse_slug

FEED = "polymarket"
_ON_GRID = 1e-6  # of a tick
_NEAR_NS = 25 * 3600 * NS_PER_S  # a market is made about a day before it starts; another unit of time lies far away

Nanoseconds = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Names:
    """Names in order of appearance, and their places."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, name: str) -> int:
        """The place of a name, given at its first appearance."""
        return self._places.setdefault(name, len(self._places))

    @property
    def all(self) -> tuple[str, ...]:
        """Every name, each at its place."""
        return tuple(self._places)


class BookSide(NamedTuple):
    """One side of many books: `counts` levels of each in turn, best first."""

    counts: NDArray[np.int64]
    prices: Floats
    shares: Floats

    def of(self, kept: Flags) -> BookSide:
        """The same of some of the books."""
        levels = np.repeat(kept, self.counts)
        return BookSide(self.counts[kept], self.prices[levels], self.shares[levels])

    def best(self, *, absent: float) -> Floats:
        """Best price of each book; `absent` for an empty side."""
        best = np.full(len(self.counts), absent)
        has = self.counts > 0
        best[has] = self.prices[_firsts(self.counts)[has]]
        return best

    def any_level(self, levels: Flags) -> Flags:
        """For each book, whether this is so of any of its levels."""
        books = np.repeat(np.arange(len(self.counts)), self.counts)
        return np.bincount(books[levels], minlength=len(self.counts)) > 0


class Books(NamedTuple):
    """Books of one outcome of one period in the order of the file, not yet judged."""

    event_ns: Nanoseconds
    recv_ns: Nanoseconds
    bids: BookSide
    asks: BookSide

    def of(self, kept: Flags) -> Books:
        """Some of them."""
        return Books(self.event_ns[kept], self.recv_ns[kept], self.bids.of(kept), self.asks.of(kept))


class BookRows(NamedTuple):
    """Records: one for each book, and the levels they point into."""

    books: Rows
    levels: Rows


def top_side(prices: Floats, *, shares: float, absent: float) -> BookSide:
    """A side of best prices alone, each of so many shares; `absent` stands for no order."""
    has = prices != absent
    return BookSide(has.astype(np.int64), prices[has], np.full(int(has.sum()), shares))


def refuse(books: Books, slug: str, drops: Counter[str]) -> Books:
    """The books that can be true; the others are counted, each by its first reason.

    Received out of order, at a time far from their period (another unit, another market), a price that is not inside
    (0, 1) or off the 0.001 grid, a size that is not positive, levels not best first, or crossed.
    """
    if not len(books.recv_ns):
        return books
    series, start_s = parse_slug(slug)
    start_ns, end_ns = start_s * NS_PER_S, (start_s + series.length_s) * NS_PER_S
    near = (books.recv_ns >= start_ns - _NEAR_NS) & (books.recv_ns <= end_ns + _NEAR_NS)
    books = _without(books, ~near, "not_near_its_period", drops)
    late = books.recv_ns < np.maximum.accumulate(books.recv_ns)
    books = _without(books, late, "unordered_row", drops)
    books = _without(books, _of_any_level(books, is_outside), "price_outside_0_1", drops)
    books = _without(books, _of_any_level(books, _is_off_fine_grid), "off_grid_price", drops)
    no_size = books.bids.any_level(is_no_size(books.bids.shares)) | books.asks.any_level(is_no_size(books.asks.shares))
    books = _without(books, no_size, "size_not_positive", drops)
    mixed = _unsorted(books.bids, descending=True) | _unsorted(books.asks, descending=False)
    books = _without(books, mixed, "levels_not_best_first", drops)
    crossed = books.bids.best(absent=-np.inf) >= books.asks.best(absent=np.inf)
    return _without(books, crossed, "crossed_book", drops)


def fine_from(outcomes: Iterable[Books]) -> int:
    """Receipt of the first price off the 0.01 grid in any of a period's books; far away when there is none.

    The venue changes the tick of both tokens at once and never back.
    """
    found = [np.iinfo(np.int64).max]
    for books in outcomes:
        found.extend(books.recv_ns[_of_any_level(books, _is_off_coarse_grid)][:1].tolist())
    return int(min(found))


def book_rows(books: Books, *, slug: int, outcome: int, fine_from_ns: int) -> BookRows:
    """Records of books that were not refused; the tick is 0.001 from `fine_from_ns` on."""
    count = len(books.recv_ns)
    rows = np.zeros(count, BOOK)
    rows["ts_event_ns"], rows["ts_recv_ns"] = books.event_ns, books.recv_ns
    rows["slug"], rows["outcome"] = slug, outcome
    rows["tick_size"] = np.where(books.recv_ns >= fine_from_ns, FINE_TICK, COARSE_TICK)
    rows["bids"], rows["asks"] = books.bids.counts, books.asks.counts
    totals = books.bids.counts + books.asks.counts
    rows["first"] = _firsts(totals)
    levels = np.zeros(int(totals.sum()), LEVEL)
    for side, lead in ((books.bids, rows["first"]), (books.asks, rows["first"] + books.bids.counts)):
        place = np.repeat(lead, side.counts) + _within(side.counts)
        tick_sizes = np.repeat(rows["tick_size"], side.counts)
        levels["ticks"][place] = np.rint(side.prices / tick_sizes)
        levels["shares"][place] = side.shares
    return BookRows(rows, levels)


def joined(parts: Sequence[BookRows]) -> BookRows:
    """All records in order of receipt; of one instant in the order given."""
    starts = np.cumsum([0, *(len(part.levels) for part in parts)])
    books = [part.books.copy() for part in parts]
    for rows, start in zip(books, starts[:-1], strict=True):
        rows["first"] += start
    every = np.concatenate([np.zeros(0, BOOK), *books])
    levels = np.concatenate([np.zeros(0, LEVEL), *(part.levels for part in parts)])
    return BookRows(every[np.argsort(every["ts_recv_ns"], kind="stable")], levels)


def outages_of(books: Books, slug: str, outcome: str, *, silence_s: int, names: Names, drops: Counter[str]) -> Rows:
    """Silences of a period's books longer than `silence_s` while it ran: down from then until the next book."""
    series, start_s = parse_slug(slug)
    start_ns, end_ns = start_s * NS_PER_S, (start_s + series.length_s) * NS_PER_S
    inside = books.recv_ns[(books.recv_ns >= start_ns) & (books.recv_ns < end_ns)]
    long = np.flatnonzero(np.diff(inside) > silence_s * NS_PER_S)
    outages = np.zeros(len(long), OUTAGE)
    outages["start_ns"], outages["end_ns"] = inside[long] + silence_s * NS_PER_S, inside[long + 1]
    outages["venue"], outages["channel"] = names.place(FEED), names.place("OutcomeBook")
    outages["subject"] = names.place(f"{series.name}.{outcome}")
    if len(long):
        drops[f"gap_over_{silence_s}_s"] += len(long)
    return outages


def by_receipt(rows: Rows, key: str = "ts_recv_ns") -> Rows:
    """Records in order of receipt; of one instant as they were."""
    return rows[np.argsort(rows[key], kind="stable")]


def chosen_slugs(slugs: Iterable[str], markets: Sequence[str]) -> list[str]:
    """The periods asked for, by slug or by series such as `btc-15m`; all without a choice.

    Raises ValueError when one that is asked for is not there.
    """
    every = list(slugs)
    if not markets:
        return every
    series = {slug: parse_slug(slug)[0].name for slug in every}
    unknown = [market for market in markets if market not in series and market not in series.values()]
    if unknown:
        raise ValueError(f"not in this recording: {', '.join(unknown)}; it holds {', '.join(every)}")
    return [slug for slug in every if slug in markets or series[slug] in markets]


def _without(books: Books, bad: Flags, reason: str, drops: Counter[str]) -> Books:
    count = int(bad.sum())
    if not count:
        return books
    drops[reason] += count
    return books.of(~bad)


def is_outside(prices: Floats) -> Flags:
    """Whether a price is not inside (0, 1), or no number."""
    return ~((prices > 0.0) & (prices < 1.0))


def is_off_grid(prices: Floats, tick_size: float) -> Flags:
    """Whether a price is no multiple of the tick."""
    ticks = prices / tick_size
    off: Flags = np.abs(ticks - np.rint(ticks)) > _ON_GRID
    return off


def is_no_size(shares: Floats) -> Flags:
    """Whether a size is not positive, or no number."""
    sized: Flags = (shares > 0.0) & np.isfinite(shares)
    return ~sized


def _of_any_level(books: Books, is_so: Callable[[Floats], Flags]) -> Flags:
    """For each book, whether this is so of the price of any of its levels."""
    return np.logical_or(books.bids.any_level(is_so(books.bids.prices)), books.asks.any_level(is_so(books.asks.prices)))


def _is_off_fine_grid(prices: Floats) -> Flags:
    return is_off_grid(prices, FINE_TICK)


def _is_off_coarse_grid(prices: Floats) -> Flags:
    return is_off_grid(prices, COARSE_TICK)


def _unsorted(side: BookSide, *, descending: bool) -> Flags:
    steps = np.diff(side.prices, prepend=np.nan)
    wrong = steps >= 0.0 if descending else steps <= 0.0
    firsts = _firsts(side.counts)[side.counts > 0]
    wrong[firsts] = False
    return side.any_level(wrong)


def _firsts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(counts) - counts


def _within(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... for each book's levels."""
    return np.arange(int(counts.sum())) - np.repeat(_firsts(counts), counts)

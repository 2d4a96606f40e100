"""Trades for a recording that has only books: those that must have happened if nobody cancelled.

When a book's best ask stands at or below prices that were bid in the book before it, those bids are gone, and somebody
may have sold into each of them: a taker's sale at each such price, of the size last seen there. Likewise purchases when
the best bid stands at or above earlier asks. Nothing is concluded from a level that shrank or vanished without the
other side reaching it.

For passive fills by sweeps this is an upper bound: all of what vanished is taken as traded, though some was cancelled.
For fills at the touch or inside the spread without a sweep it is a lower bound: they are not seen at all.

CALL and PUT are one book: only CALL's is read, PUT's where CALL's was not recorded. Pure.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.events import OUTCOMES, TRADE, Events, Rows
from backtest.importers.book_implied import best_prices
from shared.market import NS_PER_S

MOMENT_NS = 5 * NS_PER_S  # over a longer silence prices move without anybody trading through
_EVEN = 1e-9  # dollars within which two prices are the same
NOTES = (
    "Trades are concluded, not recorded (is_inferred): where the other side's best price reached a level seen in the "
    "book before, all its shares count as traded, at the time of the newer book. For passive fills by sweeps that is "
    "an upper bound, since cancelled shares count too; fills without a sweep are unseen, a lower bound there.",
    f"Nothing is concluded over a silence of more than {MOMENT_NS // NS_PER_S} s, nor before the period opens.",
)


class _Swept(NamedTuple):
    """Trades, and the place in `after` of the book that shows each."""

    trades: Rows
    books: NDArray[np.int64]


def with_inferred_trades(events: Events) -> Events:
    """The events with the trades that the books imply. Raises ValueError when trades were recorded."""
    if len(events.trades):
        raise ValueError(f"{events.source} has trades of its own: none need be concluded from the books")
    drops = Counter(events.drops)
    start_ns = {period.slug: period.start_ns for period in events.periods}
    found: list[Rows] = [np.zeros(0, TRADE)]
    for slug in np.unique(events.books["slug"]):
        rows = _logical_book(events, int(slug))
        swept = swept_levels(events, rows, drops)
        found.append(swept[swept["ts_recv_ns"] >= start_ns.get(events.names[slug], 0)])
    trades = np.concatenate(found)
    return events._replace(
        notes=(*events.notes, *NOTES),
        drops=dict(drops),
        trades=trades[np.argsort(trades["ts_recv_ns"], kind="stable")],
    )


def swept_levels(events: Events, rows: Rows, drops: Counter[str]) -> Rows:
    """One trade for each level of a book that the next book of the same outcome was through; `rows` are its books."""
    if len(rows) < 2:
        return np.zeros(0, TRADE)
    before, after = rows[:-1], rows[1:]
    bids, asks = best_prices(events, after)
    recent = after["ts_recv_ns"] - before["ts_recv_ns"] <= MOMENT_NS
    sold = _swept(events, before, after, before["first"], before["bids"], limits=asks, has=after["asks"] > 0, side=-1)
    bought = _swept(
        events,
        before,
        after,
        before["first"] + before["bids"],
        before["asks"],
        limits=bids,
        has=after["bids"] > 0,
        side=1,
    )
    every: Rows = np.concatenate([sold.trades, bought.trades])
    books = np.concatenate([sold.books, bought.books])
    kept = recent[books]
    if not kept.all():
        drops["sweep_over_a_silence"] += len(np.unique(books[~kept]))
    trades: Rows = every[kept][np.argsort(books[kept], kind="stable")]
    return trades


def _swept(
    events: Events,
    before: Rows,
    after: Rows,
    firsts: NDArray[np.int64],
    counts: NDArray[np.int32],
    *,
    limits: NDArray[np.float64],
    has: NDArray[np.bool_],
    side: int,
) -> _Swept:
    """The levels of one side of `before` that the other side's best price of `after` (`limits`) reached."""
    books = np.repeat(np.arange(len(before)), counts)
    places = np.repeat(firsts - np.cumsum(counts) + counts, counts) + np.arange(len(books))
    prices = events.levels["ticks"][places] * before["tick_size"][books]
    through = has[books] & (side * (limits[books] - prices) >= -_EVEN)
    books, places = books[through], places[through]
    trades = np.zeros(len(books), TRADE)
    for name in ("ts_event_ns", "ts_recv_ns", "slug", "outcome"):
        trades[name] = after[name][books]
    trades["side"], trades["is_inferred"] = side, 1
    trades["price"], trades["shares"] = prices[through], events.levels["shares"][places]
    return _Swept(trades, books)


def _logical_book(events: Events, slug: int) -> Rows:
    own: Rows = events.books[events.books["slug"] == slug]
    call: Rows = own[own["outcome"] == OUTCOMES.index("CALL")]
    return call if len(call) else own

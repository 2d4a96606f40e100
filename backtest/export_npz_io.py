"""One period as hftbacktest reads it (nkaz001/hftbacktest, event format of version 2): CALL's book and trades, `.npz`.

Prices are dollars, times nanoseconds. PUT is the same market seen from the other side: its bid at p is an ask of CALL
at 1 - p, who buys it sells CALL. So every book of either token is a snapshot of one book, and what is written are the
differences between one snapshot and the next: levels that shrink or go before those that grow or come, so that the book
is never crossed in between. A level's size replaces the one before. The grid is the finest that the period had.

Each row is both the exchange's and ours. hftbacktest wants both clocks to run forward: an exchange stamp behind the
one before it is raised to that one, and one ahead of our receipt is lowered to it; how many is part of the answer.
A trade received at the instant of a book stands before it: it took from the book that was there.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.events import OUTCOMES, Events, Rows
from backtest.events_build import packed, run_places
from backtest.events_io import EventsError
from services.feeds.polymarket.units import UNITS_PER_USD

EVENT = np.dtype(  # field names and flags are hftbacktest's
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ],
    align=True,
)
DEPTH, TRADE_FLAG, SNAPSHOT = 1, 2, 4
AT_EXCHANGE, AT_LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
BOTH = AT_EXCHANGE | AT_LOCAL

CELLS_AT_ONCE = 1 << 22  # of books by prices, differenced together
_PUT = OUTCOMES.index("PUT")


class Exported(NamedTuple):
    """What was written: the rows, the grid to give to hftbacktest as its tick size, and stamps that were moved."""

    rows: Rows
    tick_size: float
    stamps_moved: int


def export_npz(events: Events, slug: str, path: Path) -> Exported:
    """Write one period; numpy appends `.npz` to another ending. EventsError when it has no book."""
    exported = hft_rows(events, slug)
    np.savez_compressed(path, data=exported.rows)
    return exported


def hft_rows(events: Events, slug: str) -> Exported:
    """One period as rows of hftbacktest. EventsError when there is no book of it."""
    place = events.names.index(slug) if slug in events.names else -1
    books, levels = packed(events.books[events.books["slug"] == place], events.levels)
    if not len(books):
        raise EventsError(f"{slug}: no book of it among these events; choose a period that was recorded")
    units = np.unique(np.rint(books["tick_size"] * UNITS_PER_USD).astype(np.int64))
    grid = int(np.gcd.reduce(units))
    trades = events.trades[events.trades["slug"] == place]
    depth, depth_places = _depth_rows(books, levels, grid)
    rows = np.concatenate((_trade_rows(trades), depth))
    # In order of receipt; at one instant trades, then the rows of each book as they are.
    order = np.lexsort((np.concatenate((np.full(len(trades), -1), depth_places)), rows["local_ts"]))
    rows = rows[order]
    stamps = np.maximum.accumulate(np.minimum(rows["exch_ts"], rows["local_ts"]))
    moved = int(np.count_nonzero(stamps != rows["exch_ts"]))
    rows["exch_ts"] = stamps
    return Exported(rows, grid / UNITS_PER_USD, moved)


def _trade_rows(trades: Rows) -> Rows:
    rows = np.zeros(len(trades), EVENT)
    is_put = trades["outcome"] == _PUT
    buys_call = (trades["side"] > 0) != is_put
    rows["ev"] = TRADE_FLAG | BOTH | np.where(buys_call, BUY, SELL)
    rows["exch_ts"], rows["local_ts"] = trades["ts_event_ns"], trades["ts_recv_ns"]
    units = np.rint(trades["price"] * UNITS_PER_USD)
    rows["px"] = np.where(is_put, UNITS_PER_USD - units, units) / UNITS_PER_USD
    rows["qty"] = trades["shares"]
    return rows


def _depth_rows(books: Rows, levels: Rows, grid: int) -> tuple[Rows, NDArray[np.int64]]:
    """The changes from each book to the next, and the book that each change leads to."""
    steps = UNITS_PER_USD // grid
    scale = np.rint(books["tick_size"] * UNITS_PER_USD / grid).astype(np.int64)
    depths = books["bids"].astype(np.int64) + books["asks"]
    parts: list[Rows] = []
    places: list[NDArray[np.int64]] = []
    before = np.zeros(2 * steps)  # shares at each price of the bids, then of the asks
    chunk = max(1, CELLS_AT_ONCE // (2 * steps))
    for start in range(0, len(books), chunk):
        part, counts = books[start : start + chunk], depths[start : start + chunk]
        mine = levels[run_places(part["first"], counts)]
        owner = np.repeat(np.arange(len(part)), counts)
        is_put = part["outcome"][owner] == _PUT
        in_book = run_places(np.zeros(len(part), np.int64), counts)
        is_call_bid = (in_book < part["bids"][owner]) != is_put
        ticks = mine["ticks"] * scale[start : start + chunk][owner]
        ticks = np.where(is_put, steps - ticks, ticks)
        dense = np.zeros((len(part) + 1, 2 * steps))
        dense[0] = before
        dense[owner + 1, ticks + np.where(is_call_bid, 0, steps)] = mine["shares"]
        book, cell = np.nonzero(dense[1:] != dense[:-1])
        shares = dense[book + 1, cell]
        order = np.lexsort((shares > dense[book, cell], book))
        book, cell, shares = book[order], cell[order], shares[order]
        rows = np.zeros(len(book), EVENT)
        kind = np.where((book == 0) & (start == 0), SNAPSHOT, DEPTH)
        rows["ev"] = kind | BOTH | np.where(cell < steps, BUY, SELL)
        rows["exch_ts"], rows["local_ts"] = part["ts_event_ns"][book], part["ts_recv_ns"][book]
        rows["px"], rows["qty"] = (cell % steps) * grid / UNITS_PER_USD, shares
        parts.append(rows)
        places.append(book + start)
        before = dense[-1]
    return np.concatenate(parts), np.concatenate(places)

"""Our ladder beside the book, price by price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.messages import Layer, OutcomeBook


@dataclass
class LadderRow:
    """One price: the book's size (ours not included when it is a recommendation) and our own, zero for none."""

    ticks: int
    price: float
    decimals: int
    bid_size: float = 0.0
    ask_size: float = 0.0
    our_bid: float = 0.0
    our_ask: float = 0.0


def ladder_rows(book: OutcomeBook | None, layers: Iterable[Layer], height: int) -> list[LadderRow]:
    """At most `height` rows, highest price first: our own prices, then the book's levels nearest to the touch."""
    ours = list(layers)
    tick_size = _tick_size(book, ours)
    if tick_size is None:
        return []
    decimals = max(2, len(f"{tick_size:.6f}".rstrip("0").partition(".")[2]))
    rows: dict[int, LadderRow] = {}

    def row(ticks: int) -> LadderRow:
        return rows.setdefault(ticks, LadderRow(ticks, ticks * tick_size, decimals))

    for each in ours:
        if each.side == "bid":
            row(each.ticks).our_bid += each.size
        else:
            row(each.ticks).our_ask += each.size
    bids = {} if book is None else dict(zip(book.bid_ticks, book.bid_sizes, strict=True))
    asks = {} if book is None else dict(zip(book.ask_ticks, book.ask_sizes, strict=True))
    levels = [ticks for pair in _interleave(list(bids), list(asks)) for ticks in pair]
    for ticks in levels:
        if ticks in rows or len(rows) < height:
            row(ticks)
    for ticks, each_row in rows.items():
        each_row.bid_size, each_row.ask_size = bids.get(ticks, 0.0), asks.get(ticks, 0.0)
    return _nearest([rows[ticks] for ticks in sorted(rows, reverse=True)], height)


def _tick_size(book: OutcomeBook | None, layers: list[Layer]) -> float | None:
    if book is not None:
        return book.tick_size
    return layers[0].price / layers[0].ticks if layers else None


def _interleave(bids: list[int], asks: list[int]) -> Iterable[tuple[int, ...]]:
    for level in range(max(len(bids), len(asks))):
        yield (*bids[level : level + 1], *asks[level : level + 1])


def _nearest(rows: list[LadderRow], height: int) -> list[LadderRow]:
    """The rows around the touch when there are too many."""
    if len(rows) <= height:
        return rows
    last_ask = max((index for index, row in enumerate(rows) if row.ask_size or row.our_ask), default=0)
    start = min(max(last_ask + 1 - height // 2, 0), len(rows) - height)
    return rows[start : start + height]

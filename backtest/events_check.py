"""What of an import can be true: everything else is dropped and counted by reason, nothing is silently repaired.

Reasons, beside those of the importer itself (`<kind>` is spot, oracle, book, trade):

    <kind>_implausible_time       a stamp that is not nanoseconds of the years 2010 to 2100: another unit, or none
    <kind>_out_of_order           sorted, not dropped: received before the row in front of it
    <kind>_event_time_clamped     not dropped: stamped further ahead than a clock may be, its receipt stands instead
    oracle_stamped_ahead          the same of a print, whose stamp is its name and cannot be changed
    spot_bad_price spot_bad_size  not finite, not positive (a size may be 0: unknown)
    spot_crossed                  bid above ask
    oracle_bad_price              not finite, not positive
    book_bad_tick_size            no tick size of the venue
    level_size_not_positive       one level of a book, which keeps the others
    level_outside_0_1             the same: a price that is not inside (0, 1), such as a 1.00 that means "no ask"
    book_levels_out_of_order book_duplicate_level book_crossed book_locked
    book_of_previous_market       see `_leftovers`
    <kind>_without_period <kind>_before_announcement   (book, trade) its slug's period is unknown, or was then
    trade_outside_0_1 trade_bad_size trade_bad_side trade_off_grid
    outage_bad_time period_bad_time period_out_of_order
    label_contradicted            one source says both outcomes of a period
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.events import ORACLE_KINDS, OUTCOMES, Events, Label, Rows
from backtest.events_build import TOKEN_VENUE, by_receipt, grouped, packed
from services.feeds.polymarket.units import LEGAL_TICK_UNITS, UNITS_PER_USD
from shared.market import NS_PER_S
from shared.messages import Period

EARLIEST_NS = 1_262_304_000 * NS_PER_S  # 2010
LATEST_NS = 4_102_444_800 * NS_PER_S  # 2100
AHEAD_NS = NS_PER_S  # how far a source's clock may be ahead of ours
GRID_TOLERANCE_USD = 1e-7
LEFTOVER_NS = 30 * NS_PER_S
LEFTOVER_EDGE = 0.1
LEFTOVER_JUMP = 0.25
_NEVER = np.iinfo(np.int64).max

Mask = NDArray[np.bool_]


class Gap(NamedTuple):
    """A silence of one stream: nothing was received between the two instants."""

    venue: str
    channel: str
    subject: str
    start_ns: int
    end_ns: int


def check(events: Events, *, ahead_ns: int = AHEAD_NS) -> Events:
    """The events that can be true; `drops` says what was wrong with the others, added to what it said before."""
    drops = Counter(events.drops)
    periods = _periods(events.periods, drops)
    announced = _announced(events.names, periods)
    books = _of_known_period(_timed(events.books, "book", drops, ahead_ns), "book", announced, drops)
    books, levels = _levels(*packed(books, events.levels), drops)
    books, levels = _books(books, levels, drops)
    is_leftover = _leftovers(books, levels, events.names, periods)
    books, levels = packed(_keep(books, ~is_leftover, "book_of_previous_market", drops), levels)
    trades = _of_known_period(_timed(events.trades, "trade", drops, ahead_ns), "trade", announced, drops)
    checked = events._replace(
        spot=_spot(_timed(events.spot, "spot", drops, ahead_ns), drops),
        oracle=_oracle(events.oracle, drops, ahead_ns),
        books=books,
        levels=levels,
        trades=_trades(trades, books, drops),
        outages=_outages(events.outages, drops),
        periods=periods,
        labels=_labels(events.labels, drops),
    )
    return checked._replace(drops=dict(drops))


def gaps(events: Events, *, longer_than_s: float) -> tuple[Gap, ...]:
    """Silences of every stream that lasted longer, in order of their beginning.

    An exchange or an oracle is silent between two of its rows. A token's books are looked at inside its period: from
    its start or the first book, whichever is later, to its end; subject `<slug>.<outcome>`. A period none of whose
    books was recorded is one silence of each token.
    """
    limit_ns = round(longer_than_s * NS_PER_S)
    found: list[Gap] = []
    names = events.names
    for mine in grouped(events.spot["venue"], events.spot["asset"]):
        quotes = events.spot[mine]
        venue, asset = names[quotes["venue"][0]], names[quotes["asset"][0]]
        for start, end in _silences(quotes["ts_recv_ns"], limit_ns):
            found.append(Gap(venue, "SpotQuote", asset, start, end))
    for mine in grouped(events.oracle["venue"], events.oracle["asset"], events.oracle["kind"]):
        prints = events.oracle[mine]
        venue, asset = names[prints["venue"][0]], names[prints["asset"][0]]
        for start, end in _silences(prints["ts_recv_ns"], limit_ns):
            found.append(Gap(venue, "OraclePrice", f"{asset}.{ORACLE_KINDS[prints['kind'][0]]}", start, end))
    places = {name: place for place, name in enumerate(names)}
    known = {period.slug: period for period in events.periods}
    for slug, period in known.items():
        of_slug = events.books[events.books["slug"] == places.get(slug, -1)]
        for place, outcome in enumerate(OUTCOMES):
            received = of_slug["ts_recv_ns"][of_slug["outcome"] == place]
            inside = received[(received >= period.start_ns) & (received < period.end_ns)]
            edges = np.concatenate(([period.start_ns], inside, [period.end_ns]))
            for start, end in _silences(edges, limit_ns):
                found.append(Gap(TOKEN_VENUE, "OutcomeBook", f"{slug}.{outcome}", start, end))
    return tuple(sorted(found, key=lambda gap: gap.start_ns))


def _silences(received: NDArray[Any], limit_ns: int) -> list[tuple[int, int]]:
    at = np.flatnonzero(np.diff(received) > limit_ns)
    return list(zip(received[at].tolist(), received[at + 1].tolist(), strict=True))


# -- each kind -------------------------------------------------------------------------------------------------------


def _count(is_bad: Mask, reason: str, drops: Counter[str]) -> bool:
    """Count what is bad; whether there was any."""
    bad = int(np.count_nonzero(is_bad))
    if bad:
        drops[reason] += bad
    return bad > 0


def _keep(rows: Rows, is_good: Mask, reason: str, drops: Counter[str]) -> Rows:
    return rows[is_good] if _count(~is_good, reason, drops) else rows


def _plausible(*times: NDArray[Any]) -> Mask:
    return np.asarray(np.logical_and.reduce([(each >= EARLIEST_NS) & (each < LATEST_NS) for each in times]))


def _ordered(rows: Rows, kind: str, drops: Counter[str]) -> Rows:
    rows = _keep(rows, _plausible(rows["ts_event_ns"], rows["ts_recv_ns"]), f"{kind}_implausible_time", drops)
    is_back = np.diff(rows["ts_recv_ns"]) < 0
    return by_receipt(rows) if _count(is_back, f"{kind}_out_of_order", drops) else rows


def _timed(rows: Rows, kind: str, drops: Counter[str], ahead_ns: int) -> Rows:
    rows = _ordered(rows, kind, drops)
    is_ahead = rows["ts_event_ns"] - rows["ts_recv_ns"] > ahead_ns
    if _count(is_ahead, f"{kind}_event_time_clamped", drops):
        rows = rows.copy()
        rows["ts_event_ns"][is_ahead] = rows["ts_recv_ns"][is_ahead]
    return rows


def _spot(rows: Rows, drops: Counter[str]) -> Rows:
    rows = _keep(rows, _positive(rows["bid"]) & _positive(rows["ask"]), "spot_bad_price", drops)
    is_size = [np.isfinite(rows[name]) & (rows[name] >= 0.0) for name in ("bid_size", "ask_size")]
    rows = _keep(rows, is_size[0] & is_size[1], "spot_bad_size", drops)
    return _keep(rows, rows["bid"] <= rows["ask"], "spot_crossed", drops)


def _oracle(rows: Rows, drops: Counter[str], ahead_ns: int) -> Rows:
    rows = _ordered(rows, "oracle", drops)
    rows = _keep(rows, rows["ts_event_ns"] - rows["ts_recv_ns"] <= ahead_ns, "oracle_stamped_ahead", drops)
    return _keep(rows, _positive(rows["price"]), "oracle_bad_price", drops)


def _positive(prices: NDArray[Any]) -> Mask:
    return np.asarray(np.isfinite(prices) & (prices > 0.0))


def _announced(names: tuple[str, ...], periods: tuple[Period, ...]) -> NDArray[np.int64]:
    """For each name when a period of that slug was first announced; `_NEVER` when none was."""
    first: dict[str, int] = {}
    for period in periods:
        first.setdefault(period.slug, period.ts_recv_ns)
    return np.array([first.get(name, _NEVER) for name in names], np.int64)


def _of_known_period(rows: Rows, kind: str, announced: NDArray[np.int64], drops: Counter[str]) -> Rows:
    if not len(rows):
        return rows
    rows = _keep(rows, announced[rows["slug"]] != _NEVER, f"{kind}_without_period", drops)
    return _keep(rows, announced[rows["slug"]] <= rows["ts_recv_ns"], f"{kind}_before_announcement", drops)


def _levels(books: Rows, levels: Rows, drops: Counter[str]) -> tuple[Rows, Rows]:
    """Books of a legal grid, without the levels that are none."""
    units = books["tick_size"] * UNITS_PER_USD
    is_legal = np.isin(np.rint(units), list(LEGAL_TICK_UNITS)) & (np.abs(units - np.rint(units)) < 1e-6)
    books, levels = packed(_keep(books, is_legal, "book_bad_tick_size", drops), levels)
    owner = _owners(books)
    is_sized = np.isfinite(levels["shares"]) & (levels["shares"] > 0.0)
    ticks_per_usd = np.rint(1.0 / books["tick_size"])
    is_inside = (levels["ticks"] > 0) & (levels["ticks"] < ticks_per_usd[owner])
    is_kept = is_sized & is_inside
    if is_kept.all():
        return books, levels
    _count(~is_sized, "level_size_not_positive", drops)
    _count(is_sized & ~is_inside, "level_outside_0_1", drops)
    is_bid = _is_bid(books, owner)
    books = books.copy()
    books["bids"] = np.bincount(owner[is_kept & is_bid], minlength=len(books))
    books["asks"] = np.bincount(owner[is_kept & ~is_bid], minlength=len(books))
    depths = books["bids"].astype(np.int64) + books["asks"]
    books["first"] = np.cumsum(depths) - depths
    return books, levels[is_kept]


def _owners(books: Rows) -> NDArray[np.int64]:
    """For each level the book that it is of."""
    return np.repeat(np.arange(len(books)), books["bids"].astype(np.int64) + books["asks"])


def _is_bid(books: Rows, owner: NDArray[np.int64]) -> Mask:
    return np.asarray(np.arange(len(owner)) < (books["first"] + books["bids"])[owner])


def _books(books: Rows, levels: Rows, drops: Counter[str]) -> tuple[Rows, Rows]:
    """Books whose levels stand in order, each price once, with the best bid below the best ask."""
    owner = _owners(books)
    is_bid = _is_bid(books, owner)
    is_same_side = (owner[1:] == owner[:-1]) & (is_bid[1:] == is_bid[:-1])
    steps = np.diff(levels["ticks"]) * np.where(is_bid[1:], -1, 1)
    has_disorder = np.bincount(owner[1:][is_same_side & (steps < 0)], minlength=len(books)) > 0
    has_duplicate = np.bincount(owner[1:][is_same_side & (steps == 0)], minlength=len(books)) > 0
    bids, asks = _best(books, levels)
    spread = np.where(np.isnan(asks - bids), 1.0, asks - bids)
    for is_bad, reason in (
        (has_disorder, "book_levels_out_of_order"),
        (has_duplicate & ~has_disorder, "book_duplicate_level"),
        (~has_disorder & ~has_duplicate & (spread < 0.0), "book_crossed"),
        (~has_disorder & ~has_duplicate & (spread == 0.0), "book_locked"),
    ):
        _count(is_bad, reason, drops)
    return packed(books[~has_disorder & ~has_duplicate & (spread > 0.0)], levels)


def _best(books: Rows, levels: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Best bid and ask in ticks; NaN of an empty side."""
    bids, asks = np.full(len(books), np.nan), np.full(len(books), np.nan)
    has_bid, has_ask = books["bids"] > 0, books["asks"] > 0
    bids[has_bid] = levels["ticks"][books["first"][has_bid]]
    asks[has_ask] = levels["ticks"][(books["first"] + books["bids"])[has_ask]]
    return bids, asks


def _leftovers(books: Rows, levels: Rows, names: tuple[str, ...], periods: tuple[Period, ...]) -> Mask:
    """Books at the head of a token's that are the previous period's, told by a recorder that was slow to turn.

    A token whose first books, received in the first `LEFTOVER_NS` after the start, are decided (within `LEFTOVER_EDGE`
    of 0 or 1) and whose price then jumps inward by more than `LEFTOVER_JUMP` from one book to the next: no price moves
    so at the start of a period, but the end of one and the start of the next lie so apart.
    """
    is_leftover = np.zeros(len(books), np.bool_)
    bids, asks = _best(books, levels)
    middle = np.where(np.isnan(bids), asks, np.where(np.isnan(asks), bids, 0.5 * (bids + asks))) * books["tick_size"]
    starts = {period.slug: period.start_ns for period in periods}
    for mine in grouped(books["slug"], books["outcome"]):
        start_ns = starts[names[books["slug"][mine[0]]]]
        received = books["ts_recv_ns"][mine]
        if received[0] < start_ns:
            continue
        head = mine[: int(np.searchsorted(received, start_ns + LEFTOVER_NS)) + 1]
        prices = middle[head]
        is_decided = np.abs(prices - 0.5) > 0.5 - LEFTOVER_EDGE
        count = len(head) if is_decided.all() else int(np.argmin(is_decided))
        if 0 < count < len(head) and abs(prices[count] - prices[count - 1]) > LEFTOVER_JUMP:
            is_leftover[head[:count]] = True
    return is_leftover


def _trades(rows: Rows, books: Rows, drops: Counter[str]) -> Rows:
    is_inside = (rows["price"] > 0.0) & (rows["price"] < 1.0)
    rows = _keep(rows, is_inside, "trade_outside_0_1", drops)
    rows = _keep(rows, np.isfinite(rows["shares"]) & (rows["shares"] > 0.0), "trade_bad_size", drops)
    rows = _keep(rows, np.abs(rows["side"]) == 1, "trade_bad_side", drops)
    grids = _grids(books)
    slugs, places = np.unique(rows["slug"], return_inverse=True)
    steps = np.array([grids.get(int(slug), 1) for slug in slugs], np.float64)[places] / UNITS_PER_USD
    is_on_grid = np.abs(np.rint(rows["price"] / steps) * steps - rows["price"]) <= GRID_TOLERANCE_USD
    return _keep(rows, is_on_grid, "trade_off_grid", drops)


def _grids(books: Rows) -> dict[int, int]:
    """The finest grid that a slug's books ever had, in units of the venue."""
    grids: dict[int, int] = {}
    for slug, tick_size in np.unique(books[["slug", "tick_size"]]).tolist():
        units = round(tick_size * UNITS_PER_USD)
        grids[slug] = math.gcd(grids.get(slug, units), units)
    return grids


def _outages(rows: Rows, drops: Counter[str]) -> Rows:
    is_span = (rows["start_ns"] < rows["end_ns"]) & _plausible(rows["start_ns"], rows["end_ns"])
    return _keep(rows, is_span, "outage_bad_time", drops)


def _periods(periods: tuple[Period, ...], drops: Counter[str]) -> tuple[Period, ...]:
    kept: list[Period] = []
    for period in periods:
        times = (period.start_ns, period.end_ns, period.ts_event_ns, period.ts_recv_ns)
        if period.start_ns < period.end_ns and all(EARLIEST_NS <= each < LATEST_NS for each in times):
            kept.append(period)
        else:
            drops["period_bad_time"] += 1
    back = sum(after.ts_recv_ns < before.ts_recv_ns for before, after in pairwise(kept))
    if back:
        drops["period_out_of_order"] += back
    return tuple(sorted(kept, key=lambda each: each.ts_recv_ns))


def _labels(labels: tuple[Label, ...], drops: Counter[str]) -> tuple[Label, ...]:
    outcomes: dict[tuple[str, str], set[str]] = {}
    for label in labels:
        outcomes.setdefault((label.slug, label.source), set()).add(label.outcome)
    kept = tuple(label for label in labels if len(outcomes[label.slug, label.source]) == 1)
    if len(kept) < len(labels):
        drops["label_contradicted"] += len(labels) - len(kept)
    return kept

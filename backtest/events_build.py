"""Events from whatever a source tells: one at a time or as columns, in any order.

Nothing is judged here but what the format cannot hold (a price off its grid); `events_check.py` judges the rest. What
an importer refuses itself it counts with `drop`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from backtest.events import (
    BOOK,
    LEVEL,
    ORACLE,
    ORACLE_KINDS,
    OUTAGE,
    OUTCOMES,
    SPOT,
    TRADE,
    Events,
    Label,
    Rows,
)
from services.feeds.freshness import stream_of
from shared.messages import (
    Aggressor,
    AnyMessage,
    FeedStatus,
    OracleKind,
    OraclePrice,
    Outcome,
    OutcomeBook,
    OutcomeTrade,
    Period,
    Settlement,
    SpotQuote,
)

TOKEN_VENUE = "polymarket"  # of books and trades, whose rows name no venue
CHANNELS = frozenset({"SpotQuote", "OraclePrice", "OutcomeBook", "OutcomeTrade"})  # whose outages are kept
PENDING_ROWS = 1 << 16
GRID_TOLERANCE_USD = 1e-7  # a token's price this near to its grid is on it; the finest grid is $0.0001
FARTHEST_USD = 1e3  # beyond this a token's price is no price, and its ticks would not fit

_SIDES: dict[str, int] = {"buy": 1, "sell": -1}
_OUTCOME_PLACES: dict[str, int] = {name: place for place, name in enumerate(OUTCOMES)}
_KIND_PLACES: dict[str, int] = {name: place for place, name in enumerate(ORACLE_KINDS)}

Names = str | Sequence[str] | NDArray[Any]  # one for all rows, or one for each


def run_places(starts: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.int64]:
    """The places start, start + 1, ... of several runs, one run behind the other."""
    ends = np.cumsum(counts, dtype=np.int64)
    places: NDArray[np.int64] = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
    return places


def packed(books: Rows, levels: Rows) -> tuple[Rows, Rows]:
    """The same books with their levels in the order of the books and nothing between them."""
    depths = books["bids"].astype(np.int64) + books["asks"]
    firsts = np.cumsum(depths) - depths
    if np.array_equal(firsts, books["first"]) and depths.sum() == len(levels):
        return books, levels
    moved = books.copy()
    moved["first"] = firsts
    return moved, levels[run_places(books["first"], depths)]


def by_receipt(rows: Rows) -> Rows:
    """The rows in order of receipt; those received at one instant stay as they were."""
    received = rows["ts_recv_ns"]
    if np.all(received[1:] >= received[:-1]):
        return rows
    return rows[np.argsort(received, kind="stable")]


def grouped(*columns: NDArray[Any]) -> list[NDArray[np.int64]]:
    """The places of the rows that agree in all columns (of small whole numbers), one array for each group."""
    keys = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        keys = keys * (int(column.max(initial=0)) + 1) + column
    if not len(keys):
        return []
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)


def trade_number(trade_id: str) -> int:
    """A number for a venue's trade id: itself when it is one, else 63 bits of its hash; 0 for no id."""
    if not trade_id:
        return 0
    if trade_id.isascii() and trade_id.isdigit() and len(trade_id) <= 18:
        return int(trade_id)
    return int.from_bytes(blake2b(trade_id.encode(), digest_size=8).digest(), "big") >> 1 or 1


class _Table:
    """Rows of one dtype, taken one at a time or many at once."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._pending: list[tuple[Any, ...]] = []
        self._chunks: list[Rows] = []

    def add(self, row: tuple[Any, ...]) -> None:
        self._pending.append(row)
        if len(self._pending) >= PENDING_ROWS:
            self._settle()

    def extend(self, **columns: ArrayLike) -> None:
        """Columns of one length; single numbers stand for every row."""
        count = len(np.atleast_1d(columns["ts_recv_ns"]))
        rows = np.empty(count, self._dtype)
        for name in self._dtype.names or ():
            rows[name] = columns[name]
        self._settle()
        self._chunks.append(rows)

    def rows(self) -> Rows:
        self._settle()
        return np.concatenate([np.empty(0, self._dtype), *self._chunks])

    def _settle(self) -> None:
        if self._pending:
            self._chunks.append(np.array(self._pending, self._dtype))
            self._pending = []


class EventsBuilder:
    """Collects events and sorts them. Ticks are whole, best level first; prices of tokens are dollars in (0, 1)."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._drops: Counter[str] = Counter()
        self._spot, self._oracle, self._trades = _Table(SPOT), _Table(ORACLE), _Table(TRADE)
        self._books, self._outages = _Table(BOOK), _Table(OUTAGE)
        self._ticks, self._shares = array("i"), array("d")
        self._periods: list[Period] = []
        self._labels: dict[Label, None] = {}
        self._announced: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._down_since: dict[tuple[str, str, str], int] = {}
        self._newest_ns = 0

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what was refused, under a snake_case reason."""
        if count:
            self._drops[reason] += count

    # -- one at a time -----------------------------------------------------------------------------------------------

    def spot(
        self,
        *,
        ts_event_ns: int,
        ts_recv_ns: int,
        asset: str,
        venue: str,
        bid: float,
        bid_size: float,
        ask: float,
        ask_size: float,
    ) -> None:
        """Best bid and ask of an exchange."""
        self._spot.add((ts_event_ns, ts_recv_ns, self._place(asset), self._place(venue), bid, bid_size, ask, ask_size))

    def oracle(
        self, *, ts_event_ns: int, ts_recv_ns: int, asset: str, venue: str, kind: OracleKind, price: float
    ) -> None:
        """One print of the settlement source."""
        self._oracle.add((ts_event_ns, ts_recv_ns, self._place(asset), self._place(venue), _KIND_PLACES[kind], price))

    def book(
        self,
        *,
        ts_event_ns: int,
        ts_recv_ns: int,
        slug: str,
        outcome: Outcome,
        tick_size: float,
        bid_ticks: Sequence[int],
        bid_shares: Sequence[float],
        ask_ticks: Sequence[int],
        ask_shares: Sequence[float],
    ) -> None:
        """The whole depth of one token. ValueError when a side's ticks and shares differ in number."""
        if len(bid_ticks) != len(bid_shares) or len(ask_ticks) != len(ask_shares):
            raise ValueError(f"book of {slug}: each level has a price and a size, so the two are of one length")
        first = len(self._ticks)
        for ticks, shares in ((bid_ticks, bid_shares), (ask_ticks, ask_shares)):
            self._ticks.extend(ticks)
            self._shares.extend(shares)
        place = _OUTCOME_PLACES[outcome]
        self._books.add(
            (ts_event_ns, ts_recv_ns, self._place(slug), place, tick_size, first, len(bid_ticks), len(ask_ticks))
        )

    def trade(
        self,
        *,
        ts_event_ns: int,
        ts_recv_ns: int,
        slug: str,
        outcome: Outcome,
        aggressor: Aggressor,
        price: float,
        shares: float,
        number: int = 0,
        is_inferred: bool = False,
    ) -> None:
        """A public trade of one token."""
        place, side = _OUTCOME_PLACES[outcome], _SIDES[aggressor]
        self._trades.add(
            (ts_event_ns, ts_recv_ns, self._place(slug), place, side, int(is_inferred), price, shares, number)
        )

    def outage(self, *, start_ns: int, end_ns: int, venue: str, channel: str, subject: str) -> None:
        """A stream, named as in `FeedStatus`, was down from `start_ns` until just before `end_ns`."""
        self._outages.add((start_ns, end_ns, self._place(venue), self._place(channel), self._place(subject)))

    def period(self, period: Period) -> None:
        """A period as announced."""
        self._periods.append(period)

    def label(self, label: Label) -> None:
        """How a period ended; the same word again is no second label."""
        self._labels[label] = None

    # -- as columns --------------------------------------------------------------------------------------------------

    def spots(
        self,
        *,
        ts_event_ns: ArrayLike,
        ts_recv_ns: ArrayLike,
        asset: Names,
        venue: Names,
        bid: ArrayLike,
        bid_size: ArrayLike,
        ask: ArrayLike,
        ask_size: ArrayLike,
    ) -> None:
        """Many of `spot`."""
        self._spot.extend(
            ts_event_ns=ts_event_ns,
            ts_recv_ns=ts_recv_ns,
            asset=self._places(asset),
            venue=self._places(venue),
            bid=bid,
            bid_size=bid_size,
            ask=ask,
            ask_size=ask_size,
        )

    def oracles(
        self,
        *,
        ts_event_ns: ArrayLike,
        ts_recv_ns: ArrayLike,
        asset: Names,
        venue: Names,
        kind: Names,
        price: ArrayLike,
    ) -> None:
        """Many of `oracle`."""
        self._oracle.extend(
            ts_event_ns=ts_event_ns,
            ts_recv_ns=ts_recv_ns,
            asset=self._places(asset),
            venue=self._places(venue),
            kind=_places_in(_KIND_PLACES, kind),
            price=price,
        )

    def books(
        self,
        *,
        ts_event_ns: ArrayLike,
        ts_recv_ns: ArrayLike,
        slug: Names,
        outcome: Names,
        tick_size: ArrayLike,
        bids: ArrayLike,
        bid_prices: ArrayLike,
        bid_shares: ArrayLike,
        asks: ArrayLike,
        ask_prices: ArrayLike,
        ask_shares: ArrayLike,
    ) -> None:
        """Many books with prices in dollars: `bids` and `asks` say how many levels each has of the flat columns.

        A book with a price that is no number of dollars, or off its grid, is left out and counted.
        """
        bid_counts, ask_counts = np.asarray(bids, np.int64), np.asarray(asks, np.int64)
        count = len(bid_counts)
        tick_sizes = np.broadcast_to(np.asarray(tick_size, np.float64), count)
        firsts = np.cumsum(bid_counts + ask_counts) - (bid_counts + ask_counts)
        at_bids, at_asks = run_places(firsts, bid_counts), run_places(firsts + bid_counts, ask_counts)
        levels = np.empty(len(at_bids) + len(at_asks), LEVEL)
        prices = np.empty(len(levels))
        prices[at_bids], prices[at_asks] = bid_prices, ask_prices
        levels["shares"][at_bids], levels["shares"][at_asks] = bid_shares, ask_shares
        owner = np.repeat(np.arange(count), bid_counts + ask_counts)
        is_price = np.abs(prices) < FARTHEST_USD  # False of NaN
        ticks = np.rint(np.where(is_price, prices, 0.0) / tick_sizes[owner])
        is_on_grid = np.abs(ticks * tick_sizes[owner] - prices) <= GRID_TOLERANCE_USD
        levels["ticks"] = ticks
        has_prices = _of_every_level(is_price, owner, count)
        is_kept = has_prices & _of_every_level(is_on_grid | ~is_price, owner, count)
        self.drop("book_bad_price", int(np.count_nonzero(~has_prices)))
        self.drop("book_off_grid", int(np.count_nonzero(has_prices & ~is_kept)))
        rows = np.empty(count, BOOK)
        rows["ts_event_ns"], rows["ts_recv_ns"] = ts_event_ns, ts_recv_ns
        rows["slug"], rows["outcome"] = self._places(slug), _places_in(_OUTCOME_PLACES, outcome)
        rows["tick_size"], rows["first"], rows["bids"], rows["asks"] = tick_sizes, firsts, bid_counts, ask_counts
        kept, kept_levels = packed(rows[is_kept], levels)
        columns = {name: kept[name] for name in BOOK.names or ()}
        columns["first"] = kept["first"] + len(self._ticks)
        self._books.extend(**columns)
        self._ticks.frombytes(np.ascontiguousarray(kept_levels["ticks"]).tobytes())
        self._shares.frombytes(np.ascontiguousarray(kept_levels["shares"]).tobytes())

    def trades(
        self,
        *,
        ts_event_ns: ArrayLike,
        ts_recv_ns: ArrayLike,
        slug: Names,
        outcome: Names,
        aggressor: Names,
        price: ArrayLike,
        shares: ArrayLike,
        number: ArrayLike = 0,
        is_inferred: ArrayLike = 0,
    ) -> None:
        """Many of `trade`."""
        self._trades.extend(
            ts_event_ns=ts_event_ns,
            ts_recv_ns=ts_recv_ns,
            slug=self._places(slug),
            outcome=_places_in(_OUTCOME_PLACES, outcome),
            side=_places_in(_SIDES, aggressor),
            is_inferred=is_inferred,
            price=price,
            shares=shares,
            number=number,
        )

    # -- as messages -------------------------------------------------------------------------------------------------

    def take(self, message: AnyMessage) -> bool:
        """Take a message of the bus; False when events have no place for its kind.

        A period repeated unchanged is one announcement. A stream is down from its first status that is not LIVE until
        the next one that is. A settlement is a label by the venue's word, and before that one by our recomputation.
        """
        match message:
            case SpotQuote():
                self.spot(**{name: getattr(message, name) for name in message.__struct_fields__})
            case OraclePrice():
                self.oracle(**{name: getattr(message, name) for name in message.__struct_fields__})
            case OutcomeBook():
                self.book(
                    ts_event_ns=message.ts_event_ns,
                    ts_recv_ns=message.ts_recv_ns,
                    slug=message.slug,
                    outcome=message.outcome,
                    tick_size=message.tick_size,
                    bid_ticks=message.bid_ticks,
                    bid_shares=message.bid_sizes,
                    ask_ticks=message.ask_ticks,
                    ask_shares=message.ask_sizes,
                )
            case OutcomeTrade():
                self.trade(
                    ts_event_ns=message.ts_event_ns,
                    ts_recv_ns=message.ts_recv_ns,
                    slug=message.slug,
                    outcome=message.outcome,
                    aggressor=message.aggressor,
                    price=message.price,
                    shares=message.size,
                    number=trade_number(message.trade_id),
                )
            case Period():
                self._announce(message)
            case Settlement():
                if message.official is not None:
                    self.label(Label(message.slug, message.official, "official"))
                if message.recomputed is not None:
                    self.label(Label(message.slug, message.recomputed, "recomputed"))
            case FeedStatus() if message.channel in CHANNELS:
                self._note_health(message)
            case _:
                return False
        self._newest_ns = max(self._newest_ns, message.ts_recv_ns)
        return True

    def lost(self, message: AnyMessage, *, since_ns: int) -> None:
        """Messages of this one's stream were lost before it: the stream was down since then, if it has health."""
        stream = stream_of(message)
        if stream is not None and stream[0] in CHANNELS:
            venue = getattr(message, "venue", TOKEN_VENUE)
            self.outage(start_ns=since_ns, end_ns=message.ts_recv_ns, venue=venue, channel=stream[0], subject=stream[1])

    def _announce(self, period: Period) -> None:
        rules = tuple(getattr(period, name) for name in period.__struct_fields__ if not name.startswith("ts_"))
        topic = period.market, period.role
        if self._announced.get(topic) != rules:
            self._announced[topic] = rules
            self.period(period)

    def _note_health(self, status: FeedStatus) -> None:
        stream = status.venue, status.channel, status.subject
        if status.state != "LIVE":
            self._down_since.setdefault(stream, status.ts_recv_ns)
        elif stream in self._down_since:
            since_ns = self._down_since.pop(stream)
            if since_ns < status.ts_recv_ns:
                self.outage(
                    start_ns=since_ns, end_ns=status.ts_recv_ns, venue=stream[0], channel=stream[1], subject=stream[2]
                )

    # -- the result --------------------------------------------------------------------------------------------------

    def build(self, source: str, notes: Sequence[str] = ()) -> Events:
        """Everything collected, each kind in order of receipt. What is down still is down to the end."""
        for (venue, channel, subject), since_ns in self._down_since.items():
            end_ns = max(self._newest_ns, since_ns) + 1
            self.outage(start_ns=since_ns, end_ns=end_ns, venue=venue, channel=channel, subject=subject)
        self._down_since.clear()
        levels: Rows = np.empty(len(self._ticks), LEVEL)
        levels["ticks"], levels["shares"] = np.array(self._ticks, "i4"), np.array(self._shares, "f8")
        books, levels = packed(by_receipt(self._books.rows()), levels)
        outages = self._outages.rows()
        return Events(
            source=source,
            notes=tuple(notes),
            drops=dict(self._drops),
            names=tuple(self._names),
            spot=by_receipt(self._spot.rows()),
            oracle=by_receipt(self._oracle.rows()),
            books=books,
            levels=levels,
            trades=by_receipt(self._trades.rows()),
            outages=outages[np.argsort(outages["start_ns"], kind="stable")],
            periods=tuple(sorted(self._periods, key=lambda each: each.ts_recv_ns)),
            labels=tuple(self._labels),
        )

    def _place(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    def _places(self, names: Names) -> int | NDArray[Any]:
        if isinstance(names, str):
            return self._place(names)
        codes, unique = pd.factorize(np.asarray(names, object))
        return np.array([self._place(str(name)) for name in unique], np.int32)[codes]


def _places_in(known: dict[str, int], names: Names) -> int | NDArray[Any]:
    """Places of words of a fixed list; KeyError of another word."""
    if isinstance(names, str):
        return known[names]
    codes, unique = pd.factorize(np.asarray(names, object))
    return np.array([known[name] for name in unique], np.int32)[codes]


def _of_every_level(is_good: NDArray[np.bool_], owner: NDArray[Any], count: int) -> NDArray[np.bool_]:
    """For each book whether it is true of all its levels."""
    return np.asarray(np.bincount(owner[~is_good], minlength=count) == 0)

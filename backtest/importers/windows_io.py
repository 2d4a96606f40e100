"""BTC 5-minute windows with everything at once, in one file: `parity_windows.json.gz`.

`{"windows": [{window_ts, token_up, token_down, label, events}]}`; an event is `[receipt_s, kind, ...]`:

    l [payload_s, price]    the oracle's spot print      p [token, price, size]  a public trade
    t [payload_s, price]    its official 60 s average    b [token, bid, ask]     best prices, the last 90 s only
    s [payload_s, price]    the relay of Binance (USDT)
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from backtest.events import ORACLE, ORACLE_KINDS, OUTAGE, OUTCOMES, SPOT, TRADE, Events, Label, Rows
from backtest.importers.columns import (
    BookRows,
    Books,
    Names,
    book_rows,
    by_receipt,
    chosen_slugs,
    fine_from,
    is_no_size,
    is_off_grid,
    is_outside,
    joined,
    refuse,
    top_side,
)
from backtest.importers.eras import FINE_TICK, Strike, Token, announcements, fee_notes
from shared.market import NS_PER_S, Series
from shared.messages import OracleKind, Period

SERIES = Series.parse("btc-5m")
FILE = "parity_windows.json.gz"
SOURCE = "arnavbhatia1_btc5m_full"
ASSUMED_SHARES = 100.0
REPEAT_NS = NS_PER_S  # unchanged best prices are kept once a second: the book is alive
_FINAL_NS = 3 * NS_PER_S  # after this the strike stood on the venue's own page
_EVEN = 1e-9  # dollars within which two prices are the same
_PEEK = 1 << 12
_ORACLE_CODES: tuple[tuple[str, OracleKind], ...] = (("l", "spot"), ("t", "twap60"))
_NOTES = (
    "Prices carry the source's whole second and our receipt. Books and trades carry our receipt only; it stands for "
    "the venue's clock too.",
    "Best bid and ask were recorded only from 210 s to 300 s of each window: before that there is no book, and the "
    "engine does not quote. Results are of the last 90 s alone.",
    f"Sizes of the best prices were not recorded: each is given {ASSUMED_SHARES:g} shares, near the median (123) of "
    "the best levels of recorded 15-minute books. Queue positions and sizes of fills rest on that.",
    "The taker's side of a trade was not recorded. At or beyond the best price then known it is that side; otherwise "
    "a trade above the last other price is a buy of CALL, below it a sale, and the first is a buy of its own token.",
    "The only exchange is a relay of Binance in USDT, one price a second as bid and ask, without sizes (0): its "
    "order-flow imbalance says nothing.",
    "The strike is the official one. It is proven from the receipt of the official average stamped at the start, or, "
    "when that was not received, 3 s after the start.",
    "Best prices that repeat within a second are left out.",
)


class Window(NamedTuple):
    """One window of the file: its slug, its rows, and the events of each kind in order of the file."""

    slug: str
    recorded: Mapping[str, Any]
    events: Mapping[str, list[list[Any]]]


def is_mine(path: Path) -> bool:
    """Whether this is such a file, or the folder that holds it."""
    file = _file_in(path)
    if not file.is_file():
        return False
    try:
        with gzip.open(file, "rt") as text:
            return '"windows"' in text.read(_PEEK)
    except (OSError, UnicodeDecodeError, EOFError):
        return False


def read(path: Path, *, markets: Sequence[str] = (), progress: bool = False) -> Events:
    """The windows, or those of these slugs or series. ValueError when it cannot be read as this format."""
    if not is_mine(path):
        raise ValueError(f"{path} is not, and does not hold, {FILE} with its windows")
    recorded = {SERIES.slug(int(window["window_ts"])): window for window in read_windows(path)}
    slugs = chosen_slugs(recorded, markets)
    names, drops = Names(), Counter[str]()
    spot: list[Rows] = [np.zeros(0, SPOT)]
    oracle: list[Rows] = [np.zeros(0, ORACLE)]
    trades: list[Rows] = [np.zeros(0, TRADE)]
    books, periods, labels = list[BookRows](), list[Period](), list[Label]()
    for slug in track(slugs, description="reading windows", disable=not progress, transient=True):
        window = _sorted_out(slug, recorded[slug], drops)
        for code, kind in _ORACLE_CODES:
            oracle.append(_oracle(window.events[code], kind, names, drops))
        spot.append(_spot(window.events["s"], names, drops))
        both = _books(window, drops)
        fine_ns = fine_from(both)
        books += [
            book_rows(each, slug=names.place(slug), outcome=place, fine_from_ns=fine_ns)
            for place, each in enumerate(both)
        ]
        trades.append(_trades(window, both, names, drops))
        periods += _periods(window, oracle[-1])
        labels.append(Label(slug, "CALL" if recorded[slug]["label"]["resolved_up"] else "PUT", "official"))
    rows, levels = joined(books)
    return Events(
        source=SOURCE,
        notes=(*_NOTES, *fee_notes(slugs)),
        drops=dict(drops),
        names=names.all,
        spot=by_receipt(np.concatenate(spot)),
        oracle=by_receipt(np.concatenate(oracle)),
        books=rows,
        levels=levels,
        trades=by_receipt(np.concatenate(trades)),
        outages=np.zeros(0, OUTAGE),
        periods=tuple(sorted(periods, key=lambda period: period.ts_recv_ns)),
        labels=tuple(labels),
    )


def read_windows(path: Path) -> list[dict[str, Any]]:
    """The windows as recorded."""
    with gzip.open(_file_in(path), "rt") as file:
        windows: list[dict[str, Any]] = json.load(file)["windows"]
    return sorted(windows, key=lambda window: int(window["window_ts"]))


def receipt_ns(second: float) -> int:
    """A time of the file, which is exact to the millisecond."""
    return round(second * 1e3) * 1_000_000


def _file_in(path: Path) -> Path:
    return path / FILE if path.is_dir() else path


def _sorted_out(slug: str, recorded: Mapping[str, Any], drops: Counter[str]) -> Window:
    events: dict[str, list[list[Any]]] = defaultdict(list)
    for event in recorded["events"]:
        events[event[1]].append(event)
    strange = sum(len(rows) for code, rows in events.items() if code not in "ltspb")
    if strange:
        drops["unknown_kind"] += strange
    return Window(slug, recorded, events)


def _priced(events: list[list[Any]], drops: Counter[str]) -> tuple[NDArray[np.int64], ...]:
    """(stamps, receipts, prices as floats) of a price stream in order of receipt; the file's own order within one."""
    stamp_ns = np.array([receipt_ns(event[2]) for event in events], np.int64)
    recv_ns = np.array([receipt_ns(event[0]) for event in events], np.int64)
    prices = np.array([event[3] for event in events], np.float64)
    bad = ~((prices > 0.0) & np.isfinite(prices))
    late = recv_ns < np.maximum.accumulate(recv_ns)
    for reason, refused in (("not_a_price", bad), ("unordered_row", late & ~bad)):
        if refused.any():
            drops[reason] += int(refused.sum())
    kept = ~(bad | late)
    return stamp_ns[kept], recv_ns[kept], prices[kept]


def _oracle(events: list[list[Any]], kind: OracleKind, names: Names, drops: Counter[str]) -> Rows:
    stamp_ns, recv_ns, prices = _priced(events, drops)
    rows = np.zeros(len(prices), ORACLE)
    rows["ts_event_ns"], rows["ts_recv_ns"], rows["price"] = stamp_ns, recv_ns, prices
    rows["asset"], rows["venue"] = names.place(SERIES.asset), names.place("chainlink")
    rows["kind"] = ORACLE_KINDS.index(kind)
    return rows


def _spot(events: list[list[Any]], names: Names, drops: Counter[str]) -> Rows:
    stamp_ns, recv_ns, prices = _priced(events, drops)
    rows = np.zeros(len(prices), SPOT)
    rows["ts_event_ns"], rows["ts_recv_ns"], rows["bid"], rows["ask"] = stamp_ns, recv_ns, prices, prices
    rows["asset"], rows["venue"] = names.place(SERIES.asset), names.place("binance")
    return rows


def _books(window: Window, drops: Counter[str]) -> tuple[Books, Books]:
    """CALL's and PUT's books."""
    tokens = (window.recorded["token_up"], window.recorded["token_down"])
    strange = sum(event[2] not in tokens for event in window.events["b"])
    if strange:
        drops["unknown_token"] += strange
    call, put = (_books_of([event for event in window.events["b"] if event[2] == token]) for token in tokens)
    return _fresh(refuse(call, window.slug, drops), drops), _fresh(refuse(put, window.slug, drops), drops)


def _books_of(events: list[list[Any]]) -> Books:
    recv_ns = np.array([receipt_ns(event[0]) for event in events], np.int64)
    bids = np.array([float(event[3] or 0.0) for event in events], np.float64)
    asks = np.array([float(event[4] or 1.0) for event in events], np.float64)
    return Books(
        recv_ns,
        recv_ns,
        top_side(bids, shares=ASSUMED_SHARES, absent=0.0),
        top_side(asks, shares=ASSUMED_SHARES, absent=1.0),
    )


def _fresh(books: Books, drops: Counter[str]) -> Books:
    """The books that say something new, and one a second of those that do not."""
    bids, asks, recv_ns = books.bids.best(absent=0.0), books.asks.best(absent=1.0), books.recv_ns
    kept = np.ones(len(recv_ns), np.bool_)
    last = 0
    for row in range(1, len(recv_ns)):
        same = bids[row] == bids[last] and asks[row] == asks[last]
        if same and recv_ns[row] - recv_ns[last] < REPEAT_NS:
            kept[row] = False
        else:
            last = row
    if not kept.all():
        drops["repeated_book"] += int((~kept).sum())
    return books.of(kept)


def _trades(window: Window, books: tuple[Books, Books], names: Names, drops: Counter[str]) -> Rows:
    """The public trades; the side of the taker is concluded (see the notes)."""
    tokens = (window.recorded["token_up"], window.recorded["token_down"])
    events = window.events["p"]
    recv_ns = np.array([receipt_ns(event[0]) for event in events], np.int64)
    outcome = np.array([tokens.index(event[2]) if event[2] in tokens else -1 for event in events], np.int64)
    prices = np.array([float(event[3]) for event in events], np.float64)
    shares = np.array([float(event[4]) for event in events], np.float64)
    kept = np.ones(len(events), np.bool_)
    for reason, bad in (
        ("unknown_token", outcome < 0),
        ("price_outside_0_1", is_outside(prices)),
        ("off_grid_price", is_off_grid(prices, FINE_TICK)),
        ("size_not_positive", is_no_size(shares)),
        ("unordered_row", recv_ns < np.maximum.accumulate(recv_ns)),
    ):
        if (kept & bad).any():
            drops[reason] += int((kept & bad).sum())
        kept &= ~bad
    rows = np.zeros(int(kept.sum()), TRADE)
    rows["ts_event_ns"] = rows["ts_recv_ns"] = recv_ns[kept]
    rows["slug"], rows["outcome"] = names.place(window.slug), outcome[kept]
    rows["price"], rows["shares"] = prices[kept], shares[kept]
    is_put = rows["outcome"] == OUTCOMES.index("PUT")
    call_prices = np.where(is_put, 1.0 - rows["price"], rows["price"])
    first_side = -1 if is_put[:1].any() else 1
    call_side = taker_sides(rows["ts_recv_ns"], call_prices, books[0], first_side=first_side)
    rows["side"] = np.where(is_put, -call_side, call_side)
    return rows


def taker_sides(
    recv_ns: NDArray[np.int64], prices: NDArray[np.float64], call: Books, *, first_side: int
) -> NDArray[np.int64]:
    """The taker's side in CALL, +1 or -1, of trades at CALL prices: by the book before it, else by the tick.

    Lee and Ready (1991): at or above the ask then known a buy, at or below the bid a sale; otherwise the direction of
    the last change of price, `first_side` before there was one. A book older than 5 s says nothing.
    """
    sides = np.zeros(len(prices), np.int64)
    if len(call.recv_ns):
        place = np.searchsorted(call.recv_ns, recv_ns, side="left") - 1
        known = (place >= 0) & (recv_ns - call.recv_ns[place] <= 5 * NS_PER_S)
        bids, asks = call.bids.best(absent=0.0)[place], call.asks.best(absent=1.0)[place]
        sides[known & (prices >= asks - _EVEN)] = 1
        sides[known & (prices <= bids + _EVEN)] = -1
    last_side, last_price = first_side, np.nan
    for row, price in enumerate(prices):
        if abs(price - last_price) > _EVEN:  # False for the first
            last_side = 1 if price > last_price else -1
        last_price = price
        if sides[row] == 0:
            sides[row] = last_side
    return sides


def _periods(window: Window, averages: Rows) -> list[Period]:
    """The announcements: first seen with the first event, proven when the average of the start was received."""
    recorded = window.recorded
    start_ns = int(recorded["window_ts"]) * NS_PER_S
    strike = float(recorded["label"]["price_to_beat"])
    at_start = averages[(averages["ts_event_ns"] == start_ns) & (averages["price"] == strike)]
    received_ns = int(at_start["ts_recv_ns"][0]) if len(at_start) else start_ns + _FINAL_NS
    ids = Token(call=recorded["token_up"], put=recorded["token_down"])
    seen_ns = min(receipt_ns(event[0]) for event in recorded["events"])
    return announcements(window.slug, seen_ns=seen_ns, ids=ids, strike=Strike(strike, received_ns, SOURCE))

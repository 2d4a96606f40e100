"""Recordings of others, each in its own format, as windows, oracle prints, venue prices and books.

A *session* is one unbroken stretch of time: the oracle's prints, a spot venue's prices where one was recorded, the
official 60 s averages, and the windows that fall into it. All streams are in order of receipt: what was not received
yet at an instant does not exist at that instant. Rows that cannot be true are refused here and counted in `checks`.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from backtest.importers.resolvedkit_io import read_markets
from backtest.importers.top_of_book_io import PREVIOUS_BOOK_S, files_in, outcome_in_book
from backtest.importers.windows_io import read_windows, receipt_ns
from shared.market import NS_PER_S, parse_slug
from shared.messages import Outcome, SettlementRule

ARNAVBHATIA, LIGENGXIN, WEIUOU = "arnavbhatia1_btc5m_full", "ligengxin96_chainlink_prices", "weiuou_btc15m"
THEVALERKA, RESOLVEDKIT = "thevalerka_btc15m_tob", "resolvedkit_btc15m_books"
JONAHGRIGORYAN = "jonahgrigoryan_raw_multi"

Nanoseconds = NDArray[np.int64]
Floats = NDArray[np.float64]


class RecordingsAbsentError(ValueError):
    """There is nothing to read; the text says where it was looked for and what to do."""


class Stream(NamedTuple):
    """Prices in order of receipt: stamp of the source, our receipt, dollars."""

    stamp_ns: Nanoseconds
    recv_ns: Nanoseconds
    prices: Floats

    def until(self, recv_ns: int) -> Stream:
        """What had been received by then."""
        count = int(np.searchsorted(self.recv_ns, recv_ns, side="right"))
        return Stream(self.stamp_ns[:count], self.recv_ns[:count], self.prices[:count])


class Book(NamedTuple):
    """CALL's best bid and ask in order of receipt; an empty side is 0 or 1."""

    recv_ns: Nanoseconds
    bids: Floats
    asks: Floats


@dataclass(frozen=True)
class Window:
    """One period: its rule, strike and outcome (None: not known), and its book; `group`: what it is scored with."""

    group: str
    slug: str
    start_s: int
    end_s: int
    settlement: SettlementRule
    strike: float | None
    is_up: bool | None
    book: Book | None = None


@dataclass(frozen=True)
class Session:
    """One stretch of time and its windows. `ticks` are the official averages, stamped with the window's end."""

    asset: str
    windows: tuple[Window, ...]
    oracle: Stream | None = None
    venue: Stream | None = None
    ticks: Stream | None = None


@dataclass(frozen=True)
class Recording:
    """All sessions of one source. Prices older than `stale_s` are not used; `checks` counts what was read and refused.

    `labels_from_book`: no payout was recorded, the outcome is what the book said at the end.
    """

    name: str
    sessions: tuple[Session, ...]
    stale_s: float
    checks: Counter[str] = field(default_factory=Counter)
    labels_from_book: bool = False


def load_recordings(folder: Path) -> list[Recording]:
    """Every known recording in the folder. Raises RecordingsAbsentError without any, ValueError on a bad file."""
    if not folder.is_dir():
        raise RecordingsAbsentError(f"no recordings at {folder}: give their folder with --recordings PATH")
    found = []
    for name, load in IMPORTERS.items():
        if (folder / name).is_dir():
            try:
                found.append(load(folder / name))
            except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
                raise ValueError(f"{folder / name} cannot be read: {type(error).__name__}: {error}") from error
    if not found:
        raise RecordingsAbsentError(f"none of {', '.join(IMPORTERS)} is in {folder}: give the folder that holds them")
    return found


def stream_of(rows: Iterable[tuple[int, int, float]], checks: Counter[str], name: str) -> Stream:
    """(stamp_ns, recv_ns, price) as a stream; refuses prices that are not positive, sorts by receipt."""
    kept: list[tuple[int, int, float]] = []
    for stamp_ns, recv_ns, price in rows:
        checks[f"{name} read"] += 1
        if not 0.0 < price < math.inf:
            checks[f"{name} refused: not a price"] += 1
        else:
            kept.append((stamp_ns, recv_ns, price))
    late = sum(after[1] < before[1] for before, after in itertools.pairwise(kept))
    if late:
        checks[f"{name} received out of order, sorted"] += late
    kept.sort(key=lambda row: row[1])
    return Stream(
        np.array([row[0] for row in kept], np.int64),
        np.array([row[1] for row in kept], np.int64),
        np.array([row[2] for row in kept], np.float64),
    )


def book_of(rows: Iterable[tuple[int, float, float]], checks: Counter[str]) -> Book:
    """(recv_ns, bid, ask) of CALL as a book; refuses crossed, impossible and repeated rows."""
    kept: list[tuple[int, float, float]] = []
    seen: set[tuple[int, float, float]] = set()
    for row in rows:
        checks["book rows read"] += 1
        _, bid, ask = row
        if not (0.0 <= bid <= 1.0 and 0.0 <= ask <= 1.0):
            checks["book rows refused: outside 0 to 1"] += 1
        elif bid >= ask:
            checks["book rows refused: crossed"] += 1
        elif row in seen:
            checks["book rows refused: repeated"] += 1
        else:
            seen.add(row)
            kept.append(row)
    kept.sort(key=lambda row: row[0])
    return Book(
        np.array([row[0] for row in kept], np.int64),
        np.array([row[1] for row in kept], np.float64),
        np.array([row[2] for row in kept], np.float64),
    )


# -- arnavbhatia1: two 5-minute windows with everything at once --------------------------------------------------------


def load_arnavbhatia(folder: Path) -> Recording:
    """Chainlink spot and official TWAP, the Binance relay, best bid and ask of the last 90 s, official labels."""
    checks: Counter[str] = Counter()
    sessions = []
    for window in read_windows(folder):
        by_kind: dict[str, list[list[Any]]] = defaultdict(list)
        for event in window["events"]:
            by_kind[event[1]].append(event)
        streams = {
            kind: stream_of(
                ((receipt_ns(row[2]), receipt_ns(row[0]), float(row[3])) for row in by_kind[kind]), checks, name
            )
            for kind, name in (("l", "oracle prints"), ("s", "venue prices"), ("t", "official averages"))
        }
        book = book_of((_call_quote(row, window["token_up"]) for row in by_kind["b"]), checks)
        label, start_s = window["label"], int(window["window_ts"])
        one = Window(
            group=ARNAVBHATIA,
            slug=f"btc-updown-5m-{start_s}",
            start_s=start_s,
            end_s=start_s + 300,
            settlement="twap",
            strike=float(label["price_to_beat"]),
            is_up=bool(label["resolved_up"]),
            book=book,
        )
        checks["windows"] += 1
        sessions.append(Session("BTC", (one,), streams["l"], streams["s"], streams["t"]))
    return Recording(ARNAVBHATIA, tuple(sessions), stale_s=5.0, checks=checks)


def _call_quote(row: list[Any], token_up: str) -> tuple[int, float, float]:
    """One token's best bid and ask as CALL's: there is one book, and PUT's is its mirror."""
    bid, ask = float(row[3] or 0.0), float(row[4] or 1.0)
    if row[2] != token_up:
        bid, ask = round(1.0 - ask, 6), round(1.0 - bid, 6)
    return receipt_ns(row[0]), bid, ask


# -- ligengxin96: a day of oracle prints, and that day's 5-minute markets ----------------------------------------------


def load_ligengxin(folder: Path) -> Recording:
    """1 Hz Chainlink BTC/USD of one UTC day, and strike and outcome of its 5-minute markets (spot-settled)."""
    checks: Counter[str] = Counter()
    prints: list[tuple[int, int, float]] = []
    for path in sorted(folder.glob("BTCUSD-prices-*.csv.gz")):
        with gzip.open(path, "rt", newline="") as file:
            for row in csv.DictReader(file):
                prints.append((int(row["feed_ts_ms"]) * 10**6, int(row["recv_ms"]) * 10**6, float(row["value"])))
    windows = []
    for path in sorted(folder.glob("BTC-5m-markets-*.jsonl.gz")):
        with gzip.open(path, "rt") as file:
            for line in file:
                windows.append(_ligengxin_window(json.loads(line), checks))
    oracle = stream_of(prints, checks, "oracle prints")
    return Recording(LIGENGXIN, (Session("BTC", tuple(windows), oracle),), stale_s=5.0, checks=checks)


def _ligengxin_window(market: dict[str, Any], checks: Counter[str]) -> Window:
    checks["windows"] += 1
    strike = None if market["strike_value"] is None else int(market["strike_value"]) / 1e18
    outcome = {("1", "0"): True, ("0", "1"): False}.get(tuple(market["outcome_prices"])) if market["resolved"] else None
    if strike is None:
        checks["windows without a strike"] += 1
    if outcome is None:
        checks["windows without an outcome"] += 1
    return Window(LIGENGXIN, market["slug"], market["start_sec"], market["end_sec"], "spot", strike, outcome)


# -- weiuou: three 15-minute windows, one row each 5 s -----------------------------------------------------------------


def load_weiuou(folder: Path) -> Recording:
    """Chainlink price, CALL's bid and ask about each 5 s. The outcome is the next window's strike against this one's.

    The rows carry our receipt only; it also serves as the print's stamp.
    """
    checks: Counter[str] = Counter()
    sessions = []
    for path in sorted(folder.glob("polymarket_*_15m.csv")):
        prints: list[tuple[int, int, float]] = []
        books: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
        strikes: dict[int, float] = {}
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                at_ns = _iso_ns(row["Timestamp"])
                price, strike = _number(row["Price_Stream"]), _number(row["Strike_Price"])
                bid, ask = _number(row["Best_Bid"]), _number(row["Best_Ask"])
                prints.append((at_ns, at_ns, math.nan if price is None else price))
                books[row["Slug"]].append((at_ns, bid or 0.0, 1.0 if ask is None else ask))
                if strike is not None:
                    strikes[parse_slug(row["Slug"])[1]] = strike
        windows = [_weiuou_window(slug, strikes, book_of(rows, checks), checks) for slug, rows in sorted(books.items())]
        asset = path.name.split("_")[1].upper()
        sessions.append(Session(asset, tuple(windows), stream_of(prints, checks, "oracle prints")))
    return Recording(WEIUOU, tuple(sessions), stale_s=10.0, checks=checks)


def _weiuou_window(slug: str, strikes: dict[int, float], book: Book, checks: Counter[str]) -> Window:
    series, start_s = parse_slug(slug)
    end_s = start_s + series.length_s
    strike, final = strikes.get(start_s), strikes.get(end_s)
    checks["windows"] += 1
    if strike is None:
        checks["windows without a strike"] += 1
    if final is None:
        checks["windows without an outcome"] += 1
    is_up = None if strike is None or final is None else final >= strike
    return Window(WEIUOU, slug, start_s, end_s, "spot", strike, is_up, book)


# -- books without a spot price ----------------------------------------------------------------------------------------


def load_thevalerka(folder: Path) -> Recording:
    """Best bid and ask of 15-minute windows each second; no payout: the outcome is what the book said at the end."""
    checks: Counter[str] = Counter()
    windows = []
    for slug, path in files_in(folder).items():
        start_s = parse_slug(slug)[1]
        rows: list[tuple[int, float, float]] = []
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                at_ns = int(row["timestamp_ms"]) * 10**6
                if at_ns < (start_s + PREVIOUS_BOOK_S) * NS_PER_S:
                    checks["book rows refused: may be the market before"] += 1
                    continue
                rows.append((at_ns, float(row["call_bid"]), float(row["call_ask"])))
        book, end_s = book_of(rows, checks), start_s + 900
        is_up = _is_up(outcome_in_book(book.recv_ns, book.bids, book.asks, end_s * NS_PER_S))
        checks["windows"] += 1
        if is_up is None:
            checks["windows without an outcome"] += 1
        windows.append(Window(THEVALERKA, slug, start_s, end_s, "spot", None, is_up, book))
    session = Session("BTC", tuple(windows))
    return Recording(THEVALERKA, (session,), stale_s=5.0, checks=checks, labels_from_book=True)


def _is_up(outcome: Outcome | None) -> bool | None:
    return None if outcome is None else outcome == "CALL"


def load_resolvedkit(folder: Path) -> Recording:
    """UP books of 15-minute windows about each second, and the payout."""
    checks: Counter[str] = Counter()
    rows: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for row in parquet.read_table(folder / "books.parquet").to_pylist():
        if row["side"] == "UP":
            bid = row["bid_px"][0] if row["bid_px"] else 0.0
            ask = row["ask_px"][0] if row["ask_px"] else 1.0
            rows[row["market_id"]].append((row["ts"] * 10**6, bid, ask))
    windows = []
    for market in read_markets(folder):
        is_up = _is_up(market.outcome)
        checks["windows"] += 1
        if is_up is None:
            checks["windows without an outcome"] += 1
        start_s, end_s = market.start_ms // 1000, market.end_ms // 1000
        book = book_of(rows[market.market_id], checks)
        windows.append(Window(RESOLVEDKIT, market.slug, start_s, end_s, "twap", None, is_up, book))
    return Recording(RESOLVEDKIT, (Session("BTC", tuple(windows)),), stale_s=5.0, checks=checks)


# -- what is left out --------------------------------------------------------------------------------------------------


class Overlap(NamedTuple):
    """A capture session: how long it ran, and how long of that inside a window of a market whose books it holds."""

    name: str
    recorded_s: float
    inside_s: float


def jonahgrigoryan_overlaps(folder: Path) -> list[Overlap]:
    """For each session, whether its books belong to the time it was recorded at."""
    overlaps = []
    for session in sorted(path for path in folder.iterdir() if path.is_dir()):
        if not (session / "raw_messages.jsonl.gz").exists():
            continue
        with gzip.open(session / "raw_messages.jsonl.gz", "rt") as file:
            received_ms = [int(json.loads(line)["recv_wall_ts"]) for line in file]
        with (session / "markets.jsonl").open() as file:
            markets = [json.loads(line) for line in file]
        first, last = min(received_ms), max(received_ms)
        inside = max(min(last, int(each["end_ts"])) - max(first, int(each["start_ts"])) for each in markets)
        overlaps.append(Overlap(session.name, (last - first) / 1e3, max(inside, 0) / 1e3))
    return overlaps


IMPORTERS: dict[str, Callable[[Path], Recording]] = {
    ARNAVBHATIA: load_arnavbhatia,
    LIGENGXIN: load_ligengxin,
    WEIUOU: load_weiuou,
    THEVALERKA: load_thevalerka,
    RESOLVEDKIT: load_resolvedkit,
}


def _iso_ns(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6) * 1000


def _number(text: str) -> float | None:
    """A finite number, or None for anything else that stands in the column."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

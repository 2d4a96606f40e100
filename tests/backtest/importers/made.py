"""Small invented recordings in the layouts of their sources, and hand-made events."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from backtest.events import BOOK, LEVEL, ORACLE, OUTAGE, SPOT, TRADE, Events
from backtest.importers.eras import announcements
from shared.market import NS_PER_S

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
START_S = 1_790_586_000  # 2026-09-28: averaged settlement; divisible by 900
SPOT_START_S = 1_770_029_100  # 2026-02-02: settled by the price at the end
UP, DOWN = "111", "222"

_CALL_AND_PUT = ("call_bid", "call_ask", "call_mid", "put_bid", "put_ask", "put_mid")

Prices = Sequence[float]


class Shown(NamedTuple):
    """One book as it was received: seconds after the start, levels best first as (price, shares)."""

    at_s: float
    bids: Sequence[tuple[float, float]]
    asks: Sequence[tuple[float, float]]
    outcome: int = 0
    tick_size: float = 0.01


def snapshot(
    market: str, at_s: float, side: str, bids: Prices, asks: Prices, *, shares: float = 10.0
) -> dict[str, Any]:
    """One row of `books.parquet`."""
    return {
        "market_id": market,
        "ts": round(at_s * 1000),
        "side": side,
        "bid_px": list(bids),
        "bid_sz": [shares] * len(bids),
        "ask_px": list(asks),
        "ask_sz": [shares] * len(asks),
    }


def market_row(number: int, payout: tuple[float, float], *, start_s: int = START_S) -> dict[str, Any]:
    """One row of `markets.parquet`."""
    start = start_s + 900 * number
    return {
        "market_id": f"0x{number}",
        "slug": f"btc-updown-15m-{start}",
        "start_ts": start * 1000,
        "end_ts": (start + 900) * 1000,
        "payout_up": payout[0],
        "payout_down": payout[1],
    }


def write_resolvedkit(folder: Path, books: list[dict[str, Any]], markets: list[dict[str, Any]]) -> Path:
    """A folder of the two parquet files."""
    folder.mkdir(parents=True, exist_ok=True)
    lists = pa.list_(pa.float64())
    schema = pa.schema(
        [
            ("market_id", pa.string()),
            ("ts", pa.int64()),
            ("side", pa.string()),
            *((name, lists) for name in ("bid_px", "bid_sz", "ask_px", "ask_sz")),
        ]
    )
    parquet.write_table(pa.Table.from_pylist(books, schema), folder / "books.parquet")
    parquet.write_table(pa.Table.from_pylist(markets), folder / "markets.parquet")
    return folder


def write_top_of_book(
    folder: Path, rows: Sequence[tuple[float, float, float, float, float]], *, start_s: int = SPOT_START_S
) -> Path:
    """One CSV of (seconds after the start, CALL's bid and ask, PUT's bid and ask)."""
    folder.mkdir(parents=True, exist_ok=True)
    file_name = datetime.fromtimestamp(start_s, UTC).strftime("prices_%Y%m%d_%H%M.csv")
    with (folder / file_name).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["timestamp", "timestamp_ms", *_CALL_AND_PUT, "seconds_to_expiry"])
        for at_s, call_bid, call_ask, put_bid, put_ask in rows:
            at_ms = round((start_s + at_s) * 1000)
            table.writerow(["", at_ms, call_bid, call_ask, 0.5, put_bid, put_ask, 0.5, 900 - at_s])
    return folder


def write_windows(folder: Path, events: list[list[Any]], *, start_s: int, is_up: bool, strike: float) -> Path:
    """One recorded 5-minute window with these events."""
    folder.mkdir(parents=True, exist_ok=True)
    label = {"resolved_up": int(is_up), "final_price": strike + 1.0, "price_to_beat": strike}
    window = {"window_ts": start_s, "token_up": UP, "token_down": DOWN, "label": label, "events": events}
    with gzip.open(folder / "parity_windows.json.gz", "wt") as file:
        json.dump({"meta": {}, "windows": [window]}, file)
    return folder


def events_of(books: Sequence[Shown], *, start_s: int = START_S, periods: int = 1, seen_s: float = -60.0) -> Events:
    """Events of 15-minute periods one after the other, of which only these books were recorded."""
    slugs = [f"btc-updown-15m-{start_s + 900 * number}" for number in range(periods)]
    rows, levels = np.zeros(len(books), BOOK), list[tuple[int, float]]()
    for row, shown in zip(rows, books, strict=True):
        at_ns = round((start_s + shown.at_s) * 1000) * 1_000_000
        row["ts_event_ns"] = row["ts_recv_ns"] = at_ns
        row["slug"] = min(max(int(shown.at_s // 900), 0), periods - 1)
        row["outcome"], row["tick_size"], row["first"] = shown.outcome, shown.tick_size, len(levels)
        row["bids"], row["asks"] = len(shown.bids), len(shown.asks)
        levels += [(round(price / shown.tick_size), shares) for price, shares in (*shown.bids, *shown.asks)]
    announced = [
        each
        for number, slug in enumerate(slugs)
        for each in announcements(slug, seen_ns=round(start_s + 900 * number + seen_s) * NS_PER_S)
    ]
    return Events(
        source="made",
        notes=(),
        drops={},
        names=tuple(slugs),
        spot=np.zeros(0, SPOT),
        oracle=np.zeros(0, ORACLE),
        books=rows,
        levels=np.array(levels, LEVEL),
        trades=np.zeros(0, TRADE),
        outages=np.zeros(0, OUTAGE),
        periods=tuple(sorted(announced, key=lambda period: period.ts_recv_ns)),
        labels=(),
    )


def levels_of(events: Events, row: int) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """Bids and asks of one book as (ticks, shares)."""
    book = events.books[row]
    every = [
        (int(ticks), float(shares)) for ticks, shares in events.levels[book["first"] :][: book["bids"] + book["asks"]]
    ]
    return every[: book["bids"]], every[book["bids"] :]

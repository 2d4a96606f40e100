"""Small invented recordings, written in the formats that the importers read."""

from __future__ import annotations

import csv
import gzip
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"

SIGMA = 9e-5
PRICE_USD = 80_000.0
DAY_S = 1_790_000_100  # divisible by 300 and by 900
PRINTS_S = 7200
UP, DOWN = "111", "222"


def walk(seconds: int, *, seed: int) -> NDArray[np.float64]:
    """A driftless price, one a second."""
    steps = np.random.default_rng(seed).normal(0.0, SIGMA, seconds)
    return np.asarray(PRICE_USD * np.exp(np.cumsum(steps)))


def write_arnavbhatia(folder: Path, *, windows: int = 2) -> None:
    """Windows with oracle, venue, official averages (offset 3 s) and a book in the last 90 s."""
    folder.mkdir(parents=True)
    recorded = []
    for number in range(windows):
        start = DAY_S + 21_600 * number
        venue = walk(762, seed=number)
        second_of = {start - 380 + place: place for place in range(762)}
        oracle = {second: float(venue[max(place - 1, 0)]) for second, place in second_of.items()}
        events: list[list[object]] = []
        ticks = {}
        for second, place in second_of.items():
            events.append([second + 0.3, "s", float(second), float(venue[place])])
            events.append([second + 1.2, "l", float(second), oracle[second]])
            if second - 62 >= start - 380:
                ticks[second] = math.fsum(oracle[second - 3 - back] for back in range(60)) / 60.0
                events.append([second + 1.3, "t", float(second), ticks[second]])
        is_up = ticks[start + 300] >= ticks[start]
        for second in range(start + 210, start + 300):
            bid, ask = (0.7, 0.72) if is_up else (0.28, 0.3)
            events.append([second + 0.1, "b", UP, f"{bid}", f"{ask}"])
            events.append([second + 0.15, "b", DOWN, f"{1 - ask:.2f}", f"{1 - bid:.2f}"])
        label = {"resolved_up": int(is_up), "final_price": ticks[start + 300], "price_to_beat": ticks[start]}
        recorded.append(
            {
                "window_ts": start,
                "token_up": UP,
                "token_down": DOWN,
                "label": label,
                "events": sorted(events, key=_first),
            }
        )
    with gzip.open(folder / "parity_windows.json.gz", "wt") as file:
        json.dump({"meta": {}, "windows": recorded}, file)


def write_ligengxin(folder: Path, *, seconds: int = PRINTS_S) -> None:
    """One stretch of oracle prints, and the 5-minute markets inside it; the last has no strike."""
    folder.mkdir(parents=True)
    prices = walk(seconds + 1, seed=5)
    with gzip.open(folder / "BTCUSD-prices-2026-09-01.csv.gz", "wt", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["feed_ts_ms", "value", "full_accuracy_value", "server_ts_ms", "recv_ms"])
        for second, price in enumerate(prices):
            at_ms = (DAY_S + second) * 1000
            rows.writerow([at_ms, f"{price:.8f}", "0", at_ms + 900, at_ms + 1100])
    with gzip.open(folder / "BTC-5m-markets-2026-09-01.jsonl.gz", "wt") as file:
        for first in range(0, seconds - 299, 300):
            is_last = first + 300 > seconds - 300
            is_up = prices[first + 300] >= prices[first]
            market = {
                "slug": f"btc-updown-5m-{DAY_S + first}",
                "start_sec": DAY_S + first,
                "end_sec": DAY_S + first + 300,
                "resolved": True,
                "outcome_prices": ["1", "0"] if is_up else ["0", "1"],
                "strike_value": None if is_last else str(round(prices[first] * 1e8) * 10**10),
            }
            file.write(json.dumps(market) + "\n")


def write_weiuou(folder: Path) -> None:
    """Four windows of one asset, a row each 5 s: the first without a strike, the last without an outcome."""
    folder.mkdir(parents=True)
    prices = walk(3600, seed=9)
    with (folder / "polymarket_btc_15m.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            [
                "Timestamp",
                "Time_Left_Sec",
                "Price_Stream",
                "Strike_Price",
                "Diff",
                "Up_Price",
                "Best_Bid",
                "Best_Ask",
                "Extra",
                "Slug",
            ]
        )
        for second in range(0, 3600, 5):
            start = second // 900 * 900
            strike = "no_price_data" if start == 0 else f"{prices[start]:.2f}"
            at = datetime.fromtimestamp(DAY_S + second, UTC).isoformat()
            slug = f"btc-updown-15m-{DAY_S + start}"
            rows.writerow(
                [at, start + 900 - second, f"{prices[second]:.2f}", strike, "-", "0.5", "0.48", "0.5", "", slug]
            )


def write_thevalerka(folder: Path) -> None:
    """Three windows of best bid and ask: one ends up, one down, one undecided."""
    folder.mkdir(parents=True)
    for number, last in enumerate((0.99, 0.01, 0.6)):
        start = DAY_S + 900 * number
        name = datetime.fromtimestamp(start, UTC).strftime("prices_%Y%m%d_%H%M.csv")
        with (folder / name).open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["timestamp", "timestamp_ms", "call_bid", "call_ask", "call_mid"])
            for second in range(900):
                mid = 0.5 + (last - 0.5) * second / 899
                bid, ask = max(mid - 0.01, 0.0), min(mid + 0.01, 1.0)
                if second == 100:
                    bid, ask = ask, bid  # crossed
                rows.writerow(["", (start + second) * 1000 + 40, f"{bid:.3f}", f"{ask:.3f}", f"{mid:.3f}"])


def write_resolvedkit(folder: Path) -> None:
    """Two windows with payouts; the first has a hole of 52 s around its last minute."""
    folder.mkdir(parents=True)
    markets, books = [], []
    for number, payout in enumerate(((1.0, 0.0), (0.0, 1.0))):
        start = DAY_S + 900 * number
        markets.append(
            {
                "market_id": f"0x{number}",
                "slug": f"btc-updown-15m-{start}",
                "start_ts": start * 1000,
                "end_ts": (start + 900) * 1000,
                "payout_up": payout[0],
                "payout_down": payout[1],
            }
        )
        for second in range(900):
            if number == 0 and 815 <= second < 867:
                continue
            for side, bid, ask in (("UP", 0.6, 0.62), ("DOWN", 0.38, 0.4)):
                books.append(
                    {
                        "market_id": f"0x{number}",
                        "ts": (start + second) * 1000,
                        "side": side,
                        "bid_px": [bid],
                        "bid_sz": [10.0],
                        "ask_px": [ask],
                        "ask_sz": [10.0],
                    }
                )
    parquet.write_table(pa.Table.from_pylist(markets), folder / "markets.parquet")
    parquet.write_table(pa.Table.from_pylist(books), folder / "books.parquet")


def write_jonahgrigoryan(folder: Path) -> None:
    """Two capture sessions: one of tomorrow's books, one of the running window's."""
    for name, ahead_s in (("tomorrow", 86_400), ("current", 0)):
        session = folder / name
        session.mkdir(parents=True)
        market = {"start_ts": (DAY_S + ahead_s) * 1000, "end_ts": (DAY_S + ahead_s + 900) * 1000}
        (session / "markets.jsonl").write_text(json.dumps(market) + "\n")
        with gzip.open(session / "raw_messages.jsonl.gz", "wt") as file:
            for second in (-5, 0, 20):
                file.write(json.dumps({"recv_wall_ts": (DAY_S + second) * 1000}) + "\n")


def write_all(folder: Path) -> None:
    """One of each."""
    write_arnavbhatia(folder / "arnavbhatia1_btc5m_full")
    write_ligengxin(folder / "ligengxin96_chainlink_prices")
    write_weiuou(folder / "weiuou_btc15m")
    write_thevalerka(folder / "thevalerka_btc15m_tob")
    write_resolvedkit(folder / "resolvedkit_btc15m_books")
    write_jonahgrigoryan(folder / "jonahgrigoryan_raw_multi")


def _first(event: list[object]) -> float:
    return float(str(event[0]))

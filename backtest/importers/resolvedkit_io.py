"""Settled markets with both tokens' books, as the package `resolvedkit` ships them: `books.parquet`, `markets.parquet`.

About one snapshot a second of each token, 20 levels a side, and the payout. No trades, no spot, no oracle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from rich.progress import track

from backtest.events import Events, Label
from backtest.importers.book_recording import BookRecording
from backtest.importers.columns import Books, BookSide, chosen_slugs
from backtest.importers.eras import Token, announcements, fee_notes
from shared.messages import Outcome

SILENCE_S = 5
NS_PER_MS = 1_000_000
_SIDES: dict[str, Outcome] = {"UP": "CALL", "DOWN": "PUT"}
_BOOK_COLUMNS = ("market_id", "ts", "side", "bid_px", "bid_sz", "ask_px", "ask_sz")
_MARKET_COLUMNS = ("market_id", "slug", "start_ts", "end_ts", "payout_up", "payout_down")
_NOTES = (
    "Each book carries one time, of the recorder; it stands for the venue's clock and for our receipt. What lay "
    "between them is not known, so latency comes from the latency model alone.",
    "A snapshot about each second: what happened in between is not seen, neither moves nor cancels.",
    f"Silences over {SILENCE_S} s inside a period are outages, from {SILENCE_S} s after the last snapshot.",
    "Trades were not recorded: nothing fills passively unless trades are concluded from the books.",
    "Neither the exchanges nor the oracle were recorded, nor the strike: without prices the engine does not quote.",
    "The tick is 0.01 until the first price off that grid, then 0.001 for both tokens.",
)


class SampleAbsentError(ValueError):
    """The optional package is not installed; the text says how to get it."""


class Market(NamedTuple):
    """One row of `markets.parquet`; `outcome` None: it did not pay $1 to one side."""

    market_id: str
    slug: str
    start_ms: int
    end_ms: int
    outcome: Outcome | None


def is_mine(path: Path) -> bool:
    """Whether a folder holds these two files with these columns."""
    wanted = (("books.parquet", _BOOK_COLUMNS), ("markets.parquet", _MARKET_COLUMNS))
    if not path.is_dir() or not all((path / name).is_file() for name, _ in wanted):
        return False
    try:
        return all(set(columns) <= set(parquet.read_schema(path / name).names) for name, columns in wanted)
    except (OSError, pa.ArrowInvalid):
        return False


def read(path: Path, *, markets: Sequence[str] = (), progress: bool = False) -> Events:
    """The folder's markets, or those of these slugs or series. ValueError when it cannot be read as this format."""
    if not is_mine(path):
        raise ValueError(f"{path} is no folder with books.parquet and markets.parquet of resolvedkit's columns")
    listed = {market.slug: market for market in read_markets(path)}
    slugs = chosen_slugs(listed, markets)
    table = parquet.read_table(path / "books.parquet", columns=list(_BOOK_COLUMNS))
    recording = BookRecording(silence_s=SILENCE_S)
    for slug in track(slugs, description="reading markets", disable=not progress, transient=True):
        market = listed[slug]
        both = recording.take_books(slug, dict(_books_of(table, market)))
        if both is None:
            recording.drops["market_without_books"] += 1
            continue
        seen_ns = min(int(books.recv_ns[0]) for books in both.values() if len(books.recv_ns))
        recording.announce(announcements(slug, seen_ns=seen_ns, ids=Token(condition=market.market_id)))
        if market.outcome is None:
            recording.drops["market_without_payout"] += 1
        else:
            recording.label(Label(slug, market.outcome, "payout"))
    _count_strangers(table, listed, recording.drops)
    return recording.events("resolvedkit", (*_NOTES, *fee_notes(slugs)))


def sample_path() -> Path:
    """The folder of the 18 markets that the package `resolvedkit` brings. SampleAbsentError when it is absent."""
    if find_spec("resolvedkit") is None:
        raise SampleAbsentError(
            'the sample market data is not installed: pip install "polymarket-market-maker[samples]", '
            "or pip install resolvedkit"
        )
    return Path(str(resources.files("resolvedkit") / "sample_data"))


def read_markets(path: Path) -> list[Market]:
    """The markets of the folder in the order of their start."""
    rows = parquet.read_table(path / "markets.parquet", columns=list(_MARKET_COLUMNS)).to_pylist()
    markets = [
        Market(
            row["market_id"],
            row["slug"],
            row["start_ts"],
            row["end_ts"],
            paid_outcome(row["payout_up"], row["payout_down"]),
        )
        for row in rows
    ]
    return sorted(markets, key=lambda market: (market.start_ms, market.slug))


def paid_outcome(up: float | None, down: float | None) -> Outcome | None:
    """The outcome that paid $1; None when neither or both did."""
    if (up, down) == (1.0, 0.0):
        return "CALL"
    return "PUT" if (up, down) == (0.0, 1.0) else None


def _books_of(table: Any, market: Market) -> Iterator[tuple[Outcome, Books]]:
    """Both tokens' books of a market in the order of the file."""
    own = table.filter(compute.equal(table["market_id"], market.market_id))
    for side, outcome in _SIDES.items():
        rows = own.filter(compute.equal(own["side"], side))
        at_ns = rows["ts"].to_numpy().astype(np.int64) * NS_PER_MS
        yield (
            outcome,
            Books(at_ns, at_ns, _side(rows["bid_px"], rows["bid_sz"]), _side(rows["ask_px"], rows["ask_sz"])),
        )


def _side(prices: Any, shares: Any) -> BookSide:
    """Two list columns as one side. Raises ValueError when prices and sizes do not pair up."""
    counts = _counts(prices)
    if not np.array_equal(counts, _counts(shares)):
        raise ValueError("books.parquet has levels with a price but no size, or the other way round")
    return BookSide(counts, _floats(prices), _floats(shares))


def _counts(lists: Any) -> NDArray[np.int64]:
    return np.asarray(compute.fill_null(compute.list_value_length(lists), 0).to_numpy(), np.int64)


def _floats(lists: Any) -> NDArray[np.float64]:
    return np.asarray(compute.list_flatten(lists).to_numpy(), np.float64)


def _count_strangers(table: Any, listed: dict[str, Market], drops: Counter[str]) -> None:
    """Count books of no listed market or of no known side."""
    for column, known, reason in (
        ("market_id", [market.market_id for market in listed.values()], "book_of_unlisted_market"),
        ("side", list(_SIDES), "unknown_side"),
    ):
        strangers = len(table) - compute.sum(compute.is_in(table[column], pa.array(known, table[column].type))).as_py()
        if strangers:
            drops[reason] += strangers

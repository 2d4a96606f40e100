"""Best bid and ask of both tokens each second, one CSV a period: `prices_<YYYYmmdd>_<HHMM>.csv` of BTC 15 minutes.

The name is the start of the period (UTC). The first rows of a file can still be the book of the market before.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from backtest.events import OUTCOMES, Events, Label
from backtest.importers.book_recording import BookRecording
from backtest.importers.columns import Books, chosen_slugs, top_side
from backtest.importers.eras import announcements, fee_notes
from shared.market import NS_PER_S, Series, parse_slug
from shared.messages import Outcome

SERIES = Series.parse("btc-15m")
ASSUMED_SHARES = 100.0
PREVIOUS_BOOK_S = 10  # so long after a start a file may still show the market before it
SILENCE_S = 5
NS_PER_MS = 1_000_000
_FINAL_ROWS_S = 3  # an outcome is read off the book only this near the end
_DECIDED = 0.9  # and only from a mid at least this far up (or as far down)
_NAME = "prices_%Y%m%d_%H%M"
_COLUMNS = ("timestamp_ms", "call_bid", "call_ask", "put_bid", "put_ask")
_NOTES = (
    "Each row carries one time, of the recorder; it stands for the venue's clock and for our receipt.",
    f"Only best prices were recorded. Every level is given {ASSUMED_SHARES:g} shares, near the median (123) of the "
    "best levels of recorded 15-minute books with sizes: queue positions and sizes of fills rest on that assumption.",
    f"The first {PREVIOUS_BOOK_S} s of each file are refused: they can be the market before.",
    "Both tokens of a row were not always read at one instant: their books may disagree for a row, as recorded.",
    f"Silences over {SILENCE_S} s inside a period are outages, from {SILENCE_S} s after the last row.",
    "Trades were not recorded: nothing fills passively unless trades are concluded from the books.",
    "Neither the exchanges nor the oracle were recorded, nor the strike: without prices the engine does not quote.",
    "No payout was recorded: an outcome is what the book said in its last seconds, when that was clear.",
    "The tick is 0.01 until the first price off that grid, then 0.001 for both tokens.",
)


class _FileRows(NamedTuple):
    """The columns of one file."""

    recv_ns: NDArray[np.int64]
    prices: dict[str, NDArray[np.float64]]


def is_mine(path: Path) -> bool:
    """Whether this is such a file, or a folder that holds one."""
    files = files_in(path)
    if not files:
        return False
    try:
        with next(iter(files.values())).open(newline="") as file:
            return set(_COLUMNS) <= set(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def files_in(path: Path) -> dict[str, Path]:
    """The files of a folder (or the one file) by the slug of their period, in order of time."""
    found = {}
    for file in sorted(path.glob("prices_*.csv")) if path.is_dir() else [path]:
        try:
            start = datetime.strptime(file.stem, _NAME).replace(tzinfo=UTC)
        except ValueError:
            continue
        start_s = round(start.timestamp())
        if start_s % SERIES.length_s == 0 and file.suffix == ".csv" and file.is_file():
            found[SERIES.slug(start_s)] = file
    return found


def read(path: Path, *, markets: Sequence[str] = (), progress: bool = False) -> Events:
    """The files' periods, or those of these slugs or series. ValueError when it cannot be read as this format."""
    if not is_mine(path):
        raise ValueError(f"{path} holds no prices_<YYYYmmdd>_<HHMM>.csv with the columns {', '.join(_COLUMNS)}")
    files = files_in(path)
    slugs = chosen_slugs(files, markets)
    recording = BookRecording(silence_s=SILENCE_S)
    for slug in track(slugs, description="reading files", disable=not progress, transient=True):
        rows = _rows_in(files[slug])
        both = recording.take_books(slug, _books_of(rows, slug, recording.drops))
        if both is None:
            recording.drops["file_without_books"] += 1
            continue
        announced = announcements(slug, seen_ns=int(rows.recv_ns[0]))
        recording.announce(announced)
        call = both["CALL"]
        ended = outcome_in_book(
            call.recv_ns, call.bids.best(absent=0.0), call.asks.best(absent=1.0), announced[0].end_ns
        )
        if ended is None:
            recording.drops["period_without_outcome"] += 1
        else:
            recording.label(Label(slug, ended, "book"))
    return recording.events("top_of_book", (*_NOTES, *fee_notes(slugs)))


def outcome_in_book(
    recv_ns: NDArray[np.int64], bids: NDArray[np.float64], asks: NDArray[np.float64], end_ns: int
) -> Outcome | None:
    """What CALL's book said in its last seconds; None when it ended earlier or was not clear."""
    if not len(recv_ns) or recv_ns[-1] < end_ns - _FINAL_ROWS_S * NS_PER_S:
        return None
    mid = 0.5 * (bids[-1] + asks[-1])
    if mid >= _DECIDED:
        return "CALL"
    return "PUT" if mid <= 1.0 - _DECIDED else None


def _rows_in(file: Path) -> _FileRows:
    try:
        table = pd.read_csv(file, usecols=list(_COLUMNS))
        at_ns = table["timestamp_ms"].to_numpy(np.int64) * NS_PER_MS
        prices: dict[str, NDArray[np.float64]] = {name: table[name].to_numpy(np.float64) for name in _COLUMNS[1:]}
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    return _FileRows(at_ns, prices)


def _books_of(rows: _FileRows, slug: str, drops: Counter[str]) -> dict[Outcome, Books]:
    """Both tokens' books of a file; an empty side is 0 or 1 there."""
    start_ns = parse_slug(slug)[1] * NS_PER_S
    own = rows.recv_ns >= start_ns + PREVIOUS_BOOK_S * NS_PER_S
    if not own.all():
        drops["may_be_previous_market"] += int((~own).sum()) * len(OUTCOMES)
    at_ns = rows.recv_ns[own]
    return {
        outcome: Books(
            at_ns,
            at_ns,
            top_side(rows.prices[f"{outcome.lower()}_bid"][own], shares=ASSUMED_SHARES, absent=0.0),
            top_side(rows.prices[f"{outcome.lower()}_ask"][own], shares=ASSUMED_SHARES, absent=1.0),
        )
        for outcome in OUTCOMES
    }

"""A recording of any known make as events.

A new make is a module with `is_mine(path)` and `read(path, markets=..., progress=...)`, and its place in `IMPORTERS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from backtest.events import Events
from backtest.events_io import ABOUT, EventsError, is_events_folder, read_many
from backtest.importers import bus_log_io, frames_io, resolvedkit_io, top_of_book_io, windows_io
from backtest.importers.book_implied import with_implied_prices
from backtest.importers.inferred_trades import with_inferred_trades


class Importer(Protocol):
    """What a module in `IMPORTERS` has."""

    def is_mine(self, path: Path) -> bool:
        """Whether this module reads that path; looks at names and a first record, never at everything."""

    def read(self, path: Path, *, markets: Sequence[str], progress: bool) -> Events:
        """The events; of these series only, of all when none is named. Raises ValueError."""


# The first that says it is its own reads it.
IMPORTERS: tuple[Importer, ...] = (bus_log_io, frames_io, resolvedkit_io, top_of_book_io, windows_io)
UNDERSTOOD = (
    "a folder of events, a folder of such folders, a folder that --record wrote (bus or frames), "
    "a folder as resolvedkit, top-of-book CSVs or windows as JSON (docs/backtest.md)"
)


def import_any(path: Path, *, markets: Sequence[str] = (), progress: bool = False) -> Events:
    """Events from a path of any known make; what it lacks is concluded from its books, and `notes` say so.

    Without prices of its own they are implied by the book; without trades the book's sweeps are taken as trades. Raises
    `EventsError` naming what is understood, or what is wrong.
    """
    if not path.exists():
        raise EventsError(f"{path}: not found; give {UNDERSTOOD}")
    if path.is_dir() and ((path / ABOUT).exists() or any(is_events_folder(each) for each in path.iterdir())):
        return read_many([path])
    for importer in IMPORTERS:
        if importer.is_mine(path):
            try:
                return completed(importer.read(path, markets=markets, progress=progress))
            except EventsError:
                raise
            except ValueError as error:
                raise EventsError(f"{path}: {error}") from error
    raise EventsError(f"{path}: not a recording of a known make; give {UNDERSTOOD}")


def completed(events: Events) -> Events:
    """The events, with prices and trades concluded from the books where none were recorded."""
    if not len(events.books):
        return events
    if not len(events.oracle) and not len(events.spot):
        events = with_implied_prices(events)
    return events if len(events.trades) else with_inferred_trades(events)

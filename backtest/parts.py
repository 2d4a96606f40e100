"""What a backtest runs on, in parts that different processes can work on: each is read, played, and kept as tapes.

A part is a sample's chunk, a folder of events, or a recording of any known make. `first_pass` plays parts under one
configuration; what is finished is on disk, so that an interrupt loses only what was being worked on.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from backtest.events import Events
from backtest.events_io import ABOUT, is_events_folder, read_events
from backtest.importers.detect_io import import_any
from backtest.tape_io import keep_tapes
from shared.config import MMConfig
from shared.messages import Period


class Part(Protocol):
    """Something that events can be had from, in any process."""

    @property
    def name(self) -> str:
        """For progress bars and messages."""
        ...

    def load(self) -> Events:
        """The events, checked. Raises `EventsError`."""
        ...


class EventsFolder(NamedTuple):
    """A folder that `write_events` wrote."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's."""
        return self.path.name

    def load(self) -> Events:
        """Read it."""
        return read_events(self.path)


class Recording(NamedTuple):
    """A recording that an importer understands."""

    path: Path
    markets: tuple[str, ...]

    @property
    def name(self) -> str:
        """The path's last part."""
        return self.path.name

    def load(self) -> Events:
        """Import it."""
        return import_any(self.path, markets=self.markets)


class Played(NamedTuple):
    """A part after the first pass: where its tapes are, and what there is to say of its events."""

    name: str
    tapes: tuple[Path, ...]  # one for each configuration
    source: str
    notes: tuple[str, ...]
    drops: dict[str, int]
    events: int


def parts_of(paths: Sequence[Path], markets: Sequence[str]) -> list[Part]:
    """The parts of these paths: a folder of events folders is one part each."""
    found: list[Part] = []
    for path in paths:
        if is_events_folder(path):
            found.append(EventsFolder(path))
        elif path.is_dir() and any(is_events_folder(each) for each in path.iterdir()):
            found.extend(EventsFolder(each) for each in sorted(path.iterdir()) if (each / ABOUT).exists())
        else:
            found.append(Recording(path, tuple(markets)))
    return found


def play_part(part: Part, configs: Sequence[MMConfig], markets: Sequence[str], folder: Path) -> Played:
    """Play one part under each configuration, and keep its tapes in `folder`, unless they lie there already."""
    events = part.load()
    chosen = tuple(markets) or tuple(sorted({period.market for period in events.periods}))
    own = _of_markets(events, chosen)
    places = keep_tapes(own, configs, chosen, folder)
    return Played(part.name, tuple(places), own.source, own.notes, dict(own.drops), own.total)


def first_pass(
    parts: Sequence[Part],
    configs: Sequence[MMConfig],
    markets: Sequence[str],
    folder: Path,
    *,
    workers: int = 1,
    finished: Callable[[str], None] = lambda _: None,
) -> Iterator[Played]:
    """Play parts in several processes; yields them in the order given. `finished` hears the name of each.

    Ctrl-C ends it early: what other processes work on is finished, what was not begun is left out. A second one is
    raised as soon as they are done.
    """
    if workers == 1 or len(parts) < 2:
        for part in parts:
            try:
                played = play_part(part, configs, markets, folder)
            except KeyboardInterrupt:
                return
            finished(part.name)
            yield played
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(parts)), mp_context=context, initializer=_leave_interrupts)
    try:
        futures: list[Future[Played]] = [pool.submit(play_part, part, configs, markets, folder) for part in parts]
        names = dict(zip(futures, (part.name for part in parts), strict=True))
        waiting, is_interrupted = set(futures), False
        while waiting:
            try:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    finished(names[future])
            except KeyboardInterrupt:
                if is_interrupted:
                    raise
                is_interrupted = True
                waiting = {each for each in waiting if not each.cancel()}
        yield from (future.result() for future in futures if not future.cancelled())
    finally:
        pool.shutdown(cancel_futures=True)


def told(played: Sequence[Played]) -> tuple[str, tuple[str, ...], dict[str, int]]:
    """Sources, notes and drops of all parts together."""
    drops: Counter[str] = Counter()
    for each in played:
        drops.update(each.drops)
    names = tuple(dict.fromkeys(each.source for each in played))
    notes = tuple(dict.fromkeys(note for each in played for note in each.notes))
    return ", ".join(names), notes, dict(drops)


def _of_markets(events: Events, markets: Sequence[str]) -> Events:
    """Only the periods, books and trades of these series."""
    wanted = frozenset(markets)
    periods: list[Period] = [each for each in events.periods if each.market in wanted]
    slugs = {each.slug for each in periods}
    places = [place for place, name in enumerate(events.names) if name in slugs]
    return events._replace(
        periods=tuple(periods),
        books=events.books[np.isin(events.books["slug"], places)],
        trades=events.trades[np.isin(events.trades["slug"], places)],
        labels=tuple(each for each in events.labels if each.slug in slugs),
    )


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

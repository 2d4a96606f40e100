"""Tapes on disk, so that the first pass of the same events under the same settings runs once.

A tape is kept under a name made of the events, the settings that the first pass reads, and the text of the code that
wrote it: another of these, another name. Nothing is ever taken for something else, so nothing need be deleted but for
the room it takes.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from backtest.event_messages import messages
from backtest.events import Events
from backtest.tape import Progress, Tape, are_played_together, tape_key, tapes_under
from shared.config import MMConfig
from shared.messages import Outcome, Period

_ROOT = Path(__file__).parents[1]
_FIRST_PASS = ("shared", "services/analyzers", "services/quoter", "backtest/tape.py", "backtest/session.py")
_MESSAGES = ("backtest/event_messages.py", "backtest/events.py", "backtest/records.py")
_SECOND_PASS = ("backtest/loop.py", "backtest/engine.py", "backtest/evaluator.py", "services/executor")
_ARRAYS = tuple(name for name in Tape._fields if name not in ("period", "winner"))


class _Head(msgspec.Struct):
    """What of a tape is not an array."""

    period: Period
    winner: Outcome | None


@cache
def code_hash() -> str:
    """The text of everything that decides what is on a tape."""
    return _text_hash((*_FIRST_PASS, *_MESSAGES))


@cache
def engine_hash() -> str:
    """The text of everything that decides what a run earns: tapes, the loop, the plan of the orders."""
    return _text_hash((*_FIRST_PASS, *_MESSAGES, *_SECOND_PASS))


def _text_hash(names: Sequence[str]) -> str:
    found = hashlib.sha256(np.__version__.encode())
    for name in names:
        path = _ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(file.relative_to(_ROOT).as_posix().encode() + file.read_bytes())
    return found.hexdigest()[:16]


def events_hash(events: Events) -> str:
    """A short identity of everything that happened."""
    found = hashlib.blake2b(digest_size=12)
    for rows in (events.spot, events.oracle, events.books, events.levels, events.trades, events.outages):
        found.update(np.ascontiguousarray(rows).data)
    found.update(msgspec.msgpack.encode([events.names, events.periods, events.labels]))
    return found.hexdigest()


def keep_tapes(
    events: Events,
    configs: Sequence[MMConfig],
    markets: Sequence[str],
    folder: Path,
    *,
    progress: Progress | None = None,
) -> list[Path]:
    """Where in `folder` the tapes of these events under each configuration lie; those that do not yet are written."""
    places = [folder / tape_name(events, config, markets) for config in configs]
    missing = {place: config for place, config in zip(places, configs, strict=True) if not place.is_dir()}
    while missing:
        first = next(iter(missing.values()))
        together = {place: each for place, each in missing.items() if are_played_together(each, first)}
        played = tapes_from(events, tuple(together.values()), markets, progress=progress)
        for place, tapes in zip(together, played, strict=True):
            write_tapes(tapes, place)
            del missing[place]
    return places


def tapes_from(
    events: Events, configs: Sequence[MMConfig], markets: Sequence[str], *, progress: Progress | None = None
) -> list[list[Tape]]:
    """The tapes of these events under each configuration. Periods of which nothing was seen have none."""
    if not markets:  # of events without a period
        return [[] for _ in configs]
    winners = {label.slug: label.outcome for label in events.labels}
    written = tapes_under(messages(events), configs, markets, winners, progress=progress)
    return [[tape for tape in tapes if _was_seen(tape)] for tapes in written]


def tape_name(events: Events, config: MMConfig, markets: Sequence[str]) -> str:
    """The name that these tapes are kept under."""
    parts = (events_hash(events), tape_key(config), code_hash(), *sorted(markets))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]


def write_tapes(tapes: Sequence[Tape], folder: Path) -> None:
    """Write tapes into a new folder, whole or not at all."""
    unfinished = folder.with_name(f"{folder.name}.{secrets.token_hex(8)}")
    unfinished.mkdir(parents=True)
    try:
        for place, tape in enumerate(tapes):
            head = np.frombuffer(msgspec.msgpack.encode(_Head(tape.period, tape.winner)), np.uint8)
            arrays: dict[str, Any] = {name: getattr(tape, name) for name in _ARRAYS}
            np.savez(unfinished / f"{place:06d}.npz", head=head, **arrays)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # else somebody was faster: the same name, the same tapes
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def read_tapes(folder: Path) -> list[Tape]:
    """The tapes in a folder, in the order in which they were written."""
    return [_read(path) for path in sorted(folder.glob("*.npz"))]


def _read(path: Path) -> Tape:
    with np.load(path, allow_pickle=False) as kept:
        head = msgspec.msgpack.decode(kept["head"].tobytes(), type=_Head)
        return Tape(period=head.period, winner=head.winner, **{name: kept[name] for name in _ARRAYS})


def _was_seen(tape: Tape) -> bool:
    times = tape.steps["now_ns"]
    return bool(len(tape.books)) and bool(((times >= tape.period.start_ns) & (times < tape.period.end_ns)).any())

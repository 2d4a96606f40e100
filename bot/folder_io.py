"""The output folder: one bot at a time, and never a quote without a living sink."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock
import msgspec

from services.sink.core import QUOTES_FILE, file_names, pulled_files
from services.sink.files_io import replace_file, replace_files

LOCK_FILE = ".mm_bot.lock"
BOT_FILE = "mm_bot.json"


class BotFile(msgspec.Struct, frozen=True, kw_only=True):
    """`mm_bot.json`: which bot runs on this folder, and where its bus is."""

    pid: int
    bus: str
    markets: tuple[str, ...]
    venues: str


class FolderTakenError(Exception):
    """Another bot runs on this folder."""


@contextlib.contextmanager
def lock_folder(folder: Path, bot: BotFile) -> Iterator[None]:
    """Hold the folder for one bot. Raises FolderTakenError, which names the pid of the other."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        other = read_bot_file(folder)
        who = "another bot" if other is None else f"another bot (pid {other.pid})"
        raise FolderTakenError(f"{who} runs on {folder}: stop it, or choose another folder with --out") from None
    try:
        replace_file(folder / BOT_FILE, msgspec.json.encode(bot))
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / BOT_FILE).unlink()
        lock.release()


def read_bot_file(folder: Path) -> BotFile | None:
    """The bot that runs (or ran) on this folder; None when nothing says so."""
    try:
        return msgspec.json.decode((folder / BOT_FILE).read_bytes(), type=BotFile)
    except (OSError, msgspec.DecodeError):
        return None


def pull_quotes(folder: Path, markets: Sequence[str], *reasons: str) -> None:
    """Write PULL_QUOTES for every market, on behalf of a sink that does not live."""
    replace_files(folder, pulled_files(markets, time.time_ns(), *reasons))


def quotes_age_s(folder: Path, markets: Sequence[str]) -> float | None:
    """Seconds since the oldest of the quotes files was replaced; None when one is missing."""
    names = {name for each in file_names(markets).values() for name in each} or {QUOTES_FILE}
    try:
        oldest_s = min((folder / name).stat().st_mtime for name in names)
    except OSError:
        return None
    return time.time() - oldest_s

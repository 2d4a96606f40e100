"""The output folder: one bot at a time, and never a quote without a living sink."""

from __future__ import annotations

import contextlib
import os
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
    """`mm_bot.json`: which bot runs on this folder, where its bus is, and what becomes of its fills."""

    pid: int
    bus: str
    markets: tuple[str, ...]
    venues: str
    notice: str = ""


class FolderTakenError(Exception):
    """Another bot runs on this folder."""


class FolderUnusableError(Exception):
    """The folder cannot be made or written to; the text names it and says why."""


class _Promise(msgspec.Struct):
    """What a quotes file says of how long it may be relied on; `valid_until` in Unix milliseconds."""

    action: str
    valid_until: int


@contextlib.contextmanager
def lock_folder(folder: Path, bot: BotFile) -> Iterator[None]:
    """Hold the folder for one bot. Raises FolderTakenError, which names the other's pid, or FolderUnusableError."""
    lock = filelock.FileLock(folder / LOCK_FILE, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        replace_file(folder / BOT_FILE, msgspec.json.encode(bot))
    except filelock.Timeout:
        other = read_bot_file(folder)
        who = "another bot" if other is None else f"another bot (pid {other.pid})"
        raise FolderTakenError(f"{who} runs on {folder}: stop it, or choose another folder with --out") from None
    except OSError as error:
        lock.release()
        raise FolderUnusableError(f"cannot write to the output folder {folder}: {error.strerror}") from error
    try:
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


def is_running(folder: Path, pid: int) -> bool:
    """Whether the bot of this pid still runs on the folder: it says so, and it lives."""
    bot = read_bot_file(folder)
    if bot is None or bot.pid != pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def pull_quotes(folder: Path, markets: Sequence[str], *reasons: str) -> OSError | None:
    """Write PULL_QUOTES for every market, on behalf of a sink that does not live.

    Returns the fault when the folder refuses; what could not be written is then removed.
    """
    try:
        replace_files(folder, pulled_files(markets, time.time_ns(), *reasons))
    except OSError as error:
        return error
    return None


def overdue_s(folder: Path, markets: Sequence[str]) -> float:
    """For how many seconds a quotes file shows quotes past their `valid_until`, the worst of them; 0 when none does."""
    now_s = time.time()
    worst_s = 0.0
    for name in {name for each in file_names(markets).values() for name in each}:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            promise = msgspec.json.decode((folder / name).read_bytes(), type=_Promise)
            if promise.action != "PULL_QUOTES":
                worst_s = max(worst_s, now_s - promise.valid_until / 1000)
    return worst_s


def quotes_age_s(folder: Path, markets: Sequence[str]) -> float | None:
    """Seconds since the oldest of the quotes files was replaced; None when one is missing."""
    names = {name for each in file_names(markets).values() for name in each} or {QUOTES_FILE}
    try:
        oldest_s = min((folder / name).stat().st_mtime for name in names)
    except OSError:
        return None
    return time.time() - oldest_s

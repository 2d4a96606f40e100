"""Log files of the parts: each child writes its own, so that no child ever waits for the supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

MAX_LOG_BYTES = 8 << 20
_TAIL_BYTES = 16_384


def open_log(path: Path) -> int:
    """A file descriptor that appends; the caller closes it after the child inherited it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def cap_log(path: Path, max_bytes: int = MAX_LOG_BYTES) -> bool:
    """Keep a log that grew too large as `<name>.1` and empty it, whoever has it open; True when it did."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > max_bytes:
            kept = path.with_name(path.name + ".1")
            try:
                shutil.copyfile(path, kept)
            except OSError:  # a full disk: the space is needed more than the old lines
                with contextlib.suppress(OSError):
                    kept.unlink(missing_ok=True)
            os.truncate(path, 0)
            return True
    return False


def tail(path: Path, since: int = 0) -> list[str]:
    """The last lines written after this offset, oldest first."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(since if since <= end else 0, end - _TAIL_BYTES)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def last_words(lines: list[str]) -> str:
    """A part's last complaint, in one line: the event and its error, or the last line of a traceback."""
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            return line.strip()[:300]
        if isinstance(entry, dict) and entry.get("event") and entry.get("level") not in ("debug", "info"):
            words = [str(entry[key]) for key in ("event", "error", "reason") if entry.get(key)]
            return ": ".join(words)[:300]
    return ""

"""Bookings as files: whoever cannot ask over the bus drops `mm_hedge*.json` into a folder.

One file is one booking: a JSON object with the fields of `shared/requests.py`, `{"query": "book_fill", ...}`. A booked
file is renamed to `<name>.booked`, a refused one to `<name>.refused` with the reason in `<name>.reason`. A file that is
half written or cannot be read, or whose booking the ledger cannot take yet, waits; the others are taken meanwhile. A
crash between booking and renaming is harmless: the id counts once.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from stat import S_ISREG

import msgspec

from shared.requests import Answer, Booking, encode_question

PATTERN = "mm_hedge*.json"
HALF_WRITTEN_S = 5.0  # a file that is no JSON may still be growing, for so long after its last change
LARGEST_BYTES = 1 << 16
MOST_FILES = 500  # in one pass: requests wait as long

_decode = msgspec.json.Decoder(Booking).decode


class DropFolder:
    """A watched folder, made when there is none. Raises OSError when that fails."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._said: dict[str, str] = {}
        self._last: Path | None = None  # where the pass before ended, when it did not see all files

    def take(self, answer_all: Callable[[list[bytes]], list[Answer]], *, now_s: float) -> list[str]:
        """Book what waits, all together; returns what the log should say. A folder that refuses is such a text."""
        try:
            return self._take(answer_all, now_s)
        except OSError as error:
            return self._once("", f"the drop folder {self._folder} refuses: {error}")

    def _take(self, answer_all: Callable[[list[bytes]], list[Answer]], now_s: float) -> list[str]:
        said: list[str] = []
        files: list[Path] = []
        questions: list[bytes] = []
        for path in self._next_files():
            try:
                booking = self._read(path, now_s)
            except _UnsoundError as error:
                said += self._refuse(path, f"malformed: {error}")
            except OSError as error:
                said += self._once(path.name, f"{path.name} cannot be read: {error.strerror}")
            else:
                if booking is not None:
                    files.append(path)
                    questions.append(encode_question(booking))
        if not questions:
            return said
        for path, answer in zip(files, answer_all(questions), strict=True):
            if answer.status == "ok":
                said += self._put_aside(path)
            elif answer.status == "unavailable":
                said += self._once(path.name, f"{path.name} waits: {answer.detail}")
            else:
                said += self._refuse(path, answer.detail)
        return said

    def _put_aside(self, path: Path) -> list[str]:
        try:
            os.replace(path, f"{path}.booked")
        except OSError as error:
            return self._once(path.name, f"{path.name} is booked and cannot be renamed: {error.strerror}")
        self._said.pop(path.name, None)
        return []

    def _next_files(self) -> list[Path]:
        """Those of this pass in order of their names; of too many, those after the last ones, so that all come by."""
        paths = sorted(self._folder.glob(PATTERN))
        if len(paths) > MOST_FILES:
            first = 0 if self._last is None else bisect_right(paths, self._last)
            paths = (paths[first:] + paths[:first])[:MOST_FILES]
            self._last = paths[-1]
        return paths

    def _read(self, path: Path, now_s: float) -> Booking | None:
        """The booking, or None while it may still be growing. Raises _UnsoundError, OSError."""
        stat = path.stat()
        if not S_ISREG(stat.st_mode):
            raise OSError(None, "it is no file")
        if stat.st_size > LARGEST_BYTES:
            raise _UnsoundError(f"larger than {LARGEST_BYTES} bytes")
        try:
            booking: Booking = _decode(path.read_bytes())
        except (ValueError, RecursionError) as error:
            if now_s - stat.st_mtime >= HALF_WRITTEN_S:
                raise _UnsoundError(str(error)) from error
            return None
        return booking

    def _refuse(self, path: Path, reason: str) -> list[str]:
        try:
            path.with_name(f"{path.name}.reason").write_text(reason + "\n", encoding="utf-8")
            os.replace(path, f"{path}.refused")
        except OSError as error:
            return self._once(path.name, f"{path.name} is refused and cannot be renamed ({error.strerror}): {reason}")
        self._said.pop(path.name, None)
        return [f"{path.name} refused: {reason}"]

    def _once(self, name: str, text: str) -> list[str]:
        if self._said.get(name) == text:
            return []
        self._said[name] = text
        return [text]


class _UnsoundError(Exception):
    """The file is no booking, and will be none."""

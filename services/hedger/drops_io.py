"""Bookings as files: whoever cannot ask over the bus drops `mm_hedge*.json` into a folder.

One file is one booking: a JSON object with the fields of `shared/requests.py`, `{"query": "book_fill", ...}`. A booked
file is renamed to `<name>.booked`, a refused one to `<name>.refused` with the reason in `<name>.reason`. A file that is
half written, or whose booking the ledger cannot take yet, waits. A crash between booking and renaming is harmless: the
id counts once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from shared.requests import Answer, Booking, encode_question

PATTERN = "mm_hedge*.json"
HALF_WRITTEN_S = 5.0  # a file that is no JSON may still be growing, for so long after its last change
LARGEST_BYTES = 1 << 16

_decode = msgspec.json.Decoder(Booking).decode


class DropFolder:
    """A watched folder, made when there is none. Raises OSError when that fails."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._said: dict[str, str] = {}

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
        for path in sorted(self._folder.glob(PATTERN)):
            stat = path.stat()
            if stat.st_size > LARGEST_BYTES:
                said += self._refuse(path, f"malformed: larger than {LARGEST_BYTES} bytes")
                continue
            try:
                booking: Booking = _decode(path.read_bytes())
            except (ValueError, RecursionError) as error:
                if now_s - stat.st_mtime >= HALF_WRITTEN_S:
                    said += self._refuse(path, f"malformed: {error}")
                continue
            files.append(path)
            questions.append(encode_question(booking))
        if not questions:
            return said
        for path, answer in zip(files, answer_all(questions), strict=True):
            if answer.status == "ok":
                os.replace(path, f"{path}.booked")
                self._said.pop(path.name, None)
            elif answer.status == "unavailable":
                said += self._once(path.name, f"{path.name} waits: {answer.detail}")
            else:
                said += self._refuse(path, answer.detail)
        return said

    def _refuse(self, path: Path, reason: str) -> list[str]:
        path.with_name(f"{path.name}.reason").write_text(reason + "\n", encoding="utf-8")
        os.replace(path, f"{path}.refused")
        self._said.pop(path.name, None)
        return [f"{path.name} refused: {reason}"]

    def _once(self, name: str, text: str) -> list[str]:
        if self._said.get(name) == text:
            return []
        self._said[name] = text
        return [text]

"""Text output that a full disk, or a reader that left, cannot turn into a crash."""

from __future__ import annotations

import contextlib
from typing import TextIO


class LossyText:
    """A text file that loses what cannot be written, and nothing else: a full disk, a pipe that nobody reads."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write, or lose it."""
        try:
            return self._file.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush, or try again at the next."""
        with contextlib.suppress(OSError):
            self._file.flush()

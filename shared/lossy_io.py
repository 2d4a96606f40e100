"""Text output that a full disk cannot turn into a crash."""

from __future__ import annotations

from typing import TextIO


class LossyText:
    """A text file whose full disk costs what is written there and nothing else. A reader that left still raises."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write, or lose it."""
        try:
            return self._file.write(text)
        except BrokenPipeError:
            raise
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush, or try again at the next."""
        try:
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError:
            pass

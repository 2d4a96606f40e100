"""Short texts inside a state record: zero-padded UTF-8 in a row of bytes (compiled code cannot hold strings)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def write_text(row: NDArray[np.uint8], text: str) -> None:
    """Put a text into a row of bytes; raises ValueError when it does not fit."""
    encoded = text.encode()
    if len(encoded) > len(row):
        raise ValueError(f"{text!r} does not fit into {len(row)} bytes")
    row[:] = 0
    row[: len(encoded)] = np.frombuffer(encoded, np.uint8)


def read_text(row: NDArray[np.uint8]) -> str:
    """The text in a row of bytes."""
    return bytes(row).rstrip(b"\0").decode()

"""Between kernels and messages: a kernel says "no answer" with NaN, a message says it with None."""

from __future__ import annotations

import math


def answer(number: float) -> float | None:
    """The number, or None when the kernel had no answer (NaN, or an infinity that must not reach the bus)."""
    return number if math.isfinite(number) else None

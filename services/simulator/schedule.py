"""The world's own queue of things to come: a discrete-event schedule without a clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Act = Callable[[int], None]  # called with its Unix ms


class _Due(NamedTuple):
    ts_ms: int
    order: int  # no two are equal, so acts are never compared
    act: Act


class Schedule:
    """Acts in order of time, and of planning where times are equal."""

    def __init__(self) -> None:
        self._queue: list[_Due] = []
        self._planned = 0

    def __len__(self) -> int:
        return len(self._queue)

    def at(self, ts_ms: int, act: Act) -> None:
        """Plan an act."""
        self._planned += 1
        heapq.heappush(self._queue, _Due(ts_ms, self._planned, act))

    def pop(self, until_ms: int) -> _Due | None:
        """The next act up to and including an instant, None when there is none."""
        if not self._queue or self._queue[0].ts_ms > until_ms:
            return None
        return heapq.heappop(self._queue)


def poisson_ms(rng: np.random.Generator, ts_ms: int, per_s: float) -> int:
    """The next arrival, at least 1 ms later, of a Poisson stream of that rate."""
    return ts_ms + max(1, round(1000.0 * float(rng.exponential(1.0 / per_s))))

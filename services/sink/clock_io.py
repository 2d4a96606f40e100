"""The sink's clock: elapsed time is measured, so that nobody who sets the wall clock prolongs a lease."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_NS = 20_000_000  # a wall clock that differs by more from the time that elapsed was set, or the machine slept


class Clock:
    """Wall time that advances by the monotonic clock, and steps only where the wall clock was seen to step."""

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, elapsed_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns = wall_ns
        self._elapsed_ns = elapsed_ns
        self._offset_ns = wall_ns() - elapsed_ns()

    def read(self) -> tuple[int, ...]:
        """The time now; at a step, the time as it would be without it and then the time with it."""
        elapsed_ns, wall_ns = self._elapsed_ns(), self._wall_ns()
        now_ns = elapsed_ns + self._offset_ns
        if abs(wall_ns - now_ns) <= STEP_NS:
            return (now_ns,)
        self._offset_ns = wall_ns - elapsed_ns
        return (now_ns, wall_ns)

"""The process's timer; that it ends a process is tested in `test_service.py`."""

from __future__ import annotations

import faulthandler
import os

import numba
import pytest

import shared.kernel  # noqa: F401 - it tells the watchdog of what is compiled
from shared.watchdog import COMPILING_S, Watchdog, watchdog


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of each timer that was set; 0 when none is left."""
    found: list[float] = []

    def set_timer(within_s: float, **_: bool) -> None:
        found.append(within_s)

    monkeypatch.setattr(faulthandler, "dump_traceback_later", set_timer)
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: found.append(0.0))
    return found


def test_patience_is_for_those_who_are_watched(timers: list[float]) -> None:
    dog = Watchdog()
    dog.be_patient()
    dog.expect(5.0)
    dog.be_patient()
    dog.expect(5.0)
    dog.rest()
    dog.be_patient()
    assert timers == [5.0, COMPILING_S, 5.0, 0.0]


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="kernels are not compiled")
def test_a_process_that_compiles_is_not_taken_for_hung(timers: list[float]) -> None:
    added = numba.njit(lambda one, other: one + other)  # in no cache
    watchdog.expect(5.0)
    assert added(1, 2) == 3
    watchdog.rest()
    assert timers == [5.0, COMPILING_S, 0.0]

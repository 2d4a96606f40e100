from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from backtest.warm import run_through
from shared.kernel import ShippedLocator, layout_of, pack_state, unpack_state

STATE = np.dtype([("mean", np.float64), ("count", np.int64)])


def test_a_state_comes_back_from_its_bytes() -> None:
    state = np.zeros(1, STATE)
    state["mean"] = 0.25
    state["count"] = 7
    restored = unpack_state(pack_state(state), dtype=STATE, layout=layout_of(STATE))
    assert restored == state
    restored["count"] += 1  # it is ours to change
    assert state["count"][0] == 7


def test_bytes_of_another_layout_are_refused() -> None:
    other = np.dtype([("mean", np.float64), ("total", np.int64)])
    with pytest.raises(ValueError, match="layout"):
        unpack_state(np.zeros(1, other).tobytes(), dtype=STATE, layout=layout_of(other))


def test_bytes_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        unpack_state(b"abc", dtype=STATE, layout=layout_of(STATE))


def quotes_of_a_minute_and_a_half() -> list[tuple[str, float | None, list[tuple[int, float]]]]:
    standing = run_through(steps=900)
    return [(each.action, each.fair_value, [(layer.ticks, layer.size) for layer in each.call]) for each in standing]


def test_kernels_run_the_same_uncompiled() -> None:
    """Which is how to step through them."""
    program = "from tests.shared.test_kernel import quotes_of_a_minute_and_a_half as run; print(run())"
    plain = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert plain.stdout.strip() == repr(quotes_of_a_minute_and_a_half())


def test_a_cache_that_cannot_be_written_is_found_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.config.CACHE_DIR", "/proc/nothing-can-be-made-here")
    locator = ShippedLocator.from_function(layout_of, __file__)
    assert locator.get_cache_path().startswith("/proc/nothing-can-be-made-here/")

"""Every event goes through compiled kernels; memory taken there would be taken a thousand times a second."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numba
import numpy as np
import pytest

from services.analyzers import flow_analyzer, lead_lag_analyzer, regime_analyzer, volatility_analyzer
from services.analyzers.core import AnalyzerCore, Kind
from shared.core import Delivery, Event
from shared.kernel import kernel
from shared.messages import Fill
from tests.builders import START_S, build
from tests.services.analyzers.fixtures import synthetic_market

# The kernels that Python calls. Each takes arrays from outside, and for each array Numba makes one handle a call.
ENTRIES: dict[Kind, tuple[ModuleType, tuple[str, ...]]] = {
    "lead_lag": (lead_lag_analyzer, ("on_tick", "read")),
    "regime": (regime_analyzer, ("on_quote", "on_history", "read")),
    "volatility": (volatility_analyzer, ("on_quote", "on_print", "on_history", "on_book", "on_time", "read")),
    "flow": (flow_analyzer, ("on_quote", "on_book", "on_trade", "on_fill", "on_time", "read", "read_quoting")),
}


class Handles:
    """Counts the arrays that are handed to kernels."""

    def __init__(self) -> None:
        self.count = 0
        self.called: set[str] = set()

    def counted(self, name: str, entry: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.count += sum(isinstance(each, np.ndarray) for each in arguments)
            self.called.add(name)
            return entry(*arguments)

        return call


@kernel
def _wasteful(states: Any) -> float:
    return float(np.zeros(3)[0] + states[0])


def allocations() -> int:
    """Allocations of compiled code so far in this process."""
    from numba.core.runtime import _nrt_python, rtsys

    _nrt_python.memsys_enable_stats()
    return int(rtsys.get_allocation_stats().alloc)


def market_with_fills() -> list[Event]:
    events = synthetic_market(seed=2, seconds=60)
    for i in range(20):
        fill = build(Fill, at_s=START_S + 1.0 + 2.0 * i, fill_id=f"f{i}", outcome="PUT" if i % 2 else "CALL")
        events.insert(len(events) * (i + 1) // 21, Delivery("Fill.btc-15m", 1, i + 1, fill))
    return events


@pytest.fixture(scope="module")
def market() -> list[Event]:
    return market_with_fills()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels are not compiled")
def test_an_allocation_in_a_kernel_would_be_seen() -> None:
    states = np.ones(1)
    _wasteful(states)
    before = allocations()
    _wasteful(states)
    assert allocations() - before > 1  # more than the handle of its argument


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels are not compiled")
@pytest.mark.parametrize("kind", list(ENTRIES))
def test_no_kernel_allocates(kind: Kind, market: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    core, half = AnalyzerCore(kind, ["btc-15m"]), len(market) // 2
    for event in market[:half]:  # the period begins, and whatever is not compiled yet compiles
        core.update(event)
    module, names = ENTRIES[kind]
    handles = Handles()
    for name in names:
        monkeypatch.setattr(module, name, handles.counted(name, getattr(module, name)))
    before = allocations()
    for event in market[half:]:
        core.update(event)
    taken = allocations() - before
    assert handles.called == set(names)
    assert handles.count > 1000
    assert taken == handles.count

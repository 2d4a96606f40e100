"""Fitted tiers stand where resting orders earn most."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.quoter.tiers import best_half_spread, profit_rate

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors"
ADVERSE, REBATE, SLOPE = 0.006, 0.0035, 0.3  # of the vectors' tiers


def vectors(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no vectors at {path}: this machine has only the repository")
    return json.loads(path.read_text())


def test_the_best_half_spread_and_its_profit_agree_with_the_vectors() -> None:
    """A loss that grows with the distance, a0 + a1 d, is a loss of a0 / (1 - a1) on 1 - a1 of the profit."""
    for case in vectors("fill_tiers.json")["cases"]:
        kept = 1.0 - case["adverse_a1"]
        adverse, rebate = case["adverse_a0"] / kept, case["rebate"] / kept
        best = best_half_spread(case["k"], adverse, rebate)
        assert best == pytest.approx(case["delta_star"], rel=1e-9)
        profit = kept * profit_rate(best, case["A"], case["k"], adverse, rebate)
        assert profit == pytest.approx(case["profit_rate_per_share"], rel=1e-9)
        for ticks, expected in case["grid_ticks_profit"].items():
            profit = kept * profit_rate(int(ticks) / 100, case["A"], case["k"], adverse, rebate)
            assert profit == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_the_profit_of_a_ladder_agrees_with_the_vectors() -> None:
    for case in vectors("fill_tiers.json")["tiers"]:
        kept = 1.0 - SLOPE
        earned = sum(
            size * kept * profit_rate(delta, 0.25, 60.0, ADVERSE / kept, REBATE / kept)
            for delta, size in zip(case["deltas"], case["sizes"], strict=True)
        )
        assert earned == pytest.approx(case["ev_per_s"], rel=1e-9)


def test_one_over_k_is_the_half_spread_of_a_maker_without_risk_aversion() -> None:
    case = vectors("glft.json")["xi_to_zero"]
    assert best_half_spread(case["k"], 0.0, 0.0) == pytest.approx(case["c1"], rel=1e-9)


@settings(deadline=None)
@given(
    decay=st.floats(5.0, 500.0),
    adverse=st.floats(0.0, 0.05),
    rebate=st.floats(0.0, 0.004),
    aside=st.floats(-0.02, 0.05),
)
def test_no_other_distance_earns_more(decay: float, adverse: float, rebate: float, aside: float) -> None:
    best = max(best_half_spread(decay, adverse, rebate), 0.0)
    other = max(best + aside, 0.0)
    most = profit_rate(best, 0.25, decay, adverse, rebate)
    assert profit_rate(other, 0.25, decay, adverse, rebate) <= most * (1.0 + 1e-12)


def test_orders_beyond_the_fair_value_fill_no_faster_than_at_it_and_lose_what_they_give_away() -> None:
    assert profit_rate(-0.02, 0.25, 60.0, 0.0, 0.0) == pytest.approx(0.25 * -0.02)
    assert math.isfinite(profit_rate(-0.5, 0.25, 1e5, 0.0, 0.0))

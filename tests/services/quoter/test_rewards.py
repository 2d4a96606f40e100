"""Fees, rebates and rewards are the venue's."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.quoter.rewards import layer_score, maker_rebate, rewarded_tick, taker_fee, two_sided_score
from shared.fees import fee_per_share

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors"


def vectors(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no vectors at {path}: this machine has only the repository")
    return json.loads(path.read_text())


def test_the_fee_and_the_rebate_agree_with_the_vectors() -> None:
    cases = vectors("fees_hedging.json")
    for case in cases["fees"]:
        rate, exponent = (0.25, 2.0) if "rate .25" in case["schedule"] else (0.07, 1.0)
        fee = case["shares"] * taker_fee(case["price"], rate, exponent)
        assert fee == pytest.approx(case["fee_usd"], rel=1e-9)
    for case in cases["fee_general"]:
        fee = taker_fee(case["price"], case["rate"], float(case["exponent"]))
        assert case["shares"] * fee == pytest.approx(case["fee"], rel=1e-9)
        if case["maker_rebate"] is not None:
            assert case["shares"] * maker_rebate(fee, 0.2) == pytest.approx(case["maker_rebate"], rel=1e-9)


@given(price=st.floats(-0.1, 1.1), exponent=st.sampled_from([1.0, 1.5, 2.0]))
def test_the_compiled_fee_is_the_curve_that_everybody_uses(price: float, exponent: float) -> None:
    assert taker_fee(price, 0.07, exponent) == pytest.approx(fee_per_share(price, 0.07, exponent), rel=1e-14)


def test_the_reward_score_agrees_with_the_vectors() -> None:
    for case in vectors("fees_hedging.json")["liquidity_rewards"]:
        sides = {"bid": 0.0, "ask": 0.0}
        for name, distance, size in case["orders"]:
            side = {"bid_up": "bid", "ask_down": "bid", "ask_up": "ask", "bid_down": "ask"}[name]
            sides[side] += layer_score(distance, case["max_spread"], float(size))
        assert sides["bid"] == pytest.approx(case["Q_one"], rel=1e-9)
        assert sides["ask"] == pytest.approx(case["Q_two"], rel=1e-9)
        assert two_sided_score(sides["bid"], sides["ask"], case["mid"]) == pytest.approx(case["Q_min"], rel=1e-9)


def test_one_side_alone_scores_a_third_while_the_mid_is_not_extreme() -> None:
    assert two_sided_score(90.0, 0.0, 0.5) == 30.0
    assert two_sided_score(90.0, 60.0, 0.5) == 60.0
    assert two_sided_score(0.0, 90.0, 0.1) == two_sided_score(90.0, 0.0, 0.9) == 30.0
    assert two_sided_score(0.0, 90.0, 0.095) == two_sided_score(90.0, 0.0, 0.905) == 0.0


def test_an_order_out_of_reach_scores_nothing_and_one_beyond_the_mid_as_at_it() -> None:
    assert layer_score(0.045, 0.045, 100.0) == 0.0
    assert layer_score(0.05, 0.045, 100.0) == 0.0
    assert layer_score(0.0, 0.0, 100.0) == 0.0
    assert layer_score(-0.01, 0.045, 100.0) == layer_score(0.0, 0.045, 100.0) == 100.0


@settings(deadline=None)
@given(
    half_ticks=st.integers(2, 1998),
    reach=st.floats(0.001, 0.2),
    per_dollar=st.sampled_from([10, 100, 1000]),
)
def test_the_rewarded_tick_scores_and_the_next_one_out_does_not(half_ticks: int, reach: float, per_dollar: int) -> None:
    mid = 0.5 * (half_ticks * per_dollar // 1000) / per_dollar
    for side in (1, -1):
        tick = rewarded_tick(mid, reach, 1.0 / per_dollar, side)
        inner, outer = (side * (mid - (tick - side * step) / per_dollar) for step in (0, 1))
        assert inner < reach + 1e-9
        assert outer >= reach - 1e-9
    call = rewarded_tick(mid, reach, 1.0 / per_dollar, 1)
    assert call + rewarded_tick(1.0 - mid, reach, 1.0 / per_dollar, -1) == per_dollar


def test_a_reach_that_ends_on_a_tick_excludes_it() -> None:
    assert rewarded_tick(0.5, 0.02, 0.01, 1) == 49
    assert rewarded_tick(0.5, 0.045, 0.01, 1) == 46
    assert rewarded_tick(0.505, 0.015, 0.01, -1) == 51
    assert math.isclose(layer_score(0.5 - 0.49, 0.02, 100.0), 25.0)

"""Fees are the venue's: its published tables, its rounding, and one curve behind all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fees import FEE_STEP_MICRO, fee_per_share, rebate_micro, taker_fee_micro
from shared.money import MICRO, to_micro

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "fees_hedging.json"
CENT = 10_000
SHARE = 1_000_000


def vectors() -> Any:
    if not VECTORS.exists():
        pytest.skip(f"no vectors at {VECTORS}: this machine has only the repository")
    return json.loads(VECTORS.read_text())


def test_curve_amounts_and_rebates_agree_with_the_vectors() -> None:
    found = vectors()
    cases = [each | {"fee": each["fee_usd"], "maker_rebate": None} for each in found["fees"]] + found["fee_general"]
    for case in cases:
        rate, exponent = case.get("rate"), case.get("exponent")
        if rate is None:
            rate, exponent = (0.25, 2.0) if "rate .25" in case["schedule"] else (0.07, 1.0)
        terms = {"fee_rate": rate, "fee_exponent": float(exponent)}
        price_micro, units = to_micro(case["price"]), case["shares"] * SHARE
        a_share = fee_per_share(case["price"], rate, float(exponent))
        assert case["shares"] * a_share == pytest.approx(case["fee"], rel=1e-9)
        fee = taker_fee_micro(price_micro, units, **terms)
        assert abs(fee - case["fee"] * MICRO) <= FEE_STEP_MICRO / 2
        assert fee % FEE_STEP_MICRO == 0
        if case["maker_rebate"] is not None:
            rebate = rebate_micro(price_micro, units, **terms, rebate_rate=0.2)
            assert rebate == pytest.approx(case["maker_rebate"] * MICRO, abs=0.5001)


@pytest.mark.parametrize(
    ("cents", "shares", "rate", "exponent", "fee"),
    [
        (50, 100, 0.07, 1.0, 1_750_000),
        (1, 100, 0.07, 1.0, 69_300),
        (40, 100, 0.07, 1.0, 1_680_000),
        (60, 100, 0.07, 1.0, 1_680_000),
        (50, 100, 0.25, 2.0, 1_562_500),
    ],
)
def test_the_takers_fee_is_the_schedules(cents: int, shares: int, rate: float, exponent: float, fee: int) -> None:
    assert taker_fee_micro(cents * CENT, shares * SHARE, fee_rate=rate, fee_exponent=exponent) == fee


def test_fees_are_rounded_to_the_venues_step_and_rebates_are_exact() -> None:
    assert taker_fee_micro(500_000, 123_457, fee_rate=0.07, fee_exponent=1.0) == 2_160
    rebate = rebate_micro(500_000, 123_457, fee_rate=0.07, fee_exponent=1.0, rebate_rate=0.2)
    assert rebate == 432


@pytest.mark.parametrize(
    ("units", "fee"),
    [(100, 0), (571, 0), (572, 10), (857, 10), (858, 20)],  # 1.75, 9.9925, 10.01, 14.9975 and 15.015 micro-dollars
)
def test_a_fee_below_the_venues_step_is_nothing_and_others_go_to_the_nearest_step(units: int, fee: int) -> None:
    assert taker_fee_micro(500_000, units, fee_rate=0.07, fee_exponent=1.0) == fee


def test_a_price_at_which_nothing_is_left_to_win_has_no_fee() -> None:
    for price, rate, exponent in ((0.0, 0.07, 1.0), (1.0, 0.07, 1.0), (-0.1, 0.25, 2.0)):
        assert fee_per_share(price, rate, exponent) == 0.0


@given(price=st.integers(1, MICRO - 1), units=st.integers(0, 10**10), exponent=st.sampled_from([1.0, 1.5, 2.0]))
def test_both_outcomes_of_a_pair_pay_the_same_and_the_amount_is_the_curve_to_a_step(
    price: int, units: int, exponent: float
) -> None:
    fee = taker_fee_micro(price, units, fee_rate=0.07, fee_exponent=exponent)
    assert fee == taker_fee_micro(MICRO - price, units, fee_rate=0.07, fee_exponent=exponent)
    assert abs(fee - fee_per_share(price / MICRO, 0.07, exponent) * units) <= FEE_STEP_MICRO + 1e-6

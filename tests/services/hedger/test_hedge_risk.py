"""Certainty equivalents, deltas and netting agree with independent numbers."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.hedger.hedge_inputs import HedgeError, OtherPosition
from services.hedger.hedge_risk import (
    certainty_equivalent_usd,
    fair_deviation_per_sqrt_s,
    fair_per_bp,
    net_positions,
    perpetual_hedge,
)
from tests.services.hedger.test_hedge_inputs import vectors


def test_the_perpetual_hedge_agrees_with_independent_numbers() -> None:
    found = vectors("fees_hedging.json")
    for case in found["perp_hedge"]:
        deviation = fair_deviation_per_sqrt_s(
            fair=NormalDist().cdf(case["d"]), time_left_s=case["tau_s"], averaging_s=0.0
        )
        assert deviation is not None
        per_bp = fair_per_bp(deviation_per_sqrt_s=deviation, sigma_per_sqrt_s=found["sigma_sec"])
        assert per_bp == pytest.approx(case["dp_per_bp"], rel=1e-9)
        hedge = perpetual_hedge(
            net_shares=case["net_shares"], fair_per_bp=per_bp, round_trip_bps=case["roundtrip_cost_bp"]
        )
        assert hedge.usd_per_bp == pytest.approx(case["usd_per_bp"], rel=1e-9)
        assert hedge.notional_usd == pytest.approx(case["hedge_notional_usd"], rel=1e-9)
        assert hedge.cost_usd == pytest.approx(case["cost_usd"], rel=1e-9)
        assert hedge.cost_per_share_cents == pytest.approx(case["cost_per_share_cents"], rel=1e-9)


def test_an_average_at_the_end_makes_the_fair_value_move_faster_until_it_begins_and_joins_without_a_step() -> None:
    def deviation(time_left_s: float, averaging_s: float) -> float:
        found = fair_deviation_per_sqrt_s(fair=0.5, time_left_s=time_left_s, averaging_s=averaging_s)
        assert found is not None
        return found

    assert deviation(600.0, 60.0) > deviation(600.0, 0.0)
    assert deviation(60.0, 60.0) == pytest.approx(deviation(60.0 - 1e-9, 60.0), rel=1e-6)
    assert fair_deviation_per_sqrt_s(fair=0.5, time_left_s=0.0, averaging_s=60.0) is None
    assert fair_deviation_per_sqrt_s(fair=1.0, time_left_s=60.0, averaging_s=60.0) is None
    assert fair_per_bp(deviation_per_sqrt_s=0.01, sigma_per_sqrt_s=0.0) is None


@given(shares=st.floats(0, 1e5), probability=st.floats(0, 1), gamma=st.floats(0, 1))
def test_certainty_is_worth_at_most_the_expectation_and_at_least_nothing(
    shares: float, probability: float, gamma: float
) -> None:
    worth = certainty_equivalent_usd(shares, probability=probability, gamma_per_usd=gamma)
    assert -1e-9 <= worth <= shares * probability * (1 + 1e-9) + 1e-9


@given(shares=st.floats(0.1, 300), probability=st.floats(0.01, 0.99), gamma=st.floats(1e-4, 1.0))
def test_the_certainty_equivalent_has_the_utility_of_the_gamble(
    shares: float, probability: float, gamma: float
) -> None:
    worth = certainty_equivalent_usd(shares, probability=probability, gamma_per_usd=gamma)
    gamble = probability * math.exp(-gamma * shares) + 1.0 - probability
    assert math.exp(-gamma * worth) == pytest.approx(gamble, rel=1e-9)


def test_a_sure_outcome_is_worth_itself_at_any_aversion() -> None:
    assert certainty_equivalent_usd(1e6, probability=1.0, gamma_per_usd=10.0) == 1e6
    assert certainty_equivalent_usd(1e6, probability=0.0, gamma_per_usd=10.0) == 0.0


def test_other_windows_of_the_asset_net_whole_and_correlated_assets_in_part() -> None:
    netting = net_positions(
        [
            OtherPosition(market="btc-5m", usd_per_bp=-1.0),
            OtherPosition(market="eth-5m", usd_per_bp=0.5),
            OtherPosition(market="eth-15m", usd_per_bp=0.5),
        ],
        asset="btc",
        correlation=0.8,
        fair_per_bp=0.02,
        net_shares=100.0,
        net_shares_left={"hold": 100.0, "close_now": 0.0},
    )
    assert netting.own_usd_per_bp == pytest.approx(2.0)
    assert netting.net_usd_per_bp == pytest.approx(2.0 - 1.0 + 0.8)
    assert netting.unnettable_usd_per_bp == pytest.approx(0.6)  # both ETH windows are one risk
    assert netting.shares_to_neutral == pytest.approx(90.0)
    assert netting.left_usd_per_bp == {"hold": pytest.approx(1.8), "close_now": pytest.approx(-0.2)}


def test_one_asset_with_two_correlations_is_refused() -> None:
    others = [
        OtherPosition(market="eth-5m", usd_per_bp=1.0, correlation=0.9),
        OtherPosition(market="eth-15m", usd_per_bp=1.0),
    ]
    with pytest.raises(HedgeError, match="one asset has one correlation"):
        net_positions(
            others, asset="btc", correlation=0.85, fair_per_bp=0.02, net_shares=1.0, net_shares_left={"hold": 1.0}
        )

"""Inventory leans the quotes towards flat, momentum towards the move, both within bounds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quoter.fair_value import digital_value
from services.quoter.skew import (
    certainty_reservation,
    glft_skew_per_sqrt_variance,
    inventory_skew_linear,
    inventory_skew_logit,
    inventory_variance,
    momentum_log_move,
    momentum_skew,
)
from shared.digital import normal_density

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors"
SIGMA = 8.903621732722671e-05


def vectors(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no vectors at {path}: this machine has only the repository")
    return json.loads(path.read_text())


def skew(inventory: float, *, fair_value: float = 0.5, gamma: float = 0.01, tau_s: float = 600.0) -> float:
    variance_per_s = normal_density(0.0) ** 2 / tau_s
    return inventory_skew_logit(fair_value, inventory, variance_per_s, tau_s, gamma, 0.05, 60.0, 20.0, 0.5)


def test_the_certainty_equivalent_agrees_with_the_vectors() -> None:
    for case in vectors("binary_reservation.json")["cases"]:
        ours = certainty_reservation(case["p"], float(case["net_up_shares"]), case["gamma"])
        assert ours == pytest.approx(case["reservation"], abs=1e-12)


def test_the_effective_variance_rule_is_near_the_dynamic_program() -> None:
    errors = []
    for case in vectors("binary_dp_benchmark.json")["cases"]:
        if case["net_shares"] == 0.0:
            continue
        probability = case["p"]
        score = {0.5: 0.0}.get(probability, 0.8 if probability > 0.5 else -1.5)
        variance_per_s = normal_density(score) ** 2 / case["tau_s"]
        shift = inventory_skew_logit(
            probability,
            case["net_shares"],
            variance_per_s,
            case["tau_s"],
            case["gamma"],
            case["A_per_s"],
            case["k"],
            case["unit"],
            0.5,
        )
        errors.append(abs(probability + shift - case["dp_reservation"]))
    assert sum(errors) / len(errors) < 0.004  # the reference states a mean error of 0.37 cents
    assert max(errors) < 0.016


def test_c2_agrees_with_the_published_skew_and_half_spread() -> None:
    cases = vectors("glft.json")
    case = cases["published"]
    c2 = glft_skew_per_sqrt_variance(case["gamma"], case["A"], case["k"], float(case["Delta"]))
    skew_ticks = case["volatility"] * c2
    assert skew_ticks == pytest.approx(case["published_skew"], rel=1e-12)
    c1 = math.log1p(case["xi"] * case["Delta"] / case["k"]) / (case["xi"] * case["Delta"])
    assert c1 + 0.5 * case["Delta"] * skew_ticks == pytest.approx(case["published_half_spread_tick"], rel=1e-12)


def test_c2_without_risk_aversion_agrees_with_the_vectors() -> None:
    """The vectors keep gamma under the root and let only the aversion to not being filled, xi, vanish."""
    case = vectors("glft.json")["xi_to_zero"]
    c2 = glft_skew_per_sqrt_variance(1e-8, case["A"], case["k"], 1.0) * math.sqrt(case["gamma"] / 1e-8)
    assert c2 == pytest.approx(case["c2_at_xi_1e_8"], rel=1e-9)
    assert c2 == pytest.approx(case["c2"], rel=1e-6)


def test_the_variance_of_the_value_is_that_of_the_belief_in_logit_space() -> None:
    """sd of the value a root second over p (1 - p) is the belief volatility phi(d) / (p (1 - p)) / sqrt(tau)."""
    for case in vectors("logit_as.json")["belief_vol"]:
        tau_s = case["tau_s"]
        mean = case["d"] * SIGMA * math.sqrt(tau_s)
        probability, slope, _ = digital_value(mean, 1.0, tau_s, True, SIGMA, 0.0, 0.0, 0.0)
        value_sd_per_sqrt_s = slope * SIGMA
        assert value_sd_per_sqrt_s / (probability * (1.0 - probability)) == pytest.approx(case["sigma_b"], rel=1e-9)


def test_a_share_held_to_the_end_leans_as_the_linear_rule_does_at_first() -> None:
    for case in vectors("binary_reservation.json")["cases"]:
        probability, gamma = case["p"], case["gamma"]
        slope = (certainty_reservation(probability, 1e-4, gamma) - probability) / 1e-4
        assert slope == pytest.approx(-gamma * probability * (1.0 - probability), rel=1e-4)
        assert case["as_linear"] == pytest.approx(probability + slope * case["net_up_shares"], abs=1e-3)


def test_inventory_leans_towards_flat_and_more_leans_more() -> None:
    assert skew(0.0) == 0.0
    assert skew(200.0) < skew(100.0) < 0.0 < skew(-100.0) < skew(-200.0)
    assert skew(100.0) == pytest.approx(-skew(-100.0), abs=1e-12)


@given(
    fair_value=st.floats(0.0, 1.0),
    inventory=st.floats(-5000, 5000),
    variance=st.just(0.0) | st.floats(1e-12, 1.0),
    tau_s=st.floats(-10.0, 900.0),
    gamma=st.just(0.0) | st.floats(1e-9, 1.0),
    bound=st.floats(0.0, 0.5),
)
def test_the_inventory_skew_is_bounded_finite_and_keeps_the_price_a_probability(
    fair_value: float, inventory: float, variance: float, tau_s: float, gamma: float, bound: float
) -> None:
    shift = inventory_skew_logit(fair_value, inventory, variance, tau_s, gamma, 0.05, 60.0, 50.0, bound)
    assert abs(shift) <= bound
    assert shift * inventory <= 1e-12
    assert -1e-12 <= fair_value + shift <= 1.0 + 1e-12
    borne = inventory_variance(fair_value, variance, tau_s, gamma, 0.05, 60.0, 50.0)
    assert 0.0 <= borne <= fair_value * (1.0 - fair_value)


def test_the_linear_skew_is_dollars_a_share() -> None:
    assert inventory_skew_linear(30.0, 0.001, 0.1) == pytest.approx(-0.03)
    assert inventory_skew_linear(-300.0, 0.001, 0.1) == 0.1


def test_momentum_agrees_with_the_vectors() -> None:
    for case in vectors("fees_hedging.json")["momentum"]:
        move = momentum_log_move(
            case["drift_per_s"], float(case["tau_s"]), case["shrink_beta"], case["alpha_decay_per_s"]
        )
        assert move == pytest.approx(case["log_shift"], rel=1e-9)
        delta = normal_density(case["d"]) / (SIGMA * math.sqrt(case["tau_s"]))
        shift = momentum_skew(move, 0.0, delta, 1.0)
        assert shift == pytest.approx(case["fair_shift"], rel=1e-9)


def test_momentum_is_capped_and_a_projected_move_counts_once() -> None:
    assert momentum_skew(1e-4, 0.0, 150.0, 0.005) == 0.005
    assert momentum_skew(-1e-4, 0.0, 150.0, 0.005) == -0.005
    assert momentum_skew(1e-5, 2e-5, 150.0, 0.005) == 0.0
    assert momentum_skew(3e-5, 2e-5, 150.0, 0.005) == pytest.approx(1.5e-3)
    assert momentum_skew(1e-5, -2e-5, 150.0, 0.005) == pytest.approx(1.5e-3)

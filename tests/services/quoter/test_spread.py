"""Floors and factors of the spread agree with their formulas."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from services.quoter.spread import (
    adverse_floor,
    information_lag,
    pick_off_loss,
    pin_risk_floor,
    pin_risk_half_spread,
    time_factor,
)
from shared.digital import normal_density

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors"


def vectors(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no vectors at {path}: this machine has only the repository")
    return json.loads(path.read_text())


def speed_at_the_money(kind: str, tau_s: float) -> float:
    """phi(0) w / sqrt(tau_eff), continuous."""
    if kind == "point":
        return normal_density(0.0) / math.sqrt(tau_s)
    if tau_s >= 60.0:
        return normal_density(0.0) / math.sqrt(tau_s - 40.0)
    return normal_density(0.0) * (tau_s / 60.0) / math.sqrt(tau_s**3 / (3.0 * 3600.0))


def test_the_pick_off_loss_agrees_with_the_vectors() -> None:
    for case in vectors("danger_zone.json")["cases"]:
        speed = speed_at_the_money(case["kind"], float(case["tau_s"]))
        assert speed * math.sqrt(case["latency_s"]) == pytest.approx(case["sd_dp_atm"], rel=1e-9)
        loss = speed * math.sqrt(case["latency_s"]) * pick_off_loss(0.0, 0.0)
        assert loss == pytest.approx(case["expected_pickoff_atm"], rel=1e-9)


def loss_by_quadrature(half: float, *, fee: float) -> float:
    """What a quote at `half` loses to a taker who acts when the move exceeds half + fee; in standard deviations."""
    loss, _ = quad(lambda move: (move - half) * norm.pdf(move), half + fee, half + fee + 12.0, epsabs=1e-13)
    return float(loss)


@pytest.mark.parametrize("half", [0.0, 0.4, 1.15, 2.5])
@pytest.mark.parametrize("fee", [0.0, 0.3, 1.0, 3.0])
def test_the_pick_off_loss_is_the_integral_of_what_the_taker_gains(half: float, fee: float) -> None:
    assert pick_off_loss(half, fee) == pytest.approx(loss_by_quadrature(half, fee=fee), abs=1e-12)


@pytest.mark.parametrize("value_sd", [0.002, 0.01, 0.025, 0.08])
@pytest.mark.parametrize("z", [0.0, 0.75, 1.5])
@pytest.mark.parametrize("fee", [0.0, 0.002, 0.0175])
def test_at_the_pin_risk_floor_a_taker_with_a_fee_costs_what_is_accepted_without(
    value_sd: float, z: float, fee: float
) -> None:
    accepted = loss_by_quadrature(0.4 + z, fee=0.0)
    floor = pin_risk_floor(value_sd, z, fee) / value_sd
    if floor > 0.0:
        assert loss_by_quadrature(floor, fee=fee / value_sd) == pytest.approx(accepted, abs=1e-11)
    else:
        assert loss_by_quadrature(0.0, fee=fee / value_sd) <= accepted


@settings(deadline=None)
@given(
    value_sd=st.floats(0.0, 0.3),
    z=st.floats(0.0, 10.0),
    fee=st.floats(0.0, 0.3),
    more=st.floats(0.0, 0.1),
)
def test_the_pin_risk_floor_falls_in_the_fee_from_the_floor_without_one(
    value_sd: float, z: float, fee: float, more: float
) -> None:
    gross = pin_risk_half_spread(value_sd, z)
    assert pin_risk_floor(value_sd, z, 0.0) == pytest.approx(gross, abs=1e-9)
    floor = pin_risk_floor(value_sd, z, fee)
    assert 0.0 <= floor <= gross
    assert pin_risk_floor(value_sd, z, fee + more) <= floor + 1e-9
    assert floor >= gross - fee - 1e-9  # a fee never buys more than itself


def test_a_fee_that_keeps_takers_away_needs_no_floor() -> None:
    assert pin_risk_floor(0.005, 0.75, 0.0175) == 0.0
    assert 0.0 < pin_risk_floor(0.02, 0.75, 0.0175) < 0.02 * 1.15


def test_the_pin_risk_half_spread_grows_with_lag_and_towards_the_end() -> None:
    early, late = speed_at_the_money("twap60", 600.0), speed_at_the_money("twap60", 100.0)
    root = math.sqrt(0.3)
    assert pin_risk_half_spread(late * root, 0.75) > pin_risk_half_spread(early * root, 0.75)
    assert pin_risk_half_spread(early * root, 0.75) == pytest.approx(1.15 * early * root)


def test_the_adverse_floor_counts_only_what_is_known_and_lost() -> None:
    assert adverse_floor(0.012, math.nan, 0.0035) == pytest.approx(0.0085)
    assert adverse_floor(0.012, -0.004, 0.0035) == pytest.approx(0.0125)
    assert adverse_floor(0.012, 0.004, 0.0035) == pytest.approx(0.0085)
    assert adverse_floor(0.002, math.nan, 0.0035) == 0.0
    assert adverse_floor(-0.05, math.nan, 0.0) == 0.0
    assert adverse_floor(math.nan, math.nan, 0.0) == 0.0


def test_a_taker_delay_shortens_the_lag_down_to_the_least() -> None:
    assert information_lag(0.3, 0.1, 0.0, 0.05) == pytest.approx(0.4)
    assert information_lag(0.3, 0.1, 0.25, 0.05) == pytest.approx(0.15)
    assert information_lag(0.3, 0.1, 3.0, 0.05) == 0.05


def test_the_time_factor_is_one_at_the_open_at_the_money() -> None:
    assert time_factor(speed_at_the_money("twap60", 900.0), 860.0, 0.5, 0.1, 9.0) == pytest.approx(1.0)
    assert time_factor(speed_at_the_money("twap60", 100.0), 860.0, 0.5, 0.1, 9.0) == pytest.approx(
        (860.0 / 60.0) ** 0.25
    )
    assert time_factor(0.0, 860.0, 0.5, 0.8, 2.5) == 0.8
    assert time_factor(1.0, 860.0, 0.5, 0.8, 2.5) == 2.5

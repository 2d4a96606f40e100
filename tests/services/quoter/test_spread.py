"""Floors and factors of the spread agree with their formulas."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from services.quoter.spread import information_lag, pick_off_loss, pin_risk_half_spread, time_factor
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
        assert pick_off_loss(speed, case["latency_s"]) == pytest.approx(case["expected_pickoff_atm"], rel=1e-9)


def test_the_pin_risk_floor_grows_with_lag_and_towards_the_end() -> None:
    early, late = speed_at_the_money("twap60", 600.0), speed_at_the_money("twap60", 100.0)
    assert pin_risk_half_spread(late, 0.3, 0.75) > pin_risk_half_spread(early, 0.3, 0.75)
    assert pin_risk_half_spread(early, 1.2, 0.75) == pytest.approx(2.0 * pin_risk_half_spread(early, 0.3, 0.75))


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

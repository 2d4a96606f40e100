"""Each technique is live: switched off, it changes a quote in its scenario, and only the numbers within its reach."""

from __future__ import annotations

from typing import Any

import pytest

from shared.config import MMConfig, Techniques
from shared.messages import QuoteSet
from tests.services.quoter.scene import SIGMA, Scene, moneyness

# technique -> (scenario, the part of the breakdown that it owns)
SCENARIOS: dict[str, tuple[dict[str, Any], str]] = {
    "settlement_twap": ({"at_s": 780.0, "spot": moneyness(9.0), "book": (81, 88)}, "effective_tau_s"),
    "oracle_projection": ({}, "projection_sd"),
    "volatility": (
        {"spot": moneyness(10.0), "volatility": {"sigma_per_sqrt_s": 2 * SIGMA}, "book": (58, 62)},
        "factor_volatility",
    ),
    "lead_lag": ({"lead_lag": {"leader": "bybit"}}, "projection"),
    "regime": ({"regime": {"regime": "volatile"}}, "factor_regime"),
    "toxicity": ({"flow": {"toxicity": 0.8, "markout": 0.03}}, "factor_toxicity"),
    "inventory_skew": ({"position": {"call_shares": 200.0}}, "inventory_skew"),
    "momentum_skew": ({"regime": {"drift_per_s": 2e-5, "momentum_z": 1.0}}, "momentum_skew"),
    "pin_risk": ({"at_s": 700.0}, "floor_pin_risk"),
    "tiers": ({}, "half_spread"),
    "phases": ({"at_s": 760.0, "spot": moneyness(15.0), "book": (92, 94)}, "factor_phase"),
}


def latest(config: MMConfig, scenario: dict[str, Any], *, jump: str | None = None) -> QuoteSet:
    scene = Scene(config, **scenario)
    if jump is not None:  # this exchange has moved, and the oracle has not yet
        scene.say(scene.quote(jump, mid=moneyness(1.5) * (1.0005 if jump == "bybit" else 1.0)))
    return scene.latest()


def test_every_switch_has_a_scenario() -> None:
    assert set(SCENARIOS) == set(Techniques.model_fields)


@pytest.mark.parametrize("technique", sorted(SCENARIOS))
def test_switching_a_technique_off_changes_a_quote(technique: str) -> None:
    scenario, part = SCENARIOS[technique]
    jump = {"oracle_projection": "coinbase", "lead_lag": "bybit"}.get(technique)
    common: dict[str, Any] = {"max_model_mid_disagreement": 0.5}
    if technique == "pin_risk":
        common["cancel_latency_s"] = 0.5
    on = latest(MMConfig(**common), scenario, jump=jump)
    off = latest(MMConfig(**common, techniques=Techniques(**{technique: False})), scenario, jump=jump)
    assert (on.call, on.put, on.action) != (off.call, off.put, off.action)
    if technique != "tiers":
        assert on.breakdown[part] != off.breakdown[part]
    else:
        assert len(off.call) == 2


@pytest.mark.parametrize("technique", sorted(set(SCENARIOS) - {"oracle_projection", "tiers", "pin_risk"}))
def test_a_technique_changes_no_quote_outside_its_reach(technique: str) -> None:
    """Early, flat, quiet and on the strike there is nothing for these techniques to do (unit factors)."""
    neutral: dict[str, Any] = {
        "regime_factors": {"quiet": 1.0},
        "reference_sigma_per_sqrt_s": SIGMA,
        "time_sensitivity": 0,
    }
    scenario: dict[str, Any] = {"at_s": 200.0, "flow": {"toxicity": 0.0}}
    on = latest(MMConfig(**neutral), scenario)
    off = latest(MMConfig(**neutral, techniques=Techniques(**{technique: False})), scenario)
    assert (on.action, on.call, on.put) == (off.action, off.call, off.put)


def test_a_projection_and_momentum_do_not_count_one_move_twice() -> None:
    scenario: dict[str, Any] = {"regime": {"drift_per_s": 2e-5, "momentum_z": 1.0}}
    moved, still = latest(MMConfig(), scenario, jump="coinbase"), latest(MMConfig(), scenario)
    assert moved.breakdown["projection"] > 0.0
    assert moved.breakdown["momentum_skew"] < still.breakdown["momentum_skew"]

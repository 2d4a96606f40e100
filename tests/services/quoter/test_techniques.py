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
    "toxicity": ({"flow": {"toxicity": 0.8, "impact": 0.03}}, "factor_toxicity"),
    "inventory_skew": ({"position": {"call_shares": 200.0}}, "inventory_skew"),
    "momentum_skew": ({"regime": {"drift_per_s": 2e-5, "momentum_z": 1.0}}, "momentum_skew"),
    "pin_risk": ({"at_s": 700.0}, "floor_pin_risk"),
    "tiers": ({}, "half_spread"),
    "fees": ({"at_s": 700.0}, "floor_pin_risk"),
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
    if technique in ("pin_risk", "fees"):
        common["cancel_latency_s"] = 0.5
    on = latest(MMConfig(**common), scenario, jump=jump)
    off = latest(MMConfig(**common, techniques=Techniques(**{technique: False})), scenario, jump=jump)
    assert (on.call, on.put, on.action) != (off.call, off.put, off.action)
    if technique != "tiers":
        assert on.breakdown[part] != off.breakdown[part]
    else:
        assert len(off.call) == 2


@pytest.mark.parametrize("technique", sorted(set(SCENARIOS) - {"oracle_projection"}))
def test_a_technique_changes_no_quote_outside_its_reach(technique: str) -> None:
    """Early, flat, quiet, free of fees and on the strike there is nothing for a technique to do (unit factors).

    The projection always has something to do: without it the age of the oracle's print is time the value may move.
    """
    neutral: dict[str, Any] = {
        "regime_factors": {"quiet": 1.0},
        "reference_sigma_per_sqrt_s": SIGMA,
        "time_sensitivity": 0,
        "tier_sizes": [50] if technique == "tiers" else [50, 100, 200],
        "tier_spreads": [0.012] if technique == "tiers" else [0.012, 0.022, 0.032],
        "cancel_latency_s": 0.05,  # a pin-risk floor under the innermost tier
        "feed_lag_s": 0.0,
        "reward_credit": 0.01,
    }
    scenario: dict[str, Any] = {
        "at_s": 200.0,
        "flow": {"toxicity": 0.0},
        "period": {"fee_rate": 0.0, "rewards_min_shares": None},
    }
    on = latest(MMConfig(**neutral), scenario)
    off = latest(MMConfig(**neutral, techniques=Techniques(**{technique: False})), scenario)
    assert (on.action, on.call, on.put) == (off.action, off.call, off.put)


@pytest.mark.parametrize(
    ("technique", "owned"),
    [
        ("fees", {"taker_fee", "rebate", "floor_pin_risk", "floor", "expected_usd_per_s"}),
        ("pin_risk", {"pin_risk_gross", "floor_pin_risk", "floor"}),
        ("toxicity", {"factor_toxicity", "floor_adverse", "floor", "expected_usd_per_s", "clamp", "spread"}),
        ("regime", {"factor_regime", "spread", "clamp", "floor"}),
        ("phases", {"factor_phase", "size_factor", "spread", "clamp", "floor"}),
        ("inventory_skew", {"inventory_skew", "reservation"}),
        ("momentum_skew", {"momentum_skew", "reservation"}),
    ],
)
def test_a_technique_changes_no_part_of_the_story_but_its_own(technique: str, owned: set[str]) -> None:
    """The layers follow from the story: half-spreads, rounding and what the ladder earns may change with any part."""
    followed = {"half_spread", "half_spread_1", "half_spread_2", "half_spread_3", "expected_usd_per_s"}
    followed |= {f"{part}_{side}" for part in ("rounding", "post_only", "size_share") for side in ("bid", "ask")}
    scenario = SCENARIOS[technique][0]
    common: dict[str, Any] = {"max_model_mid_disagreement": 0.5}
    on = latest(MMConfig(**common), scenario)
    off = latest(MMConfig(**common, techniques=Techniques(**{technique: False})), scenario)
    changed = {part for part, number in on.breakdown.items() if off.breakdown[part] != number}
    assert changed & owned
    assert changed <= owned | followed


def test_a_fee_brings_back_layers_that_the_gross_pin_risk_pushed_out() -> None:
    config = MMConfig(cancel_latency_s=0.5)
    charged, free = latest(config, {"at_s": 700.0}), latest(config, {"at_s": 700.0, "period": {"fee_rate": 0.0}})
    assert charged.breakdown["half_spread"] < free.breakdown["half_spread"]
    assert charged.breakdown["pin_risk_gross"] == free.breakdown["pin_risk_gross"]


def test_a_projection_and_momentum_do_not_count_one_move_twice() -> None:
    scenario: dict[str, Any] = {"regime": {"drift_per_s": 2e-5, "momentum_z": 1.0}}
    moved, still = latest(MMConfig(), scenario, jump="coinbase"), latest(MMConfig(), scenario)
    assert moved.breakdown["projection"] > 0.0
    assert moved.breakdown["momentum_skew"] < still.breakdown["momentum_skew"]

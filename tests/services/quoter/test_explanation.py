"""Every price of a quote set is told as dollars that add up to it."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from services.quoter.action import RULES
from services.quoter.explanation import (
    UNEXPLAINED,
    WIDTH,
    Explanation,
    LayerStory,
    explain,
    half_spread_of,
)
from shared.config import MAX_TIERS, MMConfig, load_config
from shared.messages import QuoteSet
from tests.builders import build
from tests.services.quoter.scene import Scene, moneyness

COMPLETE: dict[str, dict[str, Any]] = {
    "period": {"rewards_min_shares": None, "rewards_max_spread": None},
    "volatility": {"basis": "estimated"},
    "flow": {"impact": 0.0, "own_markout": None, "fill_rate_per_s": None, "fill_decay_per_usd": None},
}


def quotes(config: MMConfig | None = None, **state: Any) -> QuoteSet:
    """What the quoter publishes in a healthy market with this state."""
    completed = {name: fields | state.pop(name, {}) for name, fields in COMPLETE.items()}
    return Scene(config, **completed, **state).latest()


SCENES: dict[str, dict[str, Any]] = {
    "a calm market": {},
    "a long inventory": {"position": {"call_shares": 300.0, "put_shares": 20.0}},
    "a short inventory": {"position": {"call_shares": 10.0, "put_shares": 250.0}},
    "a drift": {"regime": {"regime": "trending_up", "drift_per_s": 2e-5, "momentum_z": 1.0}},
    "an informed flow": {"flow": {"toxicity": 0.65, "impact": 0.03}},
    "a sure thing on a fine grid": {"spot": moneyness(40.0), "tick_size": 0.001, "book": (955, 962)},
    "a long shot": {"spot": moneyness(-30.0), "book": (9, 12)},
    "the late phase": {"at_s": 700.0},
    "no leader and no flow": {"silent": {"Flow", "LeadLag", "Regime"}},
    "an aggressive preset": {"config": load_config("aggressive")},
    "a spread at its upper bound": {"config": load_config(overrides=["base_spread=0.09", "toxicity_weight=5"])},
    "a narrow book": {"book": (46, 47), "config": load_config(overrides=["techniques.pin_risk=false"])},
    "eight tiers": {
        "config": load_config(
            overrides=["tier_sizes=[5,5,5,5,5,5,5,5]", "tier_spreads=[0.01,0.011,0.02,0.03,0.04,0.05,0.06,0.07]"]
        )
    },
}


def story(told: Explanation, outcome: str, side: str, layer: int = 0) -> LayerStory:
    (found,) = [each for each in told.layers if (each.outcome, each.side, each.layer) == (outcome, side, layer)]
    return found


def dollars(told: LayerStory) -> dict[str, float]:
    return {term.name: term.dollars for term in told.terms}


@pytest.mark.parametrize("name", SCENES)
def test_the_dollars_of_every_layer_add_up_to_its_price(name: str) -> None:
    quoted = quotes(**SCENES[name])
    told = explain(quoted)
    assert len(told.layers) == len(quoted.call) + len(quoted.put) > 0
    for layer in told.layers:
        assert math.fsum(term.dollars for term in layer.terms) == pytest.approx(layer.price, abs=1e-9)
        assert UNEXPLAINED not in dollars(layer)
    assert [(each.price, each.size_shares) for each in told.layers] == [
        (each.price, each.size) for each in (*quoted.call, *quoted.put)
    ]


@pytest.mark.parametrize("name", SCENES)
def test_the_value_and_the_spread_are_columns_that_add_up(name: str) -> None:
    quoted = quotes(**SCENES[name])
    told = explain(quoted)
    value, spread = told.value, told.spread
    assert value is not None
    assert spread is not None
    assert value.model_value + value.projection == pytest.approx(value.fair_value, abs=1e-12)
    assert value.fair_value + value.momentum_skew + value.inventory_skew == pytest.approx(value.reservation, abs=1e-12)
    assert math.fsum(term.dollars for term in spread.terms) == pytest.approx(spread.spread, abs=1e-12)
    assert UNEXPLAINED not in [term.name for term in spread.terms]
    assert spread.half_from_spread + spread.floor == pytest.approx(spread.half_spread, abs=1e-12)
    assert spread.half_spread >= max(floor.dollars for floor in spread.floors)


@pytest.mark.parametrize("name", SCENES)
def test_a_put_layer_is_the_mirror_of_the_call_layer_of_the_other_side(name: str) -> None:
    told = explain(quotes(**SCENES[name]))
    for put in [each for each in told.layers if each.outcome == "PUT"]:
        call = story(told, "CALL", "ask" if put.side == "bid" else "bid", put.layer)
        assert put.price == pytest.approx(1.0 - call.price, abs=1e-12)
        for of_put, of_call in zip(put.terms, call.terms, strict=True):
            assert of_put.name == of_call.name
            both = 1.0 if of_put.name == "model value" else 0.0
            assert of_put.dollars + of_call.dollars == pytest.approx(both, abs=1e-9)


def test_a_factor_adds_what_it_changed_when_its_turn_came() -> None:
    breakdown = {
        "base_spread": 0.02,
        "factor_time": 1.5,
        "factor_regime": 0.8,
        "clamp": -0.004,
        "spread": 0.02,
        "floor_pin_risk": 0.013,
        "floor_uncertainty": 0.012,
        "floor": 0.003,
        "half_spread": 0.013,
    }
    spread = explain(build(QuoteSet, breakdown=breakdown)).spread
    assert spread is not None
    assert [(term.name, pytest.approx(term.dollars)) for term in spread.terms] == [
        ("base spread", 0.02),
        ("time", 0.01),
        ("regime", -0.006),
        ("clamp", -0.004),
    ]
    assert [term.factor for term in spread.terms] == [None, 1.5, 0.8, None]
    assert (spread.binding, spread.half_from_spread) == ("pin risk", pytest.approx(0.01))


def test_no_floor_binds_when_the_spread_is_wide_enough() -> None:
    calm = explain(quotes(load_config(overrides=["techniques.pin_risk=false", "uncertainty_weight=0"]))).spread
    assert calm is not None
    assert (calm.binding, calm.floor) == ("", 0.0)


def test_an_inventory_leans_both_sides_and_the_put_the_other_way() -> None:
    told = explain(quotes(**SCENES["a long inventory"]))
    assert told.value is not None
    skew = told.value.inventory_skew
    assert skew < -1e-4
    for side in ("bid", "ask"):
        assert dollars(story(told, "CALL", side))["inventory skew"] == skew
        assert dollars(story(told, "PUT", side))["inventory skew"] == -skew


def test_what_post_only_takes_from_a_bid_is_told() -> None:
    told = explain(quotes(**SCENES["a narrow book"]))
    bid = story(told, "CALL", "bid")
    assert bid.price == 0.46
    assert dollars(bid)["post-only"] < -0.005
    assert dollars(story(told, "CALL", "ask"))["post-only"] == 0.0


def test_a_layer_whose_half_spread_is_told_has_tier_rounding_and_spacing_apart() -> None:
    quoted = quotes()
    layer = next(each for each in quoted.call if (each.side, each.layer) == ("bid", 1))
    wanted = quoted.breakdown["reservation"] - layer.price - 0.0123
    known = msgspec.structs.replace(quoted, breakdown=quoted.breakdown | {"half_spread_1": wanted})
    told = dollars(story(explain(known), "CALL", "bid", 1))
    assert told["tier"] == pytest.approx(quoted.breakdown["half_spread"] - wanted, abs=1e-12)
    assert told["rounding"] == pytest.approx(
        -0.0023, abs=1e-9
    )  # the bid wanted was 1.23 ticks above the one that stands
    assert told["post-only, spacing"] == pytest.approx(-0.01, abs=1e-9)
    assert sum(told.values()) == pytest.approx(layer.price, abs=1e-9)
    assert half_spread_of(known.breakdown, 1) == wanted
    assert half_spread_of({"half_spread": 0.01}, 3) is None


def test_what_rewards_draw_a_layer_closer_is_told() -> None:
    quoted = quotes()
    numbers = {"reward_bid": 0.002, "rounding_bid": quoted.breakdown["rounding_bid"] + 0.002}
    told = explain(msgspec.structs.replace(quoted, breakdown=quoted.breakdown | numbers))
    assert dollars(story(told, "CALL", "bid"))["closer, for rewards"] == 0.002
    assert dollars(story(told, "PUT", "ask"))["closer, for rewards"] == -0.002
    assert "closer, for rewards" not in dollars(story(told, "CALL", "ask"))
    for layer in told.layers:
        assert UNEXPLAINED not in dollars(layer)
        assert sum(dollars(layer).values()) == pytest.approx(layer.price, abs=1e-9)


def test_a_price_that_the_numbers_do_not_bear_out_is_said_to_be_unexplained() -> None:
    quoted = quotes()
    wrong = msgspec.structs.replace(quoted, breakdown=quoted.breakdown | {"rounding_bid": 0.5})
    told = dollars(story(explain(wrong), "CALL", "bid"))
    assert told[UNEXPLAINED] == pytest.approx(0.5 - quoted.breakdown["rounding_bid"])
    assert UNEXPLAINED in str(explain(wrong))


def test_a_pull_tells_its_guards_worst_first_in_words() -> None:
    quoted = quotes(volatility={"spike": True, "spike_until_ns": 1 << 61})
    told = explain(quoted)
    assert (told.action, told.layers, told.empty_sides) == ("PULL_QUOTES", (), ())
    meaning = {rule.label: rule.meaning for rule in RULES}
    assert [guard.reason for guard in told.guards] == list(quoted.reasons)
    assert told.guards[0].reason == "volatility_spike"
    assert told.guards[0].action == "PULL_QUOTES"
    assert told.guards[0].meaning == meaning["volatility_spike"]
    assert told.value is not None  # the value is known all the same
    assert told.spread is not None


def test_without_numbers_only_the_guards_are_told() -> None:
    for breakdown in ({}, {"oracle_twap60": 60_000.0}, {"model_value": 0.5}):
        told = explain(
            build(QuoteSet, action="PULL_QUOTES", reasons=("no_period",), slug="", breakdown=breakdown, call=(), put=())
        )
        assert (told.value, told.spread, told.layers) == (None, None, ())
        text = str(told)
        assert "no period of this market is known" in text
        assert "value and spread: not known" in text


def test_a_barred_side_names_the_guard_that_bars_it() -> None:
    told = explain(quotes(position={"call_shares": 500.0, "put_shares": 0.0}))
    assert [(each.side, each.reasons) for each in told.empty_sides] == [("bid", ("inventory_limit_long",))]
    assert "no CALL bids and no PUT asks: barred by inventory_limit_long" in str(told)


def test_a_reason_of_another_version_is_not_given_a_meaning() -> None:
    (guard,) = explain(build(QuoteSet, reasons=("full_moon",))).guards
    assert (guard.reason, guard.action, "does not know" in guard.meaning) == ("full_moon", None, True)


@pytest.mark.parametrize("name", SCENES)
def test_the_table_fits_a_hundred_columns_and_is_the_same_every_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quoted = quotes(**SCENES[name])
    text = str(explain(quoted))
    assert max(map(len, text.splitlines())) <= WIDTH == 100
    assert "\x1b" not in text
    assert "…" not in text
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert str(explain(quoted)) == text


def test_every_layer_has_a_column_with_its_price_and_size() -> None:
    quoted = quotes(**SCENES["eight tiers"])
    assert len(quoted.call) == 2 * MAX_TIERS
    text = str(explain(quoted))
    headings = [line.split() for line in text.splitlines() if line.startswith("CALL  ")]
    assert [len(heading) for heading in headings] == [1 + 2 * MAX_TIERS] * 2  # bids and asks, `bid 0` two words
    priced = [line.split()[2:] for line in text.splitlines() if line.startswith("= price")]
    shown = [float(price) for prices in priced for price in prices]
    assert shown == [layer.price for layer in quoted.call]
    mirrored = text[text.index("PUT is the mirror") :].replace("\n", " ")
    assert all(f"{layer.side} {layer.price:g} x {layer.size:g}" in mirrored for layer in quoted.put)


def test_the_situation_is_told_first() -> None:
    """Strike, prices, distance and volatility: what the model value can be checked with."""
    quoted = quotes(spot=moneyness(1.0))
    text = str(explain(quoted))
    facts = quoted.breakdown
    (line,) = [each for each in text.splitlines() if each.startswith("strike ")]
    assert f"strike {facts['strike']:,.2f}, oracle {facts['oracle_price']:,.2f}" in line
    assert line.endswith(f"{facts['distance_sd']:+.2f} sd")
    assert facts["reference_price"] == pytest.approx(facts["strike"] * math.exp(1e-4), rel=1e-6)
    assert "volatility 51 % a year" in text
    best = [next(layer.price for layer in quoted.call if layer.side == side) for side in ("bid", "ask")]
    assert f"CALL at {best[0]:g} / {best[1]:g}, {100 * (best[1] - best[0]):.1f} cents apart" in text


def test_sizes_that_are_not_the_configured_ones_are_explained() -> None:
    """The default tiers together exceed the default limit."""
    told = explain(quotes())
    assert told.size_shares == pytest.approx((0.588, 0.588), abs=0.01)
    assert "59 % of the CALL bids' and 59 % of the CALL asks' shares fit" in str(told)
    roomy = MMConfig(max_inventory_imbalance=1000.0)
    assert "shares fit" not in str(explain(quotes(config=roomy)))


def test_a_trader_finds_what_decided_in_the_table() -> None:
    told = explain(quotes(**SCENES["an informed flow"]))
    assert told.spread is not None
    floors = [line for line in str(told).splitlines() if line.startswith("  floor:")]
    assert len(floors) == len(told.spread.floors)
    assert [told.spread.binding for line in floors if line.endswith("binds")] == [told.spread.binding]
    assert told.spread.binding != ""
    (toxicity,) = [line.split() for line in str(told).splitlines() if line.startswith("+ toxicity")]
    assert toxicity[-2:] == ["x", "1.6500"]


def test_the_map_is_plain_json_and_holds_every_term() -> None:
    told = explain(quotes())
    read = json.loads(json.dumps(told.as_map(), allow_nan=False))
    assert read["layers"][0]["terms"][0] == {
        "name": "model value",
        "dollars": told.layers[0].terms[0].dollars,
        "factor": None,
    }
    assert read["spread"]["half_spread"] == told.spread.half_spread  # type: ignore[union-attr]

"""Which exchange the oracle is projected through, and what is said when the choice is doubtful."""

from __future__ import annotations

import pytest

from shared.config import MMConfig
from tests.services.quoter.scene import MARKET, STRIKE, Scene


def test_without_a_significant_leader_the_default_exchange_projects_and_the_spread_widens() -> None:
    led, unled = Scene(), Scene(lead_lag={"leader": None, "lead_s": None})
    calm, wide = led.latest(), unled.latest()
    assert wide.reasons == ("no_leader",)
    assert unled.core.markets[MARKET].leading == "coinbase"
    assert wide.breakdown["projection_sd"] > 0.0
    assert wide.breakdown["factor_inputs"] == pytest.approx(1.25 * calm.breakdown["factor_inputs"])
    assert wide.breakdown["floor_pin_risk"] == pytest.approx(calm.breakdown["floor_pin_risk"], rel=0.05)


def test_the_leader_projects_while_it_can_be_used() -> None:
    scene = Scene(lead_lag={"leader": "bybit", "lead_s": 0.4})
    assert scene.latest().reasons == ()
    assert scene.core.markets[MARKET].leading == "bybit"
    scene.say(scene.status("BTC", "bybit", "SpotQuote", state="STALE"))
    assert "leader_unusable" in scene.latest().reasons
    assert scene.core.markets[MARKET].leading == "coinbase"


def test_a_judgment_is_remembered_until_it_can_change() -> None:
    scene = Scene()
    market = scene.core.markets[MARKET]
    scene.tick()
    until_ns = market.recheck_ns
    assert scene.now < until_ns <= scene.now + 1_000_000_000
    scene.say(scene.quote())
    assert market.recheck_ns == until_ns


@pytest.mark.parametrize("basis", ["implied", "prior"])
def test_a_volatility_that_was_not_estimated_is_named_and_widens(basis: str) -> None:
    calm, assumed = Scene().latest(), Scene(volatility={"basis": basis}).latest()
    assert (assumed.action, assumed.reasons) == ("WIDEN_SPREADS", ("volatility_assumed",))
    assert assumed.breakdown["factor_inputs"] == pytest.approx(1.25 * calm.breakdown["factor_inputs"])
    assert calm.reasons == ()


def test_a_stale_mid_does_not_pull_the_value_from_where_spot_is() -> None:
    """The book still says 0.51 while spot stands 500 dollars above the strike with two minutes left."""
    scene = Scene(at_s=780.0, spot=STRIKE + 500.0, book=(50, 52))
    quotes = scene.latest()
    assert quotes.fair_value is not None
    assert quotes.fair_value > 0.99
    assert quotes.breakdown["book_mid"] == pytest.approx(0.51)
    assert quotes.action == "PULL_QUOTES"
    assert "model_market_disagreement" in quotes.reasons
    assert quotes.call == quotes.put == ()


def test_a_mid_that_spot_has_just_left_is_quoted_away_from_by_the_value() -> None:
    scene = Scene(MMConfig(max_model_mid_disagreement=0.6), at_s=780.0, spot=STRIKE + 500.0, book=(50, 52))
    quotes = scene.latest()
    assert quotes.fair_value is not None
    assert quotes.fair_value > 0.99
    asks = [layer.price for layer in quotes.call if layer.side == "ask"]
    assert all(price > quotes.fair_value - 0.01 for price in asks)

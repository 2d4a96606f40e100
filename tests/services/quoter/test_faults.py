"""Which exchange the oracle is projected through, and what is said when the choice is doubtful."""

from __future__ import annotations

import pytest

from tests.services.quoter.scene import MARKET, Scene


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

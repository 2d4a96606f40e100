from __future__ import annotations

import pytest

from services.simulator.crypto_price import crypto_price_json
from services.simulator.wire import iso
from tests.services.simulator.builders import PERIOD_S, make_world, play

QUERY = {"symbol": "BTC", "eventStartTime": iso(PERIOD_S * 1000), "endDate": iso((PERIOD_S + 900) * 1000)}
TWAP = {**QUERY, "variant": "fifteen", "twapEnabled": "true", "twapLookbackSeconds": "60"}


def test_the_opening_value_appears_two_to_three_seconds_after_the_start() -> None:
    world = make_world(start_ms=PERIOD_S * 1000 - 1_000)
    play(world, 2.0)
    early = crypto_price_json(world, TWAP, world.now_ms)
    play(world, 2.5)
    late = crypto_price_json(world, TWAP, world.now_ms)
    assert early is not None
    assert late is not None
    assert early["openPrice"] is None
    assert late["openPrice"] == world.oracles["BTC"].twap(PERIOD_S)
    assert list(late) == ["openPrice", "closePrice", "completed", "incomplete", "cached", "timestamp"]
    assert (late["completed"], late["incomplete"]) == (False, True)


def test_without_the_twap_parameters_the_answer_is_the_spot() -> None:
    world = make_world()
    answer = crypto_price_json(world, QUERY, world.now_ms)
    assert answer is not None
    assert answer["openPrice"] == world.oracles["BTC"].spot(PERIOD_S)


def test_a_finished_period_is_complete() -> None:
    world = make_world()
    query = {**TWAP, "eventStartTime": iso((PERIOD_S - 900) * 1000), "endDate": iso(PERIOD_S * 1000)}
    answer = crypto_price_json(world, query, world.now_ms)
    assert answer is not None
    assert answer["completed"] is True
    assert answer["closePrice"] == world.periods[f"btc-updown-15m-{PERIOD_S}"].strike


def test_a_late_strike_is_missing_and_an_unknown_symbol_is_nothing() -> None:
    world = make_world()
    answer = crypto_price_json(world, TWAP, world.now_ms, late=True)
    assert answer is not None
    assert answer["openPrice"] is None
    assert crypto_price_json(world, {**TWAP, "symbol": "NOPE"}, world.now_ms) is None
    with pytest.raises(KeyError):
        crypto_price_json(world, {"symbol": "BTC"}, world.now_ms)

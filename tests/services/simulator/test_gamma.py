from __future__ import annotations

import json

from services.simulator.gamma import event_json, market_json, select
from services.simulator.wire import iso
from tests.services.simulator.builders import (
    PERIOD_S,
    assert_same_shape,
    make_world,
    play,
    recorded,
    recorded_json,
    shape,
)


def test_a_running_market_has_the_recorded_fields_in_order() -> None:
    world = make_world()
    play(world, 3.0)
    period = world.current_period(world.series[0])
    ours = market_json(period, world.now_ms)
    assert_same_shape(
        ours, recorded_json("polymarket/gamma/market_btc15m_1791241200.json"), ours_also=("volume", "volumeNum")
    )
    assert json.loads(ours["outcomes"]) == ["Up", "Down"]
    assert json.loads(ours["clobTokenIds"]) == list(period.tokens)
    assert ours["question"] == "Bitcoin Up or Down - October 5, 7:00PM-7:15PM ET"


def test_the_spacing_inside_list_fields_is_the_recorded_one() -> None:
    real = json.loads(recorded("polymarket/gamma/market_btc15m_1791241200.json"))
    ours = market_json(make_world().current_period(make_world().series[0]), 0)
    assert ours["outcomes"] == real["outcomes"]
    for name in ("outcomePrices", "clobTokenIds"):
        assert ('", "' in ours[name]) == ('", "' in real[name])


def test_a_resolved_event_has_every_recorded_field() -> None:
    world = make_world()
    period = world.periods[f"btc-updown-15m-{PERIOD_S - 900}"]
    ours = event_json(period, world.now_ms)
    real = recorded_json("polymarket/gamma/event_btc5m_1790123400_resolved_excerpt.json")
    assert list(ours) == list(real)
    market = {key: ours["markets"][0][key] for key in ours["markets"][0] if key in real["markets"][0]}
    assert json.dumps(shape(market)) == json.dumps(shape(real["markets"][0]))
    won = ours["eventMetadata"]["finalPrice"] >= ours["eventMetadata"]["priceToBeat"]
    assert json.loads(ours["markets"][0]["outcomePrices"]) == (["1", "0"] if won else ["0", "1"])
    assert ours["closed"] is True


def test_metadata_is_absent_during_a_period_and_for_a_minute_after_it() -> None:
    world = make_world(start_ms=PERIOD_S * 1000 + 895_000)
    period = world.current_period(world.series[0])
    assert "eventMetadata" not in event_json(period, world.now_ms)
    play(world, 50.0, step_ms=1_000)
    assert "eventMetadata" not in event_json(period, world.now_ms)
    play(world, 25.0, step_ms=1_000)
    following = world.periods[f"btc-updown-15m-{PERIOD_S + 900}"]
    assert event_json(period, world.now_ms)["eventMetadata"]["finalPrice"] == following.strike


def test_a_v2_market_has_position_ids_instead_of_token_ids() -> None:
    world = make_world(version="v2")
    ours = market_json(world.current_period(world.series[0]), world.now_ms)
    real = recorded_json("polymarket/protocol_v2/gamma_market_v2_docs_example.json")
    assert ours["clobTokenIds"] is None
    assert shape(ours["positionIds"]) == shape(real["positionIds"])
    assert ours["version"] == "v2"


def test_listings_filter_by_series_end_date_and_state() -> None:
    world = make_world(series=("btc-15m", "eth-5m"))
    now = iso(world.now_ms)
    soon = iso(world.now_ms + 1_000_000)
    bounded, more = select(
        world, {"tag_slug": "up-or-down", "closed": "false", "end_date_min": now, "end_date_max": soon}
    )
    assert {period.series.name for period in bounded} == {"btc-15m", "eth-5m"}
    assert all(period.end_s * 1000 > world.now_ms for period in bounded)
    assert not more
    first, more = select(world, {"series_id": "10192", "closed": "false", "order": "endDate", "limit": "2"})
    assert [period.start_s for period in first] == [PERIOD_S, PERIOD_S + 900]
    assert more
    closed, _ = select(world, {"closed": "true"})
    assert all(period.resolved for period in closed)

from __future__ import annotations

import json

from services.simulator.clob import book_text, market_json, requested_tokens
from services.simulator.market_channel import book_text as frame_text
from tests.services.simulator.builders import assert_same_shape, make_world, recorded_json


def test_market_parameters_have_the_recorded_shape() -> None:
    for version, file in (
        ("v1", "clob_rest/clob_markets_btc15m_v1"),
        ("v2", "protocol_v2/clob_markets_updown_canary_v2"),
    ):
        world = make_world(version=version)
        ours = market_json(world.current_period(world.series[0]))
        assert_same_shape(ours, recorded_json(f"polymarket/{file}.json"))


def test_the_rest_book_is_the_books_frame_with_the_market_parameters() -> None:
    world = make_world()
    period = world.current_period(world.series[0])
    rest, frame = json.loads(book_text(period, 1)), json.loads(frame_text(period, 1))
    assert list(rest) == [
        *("market", "asset_id", "timestamp", "hash", "bids", "asks"),
        *("min_order_size", "tick_size", "neg_risk", "last_trade_price"),
    ]
    assert {key: rest[key] for key in ("hash", "bids", "asks")} == {key: frame[key] for key in ("hash", "bids", "asks")}


def test_the_v2_rest_book_has_the_recorded_keys() -> None:
    world = make_world(version="v2")
    ours = json.loads(book_text(world.current_period(world.series[0]), 0))
    assert list(ours) == list(recorded_json("polymarket/protocol_v2/book_v2.json"))


def test_a_request_for_books_must_be_a_list_of_objects() -> None:
    assert requested_tokens('[{"token_id":"1"},{"token_id":"2"}]') == ["1", "2"]
    assert requested_tokens("{}") is None
    assert requested_tokens("nonsense") is None

from __future__ import annotations

import json
from typing import Any

from services.simulator.rtds import RtdsSession
from tests.services.simulator.builders import ask, assert_same_shape, make_world, play_session, recorded, recorded_json

EXACT = '{"symbol":"btc/usd"}'


def subscribe(*entries: tuple[str, str]) -> dict[str, Any]:
    return {
        "action": "subscribe",
        "subscriptions": [{"topic": topic, "type": "*", "filters": filters} for topic, filters in entries],
    }


def test_updates_have_the_recorded_shapes() -> None:
    world = make_world()
    session = RtdsSession(world, "gZexFa6cUWeIKEiTDA==")
    binance = ("crypto_prices", '{"symbol":"btcusdt"}')
    message = subscribe(("crypto_prices_chainlink", EXACT), ("crypto_prices_twap_sixty", EXACT), binance)
    snapshots = ask(session, message, world.now_ms)
    ours = {frame["topic"]: frame for frame in play_session(world, session, 5.0)}
    for topic, file in (
        ("crypto_prices_chainlink", "crypto_prices_chainlink_update"),
        ("crypto_prices_twap_sixty", "crypto_prices_twap_sixty_update"),
        ("crypto_prices", "crypto_prices_binance_update"),
    ):
        assert_same_shape(ours[topic], recorded_json(f"polymarket/rtds/{file}.json"))
    real = recorded_json("polymarket/rtds/crypto_prices_twap_thirty_snapshot_truncated.json")
    assert_same_shape(snapshots[1], real)


def test_values_are_e18_on_the_chainlink_topics_and_plain_on_the_other() -> None:
    world = make_world()
    session = RtdsSession(world, "c")
    message = subscribe(("crypto_prices_twap_sixty", ""), ("crypto_prices", ""))
    assert ask(session, message, world.now_ms) == []  # unfiltered: no snapshot
    ours = {frame["topic"]: frame["payload"] for frame in play_session(world, session, 5.0)}
    twap, binance = ours["crypto_prices_twap_sixty"], ours["crypto_prices"]
    assert abs(int(twap["full_accuracy_value"]) / 1e18 - twap["value"]) < 1e-6
    assert float(binance["full_accuracy_value"]) == binance["value"]


def test_the_spot_snapshot_is_mislabelled() -> None:
    world = make_world()
    (snapshot,) = ask(RtdsSession(world, "c"), subscribe(("crypto_prices_chainlink", EXACT)), world.now_ms)
    assert snapshot["topic"] == "crypto_prices"
    assert snapshot["payload"]["symbol"] == "btc/usd"
    assert list(snapshot["payload"]["data"][0]) == ["timestamp", "value"]


def test_a_space_in_the_filter_gives_the_snapshot_and_then_silence() -> None:
    world = make_world()
    session = RtdsSession(world, "c")
    message = subscribe(("crypto_prices_chainlink", '{"symbol": "btc/usd"}'))
    assert len(ask(session, message, world.now_ms)) == 1
    assert play_session(world, session, 5.0) == []


def test_one_unknown_topic_silences_the_whole_request() -> None:
    world = make_world()
    session = RtdsSession(world, "c")
    message = subscribe(("crypto_prices_chainlink", EXACT), ("definitely_not_a_topic", ""))
    message["subscriptions"][1]["type"] = "update"
    (frame,) = session.on_text(json.dumps(message), world.now_ms)
    assert frame.text == recorded("polymarket/rtds/error_unknown_topic.json")
    assert play_session(world, session, 5.0) == []


def test_a_connection_starts_with_an_empty_frame_and_ping_is_not_answered() -> None:
    session = RtdsSession(make_world(), "c")
    assert [frame.text for frame in session.on_connect()] == [""]
    assert session.on_text("PING", 0) == []

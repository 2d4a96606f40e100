from __future__ import annotations

from typing import Any

from services.simulator.polybolt import PolyBoltSession
from services.simulator.world import World
from tests.services.simulator.builders import ask, assert_same_shape, make_world, play_session, recorded, recorded_json

AUTH = {"op": "auth", "rid": "a1", "auth": {"apiKey": "k", "secret": "s", "passphrase": "p"}}
SUBSCRIBE = {
    "op": "subscribe",
    "rid": "s1",
    "subscriptions": [
        {"channel": "price.crypto.twap", "filter": {"symbol": "btcusd", "window_seconds": 60}},
        {"channel": "price.crypto", "filter": {"symbol": "btcusd"}},
    ],
}


def authed(world: World) -> PolyBoltSession:
    session = PolyBoltSession(world)
    ask(session, AUTH, world.now_ms)
    return session


def test_control_frames_are_those_of_the_documentation_byte_for_byte() -> None:
    world = make_world()
    session = PolyBoltSession(world)
    refused = session.on_text(recorded("polymarket/polybolt/client_subscribe.json"), world.now_ms)
    assert refused[1].text == recorded("polymarket/polybolt/server_error_auth_required.json")
    (reply,) = session.on_text(recorded("polymarket/polybolt/client_auth.json"), world.now_ms)
    assert reply.text == recorded("polymarket/polybolt/server_authed.json")
    acks = session.on_text(recorded("polymarket/polybolt/client_subscribe.json"), world.now_ms)
    assert acks[1].text == recorded("polymarket/polybolt/server_subscribed.json")


def test_acks_come_in_the_order_of_the_request_then_two_minutes_of_snapshot() -> None:
    world = make_world()
    frames = ask(authed(world), SUBSCRIBE, world.now_ms)
    assert [frame.get("op") for frame in frames] == ["subscribed", "subscribed", None, None]
    assert [frame["channel"] for frame in frames[:2]] == ["price.crypto.twap", "price.crypto"]
    rows = frames[2]["payload"]["data"]
    assert frames[2]["snapshot"] is True
    assert 115 <= len(rows) <= 121
    assert [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)
    assert list(rows[0]) == ["timestamp", "value", "full_accuracy_value"]


def test_updates_have_the_documented_shape_and_consecutive_numbers_a_channel() -> None:
    world = make_world()
    session = authed(world)
    frames: list[Any] = ask(session, SUBSCRIBE, world.now_ms)[2:] + play_session(world, session, 6.0)
    for channel in ("price.crypto", "price.crypto.twap"):
        numbers = [frame["seq"] for frame in frames if frame["channel"] == channel]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 4
    twap = [frame for frame in frames if frame["channel"] == "price.crypto.twap"][-1]
    assert_same_shape(twap, recorded_json("polymarket/polybolt/server_twap_update_docs_example.json"))
    whole, _, decimals = twap["payload"]["full_accuracy_value"].partition(".")
    assert len(decimals) == 18
    assert abs(float(f"{whole}.{decimals}") - twap["payload"]["value"]) < 1e-9


def test_a_repeated_subscription_is_acknowledged_without_a_snapshot() -> None:
    world = make_world()
    session = authed(world)
    ask(session, SUBSCRIBE, world.now_ms)
    assert [frame.get("op") for frame in ask(session, SUBSCRIBE, world.now_ms)] == ["subscribed", "subscribed"]


def test_bad_requests_get_their_codes() -> None:
    world = make_world()
    session = authed(world)

    def code(channel: str, condition: dict[str, Any]) -> Any:
        item = {"channel": channel, "filter": condition}
        return ask(session, {"op": "subscribe", "rid": "x", "subscriptions": [item]}, world.now_ms)[0]["code"]

    assert code("price.nope", {"symbol": "btcusd"}) == "bad_channel"
    assert code("price.crypto", {"symbol": "btc/usd"}) == "bad_filter"
    assert code("price.crypto.twap", {"symbol": "btcusd", "window_seconds": 30}) == "bad_filter"
    assert ask(session, {"op": "dance"}, world.now_ms)[0]["code"] == "bad_op"
    assert ask(session, {"op": "ping", "rid": "p"}, world.now_ms) == [{"op": "pong", "rid": "p"}]


def test_missing_credentials_close_the_connection() -> None:
    (frame,) = PolyBoltSession(make_world()).on_text('{"op":"auth","rid":"1","auth":{}}', 0)
    assert frame.close_code == 4001

from __future__ import annotations

from itertools import pairwise

from services.simulator.bybit import BybitSession
from tests.services.simulator.builders import ask, assert_same_shape, make_world, play_session, recorded_json

BOTH = {"req_id": "1", "op": "subscribe", "args": ["orderbook.1.BTCUSDT", "publicTrade.BTCUSDT"]}


def test_a_subscription_is_acknowledged_and_level_one_comes_at_once() -> None:
    world = make_world()
    ack, snapshot = ask(BybitSession(world, "c1"), BOTH, world.now_ms)
    assert ack == {"success": True, "ret_msg": "subscribe", "conn_id": "c1", "req_id": "1", "op": "subscribe"}
    assert snapshot["type"] == "snapshot"
    assert float(snapshot["data"]["b"][0][0]) < float(snapshot["data"]["a"][0][0])


def test_frames_have_the_recorded_shape() -> None:
    real = {row["topic"]: row for row in reversed(recorded_json("tardis_wire_examples/bybit_spot_v5.json"))}
    world = make_world()
    session = BybitSession(world, "c1")
    ask(session, BOTH, world.now_ms)
    ours = {frame["topic"]: frame for frame in play_session(world, session, 3.0)}
    assert_same_shape(ours["orderbook.1.BTCUSDT"], real["orderbook.1.BTCUSDT"], ours_also=("cts",))
    trade = ours["publicTrade.BTCUSDT"]
    trade["data"] = [{key: row[key] for key in row if key not in ("RPI", "seq")} for row in trade["data"]]
    assert_same_shape(trade, real["publicTrade.BTCUSDT"])


def test_updates_are_numbered_without_gaps() -> None:
    world = make_world()
    session = BybitSession(world, "c1")
    frames = ask(session, BOTH, world.now_ms)[1:] + play_session(world, session, 5.0)
    numbers = [frame["data"]["u"] for frame in frames if frame["topic"].startswith("orderbook")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_quiet_level_one_is_repeated_every_three_seconds_with_the_same_number() -> None:
    world = make_world(quote_rate=0.002)
    session = BybitSession(world, "c1")
    ask(session, BOTH, world.now_ms)
    stamps: dict[int, list[int]] = {}
    for frame in play_session(world, session, 30.0):
        if frame["topic"].startswith("orderbook"):
            stamps.setdefault(frame["data"]["u"], []).append(frame["ts"])
    repeats = max(stamps.values(), key=len)
    assert len(repeats) > 2
    assert {later - earlier for earlier, later in pairwise(repeats)} == {3_000}


def test_a_ping_is_answered_with_op_ping() -> None:
    world = make_world()
    (pong,) = ask(BybitSession(world, "c1"), {"op": "ping"}, world.now_ms)
    assert (pong["op"], pong["ret_msg"], pong["success"]) == ("ping", "pong", True)


def test_an_unknown_topic_fails_the_whole_request() -> None:
    world = make_world()
    session = BybitSession(world, "c1")
    (refusal,) = ask(session, {**BOTH, "args": [*BOTH["args"], "orderbook.1.NOPE"]}, world.now_ms)
    assert refusal["success"] is False
    assert play_session(world, session, 1.0) == []

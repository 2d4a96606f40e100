from __future__ import annotations

import json

from services.simulator.coinbase import CoinbaseSession
from tests.services.simulator.builders import (
    ask,
    assert_same_shape,
    make_world,
    play_session,
    recorded,
    recorded_json,
    shape,
)

ALL = {
    "type": "subscribe",
    "product_ids": ["BTC-USD"],
    "channels": ["ticker", "matches", "level2_batch", "heartbeat"],
}


def recorded_kinds() -> dict[str, object]:
    """One recorded frame of each kind."""
    kinds = {}
    for line in recorded("cryptofeed_raw_ws/COINBASE.ws.28.0").splitlines():
        stamp, _, text = line.partition(": ")
        if stamp.replace(".", "").isdigit():
            frame = json.loads(text)
            kinds.setdefault(frame["type"], frame)
    return kinds


def test_a_subscription_is_listed_first_then_come_ticker_last_match_and_snapshot() -> None:
    world = make_world()
    frames = ask(CoinbaseSession(world), ALL, world.now_ms)
    assert [frame["type"] for frame in frames] == ["subscriptions", "ticker", "last_match", "snapshot"]
    assert frames[0]["channels"][0] == {"name": "ticker", "product_ids": ["BTC-USD"], "account_ids": None}


def test_frames_have_the_recorded_shapes() -> None:
    real = recorded_kinds()
    world = make_world()
    session = CoinbaseSession(world)
    frames = ask(session, ALL, world.now_ms) + play_session(world, session, 6.0)
    ours = {frame["type"]: frame for frame in frames}
    for kind in ("match", "last_match", "l2update"):
        assert_same_shape(ours[kind], real[kind])
    assert_same_shape(ours["snapshot"], real["snapshot"], ours_also=("time",))
    tickers = recorded_json("tardis_wire_examples/coinbase_exchange.json")
    assert_same_shape(ours["ticker"], next(row for row in tickers if "best_bid_size" in row))
    assert list(shape(ours["heartbeat"])) == ["type", "sequence", "last_trade_id", "product_id", "time"]


def test_a_match_names_the_maker_and_a_ticker_the_taker() -> None:
    world = make_world()
    session = CoinbaseSession(world)
    ask(session, ALL, world.now_ms)
    frames = play_session(world, session, 10.0)
    makers = {frame["trade_id"]: frame["side"] for frame in frames if frame["type"] == "match"}
    tickers = [frame for frame in frames if frame["type"] == "ticker"]
    assert len(tickers) > 5
    for ticker in tickers:
        assert {makers[ticker["trade_id"]], ticker["side"]} == {"buy", "sell"}
        assert ticker["price"] == ticker["best_ask" if ticker["side"] == "buy" else "best_bid"]


def test_the_book_stays_consistent_when_its_updates_are_applied() -> None:
    world = make_world()
    session = CoinbaseSession(world)
    snapshot = ask(session, ALL, world.now_ms)[-1]
    sides = {"buy": dict(snapshot["bids"]), "sell": dict(snapshot["asks"])}
    for frame in play_session(world, session, 20.0):
        for side, price, size in frame.get("changes", []):
            sides[side][price] = size
            if float(size) == 0.0:
                del sides[side][price]
        if frame["type"] == "l2update":
            assert max(map(float, sides["buy"])) < min(map(float, sides["sell"]))
    venue = world.coinbase["BTC"]
    assert max(map(float, sides["buy"])) == float(venue.price_text(venue.bid_ticks))
    assert 10 < len(sides["buy"]) < 45


def test_an_unknown_product_is_an_error() -> None:
    world = make_world()
    (error,) = ask(CoinbaseSession(world), {**ALL, "product_ids": ["NOPE-USD"]}, world.now_ms)
    assert (error["type"], error["reason"]) == ("error", "NOPE-USD is not a valid product")

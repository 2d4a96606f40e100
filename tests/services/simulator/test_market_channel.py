from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from services.simulator.market_channel import MarketFrames, MarketSession
from services.simulator.session import Frame
from services.simulator.world import World
from tests.services.simulator.builders import (
    PERIOD_S,
    SHARED_DATA,
    ask,
    assert_same_shape,
    make_world,
    play_session,
    recorded,
    recorded_json,
    spacing,
)


def subscribed(world: World, *, custom: bool = True, tokens: tuple[str, ...] = ()) -> tuple[MarketSession, list[Any]]:
    session = MarketSession(world, MarketFrames())
    wanted = tokens or world.current_period(world.series[0]).tokens
    message = {"assets_ids": list(wanted), "type": "market", "custom_feature_enabled": custom}
    return session, ask(session, message, world.now_ms)


def texts_by_kind(world: World, session: MarketSession, seconds: float) -> dict[str, str]:
    frames: list[Frame] = []
    world.advance(world.now_ms + int(seconds * 1000), lambda event: frames.extend(session.on_event(event)))
    return {json.loads(frame.text)["event_type"]: frame.text for frame in frames}


def test_the_first_frame_is_an_array_with_a_book_a_token_like_the_recorded_one() -> None:
    world = make_world()
    _, (books,) = subscribed(world)
    assert [book["asset_id"] for book in books] == list(world.current_period(world.series[0]).tokens)
    assert_same_shape(books[0], recorded_json("polymarket/ws_market/book_initial_snapshot_array.json")[0])
    for book in books:
        assert [float(row["price"]) for row in book["bids"]] == sorted(float(row["price"]) for row in book["bids"])
        assert float(book["bids"][-1]["price"]) < float(book["asks"][-1]["price"])


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("price_change", "price_change_two_legs.json"),
        ("last_trade_price", "last_trade_price.json"),
        ("best_bid_ask", "best_bid_ask_quoted.json"),
    ],
)
def test_frames_have_the_recorded_shape_and_spacing(kind: str, file: str) -> None:
    world = make_world()
    session, _ = subscribed(world)
    ours, real = texts_by_kind(world, session, 5.0)[kind], recorded(f"polymarket/ws_market/{file}")
    assert_same_shape(json.loads(ours), json.loads(real))
    assert spacing(ours) == spacing(real)


def test_the_end_of_a_market_has_the_recorded_shapes() -> None:
    world = make_world(start_ms=PERIOD_S * 1000 + 50_000, series=("btc-1m",), sigma_scale=3.0, book_rate=0.2)
    following = world.periods[f"btc-updown-1m-{PERIOD_S + 60}"]
    session, _ = subscribed(world, tokens=following.tokens)
    ours = texts_by_kind(world, session, following.resolve_ms / 1000.0 + 1.0 - world.now_ms / 1000.0)
    for kind, file in (
        ("tick_size_change", "tick_size_change.json"),
        ("new_market", "new_market_bnb5m.json"),
        ("market_resolved", "market_resolved.json"),
        ("price_change", "price_change_book_clear_at_resolution.json"),
    ):
        real = recorded(f"polymarket/ws_market/{file}")
        assert_same_shape(json.loads(ours[kind]), json.loads(real))
        assert spacing(ours[kind]) == spacing(real)
    legs = json.loads(ours["price_change"])["price_changes"]
    assert {(leg["best_bid"], leg["best_ask"]) for leg in legs} == {("0", "1")}


def test_the_refresh_after_a_trade_lacks_tick_size_and_last_trade_price_as_recorded() -> None:
    path = SHARED_DATA / "alihakanvesca_btc5m_ws" / "market-ws.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no recording {path}: ../shared/data is absent")
    with gzip.open(path, "rt") as lines:
        payloads = [json.loads(line)["payload"] for line in lines]
    real = [p for p in payloads if isinstance(p, dict) and p["event_type"] == "book" and "tick_size" not in p]
    world = make_world()
    session, _ = subscribed(world)
    ours = json.loads(texts_by_kind(world, session, 5.0)["book"])
    assert "tick_size" not in ours
    assert list(ours) in [list(book) for book in real]


def test_without_the_custom_features_their_kinds_are_absent() -> None:
    world = make_world()
    session, _ = subscribed(world, custom=False)
    assert set(texts_by_kind(world, session, 10.0)) == {"price_change", "last_trade_price", "book"}


def test_applying_every_price_change_gives_the_book_and_its_best_prices() -> None:
    world = make_world(book_rate=3.0, sigma_scale=3.0)
    session, (books,) = subscribed(world)
    sides = {
        (book["asset_id"], side): {row["price"]: row["size"] for row in book[key]}
        for book in books
        for side, key in (("BUY", "bids"), ("SELL", "asks"))
    }
    for frame in play_session(world, session, 30.0):
        for leg in frame.get("price_changes", []):
            levels = sides[leg["asset_id"], leg["side"]]
            levels[leg["price"]] = leg["size"]
            if leg["size"] == "0":
                del levels[leg["price"]]
            bids, asks = sides[leg["asset_id"], "BUY"], sides[leg["asset_id"], "SELL"]
            assert float(leg["best_bid"]) == max(map(float, bids), default=0.0)
            assert float(leg["best_ask"]) == min(map(float, asks), default=1.0)
    period = world.current_period(world.series[0])
    bids, _ = period.book.side_texts(1)
    assert {row["price"]: row["size"] for row in json.loads(bids)} == sides[period.tokens[1], "BUY"]


def test_tokens_can_be_added_and_removed_later() -> None:
    world = make_world()
    session, _ = subscribed(world, custom=False)
    current, following = (world.periods[f"btc-updown-15m-{PERIOD_S + 900 * step}"] for step in (0, 1))
    (books,) = ask(session, {"operation": "subscribe", "assets_ids": list(following.tokens)}, world.now_ms)
    assert [book["market"] for book in books] == [following.condition_id] * 2
    assert ask(session, {"operation": "unsubscribe", "assets_ids": list(current.tokens)}, world.now_ms) == []
    assert {frame["market"] for frame in play_session(world, session, 5.0)} == {following.condition_id}


def test_ping_is_answered_with_pong() -> None:
    session, _ = subscribed(make_world())
    assert session.on_text("PING", 0) == [Frame("PONG", is_data=False)]


def test_a_v2_book_names_its_version() -> None:
    world = make_world(version="v2")
    _, (books,) = subscribed(world)
    real = recorded_json("polymarket/protocol_v2/ws_market_v2_book_frame.json")[0]
    assert list(books[0]) == list(real)
    period = world.current_period(world.series[0])
    first = int(period.tokens[0])
    assert first == int(period.condition_id, 16)
    assert len(period.condition_id) == 66
    assert first & (((1 << 64) - 1) << 40) == 0

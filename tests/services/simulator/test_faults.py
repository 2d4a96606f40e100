from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from services.simulator import faults
from services.simulator.bybit import BybitSession
from services.simulator.coinbase import CoinbaseSession
from services.simulator.faults import NAMES, FaultBoard, FaultyDoor, FaultyLine, HttpReply, skewed
from services.simulator.market_channel import MarketFrames, MarketSession
from services.simulator.polybolt import PolyBoltSession
from services.simulator.session import Frame, Session
from tests.services.simulator.builders import make_world
from tests.services.simulator.test_polybolt import AUTH, SUBSCRIBE

REPLY = HttpReply(200, '{"timestamp":1791241200123}', {})


def spoiled(venue: str, name: str, seconds: float = 4.0, **fault: Any) -> tuple[list[str], list[float]]:
    """Texts and delays of a venue's data frames with one fault on."""
    world = make_world()
    period = world.current_period(world.series[0])
    sessions: dict[str, tuple[Session, list[dict[str, Any]]]] = {
        "bybit": (
            BybitSession(world, "c"),
            [{"op": "subscribe", "args": ["orderbook.1.BTCUSDT", "publicTrade.BTCUSDT"]}],
        ),
        "coinbase": (
            CoinbaseSession(world),
            [{"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["ticker", "matches"]}],
        ),
        "market": (MarketSession(world, MarketFrames()), [{"type": "market", "assets_ids": list(period.tokens)}]),
        "polybolt": (PolyBoltSession(world), [AUTH, SUBSCRIBE]),
    }
    session, messages = sessions[venue]
    board = FaultBoard()
    line = FaultyLine(board, venue)
    for message in messages:
        session.on_text(json.dumps(message), world.now_ms)
    if name:
        board.start(name, venue, now_ms=world.now_ms, **fault)
    outgoing = []
    world.advance(
        world.now_ms + int(seconds * 1000),
        lambda event: outgoing.extend(line.send(session.on_event(event), event.ts_ms)),
    )
    return [sent.frame.text for sent in outgoing], [sent.delay_s for sent in outgoing]


def test_freeze_stops_the_data_and_still_answers_pings() -> None:
    assert spoiled("bybit", "freeze")[0] == []
    board = FaultBoard()
    board.start("freeze", "bybit", now_ms=0)
    pong = Frame("pong", is_data=False)
    assert [sent.frame for sent in FaultyLine(board, "bybit").send([pong], 1)] == [pong]


@pytest.mark.parametrize(("venue", "key"), [("bybit", "u"), ("polybolt", "seq")])
def test_gap_skips_the_venues_numbers(venue: str, key: str) -> None:
    def jumps(name: str) -> int:
        frames = [json.loads(text) for text in spoiled(venue, name, 8.0)[0]]
        kinds: dict[str, list[int]] = {}
        for frame in frames:
            inner = frame if key in frame else frame["data"]
            if key in inner:
                kinds.setdefault(frame.get("channel", ""), []).append(inner[key])
        return sum(b != a + 1 for numbers in kinds.values() for a, b in pairwise(numbers))

    assert jumps("") == 0
    assert jumps("gap") > 0


def test_a_crossed_book_is_crossed() -> None:
    quotes = [json.loads(text)["data"] for text in spoiled("bybit", "crossed_book")[0] if "orderbook" in text]
    assert all(float(quote["b"][0][0]) > float(quote["a"][0][0]) for quote in quotes)
    legs = [
        json.loads(text)["price_changes"][0] for text in spoiled("market", "crossed_book")[0] if "price_changes" in text
    ]
    assert legs
    assert all(float(leg["best_bid"]) >= float(leg["best_ask"]) for leg in legs)


def test_wrong_side_turns_every_leg_and_trade() -> None:
    for venue, pick in (
        ("market", lambda frame: [leg["side"] for leg in frame.get("price_changes", [])]),
        ("bybit", lambda frame: [row["S"] for row in frame["data"]] if isinstance(frame["data"], list) else []),
        ("coinbase", lambda frame: [frame["side"]]),
    ):
        right = [side for text in spoiled(venue, "")[0] for side in pick(json.loads(text))]
        wrong = [side for text in spoiled(venue, "wrong_side")[0] for side in pick(json.loads(text))]
        assert right
        assert len(right) == len(wrong)
        assert all(a != b for a, b in zip(right, wrong, strict=True))


def test_slow_delays_every_frame() -> None:
    _, delays = spoiled("bybit", "slow", delay_s=2.5)
    assert set(delays) == {2.5}


def test_garbage_is_malformed_truncated_nan_and_huge() -> None:
    def broken(text: str) -> bool:
        try:
            return not isinstance(json.loads(text), dict)
        except ValueError:
            return True

    texts = spoiled("bybit", "garbage")[0]
    assert any(broken(text) for text in texts)
    assert any("NaN" in text for text in texts)
    assert any(len(text) > 1_000_000 for text in texts)


def test_clock_skew_moves_every_timestamp_by_an_hour_and_nothing_else() -> None:
    right, wrong = spoiled("bybit", "")[0], spoiled("bybit", "clock_skew")[0]
    for before, after in zip(right, wrong, strict=True):
        assert json.loads(after)["ts"] - json.loads(before)["ts"] == 3_600_000
    prices = [json.loads(text)["data"]["b"] for text in wrong if "orderbook" in text]
    assert prices == [json.loads(text)["data"]["b"] for text in right if "orderbook" in text]
    assert skewed('{"time":"2026-10-05T23:00:00.123000Z"}') == '{"time":"2026-10-06T00:00:00.123000Z"}'
    assert skewed("1791241200") == "1791244800"
    token = "111614563957165270026378011809694313565736745512637881727398424401624030147043"
    assert skewed(f'{{"asset_id":"{token}"}}') == f'{{"asset_id":"{token}"}}'


def test_out_of_order_swaps_neighbors_and_loses_nothing() -> None:
    right, wrong = spoiled("coinbase", "", 20.0)[0], spoiled("coinbase", "out_of_order", 20.0)[0]
    assert wrong != right[: len(wrong)]
    assert set(wrong) <= set(right)
    assert len(wrong) >= len(right) - 1


def test_duplicate_sends_everything_twice() -> None:
    texts = spoiled("market", "duplicate")[0]
    assert texts[::2] == texts[1::2]


def test_http_errors_alternate_and_carry_retry_after() -> None:
    board = FaultBoard()
    door = FaultyDoor(board, "gamma")
    assert door.answer(REPLY, 0) == REPLY
    board.start("http_errors", "gamma", now_ms=0)
    first, second = door.answer(REPLY, 1), door.answer(REPLY, 1)
    assert (first.status, second.status, second.headers) == (500, 429, {"Retry-After": "1"})
    assert FaultyDoor(board, "clob").answer(REPLY, 1) == REPLY


def test_a_fault_ends_by_itself_or_when_cleared() -> None:
    board = FaultBoard()
    board.start("freeze", "market", now_ms=0, duration_s=2.0)
    board.start("gap", "*", now_ms=0)
    assert board.is_on("freeze", "market", 1_999)
    assert not board.is_on("freeze", "market", 2_000)
    assert board.is_on("gap", "bybit", 10**9)
    assert board.clear(name="gap") == 1
    assert not board.is_on("gap", "bybit", 1)


def test_unknown_faults_and_venues_are_refused() -> None:
    with pytest.raises(ValueError, match="known are"):
        FaultBoard().start("earthquake", now_ms=0)
    with pytest.raises(ValueError, match="known are"):
        FaultBoard().start("freeze", "moon", now_ms=0)


def test_every_fault_is_named_in_the_catalogue_of_the_docstring() -> None:
    assert faults.__doc__ is not None
    assert all(f"\n{name} " in faults.__doc__ for name in NAMES)

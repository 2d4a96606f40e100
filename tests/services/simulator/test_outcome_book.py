from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.simulator.outcome_book import OutcomeBook, price_text, size_text
from tests.services.simulator.builders import make_world, play, recorded_json


def test_the_hash_recipe_reproduces_the_recorded_hashes() -> None:
    for snapshot in recorded_json("polymarket/ws_market/book_initial_snapshot_array.json"):
        book = OutcomeBook()
        for side in ("bids", "asks"):
            for level in snapshot[side]:
                micro_shares = round(float(level["size"]) * 1_000_000)
                mills = round(float(level["price"]) * 1000)
                book.put(mills, is_bid=side == "bids", micro_shares=micro_shares, ts_ms=0)
        book.last_trade_texts = (snapshot["last_trade_price"], "")
        digest = book.hash(
            market=snapshot["market"], asset_id=snapshot["asset_id"], ts_ms=int(snapshot["timestamp"]), outcome_index=0
        )
        assert digest == snapshot["hash"]


def test_the_hash_recipe_of_protocol_v2_ends_with_the_version() -> None:
    snapshot = recorded_json("polymarket/protocol_v2/book_v2.json")
    digest = OutcomeBook().hash(
        market=snapshot["market"],
        asset_id=snapshot["asset_id"],
        ts_ms=int(snapshot["timestamp"]),
        outcome_index=0,
        version="v2",
    )
    assert digest == snapshot["hash"]


def test_prices_and_sizes_are_written_without_trailing_zeros() -> None:
    assert [price_text(mills) for mills in (470, 100, 1, 999, 1000)] == ["0.47", "0.1", "0.001", "0.999", "1"]
    assert [size_text(size) for size in (347_170_000, 5_000_000, 13_793_100)] == ["347.17", "5", "13.7931"]


def test_a_crossing_level_is_refused() -> None:
    book = OutcomeBook()
    book.put(500, is_bid=True, micro_shares=1, ts_ms=1)
    with pytest.raises(ValueError, match="cross"):
        book.put(500, is_bid=False, micro_shares=1, ts_ms=2)


def assert_mirror(book: OutcomeBook) -> None:
    up_bids, up_asks = (json.loads(text) for text in book.side_texts(0))
    down_bids, down_asks = (json.loads(text) for text in book.side_texts(1))
    for ours, other in ((up_bids, down_asks), (up_asks, down_bids)):
        assert [(round(1000 * float(row["price"])), row["size"]) for row in ours] == [
            (1000 - round(1000 * float(row["price"])), row["size"]) for row in other
        ]
    for bids, asks in ((up_bids, up_asks), (down_bids, down_asks)):
        assert [float(row["price"]) for row in bids] == sorted(float(row["price"]) for row in bids)
        assert [-float(row["price"]) for row in asks] == sorted(-float(row["price"]) for row in asks)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 999), st.booleans(), st.integers(0, 10**10)), max_size=60))
def test_the_down_book_is_the_exact_mirror_after_any_updates(updates: list[tuple[int, bool, int]]) -> None:
    book = OutcomeBook()
    for mills, is_bid, micro_shares in updates:
        try:
            book.put(mills, is_bid=is_bid, micro_shares=micro_shares, ts_ms=1)
        except ValueError:
            assert micro_shares  # it would have crossed
    assert_mirror(book)
    bid, ask = book.best_bid(), book.best_ask()
    assert bid is None or ask is None or bid < ask


def test_the_mirror_holds_after_the_crowd_has_traded() -> None:
    world = make_world(book_rate=10.0)
    play(world, 30.0)
    for period in world.periods.values():
        assert_mirror(period.book)

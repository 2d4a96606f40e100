"""Events are collected from anything, in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.events import Label
from backtest.events_build import EventsBuilder, by_receipt, packed, run_places, trade_number
from shared.messages import (
    FeedStatus,
    OraclePrice,
    OutcomeBook,
    OutcomeTrade,
    Period,
    Settlement,
    SpotQuote,
    SpotTrade,
)
from tests.backtest.small_events import NOW_NS, assert_same, everything
from tests.builders import NS, SLUG, START_S, build


def test_each_kind_is_sorted_by_receipt_and_what_came_together_stays_in_order() -> None:
    builder = EventsBuilder()
    for at_s, bid in ((2, 1.0), (1, 2.0), (2, 3.0), (1, 4.0)):
        builder.take(build(SpotQuote, at_s=START_S + at_s, bid=bid))
    assert builder.build("test").spot["bid"].tolist() == [2.0, 4.0, 1.0, 3.0]


def test_the_levels_follow_their_books_when_these_are_sorted() -> None:
    builder = EventsBuilder()
    builder.take(build(OutcomeBook, at_s=START_S + 2, bid_ticks=(10,), bid_sizes=(1.0,)))
    builder.take(build(OutcomeBook, at_s=START_S + 1, bid_ticks=(20, 19), ask_ticks=(), ask_sizes=()))
    events = builder.build("test")
    assert events.levels["ticks"].tolist() == [20, 19, 10, 51, 52]
    assert events.books[["first", "bids", "asks"]].tolist() == [(0, 2, 0), (2, 1, 2)]


def test_columns_are_the_same_as_one_at_a_time() -> None:
    single, whole = EventsBuilder(), EventsBuilder()
    for second in range(4):
        at_s = START_S + second
        single.take(build(SpotQuote, at_s=at_s, asset=("BTC", "ETH")[second % 2], bid=100.0 + second))
        single.take(build(OraclePrice, at_s=at_s, kind=("spot", "twap60")[second % 2], price=80.0 + second))
        single.take(build(OutcomeTrade, at_s=at_s, aggressor=("buy", "sell")[second % 2], trade_id=str(second)))
        single.take(build(OutcomeBook, at_s=at_s, bid_ticks=range(10 + second, 10, -1), bid_sizes=[2.0] * second))
    times = (START_S + np.arange(4)) * NS
    at = {"ts_event_ns": times, "ts_recv_ns": times}
    whole.spots(
        **at,
        asset=["BTC", "ETH"] * 2,
        venue="bybit",
        bid=100.0 + np.arange(4),
        bid_size=1.5,
        ask=80_000.1,
        ask_size=0.5,
    )
    whole.oracles(**at, asset="BTC", venue="chainlink", kind=["spot", "twap60"] * 2, price=80.0 + np.arange(4))
    whole.trades(
        **at, slug=SLUG, outcome="CALL", aggressor=["buy", "sell"] * 2, price=0.51, shares=10.0, number=np.arange(4)
    )
    whole.books(
        **at,
        slug=SLUG,
        outcome=["CALL"] * 4,
        tick_size=0.01,
        bids=[0, 1, 2, 3],
        bid_prices=[0.11, 0.12, 0.11, 0.13, 0.12, 0.11],
        bid_shares=2.0,
        asks=[2] * 4,
        ask_prices=[0.51, 0.52] * 4,
        ask_shares=[100.0, 200.0] * 4,
    )
    assert_same(single.build("test"), whole.build("test"))


def test_books_taken_in_several_ways_keep_their_own_levels() -> None:
    builder = EventsBuilder()
    for second in (1, 2, 3):
        builder.take(build(OutcomeBook, at_s=START_S + 2 * second, bid_ticks=(second,), bid_sizes=(1.0,)))
        builder.books(
            ts_event_ns=[(START_S + 2 * second + 1) * NS],
            ts_recv_ns=[(START_S + 2 * second + 1) * NS],
            slug=SLUG,
            outcome="PUT",
            tick_size=0.01,
            bids=[1],
            bid_prices=[second / 10],
            bid_shares=[1.0],
            asks=[0],
            ask_prices=[],
            ask_shares=[],
        )
    events = builder.build("test")
    assert events.levels["ticks"][events.books["first"]].tolist() == [1, 10, 2, 20, 3, 30]


@pytest.mark.parametrize(
    ("price", "reason"), [(0.505, "book_off_grid"), (np.nan, "book_bad_price"), (np.inf, "book_bad_price")]
)
def test_a_book_whose_price_is_on_no_tick_is_left_out_and_counted(price: float, reason: str) -> None:
    builder = EventsBuilder()
    builder.books(
        ts_event_ns=[NOW_NS] * 2,
        ts_recv_ns=[NOW_NS] * 2,
        slug=SLUG,
        outcome="CALL",
        tick_size=[0.01, 0.001],
        bids=[1, 1],
        bid_prices=[price, 0.455],
        bid_shares=[1.0, 2.0],
        asks=[1, 0],
        ask_prices=[0.52],
        ask_shares=[3.0],
    )
    events = builder.build("test")
    assert events.drops == {reason: 1}
    assert events.books[["first", "bids", "asks"]].tolist() == [(0, 1, 0)]
    assert events.levels.tolist() == [(455, 2.0)]


def test_a_side_with_a_price_without_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        EventsBuilder().take(build(OutcomeBook, bid_sizes=(1.0,)))


def test_a_period_repeated_unchanged_is_one_announcement() -> None:
    builder = EventsBuilder()
    for second, strike in ((1, None), (6, None), (11, 80_000.0), (16, 80_000.0)):
        builder.take(build(Period, at_s=START_S + second, strike=strike))
    assert [each.ts_recv_ns // NS - START_S for each in builder.build("test").periods] == [1, 11]


def test_a_stream_is_down_from_its_first_bad_status_to_the_next_good_one() -> None:
    builder = EventsBuilder()
    for second, state in ((1, "LIVE"), (2, "STALE"), (3, "GAP"), (4, "LIVE"), (9, "DOWN")):
        builder.take(build(FeedStatus, at_s=START_S + second, state=state))
    builder.take(build(SpotQuote, at_s=START_S + 12))
    outages = builder.build("test").outages
    spans = [(start - START_S * NS, end - START_S * NS) for start, end, *_ in outages.tolist()]
    assert spans == [(2 * NS, 4 * NS), (9 * NS, 12 * NS + 1)]


def test_a_settlement_is_a_label_of_each_who_says_so() -> None:
    builder = EventsBuilder()
    builder.take(build(Settlement, official=None, recomputed="PUT"))
    builder.take(build(Settlement, official="CALL", recomputed="PUT"))
    labels = builder.build("test").labels
    assert set(labels) == {Label(SLUG, "PUT", "recomputed"), Label(SLUG, "CALL", "official")}
    assert len(labels) == 2


def test_a_kind_that_events_do_not_hold_is_not_taken() -> None:
    builder = EventsBuilder()
    assert not builder.take(build(SpotTrade))
    assert not builder.take(build(FeedStatus, channel="SpotTrade", state="DOWN"))
    assert builder.build("test").total == 0


def test_what_is_dropped_is_counted_and_building_twice_says_the_same() -> None:
    builder = EventsBuilder()
    builder.drop("bad_line", 2)
    builder.drop("bad_line")
    builder.take(build(FeedStatus, state="DOWN"))
    first = builder.build("test")
    assert first.drops == {"bad_line": 3}
    assert_same(first, builder.build("test"))


def test_trades_stay_apart_by_a_number_made_of_their_id() -> None:
    assert trade_number("") == 0
    assert trade_number("17") == 17
    assert 0 < trade_number("0xab") != trade_number("0xac") < 1 << 63


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=8))
def test_runs_of_places_are_those_of_ranges(runs: list[tuple[int, int]]) -> None:
    wanted = [place for start, count in runs for place in range(start, start + count)]
    starts, counts = np.array([start for start, _ in runs], int), np.array([count for _, count in runs], int)
    assert run_places(starts, counts).tolist() == wanted


def test_packing_keeps_each_book_with_its_levels() -> None:
    events = everything()
    picked = events.books[::-3]
    books, levels = packed(picked, events.levels)
    for before, after in zip(picked, books, strict=True):
        depth = before["bids"] + before["asks"]
        old = events.levels[before["first"] : before["first"] + depth]
        assert levels[after["first"] : after["first"] + depth].tolist() == old.tolist()
    assert books["first"][0] == 0
    assert by_receipt(books)["ts_recv_ns"].tolist() == sorted(books["ts_recv_ns"].tolist())

"""What cannot be true is dropped and counted, one reason each; what can be is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtest.events import Events, Label
from backtest.events_build import EventsBuilder
from backtest.events_check import Gap, check, gaps
from shared.messages import Message, OraclePrice, OutcomeBook, OutcomeTrade, Period, SpotQuote
from tests.backtest.small_events import assert_same, everything
from tests.builders import NS, SLUG, START_S, build

NAN, INFINITY = float("nan"), float("inf")


def events_of(*told: Message, announced_s: int = START_S + 200) -> Events:
    builder = EventsBuilder()
    builder.take(build(Period, at_s=announced_s))
    for message in told:
        builder.take(message)  # type: ignore[arg-type]
    return builder.build("test")


def test_events_that_can_be_true_are_left_alone() -> None:
    assert_same(check(everything()), everything())


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (build(SpotQuote, bid=NAN), "spot_bad_price"),
        (build(SpotQuote, ask=INFINITY), "spot_bad_price"),
        (build(SpotQuote, bid=0.0), "spot_bad_price"),
        (build(SpotQuote, ask_size=-1.0), "spot_bad_size"),
        (build(SpotQuote, bid_size=NAN), "spot_bad_size"),
        (build(SpotQuote, bid=90_000.0), "spot_crossed"),
        (build(SpotQuote, ts_event_ns=1_791_241_200_000), "spot_implausible_time"),
        (build(OraclePrice, price=-1.0), "oracle_bad_price"),
        (build(OraclePrice, price=NAN), "oracle_bad_price"),
        (build(OraclePrice, ts_recv_ns=START_S), "oracle_implausible_time"),
        (build(OraclePrice, ts_event_ns=(START_S + 302) * NS), "oracle_stamped_ahead"),
        (build(OutcomeBook, bid_ticks=(48, 49)), "book_levels_out_of_order"),
        (build(OutcomeBook, ask_ticks=(52, 51)), "book_levels_out_of_order"),
        (build(OutcomeBook, ask_ticks=(51, 51)), "book_duplicate_level"),
        (build(OutcomeBook, bid_ticks=(52, 48)), "book_crossed"),
        (build(OutcomeBook, bid_ticks=(51, 48)), "book_locked"),
        (build(OutcomeBook, tick_size=0.03), "book_bad_tick_size"),
        (build(OutcomeBook, tick_size=0.0), "book_bad_tick_size"),
        (build(OutcomeBook, tick_size=NAN), "book_bad_tick_size"),
        (build(OutcomeBook, slug="btc-updown-15m-1"), "book_without_period"),
        (build(OutcomeBook, at_s=START_S + 199), "book_before_announcement"),
        (build(OutcomeBook, ts_recv_ns=-1), "book_implausible_time"),
        (build(OutcomeTrade, slug="btc-updown-15m-1"), "trade_without_period"),
        (build(OutcomeTrade, at_s=START_S + 199), "trade_before_announcement"),
        (build(OutcomeTrade, price=1.0), "trade_outside_0_1"),
        (build(OutcomeTrade, price=NAN), "trade_outside_0_1"),
        (build(OutcomeTrade, size=0.0), "trade_bad_size"),
        (build(OutcomeTrade, price=0.12345), "trade_off_grid"),
    ],
)
def test_what_cannot_be_is_dropped_under_its_reason(message: Message, reason: str) -> None:
    good = build(type(message), at_s=START_S + 310)
    checked = check(events_of(message, good))
    assert checked.drops == {reason: 1}
    assert_same(checked._replace(drops={}), events_of(good))


@pytest.mark.parametrize(
    ("book", "reason"),
    [
        (build(OutcomeBook, bid_ticks=(50, 49, 48), bid_sizes=(0.0, 100.0, 200.0)), "level_size_not_positive"),
        (build(OutcomeBook, bid_ticks=(49, 48, 1), bid_sizes=(100.0, 200.0, NAN)), "level_size_not_positive"),
        (build(OutcomeBook, bid_ticks=(49, 48, 0), bid_sizes=(100.0, 200.0, 1.0)), "level_outside_0_1"),
        (build(OutcomeBook, ask_ticks=(51, 52, 100), ask_sizes=(100.0, 200.0, 1.0)), "level_outside_0_1"),
    ],
)
def test_a_level_that_cannot_be_leaves_the_rest_of_its_book(book: OutcomeBook, reason: str) -> None:
    after = build(OutcomeBook, at_s=START_S + 310, outcome="PUT", bid_ticks=(30, 20))
    checked = check(events_of(book, after))
    assert checked.drops == {reason: 1}
    assert_same(checked._replace(drops={}), events_of(build(OutcomeBook), after))


def test_a_book_with_one_side_or_none_can_be() -> None:
    events = events_of(
        build(OutcomeBook, bid_ticks=(), bid_sizes=()),
        build(OutcomeBook, bid_ticks=(), bid_sizes=(), ask_ticks=(), ask_sizes=()),
    )
    assert_same(check(events), events)


def test_a_stamp_ahead_of_its_receipt_is_clamped_beyond_what_a_clock_may_be_off() -> None:
    near, far = (START_S + 301) * NS, (START_S + 301) * NS + 1
    checked = check(events_of(build(SpotQuote, ts_event_ns=near), build(SpotQuote, ts_event_ns=far)))
    assert checked.drops == {"spot_event_time_clamped": 1}
    assert checked.spot["ts_event_ns"].tolist() == [near, (START_S + 300) * NS]
    wider = check(events_of(build(SpotQuote, ts_event_ns=far)), ahead_ns=2 * NS)
    assert wider.drops == {}


def test_rows_that_went_back_in_time_are_counted_and_sorted() -> None:
    events = events_of(*(build(SpotQuote, at_s=START_S + 300 + second) for second in range(4)))
    mixed = events._replace(spot=events.spot[[1, 0, 3, 2]])
    checked = check(mixed)
    assert checked.drops == {"spot_out_of_order": 2}
    assert checked.spot.tolist() == events.spot.tolist()


def test_trades_may_use_the_finest_grid_that_their_books_had() -> None:
    trade = build(OutcomeTrade, at_s=START_S + 310, price=0.985)
    coarse, fine = build(OutcomeBook), build(OutcomeBook, tick_size=0.001)
    assert check(events_of(coarse, trade)).drops == {"trade_off_grid": 1}
    assert check(events_of(coarse, fine, trade)).drops == {}
    assert check(events_of(trade)).drops == {}  # no book says what the grid is


def book_at(second: float, bid: int, outcome: str = "CALL") -> OutcomeBook:
    return build(
        OutcomeBook,
        at_s=START_S + second,
        outcome=outcome,
        bid_ticks=(bid,),
        bid_sizes=(1.0,),
        ask_ticks=(),
        ask_sizes=(),
    )


@pytest.mark.parametrize(("ended_at", "outcome"), [(98, "CALL"), (2, "CALL"), (98, "PUT")])
def test_first_books_that_are_the_previous_markets_are_dropped(ended_at: int, outcome: str) -> None:
    told = [book_at(0.0, ended_at, outcome), book_at(1.0, ended_at, outcome), book_at(2.0, 52, outcome)]
    checked = check(events_of(*told, announced_s=START_S - 100))
    assert checked.drops == {"book_of_previous_market": 2}
    assert checked.levels["ticks"].tolist() == [52]


@pytest.mark.parametrize(
    "told",
    [
        [book_at(0.0, 52), book_at(1.0, 98), book_at(2.0, 52)],  # decided, but not first
        [book_at(0.0, 80), book_at(1.0, 52)],  # not decided
        [book_at(0.0, 92), book_at(1.0, 70)],  # no jump that a price cannot make
        [book_at(40.0, 98), book_at(41.0, 52)],  # late in the period
        [book_at(-5.0, 98), book_at(1.0, 52)],  # it had its own book before the start
        [book_at(0.0, 98), book_at(1.0, 98)],  # it stayed there
    ],
)
def test_first_books_that_can_be_the_markets_own_are_kept(told: list[OutcomeBook]) -> None:
    checked = check(events_of(*told, announced_s=START_S - 100))
    assert checked.drops == {}
    assert len(checked.books) == len(told)


def test_periods_outages_and_labels_that_cannot_be_are_dropped() -> None:
    builder = EventsBuilder()
    builder.take(build(Period))
    builder.take(build(Period, end_ns=START_S * NS, role="next"))
    builder.take(build(Period, start_ns=START_S, role="next2"))
    for end_s in (1, 0):
        start_ns = START_S * NS
        builder.outage(start_ns=start_ns, end_ns=start_ns + end_s, venue="a", channel="b", subject="c")
    for label in (Label(SLUG, "CALL", "payout"), Label(SLUG, "PUT", "payout"), Label(SLUG, "PUT", "official")):
        builder.label(label)
    checked = check(builder.build("test"))
    assert checked.drops == {"period_bad_time": 2, "outage_bad_time": 1, "label_contradicted": 2}
    assert (len(checked.periods), len(checked.outages)) == (1, 1)
    assert checked.labels == (Label(SLUG, "PUT", "official"),)


def test_the_importers_own_drops_stay() -> None:
    assert check(everything()).drops == {"bad_line": 3}
    assert check(check(everything())).drops == {"bad_line": 3}


def test_silences_are_told_per_stream() -> None:
    told: list[Any] = [build(SpotQuote, at_s=START_S + second) for second in (0, 1, 11, 12)]
    told += [build(SpotQuote, at_s=START_S + second, venue="coinbase") for second in (0, 5, 10)]
    told += [build(OraclePrice, at_s=START_S + second) for second in (0, 20)]
    told += [build(OraclePrice, at_s=START_S + second, kind="twap60") for second in range(0, 20, 2)]
    told += [build(OutcomeBook, at_s=START_S + second) for second in range(0, 895, 5)]
    found = gaps(events_of(*told, announced_s=START_S - 5), longer_than_s=8.0)
    at = [START_S * NS + second * NS for second in (0, 1, 11, 20, 890, 900)]
    assert set(found) == {
        Gap("bybit", "SpotQuote", "BTC", at[1], at[2]),
        Gap("chainlink", "OraclePrice", "BTC.spot", at[0], at[3]),
        Gap("polymarket", "OutcomeBook", f"{SLUG}.CALL", at[4], at[5]),
        Gap("polymarket", "OutcomeBook", f"{SLUG}.PUT", at[0], at[5]),
    }
    assert [gap.start_ns for gap in found] == sorted(gap.start_ns for gap in found)
    assert gaps(EventsBuilder().build("nothing"), longer_than_s=1.0) == ()


def test_checking_does_not_change_what_it_was_given() -> None:
    events = events_of(build(SpotQuote, ts_event_ns=(START_S + 310) * NS), build(OutcomeBook, bid_sizes=(0.0, 1.0)))
    before = np.copy(events.spot), np.copy(events.books), np.copy(events.levels)
    check(events)
    for old, new in zip(before, (events.spot, events.books, events.levels), strict=True):
        assert old.tolist() == new.tolist()

"""No fill without a trade behind it, none before its time, and the queue as hftbacktest keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.exchange import (
    LEVELS,
    ORDERS,
    PRINT_LAG_NS,
    Exchange,
    QueueName,
    Report,
)
from shared.messages import Aggressor, Outcome, TradeSide

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "queue_models.json"
SECOND = 1_000_000_000
MS = 1_000_000
SHARE = 1_000_000
CENT = 10_000
QUEUES: tuple[QueueName, ...] = ("pessimistic", "probabilistic", "optimistic")

Levels = dict[int, float]  # cents -> shares


def show(exchange: Exchange, at_ns: int, bids: Levels, asks: Levels) -> list[Report]:
    down, up = sorted(bids, reverse=True), sorted(asks)
    return exchange.take_book(
        at_ns,
        bid_micro=np.array(down, np.int64) * CENT,
        bid_units=np.array([bids[each] for each in down], np.float64) * SHARE,
        ask_micro=np.array(up, np.int64) * CENT,
        ask_units=np.array([asks[each] for each in up], np.float64) * SHARE,
    )


def print_trade(
    exchange: Exchange,
    at_ns: int,
    cents: int,
    shares: int,
    *,
    aggressor: Aggressor = "sell",
    outcome: Outcome = "CALL",
) -> list[Report]:
    return exchange.take_trade(
        at_ns, outcome=outcome, aggressor=aggressor, price_micro=cents * CENT, units=shares * SHARE
    )


def send(
    exchange: Exchange,
    number: int,
    cents: int,
    shares: int = 10,
    *,
    side: TradeSide = "buy",
    outcome: Outcome = "CALL",
    arrives_ns: int = 2,
    is_taker: bool = False,
) -> str | None:
    return exchange.place(
        number,
        outcome=outcome,
        side=side,
        price_micro=cents * CENT,
        units=shares * SHARE,
        arrives_ns=arrives_ns,
        is_taker=is_taker,
    )


def resting(queue: QueueName = "pessimistic", *, cents: int = 50, shares: int = 10, ahead: float = 100.0) -> Exchange:
    """An order that rests behind `ahead` shares since time 2; the ask is 60 cents."""
    exchange = Exchange(queue)
    show(exchange, 1, {cents: ahead} if ahead else {}, {60: 100.0})
    assert send(exchange, 1, cents, shares) is None
    (rests,) = exchange.advance(10)
    assert (rests.kind, rests.ts_ns, rests.ahead_units) == (
        "rests",
        2,
        0.0 if queue == "optimistic" else ahead * SHARE,
    )
    return exchange


def ahead_shares(exchange: Exchange, number: int = 1) -> float:
    units = exchange.ahead_units(number)
    assert units is not None
    return units / SHARE


def filled(reports: list[Report]) -> float:
    return sum(each.units for each in reports if each.kind == "fill") / SHARE


# -- the queue -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("queue", "model", "n"), [("pessimistic", "risk_averse", 0), ("probabilistic", "power3", 3.0)])
def test_the_queue_position_is_hftbacktests_after_each_event(queue: QueueName, model: str, n: float) -> None:
    if not VECTORS.exists():
        pytest.skip(f"no vectors at {VECTORS}: this machine has only the repository")
    vectors = json.loads(VECTORS.read_text())
    (case,) = [each for each in vectors["cases"] if each["model"] == model and each["n"] == n]
    exchange = resting(queue, ahead=case["initial_front"])
    for second, (event, front) in enumerate(zip(vectors["events"], case["front_after_each_event"], strict=True), 1):
        if event[0] == "depth":
            show(exchange, second * SECOND, {50: event[2]}, {60: 100.0})
        else:
            assert filled(print_trade(exchange, second * SECOND, 50, event[1])) == 0.0
        assert ahead_shares(exchange) == pytest.approx(front, abs=1e-9)


def test_the_risk_averse_order_of_the_end_to_end_run_fills_at_the_same_event() -> None:
    if not VECTORS.exists():
        pytest.skip(f"no vectors at {VECTORS}: this machine has only the repository")
    run = json.loads(VECTORS.read_text())["hftbacktest_end_to_end"]
    exchange = resting("pessimistic", ahead=100.0)
    fills = []
    for place, (kind, size) in enumerate(run["feed_sequence"]):
        at_ns = (10 + place) * SECOND
        if kind == "d":
            show(exchange, at_ns, {50: float(size)}, {60: 100.0})
        else:
            fills += [(place, each.units) for each in print_trade(exchange, at_ns, 50, size) if each.kind == "fill"]
    assert fills == [(9, 10 * SHARE)]  # 19 s, and hftbacktest hears of it 0.1 s later


@pytest.mark.parametrize("queue", ["pessimistic", "probabilistic"])
@pytest.mark.parametrize("shares_ahead", [100.0, 60.0])
def test_a_trade_that_the_book_shows_before_the_tape_moves_the_queue_as_in_the_other_order(
    queue: QueueName, shares_ahead: float
) -> None:
    book_first, tape_first = (resting(queue, ahead=shares_ahead) for _ in range(2))
    for exchange in (book_first, tape_first):
        show(exchange, SECOND, {50: 100.0}, {60: 100.0})
    show(book_first, 2 * SECOND, {50: 70.0}, {60: 100.0})
    print_trade(book_first, 2 * SECOND + 20 * MS, 50, 30)
    print_trade(tape_first, 2 * SECOND, 50, 30)
    show(tape_first, 2 * SECOND + 20 * MS, {50: 70.0}, {60: 100.0})
    assert ahead_shares(book_first) == pytest.approx(ahead_shares(tape_first), abs=1e-9)
    assert ahead_shares(tape_first) == pytest.approx(shares_ahead - 30.0)


def test_shares_that_left_explain_one_trade_and_not_a_second() -> None:
    exchange = resting("probabilistic", ahead=90.0)
    show(exchange, SECOND, {50: 100.0}, {60: 100.0})
    show(exchange, 2 * SECOND, {50: 70.0}, {60: 100.0})
    print_trade(exchange, 2 * SECOND + 10 * MS, 50, 30)
    print_trade(exchange, 2 * SECOND + 20 * MS, 50, 30)
    show(exchange, 2 * SECOND + 30 * MS, {50: 40.0}, {60: 100.0})
    assert ahead_shares(exchange) == pytest.approx(30.0)


def test_an_old_cancel_explains_no_trade_because_others_left_since() -> None:
    exchange = resting("pessimistic", ahead=100.0)
    show(exchange, SECOND, {50: 70.0}, {60: 100.0})
    show(exchange, 2 * SECOND, {50: 60.0}, {60: 100.0})
    print_trade(exchange, 2 * SECOND + 20 * MS, 50, 40)
    assert ahead_shares(exchange) == 30.0


def test_shares_that_left_long_before_a_trade_were_cancels() -> None:
    exchange = resting("pessimistic", ahead=100.0)
    show(exchange, SECOND, {50: 70.0}, {60: 100.0})
    print_trade(exchange, SECOND + PRINT_LAG_NS + 1, 50, 30)
    assert ahead_shares(exchange) == 40.0


def test_an_order_joins_at_the_back_of_what_the_latest_book_shows() -> None:
    exchange = Exchange("pessimistic")
    show(exchange, 1, {50: 100.0}, {60: 1.0})
    send(exchange, 1, 50, arrives_ns=SECOND)
    show(exchange, 2, {50: 130.0}, {60: 1.0})
    exchange.advance(SECOND)
    assert ahead_shares(exchange) == 130.0


def test_the_optimist_stands_in_front_but_still_needs_a_trade() -> None:
    exchange = resting("optimistic", ahead=100.0)
    show(exchange, SECOND, {50: 5.0}, {51: 1.0})
    show(exchange, 2 * SECOND, {}, {50: 1.0})
    assert exchange.advance(3 * SECOND) == []
    assert filled(print_trade(exchange, 4 * SECOND, 50, 4)) == 4.0


# -- trades ----------------------------------------------------------------------------------------------------------


def test_a_trade_fills_what_it_has_beyond_the_queue_ahead() -> None:
    exchange = resting(ahead=100.0)
    assert print_trade(exchange, SECOND, 50, 100) == []
    (fill,) = print_trade(exchange, 2 * SECOND, 50, 4)
    assert fill == Report("fill", 1, "CALL", "buy", 50 * CENT, 4 * SHARE, 6 * SHARE, True, 2 * SECOND, 0.0)
    (rest,) = print_trade(exchange, 3 * SECOND, 50, 400)
    assert (rest.units, rest.left_units) == (6 * SHARE, 0)
    assert print_trade(exchange, 4 * SECOND, 50, 400) == []


def test_a_trade_through_our_price_fills_us_whatever_the_queue() -> None:
    (fill,) = print_trade(resting(ahead=1000.0), SECOND, 49, 3)
    assert (fill.units, fill.price_micro) == (3 * SHARE, 50 * CENT)


@pytest.mark.parametrize(("cents", "aggressor"), [(51, "sell"), (50, "buy"), (60, "buy")])
def test_trades_above_our_bid_and_takers_who_buy_leave_it_alone(cents: int, aggressor: Aggressor) -> None:
    exchange = resting(ahead=0.0)
    assert print_trade(exchange, SECOND, cents, 500, aggressor=aggressor) == []


def test_the_better_price_comes_first_and_one_trade_is_never_spent_twice() -> None:
    exchange = Exchange("optimistic")
    show(exchange, 1, {}, {60: 1.0})
    for number, cents in ((1, 49), (2, 50), (3, 50), (4, 48)):
        send(exchange, number, cents, 10, arrives_ns=1 + number)
    exchange.advance(10)
    reports = print_trade(exchange, SECOND, 49, 25)
    assert [(each.order_id, each.units // SHARE) for each in reports] == [(2, 10), (3, 10), (1, 5)]


def test_our_earlier_order_at_a_price_is_ahead_of_our_later_one() -> None:
    exchange = resting("pessimistic", ahead=100.0)
    show(exchange, 20, {50: 40.0}, {60: 1.0})
    send(exchange, 2, 50, 10, arrives_ns=30)
    exchange.advance(40)
    reports = print_trade(exchange, SECOND, 50, 55)
    assert [(each.order_id, each.units // SHARE) for each in reports] == [(1, 10), (2, 5)]


def test_an_order_on_put_is_the_mirrored_order_on_call() -> None:
    exchange = Exchange("pessimistic")
    show(exchange, 1, {50: 10.0}, {60: 100.0})
    send(exchange, 1, 40, outcome="PUT")  # sells CALL at 60
    (rests,) = exchange.advance(10)
    assert rests.ahead_units == 100 * SHARE
    assert filled(print_trade(exchange, SECOND, 60, 70, aggressor="buy")) == 0.0
    (fill,) = print_trade(exchange, 2 * SECOND, 40, 33, aggressor="sell", outcome="PUT")
    assert (fill.outcome, fill.side, fill.price_micro, fill.units) == ("PUT", "buy", 40 * CENT, 3 * SHARE)


def test_a_taker_who_buys_put_fills_our_bid_on_call() -> None:
    assert filled(print_trade(resting(ahead=0.0), SECOND, 50, 7, outcome="PUT", aggressor="buy")) == 7.0


# -- arrivals --------------------------------------------------------------------------------------------------------


def test_an_order_does_not_fill_before_it_arrives() -> None:
    exchange = Exchange("optimistic")
    show(exchange, 1, {50: 10.0}, {60: 1.0})
    send(exchange, 1, 50, arrives_ns=2 * SECOND)
    assert print_trade(exchange, 2 * SECOND - 1, 49, 100) == []
    assert print_trade(exchange, 2 * SECOND + PRINT_LAG_NS - 1, 49, 100) == []  # matched before it was stamped
    assert filled(print_trade(exchange, 3 * SECOND, 49, 100)) == 10.0


def test_an_order_that_came_after_the_match_is_no_part_of_it_even_when_the_tape_is_late() -> None:
    exchange = resting("optimistic")
    show(exchange, SECOND, {50: 10.0}, {60: 1.0})
    send(exchange, 2, 51, arrives_ns=SECOND)
    show(exchange, SECOND + 30 * MS, {50: 10.0}, {60: 1.0})
    reports = print_trade(exchange, SECOND + 40 * MS, 49, 100)
    assert [each.order_id for each in reports] == [1]


def test_a_canceled_order_fills_until_the_cancel_arrives_and_not_after() -> None:
    for trade_ns, expected in ((2 * SECOND, 10.0), (2 * SECOND + PRINT_LAG_NS, 0.0)):
        exchange = resting("optimistic")
        assert exchange.cancel(1, 2 * SECOND)
        assert filled(print_trade(exchange, trade_ns, 50, 100)) == expected


def test_the_first_cancel_counts_and_an_unknown_order_has_none() -> None:
    exchange = resting()
    assert exchange.cancel(1, SECOND)
    assert exchange.cancel(1, 5 * SECOND)
    assert exchange.advance(SECOND + PRINT_LAG_NS - 1) == []
    assert [(each.kind, each.ts_ns) for each in exchange.advance(SECOND + PRINT_LAG_NS)] == [("canceled", SECOND)]
    assert not exchange.cancel(1, SECOND)


@pytest.mark.parametrize(("matched_before_ms", "shares"), [(1, 10.0), (0, 0.0), (-1, 0.0)])
def test_a_cancel_does_not_beat_a_trade_that_matched_before_it_and_is_heard_of_after_it(
    matched_before_ms: int, shares: float
) -> None:
    exchange = resting("optimistic")
    cancel_ns = 2 * SECOND
    exchange.cancel(1, cancel_ns)
    stamp_ns = cancel_ns - matched_before_ms * MS + PRINT_LAG_NS
    assert show(exchange, cancel_ns + 40 * MS, {50: 10.0}, {60: 1.0}) == []  # the book runs ahead of the tape
    assert filled(print_trade(exchange, stamp_ns, 50, 10)) == shares


def test_a_canceled_order_that_may_still_fill_is_still_ours() -> None:
    exchange = resting("pessimistic")
    exchange.cancel(1, SECOND)
    exchange.advance(SECOND + PRINT_LAG_NS - 1)
    assert ahead_shares(exchange) == 100.0
    assert send(exchange, 2, 50, side="sell") == "self_cross"
    exchange.advance(SECOND + PRINT_LAG_NS)
    assert exchange.ahead_units(1) is None
    assert send(exchange, 2, 50, side="sell") is None


def test_a_canceled_order_takes_no_share_of_a_trade_after_its_cancel_from_the_one_behind_it() -> None:
    exchange = resting("optimistic")
    send(exchange, 2, 50, arrives_ns=SECOND)
    exchange.advance(SECOND)
    exchange.cancel(1, 2 * SECOND)
    reports = print_trade(exchange, 2 * SECOND + PRINT_LAG_NS - 1, 50, 4)
    assert [(each.order_id, each.units // SHARE) for each in reports] == [(1, 4)]
    reports = print_trade(exchange, 2 * SECOND + PRINT_LAG_NS, 50, 4)
    assert [(each.order_id, each.units // SHARE) for each in reports] == [(2, 4)]


def test_what_arrives_while_a_canceled_order_may_still_fill_is_reported_first() -> None:
    exchange = resting("optimistic")
    exchange.cancel(1, SECOND)
    send(exchange, 2, 50, arrives_ns=SECOND + 10 * MS)
    send(exchange, 3, 51, arrives_ns=SECOND + PRINT_LAG_NS + 1)
    assert [(each.kind, each.order_id, each.ts_ns) for each in exchange.advance(9 * SECOND)] == [
        ("rests", 2, SECOND + 10 * MS),
        ("canceled", 1, SECOND),
        ("rests", 3, SECOND + PRINT_LAG_NS + 1),
    ]


def test_the_cancel_of_a_pending_order_arrives_after_it() -> None:
    exchange = Exchange("pessimistic")
    show(exchange, 1, {50: 10.0}, {60: 1.0})
    send(exchange, 1, 50, arrives_ns=SECOND)
    exchange.cancel(1, SECOND // 2)
    assert [(each.kind, each.ts_ns) for each in exchange.advance(9 * SECOND)] == [
        ("rests", SECOND),
        ("canceled", SECOND),
    ]


@pytest.mark.parametrize(
    ("cents", "side", "outcome", "kind"),
    [
        (60, "buy", "CALL", "post_only"),
        (59, "buy", "CALL", "rests"),
        (50, "sell", "CALL", "post_only"),
        (51, "sell", "CALL", "rests"),
        (50, "buy", "PUT", "post_only"),
        (49, "buy", "PUT", "rests"),
    ],
)
def test_an_order_that_would_cross_when_it_arrives_is_rejected(
    cents: int, side: TradeSide, outcome: Outcome, kind: str
) -> None:
    exchange = Exchange("pessimistic")
    show(exchange, 1, {30: 1.0}, {80: 1.0})
    send(exchange, 1, cents, side=side, outcome=outcome, arrives_ns=SECOND)
    show(exchange, 2, {50: 1.0}, {60: 1.0})
    assert [each.kind for each in exchange.advance(SECOND)] == [kind]
    assert exchange.cancel(1, SECOND) == (kind == "rests")


def test_without_a_book_nothing_can_be_placed() -> None:
    exchange = Exchange("pessimistic")
    send(exchange, 1, 50)
    assert [each.kind for each in exchange.advance(SECOND)] == ["no_book"]


@pytest.mark.parametrize("state", ["pending", "resting", "canceling"])
def test_our_own_orders_never_meet_on_either_token(state: str) -> None:
    exchange = Exchange("pessimistic")
    show(exchange, 1, {40: 1.0}, {60: 1.0})
    send(exchange, 1, 50, arrives_ns=SECOND)
    if state != "pending":
        exchange.advance(SECOND)
    if state == "canceling":
        exchange.cancel(1, 2 * SECOND)
    assert send(exchange, 2, 50, side="sell") == "self_cross"
    assert send(exchange, 2, 49, side="sell", is_taker=True) == "self_cross"
    assert send(exchange, 2, 50, outcome="PUT") == "self_cross"  # would mint a pair from our own money
    assert send(exchange, 2, 49, outcome="PUT") is None
    assert send(exchange, 3, 51, side="buy") == "self_cross"


def test_the_exchange_says_when_it_is_full_and_refuses_what_is_no_order() -> None:
    exchange = Exchange("pessimistic")
    assert [send(exchange, number, 50) for number in range(ORDERS)] == [None] * ORDERS
    assert send(exchange, ORDERS, 50) == "too_many_orders"
    for cents, shares in ((0, 1), (100, 1), (50, 0)):
        with pytest.raises(ValueError, match="is no order"):
            send(exchange, 99, cents, shares)
    with pytest.raises(ValueError, match="at most"):
        show(exchange, 1, dict.fromkeys(range(LEVELS + 1), 1.0), {})


def test_another_tick_size_moves_no_order_and_no_queue() -> None:
    exchange = resting(ahead=100.0)
    exchange.take_book(
        SECOND,
        bid_micro=np.array([503_000, 500_000], np.int64),
        bid_units=np.array([5.0, 100.0]) * SHARE,
        ask_micro=np.array([509_000], np.int64),
        ask_units=np.array([1.0]) * SHARE,
    )
    assert ahead_shares(exchange) == 100.0
    assert (
        filled(exchange.take_trade(2 * SECOND, outcome="CALL", aggressor="sell", price_micro=499_000, units=4 * SHARE))
        == 4.0
    )


# -- takers ----------------------------------------------------------------------------------------------------------


def test_a_taker_walks_the_book_that_stands_when_it_arrives_and_remembers_what_it_took() -> None:
    exchange = Exchange("pessimistic")
    show(exchange, 1, {40: 1.0}, {50: 5.0, 52: 10.0, 55: 100.0})
    send(exchange, 1, 52, 12, is_taker=True, arrives_ns=SECOND)
    send(exchange, 2, 55, 10, is_taker=True, arrives_ns=2 * SECOND)
    show(exchange, 3, {40: 1.0}, {51: 5.0, 52: 10.0, 55: 100.0})
    first = exchange.advance(SECOND)
    assert [(each.price_micro // CENT, each.units // SHARE, each.is_maker) for each in first] == [
        (51, 5, False),
        (52, 7, False),
    ]
    second = exchange.advance(2 * SECOND)
    assert [(each.price_micro // CENT, each.units // SHARE) for each in second] == [(52, 3), (55, 7)]
    show(exchange, 3 * SECOND, {40: 1.0}, {51: 5.0})
    send(exchange, 3, 51, 5, is_taker=True, arrives_ns=4 * SECOND)
    assert filled(exchange.advance(4 * SECOND)) == 5.0  # a new snapshot says anew what there is


def test_a_taker_takes_nothing_beyond_its_price_and_never_rests() -> None:
    exchange = Exchange("pessimistic")
    show(exchange, 1, {40: 1.0}, {50: 5.0, 52: 10.0})
    send(exchange, 1, 50, 50, outcome="PUT", is_taker=True)  # sells CALL down to 50: nobody bids that
    send(exchange, 2, 40, 50, side="sell", is_taker=True, arrives_ns=3)
    reports = exchange.advance(SECOND)
    assert [(each.order_id, each.kind, each.units // SHARE, each.left_units // SHARE) for each in reports] == [
        (1, "canceled", 0, 50),
        (2, "fill", 1, 49),
        (2, "canceled", 0, 49),
    ]
    assert not exchange.cancel(2, SECOND)


def test_a_delayed_taker_cannot_be_canceled() -> None:
    exchange = Exchange("pessimistic")
    show(exchange, 1, {40: 1.0}, {50: 5.0})
    send(exchange, 1, 50, 5, is_taker=True, arrives_ns=SECOND)
    assert not exchange.cancel(1, 2)
    assert filled(exchange.advance(SECOND)) == 5.0


def test_takers_who_empty_the_book_at_once_are_all_reported() -> None:
    exchange = Exchange("pessimistic")
    deep = np.arange(1, LEVELS + 1, dtype=np.int64) * 500
    none, sizes = np.zeros(0), np.full(LEVELS, float(SHARE))
    exchange.take_book(1, bid_micro=none.astype(np.int64), bid_units=none, ask_micro=deep, ask_units=sizes)
    for number in range(ORDERS):
        exchange.place(
            number,
            outcome="CALL",
            side="buy",
            price_micro=999_000,
            units=LEVELS * SHARE // ORDERS + 1,
            arrives_ns=2,
            is_taker=True,
        )
    reports = exchange.advance(SECOND)
    assert filled(reports) == LEVELS
    assert len(reports) == LEVELS + ORDERS  # all but the last part a level, and the last leaves a rest


# -- what must hold whatever happens ---------------------------------------------------------------------------------


class Step(NamedTuple):
    """Something that happens `after_ms` the one before it."""

    kind: Literal["book", "trade", "place", "cancel", "wait"]
    after_ms: int
    fields: tuple[Any, ...]


LOW, HIGH = 46, 54
_sizes = st.dictionaries(st.integers(LOW, HIGH), st.integers(1, 40), max_size=6)
_books = st.builds(
    lambda sizes, mid: (
        {cents: float(size) for cents, size in sizes.items() if cents < mid},
        {cents: float(size) for cents, size in sizes.items() if cents > mid},
    ),
    _sizes,
    st.integers(LOW, HIGH),
)
_trades = st.tuples(
    st.integers(LOW, HIGH), st.integers(1, 60), st.sampled_from(("buy", "sell")), st.sampled_from(("CALL", "PUT"))
)
_orders = st.tuples(
    st.integers(LOW, HIGH), st.integers(1, 30), st.sampled_from(("buy", "sell")), st.sampled_from(("CALL", "PUT"))
)
_after = st.sampled_from((0, 1, 20, 49, 60, 150))
STEPS = st.lists(
    st.one_of(
        st.builds(Step, st.just("book"), _after, _books),
        st.builds(Step, st.just("trade"), _after, _trades),
        st.builds(Step, st.just("trade"), _after, _trades),
        st.builds(Step, st.just("place"), _after, _orders),
        st.builds(Step, st.just("cancel"), _after, st.tuples(st.integers(0, 12))),
        st.builds(Step, st.just("wait"), _after, st.just(())),
    ),
    min_size=1,
    max_size=40,
)
ORDER_MS, CANCEL_MS = 100, 70
_START_NS = SECOND


class Sent(NamedTuple):
    side: int  # in CALL
    micro: int
    units: int
    arrives_ns: int


class Lived(NamedTuple):
    """A run: per step the reports of it, what was sent, canceled and traded (stamp, side, price in CALL, units)."""

    reports: list[list[Report]]
    sent: dict[int, Sent]
    cancels: dict[int, int]
    trades: list[tuple[int, int, int, int]]


def in_call(cents: int, side: str, outcome: str) -> tuple[int, int]:
    sign = 1 if side == "buy" else -1
    return (sign, cents * CENT) if outcome == "CALL" else (-sign, (100 - cents) * CENT)


def live(
    steps: list[Step], queue: QueueName = "probabilistic", *, most: int = ORDERS, restart_each_step: bool = False
) -> Lived:
    exchange = Exchange(queue)
    lived = Lived([], {}, {}, [])
    now_ns = _START_NS
    show(exchange, now_ns, {47: 20.0, 46: 10.0}, {53: 20.0, 54: 10.0})
    for step in steps:
        now_ns += step.after_ms * MS
        if restart_each_step:
            layout, encoded = exchange.checkpoint()
            exchange = Exchange(queue)
            exchange.restore(layout, encoded)
        reports: list[Report] = []
        match step.kind:
            case "book":
                reports = show(exchange, now_ns, *step.fields)
            case "trade":
                cents, shares, aggressor, outcome = step.fields
                if outcome == "PUT":
                    cents = 100 - cents
                lived.trades.append((now_ns, *in_call(cents, aggressor, outcome), shares * SHARE))
                reports = print_trade(exchange, now_ns, cents, shares, aggressor=aggressor, outcome=outcome)
            case "place":
                cents, shares, side, outcome = step.fields
                if outcome == "PUT":
                    cents = 100 - cents
                number, arrives_ns = len(lived.sent), now_ns + ORDER_MS * MS
                if (
                    number < most
                    and send(exchange, number, cents, shares, side=side, outcome=outcome, arrives_ns=arrives_ns) is None
                ):
                    lived.sent[number] = Sent(*in_call(cents, side, outcome), shares * SHARE, arrives_ns)
            case "cancel":
                arrives_ns = now_ns + CANCEL_MS * MS
                if exchange.cancel(step.fields[0], arrives_ns):
                    lived.cancels.setdefault(step.fields[0], arrives_ns)
            case "wait":
                reports = exchange.advance(now_ns)
        lived.reports.append(reports)
    return lived


def fills_of(lived: Lived) -> list[Report]:
    return [each for reports in lived.reports for each in reports if each.kind == "fill"]


@settings(deadline=None, max_examples=200)
@given(steps=STEPS, queue=st.sampled_from(QUEUES))
def test_every_fill_has_a_trade_behind_it_and_no_trade_is_spent_twice(steps: list[Step], queue: QueueName) -> None:
    lived = live(steps, queue)
    trade = iter(lived.trades)
    for step, reports in zip(steps, lived.reports, strict=True):
        fills = [each for each in reports if each.kind == "fill"]
        if step.kind != "trade":
            assert fills == []
            continue
        stamp_ns, taker, micro, units = next(trade)
        assert sum(each.units for each in fills) <= units
        for fill in fills:
            order = lived.sent[fill.order_id]
            assert fill.ts_ns == stamp_ns
            assert order.side == -taker
            assert (order.micro - micro) * order.side >= 0  # traded at our price, or through it


@settings(deadline=None, max_examples=200)
@given(steps=STEPS, queue=st.sampled_from(QUEUES))
def test_no_order_fills_beyond_its_size_before_its_arrival_or_after_its_cancel(
    steps: list[Step], queue: QueueName
) -> None:
    lived = live(steps, queue)
    total: dict[int, int] = {}
    for fill in fills_of(lived):
        order = lived.sent[fill.order_id]
        total[fill.order_id] = total.get(fill.order_id, 0) + fill.units
        assert fill.units > 0
        assert fill.left_units == order.units - total[fill.order_id] >= 0
        assert fill.ts_ns - PRINT_LAG_NS >= order.arrives_ns
        cancel_ns = lived.cancels.get(fill.order_id)
        if cancel_ns is not None:
            assert fill.ts_ns - PRINT_LAG_NS < max(cancel_ns, order.arrives_ns)


@settings(deadline=None, max_examples=300)
@given(steps=STEPS)
def test_whoever_is_first_in_line_gets_every_trade_from_his_arrival_to_his_cancel(steps: list[Step]) -> None:
    lived = live(steps, "optimistic", most=1)
    if not any(each.kind == "rests" for reports in lived.reports for each in reports):
        assert fills_of(lived) == []
        return
    order, left, expected = lived.sent[0], lived.sent[0].units, []
    cancel_ns = max(lived.cancels.get(0, 2**62), order.arrives_ns)
    for stamp_ns, taker, micro, units in lived.trades:
        is_reached = taker == -order.side and (order.micro - micro) * order.side >= 0
        if is_reached and order.arrives_ns <= stamp_ns - PRINT_LAG_NS < cancel_ns and left > 0:
            expected.append((stamp_ns, min(units, left)))
            left -= min(units, left)
    assert [(each.ts_ns, each.units) for each in fills_of(lived)] == expected


@settings(deadline=None, max_examples=300)
@given(steps=STEPS)
def test_the_optimist_fills_at_least_the_probable_and_that_at_least_the_pessimist(steps: list[Step]) -> None:
    sums = []
    for queue in ("optimistic", "probabilistic", "pessimistic"):
        lived = live(steps, queue, most=1)
        sums.append(np.cumsum([sum(each.units for each in line if each.kind == "fill") for line in lived.reports]))
    assert (sums[0] >= sums[1]).all()
    assert (sums[1] >= sums[2]).all()


@settings(deadline=None, max_examples=100)
@given(past=STEPS, future=STEPS, other=STEPS, queue=st.sampled_from(QUEUES))
def test_another_future_changes_nothing_in_the_past(
    past: list[Step], future: list[Step], other: list[Step], queue: QueueName
) -> None:
    assert live(past + future, queue).reports[: len(past)] == live(past + other, queue).reports[: len(past)]


@settings(deadline=None, max_examples=100)
@given(steps=STEPS, queue=st.sampled_from(QUEUES))
def test_a_checkpoint_continues_bit_for_bit(steps: list[Step], queue: QueueName) -> None:
    assert live(steps, queue, restart_each_step=True) == live(steps, queue)


@settings(deadline=None, max_examples=100)
@given(steps=STEPS, queue=st.sampled_from(QUEUES))
def test_our_bids_stay_below_our_asks(steps: list[Step], queue: QueueName) -> None:
    lived = live(steps, queue)
    alive: dict[int, Sent] = {}
    for reports in lived.reports:
        for each in reports:
            if each.kind == "rests":
                alive[each.order_id] = lived.sent[each.order_id]
                bids = [order.micro for order in alive.values() if order.side > 0]
                asks = [order.micro for order in alive.values() if order.side < 0]
                assert max(bids, default=0) < min(asks, default=10**9)
            elif each.kind != "fill" or each.left_units == 0:
                alive.pop(each.order_id, None)


def test_a_checkpoint_of_another_layout_is_refused() -> None:
    exchange = resting()
    layout, encoded = exchange.checkpoint()
    with pytest.raises(ValueError, match="start cold"):
        exchange.restore("other", encoded)
    exchange.restore(layout, encoded)
    assert exchange.clock_ns == 10

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from services.executor.own_fills import Holding, OwnFills
from services.executor.period_orders import PeriodOrders
from services.executor.settings import ExecutorSettings
from services.executor.wanted import OrderKey
from shared.exchange import PRINT_LAG_NS
from shared.messages import OutcomeBook, OutcomeTrade, Period, Position
from shared.requests import BookFill
from tests.builders import NS, SLUG, START_S, build

NOW_NS = (START_S + 300) * NS
BUY_CALL = OrderKey("CALL", "buy", 480_000)
BUY_PUT = OrderKey("PUT", "buy", 480_000)
SHARE = 1_000_000


def fill_of(number: int, **fields: Any) -> BookFill:
    given = {
        "fill_id": f"f{number}",
        "order_id": "o",
        "order_units": 100 * SHARE,
        "market": "btc-15m",
        "slug": SLUG,
        "outcome": "CALL",
        "side": "buy",
        "price_micro": 480_000,
        "units": 10 * SHARE,
        "fee_micro": 0,
        "rebate_micro": 0,
        "is_maker": True,
        "ts_ns": NOW_NS + number,
    }
    return BookFill(**(given | fields))


def orders_in(
    *, session: str = "s1", own_fills: OwnFills | None = None, counts: Counter[tuple[str, str]] | None = None
) -> PeriodOrders:
    settings = ExecutorSettings(order_latency_s=0.1, cancel_latency_s=0.2, queue="pessimistic")
    counts = Counter() if counts is None else counts
    made = PeriodOrders(
        build(Period),
        settings,
        session=session,
        numbers=itertools.count(1),
        own_fills=OwnFills() if own_fills is None else own_fills,
        counts=counts,
    )
    made.take_book(build(OutcomeBook), NOW_NS)
    return made


def trade(price: float, size: float, *, after_s: float, **fields: Any) -> OutcomeTrade:
    return build(OutcomeTrade, at_s=START_S + 300 + after_s, price=price, size=size, **fields)


def test_an_order_rests_after_its_latency_behind_what_stood_there() -> None:
    orders = orders_in()
    assert orders.place(BUY_CALL, 50 * SHARE, NOW_NS) is None
    (pending,) = orders.open_orders(NOW_NS).orders
    assert (pending.state, pending.ahead, pending.left, pending.price) == ("pending", None, 50.0, 0.48)
    orders.advance(NOW_NS + NS // 10 - 1)
    assert not orders.is_changed
    orders.advance(NOW_NS + NS // 10)
    (resting,) = orders.open_orders(NOW_NS).orders
    assert (resting.state, resting.ahead) == ("resting", 200.0)


def test_an_order_canceled_before_it_arrives_is_canceling_until_it_is_gone() -> None:
    orders = orders_in()
    orders.place(BUY_CALL, 50 * SHARE, NOW_NS)
    (order,) = orders.live.values()
    orders.cancel(order, "not_wanted", NOW_NS)
    orders.advance(NOW_NS + NS // 10)
    (resting,) = orders.open_orders(NOW_NS).orders
    assert (resting.state, resting.ahead) == ("canceling", 200.0)
    orders.advance(NOW_NS + NS // 5 + PRINT_LAG_NS)
    assert orders.open_orders(NOW_NS).orders == ()


def test_a_canceled_order_is_gone_after_its_latency() -> None:
    counts: Counter[tuple[str, str]] = Counter()
    orders = orders_in(counts=counts)
    orders.place(BUY_CALL, 50 * SHARE, NOW_NS)
    orders.advance(NOW_NS + NS)
    (order,) = orders.live.values()
    orders.cancel(order, "not_wanted", NOW_NS + NS)
    orders.cancel(order, "not_wanted", NOW_NS + 2 * NS)
    gone_ns = NOW_NS + NS + NS // 5 + PRINT_LAG_NS  # only then no trade of before can come any more
    orders.advance(gone_ns - 1)
    assert [each.state for each in orders.open_orders(NOW_NS).orders] == ["canceling"]
    assert next(iter(orders.live.values())).left_units == 50 * SHARE
    orders.advance(gone_ns)
    assert orders.open_orders(NOW_NS).orders == ()
    assert counts == {("placed", ""): 1, ("cancel_sent", "not_wanted"): 1, ("canceled", ""): 1}


def test_a_fill_is_booked_at_our_price_with_the_rebate_of_the_schedule() -> None:
    orders = orders_in()
    orders.place(BUY_PUT, 50 * SHARE, NOW_NS)
    orders.take_trade(trade(0.52, 230.0, after_s=1.0, aggressor="buy"), NOW_NS + NS)
    (fill,) = orders.fills
    assert fill == BookFill(
        fill_id=f"{SLUG}:s1:1:1",
        order_id=f"{SLUG}:s1:1",
        order_units=50 * SHARE,
        market="btc-15m",
        slug=SLUG,
        outcome="PUT",
        side="buy",
        price_micro=480_000,
        units=30 * SHARE,
        fee_micro=0,
        rebate_micro=104_832,  # 0.2 x 0.07 x 0.48 x 0.52 x 30 dollars
        is_maker=True,
        ts_ns=NOW_NS + NS,
    )
    orders.take_trade(trade(0.53, 100.0, after_s=2.0, aggressor="buy"), NOW_NS + 2 * NS)
    assert [each.fill_id for each in orders.fills] == [f"{SLUG}:s1:1:1", f"{SLUG}:s1:1:2"]
    assert orders.live == {}


def test_ids_of_another_session_differ() -> None:
    ids = set()
    for session in ("s1", "s2"):
        orders = orders_in(session=session)
        orders.place(BUY_CALL, 50 * SHARE, NOW_NS)
        ids.update(each.order_id for each in orders.live.values())
    assert len(ids) == 2


def test_a_trade_reported_on_either_token_is_one_tape() -> None:
    for told in (trade(0.47, 5.0, after_s=1.0, aggressor="sell"), trade(0.53, 5.0, after_s=1.0, outcome="PUT")):
        orders = orders_in()
        orders.place(BUY_CALL, 50 * SHARE, NOW_NS)
        orders.take_trade(told, NOW_NS + NS)
        assert [each.units for each in orders.fills] == [5 * SHARE]


@pytest.mark.parametrize("fields", [{"price": 1.0}, {"price": 0.0}, {"size": 0.0}, {"size": 1e-9}])
def test_a_malformed_trade_fills_nothing(fields: dict[str, float]) -> None:
    orders = orders_in()
    orders.place(BUY_CALL, 50 * SHARE, NOW_NS)
    orders.take_trade(
        build(OutcomeTrade, at_s=START_S + 301, **({"price": 0.4, "size": 5.0, "aggressor": "sell"} | fields)),
        NOW_NS + NS,
    )
    assert orders.fills == []


def test_a_book_on_no_grid_is_refused() -> None:
    orders = orders_in()
    before = orders.book_recv_ns
    orders.take_book(build(OutcomeBook, at_s=START_S + 301, tick_size=0.03), NOW_NS + NS)
    assert orders.book_recv_ns == before


def test_a_fill_is_held_before_the_ledger_shows_it() -> None:
    orders = orders_in()
    orders.place(BUY_CALL, 50 * SHARE, NOW_NS)
    orders.take_trade(trade(0.47, 5.0, after_s=1.0, aggressor="sell"), NOW_NS + NS)
    assert orders.holding(build(Position, call_shares=2.0)) == Holding(7 * SHARE, 7 * SHARE, 0, 0)

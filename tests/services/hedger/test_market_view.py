from __future__ import annotations

import pytest

from services.hedger.market_view import MarketView, position_of
from shared.messages import OpenOrders, Period, QuoteSet
from tests.builders import NS, START_S, build
from tests.services.hedger.test_pnl import account, order

AT_NS = (START_S + 300) * NS


def test_a_settled_period_has_one_case_left() -> None:
    held = account()
    held.cash_micro = 123
    orders = (order("CALL", "buy", 0.4, 10),)
    assert position_of(held, AT_NS, sequence=1, orders=orders).worst_case_usd == pytest.approx(0.000123 - 4)
    held.outcome = "CALL"
    assert position_of(held, AT_NS, sequence=1, orders=orders).worst_case_usd == pytest.approx(0.000123)


def test_a_delta_needs_a_standing_fair_value_and_a_volatility() -> None:
    view = MarketView("btc-15m")
    assert view.fair_per_bp(AT_NS) is None
    view.take_period(build(Period))
    quotes = {"fair_value": 0.5, "valid_until_ns": AT_NS}
    view.take_quotes(build(QuoteSet, breakdown={"sigma": 9e-5}, **quotes))
    assert view.fair_per_bp(AT_NS) == pytest.approx(0.39894228 / 560**0.5 / 9e-5 * 1e-4)
    assert view.fair_per_bp(AT_NS + 1) is None
    for breakdown in ({}, {"sigma": 0.0}):
        view.take_quotes(build(QuoteSet, breakdown=breakdown, **quotes))
        assert view.fair_per_bp(AT_NS) is None


def test_open_orders_have_an_age_and_stay() -> None:
    view = MarketView("btc-15m")
    view.take_period(build(Period))
    view.take_orders(build(OpenOrders, ts_recv_ns=AT_NS + NS), AT_NS)  # stamped in the future
    assert [view.orders_age_s(AT_NS + seconds * NS) for seconds in (-1, 0, 3)] == [0.0, 0.0, 3.0]
    assert len(view.orders) == 1
    view.take_orders(build(OpenOrders, ts_recv_ns=AT_NS + 2 * NS), AT_NS + 3 * NS)
    assert view.orders_age_s(AT_NS + 3 * NS) == 1.0


def test_a_new_period_forgets_the_quotes_of_the_one_before() -> None:
    view = MarketView("btc-15m")
    view.take_period(build(Period))
    view.take_quotes(build(QuoteSet, valid_until_ns=AT_NS))
    assert view.quotes(AT_NS) is not None
    assert view.take_period(build(Period, slug=f"btc-updown-15m-{START_S + 900}"))
    assert view.quotes(AT_NS) is None

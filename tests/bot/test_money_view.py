from __future__ import annotations

import pytest

from bot.money_view import money_lines
from bot.results_io import Results
from services.sink.view import SystemView
from shared.core import Delivery, Timer
from shared.market import Series
from shared.messages import AnyMessage, Fill, Flow, OpenOrder, OpenOrders, Position, topic_of
from tests.builders import NS, START_S, build

NOW = (START_S + 300) * NS


def lines_of(
    *messages: AnyMessage, results: Results | None = None, is_wide: bool = False, later_s: int = 0
) -> dict[str, str]:
    view = SystemView([Series.parse("btc-15m")])
    view.update(Timer(NOW))
    for seq, message in enumerate(messages, 1):
        view.update(Delivery(topic_of(message), 1, seq, message))
    view.update(Timer(NOW + later_s * NS))
    drawn = [each.plain for each in money_lines(view, view.markets["btc-15m"], results, is_wide=is_wide)]
    return {each[:11].strip(): each[11:] for each in drawn}


def long_position(**fields: float | None) -> Position:
    held: dict[str, float | None] = {
        "call_shares": 120.0,
        "put_shares": 30.0,
        "call_average_price": 0.4512,
        "put_average_price": 0.51,
        "mergeable_pairs": 30.0,
        "realized_pnl_usd": 1.234,
        "unrealized_pnl_usd": -2.5,
        "liquidation_pnl_usd": -3.75,
        "fees_usd": 0.25,
        "rebates_usd": 0.125,
        "worst_case_usd": -54.1,
        "fills": 12,
    }
    return build(Position, **(held | fields))


def order(outcome: str, side: str, price: float, left: float) -> OpenOrder:
    return OpenOrder(
        order_id=f"{outcome}{price}",
        outcome="CALL" if outcome == "CALL" else "PUT",
        side="buy" if side == "buy" else "sell",
        price=price,
        left=left,
        ahead=None,
        state="resting",
    )


def test_what_is_held_and_what_it_is_worth_is_told() -> None:
    lines = lines_of(long_position(), results=Results(periods=3, fills=40, total_usd=4.2, open_periods=1))
    assert lines["position"] == "120 CALL@0.4512  30 PUT@0.5100  inventory +90  pairs 30"
    assert lines["P&L"] == "realized +1.23  fair -2.50  sold now -3.75  worst -54.10"
    assert lines["ledger"] == "12 fills  fees 0.25  rebates 0.12  3 periods +4.20, 1 open"


def test_fractions_of_shares_are_short_but_dust_is_not_nothing() -> None:
    held = long_position(call_shares=94.025059, put_shares=0.001234, mergeable_pairs=0.001234)
    assert lines_of(held)["position"] == "94.03 CALL@0.4512  0.001234 PUT@0.5100  inventory +94.02  pairs 0.001234"


def test_what_nobody_knows_is_unknown_and_not_zero() -> None:
    lines = lines_of(long_position(unrealized_pnl_usd=None, liquidation_pnl_usd=None))
    assert lines["P&L"] == "realized +1.23  fair unknown  sold now unknown  worst -54.10"
    assert lines["last fills"].startswith("markout unknown")
    silent = lines_of()
    assert silent["position"] == "unknown: the hedger is not heard"
    assert (silent["P&L"], silent["ledger"]) == ("unknown", "unknown")


def test_a_position_is_unknown_again_when_the_hedger_falls_silent() -> None:
    assert lines_of(long_position(), later_s=3)["position"].startswith("120 CALL")
    assert lines_of(long_position(), later_s=4)["position"] == "unknown: the hedger is not heard"


def test_open_orders_are_counted_by_side_and_listed_where_there_is_room() -> None:
    orders = (order("PUT", "buy", 0.5, 7), order("CALL", "buy", 0.41, 50), order("CALL", "buy", 0.42, 25.5))
    message = build(OpenOrders, orders=(*orders, order("CALL", "sell", 0.6, 5)))
    assert lines_of(message)["orders"] == "2 buy CALL 75.5  1 sell CALL 5  1 buy PUT 7"
    assert lines_of(message, is_wide=True)["orders"] == (
        "2 buy CALL 25.5@0.42 50@0.41  1 sell CALL 5@0.6  1 buy PUT 7@0.5"
    )
    assert lines_of(build(OpenOrders, orders=()))["orders"] == "none open"
    assert lines_of()["orders"] == lines_of(message, later_s=5)["orders"] == "no executor is heard"


def test_the_newest_fill_comes_first_beside_our_own_markout() -> None:
    first, second = build(Fill), build(Fill, fill_id="f2", side="sell", outcome="PUT", at_s=START_S + 301)
    shown = lines_of(first, second, build(Flow, own_markout=-0.0042))["last fills"]
    assert shown.startswith("markout -0.0042  ")
    assert shown.index("sold 10 PUT@0.49") < shown.index("bought 10 CALL@0.49")


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_lines_of_an_ordinary_position_fit_eighty_columns(scale: float) -> None:
    lines = lines_of(
        long_position(call_shares=120.0 * scale, unrealized_pnl_usd=-2.5 * scale, worst_case_usd=-9.99 * scale),
        results=Results(periods=100, fills=900, total_usd=-123.45, open_periods=2),
    )
    for label in ("position", "P&L", "ledger"):
        assert len(lines[label]) <= 76 - 11

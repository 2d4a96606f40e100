"""Worth and worst case, beside hand-made and published numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.hedger.accounts import Account
from services.hedger.pnl import (
    liquidation_usd,
    outcome_micro,
    sale_usd,
    unrealized_usd,
    worst_case_micro,
)
from shared.messages import OpenOrder, Outcome, OutcomeBook
from shared.money import from_micro, to_micro
from tests.builders import SLUG, build

VECTORS = Path(__file__).parents[4] / "shared" / "vectors"


def vectors(name: str) -> dict[str, Any]:
    path = VECTORS / name
    if not path.exists():
        pytest.skip("the quant reference vectors are not beside this repository")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def account(call: float = 0, put: float = 0, *, call_cost: float = 0, put_cost: float = 0) -> Account:
    held = Account("btc-15m", SLUG)
    held.call.units, held.put.units = to_micro(call), to_micro(put)
    held.call.cost_micro, held.put.cost_micro = to_micro(call_cost), to_micro(put_cost)
    held.cash_micro = -held.call.cost_micro - held.put.cost_micro
    return held


def order(outcome: str, side: str, price: float, left: float) -> OpenOrder:
    named: dict[str, Any] = {"UP": "CALL", "DOWN": "PUT"}
    return OpenOrder(
        order_id="o", outcome=named.get(outcome, outcome), side=side.lower(), price=price, left=left, ahead=None,
        state="resting",
    )  # type: ignore[arg-type]  # fmt: skip


def if_wins(held: Account, outcome: Outcome, orders: Sequence[OpenOrder] = ()) -> int:
    return outcome_micro(
        cash_micro=held.cash_micro, units=held.leg(outcome).units, outcome=outcome, orders=orders
    )  # fmt: skip


def worst(held: Account, orders: Sequence[OpenOrder] = ()) -> int:
    return worst_case_micro(
        cash_micro=held.cash_micro, call_units=held.call.units, put_units=held.put.units, orders=orders
    )  # fmt: skip


def test_the_worst_case_is_that_of_the_reference() -> None:
    cases = vectors("fees_hedging.json")["worst_case"]
    assert len(cases) == 4
    for case in cases:
        held = account(case["up"], case["down"])
        held.cash_micro = to_micro(case["cash"])
        orders = [order(*each) for each in case["orders"]]
        assert from_micro(if_wins(held, "CALL", orders)) == pytest.approx(case["pnl_up"], abs=1e-9)
        assert from_micro(if_wins(held, "PUT", orders)) == pytest.approx(case["pnl_down"], abs=1e-9)
        assert from_micro(worst(held, orders)) == pytest.approx(case["worst_case"], abs=1e-9)


def test_pairs_and_fair_worth_are_those_of_the_reference() -> None:
    cases = vectors("pairs_merge.json")["cases"]
    assert len(cases) == 4
    for case in cases:
        costs = {"call_cost": case["up"] * case["avg_up"], "put_cost": case["down"] * case["avg_down"]}
        held = account(case["up"], case["down"], **costs)
        assert from_micro(held.pairs_units()) == case["mergeable"]
        assert from_micro(if_wins(held, "CALL")) == pytest.approx(case["pnl_if_up"], abs=1e-6)
        assert from_micro(if_wins(held, "PUT")) == pytest.approx(case["pnl_if_down"], abs=1e-6)
        assert from_micro(worst(held)) == pytest.approx(case["worst_case"], abs=1e-6)
        assert unrealized_usd(held, case["p"]) == pytest.approx(case["fair_pnl"], abs=1e-6)


def test_a_sale_into_depth_is_that_of_the_reference() -> None:
    reference = vectors("fees_hedging.json")
    for case in reference["liquidate_mirrored"]:
        paid = sale_usd(reference["bids"], shares=case["N"], fee_rate=0.07, fee_exponent=1.0)
        assert paid == pytest.approx(case["sell"]["net"], abs=1e-9)


def test_liquidation_merges_the_pairs_and_sells_the_rest() -> None:
    held = account(30, 20, call_cost=15, put_cost=8)
    book = build(OutcomeBook, bid_ticks=(50, 48), bid_sizes=(4.0, 100.0))
    worth = liquidation_usd(held, book, None, fee_rate=0.0, fee_exponent=1.0)
    assert worth == pytest.approx(20 + 4 * 0.50 + 6 * 0.48 - 23)
    after_fees = liquidation_usd(held, book, None, fee_rate=0.07, fee_exponent=1.0)
    fees_usd = 0.07 * 4 * 0.25 + 0.10483  # of 0.104832, to the venue's step
    assert after_fees == pytest.approx(20 + 4 * 0.50 + 6 * 0.48 - 23 - fees_usd, abs=1e-9)


def test_what_has_no_buyer_pays_nothing_and_without_a_book_there_is_no_answer() -> None:
    held = account(30, call_cost=15)
    shallow = build(OutcomeBook, bid_ticks=(50,), bid_sizes=(10.0,))
    assert liquidation_usd(held, shallow, None, fee_rate=0.0, fee_exponent=1.0) == pytest.approx(5 - 15)
    assert liquidation_usd(held, None, shallow, fee_rate=0.0, fee_exponent=1.0) is None


def test_unrealized_has_no_answer_without_a_fair_value_unless_nothing_is_held() -> None:
    assert unrealized_usd(account(), None) == 0.0
    assert unrealized_usd(account(1, call_cost=0.4), None) is None
    assert unrealized_usd(account(1, 2, call_cost=0.4, put_cost=1.0), 0.7) == pytest.approx(0.7 + 0.6 - 1.4)


def test_an_order_that_can_only_help_does_not_count() -> None:
    flat = account()
    assert worst(flat, [order("CALL", "buy", 0.4, 10)]) == -4_000_000
    held = account(10, call_cost=4)
    assert if_wins(held, "PUT", [order("CALL", "sell", 0.6, 10)]) == -4_000_000
    assert if_wins(held, "CALL", [order("CALL", "sell", 0.6, 10)]) == 2_000_000

"""Walks through depth agree with independent numbers, add up to the micro-dollar, and stop where they should."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.hedger.hedge_depth import (
    best_units,
    cheapest_levels,
    find_arbitrage,
    opposite_levels,
    sell_levels,
    walk,
)
from services.hedger.hedge_inputs import Fees, Level
from services.hedger.hedge_risk import certainty_equivalent_usd
from shared.fees import FEE_STEP_MICRO
from shared.money import MICRO, to_micro
from tests.services.hedger.test_hedge_inputs import CRYPTO, vectors

BIDS = ((0.55, 30), (0.54, 60), (0.52, 100))


def levels(*pairs: tuple[float, float]) -> tuple[Level, ...]:
    return tuple(Level(to_micro(price), to_micro(shares)) for price, shares in pairs)


def agrees(case: dict[str, Any], *, asks: tuple[Level, ...]) -> None:
    units = case["N"] * MICRO
    sold = walk(sell_levels(levels(*BIDS)), units=units, fees=CRYPTO)
    assert sold.units == case["sell"]["filled"] * MICRO
    assert sold.unfilled_units == case["sell"]["unfilled"] * MICRO
    assert sold.proceeds_micro == to_micro(case["sell"]["gross"])
    assert sold.fee_micro == to_micro(case["sell"]["fee"])
    assert sold.net_micro == to_micro(case["sell"]["net"])
    assert [[each.exit_micro, each.units] for each in sold.taken] == [
        [to_micro(price), shares * MICRO] for price, shares in case["sell"]["fills"]
    ]
    bought = walk(opposite_levels(asks), units=units, fees=CRYPTO)
    assert bought.units == case["hedge"]["filled"] * MICRO
    assert bought.cost_micro == to_micro(case["hedge"]["cost"])
    assert bought.fee_micro == to_micro(case["hedge"]["fee"])
    assert bought.net_micro == to_micro(case["hedge"]["net_after_merge"])


def test_selling_and_buying_the_opposite_agree_with_independent_numbers_where_the_books_mirror() -> None:
    for case in vectors("fees_hedging.json")["liquidate_mirrored"]:
        agrees(case, asks=tuple(each.mirrored() for each in levels(*BIDS)))


def test_selling_and_buying_the_opposite_agree_with_independent_numbers_where_the_books_differ() -> None:
    for case in vectors("fees_hedging.json")["liquidate_non_mirrored"]:
        agrees(case, asks=levels((0.44, 40), (0.45, 80), (0.46, 100)))


def test_the_optimal_reduction_agrees_with_independent_numbers() -> None:
    for case in vectors("fees_hedging.json")["optimal_reduce"]:
        p, gamma = case["p"], case["gamma"]
        exits = sell_levels(levels(*BIDS))
        units = best_units(
            exits,
            held_units=case["N"] * MICRO,
            fees=CRYPTO,
            worth_usd=lambda shares, p=p, gamma=gamma: certainty_equivalent_usd(
                shares, probability=p, gamma_per_usd=gamma
            ),
        )
        assert units == case["result"]["sold"] * MICRO
        taken = walk(exits, units=units, fees=CRYPTO)
        exact = case["result"]["net_cash"] * MICRO  # before the venue rounds the fee of each level
        assert abs(taken.net_micro - exact) <= len(taken.taken) * FEE_STEP_MICRO / 2


@given(
    prices=st.lists(st.integers(1, 999), min_size=1, max_size=6, unique=True),
    sizes=st.lists(st.integers(1, 10**9), min_size=6, max_size=6),
    units=st.integers(0, 3 * 10**9),
    rate=st.floats(0, 0.5),
)
def test_mirrored_books_pay_the_same_to_the_micro_dollar_whatever_the_sizes(
    prices: list[int], sizes: list[int], units: int, rate: float
) -> None:
    bids = [Level(price * 1000, size) for price, size in zip(sorted(prices, reverse=True), sizes, strict=False)]
    sold = walk(sell_levels(bids), units=units, fees=Fees(rate=rate))
    bought = walk(opposite_levels([each.mirrored() for each in bids]), units=units, fees=Fees(rate=rate))
    assert sold.net_micro == bought.net_micro
    assert sold.fee_micro == bought.fee_micro
    assert sold.units == bought.units == min(units, sum(each.units for each in bids))


def test_orders_seen_in_both_books_count_once_and_the_better_price_comes_first() -> None:
    found = cheapest_levels(
        sell_levels(levels((0.55, 30), (0.54, 60))), opposite_levels(levels((0.44, 10), (0.45, 30), (0.46, 80)))
    )
    assert [(each.exit_micro, each.units // MICRO, each.route) for each in found] == [
        (560_000, 10, "buy_opposite"),
        (550_000, 30, "sell"),
        (540_000, 80, "buy_opposite"),
    ]


def test_pairs_below_a_dollar_are_bought_until_the_fee_eats_the_edge() -> None:
    call, put = levels((0.50, 10), (0.52, 100)), levels((0.40, 30), (0.47, 100))
    found = find_arbitrage(call, put, side="buy", fees=CRYPTO)
    assert found is not None
    assert found.units == 30 * MICRO  # the next pair costs 0.99 and 3.5 c of fees
    assert (found.call_limit_micro, found.put_limit_micro) == (520_000, 400_000)
    spent = 10 * 0.50 + 20 * 0.52 + 30 * 0.40
    fee = 10 * 0.07 * 0.25 + 20 * 0.07 * 0.2496 + 30 * 0.07 * 0.24
    assert found.profit_micro == to_micro(30 - spent - fee)
    free = find_arbitrage(call, put, side="buy", fees=Fees(rate=0.0))
    assert free is not None
    assert free.units == 110 * MICRO


def test_pairs_above_a_dollar_are_sold_and_a_fair_pair_is_left_alone() -> None:
    found = find_arbitrage(levels((0.60, 10)), levels((0.50, 20)), side="sell", fees=CRYPTO)
    assert found is not None
    assert found.profit_micro == to_micro(10 * (0.10 - 0.07 * 0.24 - 0.07 * 0.25))
    assert find_arbitrage(levels((0.55, 10)), levels((0.46, 20)), side="sell", fees=CRYPTO) is None
    assert find_arbitrage(levels((0.5, 10)), (), side="buy", fees=CRYPTO) is None


def test_a_part_of_a_share_is_sold_when_everything_should_go() -> None:
    units = best_units(
        sell_levels(levels((0.6, 100))),
        held_units=to_micro(10.5),
        fees=CRYPTO,
        worth_usd=lambda shares: 0.4 * shares,
    )
    assert units == to_micro(10.5)


def test_a_walk_past_the_depth_says_what_is_unfilled() -> None:
    with pytest.raises(ValueError, match="empty"):
        walk((), units=MICRO, fees=CRYPTO).limit_micro("sell")
    assert walk((), units=MICRO, fees=CRYPTO).unfilled_units == MICRO

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.markout import SLOTS, STATE, Config, add_trade, read, resolve, update
from tests.services.analyzers.fixtures import cold, ns

CONFIG = Config(min_trades=1.0)


def test_a_buyer_gains_what_the_mid_stands_above_his_price_a_second_later() -> None:
    state = cold(STATE)
    update(state, CONFIG, ns(0), 0.50)
    add_trade(state, CONFIG, ns(0.1), 0.51, 10.0)
    update(state, CONFIG, ns(1.0), 0.56)
    update(state, CONFIG, ns(1.5), 0.90)  # after the horizon: too late to count
    assert read(state, CONFIG)[0] == pytest.approx(0.05)


def test_a_seller_gains_the_opposite() -> None:
    state = cold(STATE)
    update(state, CONFIG, ns(0), 0.50)
    add_trade(state, CONFIG, ns(0.1), 0.51, -10.0)
    update(state, CONFIG, ns(1.0), 0.56)
    resolve(state, CONFIG, ns(2.0))  # a clock is enough, the mid still stands
    assert read(state, CONFIG)[0] == pytest.approx(-0.05)


def test_nothing_is_counted_before_the_horizon_or_twice() -> None:
    state = cold(STATE)
    update(state, CONFIG, ns(0), 0.50)
    add_trade(state, CONFIG, ns(0.1), 0.51, 10.0)
    resolve(state, CONFIG, ns(1.1))
    assert math.isnan(read(state, CONFIG)[0])
    for at_s in (1.2, 1.3, 5.0):
        resolve(state, CONFIG, ns(at_s))
    assert state["resolved"] == 1


def test_a_trade_without_a_fresh_mid_at_its_horizon_is_dropped() -> None:
    state = cold(STATE)
    add_trade(state, CONFIG, ns(0), 0.51, 10.0)
    resolve(state, CONFIG, ns(2))
    update(state, CONFIG, ns(3), 0.5)
    add_trade(state, CONFIG, ns(20), 0.51, 10.0)
    resolve(state, CONFIG, ns(22))
    update(state, CONFIG, ns(23), math.nan)
    add_trade(state, CONFIG, ns(23), 0.51, 10.0)
    resolve(state, CONFIG, ns(25))
    assert (state["resolved"], state["dropped"]) == (0, 3)


def test_large_trades_weigh_more() -> None:
    state = cold(STATE)
    update(state, CONFIG, ns(0), 0.50)
    add_trade(state, CONFIG, ns(0.1), 0.50, 90.0)
    add_trade(state, CONFIG, ns(0.1), 0.40, 10.0)
    resolve(state, CONFIG, ns(2))
    assert read(state, CONFIG)[0] == pytest.approx(0.01)


def test_a_flood_of_trades_drops_the_oldest() -> None:
    state = cold(STATE)
    update(state, CONFIG, ns(0), 0.50)
    for i in range(SLOTS + 10):
        add_trade(state, CONFIG, ns(0.001 * i), 0.5, 1.0)
    resolve(state, CONFIG, ns(3))
    assert (state["resolved"], state["dropped"]) == (SLOTS, 10)


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(-100, 100)), min_size=6, max_size=40))
def test_the_mean_is_a_price_difference_and_its_error_a_number(trades: list[tuple[float, float]]) -> None:
    state = cold(STATE)
    for i, (price, shares) in enumerate(trades):
        update(state, CONFIG, ns(i), 0.5)
        add_trade(state, CONFIG, ns(i), price, shares)
    resolve(state, CONFIG, ns(100))
    mean, error = read(state, CONFIG)
    assert math.isnan(mean) or (abs(mean) <= 0.5 and error >= 0.0)

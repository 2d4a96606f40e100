from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers import mids
from services.analyzers.markout import (
    SLOTS,
    STATE,
    Config,
    add_trade,
    forget_waiting,
    read,
    read_impact,
    resolve,
    spread_parts,
)
from shared.kernel import Record
from tests.services.analyzers.fixtures import cold, ns, vectors

CONFIG = Config(min_trades=1.0)
MIDS = mids.Config()
NAN = math.nan


def books(*told: tuple[float, float]) -> Record:
    """The mids of CALL by (seconds, mid)."""
    state = cold(mids.STATE)
    for at_s, mid in told:
        mids.update(state, MIDS, ns(at_s), mid, 0.005)
    return state


def after(
    trades: list[tuple[float, float, float]], told: Record, now_s: float, config: Config = CONFIG, before: float = NAN
) -> Record:
    """The state after trades of (seconds, price, signed shares)."""
    state = cold(STATE)
    for at_s, price, shares in trades:
        add_trade(state, ns(at_s), price, shares, before)
    resolve(state, config, told, MIDS, ns(now_s))
    return state


def test_a_buyer_gains_what_the_mid_stands_above_his_price_a_second_later() -> None:
    told = books((0.0, 0.50), (1.0, 0.56), (1.5, 0.90))  # the last one is after the horizon: too late to count
    assert read(after([(0.1, 0.51, 10.0)], told, 2.0), CONFIG)[0] == pytest.approx(0.05)


def test_a_seller_gains_the_opposite() -> None:
    told = books((0.0, 0.50), (1.0, 0.56))  # a clock is enough, the mid still stands
    assert read(after([(0.1, 0.51, -10.0)], told, 2.0), CONFIG)[0] == pytest.approx(-0.05)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_impact_is_how_far_the_mid_went_with_the_taker_whatever_he_paid(sign: float) -> None:
    told = books((0.0, 0.50), (1.0, 0.50 + sign * 0.02))
    for price in (0.50, 0.50 + sign * 0.03):
        state = after([(0.1, price, sign * 10.0)], told, 2.0, before=0.50)
        assert read_impact(state, CONFIG) == pytest.approx(0.02)
        assert read(state, CONFIG)[0] == pytest.approx(0.02 - abs(price - 0.50))


def test_a_maker_earns_his_distance_less_the_impact() -> None:
    told, distance = books((0.0, 0.50), (1.0, 0.508)), 0.015
    state = after([(0.1, 0.50 + distance, 10.0)], told, 2.0, before=0.50)
    assert -read(state, CONFIG)[0] == pytest.approx(distance - read_impact(state, CONFIG))


def test_the_parts_of_a_spread_agree_with_the_reference() -> None:
    cases = vectors("toxicity.json")["markouts"]
    assert cases
    for case in cases:
        side, size = float(case["up_position"]), case["size"]
        effective, adverse, realised = spread_parts(
            side, case["up_price"], case["fair_up_at_fill"], case["fair_up_at_h"]
        )
        assert effective == pytest.approx(case["effective_half_spread"], abs=1e-12)
        assert adverse == pytest.approx(case["adverse_selection"], abs=1e-12)
        assert realised == pytest.approx(case["realised_spread"], abs=1e-12)
        assert size * realised == pytest.approx(case["markout_usd"], abs=1e-12)
        held = spread_parts(side, case["up_price"], case["fair_up_at_fill"], float(case["payoff_up"]))[2]
        assert size * held == pytest.approx(case["settlement_pnl"], abs=1e-12)


prices = st.floats(0.01, 0.99)


@given(st.sampled_from((1.0, -1.0)), prices, prices, prices)
def test_what_is_paid_is_kept_or_lost(side: float, price: float, before: float, later: float) -> None:
    effective, adverse, realised = spread_parts(side, price, before, later)
    assert effective == pytest.approx(realised + adverse, abs=1e-12)
    assert spread_parts(-side, price, before, later) == (-effective, -adverse, -realised)


def test_nothing_is_counted_before_the_horizon_or_twice() -> None:
    told = books((0.0, 0.50))
    state = after([(0.1, 0.51, 10.0)], told, 1.1)
    assert math.isnan(read(state, CONFIG)[0])
    for at_s in (1.2, 1.3, 4.0):
        resolve(state, CONFIG, told, MIDS, ns(at_s))
    assert state["resolved"] == 1


def test_a_trade_without_a_known_mid_at_its_horizon_is_dropped() -> None:
    told = books((3.0, 0.5), (23.0, NAN))
    state = after([(0.0, 0.51, 10.0), (20.0, 0.51, 10.0), (23.0, 0.51, 10.0)], told, 25.0)
    assert (state["resolved"], state["dropped"]) == (0, 3)


def test_a_trade_without_a_known_mid_before_it_counts_in_the_markout_alone() -> None:
    state = after([(0.1, 0.51, 10.0)], books((0.5, 0.56)), 2.0)
    assert read(state, CONFIG)[0] == pytest.approx(0.05)
    assert math.isnan(read_impact(state, CONFIG))


def test_a_fill_that_is_learned_late_is_settled_on_the_mid_of_its_own_horizon() -> None:
    told = books((0.0, 0.50), (1.0, 0.53), (2.0, 0.70), (3.0, 0.70))
    assert read(after([(0.5, 0.51, 10.0)], told, 3.0), CONFIG)[0] == pytest.approx(0.02)


def test_no_answer_before_enough_trades() -> None:
    told, config = books((0.0, 0.50)), Config(min_trades=3.0)
    for count in (2, 3):
        state = after([(0.1, 0.51, 10.0)] * count, told, 2.0, config, before=0.50)
        assert math.isnan(read(state, config)[0]) == math.isnan(read_impact(state, config)) == (count < 3)


def test_large_trades_weigh_more() -> None:
    state = after([(0.1, 0.50, 90.0), (0.1, 0.40, 10.0)], books((0.0, 0.50)), 2.0)
    assert read(state, CONFIG)[0] == pytest.approx(0.01)


def test_the_means_are_exponential_in_time() -> None:
    told = books(*((float(i), 0.50 if i < 60 else 0.60) for i in range(64)))
    config = CONFIG._replace(half_life_s=60.0)
    state = after([(0.5, 0.50, 10.0), (60.5, 0.50, 10.0)], told, 62.0, config, before=0.50)
    assert read(state, config)[0] == pytest.approx((0.5 * 0.0 + 0.10) / 1.5)
    assert read_impact(state, config) == pytest.approx((0.5 * 0.0 + 0.10) / 1.5)


def test_a_flood_of_trades_drops_the_oldest() -> None:
    state = after([(0.001 * i, 0.5, 1.0) for i in range(SLOTS + 10)], books((0.0, 0.50)), 3.0)
    assert (state["resolved"], state["dropped"]) == (SLOTS, 10)


def test_what_waits_when_its_book_is_over_is_dropped_and_the_mean_stays() -> None:
    told = books((0.0, 0.50), (2.0, 0.50))
    state = after([(0.1, 0.48, 10.0), (1.5, 0.40, 10.0)], told, 2.0)
    forget_waiting(state)
    resolve(state, CONFIG, told, MIDS, ns(4.0))
    assert (state["resolved"], state["dropped"]) == (1, 1)
    assert read(state, CONFIG)[0] == pytest.approx(0.02)


@given(st.lists(st.tuples(prices, st.floats(-100, 100)), min_size=6, max_size=40))
def test_the_mean_is_a_price_difference_and_its_error_a_number(trades: list[tuple[float, float]]) -> None:
    told = books(*((float(i), 0.5) for i in range(45)))
    state = after([(float(i), price, shares) for i, (price, shares) in enumerate(trades)], told, 46.0, before=0.5)
    mean, error = read(state, CONFIG)
    assert math.isnan(mean) or (abs(mean) <= 0.5 and error >= 0.0)
    assert not np.isinf(read_impact(state, CONFIG))

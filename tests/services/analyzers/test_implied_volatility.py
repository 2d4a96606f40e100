from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from services.analyzers.implied_volatility import (
    STATE,
    Config,
    blend,
    normal_quantile,
    price_conditioning,
    read,
    total_sd_roots,
    update,
    usable_total_sd,
)
from shared.kernel import Record
from tests.services.analyzers.fixtures import cold, ns, vectors

CONFIG = Config()
SIGMA = 9e-5


def test_the_quantile_agrees_with_scipy() -> None:
    for p in (1e-300, 1e-12, 1e-5, 0.01, 0.07, 0.0749, 0.3, 0.5, 0.6, 0.925, 0.9251, 0.99, 1 - 1e-9):
        assert normal_quantile(p) == pytest.approx(float(ndtri(p)), rel=1e-13, abs=1e-15)
    assert math.isnan(normal_quantile(-0.1))
    assert normal_quantile(0.0) == -math.inf


def test_roots_agree_with_the_reference() -> None:
    for case in vectors("digital_implied_vol.json")["cases"]:
        count, small, large = total_sd_roots(case["log_moneyness"], case["market_p"])
        assert count == case["n_roots"], case
        for found, expected in zip((small, large), sorted(case["total_sd_roots"]), strict=False):
            assert found == pytest.approx(expected, rel=1e-8)


def test_round_trips_of_the_reference_are_recovered() -> None:
    for case in vectors("digital_implied_vol.json")["round_trips"]:
        count, small, large = total_sd_roots(case["log_moneyness"], case["price"])
        roots = [each / math.sqrt(case["tau_s"]) for each in (small, large)[:count]]
        assert min(abs(each / case["sigma_sec"] - 1.0) for each in roots) < 1e-7


def test_conditioning_agrees_with_the_reference() -> None:
    for case in vectors("digital_implied_vol.json")["conditioning"]:
        assert 0.005 * price_conditioning(float(ndtr(case["d"]))) == pytest.approx(
            case["rel_sigma_err_per_half_tick"], rel=1e-9
        )


def test_no_root_one_root_and_two_roots_are_told_apart() -> None:
    assert total_sd_roots(0.0, 0.6)[0] == 0
    assert total_sd_roots(0.0, 0.4)[:2] == (1, pytest.approx(2 * 0.2533471031358))
    assert total_sd_roots(0.001, 0.7)[0] == 1
    assert total_sd_roots(-0.001, 0.3)[0] == 2
    assert total_sd_roots(-0.001, 0.499)[0] == 0  # above the most that this moneyness can be worth


@given(st.floats(-5e-3, 5e-3), st.floats(2e-5, 5e-4), st.floats(30.0, 900.0))
def test_a_price_gives_back_its_volatility(m: float, sigma: float, tau_s: float) -> None:
    total = sigma * math.sqrt(tau_s)
    p = float(ndtr(m / total - total / 2))
    assume(0.01 < p < 0.99)
    assume((p - 0.5) * m > 0.0)
    assume(m > 0.0 or total < 0.9 * math.sqrt(-2 * m))
    assert usable_total_sd(m, p) == pytest.approx(total, rel=1e-6)


def test_a_market_on_the_other_side_of_the_spot_implies_no_volatility() -> None:
    assert math.isnan(usable_total_sd(0.001, 0.4))
    assert math.isnan(usable_total_sd(-0.001, 0.6))


def feed(state: Record, *, seconds: int = 10, sigma: float = SIGMA, m: float = 0.002, spread: float = 0.01) -> None:
    for i in range(seconds):
        variance_s = 600.0 - i
        total = sigma * math.sqrt(variance_s)
        p = float(ndtr(m / total - total / 2))
        update(state, CONFIG, ns(i), p - spread / 2, p + spread / 2, m, 2e-5, variance_s)


def test_a_fair_book_implies_its_own_volatility() -> None:
    state = cold(STATE)
    feed(state)
    sigma, error = read(state, CONFIG, ns(10))
    assert sigma == pytest.approx(SIGMA, rel=1e-6)
    assert CONFIG.error_floor <= error < 0.2


def test_a_wider_book_is_less_certain() -> None:
    narrow, wide = cold(STATE), cold(STATE)
    feed(narrow, spread=0.01)
    feed(wide, spread=0.06)
    assert read(wide, CONFIG, ns(10))[1] > read(narrow, CONFIG, ns(10))[1]


def test_a_few_absurd_books_do_not_move_the_median() -> None:
    state = cold(STATE)
    feed(state, seconds=12)
    for i in range(12, 15):
        update(state, CONFIG, ns(i), 0.59, 0.61, 0.002, 2e-5, 588.0)
    assert read(state, CONFIG, ns(15))[0] == pytest.approx(SIGMA, rel=0.02)


@pytest.mark.parametrize(
    ("bid", "ask", "m", "variance_s"),
    [
        (0.0, 0.8, 0.002, 600.0),  # one side missing
        (0.80, 0.80, 0.002, 600.0),  # locked
        (0.82, 0.80, 0.002, 600.0),  # crossed
        (0.50, 0.99, 0.002, 600.0),  # a placeholder
        (0.495, 0.505, 0.002, 600.0),  # at the money: says nothing of volatility
        (0.985, 0.995, 0.002, 600.0),  # too certain: a tick is 38 % of volatility
        (0.79, 0.81, -0.002, 600.0),  # on the other side of the spot
        (0.79, 0.81, 0.002, 1.0),  # over
    ],
)
def test_books_that_say_nothing_of_volatility_are_ignored(bid: float, ask: float, m: float, variance_s: float) -> None:
    state = cold(STATE)
    assert not update(state, CONFIG, ns(0), bid, ask, m, 2e-5, variance_s)
    assert state["count"] == 0


def test_old_readings_are_no_answer() -> None:
    state = cold(STATE)
    feed(state)
    assert math.isnan(read(state, CONFIG, ns(45))[0])
    assert math.isnan(read(cold(STATE), CONFIG, ns(0))[0])


positive = st.floats(1e-5, 1e-3)
error = st.floats(0.02, 1.0)


@given(positive, error, positive, error)
def test_the_blend_lies_between_and_leans_to_the_surer(r: float, e_r: float, i: float, e_i: float) -> None:
    sigma, blended = blend(r, e_r, i, e_i, 0.5)
    assert min(r, i) * (1 - 1e-12) <= sigma <= max(r, i) * (1 + 1e-12)
    assert abs(math.log(sigma / r)) <= 0.5 * abs(math.log(i / r)) + 1e-9
    surer, _ = blend(r, e_r, i, e_i * 2, 0.5)
    assert abs(math.log(surer / r)) <= abs(math.log(sigma / r)) + 1e-12
    assert math.isfinite(blended)
    assert blended > 0.0


def test_disagreement_makes_the_blend_unsure() -> None:
    assert blend(SIGMA, 0.1, 2 * SIGMA, 0.1, 0.5)[1] > blend(SIGMA, 0.1, SIGMA, 0.1, 0.5)[1]


def test_the_market_alone_is_no_answer() -> None:
    assert math.isnan(blend(math.nan, math.nan, SIGMA, 0.1, 0.5)[0])
    assert blend(SIGMA, 0.1, math.nan, math.nan, 0.5) == (SIGMA, 0.1)

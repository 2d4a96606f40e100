from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.volatility import STATE, Config, anchor, include, include_history, read, update, variance
from shared.kernel import Record
from tests.builders import START_S
from tests.services.analyzers.fixtures import cold, ns, vectors

CONFIG = Config(sample_s=1.0, max_gap_s=10.0, winsor_after=20.0, warm_s=58.0)  # each second a sample: more to see
UNCLIPPED = CONFIG._replace(winsor=1e9)


def one_half_life(half_life_s: float) -> Config:
    return UNCLIPPED._replace(
        half_life_fast_s=half_life_s, share_fast=1.0, share_medium=0.0, share_slow=0.0, sample_s=0.0
    )


def seeded(v0: float, *, at_s: float) -> Record:
    state = cold(STATE)
    state["reference_ns"] = ns(at_s)
    state["numerator"][:] = v0
    state["weight"][:] = 1.0
    return state


def walk(state: Record, config: Config, log_returns: np.ndarray, *, start_s: float = 0.0, step_s: float = 1.0) -> float:
    level = math.log(80_000.0)
    update(state, config, ns(start_s), level)
    for i, each in enumerate(log_returns, start=1):
        level += float(each)
        update(state, config, ns(start_s + i * step_s), level)
    return float(variance(state, config))


def gaussian(seed: int, n: int, sigma: float = 9e-5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n) * sigma


def test_the_average_agrees_with_the_reference_on_irregular_times() -> None:
    reference = vectors("ewma.json")
    for case in reference["cases"]:
        config, state = one_half_life(case["half_life_s"]), seeded(case["v0"], at_s=reference["times"][0])
        for at_s, price, expected in zip(reference["times"], reference["prices"], case["expected_var"], strict=True):
            update(state, config, ns(at_s), math.log(price))
            assert variance(state, config) == pytest.approx(expected, rel=1e-8)


def test_the_average_is_riskmetrics_on_regular_times() -> None:
    reference = vectors("ewma.json")["riskmetrics"]
    config, state = one_half_life(math.log(2.0) / -math.log(reference["lam"])), seeded(reference["v0"], at_s=0.0)
    for i, (log_return, expected) in enumerate(zip(reference["returns"], reference["expected"], strict=True)):
        include(state, config, ns(i), ns(i + 1), log_return)
        assert variance(state, config) == pytest.approx(expected, rel=1e-9)


def test_two_returns_by_hand() -> None:
    state, config = cold(STATE), one_half_life(1.0)
    include(state, config, ns(0), ns(1), 2e-4)
    assert variance(state, config) == pytest.approx(4e-8)  # unbiased from the first return
    include(state, config, ns(1), ns(3), 2e-4)  # weights 1/8 and 3/4; r^2/dt = 2e-8
    assert variance(state, config) == pytest.approx((0.125 * 4e-8 + 0.75 * 2e-8) / 0.875)


@given(st.floats(0.01, 100.0), st.integers(0, 50))
def test_volatility_scales_with_returns_and_ignores_the_price_level(scale: float, seed: int) -> None:
    returns = gaussian(seed, 40)
    one, other = cold(STATE), cold(STATE)
    assert walk(other, CONFIG, returns * scale) == pytest.approx(scale**2 * walk(one, CONFIG, returns), rel=1e-4)


@given(st.integers(-100_000, 100_000))
def test_volatility_does_not_depend_on_the_date(shift_s: int) -> None:
    returns = gaussian(3, 40)
    assert walk(cold(STATE), CONFIG, returns, start_s=shift_s) == walk(cold(STATE), CONFIG, returns)


@given(st.permutations(range(12)))
def test_a_return_learned_late_counts_as_if_it_had_been_on_time(order: list[int]) -> None:
    returns = gaussian(5, 12)
    on_time, late = cold(STATE), cold(STATE)
    for i in range(12):
        include(on_time, UNCLIPPED, ns(i), ns(i + 1), returns[i])
    for i in order:
        include(late, UNCLIPPED, ns(i), ns(i + 1), returns[i])
    assert read(late, UNCLIPPED, ns(12))[:2] == pytest.approx(read(on_time, UNCLIPPED, ns(12))[:2], rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_truth_lies_within_three_standard_errors(seed: int) -> None:
    state = cold(STATE)
    walk(state, CONFIG, gaussian(seed, 600))
    sigma, error, jumps, warm = read(state, CONFIG, ns(600))
    assert warm
    assert abs(sigma / 9e-5 - 1.0) < 3.0 * error < 0.4
    assert jumps < 0.01


def test_quotes_denser_than_a_second_and_older_ones_are_ignored() -> None:
    state = cold(STATE)
    walk(state, CONFIG, gaussian(1, 30))
    before = state.copy()
    for at_s in (30.0, 30.2, 30.9, 12.0, -5.0):
        assert not update(state, CONFIG, ns(at_s), 99.0)
    assert state == before


def test_no_return_is_taken_across_a_silence() -> None:
    state = cold(STATE)
    walk(state, CONFIG, gaussian(1, 60))
    sigma = variance(state, CONFIG)
    update(state, CONFIG, ns(60 + CONFIG.max_gap_s + 1), math.log(90_000.0))
    assert variance(state, CONFIG) == sigma


def test_a_jump_is_clipped_and_counted_apart() -> None:
    quiet, jumpy = cold(STATE), cold(STATE)
    returns = gaussian(2, 300)
    walk(quiet, CONFIG, returns)
    returns[250] += 30e-4  # 33 standard deviations
    walk(jumpy, CONFIG, returns)
    assert variance(jumpy, CONFIG) < 1.25 * variance(quiet, CONFIG)
    assert read(jumpy, CONFIG, ns(300))[2] > read(quiet, CONFIG, ns(300))[2] == 0.0


def test_a_true_rise_of_volatility_is_followed_in_spite_of_the_clipping() -> None:
    state = cold(STATE)
    walk(state, CONFIG, np.concatenate([gaussian(2, 300), gaussian(3, 300, sigma=9e-4)]))
    assert math.sqrt(variance(state, CONFIG)) > 5e-4


def test_it_is_warm_after_a_minute_of_samples_and_not_before() -> None:
    state = cold(STATE)
    walk(state, CONFIG, gaussian(1, 45))
    assert not read(state, CONFIG, ns(45))[3]
    walk(state, CONFIG, gaussian(2, 16), start_s=46)
    assert read(state, CONFIG, ns(62))[3]
    assert not read(state, CONFIG, ns(62 + 300))[3]  # five minutes of silence wear the warmth off


def test_before_any_movement_there_is_no_answer() -> None:
    state = cold(STATE)
    assert math.isnan(read(state, CONFIG, ns(0))[0])
    walk(state, CONFIG, np.zeros(80))
    sigma, error, jumps, warm = read(state, CONFIG, ns(80))
    assert math.isnan(sigma)
    assert math.isnan(error)
    assert (jumps, warm) == (0.0, False)


def history(until_s: int, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    seconds = np.arange(START_S + until_s - n + 1, START_S + until_s + 1)
    steps = gaussian(9, 2000)[seconds - START_S + 1000]  # the same second always has the same price
    return seconds, 80_000.0 * np.exp(np.cumsum(steps))


def test_a_history_makes_it_warm_within_seconds_of_the_start() -> None:
    state = cold(STATE)
    update(state, CONFIG, ns(0), math.log(80_000.0))
    update(state, CONFIG, ns(1), math.log(80_001.0))
    assert include_history(state, CONFIG, *history(-2)) == 119
    sigma, _, _, warm = read(state, CONFIG, ns(1))
    assert warm
    assert sigma == pytest.approx(9e-5, rel=0.25)


def test_a_repeated_history_is_counted_once() -> None:
    state = cold(STATE)
    assert include_history(state, CONFIG, *history(-10)) == 119
    before = state.copy()
    assert include_history(state, CONFIG, *history(-10)) == 0
    assert state == before
    assert include_history(state, CONFIG, *history(-5)) == 5


def test_a_history_never_counts_what_was_sampled_live() -> None:
    state = cold(STATE)
    walk(state, CONFIG, gaussian(1, 30))  # live from second 0 to 30
    counted = include_history(state, CONFIG, *history(25))
    assert counted == 119 - 25  # the intervals up to second 0
    assert include_history(state, CONFIG, *history(29)) == 0


def test_a_history_fills_the_hole_of_an_outage() -> None:
    state = cold(STATE)
    walk(state, CONFIG, gaussian(1, 30))
    include_history(state, CONFIG, *history(-1))
    update(state, CONFIG, ns(90), math.log(80_000.0))  # back after a minute
    assert include_history(state, CONFIG, *history(100)) == 60
    assert include_history(state, CONFIG, *history(105)) == 0


def test_a_change_of_source_takes_no_return() -> None:
    state = cold(STATE)
    walk(state, CONFIG, gaussian(1, 60))
    before = variance(state, CONFIG)
    anchor(state, ns(60.5), math.log(81_000.0))
    assert variance(state, CONFIG) == before
    assert update(state, CONFIG, ns(61.5), math.log(81_000.0))


def test_the_shares_of_the_mixture_sum_to_one() -> None:
    assert CONFIG.share_fast + CONFIG.share_medium + CONFIG.share_slow == pytest.approx(1.0)


def test_a_venue_switch_before_the_history_does_not_lose_the_history() -> None:
    state = np.zeros(1, STATE)[0]
    update(state, CONFIG, 100_598_000_000, math.log(80_000.0))  # one venue's first quote
    anchor(state, 100_754_000_000, math.log(79_975.0))  # the preferred one, a moment later
    seconds = np.arange(0, 100, dtype=np.int64)
    assert include_history(state, CONFIG, seconds, 80_000.0 + np.sin(np.arange(100.0))) == 99
    assert read(state, CONFIG, 101_000_000_000)[3]  # warm


def test_an_oracle_that_smooths_each_second_hides_little_of_the_volatility() -> None:
    """The mean of the last three prices moves by a third of the variance from second to second, and all of it later."""
    steps = gaussian(11, 7200)
    smooth = np.convolve(np.cumsum(steps), np.ones(3) / 3.0, mode="valid")
    state, each_second = cold(STATE), cold(STATE)
    walk(state, Config(), np.diff(smooth))
    walk(each_second, CONFIG, np.diff(smooth))
    assert math.sqrt(variance(state, Config())) == pytest.approx(9e-5, rel=0.15)
    assert math.sqrt(variance(each_second, CONFIG)) == pytest.approx(9e-5 / math.sqrt(3.0), rel=0.15)


def test_a_history_is_sampled_as_live_prices_are() -> None:
    seconds, prices = history(-1)
    state, live = cold(STATE), cold(STATE)
    assert include_history(state, Config(), seconds, prices) == 23  # of 119 seconds
    for second, price in zip(seconds, prices, strict=True):
        update(live, Config(), int(second) * 1_000_000_000, math.log(price))
    assert variance(state, Config()) == pytest.approx(float(variance(live, Config())), rel=1e-9)
    assert read(state, Config(), ns(0))[3]  # two minutes make it warm


def test_a_history_with_a_silence_takes_no_return_across_it() -> None:
    seconds, prices = history(-1)
    kept = (seconds < START_S - 80) | (seconds > START_S - 40)
    assert include_history(cold(STATE), Config(), seconds[kept], prices[kept]) == 7 + 7

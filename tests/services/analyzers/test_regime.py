from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.regime import (
    MEAN_REVERTING,
    QUIET,
    STATE,
    TRENDING_DOWN,
    TRENDING_UP,
    UNKNOWN,
    VOLATILE,
    Config,
    efficiency_ratio,
    filter_loud,
    is_warm,
    latch,
    predict_loud,
    replace_with_history,
    settle,
    update,
    variance_ratio,
)
from shared.kernel import Record
from tests.builders import START_S
from tests.services.analyzers.fixtures import cold, ns, vectors

CONFIG = Config()


def ring_of(log_prices: list[float]) -> tuple[np.ndarray, int]:
    ring = np.zeros(256)
    returns = np.diff(log_prices)
    for i, each in enumerate(returns):
        ring[i % 256] = each
    return ring, len(returns)


def walk(state: Record, returns: np.ndarray, *, start_s: float = 0.0) -> list[int]:
    level, regimes = 11.0, []
    update(state, CONFIG, ns(start_s), level)
    for i, each in enumerate(returns, start=1):
        level += float(each)
        update(state, CONFIG, ns(start_s + i), level)
        regimes.append(int(state["regime"]))
    return regimes


def gaussian(seed: int, n: int, sigma: float = 9e-5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n) * sigma


def autoregressive(seed: int, n: int, coefficient: float) -> np.ndarray:
    noise, series = gaussian(seed, n), np.zeros(n)
    for i in range(1, n):
        series[i] = coefficient * series[i - 1] + noise[i]
    return series


def test_the_variance_ratio_agrees_with_arch() -> None:
    reference = vectors("regime.json")
    for case in reference["cases"]:
        ring, n = ring_of(reference["series"][case["series"]])
        ratio, z = variance_ratio(ring, n, n, case["q"])
        assert ratio == pytest.approx(case["arch_VR"], rel=1e-9)
        if case["robust"]:
            assert z == pytest.approx(case["arch_stat"], rel=1e-9)


def test_the_efficiency_ratio_agrees_with_the_reference() -> None:
    reference = vectors("regime.json")
    for name, cases in reference["efficiency_ratio"].items():
        ring, n = ring_of(reference["series"][name])
        for case in cases:
            assert efficiency_ratio(ring, n, case["n"])[0] == pytest.approx(case["ER"], rel=1e-9)


def test_the_two_state_filter_agrees_with_the_reference() -> None:
    reference = vectors("regime.json")["hmm"]
    (stay_quiet, _), (_, stay_loud) = reference["A"]
    loud = None
    for observed, (_, expected) in zip(reference["obs"], reference["filtered"], strict=True):
        prior = reference["pi"][1] if loud is None else predict_loud(loud, stay_quiet, stay_loud)
        loud = filter_loud(prior, observed, *reference["sd"])
        assert loud == pytest.approx(expected, rel=1e-9)


def test_hysteresis_and_dwell_agree_with_the_reference() -> None:
    reference = vectors("regime.json")["hysteresis"]
    state, on = cold(STATE), 0
    state["regime"] = QUIET
    for i, case in enumerate(reference["trace"], start=1):
        on = latch(on, case["score"], reference["enter"], reference["exit"])
        settle(state, VOLATILE if on else QUIET, ns(i), float(reference["min_dwell"]))
        assert (state["regime"] == VOLATILE) == (case["state"] == "VOL"), i


def test_ratios_by_hand() -> None:
    ring = np.array([1.0, -1.0] * 10)
    assert efficiency_ratio(ring, 20, 20) == (0.0, 0.0)
    assert efficiency_ratio(np.ones(20), 20, 10) == (1.0, 10.0)
    assert variance_ratio(ring, 20, 20, 2)[0] == 0.0  # every pair of returns cancels
    assert np.isnan(variance_ratio(ring, 3, 20, 2)[0])


@given(st.floats(1e-3, 1e3), st.integers(0, 30))
def test_the_regime_does_not_depend_on_the_unit_of_returns(scale: float, seed: int) -> None:
    returns = autoregressive(seed, 100, 0.3)
    assert walk(cold(STATE), returns) == walk(cold(STATE), returns * scale)


@given(st.integers(0, 200))
def test_scores_stay_in_bounds(seed: int) -> None:
    state = cold(STATE)
    rng = np.random.default_rng(seed)
    walk(state, rng.standard_t(2, 120) * 1e-4)
    assert 0.0 <= state["loud"] <= 1.0
    assert 0.0 <= state["efficiency_ratio"] <= 1.0
    assert state["variance_ratio"] >= 0.0


def test_it_is_unknown_until_a_minute_of_samples() -> None:
    state = cold(STATE)
    regimes = walk(state, gaussian(1, 80))
    assert set(regimes[:58]) == {UNKNOWN}
    assert regimes[-1] == QUIET
    assert is_warm(state, CONFIG, ns(80))
    assert not is_warm(state, CONFIG, ns(80 + CONFIG.forget_s + 1))


def test_a_random_walk_is_mostly_quiet() -> None:
    regimes = [each for seed in range(5) for each in walk(cold(STATE), gaussian(seed, 600))[60:]]
    assert regimes.count(QUIET) / len(regimes) > 0.75
    assert regimes.count(VOLATILE) / len(regimes) < 0.05


def test_a_tripled_volatility_is_volatile_within_half_a_minute_and_ends() -> None:
    state = cold(STATE)
    walk(state, gaussian(1, 600))
    loud = walk(state, gaussian(2, 120, sigma=27e-5), start_s=600)
    assert VOLATILE in loud[:30]
    assert loud[-1] == VOLATILE
    assert walk(state, gaussian(3, 200), start_s=720)[-1] != VOLATILE


@pytest.mark.parametrize(("sign", "regime"), [(1.0, TRENDING_UP), (-1.0, TRENDING_DOWN)])
def test_a_persistent_move_is_a_trend_of_its_direction(sign: float, regime: int) -> None:
    state = cold(STATE)
    walk(state, gaussian(1, 200))
    regimes = walk(state, sign * (np.abs(autoregressive(4, 120, 0.4)) * 0.7 + 3e-5), start_s=200)
    assert regimes[-1] == regime


@pytest.mark.parametrize("deviations", [100.0, -100.0])
def test_a_lone_jump_is_no_trend(deviations: float) -> None:
    named = 0
    for seed in range(20):
        returns = gaussian(seed, 400)
        calm = walk(cold(STATE), returns)[300:380]
        returns[300] += deviations * 9e-5
        jumped = walk(cold(STATE), returns)[300:380]
        trends = {TRENDING_UP, TRENDING_DOWN}
        named += bool(trends & set(jumped)) and not trends & set(calm)
    assert named <= 4  # some were about to


def test_a_bouncing_price_is_mean_reverting() -> None:
    assert walk(cold(STATE), autoregressive(4, 300, -0.5))[-1] == MEAN_REVERTING


def test_a_regime_lasts_for_its_dwell() -> None:
    rng = np.random.default_rng(7)
    state = cold(STATE)
    regimes = walk(state, rng.standard_t(3, 2000) * 1e-4 * (1.0 + 3.0 * (np.arange(2000) // 45 % 2)))
    changes = np.flatnonzero(np.diff(regimes))
    assert len(changes) > 10
    assert np.diff(changes).min() >= CONFIG.dwell_s


def test_older_and_denser_prices_are_ignored_and_a_silence_gives_no_return() -> None:
    state = cold(STATE)
    walk(state, gaussian(1, 100))
    before = state.copy()
    for at_s in (100.0, 100.5, 50.0):
        assert not update(state, CONFIG, ns(at_s), 5.0)
    assert state == before
    assert not update(state, CONFIG, ns(100 + CONFIG.max_gap_s + 1), 5.0)
    assert state["count"] == before["count"]
    assert state["regime"] == before["regime"]


def test_after_a_long_silence_it_is_unknown_again() -> None:
    state = cold(STATE)
    walk(state, gaussian(1, 100))
    update(state, CONFIG, ns(100 + CONFIG.forget_s + 1), 11.0)
    assert state["regime"] == UNKNOWN


def test_a_history_makes_it_warm_at_once_and_counts_once() -> None:
    state = cold(STATE)
    walk(state, gaussian(1, 3))
    seconds = np.arange(START_S - 120, START_S)
    prices = 80_000.0 * np.exp(np.cumsum(gaussian(2, 120)))
    assert replace_with_history(state, CONFIG, seconds, prices)
    assert is_warm(state, CONFIG, ns(5)) or state["anchor_ns"] == 0
    assert state["count"] == 119
    assert not replace_with_history(state, CONFIG, seconds, prices)
    update(state, CONFIG, ns(4), 20.0)  # the venue's level is its own: no return from the oracle's
    assert state["count"] == 119
    assert is_warm(state, CONFIG, ns(5))

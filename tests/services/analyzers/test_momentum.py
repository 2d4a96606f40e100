from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.momentum import STATE, Config, drift, read, rebase, score, update
from tests.services.analyzers.fixtures import cold, ns, vectors

CONFIG = Config()


def test_drift_and_score_agree_with_the_reference() -> None:
    sigma = 8.903621732722671e-05
    for case in vectors("fees_hedging.json")["momentum"]:
        distance = case["ewma_fast_minus_slow_bp"] * 1e-4
        fast_s, slow_s = case["fast_tau_s"], case["slow_tau_s"]
        assert drift(distance, fast_s, slow_s) == pytest.approx(case["drift_per_s"])
        assert score(distance, sigma, fast_s, slow_s) == pytest.approx(case["z_score"], rel=1e-9)


@given(st.floats(-1e-4, 1e-4), st.floats(0.3, 5.0))
def test_on_a_straight_line_the_drift_is_its_slope(slope: float, step_s: float) -> None:
    state = cold(STATE)
    for i in range(round(900 / step_s)):
        update(state, CONFIG, ns(i * step_s), slope * i * step_s)
    assert read(state, CONFIG, 9e-5)[0] == pytest.approx(slope, rel=1e-3, abs=1e-12)


def test_on_a_random_walk_the_score_is_standard_normal() -> None:
    scores = []
    rng = np.random.default_rng(1)
    state, level = cold(STATE), 0.0
    for i in range(40_000):
        level += 9e-5 * rng.standard_normal()
        update(state, CONFIG, ns(i), level)
        if i > 500 and i % 60 == 0:
            scores.append(read(state, CONFIG, 9e-5)[1])
    assert np.std(scores) == pytest.approx(1.0, abs=0.12)
    assert np.mean(scores) == pytest.approx(0.0, abs=0.15)


def test_a_silence_ends_the_momentum() -> None:
    state = cold(STATE)
    for i in range(60):
        update(state, CONFIG, ns(i), 1e-4 * i)
    update(state, CONFIG, ns(60 + CONFIG.max_gap_s + 1), 1.0)
    assert read(state, CONFIG, 9e-5) == (0.0, 0.0)


def test_another_source_changes_the_level_but_not_the_momentum() -> None:
    state = cold(STATE)
    for i in range(60):
        update(state, CONFIG, ns(i), 1e-4 * i)
    before = read(state, CONFIG, 9e-5)
    rebase(state, ns(60), 0.5)
    assert read(state, CONFIG, 9e-5) == pytest.approx(before)


def test_older_and_denser_prices_are_ignored() -> None:
    state = cold(STATE)
    update(state, CONFIG, ns(0), 0.0)
    update(state, CONFIG, ns(1), 1e-4)
    before = state.copy()
    for at_s in (0.5, 1.0, 1.1):
        assert not update(state, CONFIG, ns(at_s), 5.0)
    assert state == before


def test_without_a_volatility_the_score_is_zero() -> None:
    assert score(1e-4, 0.0, 10.0, 60.0) == 0.0

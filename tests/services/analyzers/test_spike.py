from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.spike import STATE, Config, until_ns, update
from shared.kernel import Record
from tests.services.analyzers.fixtures import cold, ns, vectors

CONFIG = Config()
SIGMA = 9e-5


def calm(state: Record, seconds: float, *, start_s: float = 0.0, sigma: float = SIGMA) -> None:
    for i in range(round(seconds * 4) + 1):
        update(state, CONFIG, ns(start_s + i / 4), 0.0, sigma)


def test_the_alarm_follows_the_reference_step_by_step() -> None:
    reference = vectors("spike_detector.json")
    config = CONFIG._replace(
        enter=reference["enter"], exit_at=reference["exit"], cooldown_s=reference["cooldown_s"], floor=0.0
    )
    state = cold(STATE)
    for at_s, price, case in zip(reference["times"], reference["prices"], reference["cases"], strict=True):
        on = update(state, config, ns(at_s), math.log(price), reference["sigma_sec"])
        assert on == case["spike"], at_s
        assert abs(state["score"] - case["z"]) < 1e-6


def test_a_move_of_six_standard_deviations_alarms_for_the_cool_down() -> None:
    state = cold(STATE)
    calm(state, 5)
    assert update(state, CONFIG, ns(5.1), 6 * SIGMA, SIGMA)
    assert until_ns(state, CONFIG) == ns(8.1)
    assert update(state, CONFIG, ns(8.0), 6 * SIGMA, SIGMA)
    assert not update(state, CONFIG, ns(8.2), 6 * SIGMA, SIGMA)
    assert until_ns(state, CONFIG) == 0


def test_a_slow_move_of_the_same_size_does_not() -> None:
    state = cold(STATE)
    for i in range(100):
        assert not update(state, CONFIG, ns(i / 10), 6 * SIGMA * i / 100, SIGMA)


def test_a_move_below_the_floor_does_not_alarm_in_a_dead_market() -> None:
    state = cold(STATE)
    calm(state, 5, sigma=1e-6)
    assert not update(state, CONFIG, ns(5.1), 1e-4, 1e-6)
    assert update(state, CONFIG, ns(5.2), 3e-4, 1e-6)


def test_a_new_trigger_extends_the_alarm() -> None:
    state = cold(STATE)
    calm(state, 5)
    update(state, CONFIG, ns(5.1), 6 * SIGMA, SIGMA)
    update(state, CONFIG, ns(7.5), -6 * SIGMA, SIGMA)
    assert until_ns(state, CONFIG) == ns(10.5)


def test_silence_ends_an_alarm_when_the_price_is_seen_to_stand() -> None:
    state = cold(STATE)
    calm(state, 5)
    update(state, CONFIG, ns(5.1), 6 * SIGMA, SIGMA)
    assert not update(state, CONFIG, ns(9.0), state["last_log"], SIGMA)


def test_without_a_volatility_nothing_alarms() -> None:
    state = cold(STATE)
    calm(state, 5, sigma=0.0)
    assert not update(state, CONFIG, ns(5.1), 0.1, 0.0)


def test_an_older_price_is_ignored() -> None:
    state = cold(STATE)
    calm(state, 5)
    before = state.copy()
    assert not update(state, CONFIG, ns(4.0), 1.0, SIGMA)
    assert state == before


def test_a_price_after_a_long_silence_starts_a_new_window() -> None:
    state = cold(STATE)
    calm(state, 5)
    assert not update(state, CONFIG, ns(60), 0.5, SIGMA)


@given(st.lists(st.tuples(st.floats(0.001, 2.0), st.floats(-1e-3, 1e-3)), max_size=120), st.integers(-1000, 1000))
def test_the_alarm_depends_on_neither_date_nor_price_level(steps: list[tuple[float, float]], shift_s: int) -> None:
    one, other = cold(STATE), cold(STATE)
    at_s = 0.0
    for gap_s, level in steps:
        at_s += gap_s
        here = update(one, CONFIG, ns(at_s), level, SIGMA)
        there = update(other, CONFIG, ns(at_s) + shift_s * 10**9, level + 0.25, SIGMA)
        assert here == there or abs(one["score"] - other["score"]) < 1e-9

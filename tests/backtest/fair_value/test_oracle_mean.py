"""The average is made of the right prints, and its offset is found again."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.fair_value.oracle_mean import by_second, calibrate_offset, mean_ending, recomputed_windows
from backtest.fair_value.recordings_io import Stream, load_arnavbhatia
from shared.market import Series
from tests.backtest.fair_value import recordings as made

NS = 1_000_000_000
START = made.DAY_S


def stream(prices: dict[int, float]) -> Stream:
    stamps = np.array([second * NS for second in prices], np.int64)
    return Stream(stamps, stamps + NS, np.array(list(prices.values())))


def wander(seconds: int, seed: int = 4) -> dict[int, float]:
    return dict(enumerate(made.walk(seconds, seed=seed).tolist(), START))


def test_the_mean_is_of_the_sixty_prints_that_end_at_the_offset() -> None:
    prices = {second: float(second) for second in range(1000)}
    assert mean_ending(prices, 500, offset_s=3) == pytest.approx((438 + 497) / 2)
    assert mean_ending(prices, 500, offset_s=0, lookback_s=1) == 500.0


def test_a_mean_with_missing_prints_needs_leave() -> None:
    prices = {second: 2.0 for second in range(100) if second != 70}
    assert mean_ending(prices, 90, offset_s=3) is None
    assert mean_ending(prices, 90, offset_s=3, at_least=59) == 2.0
    assert mean_ending(prices, 90, offset_s=3, at_least=60) is None


def test_the_last_print_of_a_second_counts() -> None:
    twice = Stream(np.array([5 * NS, 5 * NS]), np.array([6 * NS, 7 * NS]), np.array([1.0, 2.0]))
    assert by_second(twice) == {5: 2.0}


@pytest.mark.parametrize("true_offset_s", [0, 2, 5])
def test_a_known_offset_is_found_with_no_error(true_offset_s: int) -> None:
    prints = wander(400)
    ticks = {
        end: math.fsum(prints[end - true_offset_s - back] for back in range(60)) / 60
        for end in range(START + 80, START + 300)
    }
    fit = calibrate_offset([prints], [ticks])
    assert fit is not None
    assert fit.best_offset_s == true_offset_s
    assert fit.medians_usd[true_offset_s] == pytest.approx(0.0, abs=1e-9)
    assert fit.ticks == 220
    assert fit.skipped == 0
    assert fit.medians_usd[true_offset_s + 1] > 0.1


def test_all_offsets_are_judged_on_the_same_ticks_and_the_others_are_counted() -> None:
    prints = wander(400)
    del prints[START + 200]
    ticks = {end: 80_000.0 for end in range(START + 80, START + 300)}
    fit = calibrate_offset([prints, {}], [ticks, {START: 1.0}], offsets_s=(0, 3))
    assert fit is not None
    assert {len(errors) for errors in fit.errors_usd} == {fit.ticks}
    assert fit.ticks + fit.skipped == 221
    assert fit.skipped == 64  # 200 <= end <= 262, and the session without prints


def test_no_complete_tick_is_no_answer() -> None:
    assert calibrate_offset([{}], [{START: 1.0}]) is None
    assert calibrate_offset([], []) is None


def test_recomputed_windows_settle_on_the_average_at_both_ends_and_a_tie_is_up() -> None:
    rising = {START - 100 + second: 100.0 + (second > 250) for second in range(800)}
    windows, refused = recomputed_windows(stream(rising), Series.parse("btc-5m"), group="g", offset_s=3, at_least=60)
    assert [(window.start_s - START, window.strike, window.is_up) for window in windows] == [
        (0, 100.0, True),
        (300, 101.0, True),
    ]
    assert refused == 2
    falling = {second: -price for second, price in rising.items()}
    down, _ = recomputed_windows(stream(falling), Series.parse("btc-5m"), group="g", offset_s=3, at_least=60)
    assert [window.is_up for window in down] == [False, True]


@pytest.mark.skipif(not made.DATA.is_dir(), reason=f"the recordings are not beside this checkout: {made.DATA}")
def test_the_official_averages_end_three_seconds_before_their_stamp() -> None:
    sessions = load_arnavbhatia(made.DATA / "arnavbhatia1_btc5m_full").sessions
    prints = [by_second(session.oracle) for session in sessions if session.oracle is not None]
    ticks = [by_second(session.ticks) for session in sessions if session.ticks is not None]
    fit = calibrate_offset(prints, ticks)
    assert fit is not None
    assert fit.best_offset_s == 3
    assert fit.ticks >= 30
    assert fit.medians_usd[3] < 0.01

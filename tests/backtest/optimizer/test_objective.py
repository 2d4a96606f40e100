from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.optimizer.objective import CAUTION, resampled_scores, score


def gains_of(pessimistic: list[float], probabilistic: list[float], optimistic: list[float]) -> np.ndarray:
    return np.array([pessimistic, probabilistic, optimistic]).T


def test_the_score_is_the_mean_less_its_standard_error() -> None:
    same = [1.0, 2.0, 3.0, 4.0]
    error = math.sqrt(5.0 / 3.0) / 2.0
    assert score(gains_of(same, same, same)) == pytest.approx(2.5 - CAUTION * error)


def test_the_worse_queue_counts() -> None:
    better, worse = [1.0, 1.0, 1.0], [0.2, 0.2, 0.2]
    assert score(gains_of(better, worse, better)) == pytest.approx(0.2)
    assert score(gains_of(worse, better, better)) == pytest.approx(0.2)


def test_the_optimistic_queue_does_not_count() -> None:
    same = [0.1, 0.3]
    assert score(gains_of(same, same, [9.0, 9.0])) == score(gains_of(same, same, [-9.0, -9.0]))


def test_no_gain_at_all_scores_exactly_zero() -> None:
    assert score(np.zeros((50, 3))) == 0.0


def test_the_same_mean_from_few_periods_scores_less() -> None:
    few = np.tile([[0.0], [1.0]], (5, 3))
    assert score(few) < score(np.tile(few, (10, 1))) < 0.5


def test_one_period_has_no_score() -> None:
    assert math.isnan(score(np.ones((1, 3))))


def test_scores_of_resamples_are_those_of_the_drawn_periods() -> None:
    rng = np.random.default_rng(1)
    gains = rng.normal(5.0, 2.0, size=(30, 4, 3))
    drawn = rng.integers(0, 30, size=(6, 30))
    counts = np.array([np.bincount(each, minlength=30) for each in drawn])
    expected = [[score(gains[each, trial]) for trial in range(4)] for each in drawn]
    assert resampled_scores(gains, counts) == pytest.approx(np.array(expected))


def test_scores_of_resamples_keep_their_digits_far_from_zero() -> None:
    gains = 1e7 + np.random.default_rng(2).normal(size=(40, 1, 3))
    counts = np.ones((1, 40), dtype=np.int64)
    assert resampled_scores(gains, counts)[0, 0] - 1e7 == pytest.approx(score(gains[:, 0]) - 1e7, abs=1e-6)

"""How a configuration is scored: by what it surely gained over the default, under the worse of two queue models.

A *gain* is what a configuration earned in a period less what the default earned in the same period, in dollars.

    score = min over the judging queue models of  mean(gain) - CAUTION x sd(gain) / sqrt(periods)

Paired, because both meet the same market: what the period did to both cancels, and the rest tells configurations apart
with far fewer periods. Less its standard error, because with few periods the largest mean is mostly the luckiest: a
configuration must earn its distance from the default, which itself scores exactly 0. The worse of the pessimistic and
the probabilistic queue, because nobody knows the place in the queue: a gain that needs a good place is not one. The
optimistic queue is an upper bound, never a reason.
"""

from __future__ import annotations

import math

import numpy as np

from backtest.optimizer.evaluate import JUDGES, FloatArray, IntArray

CAUTION = 1.0  # standard errors: the mean is at least this much with a chance of about 84 %


def score(gains: FloatArray) -> float:
    """The score of gains, periods x queue models, in dollars a period. NaN under two periods."""
    periods = len(gains)
    if periods < 2:
        return math.nan
    judged = gains[:, JUDGES]
    return float(np.min(judged.mean(axis=0) - CAUTION * judged.std(axis=0, ddof=1) / math.sqrt(periods)))


def resampled_scores(gains: FloatArray, counts: IntArray) -> FloatArray:
    """The scores of many configurations on resampled periods: resamples x configurations.

    `gains` is periods x configurations x queue models; `counts` (resamples x periods) says how often each period is in
    a resample, and each row of it sums to the same number, at least 2.
    """
    worst = np.full((len(counts), gains.shape[1]), np.inf)
    weights = counts.astype(np.float64)
    drawn = float(weights[0].sum())
    for judge in JUDGES:
        center = gains[:, :, judge].mean(axis=0)
        moved = gains[:, :, judge] - center
        mean = weights @ moved / drawn
        variance = np.maximum(weights @ (moved * moved) - drawn * mean * mean, 0.0) / (drawn - 1.0)
        np.minimum(worst, center + mean - CAUTION * np.sqrt(variance / drawn), out=worst)
    return worst

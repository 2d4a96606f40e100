"""Scores of probabilities, clustered by period: one period is one unit, however many instants of it were scored.

A period's score is the mean over its instants; a group's score is the mean over its periods; intervals are percentile
bootstraps over periods (drawn with replacement, seeded). Neighboring rows of one period share one outcome and would
make any interval that takes them as independent far too narrow.

Log-loss and logits take probabilities between `FLOOR` and 1 - `FLOOR`, the finest tick of the venue, for every
competitor alike: no price exists beyond. The Brier score takes them as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FLOOR = 0.001
RESAMPLES = 4000
SLOPE_RESAMPLES = 400
SEED = 20261123
PERIODS_FOR_INTERVAL = 5
_COVERAGE = (2.5, 97.5)
_Z_95 = 1.959963984540054
_NEWTON_STEPS, _FLAT, _LONGEST_STEP = 60, 1e-7, 50.0
_ROUNDING = 1e-12  # relative: near the minimum the loss no longer tells a better line from a worse one
_MOST_FAILED = 0.1  # share of resamples without an answer beyond which an interval is none


class Estimate(NamedTuple):
    """A number with its 95 % interval (None: too few periods to say) and how many periods it rests on."""

    mean: float
    low: float | None
    high: float | None
    periods: int


class Line(NamedTuple):
    """outcome ~ logit^-1(intercept + slope logit p). A slope below 1: over-confident; above 1: under-confident."""

    intercept: float
    slope: float


class Bin(NamedTuple):
    """One step of a reliability diagram; the interval is Wilson's, with the number of distinct periods as its n."""

    mean_said: float
    frequency: float
    low: float
    high: float
    rows: int
    periods: int


def bounded(probabilities: Floats) -> Floats:
    """Within [FLOOR, 1 - FLOOR]."""
    return np.clip(probabilities, FLOOR, 1.0 - FLOOR)


def logit(probabilities: Floats) -> Floats:
    """ln(p / (1 - p)), of bounded probabilities."""
    kept = bounded(probabilities)
    log_odds: Floats = np.log(kept) - np.log1p(-kept)
    return log_odds


def expit(logits: Floats) -> Floats:
    """The inverse of the logit."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def brier(probabilities: Floats, is_up: Floats) -> Floats:
    """(p - outcome)^2 of each row."""
    return (probabilities - is_up) ** 2


def log_loss(probabilities: Floats, is_up: Floats) -> Floats:
    """-ln of the probability given to what came, of each row."""
    kept = bounded(probabilities)
    losses: Floats = -(is_up * np.log(kept) + (1.0 - is_up) * np.log1p(-kept))
    return losses


def period_weights(periods: Integers) -> Floats:
    """A weight for each row, so that every period weighs 1."""
    _, at, counts = np.unique(periods, return_inverse=True, return_counts=True)
    return 1.0 / counts[at]


def period_means(scores: Floats, periods: Integers) -> Floats:
    """The mean score of each period, in order of the periods' numbers."""
    _, at, counts = np.unique(periods, return_inverse=True, return_counts=True)
    return np.bincount(at, weights=scores) / counts


def estimate(scores: Floats, periods: Integers) -> Estimate | None:
    """Mean over periods of their mean scores, with a bootstrap interval; None without rows.

    No interval below `PERIODS_FOR_INTERVAL`: redrawing two or three outcomes says nothing about others.
    """
    if not len(scores):
        return None
    means = period_means(scores, periods)
    n = len(means)
    if n < PERIODS_FOR_INTERVAL:
        return Estimate(float(means.mean()), None, None, n)
    draws = np.random.default_rng(SEED).integers(0, n, (RESAMPLES, n))
    low, high = np.percentile(means[draws].mean(axis=1), _COVERAGE)
    return Estimate(float(means.mean()), float(low), float(high), n)


def fit_line(probabilities: Floats, is_up: Floats, weights: Floats) -> Line | None:
    """Weighted logistic regression of the outcome on the logit, by Newton's method.

    None when there is no finite answer: all outcomes alike, or separated by the probability.
    """
    found = _fit_lines(logit(probabilities), is_up, weights[None, :])[0]
    return None if math.isnan(found[1]) else Line(float(found[0]), float(found[1]))


def slope_estimate(probabilities: Floats, is_up: Floats, periods: Integers) -> Estimate | None:
    """The calibration slope with a bootstrap interval over periods; None when there is no finite slope.

    No interval with few periods, or when more than a tenth of the resamples have no slope.
    """
    weights = period_weights(periods)
    line = fit_line(probabilities, is_up, weights)
    if line is None:
        return None
    names, at = np.unique(periods, return_inverse=True)
    n = len(names)
    if n < PERIODS_FOR_INTERVAL:
        return Estimate(line.slope, None, None, n)
    random = np.random.default_rng(SEED)
    copies = random.multinomial(n, np.full(n, 1.0 / n), size=SLOPE_RESAMPLES)
    slopes = _fit_lines(logit(probabilities), is_up, copies[:, at] * weights)[:, 1]
    kept = slopes[np.isfinite(slopes)]
    if len(kept) < (1.0 - _MOST_FAILED) * SLOPE_RESAMPLES:
        return Estimate(line.slope, None, None, n)
    low, high = np.percentile(kept, _COVERAGE)
    return Estimate(line.slope, float(low), float(high), n)


def _fit_lines(logits: Floats, is_up: Floats, weights: Floats) -> Floats:
    """(intercept, slope) for each row of weights, by Newton's method with steps cut until the loss falls.

    NaN where the loss has no minimum: a line tells all outcomes apart, or the gradient does not vanish.
    """
    signs = 2.0 * is_up - 1.0
    answers = np.full((len(weights), 2), math.nan)
    open_rows = np.arange(len(weights))
    lines: Floats = np.tile([0.0, 1.0], (len(weights), 1))
    share: Floats = np.ones(len(weights))
    for _ in range(_NEWTON_STEPS):
        own = weights[open_rows]
        said = expit(lines[:, :1] + lines[:, 1:] * logits)
        residual, curvature = own * (is_up - said), own * said * (1.0 - said)
        gradient = np.stack([residual.sum(axis=1), residual @ logits], axis=1)
        # A line that tells all outcomes apart would be better still when steeper, without end.
        is_separated = ((signs * (said - 0.5) > 0.0) | (own == 0.0)).all(axis=1)
        is_flat = np.abs(gradient).max(axis=1) < _FLAT
        answers[open_rows[is_flat & ~is_separated]] = lines[is_flat & ~is_separated]
        kept = ~is_flat & ~is_separated
        if not kept.any():
            break
        open_rows, lines, share, own = open_rows[kept], lines[kept], share[kept], own[kept]
        gradient, curvature = gradient[kept], curvature[kept]
        a, b, c = curvature.sum(axis=1), curvature @ logits, curvature @ logits**2
        determinant = np.maximum(a * c - b * b, np.finfo(float).tiny)
        move: Floats = np.stack(
            [c * gradient[:, 0] - b * gradient[:, 1], a * gradient[:, 1] - b * gradient[:, 0]], axis=1
        )
        with np.errstate(over="ignore"):  # a flat loss asks for any step at all: cut here
            move = np.clip(move / determinant[:, None], -_LONGEST_STEP, _LONGEST_STEP)
        tried = lines + share[:, None] * move
        most = _line_losses(lines, logits, signs, own) * (1.0 + _ROUNDING)
        is_better = _line_losses(tried, logits, signs, own) <= most
        np.copyto(lines, tried, where=is_better[:, None])
        share = np.where(is_better, np.minimum(2.0 * share, 1.0), 0.25 * share)
    return answers


def _line_losses(lines: Floats, logits: Floats, signs: Floats, weights: Floats) -> Floats:
    """Weighted log-loss of each line: the sum of ln(1 + exp(-sign (intercept + slope logit)))."""
    margins = signs * (lines[:, :1] + lines[:, 1:] * logits)
    losses = np.log1p(np.exp(-np.abs(margins))) - np.minimum(margins, 0.0)
    return np.asarray((weights * losses).sum(axis=1))


def reliability(probabilities: Floats, is_up: Floats, periods: Integers, *, bins: int = 10) -> list[Bin]:
    """What was said against how often it came, in steps of equal length; empty steps are left out."""
    places = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    diagram = []
    for place in range(bins):
        chosen = places == place
        if not chosen.any():
            continue
        n = len(np.unique(periods[chosen]))
        frequency = float(is_up[chosen].mean())
        low, high = wilson(frequency, n)
        diagram.append(Bin(float(probabilities[chosen].mean()), frequency, low, high, int(chosen.sum()), n))
    return diagram


def wilson(frequency: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a frequency seen in n independent trials."""
    spread = _Z_95**2 / n
    centre = (frequency + spread / 2.0) / (1.0 + spread)
    half = _Z_95 / (1.0 + spread) * math.sqrt(frequency * (1.0 - frequency) / n + spread / (4.0 * n))
    return max(centre - half, 0.0), min(centre + half, 1.0)


# -- the blend ---------------------------------------------------------------------------------------------------------


def blend(model: Floats, mid: Floats, model_weight: float) -> Floats:
    """logit p = w logit p_model + (1 - w) logit p_mid."""
    return expit(model_weight * logit(model) + (1.0 - model_weight) * logit(mid))


def fit_blend_weight(model: Floats, mid: Floats, is_up: Floats, weights: Floats) -> float:
    """The weight of the model, in [0, 1], with the least weighted log-loss (which is convex in it)."""

    def loss(model_weight: float) -> float:
        return float(weights @ log_loss(blend(model, mid, model_weight), is_up))

    found = minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-6})
    ends: Sequence[float] = (0.0, 1.0, float(found.x))
    return min(ends, key=loss)


def blend_leaving_one_out(
    model: Floats, mid: Floats, is_up: Floats, periods: Integers
) -> tuple[Floats, list[float]] | None:
    """The blend of each period with the weight fitted on all others, and those weights; None with one period."""
    names = np.unique(periods)
    if len(names) < 2:
        return None
    blended = np.zeros_like(model)
    fitted = []
    for name in names:
        own = periods == name
        rest = ~own
        model_weight = fit_blend_weight(model[rest], mid[rest], is_up[rest], period_weights(periods[rest]))
        blended[own] = blend(model[own], mid[own], model_weight)
        fitted.append(model_weight)
    return blended, fitted


# -- verdicts ----------------------------------------------------------------------------------------------------------

PERIODS_TO_DECIDE = 30  # with fewer periods a bootstrap interval is too narrow to decide anything


def verdict_not_worse(difference: Estimate | None) -> str:
    """Whether "ours - theirs" (a loss) shows that ours is not worse: `holds`, `fails` or `cannot decide`."""
    if difference is None or difference.low is None or difference.high is None:
        return "cannot decide"
    if difference.periods < PERIODS_TO_DECIDE:
        return "cannot decide"
    if difference.high <= 0.0:
        return "holds"
    return "fails" if difference.low > 0.0 else "cannot decide"

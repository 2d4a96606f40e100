"""Scores agree with closed forms, periods are the unit, and known parameters are found again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.fair_value.scoring import (
    FLOOR,
    Estimate,
    blend,
    blend_leaving_one_out,
    brier,
    estimate,
    expit,
    fit_blend_weight,
    fit_line,
    log_loss,
    logit,
    period_means,
    period_weights,
    reliability,
    slope_estimate,
    verdict_not_worse,
    wilson,
)


def draws(logits: np.ndarray, seed: int = 3) -> np.ndarray:
    return (np.random.default_rng(seed).random(len(logits)) < expit(logits)).astype(float)


def test_the_scores_are_their_formulas() -> None:
    said, came = np.array([0.8, 0.3]), np.array([1.0, 0.0])
    assert brier(said, came) == pytest.approx([0.04, 0.09])
    assert log_loss(said, came) == pytest.approx([-math.log(0.8), -math.log(0.7)])


def test_a_wrong_certainty_costs_what_the_finest_tick_costs() -> None:
    assert log_loss(np.array([1.0]), np.array([0.0])) == pytest.approx([-math.log(FLOOR)])
    assert brier(np.array([1.0]), np.array([0.0])) == [1.0]


@given(st.floats(min_value=0.002, max_value=0.998))
def test_logit_and_its_inverse_undo_each_other(probability: float) -> None:
    assert expit(logit(np.array([probability])))[0] == pytest.approx(probability, abs=1e-12)


def test_a_period_is_one_unit_however_many_rows_it_has() -> None:
    scores, periods = np.array([1.0, 3.0, 10.0]), np.array([7, 7, 9])
    assert period_means(scores, periods).tolist() == [2.0, 10.0]
    assert period_weights(periods).tolist() == [0.5, 0.5, 1.0]
    repeated = np.random.default_rng(1).normal(size=40)
    single, many = estimate(repeated, np.arange(40)), estimate(np.repeat(repeated, 50), np.repeat(np.arange(40), 50))
    assert single is not None
    assert many is not None
    assert many == pytest.approx(single)  # fifty copies of each row make nothing more certain


def test_an_interval_covers_as_the_normal_one_does_and_is_the_same_twice() -> None:
    numbers = np.random.default_rng(2).normal(5.0, 2.0, 400)
    found, again = estimate(numbers, np.arange(400)), estimate(numbers, np.arange(400))
    assert found == again
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    half = 1.96 * numbers.std() / 20.0
    assert found.low == pytest.approx(numbers.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(numbers.mean() + half, abs=0.1 * half)


def test_a_few_periods_have_a_mean_and_no_interval() -> None:
    assert estimate(np.array([1.0, 2.0]), np.array([0, 1])) == Estimate(1.5, None, None, 2)
    assert estimate(np.array([]), np.array([], np.int64)) is None


def test_calibrated_draws_have_slope_one_and_intercept_zero() -> None:
    logits = np.random.default_rng(5).normal(0.0, 1.5, 20_000)
    line = fit_line(expit(logits), draws(logits), np.ones(20_000))
    assert line is not None
    assert line.slope == pytest.approx(1.0, abs=0.05)
    assert line.intercept == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("confidence", [0.5, 2.0])
def test_over_confidence_is_a_slope_below_one(confidence: float) -> None:
    logits = np.random.default_rng(6).normal(0.0, 1.0, 5000)
    said = expit(confidence * logits)
    found = slope_estimate(said, draws(logits), np.arange(5000))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < 1.0 / confidence < found.high
    assert found.mean == pytest.approx(1.0 / confidence, rel=0.12)


def test_a_slope_is_where_the_score_equations_vanish() -> None:
    logits = np.random.default_rng(7).normal(0.0, 1.0, 300)
    came, weights = draws(logits), np.random.default_rng(8).random(300)
    line = fit_line(expit(logits), came, weights)
    assert line is not None
    residual = weights * (came - expit(line.intercept + line.slope * logits))
    assert residual.sum() == pytest.approx(0.0, abs=1e-6)
    assert residual @ logits == pytest.approx(0.0, abs=1e-6)


def test_separated_or_equal_outcomes_have_no_slope() -> None:
    said = np.array([0.1, 0.2, 0.7, 0.9])
    assert fit_line(said, np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4)) is None
    assert fit_line(said, np.ones(4), np.ones(4)) is None
    assert slope_estimate(said, np.ones(4), np.arange(4)) is None


@pytest.mark.parametrize("true_weight", [0.25, 0.7])
def test_the_blend_recovers_a_known_weight(true_weight: float) -> None:
    random = np.random.default_rng(9)
    model, mid = expit(random.normal(0.0, 1.5, 40_000)), expit(random.normal(0.0, 1.5, 40_000))
    came = draws(true_weight * logit(model) + (1.0 - true_weight) * logit(mid))
    assert fit_blend_weight(model, mid, came, np.ones(40_000)) == pytest.approx(true_weight, abs=0.03)


def test_a_useless_mid_gets_no_weight_and_a_useless_model_gets_none() -> None:
    logits = np.random.default_rng(10).normal(0.0, 2.0, 4000)
    came, timid, against = draws(logits), expit(0.5 * logits), expit(-0.5 * logits)
    assert fit_blend_weight(timid, against, came, np.ones(4000)) == 1.0
    assert fit_blend_weight(against, timid, came, np.ones(4000)) == 0.0


def test_the_blend_of_a_period_does_not_see_its_own_outcome() -> None:
    random = np.random.default_rng(12)
    model, mid = expit(random.normal(size=60)), expit(random.normal(size=60))
    periods = np.repeat(np.arange(12), 5)
    came = np.repeat(random.integers(0, 2, 12), 5).astype(float)
    first = blend_leaving_one_out(model, mid, came, periods)
    turned = came.copy()
    turned[periods == 4] = 1.0 - turned[periods == 4]
    second = blend_leaving_one_out(model, mid, turned, periods)
    assert first is not None
    assert second is not None
    assert first[0][periods == 4].tolist() == second[0][periods == 4].tolist()
    assert first[1][4] == second[1][4]
    assert first[1] != second[1]
    assert blend_leaving_one_out(model, mid, came, np.zeros(60, np.int64)) is None


def test_the_blend_lies_between_its_parts() -> None:
    model, mid = np.array([0.2, 0.9]), np.array([0.6, 0.5])
    halfway = blend(model, mid, 0.5)
    assert np.all((np.minimum(model, mid) < halfway) & (halfway < np.maximum(model, mid)))
    assert blend(model, mid, 1.0) == pytest.approx(model)


def test_reliability_counts_periods_not_rows() -> None:
    said, came = np.array([0.05, 0.06, 0.95, 0.96]), np.array([0.0, 0.0, 1.0, 0.0])
    low, high = reliability(said, came, np.array([0, 0, 1, 2]))
    assert (low.rows, low.periods, low.frequency) == (2, 1, 0.0)
    assert (high.rows, high.periods, high.frequency) == (2, 2, 0.5)
    assert high.mean_said == pytest.approx(0.955)
    assert high.low == pytest.approx(wilson(0.5, 2)[0])


def test_wilson_is_the_published_interval() -> None:
    low, high = wilson(0.0, 10)  # 0 of 10: 0 to z^2 / (n + z^2)
    assert low == 0.0
    assert high == pytest.approx(1.959963984540054**2 / (10 + 1.959963984540054**2))


def test_a_verdict_needs_its_whole_interval_and_enough_periods() -> None:
    assert verdict_not_worse(Estimate(-0.1, -0.2, -0.01, 200)) == "holds"
    assert verdict_not_worse(Estimate(0.1, 0.01, 0.2, 200)) == "fails"
    assert verdict_not_worse(Estimate(-0.1, -0.2, 0.01, 200)) == "cannot decide"
    assert verdict_not_worse(Estimate(-0.1, -0.2, -0.01, 29)) == "cannot decide"
    assert verdict_not_worse(Estimate(-0.1, None, None, 2)) == "cannot decide"
    assert verdict_not_worse(None) == "cannot decide"


def test_near_certainty_still_has_a_slope_when_one_sure_call_was_wrong() -> None:
    said = np.concatenate([np.full(40, 0.001), np.full(40, 0.999), [0.7, 0.6, 0.97, 0.98]])
    came = np.concatenate([np.zeros(40), np.ones(40), [0.0, 1.0, 0.0, 1.0]])
    line = fit_line(said, came, np.ones(84))
    assert line is not None
    residual = came - expit(line.intercept + line.slope * logit(said))
    assert residual.sum() == pytest.approx(0.0, abs=1e-6)
    assert residual @ logit(said) == pytest.approx(0.0, abs=1e-6)

"""Intervals cover, Sharpe ratios are deflated as published, and splits never look at what they judge."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.statistics import (
    Sharpe,
    deflated_sharpe,
    expected_max_sharpe,
    mean_interval,
    min_backtest_length,
    min_track_record,
    overfitting,
    paired_difference,
    probabilistic_sharpe,
    purged_folds,
    sharpe_of,
    walk_forward,
)
from tests.shared.test_digital import vectors

SECOND = 1_000_000_000


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# -- intervals


def test_an_interval_is_the_same_for_the_same_seed_and_holds_the_mean() -> None:
    pnl = draws(1).normal(0.5, 2.0, 200)
    first, second = (mean_interval(pnl, rng=draws(), resamples=999) for _ in range(2))
    assert first == second
    assert first is not None
    assert first.mean_usd == pytest.approx(pnl.mean())
    assert first.low_usd < first.mean_usd < first.high_usd
    assert first.total_usd == pytest.approx(pnl.sum())
    assert first.total_low_usd == pytest.approx(200 * first.low_usd)
    assert first.total_high_usd == pytest.approx(200 * first.high_usd)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_an_interval_covers_as_often_as_it_says(method: str) -> None:
    held = 0
    for seed in range(200):
        pnl = draws(seed).normal(1.0, 3.0, 50)
        found = mean_interval(pnl, rng=draws(seed), confidence=0.9, resamples=499, method=method)  # type: ignore[arg-type]
        assert found is not None
        held += found.low_usd <= 1.0 <= found.high_usd
    assert 0.84 <= held / 200 <= 0.96


def test_a_skewed_profit_has_an_interval_that_reaches_farther_to_its_tail() -> None:
    found = mean_interval(draws(3).exponential(1.0, 60), rng=draws(), resamples=1999)
    assert found is not None
    assert found.high_usd - found.mean_usd > found.mean_usd - found.low_usd


def test_too_few_or_equal_periods_have_no_interval() -> None:
    assert mean_interval(np.array([1.0]), rng=draws()) is None
    equal = mean_interval(np.full(5, 2.0), rng=draws())
    assert equal is not None
    assert equal.mean_usd == 2.0
    assert math.isnan(equal.low_usd)


def test_a_paired_difference_sees_through_what_both_runs_share() -> None:
    shared = draws(4).normal(0.0, 50.0, 100)
    better = shared + 0.5 + draws(5).normal(0.0, 1.0, 100)
    found = paired_difference(better, shared, rng=draws(), resamples=1999)
    assert found is not None
    assert found.estimate.low_usd > 0.0
    assert found.p_value < 0.01
    reverse = paired_difference(shared, better, rng=draws(), resamples=1999)
    assert reverse is not None
    assert reverse.estimate.mean_usd == pytest.approx(-found.estimate.mean_usd)


def test_a_small_paired_test_counts_every_swap() -> None:
    # the observed signs and their mirror are the only ones as extreme: 2 of 2^5
    found = paired_difference(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.zeros(5), rng=draws())
    assert found is not None
    assert found.p_value == pytest.approx(2.0 / 32.0)


def test_equal_runs_do_not_differ_and_unequal_lengths_are_refused() -> None:
    found = paired_difference(np.arange(6.0), np.arange(6.0), rng=draws())
    assert found is not None
    assert (found.estimate.mean_usd, found.p_value) == (0.0, 1.0)
    with pytest.raises(ValueError, match="same periods"):
        paired_difference(np.zeros(3), np.zeros(4), rng=draws())
    assert paired_difference(np.zeros(1), np.zeros(1), rng=draws()) is None


# -- Sharpe ratios


def test_sharpe_ratios_are_deflated_as_published() -> None:
    published = vectors("backtest_stats.json")["published"]
    paper = published[0]
    inputs = paper["inputs"]
    annual = math.sqrt(inputs["periods"])
    variance = inputs["var_sr_ann"] / inputs["periods"]
    observed = Sharpe(inputs["sr_ann"] / annual, inputs["skew"], inputs["kurt"], inputs["T"])
    assert expected_max_sharpe(100, variance=variance) == pytest.approx(paper["computed"]["SR0"], rel=1e-10)
    assert deflated_sharpe(observed, trials=100, trial_variance=variance) == pytest.approx(
        paper["computed"]["DSR"], rel=1e-10
    )
    assert deflated_sharpe(observed, trials=46, trial_variance=variance) == pytest.approx(
        published[1]["computed"]["DSR"], rel=1e-10
    )
    normal = Sharpe(observed.ratio, 0.0, 3.0, observed.periods)
    assert deflated_sharpe(normal, trials=88, trial_variance=variance) == pytest.approx(
        published[2]["computed"]["DSR"], rel=1e-10
    )
    for case in published[3:5]:
        given_ = case["inputs"]
        skewness, kurtosis = given_["skew"], given_["kurt"]
        monthly = Sharpe(given_["sr"], skewness, kurtosis, given_["T"])
        assert probabilistic_sharpe(monthly) == pytest.approx(case["computed"]["PSR0"], rel=1e-10)
        assert probabilistic_sharpe(monthly) == pytest.approx(case["published"]["PSR0"], abs=5e-4)
    assert min_backtest_length(45, sharpe=1.0) == pytest.approx(published[5]["computed"]["MinBTL_years"], rel=1e-10)
    assert expected_max_sharpe(10, variance=1.0) == pytest.approx(published[6]["computed"]["Emax"], rel=1e-10)


def test_sharpe_ratios_agree_with_every_case() -> None:
    for case in vectors("backtest_stats.json")["cases"]:
        observed = Sharpe(case["sr"], case["skew"], case["kurt"], case["T"])
        assert expected_max_sharpe(case["N"], variance=case["var_sr"]) == pytest.approx(case["SR0"], rel=1e-10)
        assert probabilistic_sharpe(observed) == pytest.approx(case["PSR0"], rel=1e-10)
        assert deflated_sharpe(observed, trials=case["N"], trial_variance=case["var_sr"]) == pytest.approx(
            case["DSR"], rel=1e-10
        )
        assert min_track_record(observed) == pytest.approx(case["MinTRL_95"], rel=1e-10)


def test_the_ratio_of_a_series_has_the_moments_of_the_series() -> None:
    found = sharpe_of(np.array([1.0, 2.0, 3.0, 6.0]))
    assert found is not None
    assert found.ratio == pytest.approx(3.0 / math.sqrt(14.0 / 3.0))
    assert found.skewness == pytest.approx(4.5 / 3.5**1.5)  # deviations -2, -1, 0, 3
    assert found.kurtosis == pytest.approx(24.5 / 3.5**2)
    assert found.periods == 4
    assert sharpe_of(np.array([1.0])) is None
    assert sharpe_of(np.full(9, 0.3)) is None


def test_as_long_as_the_least_track_record_the_ratio_is_just_believed() -> None:
    observed = Sharpe(0.1, -1.0, 8.0, 0)
    length = min_track_record(observed, benchmark=0.02)
    assert length is not None
    believed = probabilistic_sharpe(observed._replace(periods=length), benchmark=0.02)  # type: ignore[arg-type]
    assert believed == pytest.approx(0.95)
    assert min_track_record(observed, benchmark=0.1) is None


def test_one_trial_is_not_deflated_and_none_is_refused() -> None:
    observed = Sharpe(0.1, 0.0, 3.0, 100)
    assert deflated_sharpe(observed, trials=1, trial_variance=0.1) == probabilistic_sharpe(observed)
    with pytest.raises(ValueError, match="at least one"):
        expected_max_sharpe(0, variance=1.0)
    with pytest.raises(ValueError, match="positive"):
        min_backtest_length(10, sharpe=0.0)
    assert probabilistic_sharpe(Sharpe(0.1, 0.0, 3.0, 1)) is None


# -- overfitting


def test_overfitting_agrees_with_the_enumerated_splits() -> None:
    case = vectors("backtest_stats.json")["pbo"]
    noise = overfitting(np.array(case["noise"]), blocks=case["S"])
    assert len(noise.logits) == case["n_combinations"]
    assert noise.probability == pytest.approx(case["PBO_noise"])
    assert noise.logits[:5] == pytest.approx(case["first5_logits_noise"])
    edge = overfitting(np.array(case["with_edge_col3"]), blocks=case["S"])
    assert edge.probability == pytest.approx(case["PBO_edge"])


def test_the_unit_of_money_and_the_order_of_configurations_do_not_matter() -> None:
    pnl = draws(8).normal(0.0, 1.0, (67, 9))
    found = overfitting(pnl, blocks=8)
    assert overfitting(1e6 * pnl[:, ::-1], blocks=8).logits == pytest.approx(found.logits)


def test_a_configuration_that_never_trades_is_ranked_at_nothing() -> None:
    steady = draws(9).normal(1.0, 0.1, (64, 1))
    pnl = np.hstack([steady, np.zeros((64, 1)), -steady])
    found = overfitting(pnl, blocks=8)
    assert found.probability == 0.0
    assert found.logits == pytest.approx(math.log(0.75 / 0.25))  # best of three, in every split


def test_not_trading_beats_losing() -> None:
    losing = draws(9).normal(-1.0, 0.1, (64, 1))
    found = overfitting(np.hstack([losing, np.zeros((64, 1))]), blocks=8)
    assert found.logits == pytest.approx(math.log(2.0))  # better of two, in every split


def test_a_gain_that_turns_is_worse_than_not_trading() -> None:
    turns = np.concatenate([draws(9).normal(1.0, 0.1, 32), draws(8).normal(-1.0, 0.1, 32)])
    found = overfitting(np.column_stack([turns, np.zeros(64)]), blocks=2)
    assert found.probability == 1.0  # whichever half chooses, the other half would have chosen differently
    assert found.logits == pytest.approx(-math.log(2.0))


def test_equal_configurations_are_a_coin_flip() -> None:
    same = np.repeat(draws(10).normal(0.0, 1.0, (32, 1)), 4, axis=1)
    assert overfitting(same, blocks=4).logits == pytest.approx(0.0)


def test_what_cannot_be_overfitted_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        overfitting(np.zeros((64, 1)))
    with pytest.raises(ValueError, match="even"):
        overfitting(np.zeros((64, 2)), blocks=3)
    with pytest.raises(ValueError, match="two periods a block"):
        overfitting(np.zeros((31, 2)), blocks=16)


# -- splits


def spans() -> tuple[np.ndarray, np.ndarray, int, dict[str, int]]:  # type: ignore[type-arg]
    case = vectors("backtest_stats.json")["purged_cv"]
    start, end = ((np.array(case[name]) * SECOND).astype(np.int64) for name in ("times", "label_end"))
    return start, end, case["k"], {"embargo_ns": round(case["embargo_s"] * SECOND)}


def test_purged_folds_are_the_published_ones() -> None:
    start, end, folds, gaps = spans()
    found = purged_folds(start, end, folds=folds, **gaps)
    expected = vectors("backtest_stats.json")["purged_cv"]["folds"]
    assert [fold.test.tolist() for fold in found] == [fold["test"] for fold in expected]
    assert [fold.train.tolist() for fold in found] == [fold["train"] for fold in expected]


def test_a_walk_forward_is_the_past_of_the_purged_folds() -> None:
    start, end, folds, gaps = spans()
    found = walk_forward(start, end, folds=folds - 1, **gaps)
    purged = purged_folds(start, end, folds=folds, **gaps)[1:]
    assert [fold.test.tolist() for fold in found] == [fold.test.tolist() for fold in purged]
    past = [fold.train[start[fold.train] < start[fold.test[0]]].tolist() for fold in purged]
    assert [fold.train.tolist() for fold in found] == past
    assert past == [[], [0, 1, 2, 3], list(range(8))]


@given(
    lengths=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 900)), min_size=5, max_size=40),
    folds=st.integers(2, 4),
    purge=st.integers(0, 300),
    embargo=st.integers(0, 300),
)
def test_nothing_fitted_on_touches_what_is_judged(
    lengths: list[tuple[int, int]], folds: int, purge: int, embargo: int
) -> None:
    start = np.cumsum([gap for gap, _ in lengths])
    end = start + np.array([length for _, length in lengths])
    for fold in purged_folds(start, end, folds=folds, purge_ns=purge, embargo_ns=embargo):
        first, last = start[fold.test].min(), end[fold.test].max()
        for row in fold.train:
            assert first - end[row] > purge or start[row] - last > embargo
        left_out = set(range(len(start))) - set(fold.train) - set(fold.test)
        assert all(first - end[row] <= purge and start[row] - last <= embargo for row in left_out)
    judged = []
    for fold in walk_forward(start, end, folds=folds, purge_ns=purge, embargo_ns=embargo):
        assert all(start[fold.test[0]] - end[row] > purge + embargo for row in fold.train)
        judged.extend(fold.test.tolist())
    assert judged == list(range(judged[0], len(start)))


def test_rows_that_cannot_be_split_are_refused() -> None:
    start = np.arange(6)
    with pytest.raises(ValueError, match="order of start"):
        purged_folds(start[::-1], start[::-1] + 1, folds=2)
    with pytest.raises(ValueError, match="end after"):
        purged_folds(start, start - 1, folds=2)
    with pytest.raises(ValueError, match="at least one row"):
        walk_forward(start, start + 1, folds=6)
    with pytest.raises(ValueError, match="nothing to fit"):
        purged_folds(start, start + 1, folds=1)
    with pytest.raises(ValueError, match="one of each"):
        purged_folds(start, start[:3], folds=2)

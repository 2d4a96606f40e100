"""How much a backtest's profit can be trusted: intervals, comparisons, Sharpe ratios, overfitting, splits by time.

One period is one observation: its fills share one fate, so only whole periods are resampled, and a Sharpe ratio is the
mean over the standard deviation of the P&L a period, never annualized here.

Source: `reference/quant.md` 11; numbers: `backtest_stats` in `../shared/vectors`.
"""

from __future__ import annotations

import math
from itertools import combinations, islice
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Method = Literal["BCa", "percentile"]

CONFIDENCE = 0.95
RESAMPLES = 9999
_BATCH_NUMBERS = 4_000_000  # drawn at once, to bound the memory
_COMBINATIONS_AT_ONCE = 1024
_EULER = float(np.euler_gamma)


class Estimate(NamedTuple):
    """Mean P&L a period with its interval, in dollars; the bounds are NaN when all periods are equal."""

    periods: int
    mean_usd: float
    low_usd: float
    high_usd: float

    @property
    def total_usd(self) -> float:
        """The mean times the number of periods; its interval is that of the mean times the same."""
        return self.periods * self.mean_usd

    @property
    def total_low_usd(self) -> float:
        """Lower bound of the total."""
        return self.periods * self.low_usd

    @property
    def total_high_usd(self) -> float:
        """Upper bound of the total."""
        return self.periods * self.high_usd


class Difference(NamedTuple):
    """What one run earned more than another in the same periods: mean, interval, two-sided p-value of no difference."""

    estimate: Estimate
    p_value: float


class Sharpe(NamedTuple):
    """An observed Sharpe ratio a period, and what its error depends on. `kurtosis` of a normal is 3."""

    ratio: float
    skewness: float
    kurtosis: float
    periods: int


class Overfitting(NamedTuple):
    """Probability that the best configuration in sample is below the median out of sample; the logit of each split."""

    probability: float
    logits: Floats


class Fold(NamedTuple):
    """Places of the rows to fit on and of those to judge on. `train` is empty when purge and embargo leave none."""

    train: Integers
    test: Integers


# -- intervals ---------------------------------------------------------------------------------------------------------


def mean_interval(
    pnl_usd: Floats,
    *,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    method: Method = "BCa",
) -> Estimate | None:
    """Bootstrap interval of the mean P&L a period. None for fewer than two periods.

    BCa (bias-corrected and accelerated) is second-order accurate for skewed P&L. Source: Efron 1987;
    `scipy.stats.bootstrap`.
    """
    periods = len(pnl_usd)
    if periods < 2:
        return None
    mean = float(np.mean(pnl_usd))
    if np.all(pnl_usd == pnl_usd[0]):
        return Estimate(periods, mean, math.nan, math.nan)
    found = stats.bootstrap(
        (pnl_usd,),
        np.mean,
        n_resamples=resamples,
        batch=_batch(periods),
        vectorized=True,
        confidence_level=confidence,
        method=method,
        rng=rng,
    ).confidence_interval
    return Estimate(periods, mean, float(found.low), float(found.high))


def paired_difference(
    pnl_usd: Floats,
    other_usd: Floats,
    *,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    method: Method = "BCa",
) -> Difference | None:
    """`pnl_usd` less `other_usd`, period by period. None for fewer than two periods; ValueError for unequal lengths.

    The p-value is that of the randomization test which swaps the two runs in each period at random (exact when there
    are no more swaps than `resamples`). Source: Fisher 1935; `scipy.stats.permutation_test`.
    """
    if len(pnl_usd) != len(other_usd):
        raise ValueError(f"{len(pnl_usd)} and {len(other_usd)} periods: give the same periods of both runs")
    estimate = mean_interval(pnl_usd - other_usd, rng=rng, confidence=confidence, resamples=resamples, method=method)
    if estimate is None:
        return None
    found = stats.permutation_test(
        (pnl_usd, other_usd),
        _mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=_batch(len(pnl_usd)),
        alternative="two-sided",
        rng=rng,
    )
    return Difference(estimate, float(found.pvalue))


# -- Sharpe ratios -----------------------------------------------------------------------------------------------------


def sharpe_of(pnl_usd: Floats) -> Sharpe | None:
    """The Sharpe ratio a period with its moments. None for fewer than two periods, or when they are all equal."""
    if len(pnl_usd) < 2 or np.all(pnl_usd == pnl_usd[0]):
        return None
    ratio = float(np.mean(pnl_usd) / np.std(pnl_usd, ddof=1))
    return Sharpe(ratio, float(stats.skew(pnl_usd)), float(stats.kurtosis(pnl_usd, fisher=False)), len(pnl_usd))


def probabilistic_sharpe(observed: Sharpe, *, benchmark: float = 0.0) -> float | None:
    """Probability that the true ratio exceeds `benchmark` (a period): Phi((SR - SR*) sqrt(T - 1) / e).

    e^2 = 1 - skewness SR + (kurtosis - 1) / 4 SR^2. None when e is 0 or T < 2. Source: Bailey and Lopez de Prado 2012,
    The Sharpe Ratio Efficient Frontier.
    """
    variance = _error_variance(observed)
    if variance <= 0.0 or observed.periods < 2:
        return None
    return float(stats.norm.cdf((observed.ratio - benchmark) * math.sqrt((observed.periods - 1) / variance)))


def expected_max_sharpe(trials: int, *, variance: float) -> float:
    """Expected best ratio of `trials` independent trials without any skill, whose ratios have this variance.

    sqrt(V) ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e))), g Euler's constant, Z the normal quantile; 0 for one trial.
    ValueError for none. Source: Bailey and Lopez de Prado 2014, The Deflated Sharpe Ratio.
    """
    if trials < 1:
        raise ValueError(f"{trials} trials: give at least one")
    if trials == 1:
        return 0.0
    best = (1.0 - _EULER) * stats.norm.ppf(1.0 - 1.0 / trials) + _EULER * stats.norm.ppf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * float(best)


def deflated_sharpe(observed: Sharpe, *, trials: int, trial_variance: float) -> float | None:
    """Probability that the ratio is real although it is the best of `trials`, whose ratios have this variance.

    The probabilistic Sharpe ratio against `expected_max_sharpe`. `trials` are independent ones: count a cluster of
    configurations that earn alike once. None as there. Source: Bailey and Lopez de Prado 2014.
    """
    return probabilistic_sharpe(observed, benchmark=expected_max_sharpe(trials, variance=trial_variance))


def min_track_record(observed: Sharpe, *, benchmark: float = 0.0, confidence: float = CONFIDENCE) -> float | None:
    """Periods needed before the ratio exceeds `benchmark` with this confidence: 1 + e^2 (Z(confidence) / (SR - SR*))^2.

    e^2 as in `probabilistic_sharpe`. None when the ratio does not exceed it. Source: Bailey and Lopez de Prado 2012.
    """
    if observed.ratio <= benchmark:
        return None
    z = float(stats.norm.ppf(confidence))
    return 1.0 + _error_variance(observed) * (z / (observed.ratio - benchmark)) ** 2


def min_backtest_length(trials: int, *, sharpe: float) -> float:
    """Length at which the best of `trials` without skill is expected to show this ratio: (E[max of N] / SR)^2.

    A shorter backtest shows it by chance. In the unit of time of the ratio: years for an annual one. ValueError when
    the ratio is not positive. Source: Bailey, Borwein, Lopez de Prado and Zhu 2014, Pseudo-Mathematics and Financial
    Charlatanism.
    """
    if sharpe <= 0.0:
        raise ValueError(f"a Sharpe ratio of {sharpe}: give a positive one")
    return (expected_max_sharpe(trials, variance=1.0) / sharpe) ** 2


# -- overfitting -------------------------------------------------------------------------------------------------------


def overfitting(pnl_usd: Floats, *, blocks: int = 16) -> Overfitting:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

    `pnl_usd` has a row a period, in order of time, and a column a configuration. The periods are cut into `blocks`
    runs; for every choice of half of them the configuration with the best Sharpe ratio there is ranked in the other
    half: w = rank / (N + 1) (ties take their mean rank), logit = ln(w / (1 - w)); the probability is the share of
    logits <= 0. A configuration that earned nothing in every period of a half has the ratio 0 there.

    ValueError for fewer than two configurations, for an odd number of blocks, and for blocks of fewer than two periods.
    Source: Bailey, Borwein, Lopez de Prado and Zhu 2017, The Probability of Backtest Overfitting.
    """
    periods, configurations = pnl_usd.shape
    if configurations < 2:
        raise ValueError(f"{configurations} configurations: overfitting is a choice between at least two")
    if blocks < 2 or blocks % 2 == 1:
        raise ValueError(f"{blocks} blocks: give an even number")
    if periods < 2 * blocks:
        raise ValueError(f"{periods} periods in {blocks} blocks: give at least two periods a block")
    runs = np.array_split(pnl_usd, blocks)
    counts = np.array([len(run) for run in runs], dtype=np.float64)
    sums = np.array([run.sum(axis=0) for run in runs])
    squares = np.array([(run * run).sum(axis=0) for run in runs])
    choices = combinations(range(blocks), blocks // 2)
    logits: list[Floats] = []
    while chunk := list(islice(choices, _COMBINATIONS_AT_ONCE)):
        chosen = np.zeros((len(chunk), blocks))
        np.put_along_axis(chosen, np.array(chunk), 1.0, axis=1)
        inside = _ratios(chosen, counts, sums, squares)
        outside = _ratios(1.0 - chosen, counts, sums, squares)
        best = np.argmax(inside, axis=1)[:, None]
        earned = np.take_along_axis(outside, best, axis=1)
        rank = (outside < earned).sum(axis=1) + 0.5 * ((outside == earned).sum(axis=1) + 1)
        share = rank / (configurations + 1)
        logits.append(np.log(share / (1.0 - share)))
    found = np.concatenate(logits)
    return Overfitting(float(np.mean(found <= 0.0)), found)


# -- splits ------------------------------------------------------------------------------------------------------------


def purged_folds(
    start_ns: Integers, end_ns: Integers, *, folds: int, purge_ns: int = 0, embargo_ns: int = 0
) -> list[Fold]:
    """K-fold splits by time, in which no row that is fitted on knows anything of the rows judged.

    Rows are known from their start and decided at their end, in order of start. Each of `folds` runs of rows is judged
    once; fitted on are the rows that ended more than `purge_ns` before it starts, or started more than `embargo_ns`
    after its last end. Rows that touch are out: a period cut by a fold is never on both sides. ValueError for rows out
    of order, fewer rows than folds, or fewer than two folds. Source: Lopez de Prado 2018, Advances in Financial Machine
    Learning, 7.4.
    """
    _check_rows(start_ns, end_ns, folds)
    found = []
    for test in np.array_split(np.arange(len(start_ns)), folds):
        before = end_ns + purge_ns < start_ns[test[0]]
        after = start_ns > end_ns[test].max() + embargo_ns
        found.append(Fold(np.flatnonzero(before | after), test))
    return found


def walk_forward(
    start_ns: Integers, end_ns: Integers, *, folds: int, purge_ns: int = 0, embargo_ns: int = 0
) -> list[Fold]:
    """Splits that only look back: `folds` runs of rows after a first one that is never judged.

    Fitted on are the rows that ended more than `purge_ns` + `embargo_ns` before the run starts: nothing comes after the
    run, so the embargo, which waits for what is correlated to fade, lies before it too. Rows and errors as
    `purged_folds`.
    """
    _check_rows(start_ns, end_ns, folds + 1)
    return [
        Fold(np.flatnonzero(end_ns + purge_ns + embargo_ns < start_ns[test[0]]), test)
        for test in np.array_split(np.arange(len(start_ns)), folds + 1)[1:]
    ]


def _check_rows(start_ns: Integers, end_ns: Integers, runs: int) -> None:
    if len(start_ns) != len(end_ns):
        raise ValueError(f"{len(start_ns)} starts and {len(end_ns)} ends: give one of each a row")
    if runs < 2:
        raise ValueError(f"{runs} run of rows: there is nothing to fit on")
    if len(start_ns) < runs:
        raise ValueError(f"{len(start_ns)} rows in {runs} runs: give at least one row a run")
    if np.any(np.diff(start_ns) < 0) or np.any(end_ns < start_ns):
        raise ValueError("rows must be in order of start, and end after it")


def _ratios(chosen: Floats, counts: Floats, sums: Floats, squares: Floats) -> Floats:
    """Sharpe ratio of each configuration over each choice of blocks; 0 where nothing was earned.

    Population deviation, which ranks the same. Squares less the squared mean are exact enough: a P&L has no offset.
    """
    total = (chosen @ counts)[:, None]
    mean = (chosen @ sums) / total
    deviation = np.sqrt(np.maximum((chosen @ squares) / total - mean * mean, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean == 0.0, 0.0, mean / deviation)


def _error_variance(observed: Sharpe) -> float:
    return 1.0 - observed.skewness * observed.ratio + (observed.kurtosis - 1.0) / 4.0 * observed.ratio**2


def _mean_difference(one: Floats, other: Floats, axis: int = -1) -> Any:
    return np.mean(one - other, axis=axis)


def _batch(periods: int) -> int:
    return max(1, _BATCH_NUMBERS // periods)

"""Our volatility at each window's start against what then came, and the volatility seen at different steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest.fair_value.oracle_mean import by_second
from backtest.fair_value.pricing import FAST_STEPS, LIVE_STEPS, NAIVE_SIGMA, SECONDS_PER_YEAR, Forecast
from backtest.fair_value.recordings_io import Stream
from backtest.realized_volatility import (
    LargestJump,
    bipower_variance,
    jump_score,
    largest_jump,
    median_variance,
    min_variance,
    noise_variance,
    pre_averaged_variance,
    realized_variance,
    tripower_quarticity,
    two_scale_variance,
)

SIGNATURE_STEPS_S = (1, 2, 5, 10, 20, 30, 60)
REFERENCE_STEP_S = 30  # past most of the smoothing, and still ten steps in the shortest window
MOST_MISSING = 0.03  # share of a window's seconds without a price beyond which it is not measured
OURS = f"as live ({LIVE_STEPS.sample_s:g} s steps)"
FAST = f"from {FAST_STEPS.sample_s:g} s steps"
FIXED = "fixed 50 %"
SURE_JUMP = 2.3263478740408408  # one-sided 1 % point of the standard normal
SURE_LARGEST_JUMP = 4.600149226776579  # 1 % point of Lee and Mykland's largest score


@dataclass(frozen=True)
class Measured:
    """One window: what we forecast (per sqrt second) and what was realized (variances of the whole window)."""

    group: str
    slug: str
    start_s: int
    length_s: int
    sigma: float
    fast_sigma: float | None
    realized: float  # from 1 s steps
    realized_reference: float  # from steps of `REFERENCE_STEP_S`, over all shifts: what forecasts are judged by
    bipower: float
    minimum: float
    median: float
    quarticity: float
    two_scale: float | None
    pre_averaged: float | None
    noise: float
    jump_z: float
    largest: LargestJump | None

    @property
    def jump_share(self) -> float:
        """The share of the realized variance that the median estimator does not see, at least 0."""
        return max(1.0 - self.median / self.realized, 0.0)

    @property
    def ratio(self) -> float:
        """Our forecast, as live, over the reference."""
        return self.sigma / math.sqrt(self.realized_reference / self.length_s)

    @property
    def fast_ratio(self) -> float | None:
        """The forecast from 1 s steps over the reference; None where it was not made."""
        if self.fast_sigma is None:
            return None
        return self.fast_sigma / math.sqrt(self.realized_reference / self.length_s)


def log_prices_between(prices: dict[int, float], start_s: int, end_s: int) -> NDArray[np.float64] | None:
    """Log price of every second from start to end; a missing second repeats the one before.

    None when more than `MOST_MISSING` of them, or the first, were not recorded.
    """
    seconds = range(start_s, end_s + 1)
    missing = sum(second not in prices for second in seconds)
    if start_s not in prices or missing > MOST_MISSING * len(seconds):
        return None
    logs = np.empty(len(seconds))
    last = prices[start_s]
    for place, second in enumerate(seconds):
        last = prices.get(second, last)
        logs[place] = math.log(last)
    return logs


def shifted_variance(logs: NDArray[np.float64], step: int) -> float:
    """Realized variance from steps of `step` seconds, the mean over all shifts, scaled to the whole window."""
    moves = logs[step:] - logs[:-step]
    return float(np.mean(moves**2)) / step * (len(logs) - 1)


def measure(forecasts: Sequence[Forecast], stream: Stream) -> list[Measured]:
    """Every forecast beside its window; windows with holes or without movement are left out."""
    prices = by_second(stream)
    measured = []
    for each in forecasts:
        logs = log_prices_between(prices, each.start_s, each.end_s)
        if logs is None:
            continue
        realized, smooth = realized_variance(logs), bipower_variance(logs)
        lowest, middle, score = min_variance(logs), median_variance(logs), jump_score(logs)
        quarticity, noise = tripower_quarticity(logs), noise_variance(logs)
        if not realized or not smooth or not lowest or not middle or score is None or not quarticity or not noise:
            continue
        measured.append(
            Measured(
                group=each.group,
                slug=each.slug,
                start_s=each.start_s,
                length_s=each.end_s - each.start_s,
                sigma=each.sigma,
                fast_sigma=each.fast_sigma,
                realized=realized,
                realized_reference=shifted_variance(logs, REFERENCE_STEP_S),
                bipower=smooth,
                minimum=lowest,
                median=middle,
                quarticity=quarticity,
                two_scale=two_scale_variance(logs),
                pre_averaged=pre_averaged_variance(logs),
                noise=noise,
                jump_z=score,
                largest=largest_jump(logs),
            )
        )
    return measured


def signature(stream: Stream) -> dict[int, float] | None:
    """Volatility a year, by the step in seconds it is measured at; flat for a random walk, rising for smoothed prices.

    Moves across seconds that were not recorded are left out. None with fewer than 600 moves at some step.
    """
    prices = by_second(stream)
    curve = {}
    for step in SIGNATURE_STEPS_S:
        moves = [math.log(prices[second + step] / price) for second, price in prices.items() if second + step in prices]
        if len(moves) < 600:
            return None
        curve[step] = math.sqrt(float(np.mean(np.square(moves))) / step * SECONDS_PER_YEAR)
    return curve


def qlike(forecast_variance: float, realized_variance_: float) -> float:
    """realized / forecast - ln(realized / forecast) - 1: at least 0, and 0 for a perfect forecast."""
    ratio = realized_variance_ / forecast_variance
    return ratio - math.log(ratio) - 1.0


def qlikes(measured: Sequence[Measured]) -> dict[str, NDArray[np.float64]]:
    """QLIKE of each window against the reference, by what was forecast."""
    fast = [(each, each.fast_sigma) for each in measured if each.fast_sigma is not None]
    table = {
        OURS: [qlike(each.sigma**2 * each.length_s, each.realized_reference) for each in measured],
    }
    if fast:
        table[FAST] = [qlike(sigma**2 * each.length_s, each.realized_reference) for each, sigma in fast]
    table[FIXED] = [qlike(NAIVE_SIGMA**2 * each.length_s, each.realized_reference) for each in measured]
    return {name: np.array(numbers) for name, numbers in table.items()}

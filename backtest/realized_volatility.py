"""Realized volatility of a finished window, from its log prices one second (or any equal step) apart (batch, NumPy).

The live estimator is `services/analyzers/volatility.py`; this file judges it afterwards. With returns r_1 ... r_n:

    RV      = sum r_i^2                                                   everything: diffusion, jumps, noise
    BPV     = pi/2 n/(n-1) sum |r_i| |r_(i-1)|                            diffusion only (Barndorff-Nielsen, Shephard)
    MinRV   = pi/(pi-2) n/(n-1) sum min(|r_i|, |r_(i-1)|)^2               diffusion only (Andersen, Dobrev, Schaumburg)
    MedRV   = pi/(6-4 sqrt(3)+pi) n/(n-2) sum med(|r_i|, |r_(i-1)|, |r_(i-2)|)^2
    TPQ     = n mu^-3 n/(n-2) sum (|r_i| |r_(i-1)| |r_(i-2)|)^(4/3)       quarticity; mu = E|Z|^(4/3)
    z       = (1 - BPV/RV) / sqrt((pi^2/4 + pi - 5)/n max(1, TPQ/BPV^2))  jump test (Huang, Tauchen 2005)
    TSRV, pre-averaging                                                   without the observation noise

Variances are of the whole window (log price squared, not per second). Every function returns None where the window is
too short or does not move. On fifteen minutes of one-second prices TSRV and pre-averaging are noisy (about 20 %).
Source: `reference/quant.md` 4; numbers: `../shared/vectors/realised_vol.json`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Logs = NDArray[np.float64]

_BNS_CONSTANT = math.pi**2 / 4.0 + math.pi - 5.0
_MEAN_ABS = math.sqrt(2.0 / math.pi)  # E|Z|
_MEAN_ABS_4_3 = 2.0 ** (2.0 / 3.0) * math.gamma(7.0 / 6.0) / math.gamma(0.5)  # E|Z|^(4/3)
_PRE_AVERAGE_THETA = 0.8


class LargestJump(NamedTuple):
    """Lee and Mykland (2008): the return that stands out most.

    `place` counts returns from 0; `score` is the return over the local volatility before it; `standardized` is
    (|score| - C_n) / S_n, which exceeds 4.6001 (2.9702) by chance in 1 % (5 %) of windows without a jump.
    """

    place: int
    score: float
    standardized: float


def realized_variance(log_prices: Logs) -> float | None:
    """RV; None without a return."""
    returns = np.diff(log_prices)
    return float(returns @ returns) if len(returns) else None


def bipower_variance(log_prices: Logs) -> float | None:
    """BPV; None with fewer than two returns."""
    size = np.abs(np.diff(log_prices))
    n = len(size)
    return float(math.pi / 2.0 * n / (n - 1) * (size[1:] @ size[:-1])) if n >= 2 else None


def min_variance(log_prices: Logs) -> float | None:
    """MinRV; None with fewer than two returns."""
    size = np.abs(np.diff(log_prices))
    n = len(size)
    if n < 2:
        return None
    return float(math.pi / (math.pi - 2.0) * n / (n - 1) * np.sum(np.minimum(size[1:], size[:-1]) ** 2))


def median_variance(log_prices: Logs) -> float | None:
    """MedRV; None with fewer than three returns."""
    size = np.abs(np.diff(log_prices))
    n = len(size)
    if n < 3:
        return None
    middle = np.median(np.stack([size[2:], size[1:-1], size[:-2]]), axis=0)
    return float(math.pi / (6.0 - 4.0 * math.sqrt(3.0) + math.pi) * n / (n - 2) * (middle @ middle))


def tripower_quarticity(log_prices: Logs) -> float | None:
    """TPQ; None with fewer than three returns."""
    size = np.abs(np.diff(log_prices)) ** (4.0 / 3.0)
    n = len(size)
    if n < 3:
        return None
    return float(n * _MEAN_ABS_4_3**-3 * n / (n - 2) * np.sum(size[2:] * size[1:-1] * size[:-2]))


def two_scale_variance(log_prices: Logs, *, step: int = 30) -> float | None:
    """TSRV: the mean of the RVs on `step` shifted grids, less the part of the noise (Zhang, Mykland, Ait-Sahalia 2005).

    (RV_K - (n_K / n) RV) / (1 - n_K / n), n_K = (n - K + 1) / K, for n prices. May be negative. None when n <= 2 K.
    """
    n = len(log_prices)
    if n <= 2 * step:
        return None
    slow = float(np.sum((log_prices[step:] - log_prices[:-step]) ** 2)) / step
    fast = float(np.sum(np.diff(log_prices) ** 2))
    share = (n - step + 1) / step / n
    return (slow - share * fast) / (1.0 - share)


def pre_averaged_variance(log_prices: Logs) -> float | None:
    """Pre-averaging with g(x) = min(x, 1 - x) over k = floor(0.8 sqrt(n)) returns (Jacod et al. 2009).

    n/(n-k+2) / (k psi_2) sum rbar^2 - psi_1 / (2 k^2 psi_2) RV, with psi_1 = k sum (g_(i+1) - g_i)^2 and
    psi_2 = sum g_i^2 / k. May be negative. None when k < 2.
    """
    returns = np.diff(log_prices)
    n = len(returns)
    window = math.floor(_PRE_AVERAGE_THETA * math.sqrt(n))
    if window < 2:
        return None
    at = np.arange(window + 1) / window
    weights = np.minimum(at, 1.0 - at)
    psi_1 = window * float(np.sum(np.diff(weights) ** 2))
    psi_2 = float(np.sum(weights[1:-1] ** 2)) / window
    averaged = np.convolve(returns, weights[1:-1], mode="valid")
    smooth = n / (n - window + 2) / (window * psi_2) * float(averaged @ averaged)
    return smooth - psi_1 / (2.0 * window**2 * psi_2) * float(returns @ returns)


def noise_variance(log_prices: Logs) -> float | None:
    """Variance of independent observation noise if the noise were all: RV / (2 n), an upper bound. None without one."""
    total = realized_variance(log_prices)
    return None if total is None else total / (2.0 * (len(log_prices) - 1))


def jump_score(log_prices: Logs) -> float | None:
    """The ratio test z: standard normal without jumps, large with one. None when the window is short or still."""
    total, smooth = realized_variance(log_prices), bipower_variance(log_prices)
    quarticity = tripower_quarticity(log_prices)
    if total is None or smooth is None or quarticity is None or total <= 0.0 or smooth <= 0.0:
        return None
    n = len(log_prices) - 1
    return (1.0 - smooth / total) / math.sqrt(_BNS_CONSTANT / n * max(1.0, quarticity / smooth**2))


def largest_jump(log_prices: Logs, *, memory: int = 120) -> LargestJump | None:
    """The largest Lee-Mykland score; the local variance is the bipower sum of the `memory` returns before, over K - 2.

    None when there are not more than `memory` returns, or none of them moves.
    """
    returns = np.diff(log_prices)
    n = len(returns)
    if n <= memory:
        return None
    size = np.abs(returns)
    sums = np.concatenate([[0.0], np.cumsum(size[1:] * size[:-1])])
    at = np.arange(memory, n)
    local = (sums[at - 1] - sums[at - memory + 1]) / (memory - 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(local > 0.0, returns[at] / np.sqrt(local), 0.0)
    best = int(np.argmax(np.abs(scores)))
    if scores[best] == 0.0:
        return None
    spread = math.sqrt(2.0 * math.log(n))
    centre = spread / _MEAN_ABS - (math.log(math.pi) + math.log(math.log(n))) / (2.0 * _MEAN_ABS * spread)
    score = float(scores[best])
    return LargestJump(int(at[best]), score, (abs(score) - centre) * _MEAN_ABS * spread)

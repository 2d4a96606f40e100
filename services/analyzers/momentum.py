"""Momentum as a drift: the distance of a fast and a slow exponential average of the log price.

    mu = (fast - slow) / (th_s - th_f)              per second
    z  = (fast - slow) / (sigma (th_s - th_f) / sqrt(2 (th_f + th_s)))

On a straight line the fast average is th_f behind, the slow one th_s: mu is the slope exactly. On a random walk z is
standard normal. Source: reference/quant.md section 3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from shared.kernel import Record, kernel

STATE = np.dtype([("last_ns", "i8"), ("last_log", "f8"), ("fast", "f8"), ("slow", "f8")], align=True)


class Config(NamedTuple):
    """Time constants in seconds; prices closer than `sample_s` are skipped; after `max_gap_s` it starts over."""

    fast_s: float = 10.0
    slow_s: float = 60.0
    sample_s: float = 0.25
    max_gap_s: float = 10.0


@kernel
def restart(state: Record, ts_ns: int, log_price: float) -> None:
    """No momentum, from this price on."""
    state.last_ns = ts_ns
    state.last_log = log_price
    state.fast = log_price
    state.slow = log_price


@kernel
def rebase(state: Record, ts_ns: int, log_price: float) -> None:
    """Go on from another source's price, as if nothing had moved in between."""
    shift = log_price - state.last_log
    state.fast += shift
    state.slow += shift
    state.last_log = log_price
    state.last_ns = ts_ns


@kernel
def update(state: Record, config: Config, ts_ns: int, log_price: float) -> bool:
    """Take one price; True when it counted. Between two prices the path is taken as a straight line."""
    if state.last_ns == 0 or (ts_ns - state.last_ns) * 1e-9 > config.max_gap_s:
        restart(state, ts_ns, log_price)
        return True
    dt_s = (ts_ns - state.last_ns) * 1e-9
    if dt_s < config.sample_s:
        return False
    slope = (log_price - state.last_log) / dt_s
    keep = math.exp(-dt_s / config.fast_s)
    state.fast = log_price - slope * config.fast_s + keep * (state.fast - state.last_log + slope * config.fast_s)
    keep = math.exp(-dt_s / config.slow_s)
    state.slow = log_price - slope * config.slow_s + keep * (state.slow - state.last_log + slope * config.slow_s)
    state.last_ns = ts_ns
    state.last_log = log_price
    return True


@kernel
def drift(distance: float, fast_s: float, slow_s: float) -> float:
    """Drift per second of a distance fast - slow."""
    return distance / (slow_s - fast_s)


@kernel
def score(distance: float, sigma_per_sqrt_s: float, fast_s: float, slow_s: float) -> float:
    """Standard score of a distance fast - slow under a random walk; 0 without a volatility."""
    if not sigma_per_sqrt_s > 0.0:
        return 0.0
    return distance / (sigma_per_sqrt_s * (slow_s - fast_s) / math.sqrt(2.0 * (fast_s + slow_s)))


@kernel
def read(state: Record, config: Config, sigma_per_sqrt_s: float) -> tuple[float, float]:
    """Drift per second and its standard score."""
    distance = state.fast - state.slow
    return drift(distance, config.fast_s, config.slow_s), score(
        distance, sigma_per_sqrt_s, config.fast_s, config.slow_s
    )

"""Realized volatility: a mixture of time-aware exponential averages, and a separate count of jumps.

    v <- a v + (1 - a) r^2 / dt,   a = 2^(-dt / half-life)

on log prices sampled at least `sample_s` apart. Neither the bounce of a quote nor its smoothing may count: an oracle
that prints each second an average over venues moves less from second to second than it does from minute to minute. On
a recorded day its volatility from one-second steps is two thirds of that from one-minute steps, from five-second steps
nine tenths (`make report-fair-value` shows the curve); longer steps see more of it, and know it less well. Numerator
and weight are kept apart (v = numerator / weight): a cold start is unbiased, and a return learned late can be added
with the weight of its age, exactly as if it had been on time. Returns beyond `winsor` standard deviations are clipped
there and counted as jumps. No return is computed across a silence longer than `max_gap_s`: the silence becomes a
*hole*, which the oracle's history may fill once, interval by interval; nothing is counted twice.

Sources: RiskMetrics (1996); reference/quant.md section 4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.kernel import Record, kernel

STATE = np.dtype(
    [
        ("anchor_ns", "i8"),  # the last sampled price; 0: none
        ("anchor_log", "f8"),
        ("reference_ns", "i8"),  # the instant that the sums below are decayed to
        ("numerator", "f8", (3,)),
        ("weight", "f8", (3,)),
        ("square", "f8", (3,)),  # sums of squared weights
        ("jumps", "f8"),
        ("jump_weight", "f8"),
        ("hole_from_ns", "i8"),
        ("hole_until_ns", "i8"),  # 0: open-ended, nothing live was sampled yet
        ("samples", "i8"),
    ],
    align=True,
)


class Config(NamedTuple):
    """Half-lives in seconds with their mixture shares (sum 1); winsor in standard deviations.

    `kurtosis` is that of returns over `sample_s` and scales the standard error; `winsor_after` samples must be seen
    before anything is clipped; warm after `warm_s` seconds of samples.
    """

    half_life_fast_s: float = 60.0
    half_life_medium_s: float = 600.0
    half_life_slow_s: float = 3600.0
    share_fast: float = 0.5
    share_medium: float = 0.3
    share_slow: float = 0.2
    sample_s: float = 5.0
    max_gap_s: float = 15.0
    winsor: float = 4.0
    winsor_after: float = 15.0
    jump_half_life_s: float = 600.0
    kurtosis: float = 5.0
    warm_s: float = 58.0


@kernel
def variance(state: Record, config: Config) -> float:
    """Variance per second; NaN before the first return."""
    if state.weight[0] <= 0.0:
        return math.nan
    return float(
        config.share_fast * state.numerator[0] / state.weight[0]
        + config.share_medium * state.numerator[1] / state.weight[1]
        + config.share_slow * state.numerator[2] / state.weight[2]
    )


@kernel
def include(state: Record, config: Config, start_ns: int, end_ns: int, log_return: float) -> None:
    """Count one return over (start, end]; it may lie before returns already counted."""
    dt_s = (end_ns - start_ns) * 1e-9
    if dt_s <= 0.0:
        return
    bound = config.winsor * math.sqrt(max(variance(state, config), 0.0) * dt_s)
    jump = 0.0
    if state.samples >= config.winsor_after and bound > 0.0 and abs(log_return) > bound:
        log_return = math.copysign(bound, log_return)
        jump = 1.0
    ahead_s = 0.0
    age_s = 0.0
    if state.reference_ns == 0:
        state.reference_ns = end_ns
    elif end_ns > state.reference_ns:
        ahead_s = (end_ns - state.reference_ns) * 1e-9
        state.reference_ns = end_ns
    else:
        age_s = (state.reference_ns - end_ns) * 1e-9
    half_lives = (config.half_life_fast_s, config.half_life_medium_s, config.half_life_slow_s)
    for j in range(3):
        keep = 2.0 ** (-ahead_s / half_lives[j])
        gain = (1.0 - 2.0 ** (-dt_s / half_lives[j])) * 2.0 ** (-age_s / half_lives[j])
        state.numerator[j] = keep * state.numerator[j] + gain * log_return * log_return / dt_s
        state.weight[j] = keep * state.weight[j] + gain
        state.square[j] = keep * keep * state.square[j] + gain * gain
    keep = 2.0 ** (-ahead_s / config.jump_half_life_s)
    gain = (1.0 - 2.0 ** (-dt_s / config.jump_half_life_s)) * 2.0 ** (-age_s / config.jump_half_life_s)
    state.jumps = keep * state.jumps + gain * jump / dt_s
    state.jump_weight = keep * state.jump_weight + gain
    state.samples += 1


@kernel
def anchor(state: Record, ts_ns: int, log_price: float) -> None:
    """Start sampling anew here, without a return: a new source, or the end of a silence."""
    if state.anchor_ns > state.hole_until_ns:
        state.hole_from_ns = max(state.hole_from_ns, state.anchor_ns)
    state.hole_until_ns = ts_ns
    state.anchor_ns = ts_ns
    state.anchor_log = log_price


@kernel
def update(state: Record, config: Config, ts_ns: int, log_price: float) -> bool:
    """Take one price of the current source; True when it became a sample. Older and denser prices are ignored."""
    if state.anchor_ns == 0:
        anchor(state, ts_ns, log_price)
        return False
    dt_s = (ts_ns - state.anchor_ns) * 1e-9
    if dt_s < config.sample_s:
        return False
    if dt_s > config.max_gap_s:
        anchor(state, ts_ns, log_price)
        return False
    include(state, config, state.anchor_ns, ts_ns, log_price - state.anchor_log)
    state.anchor_ns = ts_ns
    state.anchor_log = log_price
    return True


@kernel
def include_history(state: Record, config: Config, seconds: NDArray[np.int64], prices: NDArray[np.float64]) -> int:
    """Fill the hole before the live samples from a history (whole seconds, ascending); the returns counted.

    Bounded by the history's length. Its prices are sampled `sample_s` apart as live ones are; each interval is used at
    most once, and only where nothing live was sampled.
    """
    counted = 0
    first = 0
    for i in range(1, len(seconds)):
        start_ns = seconds[first] * 1_000_000_000
        end_ns = seconds[i] * 1_000_000_000
        is_hole = (seconds[i] - seconds[i - 1]) > config.max_gap_s
        if start_ns < state.hole_from_ns or is_hole or not prices[first] > 0.0:
            first = i
            continue
        if (end_ns - start_ns) * 1e-9 < config.sample_s or not prices[i] > 0.0:
            continue
        if state.hole_until_ns > 0 and end_ns > state.hole_until_ns:
            break
        include(state, config, start_ns, end_ns, math.log(prices[i] / prices[first]))
        state.hole_from_ns = end_ns
        first = i
        counted += 1
    return counted


@kernel
def read(state: Record, config: Config, now_ns: int) -> tuple[float, float, float, bool]:
    """Sigma per sqrt second, its relative standard error, jumps per second, warm. NaN where there is no answer.

    The error takes the three averages as fully dependent: half sqrt(kurtosis - 1) sqrt(sum w^2) / sum w of the
    variance. A silence beyond `max_gap_s` wears the warmth off at the fast half-life.
    """
    current = variance(state, config)
    if not current > 0.0:
        return math.nan, math.nan, 0.0, False
    shares = (config.share_fast, config.share_medium, config.share_slow)
    spread = 0.0
    for j in range(3):
        spread += shares[j] * math.sqrt(state.square[j]) / state.weight[j]
    error = 0.5 * math.sqrt(max(config.kurtosis - 1.0, 0.0)) * spread
    silence_s = max((now_ns - state.reference_ns) * 1e-9 - config.max_gap_s, 0.0)
    covered = state.weight[0] * 2.0 ** (-silence_s / config.half_life_fast_s)
    warm = covered >= 1.0 - 2.0 ** (-config.warm_s / config.half_life_fast_s)
    return math.sqrt(current), error, state.jumps / state.jump_weight, warm

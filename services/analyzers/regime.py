"""The state of the underlying: quiet, mean-reverting, trending or volatile.

On one-second returns, scaled by the square root of their spacing:

- *volatile*: filtered probability of the louder of two states (zero-mean normals with standard deviations `sd_quiet`
  and `sd_loud` times the slow reference volatility, Markov switching, Hamilton 1989);
- *trending*: Phi((z_VR + u_ER) / sqrt 2 - bar), z_VR the heteroskedasticity-robust variance-ratio statistic of
  Lo and MacKinlay (1988), u_ER the efficiency ratio (Kaufman) in units of its random-walk scale sqrt(pi / 2n),
  half-normal on a random walk; its direction is the sign of the displacement;
- *mean-reverting*: Phi(-z_VR - bar).

Each score enters at .6 and leaves at .4, the regime changes at most once in `dwell_s`, and the first of volatile,
trending, mean-reverting that holds wins. `unknown` until warm. Source: reference/quant.md section 7.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.digital import normal_cdf
from shared.kernel import Record, kernel
from shared.messages import RegimeName

SLOTS = 256
NAMES: tuple[RegimeName, ...] = ("unknown", "quiet", "mean_reverting", "trending_up", "trending_down", "volatile")
UNKNOWN, QUIET, MEAN_REVERTING, TRENDING_UP, TRENDING_DOWN, VOLATILE = range(6)

STATE = np.dtype(
    [
        ("anchor_ns", "i8"),
        ("anchor_log", "f8"),
        ("returns", "f8", (SLOTS,)),  # log return / sqrt(dt), clipped, a ring
        ("count", "i8"),
        ("numerator", "f8"),
        ("weight", "f8"),
        ("loud", "f8"),  # filtered probability of the loud state
        ("variance_ratio", "f8"),
        ("variance_ratio_z", "f8"),
        ("efficiency_ratio", "f8"),
        ("displacement", "f8"),
        ("sigma", "f8"),
        ("latched_volatile", "i8"),
        ("latched_trend", "i8"),
        ("latched_revert", "i8"),
        ("regime", "i8"),
        ("since_ns", "i8"),
    ],
    align=True,
)


class Config(NamedTuple):
    """Windows in samples of about `sample_s`; standard deviations in units of the reference volatility; stays per
    sample; scores in [0, 1].

    Beyond `winsor` reference deviations a return is clipped in the reference and in both ratios, beyond
    `evidence_winsor` in the filter: one outlier alone is the spike alarm's business, not a regime. After `max_gap_s` no
    return is computed; after `forget_s` of silence it starts cold.
    """

    sample_s: float = 1.0
    max_gap_s: float = 10.0
    forget_s: float = 60.0
    window: int = 180
    efficiency_window: int = 60
    lag: int = 5
    warm_samples: int = 60
    reference_half_life_s: float = 1800.0
    sd_quiet: float = 1.0
    sd_loud: float = 2.0
    stay_quiet: float = 0.998
    stay_loud: float = 0.98
    winsor: float = 5.0
    evidence_winsor: float = 3.0
    trend_bar: float = 2.0
    revert_bar: float = 2.0
    enter: float = 0.6
    leave: float = 0.4
    dwell_s: float = 20.0


@kernel
def variance_ratio(ring: NDArray[np.float64], count: int, n: int, lag: int) -> tuple[float, float]:
    """Variance ratio of the last n returns in a ring and its robust z: debiased, overlapping; NaN when undefined.

    VR = var(lag-sums) / (lag var); cost n * lag. Source: Lo and MacKinlay (1988), equations 12-20.
    """
    slots = len(ring)
    if n <= lag + 1 or n > slots or n > count:
        return math.nan, math.nan
    first = count - n
    total = 0.0
    for t in range(n):
        total += ring[(first + t) % slots]
    mean = total / n
    single = 0.0
    many = 0.0
    running = 0.0
    for t in range(n):
        centered = ring[(first + t) % slots] - mean
        single += centered * centered
        running += centered
        if t >= lag:
            running -= ring[(first + t - lag) % slots] - mean
        if t >= lag - 1:
            many += running * running
    if single <= 0.0:
        return math.nan, math.nan
    ratio = (many / (lag * (n - lag + 1.0) * (1.0 - lag / n))) / (single / (n - 1.0))
    spread = 0.0
    for k in range(1, lag):
        cross = 0.0
        for t in range(k, n):
            a = ring[(first + t) % slots] - mean
            b = ring[(first + t - k) % slots] - mean
            cross += a * a * b * b
        spread += (2.0 * (lag - k) / lag) ** 2 * n * cross / (single * single)
    return ratio, (math.sqrt(n) * (ratio - 1.0) / math.sqrt(spread) if spread > 0.0 else 0.0)


@kernel
def efficiency_ratio(ring: NDArray[np.float64], count: int, n: int) -> tuple[float, float]:
    """|sum| / sum|.| of the last n returns in [0, 1], and their sum; NaN when there are fewer or nothing moved."""
    slots = len(ring)
    if n > count or n > slots:
        return math.nan, math.nan
    total = 0.0
    path = 0.0
    for t in range(n):
        step = ring[(count - 1 - t) % slots]
        total += step
        path += abs(step)
    if path <= 0.0:
        return math.nan, 0.0
    return min(abs(total) / path, 1.0), total


@kernel
def predict_loud(loud: float, stay_quiet: float, stay_loud: float) -> float:
    """Probability of the loud state one step on."""
    return loud * stay_loud + (1.0 - loud) * (1.0 - stay_quiet)


@kernel
def filter_loud(prior_loud: float, observed: float, sd_quiet: float, sd_loud: float) -> float:
    """Posterior probability of the loud state after one zero-mean observation."""
    log_odds = (
        math.log(prior_loud / (1.0 - prior_loud))
        + math.log(sd_quiet / sd_loud)
        + 0.5 * observed * observed * (1.0 / (sd_quiet * sd_quiet) - 1.0 / (sd_loud * sd_loud))
    )
    return 1.0 / (1.0 + math.exp(-min(max(log_odds, -700.0), 700.0)))


@kernel
def latch(on: int, score: float, enter: float, leave: float) -> int:
    """Hysteresis: on at `enter`, off below `leave`; NaN turns it off."""
    if on > 0:
        return 1 if score >= leave else 0
    return 1 if score >= enter else 0


@kernel
def settle(state: Record, target: int, ts_ns: int, dwell_s: float) -> None:
    """Change the regime to the target unless the last change is younger than the dwell."""
    if target != state.regime and (state.since_ns == 0 or (ts_ns - state.since_ns) * 1e-9 >= dwell_s):
        state.regime = target
        state.since_ns = ts_ns


@kernel
def forget(state: Record) -> None:
    """Cold again, except for the slow reference volatility."""
    state.count = 0
    state.loud = 0.0
    state.latched_volatile = 0
    state.latched_trend = 0
    state.latched_revert = 0
    state.regime = 0
    state.since_ns = 0


@kernel
def include(state: Record, config: Config, ts_ns: int, dt_s: float, log_return: float) -> None:
    """Count one return that ends at `ts_ns`, and judge."""
    scaled = log_return / math.sqrt(dt_s)
    slots = len(state.returns)
    clipped = scaled
    state.count += 1
    if state.weight > 0.0 and state.numerator > 0.0 and state.count > 20:
        reference = math.sqrt(state.numerator / state.weight)
        clipped = math.copysign(min(abs(scaled), config.winsor * reference), scaled)
        prior = predict_loud(state.loud, config.stay_quiet, config.stay_loud)
        evidence = min(abs(scaled) / reference, config.evidence_winsor)
        state.loud = filter_loud(prior, evidence, config.sd_quiet, config.sd_loud)
    state.returns[(state.count - 1) % slots] = clipped
    keep = 2.0 ** (-dt_s / config.reference_half_life_s)
    state.numerator = keep * state.numerator + (1.0 - keep) * clipped * clipped
    state.weight = keep * state.weight + (1.0 - keep)
    if state.count < config.warm_samples:
        return
    n = min(state.count, config.window)
    state.variance_ratio, state.variance_ratio_z = variance_ratio(state.returns, state.count, n, config.lag)
    state.efficiency_ratio, state.displacement = efficiency_ratio(state.returns, state.count, config.efficiency_window)
    square = 0.0
    for t in range(n):
        square += state.returns[(state.count - 1 - t) % slots] ** 2
    state.sigma = math.sqrt(square / n)
    efficiency = state.efficiency_ratio * math.sqrt(2.0 * config.efficiency_window / math.pi)
    trend = normal_cdf((state.variance_ratio_z + efficiency) / math.sqrt(2.0) - config.trend_bar)
    revert = normal_cdf(-state.variance_ratio_z - config.revert_bar)
    state.latched_volatile = latch(state.latched_volatile, state.loud, config.enter, config.leave)
    state.latched_trend = latch(state.latched_trend, trend, config.enter, config.leave)
    state.latched_revert = latch(state.latched_revert, revert, config.enter, config.leave)
    if state.latched_volatile > 0:
        target = 5
    elif state.latched_trend > 0:
        target = 3 if state.displacement > 0.0 else 4
    elif state.latched_revert > 0:
        target = 2
    else:
        target = 1
    settle(state, target, ts_ns, config.dwell_s)


@kernel
def update(state: Record, config: Config, ts_ns: int, log_price: float) -> bool:
    """Take one price of the current source; True when it became a sample. Older and denser prices are ignored."""
    dt_s = (ts_ns - state.anchor_ns) * 1e-9
    if state.anchor_ns > 0 and dt_s < config.sample_s:
        return False
    sampled = state.anchor_ns > 0 and dt_s <= config.max_gap_s
    if sampled:
        include(state, config, ts_ns, dt_s, log_price - state.anchor_log)
    elif state.anchor_ns > 0 and dt_s > config.forget_s:
        forget(state)
    state.anchor_ns = ts_ns
    state.anchor_log = log_price
    return bool(sampled)


@kernel
def anchor(state: Record, ts_ns: int, log_price: float) -> None:
    """Start sampling anew here, without a return: another venue is the spot price now."""
    if ts_ns > state.anchor_ns:
        state.anchor_ns = ts_ns
        state.anchor_log = log_price


@kernel
def replace_with_history(
    state: Record, config: Config, seconds: NDArray[np.int64], prices: NDArray[np.float64]
) -> bool:
    """Start from a history (whole seconds, ascending) instead of the fewer samples so far; True when it did.

    Only while cold, so that a repeated history is never counted twice. Sampling goes on from the next live price.
    """
    if state.count >= config.warm_samples or len(seconds) - 1 <= state.count:
        return False
    forget(state)
    state.numerator = 0.0
    state.weight = 0.0
    state.anchor_ns = 0
    for i in range(1, len(seconds)):
        dt_s = float(seconds[i] - seconds[i - 1])
        if config.sample_s <= dt_s <= config.max_gap_s and prices[i - 1] > 0.0 and prices[i] > 0.0:
            include(state, config, seconds[i] * 1_000_000_000, dt_s, math.log(prices[i] / prices[i - 1]))
    return True


@kernel
def is_warm(state: Record, config: Config, now_ns: int) -> bool:
    """Enough samples to name a regime, and the last one not older than `forget_s`."""
    fresh = (now_ns - state.anchor_ns) * 1e-9 <= config.forget_s
    return bool(fresh and state.count >= config.warm_samples and state.regime > 0)

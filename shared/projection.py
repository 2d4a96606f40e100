"""The oracle's price now, projected through a venue that leads it (compiled, pure).

The oracle's print stamped t follows a leading venue's log mid B with lag l, a slow basis b and a residual:

    O_t = B_(t-l) + b_t + eps,   b a random walk,   eps of standard deviation nu

so the best guess of the oracle at now + l is B_now + b_hat. `b_hat` is a local-level Kalman filter on O_t - B_(t-l).
An innovation beyond `gate` standard deviations is not believed (one venue dislocated); when several in a row are not,
the level has moved and the filter starts anew with a wide variance. nu is estimated from the innovations. While the
oracle is silent the variance of b grows with time. The basis contains the USD/USDT difference.

Prints and quotes are matched by the venue's clocks (`ts_event_ns`); whether a quote may be used is decided elsewhere by
the time we received it. Source: `reference/quant.md` 1.3; numbers: `../shared/vectors/oracle_projection.json`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from shared.digital import normal_cdf
from shared.kernel import Record, State, kernel

RING = 512
RING_SPACING_NS = 25_000_000

# One venue: a ring of its recent log mids (to look up B a while ago), and the basis filter.
VENUE = np.dtype(
    [
        ("log_mid", np.float64),
        ("ts_ns", np.int64),
        ("newest", np.int64),
        ("filled", np.int64),
        ("basis", np.float64),
        ("variance", np.float64),
        ("residual_variance", np.float64),
        ("updates", np.int64),
        ("refused_in_a_row", np.int64),
        ("refused", np.int64),
        ("last_print_ns", np.int64),
        ("last_innovation", np.float64),
        ("ring_ns", np.int64, (RING,)),
        ("ring_log", np.float64, (RING,)),
    ]
)


class Config(NamedTuple):
    """Numbers of the filter. Logs are natural: 1e-4 is one basis point."""

    drift_per_sqrt_s: float = 1.6e-6  # how fast the basis wanders
    residual_sd: float = 5e-5  # nu before any was seen
    residual_half_life: float = 60.0  # prints; 0 keeps nu fixed
    gate: float = 4.0  # innovations beyond this many standard deviations are not believed
    refusals_to_restart: int = 5
    prints_to_warm: int = 5


def new_venue() -> State:
    """A venue of which nothing was seen."""
    venue = np.zeros(1, dtype=VENUE)
    venue["newest"] = -1
    return venue


@kernel
def observe_mid(venue: State, ts_ns: int, log_mid: float) -> bool:
    """Take a log mid; False, and nothing changes, when it is older than the last one."""
    state: Record = venue[0]
    if ts_ns < state["ts_ns"]:
        return False
    state["log_mid"] = log_mid
    state["ts_ns"] = ts_ns
    newest = state["newest"]
    if newest < 0 or ts_ns - state["ring_ns"][newest] >= RING_SPACING_NS:
        newest = (newest + 1) % RING
        state["newest"] = newest
        state["filled"] = min(state["filled"] + 1, RING)
        state["ring_ns"][newest] = ts_ns
        state["ring_log"][newest] = log_mid
    return True


@kernel
def log_mid_at(venue: State, ts_ns: int) -> float:
    """The log mid that stood at an instant (to the ring's 25 ms); NaN when the ring does not reach back that far."""
    state: Record = venue[0]
    if state["filled"] > 0 and ts_ns >= state["ts_ns"]:
        return float(state["log_mid"])
    position = state["newest"]
    for _ in range(state["filled"]):
        if state["ring_ns"][position] <= ts_ns:
            return float(state["ring_log"][position])
        position = (position - 1) % RING
    return math.nan


@kernel
def observe_return(venue: State, ts_ns: int, log_mid: float, horizon_ns: int) -> float:
    """Take a log mid; its log return over the horizon before it, NaN when the ring does not reach back that far."""
    before = log_mid_at(venue, ts_ns - horizon_ns)
    observe_mid(venue, ts_ns, log_mid)
    return log_mid - before


@kernel
def observe_oracle(venue: State, config: Config, ts_ns: int, log_price: float, lead_s: float) -> bool:
    """Take an oracle print stamped `ts_ns`; False when it could not be used or was refused by the gate."""
    state: Record = venue[0]
    if ts_ns <= state["last_print_ns"]:
        return False
    led = log_mid_at(venue, ts_ns - int(lead_s * 1e9))
    if math.isnan(led):
        return False
    if state["updates"] == 0:
        state["residual_variance"] = config.residual_sd * config.residual_sd
    elapsed_s = (ts_ns - state["last_print_ns"]) * 1e-9
    state["last_print_ns"] = ts_ns
    observed = log_price - led
    if state["updates"] == 0 or state["refused_in_a_row"] >= config.refusals_to_restart:
        state["basis"] = observed
        state["variance"] = state["residual_variance"]
        state["updates"] = 1
        state["refused_in_a_row"] = 0
        state["last_innovation"] = 0.0
        return True
    noise = state["residual_variance"]
    predicted = state["variance"] + config.drift_per_sqrt_s * config.drift_per_sqrt_s * elapsed_s
    expected = predicted + noise
    innovation = observed - state["basis"]
    state["last_innovation"] = innovation
    bound = config.gate * config.gate * expected
    if config.residual_half_life > 0.0:  # an unbelieved innovation counts as one at the gate, so that nu can grow
        keep = 2.0 ** (-1.0 / config.residual_half_life)
        squared = min(innovation * innovation, bound)
        state["residual_variance"] = keep * noise + (1.0 - keep) * max(squared - predicted, 0.0)
    if innovation * innovation > bound:
        state["variance"] = predicted
        state["refused_in_a_row"] += 1
        state["refused"] += 1
        return False
    gain = predicted / expected
    state["basis"] += gain * innovation
    state["variance"] = (1.0 - gain) * predicted
    state["refused_in_a_row"] = 0
    state["updates"] += 1
    return True


@kernel
def opinion_of_print(venue: State, config: Config, ts_ns: int, log_price: float, lead_s: float) -> int:
    """What a filter thinks of a print that it need not be shown: 1 believed, -1 beyond its gate; changes nothing.

    0, no opinion: too few prints yet, or the ring does not reach back that far.
    """
    state: Record = venue[0]
    led = log_mid_at(venue, ts_ns - int(lead_s * 1e9))
    if state["updates"] < config.prints_to_warm or math.isnan(led):
        return 0
    innovation = log_price - led - state["basis"]
    bound = config.gate * config.gate * (state["variance"] + state["residual_variance"])
    return -1 if innovation * innovation > bound else 1


@kernel
def project_oracle(
    venue: State, drift_per_sqrt_s: float, prints_to_warm: int, now_ns: int, lead_s: float
) -> tuple[float, float, bool]:
    """Log oracle price at now + lead, the standard deviation of its error, and whether to believe it.

    The deviation is that of b (grown by the oracle's silence) and of one print's residual together. Not believed: too
    few prints yet, or the last print was refused by the gate.
    """
    state: Record = venue[0]
    silent_s = max((now_ns - state["last_print_ns"]) * 1e-9 - lead_s, 0.0)
    variance = state["variance"] + drift_per_sqrt_s * drift_per_sqrt_s * silent_s
    believed = state["updates"] >= prints_to_warm and state["refused_in_a_row"] == 0
    return state["log_mid"] + state["basis"], math.sqrt(variance + state["residual_variance"]), believed


def steady_gain(q_over_r: float) -> float:
    """The gain a local-level filter settles at: (-q + sqrt(q^2 + 4 q)) / 2, q = level variance a step / residual's."""
    return (-q_over_r + math.sqrt(q_over_r * q_over_r + 4.0 * q_over_r)) / 2.0


@kernel
def lagged_point_probability(log_excess: float, sigma: float, tau_s: float, lead_s: float, residual_sd: float) -> float:
    """Point digital on a lagging oracle: Phi((B + b - K) / sqrt(sigma^2 max(tau - l, 0) + nu^2))."""
    ahead_s = tau_s - lead_s if tau_s > lead_s else 0.0
    return normal_cdf(log_excess / math.sqrt(sigma * sigma * ahead_s + residual_sd * residual_sd))


@kernel
def averaging_oracle_law(oracle_log: float, venue_log: float, tau_s: float, theta_s: float) -> tuple[float, float]:
    """Mean, and variance over sigma^2 (s), of an oracle that is an exponential average (theta) of the venue."""
    decay = math.exp(-tau_s / theta_s)
    mean = oracle_log * decay + venue_log * (1.0 - decay)
    return mean, tau_s - 2.0 * theta_s * (1.0 - decay) + 0.5 * theta_s * (1.0 - decay * decay)

"""Value of a digital option under the market's own settlement rule (compiled, pure).

Two rules exist. *TWAP*: CALL pays when the mean of the oracle's 1 Hz prints over the last minute before the end is at
least the same mean before the start (a tie is CALL). *Spot*: CALL pays when the price at the end is at least the
strike.

With log price X a driftless Brownian motion of volatility sigma, settlement samples e_j and strike samples s_j, and
everything known at a reference instant,

    m = mean_j E[X(e_j)] - mean_j E[X(s_j)]        d = m / sqrt(V)        P(CALL) = Phi(d)
    V = sigma^2 * integral g(t)^2 dt,  g(t) = share of settlement samples after t - share of strike samples after t

The known part comes from the oracle's own prints, kept in a `WINDOW` record. A print that should exist but was not seen
is never invented: it enters with its conditional law given its neighbours (a Brownian bridge, or a random walk when it
has only one neighbour), so its uncertainty is in V. There is no floor on time or volatility anywhere: V = 0 means that
the outcome is known.

Units: times in nanoseconds or seconds as named, sigma per sqrt(second), logs natural, probabilities in [0, 1].
Source: `reference/quant.md` 1.1, 1.2, 1.4; numbers: `twap_settlement`, `digital_greeks` and `digital_fat_tails` in
`../shared/vectors`.
"""

from __future__ import annotations

import math

import numpy as np

from shared.kernel import Record, State, kernel

MAX_SAMPLES = 128
NS_PER_SAMPLE = 1_000_000_000
_SAMPLES_PER_NS = 1e-9
_ROOT_2 = math.sqrt(2.0)
_ROOT_2_PI = math.sqrt(2.0 * math.pi)

# Two means of equal prices differ by rounding noise of this order; a tie pays CALL. One part in 1e12 is far below the
# oracle's own resolution (1e-8 dollars on 1e5).
TIE_LOG = 1e-12

# One averaging window: `count` prints one second apart, the first stamped `first_ns`. `before_*` is the last print seen
# earlier than the window. `highest` is the index of the newest print seen, -1 when there is none.
WINDOW = np.dtype(
    [
        ("first_ns", np.int64),
        ("count", np.int64),
        ("seen", np.int64),
        ("highest", np.int64),
        ("log_sum", np.float64),
        ("before_ns", np.int64),
        ("before_log", np.float64),
        ("logs", np.float64, (MAX_SAMPLES,)),
        ("is_seen", np.uint8, (MAX_SAMPLES,)),
    ]
)


def open_window(*, end_ns: int, lookback_s: int, offset_s: float) -> State:
    """An empty window of `lookback_s` prints whose last one is stamped `offset_s` before `end_ns`.

    Raises ValueError when the window does not fit the record.
    """
    if not 1 <= lookback_s <= MAX_SAMPLES:
        raise ValueError(f"a TWAP of {lookback_s} s does not fit: 1 to {MAX_SAMPLES} one-second samples are supported")
    window = np.zeros(1, dtype=WINDOW)
    window["count"] = lookback_s
    window["first_ns"] = end_ns - round(offset_s * 1e9) - (lookback_s - 1) * NS_PER_SAMPLE
    window["highest"] = -1
    return window


@kernel
def observe_print(windows: State, row: int, ts_ns: int, log_price: float) -> bool:
    """Put one oracle print into a window; True when it changed a sample of it. The last print of a second counts."""
    window: Record = windows[row]
    index = (ts_ns - window["first_ns"] + NS_PER_SAMPLE // 2) // NS_PER_SAMPLE
    if index < 0:
        if ts_ns >= window["before_ns"]:
            window["before_ns"] = ts_ns
            window["before_log"] = log_price
        return False
    if index >= window["count"]:
        return False
    if window["is_seen"][index]:
        if window["logs"][index] == log_price:
            return False
        window["log_sum"] += log_price - window["logs"][index]
        window["logs"][index] = log_price
        return True
    window["is_seen"][index] = 1
    window["logs"][index] = log_price
    window["log_sum"] += log_price
    window["seen"] += 1
    if index > window["highest"]:
        window["highest"] = index
    return True


@kernel
def _walk_variance(steps: float, lead: float) -> float:
    """Variance (s) of the sum of a unit random walk at lead, lead + 1, ..., lead + steps - 1 seconds."""
    return (lead - 1.0) * steps * steps + steps * (steps + 1.0) * (2.0 * steps + 1.0) / 6.0


@kernel
def window_law(windows: State, row: int, ref_ns: int, ref_log: float) -> tuple[float, float, float, int, float, int]:
    """Law of a window's sum given the prints seen and the price at the reference instant.

    Returns (expected sum, sensitivity of it to `ref_log` in samples, variance of the unseen past part in s,
    samples still in the future, seconds from the reference to the first of them, past samples not seen).
    The expected sum includes the future samples at `ref_log`.
    """
    window: Record = windows[row]
    count = window["count"]
    first_ns = window["first_ns"]
    highest = window["highest"]
    logs = window["logs"]
    is_seen = window["is_seen"]
    past = 0 if ref_ns < first_ns else min(count, (ref_ns - first_ns) // NS_PER_SAMPLE + 1)
    past = max(past, highest + 1)
    future = count - past
    lead_s = max((first_ns - ref_ns) * _SAMPLES_PER_NS + past, 0.0)
    total = window["log_sum"]
    sensitivity = float(future)
    variance_s = 0.0
    missing = past - window["seen"]

    if missing > 0:
        before_s = (first_ns - window["before_ns"]) * _SAMPLES_PER_NS  # seconds before sample 0
        has_left = window["before_ns"] > 0
        left_log = window["before_log"]
        left_at = -before_s
        index = 0
        while index <= highest:
            if is_seen[index]:
                has_left = True
                left_log = logs[index]
                left_at = float(index)
                index += 1
                continue
            start = index
            while not is_seen[index]:
                index += 1
            steps = float(index - start)
            right_log = logs[index]
            if has_left:  # a bridge between two prints
                lead = start - left_at
                span = index - left_at
                times = lead * steps + steps * (steps - 1.0) / 2.0
                total += steps * left_log + times / span * (right_log - left_log)
                variance_s += _walk_variance(steps, lead) - times * times / span
            else:  # nothing before it: a walk backwards from the first print
                total += steps * right_log
                variance_s += _walk_variance(steps, 1.0)
        steps = float(past - 1 - highest)
        if steps > 0.0:
            start = highest + 1
            ref_at = (ref_ns - first_ns) * _SAMPLES_PER_NS
            if has_left:  # a bridge between the last print and the reference
                lead = start - left_at
                span = ref_at - left_at
                times = lead * steps + steps * (steps - 1.0) / 2.0
                total += steps * left_log + times / span * (ref_log - left_log)
                sensitivity += times / span
                variance_s += _walk_variance(steps, lead) - times * times / span
            else:
                total += steps * ref_log
                sensitivity += steps
                variance_s += _walk_variance(steps, ref_at - (past - 1))
    total += future * ref_log
    return total, sensitivity, variance_s, future, lead_s, missing


@kernel
def twap_law(
    windows: State, strike_known: bool, strike_log: float, ref_ns: int, ref_log: float
) -> tuple[float, float, float, int]:
    """Law of (settlement mean - strike mean): (mean in log, d mean / d ref_log, variance in s, prints missing).

    `windows` holds the strike window in row 0 and the settlement window in row 1. With `strike_known` the strike is
    `strike_log`; otherwise its realised part comes from row 0, as before the start. The variance is NaN when the strike
    is unknown and the two windows overlap: no answer is defined here for that.
    """
    total, sensitivity, hidden_s, future, lead_s, missing = window_law(windows, 1, ref_ns, ref_log)
    count = float(windows[1]["count"])
    mean = total / count
    weight = sensitivity / count
    variance_s = hidden_s / (count * count)
    left = float(future)
    if strike_known:
        mean -= strike_log
        if future > 0:
            variance_s += (left * left * (lead_s - 1.0) + left * (left + 1.0) * (2.0 * left + 1.0) / 6.0) / count**2
        return mean, weight, variance_s, missing

    strike_total, strike_sensitivity, strike_hidden_s, strike_future, strike_lead_s, strike_missing = window_law(
        windows, 0, ref_ns, ref_log
    )
    mean -= strike_total / count
    weight -= strike_sensitivity / count
    variance_s += strike_hidden_s / (count * count)
    missing += strike_missing
    if strike_future == 0:
        if future > 0:
            variance_s += (left * left * (lead_s - 1.0) + left * (left + 1.0) * (2.0 * left + 1.0) / 6.0) / count**2
        return mean, weight, variance_s, missing
    between_s = (windows[1]["first_ns"] - windows[0]["first_ns"]) * _SAMPLES_PER_NS - (count - 1.0)
    if between_s < 0.0 or future < windows[1]["count"]:
        return mean, weight, math.nan, missing
    unknown = float(strike_future)
    steps = unknown - 1.0
    variance_s += strike_lead_s * (1.0 - unknown / count) ** 2
    variance_s += steps - steps * unknown / count + steps * unknown * (2.0 * unknown - 1.0) / (6.0 * count * count)
    variance_s += between_s + (count - 1.0) * (2.0 * count - 1.0) / (6.0 * count)
    return mean, weight, variance_s, missing


@kernel
def normal_cdf(score: float) -> float:
    """Phi(score), accurate in both tails."""
    return 0.5 * math.erfc(-score / _ROOT_2)


@kernel
def normal_density(score: float) -> float:
    """phi(score)."""
    return math.exp(-0.5 * score * score) / _ROOT_2_PI


@kernel
def _beta_fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function (modified Lentz)."""
    tiny = 1e-300
    c = 1.0
    d = 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    fraction = d
    for step in range(1, 400):
        even = step * (b - step) * x / ((a + 2.0 * step - 1.0) * (a + 2.0 * step))
        d = 1.0 + even * d
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = 1.0 + even / c
        c = c if abs(c) > tiny else tiny
        fraction *= d * c
        odd = -(a + step) * (a + b + step) * x / ((a + 2.0 * step) * (a + 2.0 * step + 1.0))
        d = 1.0 + odd * d
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = 1.0 + odd / c
        c = c if abs(c) > tiny else tiny
        change = d * c
        fraction *= change
        if abs(change - 1.0) < 1e-15:
            break
    return fraction


@kernel
def student_cdf(score: float, dof: float) -> float:
    """P(T <= score) for Student's t with `dof` > 0 degrees of freedom (real), by the incomplete beta function."""
    x = dof / (dof + score * score)
    if x <= 0.0:  # the square overflows: certainty
        return 1.0 if score > 0.0 else 0.0
    a = 0.5 * dof
    front = math.exp(math.lgamma(a + 0.5) - math.lgamma(a) - math.lgamma(0.5) + a * math.log(x))
    front *= math.sqrt(score * score / (dof + score * score))
    if x < (a + 1.0) / (a + 2.5):
        tail = 0.5 * front * _beta_fraction(a, 0.5, x) / a
    else:
        tail = 0.5 * (1.0 - front * _beta_fraction(0.5, a, 1.0 - x) / 0.5)
    return 1.0 - tail if score > 0.0 else tail


@kernel
def student_density(score: float, dof: float) -> float:
    """Density of Student's t."""
    front = math.lgamma(0.5 * (dof + 1.0)) - math.lgamma(0.5 * dof) - 0.5 * math.log(dof * math.pi)
    return math.exp(front - 0.5 * (dof + 1.0) * math.log1p(score * score / dof))


@kernel
def up_probability(mean: float, variance: float, dof: float) -> tuple[float, float]:
    """P(outcome variable >= 0) and its slope in the mean, for mean and variance in log price.

    `dof` > 2: unit-variance Student t, P = T_dof(d sqrt(dof / (dof - 2))); otherwise Gaussian. Variance 0: the outcome
    is known (a tie pays), slope 0.
    """
    if variance <= 0.0:
        return (1.0 if mean >= -TIE_LOG else 0.0), 0.0
    deviation = math.sqrt(variance)
    score = mean / deviation
    if dof > 2.0:
        scale = math.sqrt(dof / (dof - 2.0))
        return student_cdf(score * scale, dof), student_density(score * scale, dof) * scale / deviation
    return normal_cdf(score), normal_density(score) / deviation


@kernel
def tail_dof(effective_s: float, kurtosis: float) -> float:
    """Degrees of freedom of the sum of `effective_s` one-second returns of excess kurtosis `kurtosis`: 4 + 6 n / k.

    0 (Gaussian) when the kurtosis is 0.
    """
    return 4.0 + 6.0 * effective_s / kurtosis if kurtosis > 0.0 else 0.0


@kernel
def point_digital(
    log_moneyness: float, sigma: float, tau_s: float, spot: float
) -> tuple[float, float, float, float, float, float, float]:
    """Digital settled on the price at the end: (price, delta, gamma, vega, theta, d1, d2).

    d2 = ln(S/K) / s - s / 2, d1 = d2 + s, s = sigma sqrt(tau); price = Phi(d2). Delta and gamma are per dollar of spot,
    vega per unit of sigma, theta per second. tau = 0 or sigma = 0: the payoff itself and zero Greeks.
    """
    deviation = sigma * math.sqrt(tau_s) if tau_s > 0.0 else 0.0
    if deviation <= 0.0:
        return (1.0 if log_moneyness >= -TIE_LOG else 0.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    d2 = log_moneyness / deviation - 0.5 * deviation
    d1 = d2 + deviation
    density = normal_density(d2)
    return (
        normal_cdf(d2),
        density / (spot * deviation),
        -density * d1 / (spot * spot * deviation * deviation),
        -density * d1 / sigma,
        density * d1 / (2.0 * tau_s),
        d1,
        d2,
    )


@kernel
def merton_probability(
    log_moneyness: float, sigma: float, tau_s: float, jump_rate_per_s: float, jump_sd: float
) -> float:
    """Point digital with zero-mean lognormal jumps: sum_n Poisson(n; rate tau) Phi((m - v_n / 2) / sqrt(v_n))."""
    expected = jump_rate_per_s * tau_s
    weight = math.exp(-expected)
    probability = 0.0
    covered = 0.0
    for jumps in range(200):
        variance = sigma * sigma * tau_s + jumps * jump_sd * jump_sd
        probability += weight * up_probability(log_moneyness - 0.5 * variance, variance, 0.0)[0]
        covered += weight
        if jumps > expected and 1.0 - covered < 1e-15:
            break
        weight *= expected / (jumps + 1.0)
    return probability

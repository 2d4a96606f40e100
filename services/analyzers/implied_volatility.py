"""Volatility implied by the price of a digital, from the market's own quotes.

With s the total standard deviation to settlement, m the log-moneyness and z = Phi^-1(p):

    Phi(m/s - s/2) = p   <=>   s^2 + 2 z s - 2 m = 0

One root for m > 0; for m < 0 two roots below p_max = Phi(-sqrt(-2m)), of which the smaller is meant, none above. When
the market favors the other side than the spot (z and m of opposite sign) it disagrees about the *spot*, not about
volatility: no answer. sigma = s / sqrt(T), where T is the settlement's variance in seconds: time left for a spot
settlement, less for a mean of prints (`shared.digital.twap_law`). Single readings are weighted by their conditioning
(phi(z) z)^2 and only taken for 0.3 < |z| < 2.2; the answer is their weighted median over half a minute.

Source: reference/quant.md sections 1.1 and 1.6; quantile: Wichura, AS 241 (1988).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from shared.kernel import Record, kernel

SLOTS = 32

STATE = np.dtype(
    [
        ("ts_ns", "i8", (SLOTS,)),
        ("sigma", "f8", (SLOTS,)),
        ("weight", "f8", (SLOTS,)),
        ("error", "f8", (SLOTS,)),
        ("order", "i8", (SLOTS,)),  # scratch of the median
        ("count", "i8"),
        ("last_ns", "i8"),
    ],
    align=True,
)


class Config(NamedTuple):
    """Spreads in dollars per share, times in seconds. `error_floor`: the least relative error granted to the market,
    however well its readings agree."""

    z_low: float = 0.3
    z_high: float = 2.2
    max_spread: float = 0.10
    sample_s: float = 1.0
    window_s: float = 30.0
    min_samples: float = 5.0
    min_variance_s: float = 5.0
    error_floor: float = 0.10


@kernel
def normal_quantile(p: float) -> float:
    """Phi^-1(p) to about 1e-16; infinite at 0 and 1, NaN outside."""
    if not 0.0 <= p <= 1.0:
        return math.nan
    if p == 0.0:
        return -math.inf
    if p == 1.0:
        return math.inf
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        top = (
            ((2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r + 6.7265770927008700853e4) * r
            + 4.5921953931549871457e4
        ) * r
        top = (
            ((top + 1.3731693765509461125e4) * r + 1.9715909503065514427e3) * r + 1.3314166789178437745e2
        ) * r + 3.3871328727963666080e0
        low = (
            ((5.2264952788528545610e3 * r + 2.8729085735721942674e4) * r + 3.9307895800092710610e4) * r
            + 2.1213794301586595867e4
        ) * r
        low = (((low + 5.3941960214247511077e3) * r + 6.8718700749205790830e2) * r + 4.2313330701600911252e1) * r + 1.0
        return q * top / low
    r = math.sqrt(-math.log(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        r -= 1.6
        top = (
            ((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r + 2.41780725177450611770e-1) * r
            + 1.27045825245236838258e0
        ) * r
        top = (
            ((top + 3.64784832476320460504e0) * r + 5.76949722146069140550e0) * r + 4.63033784615654529590e0
        ) * r + 1.42343711074968357734e0
        low = (
            ((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r + 1.51986665636164571966e-2) * r
            + 1.48103976427480074590e-1
        ) * r
        low = (((low + 6.89767334985100004550e-1) * r + 1.67638483018380384940e0) * r + 2.05319162663775882187e0) * r
        low += 1.0
    else:
        r -= 5.0
        top = (
            ((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 1.24266094738807843860e-3) * r
            + 2.65321895265761230930e-2
        ) * r
        top = (
            ((top + 2.96560571828504891230e-1) * r + 1.78482653991729133580e0) * r + 5.46378491116411436990e0
        ) * r + 6.65790464350110377720e0
        low = (
            ((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r + 1.84631831751005468180e-5) * r
            + 7.86869131145613259100e-4
        ) * r
        low = (((low + 1.48753612908506148525e-2) * r + 1.36929880922735805310e-1) * r + 5.99832206555887937690e-1) * r
        low += 1.0
    return -top / low if q < 0.0 else top / low


@kernel
def total_sd_roots(log_moneyness: float, p: float) -> tuple[int, float, float]:
    """How many total standard deviations give this price, and which: (count, smaller, larger); NaN where absent."""
    z = normal_quantile(p)
    if not math.isfinite(z) or not math.isfinite(log_moneyness):
        return 0, math.nan, math.nan
    if log_moneyness == 0.0:
        return (1, -2.0 * z, math.nan) if z < 0.0 else (0, math.nan, math.nan)
    inside = z * z + 2.0 * log_moneyness
    if log_moneyness > 0.0:
        root = math.sqrt(inside)
        return 1, (2.0 * log_moneyness / (z + root) if z > 0.0 else root - z), math.nan
    if z >= 0.0 or inside < -1e-12 * z * z:
        return 0, math.nan, math.nan
    if inside <= 1e-12 * z * z:  # the double root, up to rounding
        return 1, -z, math.nan
    larger = math.sqrt(inside) - z
    return 2, -2.0 * log_moneyness / larger, larger


@kernel
def usable_total_sd(log_moneyness: float, p: float) -> float:
    """The total standard deviation that is meant; NaN when there is none or the market disagrees about the spot."""
    if (p - 0.5) * log_moneyness <= 0.0:
        return math.nan
    return total_sd_roots(log_moneyness, p)[1]


@kernel
def price_conditioning(p: float) -> float:
    """d(sigma)/sigma per dollar of price error: 1 / (phi(z) |z|)."""
    z = normal_quantile(p)
    return math.sqrt(2.0 * math.pi) * math.exp(0.5 * z * z) / abs(z) if z != 0.0 else math.inf


@kernel
def update(
    state: Record,
    config: Config,
    ts_ns: int,
    bid: float,
    ask: float,
    log_moneyness: float,
    moneyness_error: float,
    variance_s: float,
) -> bool:
    """Take one quote of CALL with the settlement's mean log-moneyness, the standard deviation of its error, and the
    settlement's variance in seconds of spot variance; True when it became a reading.

    Ignored: quotes older or denser than `sample_s`, one-sided, crossed or wider than `max_spread`, badly conditioned.
    """
    if (ts_ns - state.last_ns) * 1e-9 < config.sample_s:
        return False
    if not (0.0 < bid < ask < 1.0 and ask - bid <= config.max_spread and variance_s >= config.min_variance_s):
        return False
    p = 0.5 * (bid + ask)
    z = normal_quantile(p)
    if not config.z_low < abs(z) < config.z_high:
        return False
    total = usable_total_sd(log_moneyness, p)
    if not total > 0.0:
        return False
    by_price = 0.5 * (ask - bid) * price_conditioning(p)
    by_spot = moneyness_error / (total * abs(z))
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    place = state.count % len(state.ts_ns)
    state.ts_ns[place] = ts_ns
    state.sigma[place] = total / math.sqrt(variance_s)
    state.weight[place] = (density * z) ** 2
    state.error[place] = math.sqrt(by_price * by_price + by_spot * by_spot)
    state.count += 1
    state.last_ns = ts_ns
    return True


@kernel
def read(state: Record, config: Config, now_ns: int) -> tuple[float, float]:
    """Sigma per sqrt second and its relative error: weighted median of the window; NaN with too few readings.

    error^2 = mean reading error^2 + (1.25 mean absolute deviation)^2 + floor^2. Readings share their errors (the same
    book, the same spot), so the error does not shrink with their number.
    """
    slots = len(state.ts_ns)
    n = 0
    total_weight = 0.0
    for i in range(min(state.count, slots)):
        age_s = (now_ns - state.ts_ns[i]) * 1e-9
        if age_s <= config.window_s:
            j = n
            while j > 0 and state.sigma[state.order[j - 1]] > state.sigma[i]:
                state.order[j] = state.order[j - 1]
                j -= 1
            state.order[j] = i
            total_weight += state.weight[i]
            n += 1
    if n < config.min_samples:
        return math.nan, math.nan
    below = 0.0
    median = math.nan
    for j in range(n):
        i = state.order[j]
        below += state.weight[i]
        if below >= 0.5 * total_weight:
            median = state.sigma[i]
            break
    deviation = 0.0
    reading = 0.0
    for j in range(n):
        i = state.order[j]
        deviation += state.weight[i] * abs(state.sigma[i] / median - 1.0)
        reading += state.weight[i] * state.error[i] ** 2
    deviation = 1.25 * deviation / total_weight
    return median, math.sqrt(reading / total_weight + deviation * deviation + config.error_floor**2)


@kernel
def blend(
    realized: float, realized_error: float, implied: float, implied_error: float, implied_cap: float
) -> tuple[float, float]:
    """Two volatilities into one, in logs, weighted by precision: (sigma, relative error).

    w_implied = min(cap, (1/e_i^2) / (1/e_r^2 + 1/e_i^2)); error^2 = w_r^2 e_r^2 + w_i^2 e_i^2 + w_r w_i ln(i/r)^2:
    where they disagree the blend is unsure. Without a market the realized one stands alone; without a realized one
    there is no answer (the market alone cannot be defended).
    """
    if not realized > 0.0:
        return math.nan, math.nan
    if not implied > 0.0:
        return realized, realized_error
    precision_realized = 1.0 / (realized_error * realized_error)
    precision_implied = 1.0 / (implied_error * implied_error)
    w = min(implied_cap, precision_implied / (precision_realized + precision_implied))
    gap = math.log(implied / realized)
    square = ((1.0 - w) * realized_error) ** 2 + (w * implied_error) ** 2 + w * (1.0 - w) * gap * gap
    return realized * math.exp(w * gap), math.sqrt(square)

"""The dynamic spread: base x time x regime x toxicity x volatility x phase, and the floors under it (compiled, pure).

Source: `reference/quant.md` 1.7 (pin risk), 6, 8; numbers: `../shared/vectors/danger_zone.json`.
"""

from __future__ import annotations

import math

from shared.digital import normal_density
from shared.kernel import kernel


@kernel
def bounded(number: float, low: float, high: float) -> float:
    """The number, within [low, high]."""
    return max(low, min(high, number))


@kernel
def time_factor(
    value_sd_per_sqrt_s: float, open_effective_s: float, sensitivity: float, low: float, high: float
) -> float:
    """(speed of the fair value / its speed at the open at the money) ^ sensitivity, within [low, high].

    Speed is phi(d) w sqrt(1 / tau_eff), the standard deviation of the fair value over a second: time and moneyness in
    one number; at the open and at the money it is phi(0) / sqrt(open_effective_s).
    """
    if value_sd_per_sqrt_s <= 0.0 or open_effective_s <= 0.0:
        return low
    relative = value_sd_per_sqrt_s * math.sqrt(open_effective_s) / normal_density(0.0)
    return bounded(relative**sensitivity, low, high)


@kernel
def information_lag(cancel_latency_s: float, feed_lag_s: float, taker_delay_s: float, least_s: float) -> float:
    """Seconds a taker can be ahead of our cancel: cancel latency + feed lag - taker delay, at least `least_s`."""
    return max(cancel_latency_s + feed_lag_s - taker_delay_s, least_s)


@kernel
def pin_risk_half_spread(value_sd_per_sqrt_s: float, lag_s: float, z: float) -> float:
    """Half-spread that pays for being picked off during `lag_s`: phi(d) w sqrt(L / tau_eff) (0.4 + z)."""
    return value_sd_per_sqrt_s * math.sqrt(lag_s) * (0.4 + z)


@kernel
def pick_off_loss(value_sd_per_sqrt_s: float, lag_s: float) -> float:
    """Expected loss of a stale quote: E[(dp)+] = sd(dp) / sqrt(2 pi)."""
    return value_sd_per_sqrt_s * math.sqrt(lag_s) / math.sqrt(2.0 * math.pi)

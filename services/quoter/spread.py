"""The dynamic spread: base x time x regime x toxicity x volatility x phase, and the floors under it (compiled, pure).

Source: `reference/quant.md` 1.7 (pin risk), 6, 8, 10; numbers: `../shared/vectors/danger_zone.json`.
"""

from __future__ import annotations

import math

from shared.digital import normal_cdf, normal_density
from shared.kernel import kernel

# The loss accepted at a pin-risk z is that of a half-spread of this many standard deviations, plus z.
MEAN_PICK_OFF = 0.4
_PEAK_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)  # of the standard normal
_NEWTON_STEPS = 40
_NEWTON_EXACT = 1e-7  # after so small a step the error is its square


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
    relative = value_sd_per_sqrt_s * math.sqrt(open_effective_s) / _PEAK_DENSITY
    return bounded(relative**sensitivity, low, high)


@kernel
def information_lag(cancel_latency_s: float, feed_lag_s: float, taker_delay_s: float, least_s: float) -> float:
    """Seconds a taker can be ahead of our cancel: cancel latency + feed lag - taker delay, at least `least_s`."""
    return max(cancel_latency_s + feed_lag_s - taker_delay_s, least_s)


@kernel
def pick_off_loss(half_spread: float, fee: float) -> float:
    """Expected loss of a stale quote to a taker who knows the new value and pays a fee; all in standard deviations.

    He takes when the value has moved past half-spread + fee, and gains the move less the half-spread:
    E[(m - h) 1(m > h + f)] = phi(h + f) - h Q(h + f). Without either it is 1 / sqrt(2 pi).
    """
    return normal_density(half_spread + fee) - half_spread * normal_cdf(-half_spread - fee)


@kernel
def pin_risk_half_spread(value_sd: float, z: float) -> float:
    """Half-spread that pays for being picked off by a taker without a fee: sd (0.4 + z).

    `value_sd` is the standard deviation, in dollars, of the fair value over the information lag L: phi(d) w sqrt(L /
    tau_eff).
    """
    return value_sd * (MEAN_PICK_OFF + z)


@kernel
def pin_risk_floor(value_sd: float, z: float, fee: float) -> float:
    """Least half-spread, in dollars, at which a taker who pays `fee` dollars a share costs no more than is accepted.

    Accepted is the loss to a taker without a fee at a = 0.4 + z standard deviations: the floor is sd x, x >= 0 solving
    phi(x + c) - x Q(x + c) = phi(a) - a Q(a), c = fee / sd; 0 when x = 0 already loses less. Without a fee it is a sd.

    The loss falls in x and is convex (slope -c phi(x + c) - Q(x + c)), and x = a - c loses at least what is accepted:
    Newton's steps from max(a - c, 0) rise to the root and never pass it.
    """
    widest = MEAN_PICK_OFF + z
    if value_sd <= 0.0:
        return 0.0
    if fee <= 0.0:
        return value_sd * widest
    fee_sds = fee / value_sd
    accepted = pick_off_loss(widest, 0.0)
    half = max(widest - fee_sds, 0.0)
    for _ in range(_NEWTON_STEPS):
        density, tail = normal_density(half + fee_sds), normal_cdf(-half - fee_sds)
        excess = density - half * tail - accepted  # `pick_off_loss`
        if excess <= 0.0:
            break
        step = excess / (fee_sds * density + tail)
        half += step
        if step < _NEWTON_EXACT:
            break
    return value_sd * min(half, widest)


@kernel
def adverse_floor(impact: float, own_markout: float, rebate: float) -> float:
    """Half-spread, in dollars, that pays for what a fill loses afterwards: (impact+ - rebate)+ + (-own_markout)+.

    At distance d a maker earns d - impact + rebate. Own fills that lost money say that more was needed, and how much.
    What is not known (NaN) asks for nothing.
    """
    lost = impact if impact > 0.0 else 0.0
    missed = -own_markout if own_markout < 0.0 else 0.0
    return max(lost - rebate, 0.0) + missed

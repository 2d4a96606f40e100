"""Fitted tiers: where resting orders earn most, given how often they fill and what a fill loses (compiled, pure).

Orders at distance delta from the fair value fill at A exp(-k delta) a second; a filled share earns delta - adverse +
rebate. Source: `reference/quant.md` 10; numbers: `../shared/vectors/fill_tiers.json`.
"""

from __future__ import annotations

import math

from shared.kernel import kernel


@kernel
def best_half_spread(fill_decay_per_usd: float, adverse: float, rebate: float) -> float:
    """Distance in dollars at which `profit_rate` is greatest: 1 / k + adverse - rebate.

    1 / k is also c1 of Gueant-Lehalle-Fernandez-Tapia without risk aversion: inventory is the skew's affair.
    """
    return 1.0 / fill_decay_per_usd + adverse - rebate


@kernel
def profit_rate(
    half_spread: float, fill_rate_per_s: float, fill_decay_per_usd: float, adverse: float, rebate: float
) -> float:
    """Dollars a second that each share resting at this distance earns: A exp(-k delta+) (delta - adverse + rebate).

    Beyond the fair value (delta < 0) orders fill no faster than at it: nothing is known there.
    """
    fills_per_s = fill_rate_per_s * math.exp(-fill_decay_per_usd * max(half_spread, 0.0))
    return fills_per_s * (half_spread - adverse + rebate)

"""What Up is worth to somebody who sees a price: a digital on the 60 s average, for the simulated traders."""

from __future__ import annotations

import math

from services.simulator import params
from services.simulator.oracle import Oracle

_SQRT2 = math.sqrt(2.0)


def up_probability(
    oracle: Oracle, *, start_s: int, end_s: int, now_ms: int, price_usd: float, sigma_annual: float
) -> float:
    """P(TWAP60(end) >= TWAP60(start)) for a Brownian price.

    With r of the 60 values still open and the first of them `a` seconds away, the variance of the final average is
    `sigma^2 price^2 [(r/60)^2 a + r^3 / (3 * 60^2)]`. Before the start the strike is its expected value and the
    variance is that of the period's length.
    """
    now_s = now_ms / 1000.0
    strike = oracle.twap(start_s)
    known, count = oracle.known_part(end_s)
    left = params.TWAP_SECONDS - count
    expected = (known + left * price_usd) / params.TWAP_SECONDS
    if strike is None:
        part, parts = oracle.known_part(start_s)
        strike = (part + (params.TWAP_SECONDS - parts) * price_usd) / params.TWAP_SECONDS
        seconds = float(end_s - start_s)
    else:
        wait_s = max(0.0, end_s - params.TWAP_FIRST - now_s)
        share = left / params.TWAP_SECONDS
        seconds = share * share * wait_s + left**3 / (3.0 * params.TWAP_SECONDS**2)
    deviation = sigma_annual * price_usd * math.sqrt(seconds / params.SECONDS_PER_YEAR)
    if deviation <= 0.0:
        return 1.0 if expected >= strike else 0.0
    return 0.5 * math.erfc((strike - expected) / (deviation * _SQRT2))

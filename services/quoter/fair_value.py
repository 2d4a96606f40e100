"""Fair value of CALL under the period's own rule, from a reference price of the oracle (compiled, pure).

The reference is an instant, a log price of the oracle at that instant, and the variance of its error. It is either the
oracle's own last print (variance 0: the age of the print enters by itself, as time over which the price is unknown), or
the projection through the leading venue, which reaches to now + lead.

The band comes from the errors the value is sensitive to: volatility (dp/dln sigma = -phi(d) d) and the projection.
"""

from __future__ import annotations

import math

from shared.digital import TIE_LOG, tail_dof, twap_law, up_probability
from shared.kernel import State, kernel


@kernel
def settlement_law(
    windows: State,
    averaged: bool,
    strike_known: bool,
    strike_log: float,
    start_ns: int,
    end_ns: int,
    ref_ns: int,
    ref_log: float,
) -> tuple[float, float, float, int]:
    """Law of ln(settlement / strike): (mean, sensitivity to the reference, variance in s of the underlying, missing).

    `averaged`: TWAP at both ends; otherwise the price at the end, whose mean carries no drift correction here (see
    `digital_value`). The variance is NaN when nothing can be said: an unknown strike after the start of a spot period.
    """
    if averaged:
        return twap_law(windows, strike_known, strike_log, ref_ns, ref_log)
    if strike_known:
        return ref_log - strike_log, 1.0, max((end_ns - ref_ns) * 1e-9, 0.0), 0
    if ref_ns < start_ns:
        return 0.0, 0.0, (end_ns - start_ns) * 1e-9, 0
    return 0.0, 0.0, math.nan, 0


@kernel
def digital_value(
    mean: float,
    sensitivity: float,
    variance_s: float,
    averaged: bool,
    sigma: float,
    ref_variance: float,
    tail_kurtosis: float,
    tail_below_s: float,
) -> tuple[float, float, float]:
    """(fair value, its slope in the mean, variance in log^2).

    Fat tails (unit-variance Student t with 4 + 6 n / k degrees) only below `tail_below_s` effective seconds. A spot
    rule subtracts half the variance (the price is the martingale); an average does not (`quant.md` 1.1).
    """
    diffused = sigma * sigma * variance_s
    variance = diffused + sensitivity * sensitivity * ref_variance
    centre = mean if averaged else mean - 0.5 * diffused
    if variance <= 0.0:
        return (1.0 if centre >= -TIE_LOG else 0.0), 0.0, 0.0
    dof = tail_dof(variance_s, tail_kurtosis) if variance_s < tail_below_s else 0.0
    probability, slope = up_probability(centre, variance, dof)
    return probability, slope, variance


@kernel
def value_error(
    mean: float, slope: float, sensitivity: float, diffused_share: float, sigma_error: float, ref_sd: float
) -> float:
    """Standard deviation of the fair value: sqrt((slope m share dln sigma)^2 + (slope w sd_ref)^2)."""
    from_sigma = slope * mean * diffused_share * sigma_error
    from_reference = slope * sensitivity * ref_sd
    return math.sqrt(from_sigma * from_sigma + from_reference * from_reference)

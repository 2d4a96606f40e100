"""Leaning the quotes: inventory towards flat, momentum towards the move (compiled, pure).

A skew is a shift of the reservation price in dollars. Long CALL (or short PUT) shifts both quotes down.
The reservation price is leaned in logit space, so that it stays a probability; the half-spreads stay in dollars. To
quote both in logit space (r_x -+ delta_x, with a belief volatility fitted to the option's price) is not ours: that
volatility is phi(d) / (p (1 - p)) / sqrt(tau), known from spot; its inventory term holds every share to the end; and
the printed half-spread, (2 / k) ln(1 + gamma / k), has not the unit of a distance.

Source: `reference/quant.md` 2 and 3; numbers: `binary_reservation`, `binary_dp_benchmark`, `glft`, `logit_as` and
`fees_hedging` (momentum) in `../shared/vectors`.
"""

from __future__ import annotations

import math

from shared.kernel import kernel


@kernel
def certainty_reservation(fair_value: float, inventory: float, gamma: float) -> float:
    """Reservation price of a CARA holder who will not trade again: logistic(logit p - gamma N). In [0, 1]."""
    if fair_value <= 0.0 or fair_value >= 1.0:
        return fair_value
    score = math.log(fair_value / (1.0 - fair_value)) - gamma * inventory
    if score >= 0.0:
        return 1.0 / (1.0 + math.exp(-score))
    odds = math.exp(score)
    return odds / (1.0 + odds)


@kernel
def glft_skew_per_sqrt_variance(gamma: float, fill_rate: float, decay: float, lot: float) -> float:
    """c2 of Gueant-Lehalle-Fernandez-Tapia with lots D, at unit variance a second: what each share held shifts a quote.

    c2 = sqrt(gamma / (2 A D k) (1 + gamma D / k)^(k / (gamma D) + 1)). Needs gamma, A, k and D above 0.
    Source: Gueant 2016, eq. 4.7; numbers: `glft.json`.
    """
    ratio = gamma * lot / decay
    return math.sqrt(gamma / (2.0 * fill_rate * lot * decay) * math.exp(math.log1p(ratio) * (1.0 / ratio + 1.0)))


@kernel
def inventory_variance(
    fair_value: float,
    value_variance_per_s: float,
    tau_s: float,
    gamma: float,
    fill_rate: float,
    decay: float,
    lot: float,
) -> float:
    """The part of the payoff's variance that inventory really bears, given that it can be traded out.

    min(p(1-p), v H (1 + min(H / tau, 1) / 2)), v the variance of the fair value a second, H = c2 / (gamma sqrt(v)) the
    memory of inventory in the solution that c2 is of.
    """
    held_to_end = fair_value * (1.0 - fair_value)
    if gamma <= 0.0 or value_variance_per_s <= 0.0 or tau_s <= 0.0:
        return held_to_end
    c2 = glft_skew_per_sqrt_variance(gamma, fill_rate, decay, lot)
    memory_s = c2 / (gamma * math.sqrt(value_variance_per_s))
    borne = value_variance_per_s * memory_s * (1.0 + 0.5 * min(memory_s / tau_s, 1.0))
    return min(held_to_end, borne)


@kernel
def inventory_skew_logit(
    fair_value: float,
    inventory: float,
    value_variance_per_s: float,
    tau_s: float,
    gamma: float,
    fill_rate: float,
    decay: float,
    lot: float,
    bound: float,
) -> float:
    """Shift in dollars: logistic(logit p - gamma N Vinv / (p (1 - p))) - p, within +-bound. 0 when flat or certain."""
    held_to_end = fair_value * (1.0 - fair_value)
    if inventory == 0.0 or gamma <= 0.0 or held_to_end <= 0.0:
        return 0.0
    borne = inventory_variance(fair_value, value_variance_per_s, tau_s, gamma, fill_rate, decay, lot)
    shift = certainty_reservation(fair_value, inventory, gamma * borne / held_to_end) - fair_value
    return max(-bound, min(bound, shift))


@kernel
def inventory_skew_linear(inventory: float, dollars_per_share: float, bound: float) -> float:
    """Shift in dollars: -factor x N, within +-bound."""
    return max(-bound, min(bound, -dollars_per_share * inventory))


@kernel
def momentum_log_move(drift_per_s: float, tau_s: float, shrinkage: float, decay_per_s: float) -> float:
    """Expected log move that a measured drift still brings: beta mu (1 - exp(-kappa tau)) / kappa."""
    ahead_s = tau_s if tau_s > 0.0 else 0.0
    return shrinkage * drift_per_s * -math.expm1(-decay_per_s * ahead_s) / decay_per_s


@kernel
def momentum_skew(log_move: float, projected_move: float, delta_per_log: float, bound: float) -> float:
    """Shift in dollars of an expected log move through delta, within +-bound.

    What the lead projection has already moved in the same direction is taken off first: one move counts once.
    """
    if log_move > 0.0 and projected_move > 0.0:
        log_move = max(log_move - projected_move, 0.0)
    elif log_move < 0.0 and projected_move < 0.0:
        log_move = min(log_move - projected_move, 0.0)
    return max(-bound, min(bound, delta_per_log * log_move))

"""Leaning the quotes: inventory towards flat, momentum towards the move (compiled, pure).

A skew is a shift of the reservation price in dollars. Long CALL (or short PUT) shifts both quotes down.
Source: `reference/quant.md` 2 and 3; numbers: `../shared/vectors/{binary_reservation,binary_dp_benchmark}.json` and
`fees_hedging.json` (momentum).
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

    min(p(1-p), v H (1 + min(H / tau, 1) / 2)), v the variance of the fair value a second, H = c2 / (gamma v) the
    memory of inventory in Gueant-Lehalle-Fernandez-Tapia's solution,
    c2 = sqrt(gamma v / (2 A D k) (1 + gamma D / k)^(k / (gamma D) + 1)).
    """
    held_to_end = fair_value * (1.0 - fair_value)
    if gamma <= 0.0 or value_variance_per_s <= 0.0 or tau_s <= 0.0:
        return held_to_end
    ratio = gamma * lot / decay
    c2 = math.sqrt(
        gamma
        * value_variance_per_s
        / (2.0 * fill_rate * lot * decay)
        * math.exp(math.log1p(ratio) * (1.0 / ratio + 1.0))
    )
    memory_s = c2 / (gamma * value_variance_per_s)
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

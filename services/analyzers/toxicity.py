"""How informed the flow is: four kinds of evidence into one number in [0, 1].

    toxicity = 1 - (1 - w_v V)(1 - w_i I^2)(1 - w_a max(0, I L))(1 - w_m M)

V = (VPIN - null) / (1 - null): volume more one-sided than chance; I: signed taker imbalance; I L: takers trade in the
direction of the leading venue's order flow L; M = (markout - one standard error) / `markout_scale`: takers were right a
second later. V and M are cut to [0, 1]; evidence without an answer adds nothing. Each kind alone can reach at most its
weight; together they approach 1. Source: reference/quant.md section 6 (evidence); the combination is ours.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.kernel import kernel


class Config(NamedTuple):
    """Weights in [0, 1]; `markout_scale` in dollars per share."""

    vpin_weight: float = 0.5
    imbalance_weight: float = 0.35
    agreement_weight: float = 0.5
    markout_weight: float = 0.8
    markout_scale: float = 0.02


@kernel
def toxicity(
    config: Config, imbalance: float, lead_flow: float, vpin: float, null: float, markout: float, markout_error: float
) -> float:
    """Toxicity in [0, 1]; NaN arguments are missing evidence."""
    clean = 1.0 - config.imbalance_weight * imbalance * imbalance
    clean *= 1.0 - config.agreement_weight * max(imbalance * lead_flow, 0.0)
    if vpin > null and null < 1.0:
        clean *= 1.0 - config.vpin_weight * min((vpin - null) / (1.0 - null), 1.0)
    if markout > markout_error:
        clean *= 1.0 - config.markout_weight * min((markout - markout_error) / config.markout_scale, 1.0)
    return 1.0 - clean

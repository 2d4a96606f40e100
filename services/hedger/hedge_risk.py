"""What a position in a binary is worth under risk: certainty equivalent, delta, perpetual hedge, netting.

Pure functions; dollars, shares, seconds, natural-log volatility per square-root second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from services.hedger.hedge_inputs import HedgeError, OtherPosition

_NORMAL = NormalDist()
BP = 1e-4


def certainty_equivalent_usd(shares: float, *, probability: float, gamma_per_usd: float) -> float:
    """The sure dollars that are worth as much as `shares` that pay $1 each with this probability.

        CE(N) = -ln(p e^(-gamma N) + 1 - p) / gamma        CARA utility, held to expiry; p N when gamma is 0

    An uncertain p changes nothing but its mean, because the payoff has two outcomes. Source: `reference/quant.md` 2.
    """
    exposure = gamma_per_usd * shares
    if exposure == 0.0 or probability in (0.0, 1.0):
        return probability * shares
    if abs(exposure) < 1.0:
        return -math.log1p(probability * math.expm1(-exposure)) / gamma_per_usd
    wins, loses = math.log(probability) - exposure, math.log1p(-probability)
    larger = max(wins, loses)
    return -(larger + math.log1p(math.exp(min(wins, loses) - larger))) / gamma_per_usd


def fair_deviation_per_sqrt_s(*, fair: float, time_left_s: float, averaging_s: float) -> float | None:
    """How far the fair value moves in a second, one standard deviation, in dollars a share.

        phi(d) / sqrt(tau_e),  d = Phi^-1(fair),  tau_e = tau - 2 L / 3 before the settlement's average of L seconds
        began, tau / 3 within it: the variance left over the square of what a move now still moves

    The volatility cancels. None at the end, and where the fair value is 0 or 1. Source: `reference/quant.md` 1.1, 9.
    """
    if not 0.0 < fair < 1.0 or time_left_s <= 0.0:
        return None
    left_s = time_left_s - 2.0 / 3.0 * averaging_s if time_left_s >= averaging_s else time_left_s / 3.0
    return _NORMAL.pdf(_NORMAL.inv_cdf(fair)) / math.sqrt(left_s)


@dataclass(frozen=True, kw_only=True)
class PerpetualHedge:
    """A hedge of the delta with a perpetual future, once, without rebalancing."""

    fair_per_bp: float  # what CALL gains in dollars a share when the asset rises one basis point
    usd_per_bp: float  # what the position gains
    notional_usd: float  # to sell (positive) or buy (negative) in the perpetual
    round_trip_bps: float
    cost_usd: float
    cost_per_share_cents: float


def fair_per_bp(*, deviation_per_sqrt_s: float, sigma_per_sqrt_s: float) -> float | None:
    """Dollars a share that CALL gains per basis point of the asset; None without volatility."""
    return deviation_per_sqrt_s / sigma_per_sqrt_s * BP if sigma_per_sqrt_s > 0.0 else None


def perpetual_hedge(*, net_shares: float, fair_per_bp: float, round_trip_bps: float) -> PerpetualHedge:
    """The hedge of `net_shares` (CALL less PUT) and its cost of opening and closing. Source: `reference/quant.md` 9."""
    usd_per_bp = net_shares * fair_per_bp
    cost_usd = abs(usd_per_bp) * round_trip_bps
    return PerpetualHedge(
        fair_per_bp=fair_per_bp,
        usd_per_bp=usd_per_bp,
        notional_usd=usd_per_bp / BP,
        round_trip_bps=round_trip_bps,
        cost_usd=cost_usd,
        cost_per_share_cents=100.0 * fair_per_bp * round_trip_bps,
    )


@dataclass(frozen=True, kw_only=True)
class Netting:
    """Our delta beside that of other windows, in dollars per basis point of our asset.

    With returns r_i = rho_i r + sqrt(1 - rho_i^2) e_i, the positions of one asset added up first:
    `others_usd_per_bp` = sum rho_i delta_i is what the others lend us; `unnettable_usd_per_bp` =
    sqrt(sum (1 - rho_i^2) delta_i^2) is what no trade in our asset takes away.
    """

    own_usd_per_bp: float
    others_usd_per_bp: float
    unnettable_usd_per_bp: float
    shares_to_neutral: float  # CALL less PUT to give up (negative: to add) until nothing is left but the unnettable
    left_usd_per_bp: Mapping[str, float]  # by alternative: own and others after it

    @property
    def net_usd_per_bp(self) -> float:
        """Own and others, as things are."""
        return self.own_usd_per_bp + self.others_usd_per_bp


def net_positions(
    others: Sequence[OtherPosition],
    *,
    asset: str,
    correlation: float,
    fair_per_bp: float,
    net_shares: float,
    net_shares_left: Mapping[str, float],
) -> Netting:
    """Net our position against the others. `correlation` stands for pairs of different assets that name none.

    Raises HedgeError when one asset is given two correlations.
    """
    totals: dict[str, float] = {}
    rhos: dict[str, float] = {}
    for other in others:
        given = other.correlation if other.correlation is not None else (1.0 if other.asset == asset else correlation)
        if rhos.setdefault(other.asset, given) != given:
            raise HedgeError(
                f"other {other.market}: correlation",
                f"{given:g}, and another {other.asset} position has {rhos[other.asset]:g}",
                "one asset has one correlation with ours",
            )
        totals[other.asset] = totals.get(other.asset, 0.0) + other.usd_per_bp
    lent = sum(rhos[each] * total for each, total in totals.items())
    unnettable = math.sqrt(sum((1.0 - rhos[each] ** 2) * total**2 for each, total in totals.items()))
    own = net_shares * fair_per_bp
    return Netting(
        own_usd_per_bp=own,
        others_usd_per_bp=lent,
        unnettable_usd_per_bp=unnettable,
        shares_to_neutral=(own + lent) / fair_per_bp if fair_per_bp > 0.0 else 0.0,
        left_usd_per_bp={name: shares * fair_per_bp + lent for name, shares in net_shares_left.items()},
    )

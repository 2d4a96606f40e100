"""What the venue charges takers and pays makers: the fee of `shared/fees.py`, rebate, liquidity rewards (compiled).

Source: `reference/quant.md` 0.5 and 10; numbers: `../shared/vectors/fees_hedging.json`.
"""

from __future__ import annotations

import math

from services.quoter.ladder import ON_TICK
from shared.fees import fee_per_share
from shared.kernel import kernel

ONE_SIDED_DIVISOR = 3.0  # what quoting one side only divides the score by, where the venue allows it at all
_EXACT = 1e-9  # dollars: 0.10 is 0.40 from 0.50
_ONE_SIDED_REACH = 0.40  # of the mid from 0.50

taker_fee = kernel(fee_per_share)


@kernel
def maker_rebate(fee: float, rebate_rate: float) -> float:
    """Dollars a share that the maker gets back of the fee his taker paid."""
    return fee * rebate_rate


@kernel
def layer_score(distance: float, reach: float, size: float) -> float:
    """Reward score of one resting order: ((v - s) / v)^2 size at `distance` s of the mid; 0 from the reach v on.

    An order beyond the mid (s < 0) scores as one at the mid.
    """
    if reach <= 0.0 or distance >= reach:
        return 0.0
    share = (reach - max(distance, 0.0)) / reach
    return share * share * size


@kernel
def two_sided_score(bids: float, asks: float, mid: float) -> float:
    """Score of both sides: the lesser; with the mid within 0.40 of 0.50 at least a third of the greater."""
    lesser = min(bids, asks)
    if abs(mid - 0.5) > _ONE_SIDED_REACH + _EXACT:
        return lesser
    return max(lesser, max(bids, asks) / ONE_SIDED_DIVISOR)


@kernel
def rewarded_tick(mid: float, reach: float, tick_size: float, side: int) -> int:
    """The tick furthest from the mid that still scores: strictly within the reach. `side` +1 bid, -1 ask."""
    if side > 0:
        return math.floor((mid - reach) / tick_size + ON_TICK) + 1
    return math.ceil((mid + reach) / tick_size - ON_TICK) - 1

"""Signed order flow of takers: exponentially weighted (B - S) / (B + S + shrink), in CALL units.

Buying CALL and selling PUT are +1; the shrinkage keeps a lone small trade from reading as a one-sided market, and lets
the number fade to zero when trading stops. Source: reference/quant.md section 6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shared.kernel import Record, kernel
from shared.messages import Aggressor, Outcome

STATE = np.dtype([("last_ns", "i8"), ("buys", "f8"), ("sells", "f8"), ("trades", "i8")], align=True)


class Config(NamedTuple):
    """`half_life_s` in seconds, `shrink_shares` in shares (about the median volume of 20 s)."""

    half_life_s: float = 15.0
    shrink_shares: float = 50.0


def call_sign(outcome: Outcome, side: Aggressor) -> int:
    """+1 when buying (or selling) this outcome makes its owner longer CALL, -1 when shorter."""
    return 1 if (outcome == "CALL") == (side == "buy") else -1


def call_price(outcome: Outcome, price: float) -> float:
    """The trade's price as a price of CALL."""
    return price if outcome == "CALL" else 1.0 - price


@kernel
def update(state: Record, config: Config, ts_ns: int, signed_shares: float) -> None:
    """Take one trade; a time before the last one counts as the last one."""
    if ts_ns > state.last_ns:
        if state.last_ns > 0:
            keep = 2.0 ** (-(ts_ns - state.last_ns) * 1e-9 / config.half_life_s)
            state.buys *= keep
            state.sells *= keep
        state.last_ns = ts_ns
    if signed_shares >= 0.0:
        state.buys += signed_shares
    else:
        state.sells -= signed_shares
    state.trades += 1


@kernel
def read(state: Record, config: Config, now_ns: int) -> float:
    """The imbalance now, in [-1, 1]; 0 without trades."""
    keep = 2.0 ** (-max(now_ns - state.last_ns, 0) * 1e-9 / config.half_life_s)
    return float(keep * (state.buys - state.sells) / (keep * (state.buys + state.sells) + config.shrink_shares))

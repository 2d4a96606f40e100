"""What a trade was worth a moment later, in dollars per share of CALL: markout and impact.

For one side s of a trade (+1 bought CALL, -1 sold it; buying PUT at a is selling CALL at 1 - a), its price p in CALL
units, the mid m just before it and the mid M `horizon_s` later:

    effective = s (m - p)      the half-spread that this side was paid
    adverse   = s (m - M)      how far the mid then moved against it
    realised  = s (M - p)      what it was worth: effective - adverse

Public trades are added with the taker's side: the taker's markout is realised, its *impact* is -adverse, and a maker at
distance d from the mid earns d - impact. Our own fills are added with our side: realised is positive when good for us.
With the payoff as M, size times realised is the profit at settlement.

All times are the venue's, bounded by our receipt. A trade whose mid is unknown at the horizon is dropped, not guessed;
one whose mid before is unknown counts in the markout alone. Readings are size-weighted exponential means. Source:
reference/quant.md section 6.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from services.analyzers import mids
from shared.kernel import Record, kernel

SLOTS = 128

STATE = np.dtype(
    [
        ("ts_ns", "i8", (SLOTS,)),
        ("price", "f8", (SLOTS,)),
        ("before", "f8", (SLOTS,)),  # the mid just before; NaN when unknown
        ("signed_shares", "f8", (SLOTS,)),
        ("head", "i8"),
        ("tail", "i8"),
        ("gain", "f8"),
        ("gain_square", "f8"),
        ("weight", "f8"),
        ("weight_square", "f8"),
        ("adverse", "f8"),
        ("adverse_weight", "f8"),
        ("adverse_count", "i8"),
        ("decayed_ns", "i8"),
        ("resolved", "i8"),
        ("dropped", "i8"),
    ],
    align=True,
)


class Config(NamedTuple):
    """Seconds; no answer before `min_trades`."""

    horizon_s: float = 1.0
    half_life_s: float = 60.0
    min_trades: float = 5.0


@kernel
def spread_parts(side: float, price: float, before: float, later: float) -> tuple[float, float, float]:
    """(effective, adverse, realised) of one side of a trade (+1 bought CALL, -1 sold it), dollars per share.

    Each may be negative; effective = realised + adverse. NaN where a mid is.
    """
    return side * (before - price), side * (before - later), side * (later - price)


@kernel
def resolve(state: Record, config: Config, books: Record, ages: mids.Config, now_ns: int) -> None:
    """Settle every trade whose horizon lies before now, on the mid that stood there as far as it is known now."""
    slots = len(state.ts_ns)
    horizon_ns = int(config.horizon_s * 1e9)
    while state.tail < state.head:
        place = state.tail % slots
        due_ns = state.ts_ns[place] + horizon_ns
        if due_ns >= now_ns:
            return
        state.tail += 1
        later, _ = mids.stood_at(books, ages, due_ns)
        if math.isnan(later):
            state.dropped += 1
            continue
        keep = 1.0
        if state.decayed_ns > 0:
            keep = 2.0 ** (-max(due_ns - state.decayed_ns, 0) * 1e-9 / config.half_life_s)
        state.decayed_ns = max(due_ns, state.decayed_ns)
        shares = abs(state.signed_shares[place])
        side = math.copysign(1.0, state.signed_shares[place])
        _, adverse, gain = spread_parts(side, state.price[place], state.before[place], later)
        state.gain = keep * state.gain + shares * gain
        state.gain_square = keep * state.gain_square + shares * gain * gain
        state.weight = keep * state.weight + shares
        state.weight_square = keep * keep * state.weight_square + shares * shares
        state.adverse *= keep
        state.adverse_weight *= keep
        if not math.isnan(adverse):
            state.adverse += shares * adverse
            state.adverse_weight += shares
            state.adverse_count += 1
        state.resolved += 1


@kernel
def add_trade(state: Record, ts_ns: int, call_price: float, signed_shares: float, before: float) -> None:
    """Remember a trade of a side (its shares' sign, +1 bought CALL) until its horizon; when `SLOTS` are waiting the
    oldest is dropped. `before`: the mid just before it, NaN when unknown."""
    slots = len(state.ts_ns)
    if state.head - state.tail >= slots:
        state.tail += 1
        state.dropped += 1
    place = state.head % slots
    state.ts_ns[place] = ts_ns
    state.price[place] = call_price
    state.before[place] = before
    state.signed_shares[place] = signed_shares
    state.head += 1


@kernel
def forget_waiting(state: Record) -> None:
    """Drop the trades whose horizon was not reached: their book is over."""
    state.dropped += state.head - state.tail
    state.tail = state.head


@kernel
def read(state: Record, config: Config) -> tuple[float, float]:
    """(mean realised, its standard error) in dollars per share; NaN before `min_trades`."""
    if state.resolved < config.min_trades or state.weight <= 0.0:
        return math.nan, math.nan
    mean = state.gain / state.weight
    spread = max(state.gain_square / state.weight - mean * mean, 0.0)
    return mean, math.sqrt(spread * state.weight_square) / state.weight


@kernel
def read_impact(state: Record, config: Config) -> float:
    """Mean -adverse in dollars per share: how far the mid moved with the trades' side.

    NaN before `min_trades` whose mid before them is known.
    """
    if state.adverse_count < config.min_trades or state.adverse_weight <= 0.0:
        return math.nan
    return float(-state.adverse / state.adverse_weight)

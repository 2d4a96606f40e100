"""Markout of public trades: what takers gained a second later, in dollars per share.

    markout = sign * (mid of CALL `horizon_s` after the trade - price of the trade in CALL units)

The mid is the one that stood at the horizon: known as soon as a later book or a later clock has been seen. A trade
whose mid is unknown or stale then is dropped, not guessed. The reading is the size-weighted exponential mean, and its
standard error. Source: reference/quant.md section 6.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from shared.kernel import Record, kernel

SLOTS = 128

STATE = np.dtype(
    [
        ("ts_ns", "i8", (SLOTS,)),
        ("price", "f8", (SLOTS,)),
        ("signed_shares", "f8", (SLOTS,)),
        ("head", "i8"),
        ("tail", "i8"),
        ("mid", "f8"),
        ("mid_ns", "i8"),  # 0: no two-sided book
        ("gain", "f8"),
        ("gain_square", "f8"),
        ("weight", "f8"),
        ("weight_square", "f8"),
        ("decayed_ns", "i8"),
        ("resolved", "i8"),
        ("dropped", "i8"),
    ],
    align=True,
)


class Config(NamedTuple):
    """Seconds; no answer before `min_trades`. A mid older than `max_age_s` at the horizon is stale."""

    horizon_s: float = 1.0
    half_life_s: float = 60.0
    max_age_s: float = 5.0
    min_trades: float = 5.0


@kernel
def resolve(state: Record, config: Config, now_ns: int) -> None:
    """Settle every trade whose horizon lies before now, on the mid that stood until now."""
    slots = len(state.ts_ns)
    horizon_ns = int(config.horizon_s * 1e9)
    while state.tail < state.head:
        place = state.tail % slots
        due_ns = state.ts_ns[place] + horizon_ns
        if due_ns >= now_ns:
            return
        state.tail += 1
        if state.mid_ns == 0 or state.mid_ns > due_ns or (due_ns - state.mid_ns) * 1e-9 > config.max_age_s:
            state.dropped += 1
            continue
        keep = 1.0
        if state.decayed_ns > 0:
            keep = 2.0 ** (-max(due_ns - state.decayed_ns, 0) * 1e-9 / config.half_life_s)
        state.decayed_ns = max(due_ns, state.decayed_ns)
        shares = abs(state.signed_shares[place])
        gain = math.copysign(1.0, state.signed_shares[place]) * (state.mid - state.price[place])
        state.gain = keep * state.gain + shares * gain
        state.gain_square = keep * state.gain_square + shares * gain * gain
        state.weight = keep * state.weight + shares
        state.weight_square = keep * keep * state.weight_square + shares * shares
        state.resolved += 1


@kernel
def add_trade(state: Record, config: Config, ts_ns: int, call_price: float, signed_shares: float) -> None:
    """Remember a trade until its horizon; when `SLOTS` are waiting the oldest is dropped."""
    resolve(state, config, ts_ns)
    slots = len(state.ts_ns)
    if state.head - state.tail >= slots:
        state.tail += 1
        state.dropped += 1
    place = state.head % slots
    state.ts_ns[place] = ts_ns
    state.price[place] = call_price
    state.signed_shares[place] = signed_shares
    state.head += 1


@kernel
def update(state: Record, config: Config, ts_ns: int, mid: float) -> None:
    """Take the mid of a new book; NaN when it has no two sides."""
    resolve(state, config, ts_ns)
    if mid > 0.0:
        state.mid = mid
        state.mid_ns = ts_ns
    else:
        state.mid_ns = 0


@kernel
def read(state: Record, config: Config) -> tuple[float, float]:
    """(mean markout, its standard error) in dollars per share; NaN before `min_trades`."""
    if state.resolved < config.min_trades or state.weight <= 0.0:
        return math.nan, math.nan
    mean = state.gain / state.weight
    spread = max(state.gain_square / state.weight - mean * mean, 0.0)
    return mean, math.sqrt(spread * state.weight_square) / state.weight

"""The mid of CALL through the last seconds, by the venue's clock: what stood at an instant, and just before a trade.

An entry is made when the mid or the half-spread changes; it stands until the next one. Unknown is NaN: no two sides,
lost messages, a silence longer than `max_age_s`, or longer ago than the ring reaches.

A trade's stamp is later than the book's change that it caused (in recordings of the market channel by 15 to 22 ms), and
both are often delivered together. So the mid before a trade is the one `before_s` before its stamp.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from shared.kernel import Record, kernel

SLOTS = 256

STATE = np.dtype(
    [
        ("ts_ns", "i8", (SLOTS,)),
        ("mid", "f8", (SLOTS,)),
        ("half_spread", "f8", (SLOTS,)),
        ("count", "i8"),
        ("last_ns", "i8"),  # of the newest book; 0: none
    ],
    align=True,
)


class Config(NamedTuple):
    """Seconds."""

    max_age_s: float = 5.0
    before_s: float = 0.05


@kernel
def push(state: Record, ts_ns: int, mid: float, half_spread: float) -> None:
    """A new entry; the oldest one makes room."""
    place = state.count % len(state.ts_ns)
    state.ts_ns[place] = ts_ns
    state.mid[place] = mid
    state.half_spread[place] = half_spread
    state.count += 1


@kernel
def update(state: Record, config: Config, ts_ns: int, mid: float, half_spread: float) -> None:
    """Take the mid and half-spread of a book (NaN when it has no two sides); a book older than the last is ignored."""
    if ts_ns < state.last_ns:
        return
    if state.last_ns > 0 and (ts_ns - state.last_ns) * 1e-9 > config.max_age_s:
        push(state, state.last_ns + int(config.max_age_s * 1e9), math.nan, math.nan)
    state.last_ns = ts_ns
    newest = (state.count - 1) % len(state.ts_ns)
    if state.count == 0 or state.mid[newest] != mid or state.half_spread[newest] != half_spread:
        push(state, ts_ns, mid, half_spread)


@kernel
def part(state: Record) -> None:
    """Books were lost: unknown from the last one on, until the next."""
    if state.count > 0:
        push(state, state.last_ns, math.nan, math.nan)


@kernel
def stood_at(state: Record, config: Config, ts_ns: int) -> tuple[float, float]:
    """(mid, half-spread) that stood at an instant; NaN when unknown. Cost: the changes since then."""
    if state.count == 0 or (ts_ns - state.last_ns) * 1e-9 > config.max_age_s:
        return math.nan, math.nan
    slots = len(state.ts_ns)
    for back in range(1, min(state.count, slots) + 1):
        place = (state.count - back) % slots
        if state.ts_ns[place] <= ts_ns:
            return state.mid[place], state.half_spread[place]
    return math.nan, math.nan


@kernel
def stood_before(state: Record, config: Config, ts_ns: int) -> tuple[float, float]:
    """(mid, half-spread) just before a trade of this stamp; NaN when unknown."""
    return stood_at(state, config, ts_ns - int(config.before_s * 1e9))

"""How often resting orders are filled, by their distance from the mid: lambda(d) = A exp(-k d), from public sweeps.

A *sweep* is one taker's order: its prints of one direction within `join_s` of one venue stamp. Its depth is the
distance of its farthest print from the mid of CALL just before it; orders of that side nearer than this were filled.
No depth is below the half-spread h that stood then: each sweep is taken as cut off at its own h (with one spread all
the time that is the reference's d0), and what is fitted is the excess over it:

    k = 1 / mean(depth - h)                     maximum likelihood, depths without a grid
    k = log1p(tick / mean(depth - h)) / tick    depths on a grid of `tick`; the limit tick -> 0 is the above
    A = n / T exp(k mean h)

T is the time during which a two-sided book was known. A takes the mean of h although exp is convex: a spread that
wanders by half a tick makes 1 % of it. Sums decay with `half_life_s`. k is drawn to `prior_decay_per_usd` with the
weight of `prior_sweeps` (a Gamma prior of k, conjugate to exponential depths): when all sweeps stop at the touch, k has
no other upper end. A has no prior of its own: the count measures it. A resting order meets the takers of one direction
only, so the reading is half the A of both directions.

Sources: reference/quant.md section 10; Avellaneda and Stoikov (2008) for the form.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from shared.kernel import Record, kernel

ROUNDING_TICKS = 1e-6  # a difference of prices below this many ticks is none

STATE = np.dtype(
    [
        ("clock_ns", "i8"),  # ours: the instant that the sums are decayed to
        ("until_ns", "i8"),  # ours: how long the last book may be taken to stand
        ("tick_size", "f8"),  # of the last book, dollars
        ("watched_s", "f8"),
        ("sweeps", "f8"),
        ("excess", "f8"),  # sum over sweeps, dollars
        ("nearest", "f8"),  # sum of half-spreads, dollars
        ("ticks", "f8"),  # sum of tick sizes, dollars
        ("open_ns", "i8"),  # the venue's stamp of the last sweep; 0: none
        ("open_sign", "f8"),
        ("open_mid", "f8"),  # before it; NaN: unknown, the sweep is not counted
        ("open_half_spread", "f8"),
        ("open_excess", "f8"),  # -1: not counted yet
    ],
    align=True,
)


class Config(NamedTuple):
    """Times in seconds. No answer below `min_sweeps` (after decay), or when no book was known for `stale_s`."""

    half_life_s: float = 300.0
    join_s: float = 0.005
    min_sweeps: float = 20.0
    prior_sweeps: float = 10.0
    prior_decay_per_usd: float = 60.0
    stale_s: float = 60.0


@kernel
def decay_per_usd(mean_excess: float, tick_size: float) -> float:
    """k of depths whose mean excess over the smallest possible is given, on a grid of `tick_size` (0: none).

    1 / dollars; NaN when nothing reached beyond the smallest depth.
    """
    if not mean_excess > 0.0:
        return math.nan
    if tick_size <= 0.0:
        return 1.0 / mean_excess
    return math.log1p(tick_size / mean_excess) / tick_size


@kernel
def rate_per_s(sweeps: float, watched_s: float, decay: float, nearest: float) -> float:
    """A = n / T exp(k d0), per second at the mid; NaN without time.

    Nobody has seen a fill nearer than d0: beyond one decay length (k d0 = 1) nothing is extrapolated, so a wide book
    does not promise fills by the hundred.
    """
    return sweeps / watched_s * math.exp(min(decay * nearest, 1.0)) if watched_s > 0.0 else math.nan


@kernel
def prior_excess(decay: float, tick_size: float) -> float:
    """Mean excess that belongs to a k: 1 / k, or tick / (exp(k tick) - 1) on a grid."""
    return 1.0 / decay if tick_size <= 0.0 else tick_size / math.expm1(decay * tick_size)


@kernel
def advance(state: Record, config: Config, now_ns: int) -> None:
    """Let time pass by our clock: old evidence fades, and the time with a known book counts."""
    if state.clock_ns == 0 or now_ns <= state.clock_ns:
        state.clock_ns = max(state.clock_ns, now_ns)
        return
    dt_s = (now_ns - state.clock_ns) * 1e-9
    known_s = min(max((state.until_ns - state.clock_ns) * 1e-9, 0.0), dt_s)
    keep = 2.0 ** (-dt_s / config.half_life_s)
    life_s = config.half_life_s / math.log(2.0)
    state.watched_s = keep * state.watched_s + life_s * (2.0 ** (-(dt_s - known_s) / config.half_life_s) - keep)
    state.sweeps *= keep
    state.excess *= keep
    state.nearest *= keep
    state.ticks *= keep
    state.clock_ns = now_ns


@kernel
def observe_book(state: Record, config: Config, now_ns: int, until_ns: int, tick_size: float) -> None:
    """A book by our clock, and how long sweeps can be measured against it (now: it has no two sides)."""
    advance(state, config, now_ns)
    state.tick_size = tick_size
    state.until_ns = until_ns


@kernel
def part(state: Record) -> None:
    """The book or its period is over: not known until the next one, and no sweep goes on."""
    state.until_ns = min(state.until_ns, state.clock_ns)
    state.open_ns = 0


@kernel
def observe_trade(
    state: Record,
    config: Config,
    ts_event_ns: int,
    now_ns: int,
    call_price: float,
    sign: float,
    mid: float,
    half_spread: float,
) -> bool:
    """Take one print of a taker (sign +1: long CALL) with the mid and half-spread just before; True for a new sweep.

    Without a mid, or on the wrong side of it, a print does not count. Inside the half-spread it counts as at it.
    """
    advance(state, config, now_ns)
    joins = state.open_ns > 0 and abs(ts_event_ns - state.open_ns) * 1e-9 <= config.join_s
    if not (joins and sign == state.open_sign):
        state.open_ns = ts_event_ns
        state.open_sign = sign
        state.open_mid = mid
        state.open_half_spread = half_spread
        state.open_excess = -1.0
    depth = state.open_sign * (call_price - state.open_mid)
    if not depth >= 0.0:
        return False
    excess = depth - state.open_half_spread
    if excess < ROUNDING_TICKS * state.tick_size:
        excess = 0.0
    if state.open_excess >= 0.0:
        if excess > state.open_excess:
            state.excess += excess - state.open_excess
            state.open_excess = excess
        return False
    state.open_excess = excess
    state.sweeps += 1.0
    state.excess += excess
    state.nearest += state.open_half_spread
    state.ticks += state.tick_size
    return True


@kernel
def read(state: Record, config: Config, now_ns: int) -> tuple[float, float]:
    """(A per second of one side, k per dollar) as of the last event or timer; NaN before `min_sweeps` or when stale."""
    if state.sweeps < config.min_sweeps or (now_ns - state.until_ns) * 1e-9 > config.stale_s:
        return math.nan, math.nan
    tick_size = state.ticks / state.sweeps
    drawn = config.prior_sweeps * prior_excess(config.prior_decay_per_usd, tick_size)
    decay = decay_per_usd((state.excess + drawn) / (state.sweeps + config.prior_sweeps), tick_size)
    return 0.5 * rate_per_s(state.sweeps, state.watched_s, decay, state.nearest / state.sweeps), decay

"""The spike alarm: a one-second return beyond what the volatility allows.

Alarm when |r| >= max(enter * sigma * sqrt(h), floor); it ends when |r| is below half of that scale (`exit_at`) and
`cooldown_s` have passed since the last trigger; a new trigger inside extends it. r is measured from the last price
at or before t - h (from the oldest one while the window fills). Times are ours (receive times): an alarm is about
what we can act on. Source: reference/quant.md section 4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from shared.kernel import Record, kernel

SLOTS = 64

STATE = np.dtype(
    [
        ("ts_ns", "i8", (SLOTS,)),
        ("log_price", "f8", (SLOTS,)),
        ("tail", "i8"),
        ("count", "i8"),
        ("last_ns", "i8"),
        ("last_log", "f8"),
        ("score", "f8"),  # |r| in standard deviations
        ("trigger_ns", "i8"),
        ("on", "i8"),
    ],
    align=True,
)


class Config(NamedTuple):
    """`enter` and `exit_at` in standard deviations of `horizon_s`; `floor` is the least log return that can alarm.

    Prices closer than `spacing_s` share a slot; after `max_gap_s` of silence the window starts empty.
    """

    horizon_s: float = 1.0
    enter: float = 5.0
    exit_at: float = 2.5
    cooldown_s: float = 3.0
    floor: float = 2e-4
    spacing_s: float = 0.02
    max_gap_s: float = 10.0


@kernel
def update(state: Record, config: Config, ts_ns: int, log_price: float, sigma_per_sqrt_s: float) -> bool:
    """Take one price (or the same price again, when only time passed); True while the alarm stands.

    Without a positive sigma the window fills but nothing can trigger.
    """
    if ts_ns < state.last_ns:
        return bool(state.on > 0)
    slots = len(state.ts_ns)
    if state.count > 0 and (ts_ns - state.last_ns) * 1e-9 > config.max_gap_s:
        state.count = 0
    state.last_ns = ts_ns
    state.last_log = log_price
    horizon_ns = int(config.horizon_s * 1e9)
    while state.count >= 2 and state.ts_ns[(state.tail + 1) % slots] <= ts_ns - horizon_ns:
        state.tail = (state.tail + 1) % slots
        state.count -= 1
    elapsed_s = 0.0
    log_return = 0.0
    if state.count > 0:
        elapsed_s = (ts_ns - state.ts_ns[state.tail]) * 1e-9
        log_return = abs(log_price - state.log_price[state.tail])
    newest = (state.tail + state.count - 1) % slots
    if state.count == 0 or (ts_ns - state.ts_ns[newest]) * 1e-9 >= config.spacing_s:
        if state.count == slots:
            state.tail = (state.tail + 1) % slots
            state.count -= 1
        place = (state.tail + state.count) % slots
        state.ts_ns[place] = ts_ns
        state.log_price[place] = log_price
        state.count += 1
    if sigma_per_sqrt_s > 0.0:
        scale = sigma_per_sqrt_s * math.sqrt(max(config.horizon_s, elapsed_s))
        state.score = log_return / scale
        if log_return >= max(config.enter * scale, config.floor):
            state.on = 1
            state.trigger_ns = ts_ns
        elif (
            state.on > 0
            and log_return < max(config.exit_at * scale, config.floor * config.exit_at / config.enter)
            and (ts_ns - state.trigger_ns) * 1e-9 >= config.cooldown_s
        ):
            state.on = 0
    return bool(state.on > 0)


@kernel
def until_ns(state: Record, config: Config) -> int:
    """The earliest end of the alarm; 0 when none stands."""
    return state.trigger_ns + int(config.cooldown_s * 1e9) if state.on > 0 else 0

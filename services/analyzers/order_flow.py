"""Order-flow imbalance at the best quotes of the leading spot venue (Cont, Kukanov and Stoikov 2014).

    e = 1{bid >= bid'} size_bid - 1{bid <= bid'} size_bid' - 1{ask <= ask'} size_ask + 1{ask >= ask'} size_ask'

(primes: the quote before). The reading is sum(e) / (sum|e| + typical size), exponentially weighted: in [-1, 1], free of
the venue's units, small when little happened. A change is only taken between consecutive quotes of one venue: after a
gap, a silence or a change of venue the next quote only sets the base.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shared.kernel import Record, kernel

STATE = np.dtype(
    [
        ("last_ns", "i8"),
        ("bid", "f8"),
        ("bid_size", "f8"),
        ("ask", "f8"),
        ("ask_size", "f8"),
        ("joined", "i8"),
        ("flow", "f8"),
        ("turnover", "f8"),
        ("size", "f8"),
        ("size_weight", "f8"),
        ("updates", "i8"),
    ],
    align=True,
)


class Config(NamedTuple):
    """Seconds."""

    half_life_s: float = 5.0
    max_gap_s: float = 5.0


@kernel
def contribution(
    bid: float,
    bid_size: float,
    ask: float,
    ask_size: float,
    bid_0: float,
    bid_size_0: float,
    ask_0: float,
    ask_size_0: float,
) -> float:
    """e of one update: the quote now, and the quote before (`_0`)."""
    e = 0.0
    if bid >= bid_0:
        e += bid_size
    if bid <= bid_0:
        e -= bid_size_0
    if ask <= ask_0:
        e -= ask_size
    if ask >= ask_0:
        e += ask_size_0
    return e


@kernel
def update(
    state: Record, config: Config, ts_ns: int, bid: float, bid_size: float, ask: float, ask_size: float
) -> float:
    """Take one quote by our clock; its e, 0 when it only sets the base."""
    e = 0.0
    dt_s = (ts_ns - state.last_ns) * 1e-9
    if state.last_ns > 0 and dt_s >= 0.0:
        keep = 2.0 ** (-dt_s / config.half_life_s)
        state.flow *= keep
        state.turnover *= keep
        if state.joined > 0 and dt_s <= config.max_gap_s:
            e = contribution(bid, bid_size, ask, ask_size, state.bid, state.bid_size, state.ask, state.ask_size)
            state.flow += e
            state.turnover += abs(e)
            state.updates += 1
    state.size = 0.98 * state.size + 0.02 * 0.5 * (bid_size + ask_size)
    state.size_weight = 0.98 * state.size_weight + 0.02
    state.bid = bid
    state.bid_size = bid_size
    state.ask = ask
    state.ask_size = ask_size
    state.joined = 1
    state.last_ns = max(ts_ns, state.last_ns)
    return e


@kernel
def part(state: Record) -> None:
    """The next quote is not the successor of the last one."""
    state.joined = 0


@kernel
def read(state: Record, config: Config, now_ns: int) -> float:
    """The imbalance now, in [-1, 1]; 0 before two consecutive quotes."""
    if state.size_weight <= 0.0:
        return 0.0
    keep = 2.0 ** (-max(now_ns - state.last_ns, 0) * 1e-9 / config.half_life_s)
    below = keep * state.turnover + state.size / state.size_weight
    return keep * state.flow / below if below > 0.0 else 0.0

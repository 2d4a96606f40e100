"""VPIN: the mean |buys - sells| / volume of equal-volume buckets, and what it would be by chance.

A trade that overfills a bucket is split exactly. By chance VPIN is not zero: with m equal trades a bucket it is
E|sum of m signs| / m (.375 for 4, .20 for 16). With unequal trades m = (sum q)^2 / sum q^2, and the expectation is
Gamma((m+1)/2) / (sqrt(pi) Gamma(m/2 + 1)), exact for even m, linear from 1 (m = 1) to 1/2 (m = 2).

Sources: Easley, Lopez de Prado and O'Hara (2012); reference/quant.md section 6. Sides are the venue's, never BVC.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from shared.kernel import Record, kernel

SLOTS = 32

STATE = np.dtype(
    [
        ("bucket_shares", "f8"),
        ("buys", "f8"),  # of the open bucket
        ("sells", "f8"),
        ("squares", "f8"),
        ("imbalance", "f8", (SLOTS,)),
        ("null", "f8", (SLOTS,)),
        ("buckets", "i8"),
        ("volume", "f8"),
    ],
    align=True,
)


class Config(NamedTuple):
    """`window` buckets (at most 32). A bucket holds `period_share` of the last whole period's volume, at least
    `min_bucket_shares`; `bucket_shares` before a whole period was seen."""

    window: int = 15
    bucket_shares: float = 200.0
    min_bucket_shares: float = 25.0
    period_share: float = 0.02


@kernel
def expected_by_chance(m: float) -> float:
    """E|sum of m random signs| / m for an effective number of trades m >= 1."""
    if m < 2.0:
        return 1.0 - 0.5 * (max(m, 1.0) - 1.0)
    return math.exp(math.lgamma(0.5 * (m + 1.0)) - math.lgamma(0.5 * m + 1.0)) / math.sqrt(math.pi)


@kernel
def start(state: Record, config: Config, past_volume: float) -> None:
    """Size the buckets for a new period; `past_volume` 0 when no whole period was seen."""
    state.bucket_shares = config.bucket_shares
    if past_volume > 0.0:
        state.bucket_shares = max(config.period_share * past_volume, config.min_bucket_shares)


@kernel
def update(state: Record, signed_shares: float) -> int:
    """Take one trade; the buckets that it filled. A trade of many buckets fills the ring at most once over."""
    slots = len(state.imbalance)
    if not state.bucket_shares > 0.0:
        return 0
    left = abs(signed_shares)
    state.volume += left
    filled = 0
    while left > 0.0:
        room = state.bucket_shares - (state.buys + state.sells)
        part = min(left, room)
        if signed_shares > 0.0:
            state.buys += part
        else:
            state.sells += part
        state.squares += part * part
        left -= part
        if part < room:
            break
        total = state.buys + state.sells
        place = state.buckets % slots
        state.imbalance[place] = abs(state.buys - state.sells) / total
        state.null[place] = expected_by_chance(total * total / state.squares)
        state.buckets += 1
        filled += 1
        state.buys = 0.0
        state.sells = 0.0
        state.squares = 0.0
        if filled >= slots:
            left %= state.bucket_shares
    return filled


@kernel
def read(state: Record, config: Config) -> tuple[float, float]:
    """(VPIN, its value by chance), both in [0, 1]; NaN until the window is full."""
    if state.buckets < config.window:
        return math.nan, math.nan
    slots = len(state.imbalance)
    vpin = 0.0
    null = 0.0
    for j in range(config.window):
        place = (state.buckets - 1 - j) % slots
        vpin += state.imbalance[place]
        null += state.null[place]
    return vpin / config.window, null / config.window

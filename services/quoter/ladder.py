"""The ladder: tiers on distinct integer ticks, post-only, within every limit (compiled, pure).

Prices are CALL ticks in [1, ticks_per_dollar - 1]; the PUT ladder is the mirror (`ticks_per_dollar - ticks`) and is not
computed a second time. A layer that cannot stand has size 0.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from shared.kernel import kernel

# A price this close to a tick (in ticks) is on it: (0.5 - 0.01) / 0.01 must be 49 and not 48.999....
ON_TICK = 1e-9


@kernel
def layer_ticks(
    reservation: float, half_spread: float, tick_size: float, side: int, previous: int, inner_limit: int
) -> int:
    """Tick of one layer. `side` +1 bid, -1 ask; rounding is away from the reservation price.

    `inner_limit` is the best tick that post-only allows; `previous` the tick of the layer before (0: none). The tick
    may lie outside the grid: the caller drops it.
    """
    if side > 0:
        ticks = min(math.floor((reservation - half_spread) / tick_size + ON_TICK), inner_limit)
        return min(ticks, previous - 1) if previous > 0 else ticks
    ticks = max(math.ceil((reservation + half_spread) / tick_size - ON_TICK), inner_limit)
    return max(ticks, previous + 1) if previous > 0 else ticks


@kernel
def layer_sizes(
    tiers: NDArray[Any], count: int, size_factor: float, room: float, min_size: float, sizes: NDArray[Any]
) -> float:
    """Whole-share sizes of the layers into `sizes`; returns their sum, never above `room`.

    Sizes are the tiers times the phase's factor; when all of them together exceed the room they shrink in proportion,
    so that the inner layers survive. None is under the minimum size: what the phase or the room leaves below that
    goes to the inner layers first, and the outer ones stay away.
    """
    wanted = 0.0
    for layer in range(count):
        wanted += tiers[layer] * size_factor
    for layer in range(len(sizes)):
        sizes[layer] = 0.0
    if wanted <= 0.0 or room < min_size:
        return 0.0
    scale = min(1.0, room / wanted)
    least = math.ceil(min_size)
    left = math.floor(min(room, wanted) + 1e-9)
    total = 0.0
    for layer in range(count):
        size = max(math.floor(tiers[layer] * size_factor * scale + 1e-9), least)
        size = min(size, left)
        if size < least:
            break
        sizes[layer] = size
        left -= size
        total += size
    return total


@kernel
def build_side(
    reservation: float,
    half_spreads: NDArray[Any],
    credit: float,
    count: int,
    tick_size: float,
    ticks_per_dollar: int,
    side: int,
    inner_limit: int,
    ticks_out: NDArray[Any],
    sizes: NDArray[Any],
) -> int:
    """Put the layers of one side on the grid; `sizes` of layers off the grid become 0. Returns the layers standing.

    `credit` is how many dollars layer 0 stands nearer than its half-spread.
    """
    previous = 0
    standing = 0
    for layer in range(len(ticks_out)):
        ticks_out[layer] = 0.0
        if layer >= count or sizes[layer] <= 0.0:
            sizes[layer] = 0.0
            continue
        half = half_spreads[layer] - credit if layer == 0 else half_spreads[layer]
        ticks = layer_ticks(reservation, half, tick_size, side, previous, inner_limit)
        ticks = min(ticks, ticks_per_dollar - 1) if side > 0 else max(ticks, 1)
        if ticks < 1 or ticks > ticks_per_dollar - 1:
            sizes[layer] = 0.0
            continue
        ticks_out[layer] = ticks
        previous = ticks
        standing += 1
    return standing

"""The layers of a ladder as messages, CALL and PUT: the PUT ladder is the mirror of the CALL ladder.

Selling CALL at a is buying PUT at 1 - a, so whoever executes places each risk once. `execution` says how: bids `buy`;
asks `sell` as far as the shares held reach, then `buy_opposite`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.config import MAX_TIERS
from shared.messages import Layer, Side

Ladder = tuple[Layer, ...]
Held = tuple[float, float]  # CALL and PUT shares
LadderKey = tuple[int, Held, bytes]  # ticks per dollar, shares held, the ladder's numbers

_BID_TICKS, _BID_SIZES, _ASK_TICKS, _ASK_SIZES = (block * MAX_TIERS for block in range(4))
_REMEMBERED = 2048


class LadderBook:
    """Builds ladders and remembers them: a market moves among few distinct ones."""

    def __init__(self) -> None:
        self._known: dict[LadderKey, tuple[Ladder, Ladder]] = {}

    def of(self, key: LadderKey, prices: Sequence[float], ladder: NDArray[np.float64]) -> tuple[Ladder, Ladder]:
        """CALL and PUT layers, bids first, innermost first.

        `ladder` is the four blocks of `records.LADDERS`, of which `key` holds the bytes; `prices[ticks]` is a price.
        """
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[key] = _build(prices, ladder.tolist(), key[1])
        return known


def _build(prices: Sequence[float], numbers: Sequence[float], held: Held) -> tuple[Ladder, Ladder]:
    call_bids: list[Layer] = []
    call_asks: list[Layer] = []
    put_bids: list[Layer] = []
    put_asks: list[Layer] = []
    call_left, put_left = held
    per_dollar = len(prices) - 1
    for layer in range(MAX_TIERS):
        size = numbers[_BID_SIZES + layer]
        if size > 0.0:
            ticks = int(numbers[_BID_TICKS + layer])
            sold = put_left >= size
            put_left -= size if sold else 0.0
            call_bids.append(_layer(prices, "bid", ticks, size, layer, sold=False))
            put_asks.append(_layer(prices, "ask", per_dollar - ticks, size, layer, sold=sold))
        size = numbers[_ASK_SIZES + layer]
        if size > 0.0:
            ticks = int(numbers[_ASK_TICKS + layer])
            sold = call_left >= size
            call_left -= size if sold else 0.0
            call_asks.append(_layer(prices, "ask", ticks, size, layer, sold=sold))
            put_bids.append(_layer(prices, "bid", per_dollar - ticks, size, layer, sold=False))
    return (*call_bids, *call_asks), (*put_bids, *put_asks)


def _layer(prices: Sequence[float], side: Side, ticks: int, size: float, layer: int, *, sold: bool) -> Layer:
    opposite = side == "ask" and not sold
    return Layer(
        side=side,
        ticks=ticks,
        price=prices[ticks],
        size=size,
        layer=layer,
        execution="buy_opposite" if opposite else "sell" if sold else "buy",
        execution_price=prices[-1 - ticks] if opposite else prices[ticks],
    )

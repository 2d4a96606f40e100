"""From a quote set to the orders that it asks for.

The ladder of CALL says it all, for PUT is its mirror: a bid buys CALL; an ask sells CALL when the quoter says that it
is held, and otherwise buys PUT at the price that it names.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.messages import Outcome, QuoteSet, TradeSide
from shared.money import MICRO, to_micro


class OrderKey(NamedTuple):
    """What makes two orders the same one: token, side and price."""

    outcome: Outcome
    side: TradeSide
    price_micro: int

    @property
    def on_call(self) -> tuple[int, int, int]:
        """(outcome 0 CALL or 1 PUT, side in CALL, price in CALL): buying PUT at q is selling CALL at 1 - q."""
        sign = 1 if self.side == "buy" else -1
        return (0, sign, self.price_micro) if self.outcome == "CALL" else (1, -sign, MICRO - self.price_micro)


def wanted_of(quotes: QuoteSet) -> dict[OrderKey, int]:
    """Micro-shares wanted at each key, in the order of the quote set: innermost bids first, then asks."""
    wanted: dict[OrderKey, int] = {}
    for layer in quotes.call:
        if layer.side == "bid":
            key = OrderKey("CALL", "buy", to_micro(layer.price))
        elif layer.execution == "sell":
            key = OrderKey("CALL", "sell", to_micro(layer.price))
        else:
            key = OrderKey("PUT", "buy", to_micro(layer.execution_price))
        wanted[key] = wanted.get(key, 0) + to_micro(layer.size)
    return wanted

"""Exact money: integer micro-dollars and micro-shares, the smallest units of the venue's collateral and tokens.

Floats stay inside the mathematics; whatever is booked is an integer. A price is micro-dollars per whole share.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

MICRO = 1_000_000  # micro-dollars in a dollar, micro-shares in a share


def to_micro(amount: float | str | Decimal) -> int:
    """Dollars (or shares) as whole micro-units, to the nearest, ties to even. ValueError when it is not finite.

    A float is read by its shortest decimal text, so that 0.1 is 100,000 and not a little more.
    """
    exact = Decimal(str(amount)) if isinstance(amount, float) else Decimal(amount)
    if not exact.is_finite():
        raise ValueError(f"{amount} is no amount: give a finite number")
    return int((exact * MICRO).to_integral_value(ROUND_HALF_EVEN))


def from_micro(micro: int) -> float:
    """Micro-units as dollars (or shares), for display and mathematics."""
    return micro / MICRO


def product_micro(price_micro: int, units: int) -> int:
    """Micro-dollars of `units` micro-shares at a price, to the nearest, ties to even."""
    whole, rest = divmod(price_micro * units, MICRO)
    if 2 * rest > MICRO or (2 * rest == MICRO and whole % 2 == 1):
        whole += 1
    return whole

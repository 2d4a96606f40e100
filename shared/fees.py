"""The venue's fee schedule: the curve a share, and the exact amounts that are charged and promised.

    fee a share = rate x (p (1 - p)) ^ exponent

A taker pays it, on top of a purchase or out of the proceeds of a sale; of it the maker is promised `rebate_rate`, once
a day. The curve is symmetric in p and 1 - p, so both outcomes of a pair pay the same. Amounts are integers, in
micro-dollars for micro-shares; see `shared/money.py`.

The venue rounds a fee to $0.00001, and what is smaller than that to nothing. It does not say where it rounds ties: here
to even. Source: `reference/polymarket.md` 6.1 and 6.2, `reference/quant.md` 0.5.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from shared.money import MICRO

FEE_STEP_MICRO = 10  # the venue's smallest fee, and the step of all fees: $0.00001


# Plain, because the hedger asks for single prices and needs no compiler: `shared.kernel` compiles it for the quoter.
def fee_per_share(price: float, rate: float, exponent: float) -> float:
    """Dollars a share that a taker pays, not rounded: rate (p (1 - p))^exponent; 0 for a price outside (0, 1)."""
    if price <= 0.0 or price >= 1.0:
        return 0.0
    variance = price * (1.0 - price)
    return rate * (variance if exponent == 1.0 else variance**exponent)


def taker_fee_micro(price_micro: int, units: int, *, fee_rate: float, fee_exponent: float) -> int:
    """What a taker pays, in micro-dollars: the curve x shares, to the venue's step, ties to even; 0 below one step."""
    exact = _curve_micro(price_micro, units, rate=fee_rate, exponent=fee_exponent)
    if exact < FEE_STEP_MICRO:
        return 0
    return int((exact / FEE_STEP_MICRO).to_integral_value(ROUND_HALF_EVEN)) * FEE_STEP_MICRO


def rebate_micro(price_micro: int, units: int, *, fee_rate: float, fee_exponent: float, rebate_rate: float) -> int:
    """What the schedule promises a maker, in micro-dollars: its share of the taker's unrounded fee, ties to even."""
    exact = _curve_micro(price_micro, units, rate=fee_rate, exponent=fee_exponent) * Decimal(str(rebate_rate))
    return int(exact.to_integral_value(ROUND_HALF_EVEN))


def _curve_micro(price_micro: int, units: int, *, rate: float, exponent: float) -> Decimal:
    price = Decimal(price_micro) / MICRO
    return units * (price * (1 - price)) ** Decimal(str(exponent)) * Decimal(str(rate))

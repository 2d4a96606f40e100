"""What a position is worth: at the fair value, at what the books pay now, and in the worst case."""

from __future__ import annotations

from collections.abc import Iterable

from services.hedger.accounts import Account, settles_at
from shared.fees import taker_fee_micro
from shared.messages import OpenOrder, Outcome, OutcomeBook
from shared.money import from_micro, product_micro, to_micro


def sale_usd(bids: Iterable[tuple[float, float]], *, shares: float, fee_rate: float, fee_exponent: float) -> float:
    """What selling `shares` into these bids (price, size; best first) pays now, in dollars, net of the taker's fee.

    What is beyond the depth finds no buyer and pays nothing.
    """
    paid_usd = 0.0
    for price, size in bids:
        sold = min(size, shares)
        if sold <= 0.0:
            break
        fee_micro = taker_fee_micro(to_micro(price), to_micro(sold), fee_rate=fee_rate, fee_exponent=fee_exponent)
        paid_usd += sold * price - from_micro(fee_micro)
        shares -= sold
    return paid_usd


def unrealized_usd(account: Account, fair_value: float | None) -> float | None:
    """Worth at the fair value (probability of CALL) less cost, in dollars. Nothing held is 0; None without a value."""
    if account.call.units == 0 and account.put.units == 0:
        return 0.0
    return None if fair_value is None else held_usd(account, fair_value)


def held_usd(account: Account, fair_value: float) -> float:
    """Worth of what is held at the fair value (probability of CALL) less its cost, in dollars."""
    calls, puts = account.call, account.put
    worth_usd = from_micro(calls.units) * fair_value + from_micro(puts.units) * (1.0 - fair_value)
    return worth_usd - from_micro(calls.cost_micro + puts.cost_micro)


def liquidation_usd(
    account: Account, call_book: OutcomeBook | None, put_book: OutcomeBook | None, *, fee_rate: float,
    fee_exponent: float,
) -> float | None:  # fmt: skip
    """Pairs merged at a dollar, the rest sold into its book, less cost, in dollars.

    Nothing held is 0. None without the book of what has to be sold.
    """
    pairs = account.pairs_units()
    paid_usd = from_micro(pairs)
    for leg, book in ((account.call, call_book), (account.put, put_book)):
        if leg.units == pairs:
            continue
        if book is None:
            return None
        bids = ((ticks * book.tick_size, size) for ticks, size in zip(book.bid_ticks, book.bid_sizes, strict=True))
        paid_usd += sale_usd(
            bids, shares=from_micro(leg.units - pairs), fee_rate=fee_rate, fee_exponent=fee_exponent
        )  # fmt: skip
    return paid_usd - from_micro(account.call.cost_micro + account.put.cost_micro)


def outcome_micro(*, cash_micro: int, units: int, outcome: Outcome, orders: Iterable[OpenOrder] = ()) -> int:
    """Profit of the period in micro-dollars if `outcome` wins and every order that hurts then fills.

    cash + shares of the outcome + sum over open orders of min(0, profit of its fill under the outcome). `cash_micro` is
    what came in less what was paid, `units` what is held of that outcome. Source: `reference/quant.md` 9.
    """
    profit = cash_micro + units
    for order in orders:
        price_micro, units = to_micro(order.price), to_micro(order.left)
        paid = product_micro(settles_at(outcome, order.outcome), units) - product_micro(price_micro, units)
        profit += min(0, paid if order.side == "buy" else -paid)
    return profit


def worst_case_micro(*, cash_micro: int, call_units: int, put_units: int, orders: Iterable[OpenOrder] = ()) -> int:
    """The lesser of the two outcomes' profits, in micro-dollars."""
    orders = tuple(orders)
    return min(
        outcome_micro(cash_micro=cash_micro, units=call_units, outcome="CALL", orders=orders),
        outcome_micro(cash_micro=cash_micro, units=put_units, outcome="PUT", orders=orders),
    )

"""Walking the depth: what selling, or buying the opposite and merging, brings level by level, net of fees.

Selling a token at b and buying its opposite at 1 - b to merge the pair leave the same dollars, and on the venue they
meet the same orders: it keeps one book and shows it twice. So everything here is in *exit prices*, what one share of
the held token brings before the fee: b for a bid on it, 1 - a for an ask on the opposite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from services.hedger.hedge_inputs import Fees, Level
from shared.money import MICRO, product_micro

Route = Literal["sell", "buy_opposite"]
_INDIFFERENT_USD = 1e-9  # a gain on one share that is rounding, not a reason to trade


@dataclass(frozen=True)
class ExitLevel:
    """So many micro-shares that can leave at this exit price, by this route."""

    exit_micro: int
    units: int
    route: Route


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A walk through exit levels. `net_micro` is what is left once bought opposites are merged, fees paid."""

    taken: tuple[ExitLevel, ...]
    unfilled_units: int
    proceeds_micro: int  # of sales
    cost_micro: int  # of opposites
    fee_micro: int

    @property
    def units(self) -> int:
        """Micro-shares that left."""
        return sum(each.units for each in self.taken)

    def units_by(self, route: Route) -> int:
        """Micro-shares that left by this route."""
        return sum(each.units for each in self.taken if each.route == route)

    def limit_micro(self, route: Route) -> int:
        """The worst exit price taken by this route; ValueError when there is none."""
        return min(each.exit_micro for each in self.taken if each.route == route)

    @property
    def net_micro(self) -> int:
        """Micro-dollars once every bought opposite is merged."""
        return self.proceeds_micro - self.cost_micro + self.units_by("buy_opposite") - self.fee_micro


def sell_levels(bids: Sequence[Level]) -> tuple[ExitLevel, ...]:
    """The exit through bids on the held token, best first."""
    return tuple(ExitLevel(each.price_micro, each.units, "sell") for each in bids)


def opposite_levels(asks: Sequence[Level]) -> tuple[ExitLevel, ...]:
    """The exit through asks on the opposite, best first."""
    return tuple(ExitLevel(MICRO - each.price_micro, each.units, "buy_opposite") for each in asks)


def cheapest_levels(sell: Sequence[ExitLevel], opposite: Sequence[ExitLevel]) -> tuple[ExitLevel, ...]:
    """Both routes, the better price first.

    What stands at one price in both books is the same orders: the larger view of it counts, once, and a sale where they
    agree (it needs no merge).
    """
    best = {each.exit_micro: each for each in opposite}
    for each in sell:
        other = best.get(each.exit_micro)
        if other is None or each.units >= other.units:
            best[each.exit_micro] = each
    return tuple(best[price] for price in sorted(best, reverse=True))


def walk(levels: Sequence[ExitLevel], *, units: int, fees: Fees) -> Walk:
    """Take `units` micro-shares from these levels, best first, as a taker. Integers: parts add up to the whole."""
    taken: list[ExitLevel] = []
    proceeds = cost = fee = 0
    left = units
    for level in levels:
        if left <= 0:
            break
        size = min(level.units, left)
        left -= size
        taken.append(ExitLevel(level.exit_micro, size, level.route))
        if level.route == "sell":
            proceeds += product_micro(level.exit_micro, size)
        else:
            cost += size - product_micro(level.exit_micro, size)  # so that both routes round the same way
        fee += fees.taker_micro(level.exit_micro, size)
    return Walk(taken=tuple(taken), unfilled_units=left, proceeds_micro=proceeds, cost_micro=cost, fee_micro=fee)


def best_units(levels: Sequence[ExitLevel], *, held_units: int, fees: Fees, worth_usd: Callable[[float], float]) -> int:
    """How many micro-shares to let go: share by share while net price > worth(N) - worth(N - 1).

    `worth_usd` is the certainty equivalent of that many shares of the held token; it must be concave, so that each
    further share gains less than the one before, and the last one worth selling is found by halving. The answer is a
    whole number of shares, or everything that can be sold. Source: `reference/quant.md` 9.
    """
    most = min(held_units, sum(each.units for each in levels))

    def net_usd(units: int) -> float:
        total = 0.0
        for level in levels:
            size = min(level.units, units)
            total += (level.exit_micro / MICRO - fees.per_share_usd(level.exit_micro)) * size / MICRO
            units -= size
        return total

    def wealth_usd(units: int) -> float:
        return net_usd(units) + worth_usd((held_units - units) / MICRO)

    def gain_usd(units: int, *, before: int) -> float:
        return wealth_usd(units) - wealth_usd(before)

    low, high = 0, most // MICRO  # in whole shares: the low-th is worth selling, the one after high is not
    while low < high:
        middle = (low + high + 1) // 2
        if gain_usd(middle * MICRO, before=(middle - 1) * MICRO) > _INDIFFERENT_USD:
            low = middle
        else:
            high = middle - 1
    whole = low * MICRO
    return most if gain_usd(most, before=whole) > _INDIFFERENT_USD else whole


@dataclass(frozen=True, kw_only=True)
class Arbitrage:
    """Pairs that can be bought below, or sold above, a dollar: a profit whatever the outcome, net of fees."""

    side: Literal["buy", "sell"]  # both outcomes
    units: int  # pairs
    call_limit_micro: int
    put_limit_micro: int
    call_cash_micro: int  # price times shares of the CALL leg
    put_cash_micro: int
    fee_micro: int

    @property
    def profit_micro(self) -> int:
        """What is left after buying and merging, or after splitting dollars and selling."""
        legs = self.call_cash_micro + self.put_cash_micro
        return (self.units - legs if self.side == "buy" else legs - self.units) - self.fee_micro


def find_arbitrage(
    call: Sequence[Level], put: Sequence[Level], *, side: Literal["buy", "sell"], fees: Fees
) -> Arbitrage | None:
    """Walk both books together while a pair still pays after fees: asks to buy, bids to sell. None when none does."""
    sign = 1 if side == "buy" else -1
    pairs: list[tuple[int, int, int]] = []
    rows = [[each.price_micro, each.units] for each in call], [[each.price_micro, each.units] for each in put]
    at_call = at_put = 0
    while at_call < len(rows[0]) and at_put < len(rows[1]):
        call_price, put_price = rows[0][at_call][0], rows[1][at_put][0]
        edge = sign * (1.0 - (call_price + put_price) / MICRO)
        if edge - fees.per_share_usd(call_price) - fees.per_share_usd(put_price) <= _INDIFFERENT_USD:
            break
        size = min(rows[0][at_call][1], rows[1][at_put][1])
        pairs.append((call_price, put_price, size))
        rows[0][at_call][1] -= size
        rows[1][at_put][1] -= size
        at_call += rows[0][at_call][1] == 0
        at_put += rows[1][at_put][1] == 0
    if not pairs:
        return None
    return Arbitrage(
        side=side,
        units=sum(size for _, _, size in pairs),
        call_limit_micro=pairs[-1][0],
        put_limit_micro=pairs[-1][1],
        call_cash_micro=sum(product_micro(price, size) for price, _, size in pairs),
        put_cash_micro=sum(product_micro(price, size) for _, price, size in pairs),
        fee_micro=sum(fees.taker_micro(c, size) + fees.taker_micro(p, size) for c, p, size in pairs),
    )

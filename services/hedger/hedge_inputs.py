"""What the hedge analysis is asked about: the position, both books, the fees, the fair value. Checked when made.

Every mistake raises `HedgeError`, which names the field and says what to give instead. Sizes are shares, prices dollars
a share in (0, 1); inside, money and shares are the integers of `shared/money.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from shared.fees import fee_per_share, rebate_micro, taker_fee_micro
from shared.messages import OpenOrder, Outcome, Period
from shared.money import MICRO, product_micro, to_micro


class HedgeError(ValueError):
    """A question that cannot be answered: the text names the field and the remedy."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}: {remedy}")
        self.field = field


def _finite(field: str, number: float | None, *, least: float = 0.0, most: float = math.inf) -> None:
    if number is not None and not (math.isfinite(number) and least <= number <= most):
        allowed = f"of at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
        raise HedgeError(field, f"{number:g} is not possible", f"give a number {allowed}")


@dataclass(frozen=True, kw_only=True)
class Fees:
    """The market's fee schedule.

    A taker pays rate x (p (1 - p))^exponent dollars a share, on top of a purchase or out of the proceeds of a sale; a
    maker pays it too unless `is_taker_only`, and is paid back `rebate_rate` of it.

    The curve is symmetric in p and 1 - p, and so are the amounts, to the micro-dollar; they are rounded as the venue
    rounds each execution, see `shared/fees.py`. `rate` is in [0, 1) and `exponent` at least 1, so that a better price
    is always better net of its fee.
    """

    rate: float
    exponent: float = 1.0
    is_taker_only: bool = True
    rebate_rate: float = 0.0

    def __post_init__(self) -> None:
        _finite("fees.rate", self.rate, most=0.999)
        _finite("fees.exponent", self.exponent, least=1.0)
        _finite("fees.rebate_rate", self.rebate_rate, most=1.0)

    def per_share_usd(self, price_micro: int) -> float:
        """What a taker pays for one share at this price, not rounded."""
        return fee_per_share(price_micro / MICRO, self.rate, self.exponent)

    def taker_micro(self, price_micro: int, units: int) -> int:
        """What a taker pays for so many micro-shares."""
        return taker_fee_micro(price_micro, units, fee_rate=self.rate, fee_exponent=self.exponent)

    def maker_micro(self, price_micro: int, units: int) -> int:
        """What a maker pays."""
        return 0 if self.is_taker_only else self.taker_micro(price_micro, units)

    def rebate_micro(self, price_micro: int, units: int) -> int:
        """What a maker is paid back; once a day, and only above the venue's minimum."""
        return rebate_micro(
            price_micro, units, fee_rate=self.rate, fee_exponent=self.exponent, rebate_rate=self.rebate_rate
        )


@dataclass(frozen=True)
class Level:
    """So many micro-shares at a price of so many micro-dollars a share."""

    price_micro: int
    units: int

    def mirrored(self) -> Level:
        """The same order as the other outcome's book shows it: selling at a is buying the opposite at 1 - a."""
        return Level(MICRO - self.price_micro, self.units)


@dataclass(frozen=True, kw_only=True)
class HedgeBook:
    """The depth of one token: (price, shares) pairs, in any order; prices that repeat are added up.

    `age_s` is None when it is not known; `has_assumed_sizes` says that the sizes are somebody's guess. Refused: crossed
    or locked books, prices that are not inside (0, 1), sizes that are not positive.
    """

    bids: tuple[tuple[float, float], ...] = ()
    asks: tuple[tuple[float, float], ...] = ()
    age_s: float | None = None
    has_assumed_sizes: bool = False
    outcome: Outcome

    def __post_init__(self) -> None:
        _finite(f"{self.outcome} book: age_s", self.age_s)
        bids, asks = self.bid_levels, self.ask_levels  # both are checked, also when the other is empty
        if bids and asks:
            bid, ask = bids[0].price_micro, asks[0].price_micro
            if bid >= ask:
                raise HedgeError(
                    f"{self.outcome} book",
                    f"the best bid {bid / MICRO:g} is not below the best ask {ask / MICRO:g}",
                    "a crossed book is no price: take a fresh snapshot",
                )

    @cached_property
    def bid_levels(self) -> tuple[Level, ...]:
        """The bids, highest first."""
        return self._levels("bid", self.bids, is_descending=True)

    @cached_property
    def ask_levels(self) -> tuple[Level, ...]:
        """The asks, lowest first."""
        return self._levels("ask", self.asks, is_descending=False)

    def _levels(self, side: str, pairs: tuple[tuple[float, float], ...], *, is_descending: bool) -> tuple[Level, ...]:
        units_at: dict[int, int] = {}
        for price, shares in pairs:
            field = f"{self.outcome} book: {side} {price:g}x{shares:g}"
            price_micro = _price_micro(field, price)
            if not (math.isfinite(shares) and to_micro(shares) > 0):
                raise HedgeError(field, "the size is not positive", "leave out levels without shares")
            units_at[price_micro] = units_at.get(price_micro, 0) + to_micro(shares)
        return tuple(Level(price, units_at[price]) for price in sorted(units_at, reverse=is_descending))


def _price_micro(field: str, price: float) -> int:
    if not (math.isfinite(price) and 0 < to_micro(price) < MICRO):
        raise HedgeError(field, f"the price {price:g} is outside (0, 1)", "prices are dollars a share, such as 0.55")
    return to_micro(price)


@dataclass(frozen=True, kw_only=True)
class HedgePosition:
    """What is held, and what it cost: average prices a share, or `cost_usd` of everything (fees paid may be in it).

    Without either nothing can be said about profit or the worst case, so it is refused. `resting` are orders of ours
    that can still fill: they count in every worst case, however long ago (`resting_age_s`, None: now) that was known.
    """

    call_shares: float = 0.0
    put_shares: float = 0.0
    call_average_price: float | None = None
    put_average_price: float | None = None
    cost_usd: float | None = None
    resting: tuple[OpenOrder, ...] = ()
    resting_age_s: float | None = None

    def __post_init__(self) -> None:
        has_average = self.call_average_price is not None or self.put_average_price is not None
        if self.cost_usd is not None and has_average:
            raise HedgeError("position.cost_usd", "given beside average prices", "give one of them")
        if self.cost_usd is not None:
            _finite("position.cost_usd", self.cost_usd, least=-math.inf)
        _finite("position.resting_age_s", self.resting_age_s)
        for order in self.resting:
            _price_micro(f"resting {order.side} {order.outcome}", order.price)
            _finite(f"resting {order.side} {order.outcome}: shares", order.left)
        for name, shares, average in (
            ("call", self.call_shares, self.call_average_price),
            ("put", self.put_shares, self.put_average_price),
        ):
            if not (math.isfinite(shares) and shares >= 0.0):
                raise HedgeError(
                    f"position.{name}_shares",
                    f"{shares:g} is not possible",
                    "shares are held or not; being short CALL is holding PUT",
                )
            if average is not None and not (math.isfinite(average) and 0.0 <= average <= 1.0):
                raise HedgeError(f"position.{name}_average_price", f"{average:g} is outside [0, 1]", "dollars a share")
            if shares > 0.0 and average is None and self.cost_usd is None:
                raise HedgeError(
                    f"position.{name}_average_price",
                    f"missing, and {shares:g} {name.upper()} shares are held",
                    f"say what they cost a share (--{name} {shares:g}@0.52), or cost_usd of everything",
                )

    @cached_property
    def call_units(self) -> int:
        """CALL, in micro-shares."""
        return to_micro(self.call_shares)

    @cached_property
    def put_units(self) -> int:
        """PUT, in micro-shares."""
        return to_micro(self.put_shares)

    @cached_property
    def cost_micro(self) -> int:
        """What everything cost, in micro-dollars."""
        if self.cost_usd is not None:
            return to_micro(self.cost_usd)
        return product_micro(to_micro(self.call_average_price or 0.0), self.call_units) + product_micro(
            to_micro(self.put_average_price or 0.0), self.put_units
        )


@dataclass(frozen=True, kw_only=True)
class OtherPosition:
    """A position in another window: what it gains in dollars when its asset rises one basis point."""

    market: str
    usd_per_bp: float
    correlation: float | None = None  # of its asset's returns with ours; None: 1 for our asset, else the analyzer's

    def __post_init__(self) -> None:
        if not self.asset:
            raise HedgeError("other.market", f"{self.market!r} names no asset", "write it as btc-5m")
        _finite(f"other {self.market}: usd_per_bp", self.usd_per_bp, least=-math.inf)
        _finite(f"other {self.market}: correlation", self.correlation, least=-1.0, most=1.0)

    @property
    def asset(self) -> str:
        """`btc` of `btc-5m`."""
        return self.market.split("-")[0].strip().lower()


@dataclass(frozen=True, kw_only=True)
class HedgePrices:
    """The market as it is now.

    `fair` is our probability that CALL pays (a tie is in it, being CALL); `fair_low` and `fair_high` bound it. A book
    that is None is unknown. `sigma_per_sqrt_s` (of the log return) is None when unknown; then nothing is said about the
    underlying.
    `averaging_s` is the length of the settlement's own average before the end, 0 for a spot settlement.
    `others_without_value` are markets in which something is held that cannot be netted now.
    """

    fair: float
    time_left_s: float
    call: HedgeBook | None = None
    put: HedgeBook | None = None
    fair_low: float | None = None
    fair_high: float | None = None
    sigma_per_sqrt_s: float | None = None
    averaging_s: float = 60.0
    tick_size: float = 0.01
    min_size_shares: float = 5.0
    market: str = ""
    others: tuple[OtherPosition, ...] = ()
    others_without_value: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _finite("fair", self.fair, most=1.0)
        _finite("fair_low", self.fair_low, most=self.fair)
        _finite("fair_high", self.fair_high, least=self.fair, most=1.0)
        _finite("time_left_s", self.time_left_s)
        _finite("sigma_per_sqrt_s", self.sigma_per_sqrt_s, most=0.1)
        _finite("averaging_s", self.averaging_s)
        _finite("tick_size", self.tick_size, least=0.0001, most=0.1)
        _finite("min_size_shares", self.min_size_shares)
        if self.others and not self.market:
            raise HedgeError("market", "missing beside other positions", "name ours, such as btc-15m, to net them")
        for expected, book in (("CALL", self.call), ("PUT", self.put)):
            if book is None:
                continue
            if book.outcome != expected:
                raise HedgeError(f"{expected.lower()} book", f"it is the {book.outcome} book", "exchange the two")
            for level in (*book.bid_levels, *book.ask_levels):
                if level.price_micro % self.tick_micro:
                    raise HedgeError(
                        f"{expected} book",
                        f"{level.price_micro / MICRO:g} is no multiple of the tick {self.tick_size:g}",
                        "give the market's own tick_size (--tick)",
                    )

    @cached_property
    def tick_micro(self) -> int:
        """The tick in micro-dollars."""
        return to_micro(self.tick_size)

    @cached_property
    def min_units(self) -> int:
        """The smallest order in micro-shares."""
        return to_micro(self.min_size_shares)


def averaging_s(period: Period) -> float:
    """Seconds of the average that settles this period; 0 for a spot settlement."""
    return float(period.twap_lookback_s) if period.settlement == "twap" else 0.0

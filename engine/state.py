"""What a caller knows of one market at one instant, as one immutable value.

Stamps are nanoseconds since 1970 (UTC) and say when a price was true, so that an old price is old whoever reads it
again. One up to a second ahead of `now_ns` counts as of now; one further ahead says nothing about its age, so that
price is not used and nothing is quoted. What is not known is None or absent, never a made-up number. The parts refuse
what cannot be a price with a ValueError that names the field.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from shared.market import NS_PER_S, Series, settles_by_candle
from shared.messages import SettlementRule

Levels = tuple[tuple[float, float], ...]  # (price in dollars, shares), best first

StrikeSource = Literal["caller", "file"]

_EARLIEST_NS = 1_000_000_000_000_000_000  # 2001: anything below is seconds or milliseconds
START_FROM_S, START_UNTIL_S = 1_577_836_800, 4_102_444_800  # 2020 and 2100: what can be a period's start
AHEAD_NS = NS_PER_S  # a stamp further ahead of our clock says nothing about its age
ON_GRID = 1e-6  # of a tick: how far from the grid a price may be for rounding's sake

series_of = lru_cache(maxsize=64)(Series.parse)


class OracleTick(msgspec.Struct, frozen=True, kw_only=True):
    """One price of the settlement source, and when it was true."""

    price: float
    stamp_ns: int

    def __post_init__(self) -> None:
        _check_price("the oracle's price", self.price)
        _check_stamp("the oracle's stamp_ns", self.stamp_ns)


class SpotTop(msgspec.Struct, frozen=True, kw_only=True):
    """Best bid and ask of one exchange; equal where only one price is known."""

    bid: float
    ask: float
    stamp_ns: int
    bid_size: float = 1.0
    ask_size: float = 1.0

    def __post_init__(self) -> None:
        _check_price("a spot bid", self.bid)
        _check_price("a spot ask", self.ask)
        _check_stamp("a spot stamp_ns", self.stamp_ns)
        if self.bid > self.ask:
            raise ValueError(f"a spot quote is crossed: bid {self.bid} above ask {self.ask}")
        for name, size in (("bid_size", self.bid_size), ("ask_size", self.ask_size)):
            if not 0.0 <= size < math.inf:
                raise ValueError(f"a spot {name} must be a number of at least 0, not {size}")


class OptionBook(msgspec.Struct, frozen=True, kw_only=True):
    """The resting orders of one outcome: levels of (price, shares), best first; no level on a side: nobody there."""

    bids: Levels
    asks: Levels
    stamp_ns: int

    @classmethod
    def top(cls, *, bid: float | None, ask: float | None, stamp_ns: int, size: float = 1.0) -> OptionBook:
        """A book of which only the best prices are known; None: nobody on that side."""
        return cls(
            bids=() if bid is None else ((bid, size),),
            asks=() if ask is None else ((ask, size),),
            stamp_ns=stamp_ns,
        )

    def __post_init__(self) -> None:
        _check_stamp("a book's stamp_ns", self.stamp_ns)
        for side, levels, sign in (("bid", self.bids, 1.0), ("ask", self.asks, -1.0)):
            for price, size in levels:
                if not 0.0 < price < 1.0:
                    raise ValueError(f"a book's {side} must be dollars in (0, 1), not {price}")
                if not 0.0 < size < math.inf:
                    raise ValueError(f"the size of a book's {side} must be above 0, not {size}")
            if any(sign * (better[0] - worse[0]) <= 0.0 for better, worse in itertools.pairwise(levels)):
                raise ValueError(f"a book's {side}s must be given best first, each price once")
        if self.bids and self.asks and self.bids[0][0] >= self.asks[0][0]:
            raise ValueError(f"a book is crossed: best bid {self.bids[0][0]}, best ask {self.asks[0][0]}")


class PeriodBounds(NamedTuple):
    """The venue's name of a period, and when it begins and ends."""

    slug: str
    start_ns: int
    end_ns: int


@lru_cache(maxsize=64)
def _bounds_of(market: str, start_s: int) -> PeriodBounds:
    """Raises ValueError unless a period of this market starts at this Unix second."""
    series = series_of(market)
    found_s = series.start_of(start_s * NS_PER_S)
    if found_s != start_s:
        raise ValueError(
            f"no period of {series.name} starts at {start_s}: the one that holds that second starts at {found_s}"
        )
    return PeriodBounds(series.slug(start_s), start_s * NS_PER_S, (start_s + series.length_s) * NS_PER_S)


class MarketState(msgspec.Struct, frozen=True, kw_only=True):
    """One market at the instant `now_ns`, in the period that starts at `period_start_s` (Unix seconds, 2020 to 2100).

    To be quoted it must hold a strike, the oracle's price, both books and at least one exchange; what it lacks is named
    in `Decision.problems`. A `strike` whose `strike_source` is `file` is not believed while it equals that of the
    period before: the file was not renewed. `spot` maps an exchange's name to its quote. `settlement` is `twap` (the
    mean of the oracle's last `twap_lookback_s` seconds, the rule since August 2026) or `spot`; None: `twap`, and
    markets of an hour or a day, which settle by an exchange's candle, are refused. `problems` says in words what was
    meant to be here and could not be read; with any, nothing is quoted.

    Raises ValueError naming the field when the parts do not fit together.
    """

    now_ns: int
    period_start_s: int
    market: str = "btc-15m"
    strike: float | None = None
    strike_source: StrikeSource = "caller"
    oracle: OracleTick | None = None
    spot: dict[str, SpotTop] = {}
    call: OptionBook | None = None
    put: OptionBook | None = None
    tick_size: float = 0.01
    settlement: SettlementRule | None = None
    twap_lookback_s: int = 60
    min_size_shares: float = 5.0
    fee_rate: float = 0.07
    fee_exponent: float = 1.0
    rebate_rate: float = 0.2
    taker_delay_s: float | None = None
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_stamp("now_ns", self.now_ns)
        _check_start(self.period_start_s)
        _bounds_of(self.market, self.period_start_s)
        if self.strike is not None:
            _check_price("strike", self.strike)
        if self.settlement not in ("twap", "spot", None):
            raise ValueError(f"settlement must be 'twap' or 'spot', not {self.settlement!r}")
        _check_rules(self)
        if not 0.0 < self.tick_size < 1.0:
            raise ValueError(f"tick_size must be dollars in (0, 1), such as 0.01, not {self.tick_size}")
        for outcome, book in (("call", self.call), ("put", self.put)):
            for price, _ in () if book is None else (*book.bids, *book.asks):
                ticks = price / self.tick_size
                if abs(ticks - round(ticks)) > ON_GRID:
                    raise ValueError(f"{outcome} price {price} is not a multiple of tick_size {self.tick_size}")

    @property
    def series(self) -> Series:
        """The market's asset and length."""
        return series_of(self.market)

    @property
    def rule(self) -> SettlementRule:
        """How the period settles, as far as it is known."""
        return self.settlement or "twap"

    @property
    def is_settled_by_candle(self) -> bool:
        """Whether the venue settles this length by a candle, and the caller names no other rule."""
        return self.settlement is None and settles_by_candle(self.series)

    @property
    def bounds(self) -> PeriodBounds:
        """The period's name, and when it begins and ends."""
        return _bounds_of(self.market, self.period_start_s)


def ticks_of(levels: Sequence[tuple[float, float]], tick_size: float) -> tuple[int, ...]:
    """The prices of levels on the grid as whole ticks."""
    return tuple(round(price / tick_size) for price, _ in levels)


_RULES = {  # field -> its range, and what it is
    "twap_lookback_s": (1, 3600, "seconds"),
    "min_size_shares": (0.0, 1e6, "shares"),
    "fee_rate": (0.0, 1.0, "dollars a share at p (1 - p) = 1"),
    "fee_exponent": (0.0, 10.0, "a power of p (1 - p)"),
    "rebate_rate": (0.0, 1.0, "a share of the fee"),
    "taker_delay_s": (0.0, 60.0, "seconds, or None when it is not known"),
}


def _check_rules(state: MarketState) -> None:
    """Raises ValueError naming the first rule of the market that cannot be."""
    for name, (least, most, meaning) in _RULES.items():
        number = getattr(state, name)
        if number is not None and not least <= number <= most:  # False for NaN
            raise ValueError(f"{name} must be from {least:g} to {most:g} ({meaning}), not {number}")


def _check_price(name: str, price: float) -> None:
    if not 0.0 < price < math.inf:
        raise ValueError(f"{name} must be a price above 0, not {price}")


def _check_start(start_s: object) -> None:
    if not isinstance(start_s, int) or not START_FROM_S <= start_s < START_UNTIL_S:
        raise ValueError(
            f"period_start_s must be whole seconds since 1970, from 2020 to 2100, such as 1791241200, not {start_s!r}"
        )


def _check_stamp(name: str, stamp_ns: int) -> None:
    if not isinstance(stamp_ns, int) or stamp_ns < _EARLIEST_NS:
        raise ValueError(f"{name} must be whole nanoseconds since 1970 (milliseconds x 1_000_000), not {stamp_ns}")

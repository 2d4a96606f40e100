"""The five files of another program's collectors as one `MarketState` (pure; `files_io.py` reads them).

Formats and parsers are those of `services.feeds.files`. Whatever cannot be used is named in `problems` with the file,
the field and the remedy. The strike is believed, because the caller names the period; but a file stamped before the
period's start cannot know its strike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real

from engine.state import AHEAD_NS, START_FROM_S, START_UNTIL_S, MarketState, OptionBook, OracleTick, SpotTop
from services.feeds.files import FINE_TICK, FileAssumptions, FileContents, Number, decode_contents
from services.feeds.files import number_of as parse_number
from services.feeds.files import option_price_of as parse_option_price
from services.feeds.parsing import DECODE_ERRORS, NS_PER_MS, NS_PER_S, is_price
from shared.messages import SettlementRule

_MS_FROM, _MS_UNTIL = 1e11, 1e14  # what can be milliseconds: below it is seconds, above it microseconds
_ASSUMED = FileAssumptions()
_COARSE_TICK = Decimal(str(_ASSUMED.tick_size))

Raw = bytes | OSError  # a file, or why it could not be read


class _RefusedError(Exception):
    """A file that cannot be used, and why."""


def state_of(
    files: Mapping[str, tuple[str, Raw]],
    *,
    now_ns: int,
    period_start_timestamp: float,
    market: str,
    settlement: SettlementRule | None,
) -> MarketState:
    """The state that these files tell: `files` maps bybit, coinbase, chainlink, call, put to (name, content)."""
    start_s = start_of_timestamp(period_start_timestamp)
    reader = _Reader(files, now_ns)
    spot = {venue: top for venue in ("bybit", "coinbase") if (top := reader.spot(venue)) is not None}
    oracle, strike = reader.oracle(start_s)
    tick = max(FINE_TICK, min(reader.tick("call"), reader.tick("put")))
    return MarketState(
        now_ns=now_ns,
        period_start_s=start_s,
        market=market,
        strike=strike,
        strike_source="file",
        oracle=oracle,
        spot=spot,
        call=reader.book("call", tick),
        put=reader.book("put", tick),
        tick_size=float(tick),
        settlement=settlement,
        twap_lookback_s=_ASSUMED.twap_lookback_s,
        min_size_shares=_ASSUMED.min_size_shares,
        fee_rate=_ASSUMED.fee_rate,
        fee_exponent=_ASSUMED.fee_exponent,
        rebate_rate=_ASSUMED.rebate_rate,
        problems=tuple(reader.problems),
    )


def start_of_timestamp(timestamp: float) -> int:
    """A period's start in Unix seconds, from milliseconds. Raises ValueError for anything else."""
    is_number = isinstance(timestamp, Real) and math.isfinite(timestamp)
    if not is_number or not START_FROM_S * 1000 <= timestamp < START_UNTIL_S * 1000:
        raise ValueError(
            "period_start_timestamp must be milliseconds since 1970, from 2020 to 2100, such as 1791241200000, "
            f"not {timestamp!r}"
        )
    if timestamp % 1000:
        raise ValueError(f"period_start_timestamp must be milliseconds of a whole second, not {timestamp!r}")
    return int(timestamp) // 1000


class _Reader:
    """Takes the files apart, and keeps what is wrong with them."""

    def __init__(self, files: Mapping[str, tuple[str, Raw]], now_ns: int) -> None:
        self._now_ns = now_ns
        self._names = {key: name for key, (name, _) in files.items()}
        self.problems: list[str] = []
        self._contents: dict[str, tuple[FileContents, int]] = {}
        for key, (_, raw) in files.items():
            try:
                contents = _decode(raw)
                self._contents[key] = (contents, self._stamp_of(contents.timestamp))
            except _RefusedError as refused:
                self._refuse(key, str(refused))

    def spot(self, venue: str) -> SpotTop | None:
        """An exchange's price as bid and ask."""
        if venue not in self._contents:
            return None
        contents, stamp_ns = self._contents[venue]
        price = self._price(venue, "price", contents.price)
        if price is None:
            return None
        size = _ASSUMED.size
        return SpotTop(bid=price, ask=price, stamp_ns=stamp_ns, bid_size=size, ask_size=size)

    def oracle(self, start_s: int) -> tuple[OracleTick | None, float | None]:
        """The oracle's price, and the strike when the file can know it."""
        if "chainlink" not in self._contents:
            return None, None
        contents, stamp_ns = self._contents["chainlink"]
        price = self._price("chainlink", "price", contents.price)
        oracle = None if price is None else OracleTick(price=price, stamp_ns=stamp_ns)
        if contents.strike is None:
            return oracle, None
        strike = self._price("chainlink", "strike", contents.strike)
        if strike is not None and stamp_ns < start_s * NS_PER_S:
            self._refuse("chainlink", f"stamped before the period's start, so strike {strike} is of another period")
            return oracle, None
        return oracle, strike

    def book(self, key: str, tick: Decimal) -> OptionBook | None:
        """The best prices of one outcome."""
        if key not in self._contents:
            return None
        contents, stamp_ns = self._contents[key]
        bid, ask = parse_option_price(contents.best_bid), parse_option_price(contents.best_ask)
        for field, price, raw in (("best_bid", bid, contents.best_bid), ("best_ask", ask, contents.best_ask)):
            if price is None:
                self._refuse(key, f"{field} {raw!r} is not a price in [0, 1]")
                return None
            if price % tick:
                self._refuse(key, f"{field} {price} is on neither the {_COARSE_TICK} nor the {FINE_TICK} grid")
                return None
        assert bid is not None
        assert ask is not None
        try:
            return OptionBook.top(
                bid=float(bid) if bid > 0 else None,
                ask=float(ask) if 0 < ask < 1 else None,
                stamp_ns=stamp_ns,
                size=_ASSUMED.size,
            )
        except ValueError as error:
            self._refuse(key, str(error))
            return None

    def tick(self, key: str) -> Decimal:
        """The coarse tick, or the fine one when a price needs it."""
        if key not in self._contents:
            return _COARSE_TICK
        contents = self._contents[key][0]
        prices = (parse_option_price(contents.best_bid), parse_option_price(contents.best_ask))
        return FINE_TICK if any(price is not None and price % _COARSE_TICK for price in prices) else _COARSE_TICK

    def _price(self, key: str, field: str, raw: Number) -> float | None:
        price = parse_number(raw)
        if price is None or not is_price(price):
            self._refuse(key, f"{field} {'is not there' if raw is None else f'{raw!r} is not a price'}")
            return None
        return price

    def _stamp_of(self, raw: Number) -> int:
        stamp_ms = parse_number(raw)
        if stamp_ms is None:
            raise _RefusedError("timestamp is not there" if raw is None else f"timestamp {raw!r} is not a number")
        if not _MS_FROM <= stamp_ms < _MS_UNTIL:
            raise _RefusedError(f"timestamp {raw} is not in milliseconds since 1970")
        stamp_ns = int(stamp_ms) * NS_PER_MS
        if stamp_ns > self._now_ns + AHEAD_NS:
            ahead_s = (stamp_ns - self._now_ns) / NS_PER_S
            raise _RefusedError(
                f"timestamp is {ahead_s:.1f} s ahead of our clock, so its age is unknown: check both clocks"
            )
        return min(stamp_ns, self._now_ns)

    def _refuse(self, key: str, why: str) -> None:
        self.problems.append(f"{self._names[key]}: {why}")


def _decode(raw: Raw) -> FileContents:
    if isinstance(raw, FileNotFoundError):
        raise _RefusedError("the file is not there: is its collector running?")
    if isinstance(raw, OSError):
        raise _RefusedError(f"cannot be read: {raw.strerror or raw}")
    if not raw.strip():
        raise _RefusedError("is empty: half-written? Write another file and rename it")
    try:
        return decode_contents(raw)
    except DECODE_ERRORS as error:
        if raw.rstrip().endswith(b"}"):
            raise _RefusedError(f"is malformed: {error}") from error
        raise _RefusedError("is half-written, or not a JSON object: write another file and rename it") from error

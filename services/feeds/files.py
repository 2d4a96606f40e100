"""Market data from JSON files that other people's collectors write, as pure parsing.

| file | object | becomes |
|---|---|---|
| `bybit.json`, `coinbase.json` | `price`, `timestamp` | `SpotQuote`: bid = ask = price |
| `chainlink.json` | `price`, `timestamp`, `strike` | `OraclePrice` and `OracleHistory` (spot), `Period` |
| `call.json`, `put.json` | `best_bid`, `best_ask`, `timestamp` | `OutcomeBook`: one level a side |

Times are milliseconds. Numbers may be JSON numbers or texts. What such files do not say is not known here either, and
stands in `FileAssumptions`: sizes, the tick, fees, and the settlement rule.

A strike in the file is taken for the period that holds the file's own timestamp. The collector may still hold the
strike of the period before, so a value proves nothing by being there (`file_strike_inherited`, PENDING). It is proven

- by `file_change`, when we saw it change within its period: no two periods start at the same price to the last digit;
- by `file_start_price`, when the first value we ever saw is within 5 bp of the price that we saw at the start (3 s);
- by `file_trusted`, the first value we ever saw, when the setting `MM_FEED_FILES_TRUST_STRIKE` says so.

More than 5 % from the price it is refused whatever proves it (`file_strike_implausible`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import msgspec

from services.feeds.chainlink.oracle_stream import HISTORY_S, OracleStream
from services.feeds.parsing import (
    DECODE_ERRORS,
    NS_PER_MS,
    NS_PER_S,
    Evidence,
    PriceGuard,
    drop,
    is_clock_plausible,
    is_price,
)
from services.feeds.protocol import Act, Publish
from shared.market import Series, settles_by_candle
from shared.messages import Outcome, OutcomeBook, Period, SettlementRule, SpotQuote, StrikeState

VENUE = "files"
SPOT_FILES = {"bybit.json": "bybit", "coinbase.json": "coinbase"}
OPTION_FILES: dict[str, Outcome] = {"call.json": "CALL", "put.json": "PUT"}
ORACLE_FILE = "chainlink.json"
FILE_NAMES = frozenset({*SPOT_FILES, *OPTION_FILES, ORACLE_FILE})
PERIOD_REPEAT_NS = 5 * NS_PER_S
NEAR_START_S = 3
START_REACH = 5e-4  # of our price at the start: a strike that is confirmed by it
FARTHEST_STRIKE = 0.05  # of the price
FINE_TICK = Decimal("0.001")
LARGEST_FILE_BYTES = 1 << 20


class FileAssumptions(NamedTuple):
    """What the files do not say. `size` stands for every size; `tick_size` until a finer price is seen.

    `settlement` None: the average of the oracle, for every length but an hour and a day, which the venue settles by an
    exchange's candle: those are refused unless the rule is named.
    """

    size: float = 1.0
    tick_size: float = 0.01
    min_size_shares: float = 5.0
    settlement: SettlementRule | None = None
    twap_lookback_s: int = 60
    trust_strike: bool = False
    fee_rate: float = 0.07
    fee_exponent: float = 1.0
    rebate_rate: float = 0.2


Number = float | str | None


class FileContents(msgspec.Struct):
    """What any of the files may say; None: it does not."""

    timestamp: Number = None
    price: Number = None
    strike: Number = None
    best_bid: Number = None
    best_ask: Number = None


decode_contents = msgspec.json.Decoder(FileContents).decode  # raises DECODE_ERRORS


@dataclass(slots=True)
class _FilePeriod:
    """The strike of the present period, as the file tells it."""

    start_s: int
    strike: float | None = None
    shown: float | None = None  # the strike in the file, proven or not
    inherited: float | None = None  # the strike that stood there before anything changed within this period
    is_first: bool = False  # since our start: nobody saw whether `inherited` is of the period before
    reason: str = ""  # what proves the strike, or why it is not proven
    stamp_ns: int = 0
    repeated_ns: int = 0


@dataclass(slots=True)
class _Followed:
    """One file as it was last read."""

    raw: bytes | None = None
    stamp_ms: int = 0
    guard: PriceGuard = field(default_factory=PriceGuard)


class FilesFeed:
    """Files in, messages out, for one series."""

    venue = VENUE

    def __init__(self, series: Series, *, assumptions: FileAssumptions | None = None) -> None:
        self._series = series
        self._assumptions = assumptions or FileAssumptions()
        self._tick = Decimal(str(self._assumptions.tick_size))
        named = self._assumptions.settlement
        self._settlement: SettlementRule = named or "twap"
        self._refusal = "candle_market" if named is None and settles_by_candle(series) else None
        self._followed = {name: _Followed() for name in FILE_NAMES}
        self._oracle = OracleStream(series.asset, "spot", history_s=HISTORY_S)
        self._period: _FilePeriod | None = None
        self._evidence = Evidence()

    def on_file(self, name: str, raw: bytes, ts_recv_ns: int) -> Sequence[Act]:
        """A file was written. Never raises; a half-written file is waited for."""
        followed = self._followed.get(name)
        if followed is None or raw == followed.raw:
            return ()
        if not raw.strip():
            return (drop("incomplete", f"{name} is empty"),)
        try:
            contents = decode_contents(raw)
        except DECODE_ERRORS as error:
            reason = "malformed" if raw.rstrip().endswith(b"}") else "incomplete"
            return (drop(reason, f"{name}: {error}"),)
        followed.raw = raw
        stamp = number_of(contents.timestamp)
        if stamp is None or not is_clock_plausible(int(stamp) * NS_PER_MS, ts_recv_ns):
            return (drop("clock", f"{name} stamped {contents.timestamp}"),)
        stamp_ms = int(stamp)
        if stamp_ms < followed.stamp_ms:
            return (drop("out_of_order", f"{name} stamped {stamp_ms} after {followed.stamp_ms}"),)
        followed.stamp_ms = stamp_ms
        if name in SPOT_FILES:
            return self._on_spot(followed, SPOT_FILES[name], contents, ts_recv_ns)
        if name in OPTION_FILES:
            return self._on_option(OPTION_FILES[name], contents, stamp_ms, ts_recv_ns)
        return self._on_oracle(contents, stamp_ms, ts_recv_ns)

    def _on_spot(self, followed: _Followed, venue: str, contents: FileContents, ts_recv_ns: int) -> Sequence[Act]:
        price = number_of(contents.price)
        if price is None or not is_price(price) or not followed.guard.accept(price):
            return (drop("absurd", f"{venue} price {contents.price}"),)
        quote = SpotQuote(
            ts_event_ns=followed.stamp_ms * NS_PER_MS,
            ts_recv_ns=ts_recv_ns,
            asset=self._series.asset,
            venue=venue,
            bid=price,
            bid_size=self._assumptions.size,
            ask=price,
            ask_size=self._assumptions.size,
        )
        return (Publish(quote),)

    def _on_option(self, outcome: Outcome, contents: FileContents, stamp_ms: int, ts_recv_ns: int) -> Sequence[Act]:
        bid, ask = option_price_of(contents.best_bid), option_price_of(contents.best_ask)
        if bid is None or ask is None:
            return (drop("absurd", f"{outcome} {contents.best_bid} / {contents.best_ask}"),)
        if any(price % self._tick for price in (bid, ask)):
            if any(price % FINE_TICK for price in (bid, ask)):
                return (drop("off_tick", f"{outcome} {bid} / {ask}"),)
            self._tick = FINE_TICK
        has_bid, has_ask = bid > 0, 0 < ask < 1
        if has_bid and has_ask and bid >= ask:
            return (drop("crossed", f"{outcome} {bid} / {ask}"),)
        start_s = self._series.start_of(stamp_ms * NS_PER_MS)
        size = self._assumptions.size
        book = OutcomeBook(
            ts_event_ns=stamp_ms * NS_PER_MS,
            ts_recv_ns=ts_recv_ns,
            market=self._series.name,
            slug=self._series.slug(start_s),
            outcome=outcome,
            tick_size=float(self._tick),
            bid_ticks=(int(bid / self._tick),) if has_bid else (),
            bid_sizes=(size,) if has_bid else (),
            ask_ticks=(int(ask / self._tick),) if has_ask else (),
            ask_sizes=(size,) if has_ask else (),
        )
        return (Publish(book),)

    def _on_oracle(self, contents: FileContents, stamp_ms: int, ts_recv_ns: int) -> Sequence[Act]:
        price = number_of(contents.price)
        if price is None or not is_price(price):
            return (drop("absurd", f"oracle price {contents.price}"),)
        acts = list(self._oracle.on_tick(stamp_ms, price, ts_recv_ns, self._evidence))
        if any(isinstance(act, Publish) for act in acts):
            acts.extend(self._on_strike(contents.strike, price, stamp_ms * NS_PER_MS, ts_recv_ns))
        return acts

    def _on_strike(self, text: Number, price: float, stamp_ns: int, ts_recv_ns: int) -> Sequence[Act]:
        start_s = self._series.start_of(stamp_ns)
        period = self._period
        strike = number_of(text)
        is_absurd = strike is not None and not is_price(strike)
        if is_absurd:
            strike = None
        is_new = period is None or start_s > period.start_s
        if period is None:
            if is_absurd:  # what it replaces is not seen: a value that follows would look like a change
                return (drop("absurd", f"strike {text}"),)
            period = self._period = _FilePeriod(start_s, inherited=strike, is_first=True)
        elif start_s > period.start_s:
            period = self._period = _FilePeriod(start_s, inherited=period.shown or period.inherited)
        period.stamp_ns = stamp_ns
        period.shown = period.shown if strike is None else strike
        before = (period.strike, period.reason)
        acts: list[Act] = [drop("absurd", f"strike {text}")] if is_absurd else []
        if period.shown is not None and period.shown != period.strike:
            acts.extend(self._weigh(period, period.shown, price))
        if is_new or (period.strike, period.reason) != before:
            acts.append(self._publish_period(period, ts_recv_ns))
        return acts

    def _weigh(self, period: _FilePeriod, shown: float, price: float) -> Sequence[Act]:
        """Prove the strike that the file shows, or say once why it is not proven."""
        reason, proof = "file_strike_inherited", self._proof(period, shown)
        if abs(shown - price) > FARTHEST_STRIKE * price:
            reason, proof = "file_strike_implausible", None
        if proof is not None:
            period.strike, period.reason = shown, proof
            return ()
        if shown == period.inherited and period.strike is not None:
            return ()  # the collector fell back to what it held before the change
        period.strike = None
        if period.reason == reason:
            return ()
        period.reason = reason
        remedy = "" if "implausible" in reason else "; waiting for a change, or set MM_FEED_FILES_TRUST_STRIKE=true"
        return (drop(reason, f"strike {shown} of the period from {period.start_s}, price {price}{remedy}"),)

    def _proof(self, period: _FilePeriod, shown: float) -> str | None:
        if shown != period.inherited:
            return "file_change"
        if not period.is_first:
            return None
        if self._assumptions.trust_strike:
            return "file_trusted"
        at_start = self._oracle.price_near(period.start_s, within_s=NEAR_START_S)
        is_near = at_start is not None and abs(shown - at_start) <= START_REACH * at_start
        return "file_start_price" if is_near else None

    def _publish_period(self, period: _FilePeriod, ts_recv_ns: int) -> Publish:
        period.repeated_ns = ts_recv_ns
        state: StrikeState = "PENDING" if period.strike is None else "PROVEN"
        slug = self._series.slug(period.start_s)
        assumed = self._assumptions
        return Publish(
            Period(
                ts_event_ns=period.stamp_ns,
                ts_recv_ns=ts_recv_ns,
                market=self._series.name,
                role="current",
                slug=slug,
                condition_id="",
                start_ns=period.start_s * NS_PER_S,
                end_ns=(period.start_s + self._series.length_s) * NS_PER_S,
                settlement=self._settlement,
                twap_lookback_s=assumed.twap_lookback_s if self._settlement == "twap" else 0,
                strike=period.strike,
                strike_state=state,
                strike_source=period.reason,
                call_token=f"{slug}-CALL",
                put_token=f"{slug}-PUT",
                tick_size=float(self._tick),
                min_size_shares=assumed.min_size_shares,
                fee_rate=assumed.fee_rate,
                fee_exponent=assumed.fee_exponent,
                rebate_rate=assumed.rebate_rate,
                taker_delay_s=None,
                rewards_min_shares=None,
                rewards_max_spread=None,
                version="file",
                refusal=self._refusal,
            )
        )

    def on_timer(self, ts_ns: int) -> Sequence[Act]:
        """The history and the period again, when they are due."""
        acts = list(self._oracle.on_timer(ts_ns))
        period = self._period
        if period is not None and ts_ns - period.repeated_ns >= PERIOD_REPEAT_NS:
            acts.append(self._publish_period(period, ts_ns))
        return acts


def number_of(raw: Number) -> float | None:
    """A finite number; None when there is none."""
    if isinstance(raw, str):
        try:
            raw = float(raw) if len(raw) < 60 else None
        except ValueError:
            return None
    return raw if raw is not None and math.isfinite(raw) and abs(raw) < 1e18 else None


def option_price_of(raw: Number) -> Decimal | None:
    """An outcome price in [0, 1] to the last digit; nothing on a side (null, or missing) is 0; None when absurd."""
    if raw is None:
        return Decimal(0)
    try:
        price = Decimal(str(raw))
    except InvalidOperation:
        return None
    return price if price.is_finite() and 0 <= price <= 1 and price == round(price, 9) else None

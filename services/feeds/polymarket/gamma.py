"""The rules of a period, read from Gamma and confirmed by the order book's own market record. Never guessed.

`parse_event` and `parse_clob_market` are pure: bytes in, a record or a named `Refused` out. A record that can be read
but must not be traded carries `refusal`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from services.feeds.polymarket.units import LEGAL_TICK_UNITS, UNITS_PER_USD, positive
from services.feeds.polymarket.wire import MAX_FRAME_BYTES, Refused
from shared.market import Series, parse_slug
from shared.messages import Outcome, SettlementRule

# The first starts (Unix seconds) that settle by the 60 s TWAP: 15 minutes and 4 hours from 2026-08-07, 5 minutes from
# 2026-08-14; 5 minutes used a 30 s TWAP in the week between (changelog 2026-08-07 and 08-14).
TWAP_SINCE_S = 1_786_060_800
FIVE_MINUTES_TWAP60_SINCE_S = TWAP_SINCE_S + 7 * 86_400
SUPPORTED_LOOKBACK_S = 60

T = TypeVar("T")

Number = float | str | None
Strings = list[str] | str | None

_SOURCE = re.compile(r"https://data\.chain\.link/streams/([a-z0-9]+)-usd(?:-twap-([0-9]{1,4})s-streams)?/?")
_CONDITION_ID = re.compile(r"0x[0-9a-f]{64}")
_TOKEN = re.compile(r"[1-9][0-9]{0,77}")
_CANDLE = re.compile(r"up-or-down-(?:on-)?[a-z]+-[0-9]+|up-or-down-hourly|binance", re.IGNORECASE)
_OUTCOMES: dict[str, Outcome] = {"up": "CALL", "down": "PUT"}
_strings = msgspec.json.Decoder(list[str])


class _FeeSchedule(msgspec.Struct):
    rate: Number = None
    exponent: Number = None
    takerOnly: bool | None = None  # noqa: N815  the venue's name
    rebateRate: Number = None  # noqa: N815


class _CryptoConfig(msgspec.Struct):
    asset: str | None = None
    duration: str | None = None
    twapEnabled: bool | None = None  # noqa: N815
    twapLookbackSeconds: int | None = None  # noqa: N815


class _GammaMarket(msgspec.Struct, rename="camel"):
    slug: str
    condition_id: str | None = None
    resolution_source: str | None = None
    event_start_time: str | None = None
    end_date: str | None = None
    outcomes: Strings = None
    outcome_prices: Strings = None
    clob_token_ids: Strings = None
    position_ids: Strings = None
    order_price_min_tick_size: Number = None
    order_min_size: Number = None
    rewards_min_size: Number = None
    rewards_max_spread: Number = None
    fees_enabled: bool | None = None
    fee_schedule: _FeeSchedule | None = None
    crypto_market_config: _CryptoConfig | None = None
    accepting_orders: bool | None = None
    closed: bool | None = None
    neg_risk: bool | None = None
    version: str | None = None


class _EventMetadata(msgspec.Struct, rename="camel"):
    price_to_beat: Number = None
    final_price: Number = None


class _GammaEvent(msgspec.Struct, rename="camel"):
    slug: str
    markets: list[_GammaMarket] = []
    series_slug: str | None = None
    start_time: str | None = None
    end_date: str | None = None
    event_metadata: _EventMetadata | None = None


class _ListedEvent(msgspec.Struct):
    slug: str


class _ClobToken(msgspec.Struct):
    t: str
    o: str


class _ClobFee(msgspec.Struct):
    r: Number = None
    e: Number = None
    to: bool | None = None


class _ClobMarket(msgspec.Struct):
    c: str
    t: list[_ClobToken]
    mos: Number = None
    mts: Number = None
    ao: bool | None = None
    itode: bool | None = None
    fd: _ClobFee | None = None
    v: str | None = None


class PeriodRules(NamedTuple):
    """What a period is and how it settles. With a `refusal`, what could not be read is "" or 0 and means nothing."""

    slug: str
    condition_id: str
    call_token: str
    put_token: str
    start_s: int
    end_s: int
    settlement: SettlementRule
    twap_lookback_s: int
    tick_units: int
    min_size_shares: float
    fee_rate: float
    fee_exponent: float
    rebate_rate: float
    rewards_min_shares: float | None
    rewards_max_spread: float | None
    version: str
    accepting_orders: bool
    refusal: str | None


class EventFacts(NamedTuple):
    """A Gamma event: its rules, and what it publishes about the prices that decide it."""

    rules: PeriodRules
    price_to_beat: float | None
    final_price: float | None
    closed: bool
    official: Outcome | None


class ClobFacts(NamedTuple):
    """The order book's own record of a market."""

    condition_id: str
    tokens: dict[Outcome, str]
    min_size_shares: float
    tick_units: int
    fee_rate: float
    fee_exponent: float
    taker_only: bool
    accepting_orders: bool
    taker_delayed: bool | None
    version: str


_event_decoder = msgspec.json.Decoder(_GammaEvent)
_listing_decoder = msgspec.json.Decoder(list[_ListedEvent])
_page_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_market_decoder = msgspec.json.Decoder(_GammaMarket)
_clob_decoder = msgspec.json.Decoder(_ClobMarket)


def parse_event(body: bytes, slug: str) -> EventFacts | Refused:
    """The event of one period slug. Reasons: `frame_too_large`, `malformed_gamma`, `wrong_slug`."""
    event = _decode(_event_decoder, body, "malformed_gamma")
    if isinstance(event, Refused):
        return event
    if event.slug != slug:
        return Refused("wrong_slug", f"asked for {slug}, got {event.slug[:80]!r}")
    markets = [market for market in event.markets if market.slug == slug]
    if len(markets) != 1:
        return Refused("malformed_gamma", f"{len(markets)} markets of slug {slug}")
    metadata = event.event_metadata or _EventMetadata()
    market = markets[0]
    rules = read_rules(market, slug)
    return EventFacts(
        rules=rules,
        price_to_beat=positive(metadata.price_to_beat),
        final_price=positive(metadata.final_price),
        closed=market.closed is True,
        official=_official(market),
    )


def parse_market(body: bytes, slug: str) -> PeriodRules | Refused:
    """The market of one period slug (`/markets/slug/...`): the same rules without the event around them."""
    market = _decode(_market_decoder, body, "malformed_gamma")
    if isinstance(market, Refused):
        return market
    if market.slug != slug:
        return Refused("wrong_slug", f"asked for {slug}, got {market.slug[:80]!r}")
    return read_rules(market, slug)


def parse_listing(body: bytes) -> Sequence[str] | Refused:
    """Slugs of the events in a listing (`/events`, a list; `/events/keyset`, an object around one)."""
    page = _decode(_page_decoder, body, "malformed_listing")
    if not isinstance(page, Refused):
        body = bytes(page.get("events", page.get("data", msgspec.Raw(b"null"))))
    events = _decode(_listing_decoder, body, "malformed_listing")
    return events if isinstance(events, Refused) else [event.slug for event in events]


def parse_clob_market(body: bytes) -> ClobFacts | Refused:
    """`/clob-markets/{condition id}`. Reasons: `frame_too_large`, `malformed_clob_market`."""
    market = _decode(_clob_decoder, body, "malformed_clob_market")
    if isinstance(market, Refused):
        return market
    tokens = _tokens([token.o for token in market.t], [token.t for token in market.t])
    fee = market.fd
    tick, min_size = _tick(market.mts), positive(market.mos)
    if tokens is None or tick is None or min_size is None or fee is None or fee.to is None:
        return Refused("malformed_clob_market", "tokens, tick, minimum size or fee cannot be read")
    rate, exponent = _nonnegative(fee.r), positive(fee.e)
    if rate is None or exponent is None:
        return Refused("malformed_clob_market", f"fee {fee.r!r} exponent {fee.e!r}")
    return ClobFacts(
        condition_id=market.c,
        tokens=tokens,
        min_size_shares=min_size,
        tick_units=tick,
        fee_rate=rate,
        fee_exponent=exponent,
        taker_only=fee.to,
        accepting_orders=market.ao is True,
        taker_delayed=market.itode,
        version=market.v or "v1",
    )


def read_rules(market: _GammaMarket, slug: str) -> PeriodRules:
    """The rules in a Gamma market, or a refused record that says what is wrong with it."""
    try:
        series, start_s = parse_slug(slug)
    except ValueError:
        candle = _CANDLE.search(f"{slug} {market.resolution_source or ''}")
        return _refused(slug, start_s=0, end_s=0, reason="candle_market" if candle else "unknown_slug")
    end_s = start_s + series.length_s
    refused = _Refuser(slug, start_s, end_s)
    if _second(market.event_start_time) != start_s or _second(market.end_date) != end_s:
        return refused("period_times_differ")
    version = market.version or "v1"
    if version not in ("v1", "v2"):
        return refused("unknown_version")
    condition_id = market.condition_id or ""
    if _CONDITION_ID.fullmatch(condition_id) is None:
        return refused("no_condition_id")
    outcomes = _string_list(market.outcomes)
    ids = _string_list(market.clob_token_ids if version == "v1" else market.position_ids)
    if not ids:
        return refused("no_token_ids")
    tokens = _tokens(outcomes, ids)
    if tokens is None:
        return refused("unknown_outcomes")
    if version == "v2" and any(int(token) != int(condition_id, 16) + index for index, token in enumerate(ids)):
        return refused("position_ids_not_of_condition")
    rule = settlement_rule(market, series, start_s=start_s)
    if isinstance(rule, str):
        return refused(rule)
    settlement, lookback_s = rule
    tick, min_size = _tick(market.order_price_min_tick_size), positive(market.order_min_size)
    if tick is None:
        return refused("unknown_tick_size")
    if min_size is None:
        return refused("unknown_minimum_size")
    fee = _fees(market)
    if isinstance(fee, str):
        return refused(fee)
    rate, exponent, rebate = fee
    return PeriodRules(
        slug=slug,
        condition_id=condition_id,
        call_token=tokens["CALL"],
        put_token=tokens["PUT"],
        start_s=start_s,
        end_s=end_s,
        settlement=settlement,
        twap_lookback_s=lookback_s,
        tick_units=tick,
        min_size_shares=min_size,
        fee_rate=rate,
        fee_exponent=exponent,
        rebate_rate=rebate,
        rewards_min_shares=positive(market.rewards_min_size),
        rewards_max_spread=_rewards_distance(market.rewards_max_spread),
        version=version,
        accepting_orders=market.accepting_orders is True,
        refusal="negative_risk_market" if market.neg_risk is True else None,
    )


def settlement_rule(market: _GammaMarket, series: Series, *, start_s: int) -> tuple[SettlementRule, int] | str:
    """Which value decides and its look-back in seconds (0 for spot), or the reason why that is not known.

    The resolution source must name the stream; `cryptoMarketConfig` must say the same where it exists. Without it,
    the source counts only when it is what the venue used at that time (history above).
    """
    found = _SOURCE.fullmatch(market.resolution_source or "")
    if found is None:
        return "candle_market" if "binance" in (market.resolution_source or "").lower() else "unknown_settlement_rule"
    if found[1].upper() != series.asset:
        return "settlement_of_another_asset"
    lookback_s = int(found[2]) if found[2] else 0
    config = market.crypto_market_config
    if config is None or config.twapEnabled is None:
        if lookback_s != _lookback_in_history(series, start_s):
            return "settlement_rule_contradicts_history"
    else:
        said_s = (config.twapLookbackSeconds or 0) if config.twapEnabled else 0
        if said_s != lookback_s or (config.twapEnabled and said_s <= 0):
            return "settlement_sources_differ"
        if (config.asset or series.asset).upper() != series.asset or (
            config.duration or series.length_text
        ) != series.length_text:
            return "settlement_of_another_series"
    if lookback_s not in (0, SUPPORTED_LOOKBACK_S):
        return "unsupported_twap_lookback"
    return ("twap", lookback_s) if lookback_s else ("spot", 0)


def _lookback_in_history(series: Series, start_s: int) -> int:
    if start_s < TWAP_SINCE_S:
        return 0
    return 30 if series.length_s == 300 and start_s < FIVE_MINUTES_TWAP60_SINCE_S else 60


def differences(rules: PeriodRules, clob: ClobFacts) -> str | None:
    """Why the two records of one market cannot both be right; None when they agree.

    The tick size may differ: it changes during a period, and the book itself says which one holds.
    """
    if clob.condition_id != rules.condition_id:
        return "mismatched_condition_id"
    if clob.tokens != {"CALL": rules.call_token, "PUT": rules.put_token}:
        return "mismatched_tokens"
    if clob.version != rules.version:
        return "mismatched_version"
    if not clob.taker_only:
        return "unknown_fee_form"
    if (clob.fee_rate, clob.fee_exponent) != (rules.fee_rate, rules.fee_exponent):
        return "mismatched_fees"
    if clob.min_size_shares != rules.min_size_shares:
        return "mismatched_minimum_size"
    return None


def refused_rules(series: Series, start_s: int, reason: str) -> PeriodRules:
    """The record of a period about which nothing usable is known."""
    return _refused(series.slug(start_s), start_s=start_s, end_s=start_s + series.length_s, reason=reason)


class _Refuser(NamedTuple):
    slug: str
    start_s: int
    end_s: int

    def __call__(self, reason: str) -> PeriodRules:
        return _refused(self.slug, start_s=self.start_s, end_s=self.end_s, reason=reason)


def _refused(slug: str, *, start_s: int, end_s: int, reason: str) -> PeriodRules:
    return PeriodRules(
        slug=slug,
        condition_id="",
        call_token="",
        put_token="",
        start_s=start_s,
        end_s=end_s,
        settlement="spot",
        twap_lookback_s=0,
        tick_units=0,
        min_size_shares=0.0,
        fee_rate=0.0,
        fee_exponent=0.0,
        rebate_rate=0.0,
        rewards_min_shares=None,
        rewards_max_spread=None,
        version="",
        accepting_orders=False,
        refusal=reason,
    )


def _fees(market: _GammaMarket) -> tuple[float, float, float] | str:
    """Rate, exponent and rebate rate of fee = shares x rate x (p(1-p))^exponent, takers only; or why it is not that."""
    schedule = market.fee_schedule
    if schedule is None:
        return (0.0, 1.0, 0.0) if market.fees_enabled is False else "unknown_fee_form"
    rate, exponent, rebate = _nonnegative(schedule.rate), positive(schedule.exponent), _nonnegative(schedule.rebateRate)
    if rate is None or rebate is None or not rate <= 1.0 or not rebate <= 1.0 or schedule.takerOnly is not True:
        return "unknown_fee_form"
    return (rate, exponent, rebate) if exponent == 1.0 else "unknown_fee_form"


def _rewards_distance(cents: Number) -> float | None:
    """Dollars from the mid within which orders earn rewards, given in cents; None without a program."""
    distance = positive(cents)
    return None if distance is None or distance >= 100.0 else distance / 100.0


def _official(market: _GammaMarket) -> Outcome | None:
    outcomes, prices = _string_list(market.outcomes), _string_list(market.outcome_prices)
    if market.closed is not True or len(outcomes) != 2 or sorted(prices) != ["0", "1"]:
        return None
    return _OUTCOMES.get(outcomes[prices.index("1")].lower())


def _tokens(outcomes: Sequence[str], ids: Sequence[str]) -> dict[Outcome, str] | None:
    """Tokens by the names of their outcomes; None unless exactly one Up and one Down with distinct plausible ids."""
    if len(outcomes) != 2 or len(ids) != 2 or ids[0] == ids[1] or any(not _TOKEN.fullmatch(token) for token in ids):
        return None
    tokens = {
        _OUTCOMES[name.lower()]: token for name, token in zip(outcomes, ids, strict=True) if name.lower() in _OUTCOMES
    }
    return tokens if len(tokens) == 2 else None


def _string_list(field: Strings) -> Sequence[str]:
    """A list that Gamma sends either as an array or as JSON in a string; empty when it is neither."""
    if isinstance(field, list):
        return field
    if not field:
        return ()
    try:
        return _strings.decode(field)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return ()


def _tick(number: Number) -> int | None:
    usd = positive(number)
    if usd is None or usd > 1.0:
        return None
    units = round(usd * UNITS_PER_USD)
    return units if units in LEGAL_TICK_UNITS and abs(units / UNITS_PER_USD - usd) < 1e-12 else None


def _nonnegative(number: Number) -> float | None:
    return 0.0 if number in (0, "0") else positive(number)


def _second(text: str | None) -> int | None:
    """Unix seconds of an ISO time with a zone; None unless it is a whole second."""
    if text is None or len(text) > 40:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None or moment.microsecond else int(moment.timestamp())
    except (ValueError, OverflowError):
        return None


def _decode(decoder: msgspec.json.Decoder[T], body: bytes, reason: str) -> T | Refused:
    if len(body) > MAX_FRAME_BYTES:
        return Refused("frame_too_large", f"{len(body)} bytes")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        return Refused(reason, f"{error}: {body[:120]!r}")

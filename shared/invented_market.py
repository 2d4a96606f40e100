"""An invented market, for kernels to meet before a real one: a few virtual minutes in which everything is said once.

Its period begins at `START_S`; a step is a tenth of a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from shared.market import NS_PER_S, Series
from shared.messages import (
    Aggressor,
    AnyMessage,
    FeedStatus,
    Fill,
    OracleHistory,
    OracleKind,
    OraclePrice,
    Outcome,
    OutcomeBook,
    OutcomeTrade,
    Period,
    SpotQuote,
    SpotTrade,
)

SERIES = Series.parse("btc-5m")
START_S = 1_791_241_200
_PRICE_USD = 80_000.0


def _price(step: int) -> float:
    return _PRICE_USD * math.exp(4e-4 * math.sin(step / 97.0) + 1e-5 * math.sin(step * 1.7))


def time_of_step(step: int) -> int:
    """When it is, in Unix nanoseconds."""
    return START_S * NS_PER_S + step * NS_PER_S // 10


def moment(step: int) -> Iterator[AnyMessage]:
    """Everything that is received at one step of the invented market."""
    ts_ns = time_of_step(step)
    second = ts_ns // NS_PER_S
    price = _price(step)
    start_s = SERIES.start_of(ts_ns)
    slug = SERIES.slug(start_s)
    at = {"ts_event_ns": ts_ns, "ts_recv_ns": ts_ns}
    if step % 10 == 0:
        yield Period(
            **at,
            market=SERIES.name,
            role="current",
            slug=slug,
            condition_id="0x0",
            start_ns=start_s * NS_PER_S,
            end_ns=(start_s + SERIES.length_s) * NS_PER_S,
            settlement="twap",
            twap_lookback_s=60,
            strike=_PRICE_USD,
            strike_state="PROVEN",
            strike_source="invented",
            call_token="1",
            put_token="2",
            tick_size=0.01,
            min_size_shares=5.0,
            fee_rate=0.07,
            fee_exponent=1.0,
            rebate_rate=0.2,
            taker_delay_s=None,
            rewards_min_shares=50.0,
            rewards_max_spread=0.045,
            version="v1",
            refusal=None,
        )
        yield from _statuses(at)
        kinds: tuple[OracleKind, ...] = ("spot", "twap60")
        if step == 0:
            seconds = tuple(range(second - 180, second))
            for kind in kinds:
                prices = tuple(_price(10 * (each - second)) for each in seconds)
                yield OracleHistory(**at, asset="BTC", kind=kind, venue="chainlink", seconds=seconds, prices=prices)
        for kind in kinds:
            stamp = {"ts_event_ns": (second - 2) * NS_PER_S, "ts_recv_ns": ts_ns}
            yield OraclePrice(**stamp, asset="BTC", kind=kind, price=_price(step - 20), venue="chainlink")
    for venue, lag in (("bybit", 0), ("coinbase", 4)):
        mid = _price(step - lag)
        yield SpotQuote(**at, asset="BTC", venue=venue, bid=mid - 0.5, bid_size=1.0, ask=mid + 0.5, ask_size=1.0)
    if step % 3 == 0:
        side: Aggressor = "buy" if step % 2 else "sell"
        yield SpotTrade(**at, asset="BTC", venue="bybit", price=price, size=0.1, aggressor=side, trade_id=str(step))
        yield from _book(at, slug, price)
        yield OutcomeTrade(
            **at,
            market=SERIES.name,
            slug=slug,
            outcome="CALL",
            price=0.5,
            size=20.0,
            aggressor=side,
            trade_id=str(step),
        )
    if step % 300 == 150:
        yield Fill(
            **at,
            market=SERIES.name,
            slug=slug,
            fill_id=str(step),
            order_id=str(step),
            outcome="CALL",
            side="buy",
            price=0.5,
            size=20.0,
            fee_usd=0.0,
            rebate_usd=0.0,
            is_maker=True,
        )


def _statuses(at: dict[str, int]) -> Iterator[FeedStatus]:
    streams = (
        ("bybit", "SpotQuote", "BTC"),
        ("coinbase", "SpotQuote", "BTC"),
        ("chainlink", "OraclePrice", "BTC.spot"),
        ("polymarket", "OutcomeBook", f"{SERIES.name}.CALL"),
        ("polymarket", "OutcomeBook", f"{SERIES.name}.PUT"),
    )
    for venue, channel, subject in streams:
        yield FeedStatus(
            **at,
            venue=venue,
            channel=channel,
            subject=subject,
            state="LIVE",
            reason="",
            age_s=0.0,
            expected_rate_hz=10.0,
            seen_rate_hz=10.0,
            reconnects=0,
        )


def _book(at: dict[str, int], slug: str, price: float) -> Iterator[OutcomeBook]:
    middle = 50 + round(30 * math.tanh(math.log(price / _PRICE_USD) / 1e-3))
    sides: tuple[tuple[Outcome, int], ...] = (("CALL", middle), ("PUT", 100 - middle))
    for outcome, mid in sides:
        bids, asks = tuple(range(mid - 1, 0, -1)), tuple(range(mid + 1, 100))
        yield OutcomeBook(
            **at,
            market=SERIES.name,
            slug=slug,
            outcome=outcome,
            tick_size=0.01,
            bid_ticks=bids,
            bid_sizes=(100.0,) * len(bids),
            ask_ticks=asks,
            ask_sizes=(100.0,) * len(asks),
        )

"""A market in which everything is fresh and a quote stands: what the quoter needs, stamped with any instant."""

from __future__ import annotations

import math
from collections.abc import Iterator

from shared.market import NS_PER_S, Series
from shared.messages import (
    AnyMessage,
    FeedStatus,
    Flow,
    LeadLag,
    OracleHistory,
    OraclePrice,
    OutcomeBook,
    Period,
    Position,
    Regime,
    SpotQuote,
    Volatility,
)
from tests.builders import build

SERIES = Series.parse("btc-15m")
SPOT_USD = 80_000.0
ELAPSED_S = 300  # of 900
STREAMS = (
    ("bybit", "SpotQuote", "BTC"),
    ("bybit", "SpotTrade", "BTC"),
    ("coinbase", "SpotQuote", "BTC"),
    ("coinbase", "SpotTrade", "BTC"),
    ("chainlink", "OraclePrice", "BTC.spot"),
    ("chainlink", "OraclePrice", "BTC.twap60"),
    ("polymarket", "OutcomeBook", "btc-15m.CALL"),
    ("polymarket", "OutcomeBook", "btc-15m.PUT"),
)


def standing(now_ns: int, start_s: int | None = None) -> Iterator[AnyMessage]:
    """Every message of the scene, as if received now, in a period whose strike is the price; it began 300 s ago."""
    now_s = now_ns / NS_PER_S
    second = now_ns // NS_PER_S
    if start_s is None:
        start_s = second - ELAPSED_S
    slug = SERIES.slug(start_s)
    yield build(
        Period, at_s=now_s, slug=slug, start_ns=start_s * NS_PER_S, end_ns=(start_s + 900) * NS_PER_S, strike=SPOT_USD
    )
    for kind in ("spot", "twap60"):
        seconds = tuple(range(second - 180, second - 1))
        prices = tuple(SPOT_USD + 10.0 * math.sin(each) for each in seconds)
        yield build(OracleHistory, at_s=now_s, kind=kind, seconds=seconds, prices=prices)
        yield build(OraclePrice, at_s=now_s, ts_event_ns=(second - 1) * NS_PER_S, kind=kind, price=SPOT_USD)
    for venue, channel, subject in STREAMS:
        yield build(FeedStatus, at_s=now_s, venue=venue, channel=channel, subject=subject)
    for venue in ("bybit", "coinbase"):
        yield build(SpotQuote, at_s=now_s, venue=venue, bid=SPOT_USD - 0.05, ask=SPOT_USD + 0.05)
    yield from books(now_ns, slug)
    yield build(Volatility, at_s=now_s)
    yield build(LeadLag, at_s=now_s)
    yield build(Regime, at_s=now_s)
    yield build(Flow, at_s=now_s, slug=slug)
    yield build(Position, at_s=now_s, slug=slug)


def books(now_ns: int, slug: str) -> Iterator[OutcomeBook]:
    """Both books, 45 levels a side, mirrored, around 0.50."""
    down, up = tuple(range(49, 4, -1)), tuple(range(51, 96))
    sizes = tuple(100.0 + 7.25 * level for level in range(45))
    for outcome in ("CALL", "PUT"):
        yield build(
            OutcomeBook,
            at_s=now_ns / NS_PER_S,
            slug=slug,
            outcome=outcome,
            bid_ticks=down,
            bid_sizes=sizes,
            ask_ticks=up,
            ask_sizes=sizes,
        )


def bybit_frame(now_ns: int, price: float, update: int) -> str:
    """A level-1 frame as Bybit sends it."""
    ms = now_ns // 1_000_000
    levels = f'"b":[["{price - 0.05:.2f}","1.25"]],"a":[["{price + 0.05:.2f}","0.75"]]'
    return (
        f'{{"topic":"orderbook.1.BTCUSDT","ts":{ms},"type":"snapshot","data":{{"s":"BTCUSDT",'
        f'{levels},"u":{update},"seq":{update}}},"cts":{ms}}}'
    )

"""Polymarket: discovery, rules, strike, books, trades and settlement of the Up or Down periods."""

from services.feeds.polymarket.book_pair import Tolerances
from services.feeds.polymarket.gamma import PeriodRules, parse_clob_market, parse_event, parse_market
from services.feeds.polymarket.market_channel import MarketChannelProtocol, Timing
from services.feeds.polymarket.strike import Strike
from services.feeds.polymarket.urls import Urls

__all__ = [
    "MarketChannelProtocol",
    "PeriodRules",
    "Strike",
    "Timing",
    "Tolerances",
    "Urls",
    "parse_clob_market",
    "parse_event",
    "parse_market",
]

"""The quoter's metrics: what it published, counted at once; the last quote set of each market, read when asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import get_args

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.quoter.action import RULES
from shared.market import NS_PER_S
from shared.messages import Action, AnyMessage, QuoteSet

_SETS = Counter("quoter_quote_sets", "Quote sets published, by action.", ["market", "action"])
_REASONS = Counter("quoter_reasons", "Quote sets published, by each of their reasons.", ["market", "reason"])


class QuoteCollector(Collector):
    """Counts quote sets and keeps the last of each market."""

    def __init__(self) -> None:
        self._last: dict[str, QuoteSet] = {}
        self._published_s: dict[str, float] = {}

    def begin(self, markets: Sequence[str]) -> None:
        """Every count of these markets is a zero from the start, so that its first time is an increase.

        Their silence begins now.
        """
        for market in markets:
            self._published_s[market] = time.time()
            for action in get_args(Action):
                _SETS.labels(market, action)
            for rule in RULES:
                _REASONS.labels(market, rule.label)

    def count(self, message: AnyMessage) -> None:
        """One more that was published."""
        if isinstance(message, QuoteSet):
            self._last[message.market] = message
            self._published_s[message.market] = message.ts_recv_ns / NS_PER_S
            _SETS.labels(message.market, message.action).inc()
            for reason in message.reasons:
                _REASONS.labels(message.market, reason).inc()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The numbers of the last quote sets while their lease lasts; what a set does not say has no sample."""
        published = GaugeMetricFamily(
            "quoter_published_timestamp_seconds",
            "Time of the last quote set (Unix time); until the first, of the start.",
            labels=["market"],
        )
        time_left = GaugeMetricFamily("quoter_time_to_expiry_seconds", "Seconds left in the period.", labels=["market"])
        fair_value = GaugeMetricFamily("quoter_fair_value", "Probability that CALL pays.", labels=["market"])
        fair_low = GaugeMetricFamily("quoter_fair_low", "Lower end of the fair value's band.", labels=["market"])
        fair_high = GaugeMetricFamily("quoter_fair_high", "Upper end of the fair value's band.", labels=["market"])
        terms = GaugeMetricFamily(
            "quoter_breakdown", "The numbers behind the last quotes, by their name.", labels=["market", "term"]
        )
        for market, published_s in tuple(self._published_s.items()):
            published.add_metric([market], published_s)
        now_ns = time.time_ns()
        for market, quotes in tuple(self._last.items()):
            if quotes.valid_until_ns < now_ns:
                continue
            time_left.add_metric([market], quotes.time_to_expiry_s)
            ends = ((fair_value, quotes.fair_value), (fair_low, quotes.fair_low), (fair_high, quotes.fair_high))
            for family, number in ends:
                if number is not None:
                    family.add_metric([market], number)
            for term, number in quotes.breakdown.items():
                terms.add_metric([market, term], number)
        yield from (published, time_left, fair_value, fair_low, fair_high, terms)

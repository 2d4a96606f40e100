"""The sink's metrics: what stands in the files, beside the book and what we hold, read when Prometheus asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.sink.view import Standing
from shared.market import NS_PER_S
from shared.messages import Action, OutcomeBook, Settlement

_AGREEMENTS = ("yes", "no", "unknown")
_BOOK_SIDES = ("bid", "ask")


class SinkCollector(Collector):
    """The last `Standing` and books of each market, lease expiries and settlements.

    The collector is asked from another thread: it keeps finished records and reads nothing that changes.
    """

    def __init__(self, lease_expiries: Mapping[str, int], markets: tuple[str, ...]) -> None:
        self._lease_expiries = dict(lease_expiries)
        self._settled: dict[str, str] = {}  # market -> slug and agreement counted last
        self._settlements = Counter({(market, agrees): 0 for market in markets for agrees in _AGREEMENTS})
        self._markets: dict[str, tuple[Standing, tuple[OutcomeBook, ...], int]] = {}

    def note(
        self, market: str, standing: Standing, books: tuple[OutcomeBook, ...], *, now_ns: int, lease_expiries: int
    ) -> None:
        """What stands now."""
        self._lease_expiries[market] = lease_expiries
        self._markets[market] = standing, books, now_ns

    def count_settlement(self, settlement: Settlement) -> None:
        """An outcome that the venue announced; said again, it counts once."""
        if settlement.official is None or settlement.market not in self._lease_expiries:
            return
        agrees = "unknown" if settlement.agrees is None else "yes" if settlement.agrees else "no"
        if self._settled.get(settlement.market) != settlement.slug:
            self._settled[settlement.market] = settlement.slug
            self._settlements[settlement.market, agrees] += 1

    def collect(self) -> Iterator[Metric]:
        """The families."""
        leases = CounterMetricFamily("sink_lease_expiries", "Quote sets whose lease ran out.", labels=["market"])
        for market, count in self._lease_expiries.items():
            leases.add_metric([market], count)
        settlements = CounterMetricFamily(
            "sink_settlements", "Periods settled; whether our own recomputation agrees.", labels=["market", "agrees"]
        )
        for (market, agrees), count in self._settlements.items():
            settlements.add_metric([market, agrees], count)
        action = GaugeMetricFamily("sink_action", "1 for the action in the file, else 0.", labels=["market", "action"])
        age = GaugeMetricFamily("sink_quotes_age_seconds", "Age of the last quote set.", labels=["market"])
        fair_value = GaugeMetricFamily("sink_fair_value", "Fair value of CALL in the file.", labels=["market"])
        labels = ["market", "outcome", "side"]
        prices = GaugeMetricFamily("sink_ladder_price", "Our quotes, dollars a share.", labels=[*labels, "layer"])
        shares = GaugeMetricFamily("sink_ladder_shares", "Sizes of our quotes.", labels=[*labels, "layer"])
        best = GaugeMetricFamily("sink_book_price", "Best prices of the market's book.", labels=labels)
        for market, (standing, books, now_ns) in tuple(self._markets.items()):
            for each in get_args(Action):
                action.add_metric([market, each], each == standing.action)
            if standing.quotes is not None:
                age.add_metric([market], (now_ns - standing.quotes.ts_recv_ns) / NS_PER_S)
                if standing.quotes.fair_value is not None and not standing.off_lease:
                    fair_value.add_metric([market], standing.quotes.fair_value)
            for outcome, layers in (("CALL", standing.call), ("PUT", standing.put)):
                for layer in layers:
                    names = [market, outcome, layer.side, str(layer.layer)]
                    prices.add_metric(names, layer.price)
                    shares.add_metric(names, layer.size)
            for book in books:
                for side, ticks in zip(_BOOK_SIDES, (book.bid_ticks, book.ask_ticks), strict=True):
                    if ticks:
                        best.add_metric([market, book.outcome, side], ticks[0] * book.tick_size)
        yield from (leases, settlements, action, age, fair_value, prices, shares, best)

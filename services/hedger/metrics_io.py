"""The hedger's metrics, read from its core when Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.hedger.core import HedgerCore


class HedgerCollector(Collector):
    """Bookings, refusals, the ledger, and the positions that were last published."""

    def __init__(self, core: HedgerCore) -> None:
        self._core = core

    def collect(self) -> Iterator[Metric]:
        """The families."""
        core = self._core
        yield CounterMetricFamily("hedger_fills_booked", "Fills booked since the start.", core.booked["fill"])
        booked = CounterMetricFamily("hedger_entries_booked", "Entries booked since the start.", labels=["kind"])
        for kind, count in tuple(core.booked.items()):
            booked.add_metric([kind], count)
        yield booked
        refused = CounterMetricFamily("hedger_bookings_refused", "Bookings not taken.", labels=["reason"])
        for reason, count in tuple(core.refused.items()):
            refused.add_metric([reason], count)
        yield refused
        yield GaugeMetricFamily("hedger_ledger_entries", "Entries in the ledger.", core.books.sequence)
        yield CounterMetricFamily("hedger_ledger_errors", "Times the ledger did not answer.", core.ledger_errors)
        yield GaugeMetricFamily("hedger_waiting_periods", "Periods over whose outcome is missing.", len(core.waiting()))
        shares = GaugeMetricFamily(
            "hedger_position_shares", "Held in the current period.", labels=["market", "outcome"]
        )
        worst = GaugeMetricFamily("hedger_worst_case_usd", "Profit under the worse outcome.", labels=["market"])
        realized = GaugeMetricFamily("hedger_realized_pnl_usd", "Realized in the current period.", labels=["market"])
        for position in core.published():
            shares.add_metric([position.market, "CALL"], position.call_shares)
            shares.add_metric([position.market, "PUT"], position.put_shares)
            worst.add_metric([position.market], position.worst_case_usd)
            realized.add_metric([position.market], position.realized_pnl_usd)
        yield from (shares, worst, realized)

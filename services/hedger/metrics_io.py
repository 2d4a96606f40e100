"""The hedger's metrics, read from its core when Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.hedger.bookings import Delay, Refusal
from services.hedger.core import HedgerCore
from services.hedger.entries import EntryKind

# Metric, field of `shared.messages.Position`, text. None (no answer) has no sample.
_POSITION_GAUGES = (
    ("hedger_mergeable_pairs", "mergeable_pairs", "Pairs that can be merged for a dollar each."),
    ("hedger_realized_pnl_usd", "realized_pnl_usd", "Realized in the current period, net of fees."),
    ("hedger_unrealized_pnl_usd", "unrealized_pnl_usd", "What is held at the fair value, less its cost."),
    ("hedger_liquidation_pnl_usd", "liquidation_pnl_usd", "What is held sold into the books now, less its cost."),
    ("hedger_worst_case_usd", "worst_case_usd", "Profit under the worse outcome, open orders filled to our harm."),
    ("hedger_period_fees_usd", "fees_usd", "Fees paid in the current period."),
    ("hedger_period_rebates_usd", "rebates_usd", "Rebates expected for the current period."),
    ("hedger_period_fills", "fills", "Fills of the current period."),
)


class HedgerCollector(Collector):
    """Bookings, refusals, the ledger, and the positions that were last published."""

    def __init__(self, core: HedgerCore) -> None:
        self._core = core

    def collect(self) -> Iterator[Metric]:
        """The families."""
        core = self._core
        yield CounterMetricFamily("hedger_fills_booked", "Fills booked since the start.", core.booked["fill"])
        booked = CounterMetricFamily("hedger_entries_booked", "Entries booked since the start.", labels=["kind"])
        for kind, count in (dict.fromkeys(get_args(EntryKind), 0) | core.booked).items():
            booked.add_metric([kind], count)
        yield booked
        for name, text, reasons, counts in (
            ("hedger_bookings_refused", "Bookings refused for good.", get_args(Refusal), core.refused),
            ("hedger_bookings_delayed", "Bookings that their sender has to send again.", get_args(Delay), core.delayed),
        ):
            family = CounterMetricFamily(name, text, labels=["reason"])
            for reason in reasons:
                family.add_metric([reason], counts[reason])
            yield family
        yield GaugeMetricFamily("hedger_ledger_entries", "Entries in the ledger.", core.books.sequence)
        yield CounterMetricFamily("hedger_ledger_errors", "Times the ledger did not answer.", core.ledger_errors)
        yield GaugeMetricFamily("hedger_waiting_periods", "Periods over whose outcome is missing.", len(core.waiting()))
        yield from self._of_markets()

    def _of_markets(self) -> Iterator[Metric]:
        """The positions of the current periods, the profit of the last day, and where profit came from."""
        core = self._core
        shares = GaugeMetricFamily(
            "hedger_position_shares", "Held in the current period.", labels=["market", "outcome"]
        )
        prices = GaugeMetricFamily(
            "hedger_average_price", "Average cost of what is held, dollars a share.", labels=["market", "outcome"]
        )
        gauges = [(GaugeMetricFamily(name, text, labels=["market"]), field) for name, field, text in _POSITION_GAUGES]
        for position in core.published():
            market = position.market
            for outcome, held, price in (
                ("CALL", position.call_shares, position.call_average_price),
                ("PUT", position.put_shares, position.put_average_price),
            ):
                shares.add_metric([market, outcome], held)
                if price is not None:
                    prices.add_metric([market, outcome], price)
            for family, field in gauges:
                number = getattr(position, field)
                if number is not None:
                    family.add_metric([market], number)
        day = GaugeMetricFamily(
            "hedger_day_pnl_usd",
            "Profit of the last day's periods and those without outcome; shares at the last mid, else at worst.",
            labels=["market"],
        )
        attribution = GaugeMetricFamily(
            "hedger_attribution_usd",
            "Profit of the periods since this process began, by where it came from; open ones at the last mid.",
            labels=["market", "part"],
        )
        for market, attributed in core.attributions.items():
            day.add_metric([market], core.day_pnl_usd(market))
            for part, number in attributed.parts()._asdict().items():
                attribution.add_metric([market, part], number)
        yield from (shares, prices, *(family for family, _ in gauges), day, attribution)

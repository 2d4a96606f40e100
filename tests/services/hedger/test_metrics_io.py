from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from services.hedger.metrics_io import HedgerCollector
from shared.money import MICRO
from shared.requests import PositionsQuery
from tests.services.hedger.scene import END_NS, ask, ask_all, fill, hedger_in_a_period


def test_bookings_refusals_and_positions_are_metrics() -> None:
    hedger = hedger_in_a_period()
    registry = CollectorRegistry()
    registry.register(HedgerCollector(hedger))
    ask_all(hedger, fill(), fill("p", outcome="PUT", units=MICRO), fill("bad", price_micro=0))
    page = generate_latest(registry).decode().splitlines()
    for line in (
        "hedger_fills_booked_total 2.0",
        'hedger_bookings_refused_total{reason="price"} 1.0',
        "hedger_ledger_entries 2.0",
        'hedger_entries_booked_total{kind="reversal"} 0.0',
        "hedger_ledger_errors_total 0.0",
        'hedger_position_shares{market="btc-15m",outcome="CALL"} 10.0',
        'hedger_position_shares{market="btc-15m",outcome="PUT"} 1.0',
        'hedger_worst_case_usd{market="btc-15m"} -4.39',
        'hedger_average_price{market="btc-15m",outcome="CALL"} 0.49',
        'hedger_mergeable_pairs{market="btc-15m"} 1.0',
        'hedger_period_fills{market="btc-15m"} 2.0',
        'hedger_bookings_refused_total{reason="slug"} 0.0',  # before its first time
        'hedger_bookings_delayed_total{reason="ledger"} 0.0',
        'hedger_day_pnl_usd{market="eth-15m"} 0.0',
        'hedger_attribution_usd{market="btc-15m",part="spread"} 0.0',
    ):
        assert line in page
    assert "hedger_waiting_periods 0.0" in page
    assert not any(line.startswith("hedger_unrealized_pnl_usd{") for line in page)  # without a fair value
    ask(hedger, PositionsQuery(), now_ns=END_NS)
    assert "hedger_waiting_periods 1.0" in generate_latest(registry).decode().splitlines()

"""The simulator's metrics as a page for Prometheus, at `/metrics` beside the venues."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

VENUES = ("bybit", "coinbase", "market", "polybolt", "rtds")  # those with websockets


def metrics_page(*, events: int, connections: Mapping[str, int], faults: int) -> bytes:
    """Events of the simulated world, connections by venue, active faults, and what the process uses."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Counter("simulator_events", "What happened in the simulated world.", registry=registry).inc(events)
    served = Gauge("simulator_connections", "Websockets that are served.", ["venue"], registry=registry)
    for venue in VENUES:
        served.labels(venue).set(connections.get(venue, 0))
    Gauge("simulator_active_faults", "Faults that are switched on.", registry=registry).set(faults)
    return generate_latest(registry)

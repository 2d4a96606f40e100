"""`python -m services.broker`"""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.bus import Broker
from shared.codec import RefusedMessageError, decode
from shared.market import NS_PER_S
from shared.service import Runtime, load_settings
from shared.settings import ServiceSettings

FORGET_AFTER_S = 3600.0
SWEEP_S = 60.0
BATCH_MS = 20  # at 20,000 messages of high-water mark: good for a million a second


class BrokerCollector(Collector):
    """The broker's counts, read when Prometheus asks."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The families."""
        broker = self._broker
        yield GaugeMetricFamily("broker_cached_topics", "Topics with a last value.", len(broker.topics))
        yield CounterMetricFamily("broker_forwarded_messages", "Messages forwarded.", broker.forwarded)
        yield CounterMetricFamily("broker_snapshots", "Snapshot requests answered.", broker.snapshots)
        yield CounterMetricFamily(
            "broker_refused_keys", "Connections refused because their key is not listed.", broker.refused_keys
        )


def is_old(frame: bytes) -> bool:
    """Whether nobody published this topic for an hour (its period or its publisher is gone), or it is not a message."""
    try:
        return decode(frame.partition(b"\0")[2]).ts_pub_ns < time.time_ns() - FORGET_AFTER_S * NS_PER_S
    except RefusedMessageError:
        return True


def main() -> None:
    """Serve until stopped."""
    settings = load_settings(ServiceSettings)
    with Runtime("broker", settings) as runtime:
        broker = Broker(runtime.endpoints)
        REGISTRY.register(BrokerCollector(broker))
        next_sweep = time.monotonic() + SWEEP_S
        while not runtime.stopping:
            broker.serve(timeout_ms=BATCH_MS)
            runtime.counters = {"forwarded": broker.forwarded, "cached_topics": len(broker.topics)}
            runtime.counters["refused_keys"] = broker.refused_keys
            runtime.beat()
            if time.monotonic() >= next_sweep:
                next_sweep += SWEEP_S
                broker.forget(is_old)
        broker.close()


if __name__ == "__main__":
    main()

"""`python -m services.quoter`"""

from __future__ import annotations

import time

from prometheus_client import REGISTRY, Gauge

from services.quoter.core import QuoterCore
from services.quoter.metrics_io import QuoteCollector
from shared.config import MMConfig
from shared.service import Runtime, run

_SIGNAL_AGE = Gauge(
    "quoter_signal_age_seconds", "Age of the data behind the last signal received.", ["market", "signal"]
)
_AGES_EVERY_S = 1.0


class SignalAges:
    """Keeps the gauge of the signals' ages, once a second; a signal never heard, or forgotten, has none."""

    def __init__(self) -> None:
        self._shown: set[tuple[str, str]] = set()
        self._next = 0.0

    def __call__(self, core: QuoterCore) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _AGES_EVERY_S
        ages = core.signal_ages(time.time_ns())
        for key in self._shown - set(ages):
            _SIGNAL_AGE.remove(*key)
        for key, age_s in ages.items():
            _SIGNAL_AGE.labels(*key).set(age_s)
        self._shown = set(ages)


def main() -> None:
    """Quote until stopped."""
    metrics = QuoteCollector()

    def make(runtime: Runtime) -> QuoterCore:
        """The quoter of the configuration that the supervisor passed on, or of the defaults."""
        text = runtime.settings.config_json
        config = MMConfig.model_validate_json(text) if text else MMConfig()
        markets = [each.name for each in runtime.series]
        metrics.begin(markets)
        REGISTRY.register(metrics)
        return QuoterCore(config, markets)

    run("quoter", make, timer_s=0.05, each_turn=SignalAges(), on_published=metrics.count)


if __name__ == "__main__":
    main()

"""`python -m services.quoter`"""

from __future__ import annotations

import time

from prometheus_client import Counter, Gauge

from services.quoter.core import QuoterCore
from shared.config import MMConfig
from shared.messages import AnyMessage, QuoteSet
from shared.service import Runtime, run

_SETS = Counter("quoter_quote_sets", "Quote sets published, by action.", ["market", "action"])
_REASONS = Counter("quoter_reasons", "Quote sets published, by each of their reasons.", ["market", "reason"])
_FAIR_VALUE = Gauge("quoter_fair_value", "Probability that CALL pays.", ["market"])
_TIME_LEFT = Gauge("quoter_time_to_expiry_seconds", "Seconds left in the period.", ["market"])
_SIGNAL_AGE = Gauge(
    "quoter_signal_age_seconds", "Age of the data behind the last signal received.", ["market", "signal"]
)
_AGES_EVERY_S = 1.0


def make(runtime: Runtime) -> QuoterCore:
    """The quoter of the configuration that the supervisor passed on, or of the defaults."""
    text = runtime.settings.config_json
    config = MMConfig.model_validate_json(text) if text else MMConfig()
    return QuoterCore(config, [each.name for each in runtime.series])


def count(message: AnyMessage) -> None:
    """Metrics of a published quote set."""
    if isinstance(message, QuoteSet):
        _SETS.labels(message.market, message.action).inc()
        for reason in message.reasons:
            _REASONS.labels(message.market, reason).inc()
        _TIME_LEFT.labels(message.market).set(message.time_to_expiry_s)
        if message.fair_value is not None:
            _FAIR_VALUE.labels(message.market).set(message.fair_value)


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


if __name__ == "__main__":
    run("quoter", make, timer_s=0.05, each_turn=SignalAges(), on_published=count)

"""The analyzers' metrics: the last signal of each market, read when Prometheus asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.market import NS_PER_S
from shared.messages import AnyMessage, Flow, LeadLag, Regime, RegimeName, Volatility

FORGET_AFTER_S = 10.0  # signals are repeated each second; a market that moved to another instance is heard there

_Signal = LeadLag | Regime | Volatility | Flow

# Fields that are one number of one market: signal and field, metric, text. None (no answer) has no sample.
_GAUGES: tuple[tuple[type[_Signal], str, str, str], ...] = (
    (LeadLag, "lead_s", "lead_lag_lead_seconds", "How long the leading venue is ahead of the oracle."),
    (LeadLag, "correlation", "lead_lag_correlation", "Largest correlation of a venue with the oracle."),
    (LeadLag, "threshold", "lead_lag_threshold", "The correlation from which a lead is believed."),
    (Regime, "variance_ratio", "regime_variance_ratio", "Variance ratio; 1 for a random walk."),
    (Regime, "efficiency_ratio", "regime_efficiency_ratio", "Net move over path length, 0 to 1."),
    (Regime, "volatile_probability", "regime_volatile_probability", "Probability of the volatile state."),
    (Regime, "momentum_z", "regime_momentum_zscore", "Momentum, in its standard deviations."),
    (Volatility, "relative_error", "volatility_relative_error_ratio", "One standard error, relative."),
    (Volatility, "jumps_per_s", "volatility_jumps_per_second", "Rate of price jumps."),
    (Volatility, "spike", "volatility_spike", "1 while the spike alarm is on."),
    (Flow, "imbalance", "flow_imbalance_ratio", "Signed trade imbalance in CALL units, -1 to 1."),
    (Flow, "vpin", "flow_vpin_ratio", "VPIN, 0 to 1."),
    (Flow, "toxicity", "flow_toxicity_ratio", "What the quoter acts on, 0 to 1."),
    (Flow, "lead_order_flow", "flow_lead_order_flow_ratio", "Order-flow imbalance of the leading venue, -1 to 1."),
    (Flow, "markout", "flow_markout_usd", "Dollars a share that takers gained one second later."),
    (Flow, "impact", "flow_impact_usd", "Dollars a share that the mid then moved their way."),
    (Flow, "own_markout", "flow_own_markout_usd", "Dollars a share that our fills earned; positive is good."),
    (Flow, "fill_rate_per_s", "flow_fill_rate_per_second", "Fitted rate of fills at no distance."),
)


class SignalCollector(Collector):
    """Keeps the last signal of each market."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, type[_Signal]], _Signal] = {}

    def take(self, message: AnyMessage) -> None:
        """One more that was published."""
        if isinstance(message, _Signal):
            self._last[message.market, type(message)] = message

    def collect(self) -> Iterator[Metric]:
        """The families."""
        oldest_ns = time.time_ns() - FORGET_AFTER_S * NS_PER_S
        last = [(key, signal) for key, signal in tuple(self._last.items()) if signal.ts_recv_ns >= oldest_ns]
        warm = GaugeMetricFamily("analyzer_warm", "1 once the signal may be relied on.", labels=["market", "signal"])
        regimes = GaugeMetricFamily("regime_state", "1 for the regime, 0 for the others.", labels=["market", "regime"])
        leaders = GaugeMetricFamily("lead_lag_leader", "1 for the venue that leads.", labels=["market", "venue"])
        volatilities = GaugeMetricFamily(
            "volatility_per_sqrt_second", "Blended as quoted on, and what it is made of.", labels=["market", "kind"]
        )
        families = [GaugeMetricFamily(name, text, labels=["market"]) for _, _, name, text in _GAUGES]
        for (market, kind), signal in last:
            warm.add_metric([market, kind.__name__], signal.warm)
            if isinstance(signal, Regime):
                for regime in get_args(RegimeName):
                    regimes.add_metric([market, regime], regime == signal.regime)
            elif isinstance(signal, LeadLag):
                leaders.add_metric([market, signal.leader or "nobody"], 1)
            elif isinstance(signal, Volatility):
                for name, sigma in (
                    ("blended", signal.sigma_per_sqrt_s),
                    ("realized", signal.realized_per_sqrt_s),
                    ("implied", signal.implied_per_sqrt_s),
                ):
                    if sigma is not None:
                        volatilities.add_metric([market, name], sigma)
            for family, (of_kind, field, _, _) in zip(families, _GAUGES, strict=True):
                number = getattr(signal, field) if kind is of_kind else None
                if number is not None:
                    family.add_metric([market], number)
        yield from (each for each in (warm, regimes, leaders, volatilities, *families) if each.samples)

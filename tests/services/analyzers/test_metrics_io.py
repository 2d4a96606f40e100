from __future__ import annotations

import time

from prometheus_client import CollectorRegistry

from services.analyzers.metrics_io import FORGET_AFTER_S, SignalCollector
from shared.messages import AnyMessage, Checkpoint, Flow, LeadLag, Regime, Volatility
from tests.builders import build

BTC = {"market": "btc-15m"}


def collected(*messages: AnyMessage) -> CollectorRegistry:
    collector = SignalCollector()
    for message in messages:
        collector.take(message)
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def test_the_last_signal_of_each_kind_is_shown() -> None:
    now_s = time.time()
    registry = collected(
        build(Volatility, at_s=now_s, sigma_per_sqrt_s=1e-4, spike=True),
        build(Flow, at_s=now_s, toxicity=0.1),
        build(Flow, at_s=now_s, toxicity=0.7),
        build(Regime, at_s=now_s, regime="volatile", momentum_z=-1.5),
        build(LeadLag, at_s=now_s, leader="coinbase", lead_s=0.3, warm=False),
        build(Checkpoint, at_s=now_s),
    )
    assert registry.get_sample_value("volatility_per_sqrt_second", BTC | {"kind": "blended"}) == 1e-4
    assert registry.get_sample_value("volatility_per_sqrt_second", BTC | {"kind": "implied"}) is None
    assert registry.get_sample_value("volatility_spike", BTC) == 1.0
    assert registry.get_sample_value("flow_toxicity_ratio", BTC) == 0.7
    assert registry.get_sample_value("regime_momentum_zscore", BTC) == -1.5
    assert registry.get_sample_value("regime_state", BTC | {"regime": "volatile"}) == 1.0
    assert registry.get_sample_value("regime_state", BTC | {"regime": "quiet"}) == 0.0
    assert registry.get_sample_value("lead_lag_leader", BTC | {"venue": "coinbase"}) == 1.0
    assert registry.get_sample_value("lead_lag_lead_seconds", BTC) == 0.3
    assert registry.get_sample_value("analyzer_warm", BTC | {"signal": "LeadLag"}) == 0.0
    assert registry.get_sample_value("analyzer_warm", BTC | {"signal": "Flow"}) == 1.0


def test_what_a_signal_does_not_know_has_no_sample() -> None:
    now_s = time.time()
    registry = collected(build(LeadLag, at_s=now_s, leader=None, lead_s=None), build(Flow, at_s=now_s, vpin=None))
    assert registry.get_sample_value("lead_lag_lead_seconds", BTC) is None
    assert registry.get_sample_value("lead_lag_leader", BTC | {"venue": "nobody"}) == 1.0
    assert registry.get_sample_value("flow_vpin_ratio", BTC) is None


def test_a_market_that_moved_to_another_instance_is_no_longer_shown_here() -> None:
    registry = collected(build(Flow, at_s=time.time() - FORGET_AFTER_S - 1.0))
    assert registry.get_sample_value("flow_toxicity_ratio", BTC) is None

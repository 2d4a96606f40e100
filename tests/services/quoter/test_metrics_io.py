from __future__ import annotations

import time

from prometheus_client import REGISTRY, CollectorRegistry

from services.quoter.metrics_io import QuoteCollector
from shared.messages import Position, QuoteSet
from tests.builders import NS, build


def collected(*, lease_s: float = 5.0, **fields: object) -> CollectorRegistry:
    now_s = time.time()
    collector = QuoteCollector()
    collector.count(build(QuoteSet, at_s=now_s, valid_until_ns=round((now_s + lease_s) * NS), **fields))
    collector.count(build(Position))
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def test_the_last_quote_set_is_shown_with_every_number_behind_it() -> None:
    registry = collected(breakdown={"model_value": 0.5, "inventory_skew": -0.01})
    assert registry.get_sample_value("quoter_fair_value", {"market": "btc-15m"}) == 0.5
    assert registry.get_sample_value("quoter_fair_low", {"market": "btc-15m"}) == 0.48
    assert registry.get_sample_value("quoter_fair_high", {"market": "btc-15m"}) == 0.52
    skew = registry.get_sample_value("quoter_breakdown", {"market": "btc-15m", "term": "inventory_skew"})
    assert skew == -0.01
    published_s = registry.get_sample_value("quoter_published_timestamp_seconds", {"market": "btc-15m"})
    assert published_s is not None
    assert abs(time.time() - published_s) < 60.0


def test_a_number_that_is_not_known_has_no_sample() -> None:
    registry = collected(fair_value=None, fair_low=None, fair_high=None)
    assert registry.get_sample_value("quoter_fair_value", {"market": "btc-15m"}) is None
    assert registry.get_sample_value("quoter_time_to_expiry_seconds", {"market": "btc-15m"}) == 600.0


def test_after_its_lease_only_the_time_of_the_last_quote_set_is_left() -> None:
    registry = collected(lease_s=-0.1)
    assert registry.get_sample_value("quoter_published_timestamp_seconds", {"market": "btc-15m"}) is not None
    assert registry.get_sample_value("quoter_fair_value", {"market": "btc-15m"}) is None
    assert registry.get_sample_value("quoter_breakdown", {"market": "btc-15m", "term": "model_value"}) is None


def test_actions_and_reasons_are_counted_from_zero() -> None:
    market = "sol-4h"  # of this test alone: the counters are the process's
    collector = QuoteCollector()
    collector.begin([market])
    pulled = {"market": market, "action": "PULL_QUOTES"}
    stale = {"market": market, "reason": "oracle_stale"}
    assert REGISTRY.get_sample_value("quoter_quote_sets_total", pulled) == 0.0
    assert REGISTRY.get_sample_value("quoter_reasons_total", stale) == 0.0
    collector.count(build(QuoteSet, market=market, action="PULL_QUOTES", reasons=("oracle_stale",)))
    assert REGISTRY.get_sample_value("quoter_quote_sets_total", pulled) == 1.0
    assert REGISTRY.get_sample_value("quoter_reasons_total", stale) == 1.0


def test_a_quoter_that_never_published_is_silent_since_its_start() -> None:
    collector = QuoteCollector()
    registry = CollectorRegistry()
    registry.register(collector)
    collector.begin(["sol-4h"])
    begun_s = registry.get_sample_value("quoter_published_timestamp_seconds", {"market": "sol-4h"})
    assert begun_s is not None
    assert abs(time.time() - begun_s) < 60.0

"""The true leader is found, its lead measured, and nobody slower is ever named.

Twenty seeds of the simulator's own prices, venues and oracle go straight into the analyzer, without books, feeds and
wire; the whole way through the venues' protocols is gone once for each leader.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from services.analyzers.lead_lag_analyzer import LeadLagAnalyzer
from services.simulator import params
from services.simulator.events import OracleTick
from services.simulator.oracle import Oracle
from services.simulator.price_path import PricePath
from services.simulator.spot_venue import Bybit, Coinbase, SpotVenue
from services.simulator.world import WorldConfig
from shared.core import Delivery
from shared.messages import AnyMessage, LeadLag, OraclePrice, SpotQuote, topic_of
from tests.system.virtual import BASE_S, NS_PER_MS, Virtual

SEEDS = range(1, 21)
LEADERS = ("bybit", "coinbase")
TRUE_LEAD_S = params.ORACLE_CENTER_MS / 1000.0  # a value stamped s is the leader's price of that long before s
WITHIN_S = 0.100
SECONDS = 240
NAMED_WITHIN_S = 120.0  # most are named after 90 s

ENOUGH_S = 190.0  # with the venues' protocols in between


def quote_of(venue: SpotVenue, name: str, ts_ms: int) -> SpotQuote:
    tick_usd = 10.0**-venue.asset.price_decimals
    return SpotQuote(
        ts_event_ns=ts_ms * NS_PER_MS,
        ts_recv_ns=ts_ms * NS_PER_MS,
        asset="BTC",
        venue=name,
        bid=venue.bid_ticks * tick_usd,
        bid_size=1.0,
        ask=venue.ask_ticks * tick_usd,
        ask_size=1.0,
    )


def print_of(tick: OracleTick) -> OraclePrice:
    return OraclePrice(
        ts_event_ns=tick.stamp_s * 1000 * NS_PER_MS,
        ts_recv_ns=tick.ts_ms * NS_PER_MS,
        asset="BTC",
        kind="spot",
        price=tick.number,
        venue="chainlink",
    )


def simulated(seed: int, leader: str) -> Iterator[SpotQuote | OraclePrice]:
    """What the feeds would publish, in the order of receipt: Bybit at random, Coinbase each 50 ms when it moved."""
    world = WorldConfig()
    rng, asset = np.random.default_rng(seed), params.ASSETS["BTC"]
    path = PricePath((asset,), history_start_s=BASE_S - 200, fine_from_s=BASE_S - 8, rng=rng)
    path.extend_to(BASE_S)
    oracle = Oracle("BTC", path=path, start_s=BASE_S, rng=rng, missing_share=world.missing_share)
    late_ms = {name: 0 if name == leader else world.lead_ms for name in LEADERS}
    start_ms = BASE_S * 1000
    bybit = Bybit(
        asset,
        mid_at=lambda ts_ms: path.price_usd("BTC", ts_ms - late_ms["bybit"]) + path.basis_usd("BTC"),
        rng=rng,
        start_ms=start_ms,
    )
    coinbase = Coinbase(
        asset, mid_at=lambda ts_ms: path.price_usd("BTC", ts_ms - late_ms["coinbase"]), rng=rng, start_ms=start_ms
    )
    for second in range(oracle.newest_s + 1, BASE_S):
        oracle.stamp(second)
    printed: list[OracleTick] = []
    for second in range(BASE_S, BASE_S + SECONDS):
        path.extend_to(second)
        printed += [tick for tick in oracle.stamp(second) if tick.kind == "spot"]
        now_ms = second * 1000
        times = rng.integers(0, 1000, rng.poisson(params.QUOTES_PER_S)).tolist()
        acts = [(now_ms + each, "bybit") for each in times]
        acts += [(now_ms + each, "coinbase") for each in range(0, 1000, params.COINBASE_BATCH_MS)]
        acts += [(tick.ts_ms, "oracle") for tick in printed if tick.ts_ms < now_ms + 1000]
        for ts_ms, name in sorted(acts):
            if name == "oracle":
                yield print_of(printed.pop(0))
            elif name == "bybit":
                bybit.requote(ts_ms)
                yield quote_of(bybit, name, ts_ms)
            elif coinbase.requote(ts_ms):
                yield quote_of(coinbase, name, ts_ms)


@pytest.mark.parametrize("leader", LEADERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_leader_is_named_with_its_lead_and_no_other_ever_is(seed: int, leader: str) -> None:
    analyzer, named_ns = LeadLagAnalyzer("btc-15m"), []
    for seq, message in enumerate(simulated(seed, leader), start=1):
        if not analyzer.observe(Delivery(topic_of(message), 1, seq, message)):
            continue
        verdict = analyzer.signal(message.ts_event_ns, message.ts_recv_ns)
        if verdict.leader is None:
            assert not named_ns, "a leader that was named is not lost"
            continue
        named_ns.append(verdict.ts_recv_ns)
        assert verdict.leader == leader
        assert verdict.lead_s == pytest.approx(TRUE_LEAD_S, abs=WITHIN_S)
    assert named_ns
    assert named_ns[0] - BASE_S * 1000 * NS_PER_MS <= NAMED_WITHIN_S * 1000 * NS_PER_MS


@pytest.mark.parametrize("leader", LEADERS)
def test_the_leader_is_named_through_the_venues_protocols_and_keeps_the_name(leader: str) -> None:
    system = Virtual(
        "btc-15m",
        start_s=30.0,
        seed=1,
        leader=leader,
        book_rate=0.05,
        feeds=("bybit", "coinbase", "chainlink"),
        parts=("lead_lag",),
        timer_ms=500,
    )
    system.run(ENOUGH_S)
    verdicts: set[str | None] = set()

    def hear(message: AnyMessage) -> None:
        if isinstance(message, LeadLag):
            verdicts.add(message.leader)
            assert message.lead_s == pytest.approx(TRUE_LEAD_S, abs=WITHIN_S)

    system.session.listeners.append(hear)
    system.run(40.0)
    assert verdicts == {leader}

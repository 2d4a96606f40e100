from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from services.simulator.crypto_price import crypto_price_json
from services.simulator.events import (
    BookUpdate,
    BybitQuote,
    CoinbaseLevels,
    CoinbaseMatch,
    MarketCreated,
    MarketResolved,
    OutcomeTrade,
    TickSizeChange,
)
from services.simulator.gamma import event_json
from services.simulator.truth import truth
from services.simulator.wire import iso
from tests.services.simulator.builders import PERIOD_S, START_MS, make_world, play


def told(events: list[Any]) -> list[str]:
    """Events as text, without object identities."""
    return [f"{e.ts_ms} {e.period.slug} {e[2:]}" if hasattr(e, "period") else repr(e) for e in events]


def test_the_same_seed_gives_the_same_world_however_time_is_sliced() -> None:
    coarse = told(play(make_world(), 10.0, step_ms=1_000))
    fine = told(play(make_world(), 10.0, step_ms=7))
    assert coarse == fine
    assert len(coarse) > 500


def test_the_same_seed_gives_the_same_prices_relative_to_another_start() -> None:
    def sigmas(start_ms: int) -> list[float]:
        world = make_world(start_ms=start_ms)
        play(world, 3.0)
        return world.path.sigma_path("BTC", 900)

    assert sigmas(START_MS) == sigmas(START_MS + 86_400_000)


def test_another_seed_gives_another_world() -> None:
    assert make_world(seed=1).path.sigma_annual("BTC") != make_world(seed=2).path.sigma_annual("BTC")


def test_the_current_and_the_next_three_periods_are_listed_and_the_previous_is_known() -> None:
    world = make_world()
    starts = sorted(period.start_s for period in world.periods.values())
    assert starts == [PERIOD_S + 900 * step for step in (-1, 0, 1, 2, 3)]


@pytest.mark.parametrize("elapsed_s", [130, 400, 899])
def test_two_published_sources_agree_on_the_strike(elapsed_s: int) -> None:
    world = make_world(start_ms=(PERIOD_S + elapsed_s) * 1000)
    query = {
        "symbol": "BTC",
        "eventStartTime": iso(PERIOD_S * 1000),
        "endDate": iso((PERIOD_S + 900) * 1000),
        "twapEnabled": "true",
        "twapLookbackSeconds": "60",
    }
    answer = crypto_price_json(world, query, world.now_ms)
    previous = event_json(world.periods[f"btc-updown-15m-{PERIOD_S - 900}"], world.now_ms)
    assert answer is not None
    assert answer["openPrice"] == previous["eventMetadata"]["finalPrice"]
    assert answer["openPrice"] == world.periods[f"btc-updown-15m-{PERIOD_S}"].strike


def test_a_period_ends_rolls_over_and_resolves() -> None:
    world = make_world(start_ms=PERIOD_S * 1000 + 55_000, series=("btc-1m",), sigma_scale=0.2)
    current = world.current_period(world.series[0])
    events = play(world, 170.0, step_ms=1_000)
    following = world.periods[f"btc-updown-1m-{current.end_s}"]
    assert current.final == following.strike
    assert current.resolved
    assert current.book.levels(is_bid=True) == current.book.levels(is_bid=False) == []
    assert current.metadata_ms <= current.end_s * 1000 + 70_000
    resolved = [event for event in events if isinstance(event, MarketResolved) and event.period is current]
    clearing = [e for e in events if isinstance(e, BookUpdate) and e.period is current and e.clearing]
    assert len(resolved) == 1
    assert clearing[-1].ts_ms == resolved[0].ts_ms - 29
    created = [event.period.start_s for event in events if isinstance(event, MarketCreated)]
    assert created == sorted(created)
    assert len(created) == 3


def test_the_tick_gets_fine_near_the_ends_and_never_goes_back() -> None:
    world = make_world(start_ms=PERIOD_S * 1000 + 50_000, series=("btc-1m",), sigma_scale=3.0, book_rate=0.2)
    events = play(world, 200.0, step_ms=1_000)
    changes = [event for event in events if isinstance(event, TickSizeChange)]
    assert changes
    assert len({event.period.slug for event in changes}) == len(changes)
    assert all((event.old_mills, event.new_mills) == (10, 1) for event in changes)


def test_nothing_accumulates_over_rollovers() -> None:
    world = make_world(start_ms=PERIOD_S * 1000, series=("btc-20s",), book_rate=0.05, quote_rate=0.05)
    sizes = []
    for _ in range(3):
        play(world, 220.0, step_ms=5_000)
        oracle = world.oracles["BTC"]
        sizes.append((len(world.periods), len(oracle.relayed["spot"]), len(world.path.sigma_path("BTC", 10**9))))
        assert len(world.schedule) < 250
        assert len(oracle._spot) < 1_200
    assert sizes[1][0] == sizes[-1][0] < 20
    assert max(size[2] for size in sizes) < 600


def test_the_leading_venue_leads_by_the_stated_delay() -> None:
    world = make_world(lead_ms=300, quote_rate=4.0, sigma_scale=2.0)
    bybit: dict[int, float] = {}
    coinbase: dict[int, float] = {}
    for event in play(world, 40.0):
        if isinstance(event, BybitQuote):
            bybit[event.ts_ms // 50] = float(event.bid)
        elif isinstance(event, CoinbaseLevels):
            coinbase[event.ts_ms // 50] = world_bid(event, coinbase.get(event.ts_ms // 50 - 1, 0.0))
    slots = [slot for slot in range(min(bybit) + 1, max(bybit)) if slot in bybit and slot in coinbase]
    correlation = {}
    for lag in range(0, 13):
        pairs = [(bybit[s - lag], coinbase[s]) for s in slots if s - lag in bybit and coinbase[s] > 0.0]
        correlation[lag * 50] = float(np.corrcoef(np.array(pairs).T)[0, 1])
    assert max(correlation, key=lambda lag_ms: correlation[lag_ms]) in (250, 300, 350)


def world_bid(levels: CoinbaseLevels, before: float) -> float:
    bids = [float(price) for side, price, size in levels.changes if side == "buy" and float(size) > 0.0]
    return max(bids) if bids else before


def test_informed_takers_come_in_the_stated_share() -> None:
    world = make_world(informed_share=0.4, book_rate=12.0)
    play(world, 36.0)
    period = world.current_period(world.series[0])
    assert period.trades > 300
    assert period.informed_trades / period.trades == pytest.approx(0.4, abs=0.08)


def test_the_price_goes_on_after_an_informed_trade_and_not_after_a_noise_trade() -> None:
    world = make_world(informed_share=0.5, book_rate=5.0, sigma_scale=2.0, maker_lag_ms=1_000)
    period = world.current_period(world.series[0])
    pending: list[tuple[bool, int, float]] = []  # informed, direction, mid before
    markouts: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(60):
        mid = period.book.mid()
        events = play(world, 2.0)
        after = period.book.mid()
        assert mid is not None
        assert after is not None
        for informed, direction, before in pending:
            markouts[informed].append(direction * (after - before))
        trades = [event for event in events if isinstance(event, OutcomeTrade) and event.period is period]
        pending = [(t.is_informed, 1 if (t.taker_side == "buy") == (t.outcome_index == 0) else -1, mid) for t in trades]
    assert float(np.mean(markouts[True])) > float(np.mean(markouts[False])) + 0.002


def test_rates_spreads_and_trades_are_like_the_recordings() -> None:
    world = make_world()
    period = world.current_period(world.series[0])
    spreads = []
    updates = trades = 0
    sizes = []
    for _ in range(600):
        for event in play(world, 0.1):
            updates += isinstance(event, BookUpdate) and event.period is period
            if isinstance(event, OutcomeTrade) and event.period is period:
                trades += 1
                sizes.append(event.micro_shares / 1e6)
        bid, ask = period.book.best_bid(), period.book.best_ask()
        assert bid is not None
        assert ask is not None
        spreads.append(ask - bid)
    assert 25.0 < updates / 60.0 < 80.0
    assert 0.6 < trades / 60.0 < 2.5
    assert 4.0 < float(np.median(sizes)) < 12.0
    assert np.mean(np.array(spreads) == period.book.tick_mills) > 0.85


def test_the_realized_volatility_is_the_stated_one() -> None:
    world = make_world(jump_scale=0.0)
    play(world, 120.0)
    oracle = world.oracles["BTC"]
    values = [oracle.spot(second) for second in range(oracle.newest_s - 1_800, oracle.newest_s, 10)]
    returns = np.diff(np.log(np.array(values, dtype=float)))
    realized = float(returns.std() * math.sqrt(365 * 86_400 / 10))
    assert realized == pytest.approx(float(np.mean(world.path.sigma_path("BTC", 1_800))), rel=0.35)


def test_the_truth_is_plain_and_complete() -> None:
    world = make_world()
    known = truth(world)
    market = known["markets"]["btc-15m"]
    assert known["lead_ms"] == 400
    assert known["assets"]["BTC"]["sigma_annual_path_1s"]
    assert market["strike"] == market["previous_final"]
    assert 0.0 <= market["up_probability"] <= 1.0


def test_an_unknown_coin_is_refused() -> None:
    with pytest.raises(ValueError, match="DOGE"):
        make_world(series=("doge-15m",))


def test_coinbase_tickers_stay_inside_their_book() -> None:
    world = make_world()
    for event in play(world, 20.0):
        if isinstance(event, CoinbaseMatch):
            assert float(event.best_bid) < float(event.best_ask)

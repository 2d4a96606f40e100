"""The baselines quote what their formulas say, post-only, within the limits, and are silent when they must be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.baselines import (
    AVELLANEDA_STOIKOV,
    BANDS,
    FIXED_SPREAD,
    STRATEGIES,
    as_half_spread,
    as_reservation,
    band_edges,
    write_baseline,
)
from services.quoter.records import MARKET, PHASES, QUOTE, settings_of
from shared.config import MAX_TIERS, MMConfig
from shared.kernel import State
from shared.projection import Config as ProjectionConfig
from tests.shared.test_digital import vectors

SECOND = 1_000_000_000
START, END = 1_000 * SECOND, 1_300 * SECOND
NOW = 1_100 * SECOND
ALL = range(len(STRATEGIES))


def market_of(*, bid: int = 49, ask: int = 51, per_dollar: int = 100, **fields: Any) -> State:
    market = np.zeros(1, dtype=MARKET)
    market["start_ns"], market["end_ns"] = START, END
    market["ticks_per_dollar"], market["tick_size"], market["min_size"] = per_dollar, 1.0 / per_dollar, 5.0
    market["best_bid"], market["best_ask"] = bid, ask
    if bid and ask:
        market["book_mid"] = 0.5 * (bid + ask) / per_dollar
    for name, entry in fields.items():
        market[name] = entry
    return market


def quote_of(strategy: int, market: State, *, quote: State | None = None, now_ns: int = NOW, **config: Any) -> State:
    quote = np.zeros(1, dtype=QUOTE) if quote is None else quote
    settings = settings_of(MMConfig(**config), ProjectionConfig())
    write_baseline(strategy, market[0], settings[0], quote[0], now_ns)
    return quote


def side_of(quote: State, side: str) -> list[tuple[int, float]]:
    ticks, sizes = quote[f"{side}_ticks"][0], quote[f"{side}_sizes"][0]
    standing = [(int(tick), float(size)) for tick, size in zip(ticks, sizes, strict=True) if size > 0.0]
    assert len(standing) == quote[f"{side}_layers"][0]
    assert all(tick == 0.0 for tick, size in zip(ticks, sizes, strict=True) if size == 0.0)
    return standing


# -- fixed spread


def test_a_fixed_spread_stands_half_of_it_around_the_mid_with_the_tiers_in_proportion() -> None:
    quote = quote_of(FIXED_SPREAD, market_of(), base_spread=0.04)  # tiers 0.01 to 0.05: twice as far
    assert side_of(quote, "bid") == [(48, 29.0), (46, 58.0), (44, 117.0), (40, 294.0)]
    assert side_of(quote, "ask") == [(52, 29.0), (54, 58.0), (56, 117.0), (60, 294.0)]
    assert quote["fair_value"][0] == quote["reservation"][0] == 0.5
    assert quote["half_spreads"][0].tolist() == pytest.approx([0.02, 0.04, 0.06, 0.1, 0.0, 0.0, 0.0, 0.0])
    assert quote["is_defined"][0] == 1.0
    assert PHASES[int(quote["phase"][0])] == "early"


def test_a_fixed_spread_does_not_lean_with_inventory() -> None:
    flat = quote_of(FIXED_SPREAD, market_of())
    long = quote_of(FIXED_SPREAD, market_of(call_shares=300.0))
    assert side_of(long, "bid")[0][0] == side_of(flat, "bid")[0][0]
    assert sum(size for _, size in side_of(long, "bid")) <= 200.0  # of 500 that it may hold


# -- Avellaneda and Stoikov


def test_reservation_and_spread_agree_with_the_paper() -> None:
    for case in vectors("avellaneda_stoikov.json")["cases"]:
        variance_left = case["sigma"] ** 2 * (case["T"] - case["t"])
        reservation = as_reservation(case["s"], float(case["q"]), case["gamma"], variance_left)
        half = as_half_spread(case["gamma"], variance_left, case["k"])
        assert reservation == pytest.approx(case["reservation"], rel=1e-12)
        assert 2.0 * half == pytest.approx(case["spread"], rel=1e-12)
        assert reservation - half == pytest.approx(case["bid"], rel=1e-12)
        assert reservation + half == pytest.approx(case["ask"], rel=1e-12)


def test_its_average_spread_over_a_session_is_the_published_one() -> None:
    for gamma, average in vectors("avellaneda_stoikov.json")["average_spread_over_session"].items():
        steps = [2.0 * as_half_spread(float(gamma), 4.0 * (1.0 - 0.005 * step), 1.5) for step in range(200)]
        assert np.mean(steps) == pytest.approx(average, rel=1e-9)


def test_the_variance_of_a_binary_makes_it_the_linear_reservation_price() -> None:
    for case in vectors("binary_reservation.json")["cases"]:
        p = case["p"]
        found = as_reservation(p, float(case["net_up_shares"]), case["gamma"], p * (1.0 - p))
        assert found == pytest.approx(case["as_linear"], abs=1e-12)


def test_without_risk_aversion_the_half_spread_is_one_over_the_decay() -> None:
    assert as_half_spread(0.0, 0.25, 60.0) == 1.0 / 60.0
    assert as_half_spread(1e-9, 0.25, 60.0) == pytest.approx(1.0 / 60.0)


def test_a_long_inventory_lowers_both_quotes_by_gamma_times_the_binary_variance() -> None:
    market = market_of(per_dollar=1000, bid=495, ask=505, call_shares=100.0)
    quote = quote_of(AVELLANEDA_STOIKOV, market, inventory_skew_factor=0.002, fill_decay_per_usd=100.0)
    half = 0.5 * 0.002 * 0.25 + math.log1p(0.002 / 100.0) / 0.002
    assert quote["reservation"][0] == pytest.approx(0.5 - 100.0 * 0.002 * 0.25)
    assert quote["inventory_skew"][0] == pytest.approx(-0.05)
    assert quote["half_spreads"][0, 0] == pytest.approx(half)
    assert side_of(quote, "bid") == [(math.floor(1000 * (0.45 - half)), 50.0)]
    assert side_of(quote, "ask") == [(496, 50.0)]  # post-only: it wanted to sell below the best bid
    assert side_of(quote_of(AVELLANEDA_STOIKOV, market_of(call_shares=-0.0)), "bid")[0][1] == 50.0


def test_its_risk_fades_as_the_mid_nears_certainty() -> None:
    market = market_of(per_dollar=1000, bid=895, ask=905, call_shares=100.0)
    quote = quote_of(AVELLANEDA_STOIKOV, market, inventory_skew_factor=0.002)
    assert quote["inventory_skew"][0] == pytest.approx(-100.0 * 0.002 * 0.09)


# -- bands


def test_a_band_price_stays_until_the_mid_has_moved_it_out_of_its_band() -> None:
    config: dict[str, Any] = {"tier_spreads": [0.02, 0.04], "tier_sizes": [50.0, 100.0]}
    quote = quote_of(BANDS, market_of(bid=49, ask=51), **config)
    assert side_of(quote, "bid") == [(48, 50.0), (46, 100.0)]
    assert side_of(quote, "ask") == [(52, 50.0), (54, 100.0)]
    # half a tick or one tick: every order is still in its band (margins 0.01 to 0.03 and 0.03 to 0.05)
    for bid, ask in ((49, 52), (50, 52), (48, 50)):
        quote = quote_of(BANDS, market_of(bid=bid, ask=ask), quote=quote, **config)
        assert [tick for tick, _ in side_of(quote, "bid")] == [48, 46]
        assert [tick for tick, _ in side_of(quote, "ask")] == [52, 54]
    # two ticks up: bids are 0.04 and 0.06 away and asks 0.00 and 0.02, all placed anew
    quote = quote_of(BANDS, market_of(bid=51, ask=53), quote=quote, **config)
    assert [tick for tick, _ in side_of(quote, "bid")] == [50, 48]
    assert [tick for tick, _ in side_of(quote, "ask")] == [54, 56]
    fresh = quote_of(BANDS, market_of(bid=49, ask=52), **config)
    assert [tick for tick, _ in side_of(fresh, "ask")] == [53, 55]  # what a fixed spread would show at that mid


def test_a_band_price_that_would_take_is_moved() -> None:
    config: dict[str, Any] = {"tier_spreads": [0.02], "tier_sizes": [50.0]}
    quote = quote_of(BANDS, market_of(bid=49, ask=51), **config)
    # the books of both tokens together ask at 48, the mid of the CALL book has not moved
    quote = quote_of(BANDS, market_of(bid=47, ask=48, book_mid=0.5), quote=quote, **config)
    assert side_of(quote, "bid") == [(47, 50.0)]


def test_a_layer_that_stays_makes_room_for_the_one_before_it() -> None:
    config: dict[str, Any] = {"tier_spreads": [0.02, 0.04], "tier_sizes": [50.0, 100.0]}
    quote = quote_of(BANDS, market_of(bid=49, ask=51), **config)
    quote = quote_of(BANDS, market_of(bid=46, ask=47, book_mid=0.5), quote=quote, **config)
    assert side_of(quote, "bid") == [(46, 50.0), (45, 100.0)]  # 46 was the outer layer's, and is now all that rests


def test_band_edges_lie_halfway_and_hold_what_was_just_placed() -> None:
    tiers = np.array([0.02, 0.04, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert band_edges(tiers, 3, 0, 0.01) == pytest.approx((0.01, 0.03))
    assert band_edges(tiers, 3, 1, 0.01) == pytest.approx((0.03, 0.07))
    assert band_edges(tiers, 3, 2, 0.01) == pytest.approx((0.07, 0.13))
    assert band_edges(tiers, 1, 0, 0.05) == pytest.approx((0.01, 0.07))


@given(mid=st.integers(2, 197), spreads=st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True))
def test_a_band_placed_and_seen_again_does_not_move(mid: int, spreads: list[int]) -> None:
    config: dict[str, Any] = {
        "tier_spreads": [each / 1000 for each in sorted(spreads)],
        "tier_sizes": [10.0] * len(spreads),
    }
    market = market_of(bid=mid // 2, ask=mid // 2 + 1 + mid % 2)
    quote = quote_of(BANDS, market, **config)
    ladders = [quote[name].copy() for name in ("bid_ticks", "ask_ticks", "bid_sizes", "ask_sizes")]
    quote_of(BANDS, market, quote=quote, **config)
    for name, before in zip(("bid_ticks", "ask_ticks", "bid_sizes", "ask_sizes"), ladders, strict=True):
        assert np.array_equal(quote[name], before)


# -- what all of them keep


@given(
    strategy=st.sampled_from(list(ALL)),
    per_dollar=st.sampled_from([100, 1000]),
    bid_share=st.floats(0.0, 1.0),
    spread=st.integers(1, 9),
    call_shares=st.floats(0.0, 1200.0),
    put_shares=st.floats(0.0, 1200.0),
    gamma=st.floats(0.0, 0.02),
    seen_before=st.booleans(),
)
def test_every_ladder_is_post_only_on_the_grid_and_within_the_limits(
    strategy: int,
    per_dollar: int,
    bid_share: float,
    spread: int,
    call_shares: float,
    put_shares: float,
    gamma: float,
    seen_before: bool,
) -> None:
    bid = 1 + int(bid_share * (per_dollar - 2 - spread))
    ask = bid + spread
    config = MMConfig(inventory_skew_factor=gamma)
    quote = quote_of(strategy, market_of()) if seen_before else None
    market = market_of(bid=bid, ask=ask, per_dollar=per_dollar, call_shares=call_shares, put_shares=put_shares)
    quote = quote_of(strategy, market, quote=quote, inventory_skew_factor=gamma)
    bids, asks = side_of(quote, "bid"), side_of(quote, "ask")
    assert all(1 <= tick < ask for tick, _ in bids)
    assert all(bid < tick <= per_dollar - 1 for tick, _ in asks)
    assert [tick for tick, _ in bids] == sorted({tick for tick, _ in bids}, reverse=True)
    assert [tick for tick, _ in asks] == sorted({tick for tick, _ in asks})
    assert all(size >= 5.0 and size == int(size) for _, size in (*bids, *asks))
    bought, sold = sum(size for _, size in bids), sum(size for _, size in asks)
    net = call_shares - put_shares
    if bids:
        assert net + bought <= config.max_inventory_imbalance
        assert call_shares + bought <= config.max_position_size
    if asks:
        assert net - sold >= -config.max_inventory_imbalance
        assert put_shares + sold <= config.max_position_size
    room = min(config.max_inventory_imbalance - net, config.max_position_size - call_shares)
    assert quote["bid_barred_by_limit"][0] == float(room < 5.0)


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize(
    ("now_ns", "changes"),
    [
        (START - 1, {}),
        (END, {}),
        (NOW, {"bid": 0}),
        (NOW, {"ask": 0}),
        (NOW, {"book_mid": 0.0}),
        (NOW, {"ticks_per_dollar": 0}),
    ],
)
def test_outside_the_period_and_without_two_sides_there_is_silence(
    strategy: int, now_ns: int, changes: dict[str, Any]
) -> None:
    quote = quote_of(strategy, market_of())
    assert side_of(quote, "bid")
    quote_of(strategy, market_of(**changes), quote=quote, now_ns=now_ns)
    assert quote["is_defined"][0] == 0.0
    assert side_of(quote, "bid") == side_of(quote, "ask") == []


@pytest.mark.parametrize("strategy", ALL)
def test_bid_and_ask_mirror_each_other(strategy: int) -> None:
    quote = quote_of(strategy, market_of(bid=30, ask=33, call_shares=100.0))
    mirrored = quote_of(strategy, market_of(bid=67, ask=70, put_shares=100.0))
    assert [(100 - tick, size) for tick, size in side_of(quote, "bid")] == side_of(mirrored, "ask")
    assert [(100 - tick, size) for tick, size in side_of(quote, "ask")] == side_of(mirrored, "bid")


def test_fewer_layers_leave_none_of_the_old_ones_standing() -> None:
    quote = quote_of(FIXED_SPREAD, market_of())
    quote_of(AVELLANEDA_STOIKOV, market_of(), quote=quote)
    assert len(side_of(quote, "bid")) == len(side_of(quote, "ask")) == 1
    assert np.count_nonzero(quote["half_spreads"][0]) == 1
    assert quote["half_spreads"].shape == (1, MAX_TIERS)


def test_a_number_that_names_no_strategy_is_refused() -> None:
    for strategy in (-1, len(STRATEGIES)):
        with pytest.raises(ValueError, match="no such strategy"):
            quote_of(strategy, market_of())

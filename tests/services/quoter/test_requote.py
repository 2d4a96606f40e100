"""Whatever the state and the configuration, a quote that leaves the kernel can be defended."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.runtime import _nrt_python, rtsys

from services.quoter.records import (
    ANSWERS,
    BREAKDOWN,
    LADDERS,
    MARKET,
    PHASES,
    QUOTE,
    REGIMES,
    SETTINGS,
    flat_view,
    settings_of,
)
from services.quoter.requote import phase_index, quote_ladder, requote
from services.quoter.rewards import layer_score, taker_fee, two_sided_score
from services.quoter.spread import pin_risk_floor
from services.quoter.tiers import profit_rate
from shared.config import MAX_TIERS, PRESETS, MMConfig, Techniques, load_config
from shared.digital import observe_print, open_window
from shared.kernel import State
from shared.market import phase_at
from shared.projection import Config, new_venue, observe_mid, observe_oracle

SECOND = 1_000_000_000
START = 1_791_241_200 * SECOND
STRIKE_LOG = math.log(60_000.0)
REWARDS: dict[str, Any] = {
    "fee_rate": 0.07,
    "fee_exponent": 1.0,
    "rewards_min_shares": 50.0,
    "rewards_max_spread": 0.045,
}
CURVE: dict[str, Any] = {"fitted_rate_per_s": 0.25, "fitted_decay_per_usd": 60.0}


def windows_of(length_s: int, *, until_ns: int, log_price: float) -> State:
    windows = np.concatenate(
        [open_window(end_ns=end, lookback_s=60, offset_s=3.0) for end in (START, START + length_s * SECOND)]
    )
    for back in range(180):
        for row in (0, 1):
            observe_print(windows, row, until_ns // SECOND * SECOND - back * SECOND, log_price)
    return windows


def venue_of(now_ns: int, *, log_price: float, warm: bool = True) -> State:
    venue = new_venue()
    for second in range(-20 if warm else -1, 1):
        observe_mid(venue, now_ns + second * SECOND, log_price - 2e-4)
        observe_oracle(venue, Config(), now_ns + second * SECOND, log_price, 0.0)
    return venue


def quote_of(
    config: MMConfig, *, now_s: float, log_price: float, has_venue: bool = True, **fields: Any
) -> dict[str, Any]:
    """The kernel's answer, by name."""
    quote, call = call_of(config, now_s=now_s, log_price=log_price, has_venue=has_venue, **fields)
    requote(*call)
    answer = dict(zip(BREAKDOWN + ANSWERS, flat_view(quote).tolist(), strict=False))
    for name in LADDERS:
        answer[name] = quote[name][0].tolist()
    return answer


def call_of(
    config: MMConfig, *, now_s: float, log_price: float, has_venue: bool = True, **fields: Any
) -> tuple[State, tuple[Any, ...]]:
    """The record that the kernel writes, and its arguments."""
    length_s = fields.pop("length_s", 900)
    allow = fields.pop("allow", (True, True))
    has_flow = fields.pop("has_flow", True)
    now_ns = START + round(now_s * SECOND)
    market = np.zeros(1, dtype=MARKET)
    standing: dict[str, Any] = {
        "start_ns": START,
        "end_ns": START + length_s * SECOND,
        "averaged": 1,
        "strike_known": 1,
        "strike_log": STRIKE_LOG,
        "ticks_per_dollar": 100,
        "tick_size": 0.01,
        "min_size": 5.0,
        "oracle_ns": now_ns // SECOND * SECOND - SECOND,
        "oracle_log": log_price,
        "sigma": 9e-5,
        "sigma_error": 0.1,
        **fields,
    }
    for name, number in standing.items():
        market[name] = number
    quote = np.zeros(1, dtype=QUOTE)
    return quote, (
        market,
        windows_of(length_s, until_ns=int(standing["oracle_ns"]), log_price=log_price),
        venue_of(now_ns, log_price=log_price),
        settings_of(config, Config()),
        quote,
        now_ns,
        has_venue,
        1.5,
        True,
        has_flow,
        0,
        *allow,
    )


def layers_of(answer: dict[str, Any], side: str) -> list[tuple[int, float]]:
    """Ticks and sizes of the standing layers."""
    both = zip(answer[f"{side}_ticks"], answer[f"{side}_sizes"], strict=True)
    return [(int(ticks), size) for ticks, size in both if size > 0.0]


def told_ticks(answer: dict[str, Any], *, side: int, count: int, per_dollar: int) -> list[int]:
    """The ticks of `count` layers as the breakdown alone tells them: the formula in the docstring of the records."""
    name = "bid" if side > 0 else "ask"
    inner = answer["half_spread"] - answer[f"reward_{name}"]
    price = answer["reservation"] - side * (inner + answer[f"rounding_{name}"] + answer[f"post_only_{name}"])
    ticks = [round(price * per_dollar)]
    for layer in range(1, count):
        wanted = (answer["reservation"] - side * answer[f"half_spread_{layer}"]) * per_dollar
        rounded = math.floor(wanted + 1e-9) if side > 0 else math.ceil(wanted - 1e-9)
        ticks.append(side * min(side * rounded, side * ticks[-1] - 1))
    return ticks[:count]


configs = st.builds(
    lambda preset, mode, sizes, gamma, tier_mode, credit: load_config(preset).model_copy(
        update={
            "inventory_skew_mode": mode,
            "tier_mode": tier_mode,
            "reward_credit": credit,
            "inventory_skew_factor": gamma,
            "tier_sizes": tuple(sorted(sizes)),
            "tier_spreads": tuple(0.004 * (place + 1) for place in range(len(sizes))),
            "quote_final_phase": True,
        }
    ),
    preset=st.sampled_from(sorted(PRESETS)),
    mode=st.sampled_from(["logit", "linear"]),
    sizes=st.lists(st.floats(5.0, 800.0), min_size=1, max_size=MAX_TIERS),
    gamma=st.just(0.0) | st.floats(1e-9, 0.05),
    tier_mode=st.sampled_from(["fitted", "preset"]),
    credit=st.sampled_from([0.0, 0.01, 0.04]),
)
# What the venue charges and pays, and what the flow says of fills; NaN is "not known", 0 "not fitted" or "no program".
terms = st.fixed_dictionaries(
    {
        "fee_rate": st.floats(0.0, 1.0),
        "fee_exponent": st.sampled_from([1.0, 2.0]),
        "rebate_rate": st.floats(0.0, 1.0),
        "impact": st.floats(-0.2, 0.2) | st.just(math.nan),
        "own_markout": st.floats(-0.2, 0.2) | st.just(math.nan),
        "fitted_rate_per_s": st.just(0.0) | st.floats(1e-4, 20.0),
        "fitted_decay_per_usd": st.just(0.0) | st.floats(1.0, 5000.0),
        "rewards_min_shares": st.sampled_from([0.0, 20.0, 50.0]),
        "rewards_max_spread": st.just(0.0) | st.floats(0.005, 0.1),
    }
)


TOLD = {
    "model_value", "projection", "strike", "oracle_price", "reference_price", "expected_usd_per_s", "reward_score",
}  # fmt: skip


@given(
    config=configs,
    now_s=st.floats(-100.0, 905.0),
    moneyness_bp=st.floats(-60.0, 60.0),
    has_venue=st.booleans(),
    terms=terms,
)
def test_what_explains_the_quotes_is_all_that_the_backtest_leaves_out(
    config: MMConfig, now_s: float, moneyness_bp: float, has_venue: bool, terms: dict[str, Any]
) -> None:
    given_state = {"now_s": now_s, "log_price": STRIKE_LOG + moneyness_bp * 1e-4, "has_venue": has_venue, **terms}
    whole, call = call_of(config, **given_state)
    requote(*call)
    bare, call = call_of(config, **given_state)
    quote_ladder(*call)
    for name in LADDERS:
        assert np.array_equal(whole[name], bare[name])
    for name, one, other in zip(BREAKDOWN + ANSWERS, flat_view(whole).tolist(), flat_view(bare).tolist(), strict=False):
        assert name in TOLD or one == other, name


@settings(max_examples=250, deadline=None)
@given(
    config=configs,
    now_s=st.floats(-100.0, 905.0),
    moneyness_bp=st.floats(-200.0, 200.0),
    per_dollar=st.sampled_from([10, 100, 200, 400, 1000]),
    bid_share=st.floats(0.0, 1.0),
    gap=st.integers(1, 300),
    has_book=st.booleans(),
    call_shares=st.floats(0.0, 2500.0),
    put_shares=st.floats(0.0, 2500.0),
    sigma=st.floats(1e-7, 5e-3),
    regime=st.integers(0, len(REGIMES) - 1),
    drift=st.floats(-1e-3, 1e-3),
    toxicity=st.floats(0.0, 1.0),
    terms=terms,
    averaged=st.booleans(),
    strike_known=st.booleans(),
    has_venue=st.booleans(),
)
def test_every_layer_is_on_the_grid_post_only_sized_and_within_the_limits(
    config: MMConfig,
    now_s: float,
    moneyness_bp: float,
    per_dollar: int,
    bid_share: float,
    gap: int,
    has_book: bool,
    call_shares: float,
    put_shares: float,
    sigma: float,
    regime: int,
    drift: float,
    toxicity: float,
    terms: dict[str, float],
    averaged: bool,
    strike_known: bool,
    has_venue: bool,
) -> None:
    best_bid = min(int(bid_share * per_dollar), per_dollar - 1) if has_book else 0
    best_ask = min(best_bid + gap, per_dollar - 1) if has_book and best_bid < per_dollar - 1 else 0
    answer = quote_of(
        config,
        now_s=now_s,
        log_price=STRIKE_LOG + moneyness_bp * 1e-4,
        has_venue=has_venue,
        ticks_per_dollar=per_dollar,
        tick_size=1.0 / per_dollar,
        best_bid=best_bid,
        best_ask=best_ask,
        book_mid=0.5 * (best_bid + best_ask) / per_dollar if best_ask else 0.0,
        call_shares=call_shares,
        put_shares=put_shares,
        sigma=sigma,
        regime=regime,
        drift_per_s=drift,
        toxicity=toxicity,
        **terms,
        averaged=averaged,
        strike_known=strike_known,
    )
    if not answer["is_defined"]:
        assert not strike_known
        return
    for name, number in answer.items():
        if name not in LADDERS:
            assert math.isfinite(number), name
    assert 0.0 <= answer["fair_low"] <= answer["fair_value"] <= answer["fair_high"] <= 1.0
    bids, asks = layers_of(answer, "bid"), layers_of(answer, "ask")
    assert (len(bids), len(asks)) == (answer["bid_layers"], answer["ask_layers"])
    for ticks, size in bids + asks:
        assert 1 <= ticks <= per_dollar - 1
        assert size >= 5.0
        assert size == int(size)
    bid_ticks, ask_ticks = [ticks for ticks, _ in bids], [ticks for ticks, _ in asks]
    assert bid_ticks == sorted(set(bid_ticks), reverse=True)
    assert ask_ticks == sorted(set(ask_ticks))
    assert bid_ticks == told_ticks(answer, side=1, count=len(bids), per_dollar=per_dollar)
    assert ask_ticks == told_ticks(answer, side=-1, count=len(asks), per_dollar=per_dollar)
    if best_ask:
        assert all(ticks < best_ask for ticks in bid_ticks)
    assert all(ticks > best_bid for ticks in ask_ticks)
    if bids and asks:  # CALL bid + PUT bid < 1
        assert bid_ticks[0] + (per_dollar - ask_ticks[0]) < per_dollar
    bought, sold = sum(size for _, size in bids), sum(size for _, size in asks)
    inventory = call_shares - put_shares
    if bids:
        assert inventory + bought <= config.max_inventory_imbalance + 1e-9
        assert call_shares + bought <= config.max_position_size + 1e-9
    if asks:
        assert -inventory + sold <= config.max_inventory_imbalance + 1e-9
        assert put_shares + sold <= config.max_position_size + 1e-9
    assert answer["inventory_skew"] * inventory <= 1e-12
    assert abs(answer["inventory_skew"]) <= config.max_inventory_skew
    assert abs(answer["momentum_skew"]) <= config.momentum_skew_factor
    floors = max(answer["floor_pin_risk"], answer["floor_uncertainty"], answer["floor_adverse"])
    assert answer["half_spread"] >= floors
    assert answer["floor_pin_risk"] <= answer["pin_risk_gross"]
    assert answer["tiers_fitted"] == (
        config.tier_mode == "fitted" and min(terms["fitted_rate_per_s"], terms["fitted_decay_per_usd"]) > 0.0
    )
    for credit in (answer["reward_bid"], answer["reward_ask"]):
        assert 0.0 <= credit <= config.reward_credit + 1e-9
        assert credit == 0.0 or answer["half_spread"] - credit >= max(floors, 0.5 * config.min_spread) - 1e-12
    told = (answer["model_value"], answer["projection"], answer["momentum_skew"], answer["inventory_skew"])
    assert answer["reservation"] == pytest.approx(sum(told), abs=1e-12)
    tier_half = answer["tier_base"] * answer["spread"] / answer["base_spread"]
    assert answer["half_spread"] == pytest.approx(tier_half + answer["floor"], abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(
    moneyness_bp=st.floats(-15.0, 15.0),
    inventory=st.floats(-400.0, 400.0),
    now_s=st.floats(10.0, 700.0),
    bid=st.integers(5, 90),
    gap=st.integers(1, 6),
    terms=terms,
    config=configs,
)
def test_the_mirrored_market_gets_the_mirrored_ladder(
    moneyness_bp: float,
    inventory: float,
    now_s: float,
    bid: int,
    gap: int,
    terms: dict[str, float],
    config: MMConfig,
) -> None:
    """Swapping CALL and PUT (log moneyness, inventory and book mirrored) mirrors every layer."""
    one = quote_of(
        config,
        now_s=now_s,
        log_price=STRIKE_LOG + moneyness_bp * 1e-4,
        call_shares=max(inventory, 0.0),
        put_shares=max(-inventory, 0.0),
        best_bid=bid,
        best_ask=bid + gap,
        book_mid=(bid + 0.5 * gap) / 100,
        **terms,
    )
    other = quote_of(
        config,
        now_s=now_s,
        log_price=STRIKE_LOG - moneyness_bp * 1e-4,
        call_shares=max(-inventory, 0.0),
        put_shares=max(inventory, 0.0),
        best_bid=100 - bid - gap,
        best_ask=100 - bid,
        book_mid=1.0 - (bid + 0.5 * gap) / 100,
        **terms,
    )
    assert one["fair_value"] + other["fair_value"] == pytest.approx(1.0, abs=1e-7)
    assert one["reservation"] + other["reservation"] == pytest.approx(1.0, abs=1e-7)
    tiers = len(config.tier_sizes)
    halves = [one["half_spread"], *(one[f"half_spread_{layer}"] for layer in range(1, tiers))]
    wanted = [one["reservation"] + side * half for half in halves for side in (-1, 1)]
    if any(abs(price * 100 - round(price * 100)) < 1e-4 for price in wanted):
        return  # on a tick: the last digit decides which one
    for mine, theirs in (("bid", "ask"), ("ask", "bid")):
        assert layers_of(one, mine) == [(100 - ticks, size) for ticks, size in layers_of(other, theirs)]
        assert one[f"reward_{mine}"] == pytest.approx(other[f"reward_{theirs}"], abs=1e-6)
    assert one["reward_score"] == pytest.approx(other["reward_score"], abs=1e-6)
    assert one["expected_usd_per_s"] == pytest.approx(other["expected_usd_per_s"], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("fields", [{}, CURVE])
def test_the_default_tiers_stand_at_four_distinct_prices_each_side_and_grow_outwards(fields: dict[str, Any]) -> None:
    answer = quote_of(MMConfig(), now_s=300.0, log_price=STRIKE_LOG, **fields)
    assert answer["tiers_fitted"] == (1.0 if fields else 0.0)
    for side in ("bid", "ask"):
        layers = layers_of(answer, side)
        assert len({ticks for ticks, _ in layers}) == len(layers) == 4
        sizes = [size for _, size in layers]
        assert sizes == sorted(sizes)
        assert len(set(sizes)) == 4


@pytest.mark.parametrize(("held", "side"), [("call_shares", "bid"), ("put_shares", "ask")])
def test_at_the_limit_the_side_that_would_add_disappears(held: str, side: str) -> None:
    config = MMConfig()
    for shares, standing in ((0.0, 4), (config.max_inventory_imbalance, 0)):
        answer = quote_of(config, now_s=300.0, log_price=STRIKE_LOG, **{held: shares})
        other = "ask" if side == "bid" else "bid"
        assert (len(layers_of(answer, side)), len(layers_of(answer, other))) == (standing, 4)


def test_a_long_inventory_lowers_both_quotes_and_a_short_one_raises_them() -> None:
    config = MMConfig(tier_sizes=(20, 20, 20, 20))
    first_bids, first_asks = [], []
    for inventory in (-300.0, -150.0, 0.0, 150.0, 300.0):
        answer = quote_of(
            config,
            now_s=300.0,
            log_price=STRIKE_LOG,
            ticks_per_dollar=1000,
            tick_size=0.001,
            call_shares=max(inventory, 0.0),
            put_shares=max(-inventory, 0.0),
        )
        first_bids.append(answer["bid_ticks"][0])
        first_asks.append(answer["ask_ticks"][0])
    assert first_bids == sorted(first_bids, reverse=True)
    assert first_asks == sorted(first_asks, reverse=True)
    assert len(set(first_bids)) == len(set(first_asks)) == 5


def test_a_side_that_is_not_allowed_is_empty() -> None:
    answer = quote_of(MMConfig(), now_s=300.0, log_price=STRIKE_LOG, allow=(True, False))
    assert answer["bid_layers"] == 4
    assert answer["ask_layers"] == 0


def test_the_same_call_gives_the_same_bytes() -> None:
    assert quote_of(MMConfig(), now_s=300.0, log_price=STRIKE_LOG) == quote_of(
        MMConfig(), now_s=300.0, log_price=STRIKE_LOG
    )


@given(now_s=st.floats(-10.0, 1000.0), length_s=st.sampled_from([60, 300, 900, 14_400]))
def test_the_phase_in_the_kernel_is_the_shared_one(now_s: float, length_s: int) -> None:
    now_ns, end_ns = START + round(now_s * SECOND), START + length_s * SECOND
    assert PHASES[phase_index(now_ns, START, end_ns)] == phase_at(now_ns, start_ns=START, end_ns=end_ns)


def test_every_setting_of_the_record_comes_from_the_configuration() -> None:
    settings_record = settings_of(MMConfig(), Config())
    assert SETTINGS.names is not None
    for name in SETTINGS.names:
        assert np.all(np.isfinite(settings_record[name])), name
    assert settings_record["tiers"][0] == 4
    assert settings_record["tier_sizes"][0].tolist() == [50.0, 100.0, 200.0, 500.0, 0.0, 0.0, 0.0, 0.0]


DANGER_GRID = [
    (at_s, basis_points, sigma)
    for at_s in (200.0, 700.0, 790.0, 815.0, 835.0, 850.0, 880.0)
    for basis_points in (0.0, 2.0, 6.0, 15.0)
    for sigma in (5e-5, 9e-5, 2e-4)
]


@pytest.mark.parametrize("preset", ["default", "aggressive"])
@pytest.mark.parametrize(("at_s", "basis_points", "sigma"), DANGER_GRID)
def test_the_danger_limits_are_those_of_the_reference_in_its_units(
    preset: str, at_s: float, basis_points: float, sigma: float
) -> None:
    """Pulled when h > 4 c or dp/bp > 15 c, h = phi(d) w sqrt(L / tau_eff) (0.4 + z), L = cancel + feed lag - delay."""
    config = load_config(preset)
    answer = quote_of(config, now_s=at_s, log_price=STRIKE_LOG + basis_points * 1e-4, sigma=sigma, taker_delay_s=0.1)
    lag_s = config.cancel_latency_s + config.feed_lag_s - 0.1
    per_log = answer["delta_per_bp"] * 1e4  # phi(d) w / (sigma sqrt(tau_eff))
    assert 0.5 <= config.pin_risk_z <= 1.0
    assert answer["floor_pin_risk"] == pytest.approx(per_log * sigma * math.sqrt(lag_s) * (0.4 + config.pin_risk_z))
    in_danger = answer["floor_pin_risk"] > 0.04 or answer["delta_per_bp"] > 0.15
    assert bool(answer["in_gamma_danger"]) == in_danger
    doubt = max(answer["floor_uncertainty"], answer["floor_adverse"])
    assert bool(answer["is_too_uncertain"]) == (2.0 * doubt > config.max_spread)


def test_the_pin_risk_floor_at_the_money_is_that_of_the_average() -> None:
    """60 s before the end tau_eff of the average is 20 s: h = 1.15 phi(0) sqrt(0.4 / 20) = 6.5 c, whatever sigma is."""
    for sigma in (5e-5, 2e-4):
        answer = quote_of(MMConfig(), now_s=840.0, log_price=STRIKE_LOG, sigma=sigma, has_venue=True)
        expected = 1.15 * 0.39894228 * answer["spot_weight"] * math.sqrt(0.4 / answer["effective_tau_s"])
        assert answer["floor_pin_risk"] == pytest.approx(expected, rel=0.05)
        assert answer["in_gamma_danger"] == 1.0


def test_pin_risk_alone_does_not_call_the_value_uncertain() -> None:
    answer = quote_of(MMConfig(), now_s=850.0, log_price=STRIKE_LOG)
    assert answer["floor_pin_risk"] > 0.05
    assert (answer["in_gamma_danger"], answer["is_too_uncertain"]) == (1.0, 0.0)


def test_a_grid_that_is_not_known_gives_no_value() -> None:
    assert quote_of(MMConfig(), now_s=300.0, log_price=STRIKE_LOG, ticks_per_dollar=0)["is_defined"] == 0.0


# -- fees, rebate and what fills lose ----------------------------------------------------------------------------------


def test_a_fee_lowers_the_pin_risk_floor_and_not_what_is_called_dangerous() -> None:
    fees: dict[str, Any] = {"fee_rate": 0.07, "fee_exponent": 1.0, "rebate_rate": 0.2}
    for at_s in (700.0, 850.0):
        free = quote_of(MMConfig(), now_s=at_s, log_price=STRIKE_LOG)
        charged = quote_of(MMConfig(), now_s=at_s, log_price=STRIKE_LOG, **fees)
        assert charged["taker_fee"] == pytest.approx(taker_fee(charged["fair_value"], 0.07, 1.0))
        assert charged["rebate"] == pytest.approx(0.2 * charged["taker_fee"])
        assert free["floor_pin_risk"] == free["pin_risk_gross"] == charged["pin_risk_gross"]
        lag_sd = charged["pin_risk_gross"] / (0.4 + MMConfig().pin_risk_z)
        assert charged["floor_pin_risk"] == pytest.approx(pin_risk_floor(lag_sd, 0.75, charged["taker_fee"]))
        assert charged["floor_pin_risk"] < free["floor_pin_risk"] - 0.002
        assert charged["in_gamma_danger"] == free["in_gamma_danger"] == (1.0 if at_s == 850.0 else 0.0)


def test_a_fee_that_needs_no_floor_leaves_the_danger_what_it_is() -> None:
    answer = quote_of(MMConfig(), now_s=840.0, log_price=STRIKE_LOG, fee_rate=0.5, fee_exponent=1.0)
    assert answer["floor_pin_risk"] == 0.0
    assert answer["pin_risk_gross"] > MMConfig().gamma_zone_limit
    assert answer["in_gamma_danger"] == 1.0


def test_a_value_that_falls_when_the_price_rises_is_as_dangerous() -> None:
    """Within the last minute and without a strike, the reference says more of the strike than of the settlement."""
    answer = quote_of(MMConfig(), now_s=839.0, log_price=STRIKE_LOG, sigma=0.004, strike_known=0, has_venue=False)
    assert answer["delta_per_bp"] < 0.0
    assert answer["floor_pin_risk"] == answer["pin_risk_gross"] > 0.0


def test_the_adverse_floor_is_the_impact_less_the_rebate_and_what_own_fills_missed() -> None:
    fees: dict[str, Any] = {"fee_rate": 0.07, "fee_exponent": 1.0, "rebate_rate": 0.2}

    def floor(**fields: Any) -> float:
        found = quote_of(MMConfig(), now_s=300.0, log_price=STRIKE_LOG, **fees, **fields)["floor_adverse"]
        assert isinstance(found, float)
        return found

    assert floor(impact=0.03, own_markout=math.nan) == pytest.approx(0.03 - 0.0035, abs=1e-6)
    assert floor(impact=0.03, own_markout=0.02) == pytest.approx(0.03 - 0.0035, abs=1e-6)
    assert floor(impact=0.03, own_markout=-0.01) == pytest.approx(0.04 - 0.0035, abs=1e-6)
    assert floor(impact=0.002, own_markout=math.nan) == 0.0
    assert floor(impact=-0.03, own_markout=math.nan) == 0.0
    assert floor(impact=math.nan, own_markout=-0.01) == pytest.approx(0.01)
    assert floor(impact=0.03, own_markout=-0.01, has_flow=False) == 0.0


def test_an_impact_that_no_allowed_spread_pays_for_makes_the_value_uncertain() -> None:
    for impact, too_uncertain in ((0.049, 0.0), (0.051, 1.0)):
        answer = quote_of(MMConfig(), now_s=300.0, log_price=STRIKE_LOG, impact=impact)
        assert answer["is_too_uncertain"] == too_uncertain
        assert answer["half_spread"] >= impact


# -- fitted tiers ------------------------------------------------------------------------------------------------------


def test_fitted_tiers_stand_one_over_k_apart_from_where_orders_earn_most() -> None:
    answer = quote_of(MMConfig(), now_s=300.0, log_price=STRIKE_LOG, impact=0.006, **CURVE)
    assert answer["tier_base"] == pytest.approx(1.0 / 60.0 + 0.006)
    scale = answer["half_spread"] / answer["tier_base"]
    for layer in range(1, 4):
        assert answer[f"half_spread_{layer}"] == pytest.approx((answer["tier_base"] + layer / 60.0) * scale)
    assert [answer[f"half_spread_{layer}"] for layer in range(4, MAX_TIERS)] == [0.0] * 4


def test_the_innermost_fitted_tier_stays_within_half_of_the_least_and_greatest_spread() -> None:
    for decay, innermost in ((2000.0, 0.005), (5.0, 0.05)):
        answer = quote_of(
            MMConfig(), now_s=300.0, log_price=STRIKE_LOG, fitted_rate_per_s=0.1, fitted_decay_per_usd=decay
        )
        assert answer["tier_base"] == pytest.approx(innermost)


@pytest.mark.parametrize(
    ("config", "fields"),
    [(MMConfig(tier_mode="preset"), CURVE), (MMConfig(), {}), (MMConfig(), {**CURVE, "has_flow": False})],
)
def test_without_a_fit_or_when_told_so_the_tiers_are_the_configured_ones(
    config: MMConfig, fields: dict[str, Any]
) -> None:
    answer = quote_of(config, now_s=300.0, log_price=STRIKE_LOG, **fields)
    assert (answer["tiers_fitted"], answer["tier_base"]) == (0.0, 0.01)
    halves = [answer["half_spread"], *(answer[f"half_spread_{layer}"] for layer in range(1, 4))]
    assert halves == pytest.approx([answer["half_spread"] * tier / 0.01 for tier in config.tier_spreads])


@pytest.mark.parametrize("rate", [0.01, 1.0, 700.0])
@pytest.mark.parametrize("decay", [5.0, 60.0, 300.0])
def test_no_fitted_curve_takes_the_inventory_skew_away(rate: float, decay: float) -> None:
    """A fit to small sweeps promises fills of whole lots that never come: leaning on it is the user's own number."""
    state: dict[str, Any] = {"now_s": 300.0, "log_price": STRIKE_LOG, "call_shares": 400.0}
    config = MMConfig(tier_mode="preset")
    assumed = quote_of(config, **state)
    fitted = quote_of(config, **state, fitted_rate_per_s=rate, fitted_decay_per_usd=decay)
    assert assumed["inventory_skew"] == fitted["inventory_skew"] < -0.01
    assert fitted["fill_rate_per_s"] == rate


def test_an_oracle_that_is_not_projected_widens_and_lags() -> None:
    state: dict[str, Any] = {"now_s": 300.0, "log_price": STRIKE_LOG}
    config = MMConfig(techniques=Techniques(fees=False))
    projected, alone = quote_of(config, **state), quote_of(config, **state, has_venue=False)
    assert (projected["is_projected"], alone["is_projected"]) == (1.0, 0.0)
    assert alone["factor_inputs"] == pytest.approx(config.missing_input_factor * projected["factor_inputs"])
    lags_s = (config.cancel_latency_s + config.feed_lag_s, config.default_lead_s)
    ratio = alone["floor_pin_risk"] / projected["floor_pin_risk"]
    assert ratio == pytest.approx(math.sqrt(sum(lags_s) / lags_s[0]), rel=0.01)


def test_the_ladder_tells_what_it_expects_to_earn() -> None:
    answer = quote_of(
        MMConfig(),
        now_s=300.0,
        log_price=STRIKE_LOG,
        impact=0.004,
        fee_rate=0.07,
        fee_exponent=1.0,
        rebate_rate=0.2,
        **CURVE,
    )
    expected = 0.0
    for side, sign in (("bid", 1), ("ask", -1)):
        for ticks, size in layers_of(answer, side):
            distance = sign * (answer["fair_value"] - ticks / 100)
            expected += size * profit_rate(distance, 0.25, 60.0, 0.004, answer["rebate"])
    assert answer["expected_usd_per_s"] == pytest.approx(expected, rel=1e-9)
    assert expected > 0.0


# -- liquidity rewards -------------------------------------------------------------------------------------------------


def wide_of(credit: float = 0.05, **fields: Any) -> dict[str, Any]:
    """Layer 0 of 6 cents in a market that rewards what stands within 4.5 cents of a mid of 0.50."""
    config = MMConfig(tier_spreads=(0.06, 0.08), tier_sizes=(50, 100), reward_credit=min(credit, 0.045), max_spread=0.1)
    standing: dict[str, Any] = {"book_mid": 0.5, "best_bid": 49, "best_ask": 51, **REWARDS, **fields}
    return quote_of(config, now_s=300.0, log_price=STRIKE_LOG, **standing)


def test_layer_zero_is_tightened_to_the_outermost_tick_that_earns_rewards() -> None:
    plain, credited = wide_of(0.0), wide_of()
    assert layers_of(plain, "bid")[0][0] < 46
    assert (layers_of(credited, "bid")[0][0], layers_of(credited, "ask")[0][0]) == (46, 54)
    assert layers_of(credited, "bid")[1:] == layers_of(plain, "bid")[1:]
    assert plain["reward_score"] == 0.0
    one_side = layer_score(0.04, 0.045, 50.0)
    assert credited["reward_score"] == pytest.approx(two_sided_score(one_side, one_side, 0.5))
    assert credited["reward_bid"] == pytest.approx(credited["half_spread"] - (credited["reservation"] - 0.46))


@pytest.mark.parametrize(
    "fields",
    [
        {"rewards_min_shares": 0.0},
        {"rewards_max_spread": 0.0},
        {"rewards_min_shares": 51.0},
        {"book_mid": 0.0},
        {"impact": 0.042},  # the floor lies outside
        {"rewards_max_spread": 0.005},  # further than the credit reaches
    ],
)
def test_layer_zero_is_not_tightened_for_nothing_nor_inside_a_floor(fields: dict[str, Any]) -> None:
    answer = wide_of(**fields)
    assert (answer["reward_bid"], answer["reward_ask"]) == (0.0, 0.0)
    assert layers_of(answer, "bid")[0][0] < 46


def test_a_side_is_not_tightened_across_the_book() -> None:
    answer = wide_of(best_bid=40, best_ask=46)
    assert (answer["reward_bid"], layers_of(answer, "bid")[0][0] < 46) == (0.0, True)


# -- cost --------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels run uncompiled")  # type: ignore[attr-defined]
def test_quoting_allocates_nothing() -> None:
    """Counted within compiled code, where the arguments are already there."""
    state: dict[str, Any] = {"call_shares": 100.0, "book_mid": 0.5, "best_bid": 49, "best_ask": 51, **REWARDS, **CURVE}
    _, call = call_of(MMConfig(reward_credit=0.04), now_s=700.0, log_price=STRIKE_LOG, **state)

    @numba.njit  # type: ignore[untyped-decorator]
    def repeat(times: int, arguments: Any) -> None:
        for _ in range(times):
            requote(*arguments)

    def allocated(times: int) -> tuple[int, int]:
        before = rtsys.get_allocation_stats()
        repeat(times, call)
        after = rtsys.get_allocation_stats()
        return after.alloc - before.alloc, after.mi_alloc - before.mi_alloc

    was_counting = _nrt_python.memsys_stats_enabled()
    repeat(1, call)
    _nrt_python.memsys_enable_stats()
    try:
        assert allocated(1000) == allocated(1)
    finally:
        if not was_counting:
            _nrt_python.memsys_disable_stats()

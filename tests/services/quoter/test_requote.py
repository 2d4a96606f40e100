"""Whatever the state and the configuration, a quote that leaves the kernel can be defended."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from services.quoter.requote import phase_index, requote
from shared.config import MAX_TIERS, PRESETS, MMConfig, load_config
from shared.digital import observe_print, open_window
from shared.kernel import State
from shared.market import phase_at
from shared.projection import Config, new_venue, observe_mid, observe_oracle

SECOND = 1_000_000_000
START = 1_791_241_200 * SECOND
STRIKE_LOG = math.log(60_000.0)


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
    length_s = fields.pop("length_s", 900)
    allow = fields.pop("allow", (True, True))
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
    requote(
        market,
        windows_of(length_s, until_ns=int(standing["oracle_ns"]), log_price=log_price),
        venue_of(now_ns, log_price=log_price),
        settings_of(config, Config()),
        quote,
        now_ns,
        has_venue,
        1.5,
        True,
        True,
        0,
        *allow,
    )
    answer = dict(zip(BREAKDOWN + ANSWERS, flat_view(quote).tolist(), strict=False))
    for name in LADDERS:
        answer[name] = quote[name][0].tolist()
    return answer


configs = st.builds(
    lambda preset, mode, sizes, gamma: load_config(preset).model_copy(
        update={
            "inventory_skew_mode": mode,
            "inventory_skew_factor": gamma,
            "tier_sizes": tuple(sorted(sizes)),
            "tier_spreads": tuple(0.004 * (place + 1) for place in range(len(sizes))),
            "quote_final_phase": True,
        }
    ),
    preset=st.sampled_from(sorted(PRESETS)),
    mode=st.sampled_from(["logit", "linear"]),
    sizes=st.lists(st.floats(1.0, 800.0), min_size=1, max_size=MAX_TIERS),
    gamma=st.floats(0.0, 0.05),
)


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
    markout=st.floats(-0.2, 0.2),
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
    markout: float,
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
        markout=markout,
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
    bids = [(int(t), s) for t, s in zip(answer["bid_ticks"], answer["bid_sizes"], strict=True) if s > 0.0]
    asks = [(int(t), s) for t, s in zip(answer["ask_ticks"], answer["ask_sizes"], strict=True) if s > 0.0]
    assert (len(bids), len(asks)) == (answer["bid_layers"], answer["ask_layers"])
    for ticks, size in bids + asks:
        assert 1 <= ticks <= per_dollar - 1
        assert size >= 5.0
        assert size == int(size)
    bid_ticks, ask_ticks = [ticks for ticks, _ in bids], [ticks for ticks, _ in asks]
    assert bid_ticks == sorted(set(bid_ticks), reverse=True)
    assert ask_ticks == sorted(set(ask_ticks))
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


@settings(max_examples=40, deadline=None)
@given(moneyness_bp=st.floats(-15.0, 15.0), inventory=st.floats(-400.0, 400.0), now_s=st.floats(10.0, 700.0))
def test_the_mirrored_market_gets_the_mirrored_ladder(moneyness_bp: float, inventory: float, now_s: float) -> None:
    """Swapping CALL and PUT (log moneyness and inventory change sign) mirrors every layer."""
    config = MMConfig()
    one = quote_of(
        config,
        now_s=now_s,
        log_price=STRIKE_LOG + moneyness_bp * 1e-4,
        call_shares=max(inventory, 0.0),
        put_shares=max(-inventory, 0.0),
    )
    other = quote_of(
        config,
        now_s=now_s,
        log_price=STRIKE_LOG - moneyness_bp * 1e-4,
        call_shares=max(-inventory, 0.0),
        put_shares=max(inventory, 0.0),
    )
    assert one["fair_value"] + other["fair_value"] == 1.0 or math.isclose(
        one["fair_value"] + other["fair_value"], 1.0, abs_tol=1e-7
    )
    assert math.isclose(one["reservation"] + other["reservation"], 1.0, abs_tol=1e-7)
    assert one["bid_sizes"] == other["ask_sizes"]


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
    doubt = max(answer["floor_uncertainty"], answer["floor_markout"])
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


def test_the_objections_are_counted() -> None:
    calm = quote_of(MMConfig(), now_s=300.0, log_price=STRIKE_LOG)
    assert calm["objections"] == 0.0
    barred = quote_of(MMConfig(), now_s=850.0, log_price=STRIKE_LOG, call_shares=498.0)
    assert barred["objections"] == 2.0

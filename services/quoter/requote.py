"""One compiled call from the state of a market to its quotes: value, skews, spread, guards, ladder (pure).

`requote(market, windows, venue, settings, quote, ...)` reads the records and writes `quote`; nothing is allocated. The
live quoter, the library and the backtester call this same function. What the numbers mean is told in `records.py`.
"""

from __future__ import annotations

import math

from services.quoter.fair_value import digital_value, settlement_law, value_error
from services.quoter.ladder import ON_TICK, build_side, layer_sizes
from services.quoter.skew import inventory_skew_linear, inventory_skew_logit, momentum_log_move, momentum_skew
from services.quoter.spread import bounded, information_lag, pin_risk_half_spread, time_factor
from shared.kernel import Record, State, kernel
from shared.market import PHASE_SHARES
from shared.projection import log_mid_at, project_oracle

_EARLY_SHARE, _MID_SHARE, _LATE_SHARE = (share for _, share in PHASE_SHARES)
_MOVE_HORIZON_NS = 2_000_000_000
_TWAP_LOSS = 2.0 / 3.0  # at the open a TWAP's effective time is this share of its window shorter than the period


@kernel
def phase_index(now_ns: int, start_ns: int, end_ns: int) -> int:
    """Index into PHASES: the same as `shared.market.phase_at`."""
    if now_ns < start_ns:
        return 0
    if now_ns >= end_ns:
        return 5
    share_left = (end_ns - now_ns) / (end_ns - start_ns)
    if share_left > _EARLY_SHARE:
        return 1
    if share_left > _MID_SHARE:
        return 2
    return 3 if share_left > _LATE_SHARE else 4


@kernel
def requote(
    market_state: State,
    windows: State,
    venue: State,
    settings: State,
    quote_state: State,
    now_ns: int,
    has_venue: bool,
    lead_s: float,
    has_regime: bool,
    has_flow: bool,
    missing_inputs: int,
    allow_bid: bool,
    allow_ask: bool,
) -> None:
    """Write the quotes of this instant into `quote_state`.

    `has_venue`: `venue` is fresh and may project the oracle, leading by `lead_s`. `missing_inputs` counts optional
    inputs that are missing besides the projection. `is_defined` is 0 when the inputs give no number; then nothing else
    in the answer means anything.
    """
    market: Record = market_state[0]
    config: Record = settings[0]
    quote: Record = quote_state[0]
    quote["phase"] = phase_index(now_ns, market["start_ns"], market["end_ns"])
    quote["is_defined"] = 0.0
    quote["bid_layers"] = 0.0
    quote["ask_layers"] = 0.0
    quote["bid_barred_by_limit"] = 0.0
    quote["ask_barred_by_limit"] = 0.0
    delta_per_log = math.nan
    if market["ticks_per_dollar"] > 0:
        delta_per_log = write_value(market, windows, venue, config, quote, now_ns, has_venue, lead_s)
    if math.isnan(delta_per_log):
        market["disagrees_since_ns"] = 0  # no value, no opinion to disagree with
        return
    write_skews(market, config, quote, delta_per_log, has_regime)
    write_spread(market, windows, config, quote, delta_per_log, has_regime, has_flow, missing_inputs)
    write_disagreement(market, venue, config, quote, now_ns, has_venue)
    write_ladder(market, config, quote, allow_bid, allow_ask)
    quote["objections"] = (
        quote["in_gamma_danger"]
        + quote["is_too_uncertain"]
        + quote["disagrees"]
        + quote["bid_barred_by_limit"]
        + quote["ask_barred_by_limit"]
    )
    quote["is_defined"] = 1.0


@kernel
def write_value(
    market: Record,
    windows: State,
    venue: State,
    config: Record,
    quote: Record,
    now_ns: int,
    has_venue: bool,
    lead_s: float,
) -> float:
    """Step 1: the fair value, on the oracle's own last print, then projected. Returns dp / dlog; NaN without one."""
    sigma = market["sigma"]
    if sigma <= 0.0 or market["oracle_ns"] <= 0:
        return math.nan
    strike_known = market["strike_known"] == 1
    strike_log = market["strike_log"]
    averaged = market["averaged"] == 1 and config["use_settlement_twap"] == 1
    start_ns, end_ns = market["start_ns"], market["end_ns"]
    oracle_ns, oracle_log = market["oracle_ns"], market["oracle_log"]
    kurtosis, below_s = config["tail_kurtosis"], config["tail_below_s"]
    mean, sensitivity, variance_s, missing = settlement_law(
        windows, averaged, strike_known, strike_log, start_ns, end_ns, oracle_ns, oracle_log
    )
    if not variance_s >= 0.0:
        return math.nan
    model_value, slope, variance = digital_value(mean, sensitivity, variance_s, averaged, sigma, 0.0, kurtosis, below_s)
    fair_value, ref_sd, move, projected = model_value, 0.0, 0.0, False
    if has_venue and config["use_oracle_projection"] == 1:
        ref_log, error, projected = project_oracle(
            venue, config["basis_drift_per_sqrt_s"], config["prints_to_warm"], now_ns, lead_s
        )
        if projected:
            quote_age_s = max(now_ns - venue[0]["ts_ns"], 0) * 1e-9  # over which the venue may have moved unseen
            ref_sd = math.sqrt(error * error + sigma * sigma * quote_age_s)
            ref_ns = max(now_ns + int(lead_s * 1e9), oracle_ns)
            mean, sensitivity, variance_s, missing = settlement_law(
                windows, averaged, strike_known, strike_log, start_ns, end_ns, ref_ns, ref_log
            )
            if not variance_s >= 0.0:
                return math.nan
            fair_value, slope, variance = digital_value(
                mean, sensitivity, variance_s, averaged, sigma, ref_sd * ref_sd, kurtosis, below_s
            )
            move = ref_log - oracle_log
    diffused_share = sigma * sigma * variance_s / variance if variance > 0.0 else 0.0
    fair_sd = value_error(mean, slope, sensitivity, diffused_share, market["sigma_error"], ref_sd)
    quote["is_projected"] = 1.0 if projected else 0.0
    quote["model_value"] = model_value
    quote["projection"] = fair_value - model_value
    quote["fair_value"] = fair_value
    quote["fair_sd"] = fair_sd
    quote["fair_low"] = max(fair_value - config["band_sigmas"] * fair_sd, 0.0)
    quote["fair_high"] = min(fair_value + config["band_sigmas"] * fair_sd, 1.0)
    quote["sigma"] = sigma
    quote["tau_s"] = (end_ns - now_ns) * 1e-9
    quote["effective_tau_s"] = variance_s
    quote["delta_per_bp"] = slope * sensitivity * 1e-4
    quote["spot_weight"] = sensitivity
    quote["oracle_age_s"] = (now_ns - oracle_ns) * 1e-9
    quote["projection_move"] = move
    quote["projection_sd"] = ref_sd
    quote["missing_prints"] = missing
    quote["book_mid"] = market["book_mid"]
    return float(slope * sensitivity)


@kernel
def write_skews(market: Record, config: Record, quote: Record, delta_per_log: float, has_regime: bool) -> None:
    """Step 2: momentum and inventory lean the fair value to the reservation price."""
    fair_value, tau_s = quote["fair_value"], quote["tau_s"]
    lean_momentum = 0.0
    if has_regime and config["use_momentum_skew"] == 1:
        expected = momentum_log_move(
            market["drift_per_s"], tau_s, config["momentum_shrinkage"], config["momentum_decay_per_s"]
        )
        lean_momentum = momentum_skew(expected, quote["projection_move"], delta_per_log, config["momentum_skew_factor"])
    inventory = market["call_shares"] - market["put_shares"]
    lean_inventory = 0.0
    if config["use_inventory_skew"] == 1:
        if config["inventory_skew_linear"] == 1:
            lean_inventory = inventory_skew_linear(
                inventory, config["inventory_skew_factor"], config["max_inventory_skew"]
            )
        else:
            value_sd_per_sqrt_s = delta_per_log * quote["sigma"]
            lean_inventory = inventory_skew_logit(
                fair_value,
                inventory,
                value_sd_per_sqrt_s * value_sd_per_sqrt_s,
                tau_s,
                config["inventory_skew_factor"],
                config["fill_rate_per_s"],
                config["fill_decay_per_usd"],
                config["tier_sizes"][0],
                config["max_inventory_skew"],
            )
    quote["momentum_skew"] = lean_momentum
    quote["inventory_skew"] = lean_inventory
    quote["reservation"] = fair_value + lean_momentum + lean_inventory


@kernel
def write_spread(
    market: Record,
    windows: State,
    config: Record,
    quote: Record,
    delta_per_log: float,
    has_regime: bool,
    has_flow: bool,
    missing_inputs: int,
) -> None:
    """Step 3: base spread times the factors, within its bounds; the floors under it, and what they forbid."""
    value_sd_per_sqrt_s = delta_per_log * quote["sigma"]
    projected = quote["is_projected"] == 1.0
    product = write_factors(market, windows, config, quote, value_sd_per_sqrt_s, has_regime, has_flow, missing_inputs)
    base = config["base_spread"]
    spread = bounded(product, config["min_spread"], config["max_spread"])
    pin_floor = 0.0
    danger = False
    if config["use_pin_risk"] == 1:
        feed_lag_s = config["feed_lag_s"] if projected else config["feed_lag_s"] + config["default_lead_s"]
        lag_s = information_lag(
            config["cancel_latency_s"], feed_lag_s, market["taker_delay_s"], config["min_information_lag_s"]
        )
        pin_floor = pin_risk_half_spread(value_sd_per_sqrt_s, lag_s, config["pin_risk_z"])
        danger = pin_floor > config["gamma_zone_limit"] or delta_per_log * 1e-4 > config["max_delta_per_bp"]
    markout_floor = 0.0
    if config["use_toxicity"] == 1 and has_flow:
        markout_floor = max(market["markout"], 0.0)
    doubt_floor = config["uncertainty_weight"] * quote["fair_sd"]
    tier_half = config["tier_spreads"][0] * spread / base
    half = max(tier_half, pin_floor, doubt_floor, markout_floor)
    quote["clamp"] = spread - product
    quote["spread"] = spread
    quote["floor_pin_risk"] = pin_floor
    quote["floor_uncertainty"] = doubt_floor
    quote["floor_markout"] = markout_floor
    quote["floor"] = half - tier_half
    quote["half_spread"] = half
    quote["in_gamma_danger"] = 1.0 if danger else 0.0
    quote["is_too_uncertain"] = 1.0 if 2.0 * max(doubt_floor, markout_floor) > config["max_spread"] else 0.0


@kernel
def write_factors(
    market: Record,
    windows: State,
    config: Record,
    quote: Record,
    value_sd_per_sqrt_s: float,
    has_regime: bool,
    has_flow: bool,
    missing_inputs: int,
) -> float:
    """The factors of the spread; returns their product with the base."""
    open_s = (market["end_ns"] - market["start_ns"]) * 1e-9
    if market["averaged"] == 1 and config["use_settlement_twap"] == 1:
        open_s = max(open_s - _TWAP_LOSS * windows[1]["count"], 1.0)
    by_time = time_factor(
        value_sd_per_sqrt_s,
        open_s,
        config["time_sensitivity"],
        config["time_factor_min"],
        config["time_factor_max"],
    )
    by_regime = 1.0
    if config["use_regime"] == 1 and has_regime:
        by_regime = config["regime_factors"][market["regime"]]
    by_toxicity = 1.0
    if config["use_toxicity"] == 1 and has_flow:
        by_toxicity = 1.0 + config["toxicity_weight"] * market["toxicity"]
    by_volatility = 1.0
    if config["use_volatility"] == 1:
        by_volatility = bounded(
            math.sqrt(quote["sigma"] / config["reference_sigma_per_sqrt_s"]),
            config["volatility_factor_min"],
            config["volatility_factor_max"],
        )
    by_phase = 1.0
    size_factor = 1.0
    phase = int(quote["phase"])
    if config["use_phases"] == 1 and 1 <= phase <= 4:
        by_phase = config["phase_spread_factors"][phase - 1]
        size_factor = config["phase_size_factors"][phase - 1]
    if config["use_oracle_projection"] == 1 and quote["is_projected"] == 0.0:
        missing_inputs += 1
    by_inputs = config["missing_input_factor"] ** missing_inputs
    quote["base_spread"] = config["base_spread"]
    quote["factor_time"] = by_time
    quote["factor_regime"] = by_regime
    quote["factor_toxicity"] = by_toxicity
    quote["factor_volatility"] = by_volatility
    quote["factor_phase"] = by_phase
    quote["factor_inputs"] = by_inputs
    quote["size_factor"] = size_factor
    return float(config["base_spread"] * by_time * by_regime * by_toxicity * by_volatility * by_phase * by_inputs)


@kernel
def write_disagreement(
    market: Record, venue: State, config: Record, quote: Record, now_ns: int, has_venue: bool
) -> None:
    """Step 4: has the book disagreed with the fair value for too long? A spot that just moved excuses it.

    One value or book within the limit ends it at once.
    """
    disagrees = False
    far = abs(quote["fair_value"] - market["book_mid"]) > config["max_model_mid_disagreement"]
    if market["book_mid"] > 0.0 and far:
        moved = False
        if has_venue:
            before = log_mid_at(venue, now_ns - _MOVE_HORIZON_NS)
            horizon_sd = quote["sigma"] * math.sqrt(_MOVE_HORIZON_NS * 1e-9)
            moved = abs(venue[0]["log_mid"] - before) > config["spot_move_sigmas"] * horizon_sd  # False when NaN
        if moved or market["disagrees_since_ns"] == 0:
            market["disagrees_since_ns"] = now_ns
        disagrees = (now_ns - market["disagrees_since_ns"]) * 1e-9 > config["disagreement_patience_s"]
    else:
        market["disagrees_since_ns"] = 0
    quote["disagrees"] = 1.0 if disagrees else 0.0


@kernel
def write_ladder(market: Record, config: Record, quote: Record, allow_bid: bool, allow_ask: bool) -> None:
    """Step 5: the tiers on the grid, post-only, within the limits; and what rounding and post-only cost layer 0."""
    per_dollar, tick_size = market["ticks_per_dollar"], market["tick_size"]
    tiers, sizes, size_factor = config["tiers"], config["tier_sizes"], quote["size_factor"]
    reservation, half = quote["reservation"], quote["half_spread"]
    scale = half / config["tier_spreads"][0]
    inventory = market["call_shares"] - market["put_shares"]
    most, most_held = config["max_inventory_imbalance"], config["max_position_size"]
    bid_room = min(most - inventory, most_held - market["call_shares"])
    ask_room = min(most + inventory, most_held - market["put_shares"])
    min_size = market["min_size"]
    if bid_room < min_size:
        quote["bid_barred_by_limit"] = 1.0
    if ask_room < min_size:
        quote["ask_barred_by_limit"] = 1.0
    bid_limit = market["best_ask"] - 1 if market["best_ask"] > 0 else per_dollar - 1
    ask_limit = market["best_bid"] + 1
    layer_sizes(sizes, tiers, size_factor, bid_room if allow_bid else 0.0, min_size, quote["bid_sizes"])
    layer_sizes(sizes, tiers, size_factor, ask_room if allow_ask else 0.0, min_size, quote["ask_sizes"])
    spreads = config["tier_spreads"]
    bid_ticks, ask_ticks = quote["bid_ticks"], quote["ask_ticks"]
    quote["bid_layers"] = build_side(
        reservation, spreads, scale, tiers, tick_size, per_dollar, 1, bid_limit, bid_ticks, quote["bid_sizes"]
    )
    quote["ask_layers"] = build_side(
        reservation, spreads, scale, tiers, tick_size, per_dollar, -1, ask_limit, ask_ticks, quote["ask_sizes"]
    )
    wanted_bid = reservation - half
    rounded_bid = math.floor(wanted_bid / tick_size + ON_TICK) * tick_size
    quote["rounding_bid"] = wanted_bid - rounded_bid
    quote["post_only_bid"] = rounded_bid - min(rounded_bid, min(bid_limit, per_dollar - 1) * tick_size)
    wanted_ask = reservation + half
    rounded_ask = math.ceil(wanted_ask / tick_size - ON_TICK) * tick_size
    quote["rounding_ask"] = rounded_ask - wanted_ask
    quote["post_only_ask"] = max(rounded_ask, max(ask_limit, 1) * tick_size) - rounded_ask

"""One compiled call from the state of a market to its quotes: value, skews, tiers, spread, guards, ladder (pure).

`quote_ladder(market, windows, venue, settings, quote, ...)` reads the records and writes `quote`; nothing is allocated.
The live quoter and the library call it through `requote`, which adds the numbers that only people read; the backtester
calls it bare. What the numbers mean is told in `records.py`.
"""

from __future__ import annotations

import math

from services.quoter.fair_value import digital_value, settlement_law, value_error
from services.quoter.ladder import ON_TICK, build_side, layer_sizes, layer_ticks
from services.quoter.rewards import layer_score, maker_rebate, rewarded_tick, taker_fee, two_sided_score
from services.quoter.skew import inventory_skew_linear, inventory_skew_logit, momentum_log_move, momentum_skew
from services.quoter.spread import (
    adverse_floor,
    bounded,
    information_lag,
    pin_risk_floor,
    pin_risk_half_spread,
    time_factor,
)
from services.quoter.tiers import best_half_spread, profit_rate
from shared.kernel import Record, State, kernel
from shared.market import PHASE_SHARES
from shared.projection import log_mid_at, project_oracle

_EARLY_SHARE, _MID_SHARE, _LATE_SHARE = (share for _, share in PHASE_SHARES)
_MOVE_HORIZON_NS = 2_000_000_000
_ROUNDING = 1e-12  # dollars: a sum this far over its limit is at it
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
    """Write the quotes of this instant, and what explains them, into `quote_state`: see `quote_ladder`."""
    quote_ladder(
        market_state, windows, venue, settings, quote_state, now_ns, has_venue, lead_s,
        has_regime, has_flow, missing_inputs, allow_bid, allow_ask,
    )  # fmt: skip
    if quote_state[0]["is_defined"] == 1.0:
        write_model(market_state[0], windows, settings[0], quote_state[0])
        write_prospects(market_state[0], settings[0], quote_state[0], has_flow)


@kernel
def quote_ladder(
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
    """Write what decides the quotes of this instant into `quote_state`.

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
        excuse(market, now_ns)  # no value, no opinion to disagree with
        return
    is_fitted = write_terms(market, config, quote, has_flow)
    write_skews(market, config, quote, delta_per_log, has_regime)
    write_tiers(config, quote, expected_impact(market, config, has_flow), is_fitted)
    write_spread(market, windows, config, quote, delta_per_log, has_regime, has_flow, missing_inputs)
    write_disagreement(market, venue, config, quote, now_ns, has_venue)
    write_ladder(market, config, quote, allow_bid, allow_ask)
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
    """Step 1: the fair value, on the projected oracle or else its last print. Returns dp / dlog; NaN without one."""
    sigma = market["sigma"]
    if sigma <= 0.0 or market["oracle_ns"] <= 0:
        return math.nan
    strike_known = market["strike_known"] == 1
    strike_log = market["strike_log"]
    averaged = market["averaged"] == 1 and config["use_settlement_twap"] == 1
    start_ns, end_ns = market["start_ns"], market["end_ns"]
    oracle_ns, oracle_log = market["oracle_ns"], market["oracle_log"]
    kurtosis, below_s = config["tail_kurtosis"], config["tail_below_s"]
    ref_ns, ref_sd, ref_log, projected = oracle_ns, 0.0, oracle_log, False
    if has_venue and config["use_oracle_projection"] == 1:
        led_log, error, projected = project_oracle(
            venue, config["basis_drift_per_sqrt_s"], config["prints_to_warm"], now_ns, lead_s
        )
        if projected:
            ref_log = led_log
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
    diffused_share = sigma * sigma * variance_s / variance if variance > 0.0 else 0.0
    fair_sd = value_error(mean, slope, sensitivity, diffused_share, market["sigma_error"], ref_sd)
    quote["is_projected"] = 1.0 if projected else 0.0
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
    quote["projection_move"] = ref_log - oracle_log
    quote["distance_sd"] = mean / math.sqrt(variance) if variance > 0.0 else 0.0
    quote["projection_sd"] = ref_sd
    quote["missing_prints"] = missing
    quote["book_mid"] = market["book_mid"]
    return float(slope * sensitivity)


@kernel
def write_terms(market: Record, config: Record, quote: Record, has_flow: bool) -> bool:
    """Step 2: the venue's fee and rebate at this value, and the fill curve in force. Returns whether it was fitted."""
    fee = 0.0
    if config["use_fees"] == 1:
        fee = taker_fee(quote["fair_value"], market["fee_rate"], market["fee_exponent"])
    quote["taker_fee"] = fee
    quote["rebate"] = maker_rebate(fee, market["rebate_rate"])
    is_fitted = has_flow and market["fitted_rate_per_s"] > 0.0 and market["fitted_decay_per_usd"] > 0.0
    quote["fill_rate_per_s"] = market["fitted_rate_per_s"] if is_fitted else config["fill_rate_per_s"]
    quote["fill_decay_per_usd"] = market["fitted_decay_per_usd"] if is_fitted else config["fill_decay_per_usd"]
    return bool(is_fitted)


@kernel
def write_skews(market: Record, config: Record, quote: Record, delta_per_log: float, has_regime: bool) -> None:
    """Step 3: momentum and inventory lean the fair value to the reservation price."""
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
def expected_impact(market: Record, config: Record, has_flow: bool) -> float:
    """Dollars by which the mid moves against a fill; 0 while it is not known, or not against it."""
    if config["use_toxicity"] == 1 and has_flow and market["impact"] > 0.0:
        return float(market["impact"])
    return 0.0


@kernel
def write_tiers(config: Record, quote: Record, adverse: float, is_fitted: bool) -> None:
    """Step 4: the half-spreads of the tiers when every factor is 1 and no floor binds: fitted, or the configured ones.

    Only the innermost of the fitted is kept within half of min_spread and max_spread; the others follow 1 / k apart.
    """
    half_spreads, presets, tiers = quote["half_spreads"], config["tier_spreads"], config["tiers"]
    fitted = is_fitted and config["fit_tiers"] == 1
    decay = quote["fill_decay_per_usd"]
    innermost = bounded(
        best_half_spread(decay, adverse, quote["rebate"]), 0.5 * config["min_spread"], 0.5 * config["max_spread"]
    )
    for layer in range(len(half_spreads)):
        if layer >= tiers:
            half_spreads[layer] = 0.0
        elif fitted:
            half_spreads[layer] = innermost + layer / decay
        else:
            half_spreads[layer] = presets[layer]
    quote["tiers_fitted"] = 1.0 if fitted else 0.0
    quote["tier_base"] = half_spreads[0]


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
    """Step 5: base spread times the factors, within its bounds; the floors under it, and what they forbid."""
    speed = abs(delta_per_log)  # an unknown strike can turn its sign
    value_sd_per_sqrt_s = speed * quote["sigma"]
    projected = quote["is_projected"] == 1.0
    product = write_factors(market, windows, config, quote, value_sd_per_sqrt_s, has_regime, has_flow, missing_inputs)
    spread = bounded(product, config["min_spread"], config["max_spread"])
    pin_gross, pin_floor = 0.0, 0.0
    danger = False
    if config["use_pin_risk"] == 1:
        feed_lag_s = config["feed_lag_s"] if projected else config["feed_lag_s"] + config["default_lead_s"]
        lag_s = information_lag(
            config["cancel_latency_s"], feed_lag_s, market["taker_delay_s"], config["min_information_lag_s"]
        )
        lag_sd = value_sd_per_sqrt_s * math.sqrt(lag_s)
        pin_gross = pin_risk_half_spread(lag_sd, config["pin_risk_z"])
        pin_floor = pin_risk_floor(lag_sd, config["pin_risk_z"], quote["taker_fee"])
        danger = pin_gross > config["gamma_zone_limit"] or speed * 1e-4 > config["max_delta_per_bp"]
    loss_floor = 0.0
    if config["use_toxicity"] == 1 and has_flow:
        loss_floor = adverse_floor(market["impact"], market["own_markout"], quote["rebate"])
    doubt_floor = config["uncertainty_weight"] * quote["fair_sd"]
    tier_half = quote["tier_base"] * spread / config["base_spread"]
    half = max(tier_half, pin_floor, doubt_floor, loss_floor)
    scale = half / quote["tier_base"]
    half_spreads = quote["half_spreads"]
    half_spreads[0] = half
    for layer in range(1, config["tiers"]):
        half_spreads[layer] *= scale
    quote["clamp"] = spread - product
    quote["spread"] = spread
    quote["pin_risk_gross"] = pin_gross
    quote["floor_pin_risk"] = pin_floor
    quote["floor_uncertainty"] = doubt_floor
    quote["floor_adverse"] = loss_floor
    quote["floor"] = half - tier_half
    quote["in_gamma_danger"] = 1.0 if danger else 0.0
    quote["is_too_uncertain"] = 1.0 if 2.0 * max(doubt_floor, loss_floor) > config["max_spread"] else 0.0


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
    by_inputs = 1.0
    for _ in range(missing_inputs):
        by_inputs *= config["missing_input_factor"]
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
def excuse(market: Record, now_ns: int) -> None:
    """Value and book need not agree now: what they had agreed before stays true. Who never agreed is not excused."""
    if market["agreed_ns"] > 0:
        market["agreed_ns"] = now_ns


@kernel
def write_disagreement(
    market: Record, venue: State, config: Record, quote: Record, now_ns: int, has_venue: bool
) -> None:
    """Step 6: is the last agreement of book and fair value too long ago? A spot that just moved excuses them.

    One value or book within the limit is an agreement. Before the first one there is no patience: a strike or a price
    that is wrong from the start must never be quoted.
    """
    disagrees = False
    far = abs(quote["fair_value"] - market["book_mid"]) > config["max_model_mid_disagreement"]
    if market["book_mid"] <= 0.0:
        excuse(market, now_ns)
    elif not far:
        market["agreed_ns"] = now_ns
    else:
        if has_venue:
            before = log_mid_at(venue, now_ns - _MOVE_HORIZON_NS)
            horizon_sd = quote["sigma"] * math.sqrt(_MOVE_HORIZON_NS * 1e-9)
            if abs(venue[0]["log_mid"] - before) > config["spot_move_sigmas"] * horizon_sd:  # False when NaN
                excuse(market, now_ns)
        disagrees = (now_ns - market["agreed_ns"]) * 1e-9 > config["disagreement_patience_s"]
    quote["disagrees"] = 1.0 if disagrees else 0.0


@kernel
def write_ladder(market: Record, config: Record, quote: Record, allow_bid: bool, allow_ask: bool) -> None:
    """Step 7: the tiers on the grid, post-only, within the limits; and what rounding and post-only cost layer 0."""
    per_dollar, tick_size = market["ticks_per_dollar"], market["tick_size"]
    tiers, sizes, size_factor = config["tiers"], config["tier_sizes"], quote["size_factor"]
    reservation, half_spreads = quote["reservation"], quote["half_spreads"]
    inventory = market["call_shares"] - market["put_shares"]
    most, most_held = config["max_inventory_imbalance"], config["max_position_size"]
    bid_room = min(most - inventory, most_held - market["call_shares"])
    ask_room = min(most + inventory, most_held - market["put_shares"])
    min_size = market["min_size"]
    if bid_room < min_size:
        quote["bid_barred_by_limit"] = 1.0
    if ask_room < min_size:
        quote["ask_barred_by_limit"] = 1.0
    bid_limit = min(market["best_ask"] - 1 if market["best_ask"] > 0 else per_dollar - 1, per_dollar - 1)
    ask_limit = max(market["best_bid"] + 1, 1)
    bid_ticks, bid_sizes = quote["bid_ticks"], quote["bid_sizes"]
    ask_ticks, ask_sizes = quote["ask_ticks"], quote["ask_sizes"]
    bid_shares = layer_sizes(sizes, tiers, size_factor, bid_room if allow_bid else 0.0, min_size, bid_sizes)
    ask_shares = layer_sizes(sizes, tiers, size_factor, ask_room if allow_ask else 0.0, min_size, ask_sizes)
    wanted = 0.0
    for layer in range(tiers):
        wanted += sizes[layer] * size_factor
    quote["size_share_bid"] = bid_shares / wanted if wanted > 0.0 else 0.0
    quote["size_share_ask"] = ask_shares / wanted if wanted > 0.0 else 0.0
    bid_credit = reward_credit(market, config, quote, 1, bid_limit, bid_sizes[0])
    ask_credit = reward_credit(market, config, quote, -1, ask_limit, ask_sizes[0])
    quote["bid_layers"] = build_side(
        reservation, half_spreads, bid_credit, tiers, tick_size, per_dollar, 1, bid_limit, bid_ticks, bid_sizes
    )
    quote["ask_layers"] = build_side(
        reservation, half_spreads, ask_credit, tiers, tick_size, per_dollar, -1, ask_limit, ask_ticks, ask_sizes
    )
    quote["reward_bid"] = bid_credit
    quote["reward_ask"] = ask_credit
    wanted_bid = reservation - (half_spreads[0] - bid_credit)
    rounded_bid = math.floor(wanted_bid / tick_size + ON_TICK) * tick_size
    quote["rounding_bid"] = wanted_bid - rounded_bid
    quote["post_only_bid"] = rounded_bid - min(rounded_bid, bid_limit * tick_size)
    wanted_ask = reservation + (half_spreads[0] - ask_credit)
    rounded_ask = math.ceil(wanted_ask / tick_size - ON_TICK) * tick_size
    quote["rounding_ask"] = rounded_ask - wanted_ask
    quote["post_only_ask"] = max(rounded_ask, ask_limit * tick_size) - rounded_ask


@kernel
def reward_credit(market: Record, config: Record, quote: Record, side: int, inner_limit: int, size: float) -> float:
    """Dollars by which layer 0 of a side is tightened to earn liquidity rewards; 0 when it need not or may not be.

    It goes to the outermost tick that scores, if that asks for no more than `reward_credit`, lies beyond the floors and
    half of min_spread, and does not cross; and only with a size that the program counts.
    """
    reach, mid, tick_size = market["rewards_max_spread"], market["book_mid"], market["tick_size"]
    if config["reward_credit"] <= 0.0 or config["use_fees"] == 0 or reach <= 0.0 or mid <= 0.0:
        return 0.0
    if market["rewards_min_shares"] <= 0.0 or size < market["rewards_min_shares"]:
        return 0.0
    half = quote["half_spreads"][0]
    target = rewarded_tick(mid, reach, tick_size, side)
    stands = layer_ticks(quote["reservation"], half, tick_size, side, 0, inner_limit)
    if side * (target - stands) <= 0 or side * (target - inner_limit) > 0:
        return 0.0
    tightened = side * (quote["reservation"] - target * tick_size)
    least = max(quote["floor_pin_risk"], quote["floor_uncertainty"], quote["floor_adverse"], 0.5 * config["min_spread"])
    credit = half - tightened
    return float(credit) if credit <= config["reward_credit"] + _ROUNDING and tightened >= least else 0.0


@kernel
def write_model(market: Record, windows: State, config: Record, quote: Record) -> None:
    """What the value would be on the oracle's own last print, what the projection adds, and the prices they rest on."""
    model_value = quote["fair_value"]
    if quote["is_projected"] == 1.0:
        averaged = market["averaged"] == 1 and config["use_settlement_twap"] == 1
        mean, sensitivity, variance_s, _ = settlement_law(
            windows, averaged, market["strike_known"] == 1, market["strike_log"],
            market["start_ns"], market["end_ns"], market["oracle_ns"], market["oracle_log"],
        )  # fmt: skip
        if variance_s >= 0.0:  # else the projection is all there is
            model_value, _, _ = digital_value(
                mean, sensitivity, variance_s, averaged, market["sigma"], 0.0,
                config["tail_kurtosis"], config["tail_below_s"],
            )  # fmt: skip
    quote["model_value"] = model_value
    quote["projection"] = quote["fair_value"] - model_value
    quote["strike"] = math.exp(market["strike_log"]) if market["strike_known"] == 1 else 0.0
    quote["oracle_price"] = math.exp(market["oracle_log"])
    quote["reference_price"] = math.exp(market["oracle_log"] + quote["projection_move"])


@kernel
def write_prospects(market: Record, config: Record, quote: Record, has_flow: bool) -> None:
    """What the standing layers earn a second on the fill curve in force, and their score for rewards."""
    fair_value, tick_size, mid = quote["fair_value"], market["tick_size"], quote["book_mid"]
    adverse = expected_impact(market, config, has_flow)
    rate, decay, rebate = quote["fill_rate_per_s"], quote["fill_decay_per_usd"], quote["rebate"]
    bid_ticks, bid_sizes = quote["bid_ticks"], quote["bid_sizes"]
    ask_ticks, ask_sizes = quote["ask_ticks"], quote["ask_sizes"]
    reach, counted = market["rewards_max_spread"], market["rewards_min_shares"]
    is_scored = config["use_fees"] == 1 and reach > 0.0 and counted > 0.0 and mid > 0.0
    earned, bid_score, ask_score = 0.0, 0.0, 0.0
    for layer in range(config["tiers"]):
        if bid_sizes[layer] > 0.0:
            price = bid_ticks[layer] * tick_size
            earned += bid_sizes[layer] * profit_rate(fair_value - price, rate, decay, adverse, rebate)
            if is_scored and bid_sizes[layer] >= counted:
                bid_score += layer_score(mid - price, reach, bid_sizes[layer])
        if ask_sizes[layer] > 0.0:
            price = ask_ticks[layer] * tick_size
            earned += ask_sizes[layer] * profit_rate(price - fair_value, rate, decay, adverse, rebate)
            if is_scored and ask_sizes[layer] >= counted:
                ask_score += layer_score(price - mid, reach, ask_sizes[layer])
    quote["expected_usd_per_s"] = earned
    quote["reward_score"] = two_sided_score(bid_score, ask_score, mid)

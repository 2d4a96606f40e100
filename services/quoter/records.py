"""The records that `requote` reads and writes, and what each number of its answer means.

Breakdown, in dollars a share unless said otherwise:

    fair_value      = model_value + projection                model_value: on the oracle's own last print, if it has one
    reservation     = fair_value + momentum_skew + inventory_skew
    spread          = base_spread x factor_time x factor_regime x factor_toxicity x factor_volatility x factor_phase
                      x factor_inputs + clamp                 clamp: what min_spread and max_spread added or took
    half_spread     = tier_base x spread / base_spread + floor
                      floor: what the largest of floor_pin_risk, floor_uncertainty, floor_adverse added to layer 0
    tier_base       = 1 / fill_decay_per_usd + impact - rebate, within half of min_spread and max_spread, when
                      tiers_fitted = 1; impact is the Flow's, if positive. Otherwise tier_spreads[0]
    half_spread_i   = half_spread x (tier i / tier_base), for i from 1, as many as there are tiers
                      tier i = tier_base + i / fill_decay_per_usd when tiers_fitted = 1, else tier_spreads[i]

Layers, bids minus and asks plus:

    CALL bid 0      = reservation - (half_spread - reward_bid) - rounding_bid - post_only_bid
    CALL bid i      = reservation - half_spread_i - rounding - distinct
                      rounding: down to the tick; distinct: what keeps it at least one tick under bid i - 1

so that with t = tick size, in ticks: bid_i = min(floor((reservation - half_spread_i) / t), bid_(i-1) - 1), and ask_i =
max(ceil((reservation + half_spread_i) / t), ask_(i-1) + 1), a price within 1e-9 of a tick being on it.

Also reported: fair_sd, fair_low, fair_high, sigma (per sqrt s), tau_s, effective_tau_s (variance left over sigma^2, of
the settlement statistic), delta_per_bp, spot_weight (d settlement mean / d log price), oracle_age_s, projection_move
(log) and projection_sd (log), missing_prints, book_mid; size_factor (of the phase) and size_share_bid, size_share_ask
(of the tiers' sizes times that, what the limits leave); strike (0: unknown), oracle_price (its last print) and
reference_price (where the leading venue puts it) in the oracle's currency, distance_sd (of the expected settlement from
the strike, in standard deviations); taker_fee and rebate (of it, to us) at the fair
value; pin_risk_gross (the pin-risk floor if takers paid no fee: gamma_danger judges this one); fill_rate_per_s and
fill_decay_per_usd in force (fitted once there is a fit, else configured); expected_usd_per_s (what all standing layers
earn on that curve, after impact and rebate); reward_score (of all standing layers, in shares; 0 without a program).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.config import MAX_TIERS, MMConfig
from shared.kernel import State
from shared.messages import PhaseName, RegimeName
from shared.projection import Config as ProjectionConfig

# What the quoter knows of one period. Prices of books are CALL ticks; 0 means none.
MARKET = np.dtype(
    [
        ("start_ns", np.int64),
        ("end_ns", np.int64),
        ("averaged", np.int64),
        ("strike_known", np.int64),
        ("strike_log", np.float64),
        ("ticks_per_dollar", np.int64),
        ("tick_size", np.float64),
        ("min_size", np.float64),
        ("taker_delay_s", np.float64),
        ("fee_rate", np.float64),
        ("fee_exponent", np.float64),
        ("rebate_rate", np.float64),
        ("rewards_min_shares", np.float64),  # 0 when the market pays no rewards
        ("rewards_max_spread", np.float64),
        ("oracle_ns", np.int64),
        ("oracle_log", np.float64),
        ("best_bid", np.int64),  # best of both books, the PUT book mirrored
        ("best_ask", np.int64),
        ("book_mid", np.float64),  # of the CALL book; 0 when it has not both sides
        ("sigma", np.float64),
        ("sigma_error", np.float64),
        ("regime", np.int64),  # index into REGIMES
        ("drift_per_s", np.float64),
        ("toxicity", np.float64),
        ("impact", np.float64),  # NaN when not known
        ("own_markout", np.float64),  # NaN when not known
        ("fitted_rate_per_s", np.float64),  # 0 until fitted
        ("fitted_decay_per_usd", np.float64),
        ("call_shares", np.float64),
        ("put_shares", np.float64),
        ("agreed_ns", np.int64),  # when value and book last agreed, or were excused; 0: never
    ]
)

# MMConfig as numbers.
SETTINGS = np.dtype(
    [
        ("base_spread", np.float64),
        ("min_spread", np.float64),
        ("max_spread", np.float64),
        ("time_sensitivity", np.float64),
        ("time_factor_min", np.float64),
        ("time_factor_max", np.float64),
        ("reference_sigma_per_sqrt_s", np.float64),
        ("volatility_factor_min", np.float64),
        ("volatility_factor_max", np.float64),
        ("toxicity_weight", np.float64),
        ("missing_input_factor", np.float64),
        ("uncertainty_weight", np.float64),
        ("max_position_size", np.float64),
        ("max_inventory_imbalance", np.float64),
        ("inventory_skew_factor", np.float64),
        ("inventory_skew_linear", np.int64),
        ("max_inventory_skew", np.float64),
        ("fill_rate_per_s", np.float64),
        ("fill_decay_per_usd", np.float64),
        ("momentum_skew_factor", np.float64),
        ("momentum_shrinkage", np.float64),
        ("momentum_decay_per_s", np.float64),
        ("cancel_latency_s", np.float64),
        ("feed_lag_s", np.float64),
        ("min_information_lag_s", np.float64),
        ("pin_risk_z", np.float64),
        ("gamma_zone_limit", np.float64),
        ("max_delta_per_bp", np.float64),
        ("tail_kurtosis", np.float64),
        ("tail_below_s", np.float64),
        ("band_sigmas", np.float64),
        ("default_lead_s", np.float64),
        ("max_model_mid_disagreement", np.float64),
        ("disagreement_patience_s", np.float64),
        ("spot_move_sigmas", np.float64),
        ("basis_drift_per_sqrt_s", np.float64),
        ("prints_to_warm", np.int64),
        ("reward_credit", np.float64),
        ("tiers", np.int64),
        ("fit_tiers", np.int64),
        ("tier_sizes", np.float64, (MAX_TIERS,)),
        ("tier_spreads", np.float64, (MAX_TIERS,)),
        ("regime_factors", np.float64, (6,)),
        ("phase_spread_factors", np.float64, (4,)),
        ("phase_size_factors", np.float64, (4,)),
        ("use_settlement_twap", np.int64),
        ("use_oracle_projection", np.int64),
        ("use_volatility", np.int64),
        ("use_regime", np.int64),
        ("use_toxicity", np.int64),
        ("use_inventory_skew", np.int64),
        ("use_momentum_skew", np.int64),
        ("use_pin_risk", np.int64),
        ("use_phases", np.int64),
        ("use_fees", np.int64),
    ]
)

_SCALARS: tuple[str, ...] = (
    "model_value",
    "projection",
    "momentum_skew",
    "inventory_skew",
    "reservation",
    "base_spread",
    "factor_time",
    "factor_regime",
    "factor_toxicity",
    "factor_volatility",
    "factor_phase",
    "factor_inputs",
    "clamp",
    "spread",
    "taker_fee",
    "rebate",
    "pin_risk_gross",
    "floor_pin_risk",
    "floor_uncertainty",
    "floor_adverse",
    "floor",
    "tiers_fitted",
    "tier_base",
    "reward_bid",
    "reward_ask",
    "rounding_bid",
    "post_only_bid",
    "rounding_ask",
    "post_only_ask",
    "fair_sd",
    "sigma",
    "tau_s",
    "effective_tau_s",
    "delta_per_bp",
    "spot_weight",
    "oracle_age_s",
    "projection_move",
    "projection_sd",
    "missing_prints",
    "book_mid",
    "size_factor",
    "size_share_bid",
    "size_share_ask",
    "strike",
    "oracle_price",
    "reference_price",
    "distance_sd",
    "fill_rate_per_s",
    "fill_decay_per_usd",
    "expected_usd_per_s",
    "reward_score",
)
# Last, so that those of layers that are not configured are left out of a message (`breakdown_names`).
_HALF_SPREADS: tuple[str, ...] = ("half_spread", *(f"half_spread_{layer}" for layer in range(1, MAX_TIERS)))
BREAKDOWN = _SCALARS + _HALF_SPREADS
ANSWERS: tuple[str, ...] = (
    "fair_value",
    "fair_low",
    "fair_high",
    "phase",  # index into PHASES
    "is_defined",
    "is_projected",
    "in_gamma_danger",
    "is_too_uncertain",
    "disagrees",
    "bid_barred_by_limit",
    "ask_barred_by_limit",
    "bid_layers",
    "ask_layers",
)
LADDERS: tuple[str, ...] = ("bid_ticks", "bid_sizes", "ask_ticks", "ask_sizes")

# Where an answer and the ladders begin in the flat view.
ANSWER_AT: dict[str, int] = {name: len(BREAKDOWN) + place for place, name in enumerate(ANSWERS)}
LADDER_AT = len(BREAKDOWN) + len(ANSWERS)

# All fields are float64, so that the whole answer leaves as one list: breakdown, answers, ladders.
QUOTE = np.dtype(
    [
        *((name, np.float64) for name in _SCALARS),
        ("half_spreads", np.float64, (MAX_TIERS,)),
        *((name, np.float64) for name in ANSWERS),
        *((name, np.float64, (MAX_TIERS,)) for name in LADDERS),
    ]
)

REGIMES: tuple[RegimeName, ...] = ("unknown", "quiet", "mean_reverting", "trending_up", "trending_down", "volatile")
PHASES: tuple[PhaseName, ...] = ("before", "early", "mid", "late", "final", "after")
REGIME_INDEX: dict[RegimeName, int] = {name: place for place, name in enumerate(REGIMES)}


def tiers_of(config: MMConfig) -> int:
    """Layers a side."""
    return len(config.tier_sizes) if config.techniques.tiers else 1


def breakdown_names(config: MMConfig) -> tuple[str, ...]:
    """The names of the breakdown that a message carries, in the order of the record."""
    return BREAKDOWN[: len(_SCALARS) + tiers_of(config)]


def settings_of(config: MMConfig, projection: ProjectionConfig) -> State:
    """The configuration as a record for `requote`."""
    settings = np.zeros(1, dtype=SETTINGS)
    techniques = config.techniques
    special = {
        "inventory_skew_linear": config.inventory_skew_mode == "linear",
        "basis_drift_per_sqrt_s": projection.drift_per_sqrt_s,
        "prints_to_warm": projection.prints_to_warm,
        "tiers": tiers_of(config),
        "fit_tiers": config.tier_mode == "fitted",
        "regime_factors": [getattr(config.regime_factors, name) for name in REGIMES],
    }
    assert SETTINGS.names is not None
    for name in SETTINGS.names:
        if name in special:
            settings[name][0] = special[name]
        elif name.startswith("use_"):
            settings[name] = getattr(techniques, name.removeprefix("use_"))
        elif name in ("tier_sizes", "tier_spreads"):
            tiers = getattr(config, name)
            settings[name][0, : len(tiers)] = tiers
        elif name in ("phase_spread_factors", "phase_size_factors"):
            factors = getattr(config, name)
            settings[name][0] = (factors.early, factors.mid, factors.late, factors.final)
        else:
            settings[name] = getattr(config, name)
    return settings


def flat_view(quote: State) -> NDArray[np.float64]:
    """The whole answer as one array of numbers, in the order of the fields of QUOTE."""
    return quote.view(np.float64)

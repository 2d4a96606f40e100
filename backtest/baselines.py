"""Baseline strategies: what the quoter must beat on the same tape (compiled, pure).

`write_baseline` takes the place of `requote`. All three quote around the book's mid m, not around a fair value, with
post-only prices, within the same limits of position and inventory; they are silent outside the period and without a
two-sided book. N is the inventory, CALL - PUT shares.

    FIXED_SPREAD         m -+ base_spread / 2, outer layers in proportion to tier_spreads; tier_sizes
    AVELLANEDA_STOIKOV   r = m - N gamma v, half-spread gamma v / 2 + ln(1 + gamma / k) / gamma; one layer
    BANDS                m -+ tier_spreads, tier_sizes; a price stays until the mid has moved it out of its band

Avellaneda-Stoikov: the layer has tier_sizes[0] shares. v = sigma_v^2 tau is the variance left until the end. The mid
of a binary is a martingale that ends at 0 or 1, so v = m (1 - m) and sigma_v = sqrt(m (1 - m) / tau) a square-root
second: known from the mid alone. gamma is inventory_skew_factor (per dollar), k is fill_decay_per_usd (per dollar), N
counts shares.

Bands (Polymarket's poly-market-maker, `strategies/bands.py`): band i of a side lies around tier_spreads[i], from
halfway to the band inside it (or to the mid) to halfway to the band outside it (the last as far out as in), and at
least one tick beyond where an order would be placed. An order in its band stays; one outside is placed anew at
tier_spreads[i]. The original also refills a band only when its amount falls below a minimum, and counts an order for
the band it has drifted into; here the amount is tier_sizes[i], refilled by what follows the ladder with orders as for
every strategy, and an order belongs to the band it was placed in. The standing prices are those that the quote record
still holds, so one record serves one market.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from services.quoter.ladder import ON_TICK, build_side, layer_sizes, layer_ticks
from services.quoter.requote import phase_index
from shared.kernel import Record, kernel

FIXED_SPREAD, AVELLANEDA_STOIKOV, BANDS = 0, 1, 2
STRATEGIES: tuple[str, ...] = ("fixed_spread", "avellaneda_stoikov", "bands")  # by number


@kernel
def as_reservation(mid: float, inventory: float, gamma: float, variance_left: float) -> float:
    """r = m - N gamma sigma^2 (T - t); `variance_left` is sigma^2 (T - t). Not bounded to [0, 1].

    Source: Avellaneda and Stoikov 2008, eq. 29; numbers: `avellaneda_stoikov` and, with the variance p (1 - p),
    `as_linear` of `binary_reservation` in `../shared/vectors`.
    """
    return mid - inventory * gamma * variance_left


@kernel
def as_half_spread(gamma: float, variance_left: float, decay: float) -> float:
    """gamma sigma^2 (T - t) / 2 + ln(1 + gamma / k) / gamma; without risk aversion its limit 1 / k. Needs k above 0.

    Source: Avellaneda and Stoikov 2008, eq. 30 (half of it); numbers: `avellaneda_stoikov` in `../shared/vectors`.
    """
    if gamma <= 0.0:
        return 1.0 / decay
    return 0.5 * gamma * variance_left + math.log1p(gamma / decay) / gamma


@kernel
def write_baseline(strategy: int, market: Record, config: Record, quote: Record, now_ns: int) -> None:
    """Write the quotes of this instant into `quote`: ladders, `fair_value` (the mid), `reservation`, `half_spreads`.

    `is_defined` is 0, and both ladders are empty, when there is nothing to quote. Raises ValueError for a number that
    names no strategy.
    """
    if strategy < FIXED_SPREAD or strategy > BANDS:
        raise ValueError("no such strategy")
    quote["phase"] = phase_index(now_ns, market["start_ns"], market["end_ns"])
    quote["is_defined"] = 0.0
    quote["is_projected"] = 0.0
    quote["in_gamma_danger"] = 0.0
    quote["is_too_uncertain"] = 0.0
    quote["disagrees"] = 0.0
    quote["bid_barred_by_limit"] = 0.0
    quote["ask_barred_by_limit"] = 0.0
    per_dollar, mid = market["ticks_per_dollar"], market["book_mid"]
    best_bid, best_ask = market["best_bid"], market["best_ask"]
    in_period = market["start_ns"] <= now_ns < market["end_ns"]
    if not in_period or per_dollar <= 0 or mid <= 0.0 or best_bid <= 0 or best_ask <= 0:
        _silence(quote)
        return
    half_spreads, tiers = quote["half_spreads"], config["tiers"]
    inventory = market["call_shares"] - market["put_shares"]
    reservation = mid
    if strategy == AVELLANEDA_STOIKOV:
        gamma, variance_left = config["inventory_skew_factor"], mid * (1.0 - mid)
        reservation = as_reservation(mid, inventory, gamma, variance_left)
        tiers = 1
        half_spreads[0] = as_half_spread(gamma, variance_left, config["fill_decay_per_usd"])
    elif strategy == FIXED_SPREAD:
        scale = 0.5 * config["base_spread"] / config["tier_spreads"][0]
        for layer in range(tiers):
            half_spreads[layer] = scale * config["tier_spreads"][layer]
    else:
        for layer in range(tiers):
            half_spreads[layer] = config["tier_spreads"][layer]
    for layer in range(tiers, len(half_spreads)):
        half_spreads[layer] = 0.0
    quote["fair_value"] = mid
    quote["book_mid"] = mid
    quote["reservation"] = reservation
    quote["inventory_skew"] = reservation - mid
    quote["tau_s"] = (market["end_ns"] - now_ns) * 1e-9
    quote["size_factor"] = 1.0
    _write_sides(strategy == BANDS, tiers, market, config, quote)
    quote["is_defined"] = 1.0


@kernel
def band_edges(tiers: NDArray[Any], count: int, layer: int, tick_size: float) -> tuple[float, float]:
    """Least and greatest distance from the mid, in dollars, at which an order of this band stays."""
    middle = tiers[layer]
    inner = 0.5 * (middle + tiers[layer - 1]) if layer > 0 else 0.5 * middle
    outer = 0.5 * (middle + tiers[layer + 1]) if layer + 1 < count else 2.0 * middle - inner
    return inner, max(outer, middle + tick_size)


@kernel
def _silence(quote: Record) -> None:
    quote["bid_layers"] = 0.0
    quote["ask_layers"] = 0.0
    quote["bid_ticks"][:] = 0.0
    quote["bid_sizes"][:] = 0.0
    quote["ask_ticks"][:] = 0.0
    quote["ask_sizes"][:] = 0.0


@kernel
def _write_sides(in_bands: bool, tiers: int, market: Record, config: Record, quote: Record) -> None:
    per_dollar, tick_size, min_size = market["ticks_per_dollar"], market["tick_size"], market["min_size"]
    inventory = market["call_shares"] - market["put_shares"]
    most, most_held = config["max_inventory_imbalance"], config["max_position_size"]
    bid_room = min(most - inventory, most_held - market["call_shares"])
    ask_room = min(most + inventory, most_held - market["put_shares"])
    if bid_room < min_size:
        quote["bid_barred_by_limit"] = 1.0
    if ask_room < min_size:
        quote["ask_barred_by_limit"] = 1.0
    bid_ticks, bid_sizes = quote["bid_ticks"], quote["bid_sizes"]
    ask_ticks, ask_sizes = quote["ask_ticks"], quote["ask_sizes"]
    layer_sizes(config["tier_sizes"], tiers, 1.0, bid_room, min_size, bid_sizes)
    layer_sizes(config["tier_sizes"], tiers, 1.0, ask_room, min_size, ask_sizes)
    bid_limit = min(market["best_ask"] - 1, per_dollar - 1)
    ask_limit = max(market["best_bid"] + 1, 1)
    reservation, half_spreads = quote["reservation"], quote["half_spreads"]
    if in_bands:
        quote["bid_layers"] = _build_bands(
            reservation, half_spreads, tiers, tick_size, per_dollar, 1, bid_limit, bid_ticks, bid_sizes
        )
        quote["ask_layers"] = _build_bands(
            reservation, half_spreads, tiers, tick_size, per_dollar, -1, ask_limit, ask_ticks, ask_sizes
        )
        return
    quote["bid_layers"] = build_side(
        reservation, half_spreads, 0.0, tiers, tick_size, per_dollar, 1, bid_limit, bid_ticks, bid_sizes
    )
    quote["ask_layers"] = build_side(
        reservation, half_spreads, 0.0, tiers, tick_size, per_dollar, -1, ask_limit, ask_ticks, ask_sizes
    )


@kernel
def _build_bands(
    mid: float,
    margins: NDArray[Any],
    count: int,
    tick_size: float,
    per_dollar: int,
    side: int,
    inner_limit: int,
    ticks: NDArray[Any],
    sizes: NDArray[Any],
) -> int:
    """`build_side`, except that a tick already in `ticks` stays while it is in its band. Returns how many stand."""
    previous = 0
    standing = 0
    for layer in range(len(ticks)):
        if layer >= count or sizes[layer] <= 0.0:
            ticks[layer] = 0.0
            sizes[layer] = 0.0
            continue
        inner, outer = band_edges(margins, count, layer, tick_size)
        stands = int(ticks[layer])
        margin = side * (mid - stands * tick_size)
        slack = ON_TICK * tick_size
        keeps = stands > 0 and inner - slack <= margin <= outer + slack and side * (inner_limit - stands) >= 0
        if previous > 0 and side * (previous - stands) <= 0:
            keeps = False
        tick = stands
        if not keeps:
            tick = layer_ticks(mid, margins[layer], tick_size, side, previous, inner_limit)
            tick = min(tick, per_dollar - 1) if side > 0 else max(tick, 1)
        if tick < 1 or tick > per_dollar - 1:
            ticks[layer] = 0.0
            sizes[layer] = 0.0
            continue
        ticks[layer] = tick
        previous = tick
        standing += 1
    return standing

"""What estimators are tested against."""

from __future__ import annotations

from typing import Any

from services.simulator import params
from services.simulator.world import World

_SIGMA_SECONDS = 900


def truth(world: World) -> dict[str, Any]:
    """The true lead, lag, volatility path, basis, strikes, finals and informed share, as plain JSON."""
    config, path = world.config, world.path
    markets = {}
    for series in world.series:
        period = world.current_period(series)
        previous = world.periods.get(series.slug(period.start_s - series.length_s))
        markets[series.name] = {
            "slug": period.slug,
            "start_s": period.start_s,
            "end_s": period.end_s,
            "strike": period.strike,
            "up_probability": world.fair_value(period, world.now_ms, informed=True),
            "trades": period.trades,
            "informed_trades": period.informed_trades,
            "previous_slug": previous.slug if previous else None,
            "previous_strike": previous.strike if previous else None,
            "previous_final": previous.final if previous else None,
            "previous_up_won": previous.up_won if previous else None,
        }
    return {
        "now_ms": world.now_ms,
        "start_ms": world.start_ms,
        "seed": config.seed,
        "leader": config.leader,
        "lead_ms": config.lead_ms,
        "venue_delay_ms": {"bybit": world.delay_ms("bybit"), "coinbase": world.delay_ms("coinbase")},
        "oracle_center_ms": params.ORACLE_CENTER_MS,
        "maker_lag_ms": config.maker_lag_ms,
        "informed_share": config.informed_share,
        "assets": {
            asset.name: {
                "price_usd": path.price_usd(asset.name, world.now_ms),
                "basis_usd": path.basis_usd(asset.name),
                "sigma_annual": path.sigma_annual(asset.name),
                "sigma_annual_path_1s": path.sigma_path(asset.name, _SIGMA_SECONDS),
                "jumps": [(jump.ts_ms, jump.log_return) for jump in path.jumps if jump.asset == asset.name],
            }
            for asset in world.assets
        },
        "markets": markets,
    }

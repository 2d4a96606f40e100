"""The website's strike endpoint: the TWAP at both ends of a period, or the SPOT without the TWAP parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.simulator import params
from services.simulator.wire import parse_iso_s
from services.simulator.world import World

_CACHE_MS = 10_000


def crypto_price_json(
    world: World, query: Mapping[str, str], now_ms: int, *, late: bool = False
) -> dict[str, Any] | None:
    """The answer; None for an unknown symbol. Raises KeyError or ValueError for a missing or bad parameter.

    A boundary's value is published CLOSING_PRICE_DELAY_S after it; with `late` (fault F20) the opening value is
    missing.
    """
    oracle = world.oracles.get(query["symbol"].upper())
    if oracle is None:
        return None
    start_s, end_s = parse_iso_s(query["eventStartTime"]), parse_iso_s(query["endDate"])
    twap = query.get("twapEnabled") == "true" and query.get("twapLookbackSeconds") == str(params.TWAP_SECONDS)
    at = oracle.twap if twap else oracle.spot

    def published(second: int) -> float | None:
        due_ms = second * 1000 + int(params.CLOSING_PRICE_DELAY_S * 1000.0)
        return at(second) if now_ms >= due_ms else None

    opening, closing = None if late else published(start_s), published(end_s)
    completed = opening is not None and closing is not None
    return {
        "openPrice": opening,
        "closePrice": closing,
        "completed": completed,
        "incomplete": not completed,
        "cached": now_ms % _CACHE_MS >= _CACHE_MS // 10,
        "timestamp": now_ms,
    }

"""The state of the system in one line, for logs: what the panel shows, without a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from bot.supervisor import PartState
from services.sink.core import seconds_left
from services.sink.view import MarketView, SystemView, standing
from shared.market import NS_PER_S
from shared.messages import Layer


def state_line(view: SystemView, parts: Mapping[str, PartState]) -> str:
    """One JSON object: the time, each market by name, and what is not as it should be."""
    running = sum(part.phase == "running" for part in parts.values())
    deaths = {name: part.last_death for name, part in parts.items() if part.phase != "running" and part.last_death}
    line: dict[str, Any] = {
        "timestamp": datetime.fromtimestamp(view.now_ns / NS_PER_S, UTC).isoformat(timespec="milliseconds"),
        "event": "state",
        "markets": {name: _market_fields(view, market) for name, market in view.markets.items()},
        "parts_running": f"{running}/{len(parts)}",
        "restarts": sum(part.restarts for part in parts.values()),
    }
    if deaths:
        line["deaths"] = deaths
    return msgspec.json.encode(line).decode()


def _market_fields(view: SystemView, market: MarketView) -> dict[str, Any]:
    stands = standing(view, market)
    quotes = stands.quotes
    call_book = market.books.get("CALL")
    feeds = [each for each in view.feeds_of(market.series) if each.state != "LIVE"]
    doubtful = [f"{each.venue}/{each.channel}/{each.subject} {each.state}" for each in feeds]
    fields: dict[str, Any] = {
        "phase": market.phase(view.now_ns),
        "left_s": seconds_left(market, view.now_ns),
        "action": stands.action,
        "reasons": stands.reasons,
        "fair_value": None if quotes is None or stands.off_lease else _rounded(quotes.fair_value),
        "call": _touch(stands.call),
        "put": _touch(stands.put),
        "layers": len(stands.call) + len(stands.put),
    }
    if call_book is not None:
        tick = call_book.tick_size
        fields["call_book"] = [
            round(ticks[0] * tick, 6) if ticks else None for ticks in (call_book.bid_ticks, call_book.ask_ticks)
        ]
    if market.position is not None:
        fields["position"] = [market.position.call_shares, market.position.put_shares]
    if doubtful:
        fields["feeds"] = doubtful
    return fields


def _touch(layers: tuple[Layer, ...]) -> list[float | None]:
    """Our best bid and ask."""
    bids = [each.price for each in layers if each.side == "bid"]
    asks = [each.price for each in layers if each.side == "ask"]
    return [max(bids, default=None), min(asks, default=None)]


def _rounded(price: float | None) -> float | None:
    return None if price is None else round(price, 4)

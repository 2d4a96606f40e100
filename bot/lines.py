"""The state of the system in one line, for logs: what the panel shows, without a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from bot.results_io import Results
from bot.supervisor import PartState
from services.sink.core import held, seconds_left
from services.sink.view import MarketView, SystemView, standing
from shared.market import NS_PER_S
from shared.messages import Layer, OpenOrder


def state_line(
    view: SystemView, parts: Mapping[str, PartState], results: Mapping[str, Results] = MappingProxyType({})
) -> str:
    """One JSON object: the time, each market by name, and what is not as it should be."""
    running = sum(part.phase == "running" for part in parts.values())
    deaths = {name: part.last_death for name, part in parts.items() if part.phase != "running" and part.last_death}
    line: dict[str, Any] = {
        "timestamp": datetime.fromtimestamp(view.now_ns / NS_PER_S, UTC).isoformat(timespec="milliseconds"),
        "event": "state",
        "markets": {name: _market_fields(view, market, results.get(name)) for name, market in view.markets.items()},
        "parts_running": f"{running}/{len(parts)}",
        "restarts": sum(part.restarts for part in parts.values()),
    }
    if deaths:
        line["deaths"] = deaths
    return msgspec.json.encode(line).decode()


def _market_fields(view: SystemView, market: MarketView, results: Results | None) -> dict[str, Any]:
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
    position = held(view, market)
    fields["position"] = None if position is None else msgspec.structs.asdict(position)
    fields["open_orders"] = _open_orders(market.orders_now(view.now_ns))
    fields["own_markout"] = None if market.flow is None else _rounded(market.flow.own_markout)
    if results is not None:
        fields["ledger"] = results._asdict()
    if doubtful:
        fields["feeds"] = doubtful
    return fields


def _open_orders(orders: tuple[OpenOrder, ...] | None) -> dict[str, list[float]] | None:
    """Number and shares of our open orders by outcome and side; None while nothing executes."""
    if orders is None:
        return None
    found: dict[str, list[float]] = {}
    for each in orders:
        sums = found.setdefault(f"{each.outcome} {each.side}", [0, 0.0])
        sums[0] += 1
        sums[1] = round(sums[1] + each.left, 6)
    return found


def _touch(layers: tuple[Layer, ...]) -> list[float | None]:
    """Our best bid and ask."""
    bids = [each.price for each in layers if each.side == "bid"]
    asks = [each.price for each in layers if each.side == "ask"]
    return [max(bids, default=None), min(asks, default=None)]


def _rounded(price: float | None) -> float | None:
    return None if price is None else round(price, 4)

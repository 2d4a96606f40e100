"""Polymarket's legacy price stream, with its traps.

E18 integers on the Chainlink topics and plain decimals on `crypto_prices`; the Chainlink spot snapshot arrives under
the topic `crypto_prices`; a filter with a space inside gets the snapshot and then silence; one unknown topic silences
the whole request; a text PING is never answered; the first frame of a connection is empty.
"""

from __future__ import annotations

import json
from typing import Any

from services.simulator import params
from services.simulator.events import Event, OracleTick, RelayTick
from services.simulator.polybolt import Shown
from services.simulator.session import Frame, control, parse_object
from services.simulator.wire import compact
from services.simulator.world import World

BINANCE, SPOT, TWAP = "crypto_prices", "crypto_prices_chainlink", "crypto_prices_twap_sixty"
_UNKNOWN = (
    "leger GetTopics error: rpc error: code = NotFound desc = {what}, status: rpc error: code = NotFound desc = "
    "{what}, message: {what}"
)


def _filter_text(symbol: str) -> str:
    return f'{{"symbol":"{symbol}"}}'


class RtdsSession:
    """One connection."""

    venue = "rtds"

    def __init__(self, world: World, connection_id: str, *, shown: Shown = lambda _tick: True) -> None:
        self._world = world
        self._connection_id = connection_id
        self._shown = shown
        self._all: set[str] = set()  # topics without a filter
        self._exact: set[tuple[str, str]] = set()  # (topic, asset)

    def on_connect(self) -> list[Frame]:
        return [control("")]

    def on_text(self, text: str, now_ms: int, /) -> list[Frame]:
        message = parse_object(text)
        if message is None or message.get("action") not in ("subscribe", "unsubscribe"):
            return []
        entries = [entry for entry in message.get("subscriptions", []) if isinstance(entry, dict)]
        for entry in entries:
            topic, kind = entry.get("topic"), entry.get("type")
            if topic not in (BINANCE, SPOT, TWAP) or kind not in ("update", "*"):
                what = f"topic: {topic} and type: {kind} not found"
                return [control(compact({"body": {"message": _UNKNOWN.format(what=what)}, "statusCode": 401}))]
        frames: list[Frame] = []
        for entry in entries:
            frames += self._change(message["action"], entry["topic"], str(entry.get("filters") or ""), now_ms)
        return frames

    def _change(self, action: str, topic: str, filters: str, now_ms: int) -> list[Frame]:
        if not filters:
            (self._all.add if action == "subscribe" else self._all.discard)(topic)
            return []
        try:
            symbol = str(json.loads(filters)["symbol"])
        except (ValueError, TypeError, KeyError):
            return []
        asset = self._asset(topic, symbol)
        if asset is None:
            return []
        if filters == _filter_text(symbol):  # anything else: the snapshot, then silence
            (self._exact.add if action == "subscribe" else self._exact.discard)((topic, asset))
        return [self._snapshot(topic, asset, now_ms)] if action == "subscribe" else []

    def _asset(self, topic: str, symbol: str) -> str | None:
        suffix = "usdt" if topic == BINANCE else "/usd"
        name = symbol.removesuffix(suffix).upper()
        return name if symbol == name.lower() + suffix and name in self._world.oracles else None

    def _snapshot(self, topic: str, asset: str, now_ms: int) -> Frame:
        payload: dict[str, Any]
        if topic == BINANCE:
            relayed = [tick for tick in self._world.relay[asset].values() if tick.ts_ms <= now_ms]
            rows: list[dict[str, Any]] = [{"timestamp": t.stamp_s * 1000, "value": t.number} for t in relayed]
            payload = {"data": rows[-params.SNAPSHOT_SECONDS :], "symbol": f"{asset.lower()}usdt"}
            return self._snapshot_frame(payload, BINANCE, now_ms)
        kind = "twap" if topic == TWAP else "spot"
        ticks = self._world.oracles[asset].snapshot(kind, now_ms=now_ms, seconds=params.RTDS_SNAPSHOT_SECONDS)
        ticks = [tick for tick in ticks if self._shown(tick)]
        symbol = f"{asset.lower()}/usd"
        if topic == SPOT:
            rows = [{"timestamp": t.stamp_s * 1000, "value": t.number} for t in ticks]
            return self._snapshot_frame({"data": rows, "symbol": symbol}, BINANCE, now_ms)
        rows = [{"full_accuracy_value": str(t.e18), "timestamp": t.stamp_s * 1000, "value": t.number} for t in ticks]
        return self._snapshot_frame({"data": rows, "symbol": symbol, "window_s": params.TWAP_SECONDS}, TWAP, now_ms)

    def _snapshot_frame(self, payload: dict[str, Any], topic: str, now_ms: int) -> Frame:
        return Frame(compact({"payload": payload, "timestamp": now_ms, "topic": topic, "type": "subscribe"}))

    def _update(self, payload: dict[str, Any], topic: str, ts_ms: int) -> list[Frame]:
        message = {
            "connection_id": self._connection_id,
            "payload": payload,
            "timestamp": ts_ms,
            "topic": topic,
            "type": "update",
        }
        return [Frame(compact(message))]

    def _wants(self, topic: str, asset: str) -> bool:
        return topic in self._all or (topic, asset) in self._exact

    def on_event(self, event: Event) -> list[Frame]:
        if isinstance(event, RelayTick) and self._wants(BINANCE, event.asset):
            payload = {
                "full_accuracy_value": f"{event.number:.8f}",
                "symbol": f"{event.asset.lower()}usdt",
                "timestamp": event.stamp_s * 1000,
                "value": event.number,
            }
            return self._update(payload, BINANCE, event.ts_ms)
        if isinstance(event, OracleTick) and self._shown(event):
            topic = TWAP if event.kind == "twap" else SPOT
            if self._wants(topic, event.asset):
                payload = {
                    "full_accuracy_value": str(event.e18),
                    "symbol": f"{event.asset.lower()}/usd",
                    "timestamp": event.stamp_s * 1000,
                    "value": event.number,
                }
                if topic == TWAP:
                    payload["window_s"] = params.TWAP_SECONDS
                return self._update(payload, topic, event.ts_ms)
        return []

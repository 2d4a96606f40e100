"""Polymarket's live price stream: authentication, one ack an item, a two-minute snapshot, `seq` per channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.simulator import params
from services.simulator.events import Event, OracleTick
from services.simulator.session import Frame, control, parse_object
from services.simulator.wire import compact, e18_text
from services.simulator.world import World

SPOT, TWAP = "price.crypto", "price.crypto.twap"
_MAX_SUBSCRIPTIONS = 64
_AUTH_FIELDS = ("apiKey", "secret", "passphrase")
Shown = Callable[[OracleTick], bool]  # whether the relay shows a tick (the late-strike fault hides some)


class PolyBoltSession:
    """One connection."""

    venue = "polybolt"

    def __init__(self, world: World, *, shown: Shown = lambda _tick: True) -> None:
        self._world = world
        self._shown = shown
        self._authenticated = False
        self._subscribed: set[tuple[str, str]] = set()  # (channel, asset)
        self._next_seq = {SPOT: 1, TWAP: 1}

    def on_connect(self) -> list[Frame]:
        return []

    def on_text(self, text: str, now_ms: int, /) -> list[Frame]:
        message = parse_object(text)
        if message is None:
            return [control(compact({"op": "error", "code": "bad_op"}))]
        request_id = message.get("rid")
        operation = message.get("op")
        if operation == "ping":
            return [control(compact({"op": "pong", "rid": request_id}))]
        if operation == "auth":
            return self._authenticate(message.get("auth"), request_id)
        if operation in ("subscribe", "unsubscribe"):
            return self._change(operation, message.get("subscriptions", []), request_id, now_ms)
        return [control(compact({"op": "error", "code": "bad_op", "rid": request_id}))]

    def _authenticate(self, credentials: Any, request_id: Any) -> list[Frame]:
        complete = isinstance(credentials, dict) and all(credentials.get(name) for name in _AUTH_FIELDS)
        if not complete:
            text = compact({"op": "error", "code": "auth_invalid", "rid": request_id})
            return [Frame(text, is_data=False, close_code=4001)]
        self._authenticated = True
        return [control(compact({"op": "authed", "rid": request_id}))]

    def _refusal(self, operation: str, item: Any) -> str | None:
        """The error code for one subscription, None when it is fine."""
        channel = item.get("channel") if isinstance(item, dict) else None
        if not self._authenticated:
            return "auth_required"
        if channel not in (SPOT, TWAP):
            return "bad_channel"
        condition = item.get("filter")
        if not isinstance(condition, dict) or self._asset(condition) is None:
            return "bad_filter"
        if channel == TWAP and condition.get("window_seconds") != params.TWAP_SECONDS:
            return "bad_filter"
        if operation == "subscribe" and len(self._subscribed) >= _MAX_SUBSCRIPTIONS:
            return "sub_limit"
        return None

    def _asset(self, condition: dict[str, Any]) -> str | None:
        symbol = str(condition.get("symbol", ""))
        name = symbol.removesuffix("usd").upper()
        return name if symbol == f"{name.lower()}usd" and name in self._world.oracles else None

    def _change(self, operation: str, items: Any, request_id: Any, now_ms: int) -> list[Frame]:
        acks, snapshots = [], []
        for item in items if isinstance(items, list) else []:
            channel = item.get("channel") if isinstance(item, dict) else None
            refusal = self._refusal(operation, item)
            if refusal is not None:
                error = {"op": "error", "code": refusal, "channel": channel, "rid": request_id}
                acks.append(control(compact(error)))
                continue
            key = (str(channel), str(self._asset(item["filter"])))
            acks.append(control(compact({"op": f"{operation}d", "channel": channel, "rid": request_id})))
            if operation == "unsubscribe":
                self._subscribed.discard(key)
            elif key not in self._subscribed:
                self._subscribed.add(key)
                snapshots.append(self._snapshot(*key, now_ms=now_ms))
        return acks + snapshots

    def _envelope(self, channel: str, ts_ms: int, payload: dict[str, Any], *, snapshot: bool) -> Frame:
        seq = self._next_seq[channel]
        self._next_seq[channel] = seq + 1
        head: dict[str, Any] = {"v": 1, "channel": channel, "seq": seq, "ts": ts_ms}
        if snapshot:
            head["snapshot"] = True
        return Frame(compact({**head, "payload": payload}))

    def _snapshot(self, channel: str, asset: str, *, now_ms: int) -> Frame:
        kind = "twap" if channel == TWAP else "spot"
        ticks = self._world.oracles[asset].snapshot(kind, now_ms=now_ms, seconds=params.SNAPSHOT_SECONDS)
        rows = [
            {"timestamp": t.stamp_s * 1000, "value": t.number, "full_accuracy_value": e18_text(t.e18)}
            for t in ticks
            if self._shown(t)
        ]
        payload: dict[str, Any] = {"symbol": f"{asset.lower()}usd", "data": rows}
        if channel == TWAP:
            payload["window_seconds"] = params.TWAP_SECONDS
        return self._envelope(channel, now_ms, {**payload, "source": "chainlink"}, snapshot=True)

    def on_event(self, event: Event) -> list[Frame]:
        if not isinstance(event, OracleTick):
            return []
        channel = TWAP if event.kind == "twap" else SPOT
        if (channel, event.asset) not in self._subscribed or not self._shown(event):
            return []
        payload: dict[str, Any] = {
            "symbol": f"{event.asset.lower()}usd",
            "value": event.number,
            "full_accuracy_value": e18_text(event.e18),
            "timestamp": event.stamp_s * 1000,
        }
        if channel == TWAP:
            payload["window_seconds"] = params.TWAP_SECONDS
        return [self._envelope(channel, event.ts_ms, {**payload, "source": "chainlink"}, snapshot=False)]

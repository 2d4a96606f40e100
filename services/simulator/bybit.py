"""Bybit v5 public spot: orderbook.1 (snapshots only, repeated with the same `u`) and publicTrade."""

from __future__ import annotations

from services.simulator.events import BybitQuote, BybitTrade, Event
from services.simulator.session import Frame, control, parse_object
from services.simulator.wire import compact
from services.simulator.world import World

_MAX_ARGS = 10


def quote_text(quote: BybitQuote) -> str:
    symbol = f"{quote.asset}USDT"
    return compact(
        {
            "topic": f"orderbook.1.{symbol}",
            "ts": quote.ts_ms,
            "type": "snapshot",
            "data": {
                "s": symbol,
                "b": [[quote.bid, quote.bid_size]],
                "a": [[quote.ask, quote.ask_size]],
                "u": quote.update_number,
                "seq": quote.sequence,
            },
            "cts": quote.ts_ms - 2,
        }
    )


def trade_text(trade: BybitTrade) -> str:
    symbol = f"{trade.asset}USDT"
    row = {
        "i": trade.trade_id,
        "T": trade.ts_ms - 2,
        "p": trade.price,
        "v": trade.size,
        "S": trade.taker_side.capitalize(),
        "s": symbol,
        "BT": False,
        "RPI": False,
        "seq": trade.sequence,
    }
    return compact({"topic": f"publicTrade.{symbol}", "ts": trade.ts_ms, "type": "snapshot", "data": [row]})


class BybitSession:
    """One connection."""

    venue = "bybit"

    def __init__(self, world: World, connection_id: str) -> None:
        self._world = world
        self._connection_id = connection_id
        self._topics: set[str] = set()

    def on_connect(self) -> list[Frame]:
        return []

    def _ack(self, operation: str, request_id: str, *, success: bool, message: str) -> Frame:
        return control(
            compact(
                {
                    "success": success,
                    "ret_msg": message,
                    "conn_id": self._connection_id,
                    "req_id": request_id,
                    "op": operation,
                }
            )
        )

    def on_text(self, text: str, _now_ms: int, /) -> list[Frame]:
        message = parse_object(text)
        operation = str(message.get("op", "")) if message else ""
        if message is None or operation not in ("subscribe", "unsubscribe", "ping"):
            return [self._ack(operation, "", success=False, message="Params Error")]
        request_id = str(message.get("req_id", ""))
        if operation == "ping":
            return [self._ack("ping", request_id, success=True, message="pong")]
        topics = [str(topic) for topic in message.get("args", [])]
        known = {f"{kind}.{name}USDT" for kind in ("orderbook.1", "publicTrade") for name in self._world.bybit}
        unknown = [topic for topic in topics if topic not in known]
        if not topics or len(topics) > _MAX_ARGS:
            return [self._ack(operation, request_id, success=False, message=f"args size error, max {_MAX_ARGS}")]
        if unknown:
            return [self._ack(operation, request_id, success=False, message=f"Invalid symbol :[{','.join(unknown)}]")]
        if operation == "unsubscribe":
            self._topics.difference_update(topics)
            return [self._ack(operation, request_id, success=True, message=operation)]
        frames = [self._ack(operation, request_id, success=True, message=operation)]
        for topic in topics:
            if topic.startswith("orderbook.") and topic not in self._topics:
                venue = self._world.bybit[topic.rsplit(".", 1)[1].removesuffix("USDT")]
                frames.append(Frame(quote_text(venue.last)))
        self._topics.update(topics)
        return frames

    def on_event(self, event: Event) -> list[Frame]:
        if isinstance(event, BybitQuote) and f"orderbook.1.{event.asset}USDT" in self._topics:
            return [Frame(quote_text(event))]
        if isinstance(event, BybitTrade) and f"publicTrade.{event.asset}USDT" in self._topics:
            return [Frame(trade_text(event))]
        return []

"""Coinbase Exchange feed: ticker (taker side), matches (maker side), level2_batch and heartbeat."""

from __future__ import annotations

from typing import Any

from services.simulator.events import CoinbaseBeat, CoinbaseLevels, CoinbaseMatch, Event
from services.simulator.session import Frame, control, parse_object
from services.simulator.spot_venue import Coinbase
from services.simulator.wire import compact, iso, trim
from services.simulator.world import World

_CHANNELS = ("ticker", "matches", "level2_batch", "heartbeat")


def ticker_text(match: CoinbaseMatch) -> str:
    price = float(match.price)
    return compact(
        {
            "type": "ticker",
            "sequence": match.sequence + 1,
            "product_id": f"{match.asset}-USD",
            "price": trim(match.price),
            "open_24h": trim(f"{price * 1.004:.2f}"),
            "volume_24h": "8008.71048803",
            "low_24h": trim(f"{price * 0.985:.2f}"),
            "high_24h": trim(f"{price * 1.012:.2f}"),
            "volume_30d": "257385.90709735",
            "best_bid": trim(match.best_bid),
            "best_bid_size": match.best_bid_size,
            "best_ask": trim(match.best_ask),
            "best_ask_size": match.best_ask_size,
            "side": match.taker_side,
            "time": iso(match.ts_ms, digits=6),
            "trade_id": match.trade_id,
            "last_size": match.size,
        }
    )


def match_text(match: CoinbaseMatch, *, kind: str = "match") -> str:
    """`kind` is `match`, or `last_match` for the replay at subscription. The side is the maker's."""
    return compact(
        {
            "type": kind,
            "trade_id": match.trade_id,
            "maker_order_id": match.maker_order_id,
            "taker_order_id": match.taker_order_id,
            "side": "sell" if match.taker_side == "buy" else "buy",
            "size": match.size,
            "price": trim(match.price),
            "product_id": f"{match.asset}-USD",
            "sequence": match.sequence,
            "time": iso(match.ts_ms, digits=6),
        }
    )


def levels_text(levels: CoinbaseLevels) -> str:
    return compact(
        {
            "type": "l2update",
            "product_id": f"{levels.asset}-USD",
            "changes": [list(change) for change in levels.changes],
            "time": iso(levels.ts_ms, digits=6),
        }
    )


def beat_text(beat: CoinbaseBeat) -> str:
    return compact(
        {
            "type": "heartbeat",
            "sequence": beat.sequence,
            "last_trade_id": beat.last_trade_id,
            "product_id": f"{beat.asset}-USD",
            "time": iso(beat.ts_ms, digits=6),
        }
    )


def trades_json(venue: Coinbase, *, limit: int) -> list[dict[str, Any]]:
    """`/products/{id}/trades`: the latest trades, newest first, with the maker's side."""
    latest = list(venue.recent)[: -limit - 1 : -1] if limit > 0 else []
    return [
        {
            "trade_id": match.trade_id,
            "side": "sell" if match.taker_side == "buy" else "buy",
            "size": match.size,
            "price": trim(match.price),
            "time": iso(match.ts_ms, digits=6),
        }
        for match in latest
    ]


class CoinbaseSession:
    """One connection."""

    venue = "coinbase"

    def __init__(self, world: World) -> None:
        self._world = world
        self._products: dict[str, dict[str, None]] = {}  # channel -> assets in order

    def on_connect(self) -> list[Frame]:
        return []

    def _failed(self, reason: str) -> list[Frame]:
        return [control(compact({"type": "error", "message": "Failed to subscribe", "reason": reason}))]

    def _requested(self, message: dict[str, Any]) -> list[tuple[str, str]] | str:
        """(channel, product) pairs, or the reason why not. A channel is a name or an object with products."""
        pairs = []
        for entry in message.get("channels", []):
            name = entry.get("name") if isinstance(entry, dict) else entry
            products = (entry.get("product_ids") if isinstance(entry, dict) else None) or message.get("product_ids", [])
            if name not in _CHANNELS:
                return f"{name} is not a valid channel"
            pairs += [(str(name), str(product)) for product in products]
        for _, product in pairs:
            if product.removesuffix("-USD") not in self._world.coinbase:
                return f"{product} is not a valid product"
        return pairs or "No channels or products provided"

    def on_text(self, text: str, now_ms: int, /) -> list[Frame]:
        message = parse_object(text)
        if message is None or message.get("type") not in ("subscribe", "unsubscribe"):
            return self._failed(
                "Malformed JSON" if message is None else "Type has to be either subscribe or unsubscribe"
            )
        requested = self._requested(message)
        if isinstance(requested, str):
            return self._failed(requested)
        frames: list[Frame] = []
        for channel, product in requested:
            asset = product.removesuffix("-USD")
            assets = self._products.setdefault(channel, {})
            if message["type"] == "unsubscribe":
                assets.pop(asset, None)
            elif asset not in assets:
                assets[asset] = None
                frames += self._first(channel, asset, now_ms)
        listed = [
            {"name": channel, "product_ids": [f"{asset}-USD" for asset in assets], "account_ids": None}
            for channel, assets in self._products.items()
            if assets
        ]
        return [control(compact({"type": "subscriptions", "channels": listed})), *frames]

    def _first(self, channel: str, asset: str, now_ms: int) -> list[Frame]:
        venue = self._world.coinbase[asset]
        if channel == "ticker":
            return [Frame(ticker_text(venue.last_match))]
        if channel == "matches":
            return [Frame(match_text(venue.last_match, kind="last_match"))]
        if channel == "level2_batch":
            snapshot = {
                "type": "snapshot",
                "product_id": f"{asset}-USD",
                "asks": [[venue.price_text(ticks), venue.asks[ticks]] for ticks in sorted(venue.asks)],
                "bids": [[venue.price_text(ticks), venue.bids[ticks]] for ticks in sorted(venue.bids, reverse=True)],
                "time": iso(now_ms, digits=6),
            }
            return [Frame(compact(snapshot))]
        return []

    def _has(self, channel: str, asset: str) -> bool:
        return asset in self._products.get(channel, ())

    def on_event(self, event: Event) -> list[Frame]:
        frames = []
        if isinstance(event, CoinbaseMatch):
            if self._has("matches", event.asset):
                frames.append(Frame(match_text(event)))
            if self._has("ticker", event.asset):
                frames.append(Frame(ticker_text(event)))
        elif isinstance(event, CoinbaseLevels) and self._has("level2_batch", event.asset):
            frames.append(Frame(levels_text(event)))
        elif isinstance(event, CoinbaseBeat) and self._has("heartbeat", event.asset):
            frames.append(Frame(beat_text(event)))
        return frames

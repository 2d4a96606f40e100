"""Quotes and trades of the two spot venues, from the latent price at each venue's delay."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from uuid import UUID

import numpy as np

from services.simulator import params
from services.simulator.events import (
    BybitQuote,
    BybitTrade,
    CoinbaseBeat,
    CoinbaseLevels,
    CoinbaseMatch,
    Side,
)
from services.simulator.params import AssetParams

PriceAt = Callable[[int], float]  # Unix ms -> the venue's own mid in its currency


class SpotVenue:
    """A best bid and ask around a mid, one tick apart, and trades at them."""

    def __init__(self, asset: AssetParams, *, mid_at: PriceAt, rng: np.random.Generator, start_ms: int) -> None:
        self.asset = asset
        self.rng = rng
        self._mid_at = mid_at
        self._tick = 10.0**-asset.price_decimals
        self.bid_ticks = 0
        self.ask_ticks = 0
        self.bid_size = ""
        self.ask_size = ""
        self._slow_mid = mid_at(start_ms)
        self.requote(start_ms)

    def price_text(self, ticks: int) -> str:
        return f"{ticks * self._tick:.{self.asset.price_decimals}f}"

    def draw_size(self, scale: float = 1.0) -> str:
        shown = self.asset.median_trade_size * scale * math.exp(params.TRADE_SIZE_SIGMA * self.rng.standard_normal())
        return f"{max(shown, 10.0**-self.asset.size_decimals):.{self.asset.size_decimals}f}"

    def requote(self, ts_ms: int) -> bool:
        """Move the touch to the mid of now; whether a price changed."""
        mid = self._mid_at(ts_ms) * (1.0 + params.VENUE_NOISE * self.rng.standard_normal())
        bid = math.floor(mid / self._tick)
        moved = bid != self.bid_ticks
        self.bid_ticks, self.ask_ticks = bid, bid + 1
        self.bid_size, self.ask_size = self.draw_size(60.0), self.draw_size(60.0)
        return moved

    def taker_side(self, ts_ms: int) -> Side:
        """Takers follow the latest move a little."""
        mid = self._mid_at(ts_ms)
        move = mid - self._slow_mid
        self._slow_mid += 0.2 * move
        lean = 0.5 + 0.5 * params.TRADE_MOMENTUM * math.copysign(1.0, move)
        return "buy" if self.rng.random() < lean else "sell"


class Bybit(SpotVenue):
    """Level 1 with an update number, and trades named by the taker's side."""

    def __init__(self, asset: AssetParams, *, mid_at: PriceAt, rng: np.random.Generator, start_ms: int) -> None:
        super().__init__(asset, mid_at=mid_at, rng=rng, start_ms=start_ms)
        self._update_number = int(rng.integers(10_000_000, 90_000_000))
        self._sequence = int(rng.integers(4 * 10**9, 9 * 10**10))
        self._trade_id = int(rng.integers(2_290_000_000_000_000, 2_290_000_900_000_000)) * 1000
        self.last: BybitQuote = self.quote(start_ms)

    def quote(self, ts_ms: int) -> BybitQuote:
        """A new level-1 state."""
        self.requote(ts_ms)
        self._update_number += 1
        self._sequence += int(self.rng.integers(1, 30))
        self.last = BybitQuote(
            ts_ms,
            self.asset.name,
            self.price_text(self.bid_ticks),
            self.bid_size,
            self.price_text(self.ask_ticks),
            self.ask_size,
            self._update_number,
            self._sequence,
        )
        return self.last

    def trade(self, ts_ms: int) -> BybitTrade:
        side = self.taker_side(ts_ms)
        self._trade_id += 1
        self._sequence += 1
        ticks = self.ask_ticks if side == "buy" else self.bid_ticks
        return BybitTrade(
            ts_ms, self.asset.name, self.price_text(ticks), self.draw_size(), side, str(self._trade_id), self._sequence
        )


class Coinbase(SpotVenue):
    """Matches, a small book, and heartbeats; `sequence` is of the full feed, so it skips."""

    def __init__(self, asset: AssetParams, *, mid_at: PriceAt, rng: np.random.Generator, start_ms: int) -> None:
        super().__init__(asset, mid_at=mid_at, rng=rng, start_ms=start_ms)
        self._sequence = int(rng.integers(10**11, 2 * 10**11))
        self._trade_id = int(rng.integers(9 * 10**8, 11 * 10**8))
        self.bids: dict[int, str] = {}
        self.asks: dict[int, str] = {}
        for step in range(params.COINBASE_LEVELS):
            self.bids[self.bid_ticks - step * step] = self.level_size()
            self.asks[self.ask_ticks + step * step] = self.level_size()
        self.recent: deque[CoinbaseMatch] = deque(maxlen=params.COINBASE_TRADES_KEPT)
        self.last_match: CoinbaseMatch = self.match(start_ms)

    def level_size(self) -> str:
        return f"{float(self.draw_size(60.0)) + 1e-8:.8f}"

    def match(self, ts_ms: int) -> CoinbaseMatch:
        side = self.taker_side(ts_ms)
        self._trade_id += 1
        self._sequence += int(self.rng.integers(2, 60))
        ticks = self.ask_ticks if side == "buy" else self.bid_ticks
        maker, taker = (str(UUID(bytes=self.rng.bytes(16), version=4)) for _ in range(2))
        self.last_match = CoinbaseMatch(
            ts_ms,
            self.asset.name,
            self.price_text(ticks),
            f"{float(self.draw_size()):.8f}",
            side,
            self._trade_id,
            maker,
            taker,
            self._sequence,
            self.price_text(self.bid_ticks),
            self.bids[self.bid_ticks],
            self.price_text(self.ask_ticks),
            self.asks[self.ask_ticks],
        )
        self.recent.append(self.last_match)
        return self.last_match

    def batch(self, ts_ms: int) -> CoinbaseLevels:
        """Move the book to the mid of now; the absolute changes since the last batch."""
        moved = self.requote(ts_ms)
        changes: list[tuple[Side, str, str]] = []
        if moved or self.rng.random() < 0.3:
            for side, levels, best, sign in (
                ("buy", self.bids, self.bid_ticks, 1),
                ("sell", self.asks, self.ask_ticks, -1),
            ):
                kind: Side = "buy" if side == "buy" else "sell"
                gone = [ticks for ticks in levels if (ticks - best) * sign > 0]
                count = max(0, len(levels) - len(gone) - params.COINBASE_LEVELS)
                surplus = sorted(levels, reverse=sign < 0)[:count] if count else []
                for ticks in dict.fromkeys((*gone, *surplus)):
                    if ticks != best:
                        del levels[ticks]
                        changes.append((kind, self.price_text(ticks), "0.00000000"))
                levels[best] = self.level_size()
                changes.append((kind, self.price_text(best), levels[best]))
                if len(levels) < params.COINBASE_LEVELS // 2:
                    behind = min(levels) - 5 if sign > 0 else max(levels) + 5
                    levels[behind] = self.level_size()
                    changes.append((kind, self.price_text(behind), levels[behind]))
            self._sequence += len(changes)
        return CoinbaseLevels(ts_ms, self.asset.name, tuple(changes))

    def beat(self, ts_ms: int) -> CoinbaseBeat:
        self._sequence += 1
        return CoinbaseBeat(ts_ms, self.asset.name, self._sequence, self._trade_id)

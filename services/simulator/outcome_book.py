"""The book of one market: CALL (Up) and PUT (Down) are two views of the same levels, so the mirror is exact.

Prices are integers in mills (1/1000 dollar), sizes integers in micro-shares (1e-6), so nothing is ever rounded.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha1

from services.simulator.wire import trim

MICRO = 1_000_000


def price_text(mills: int) -> str:
    """`470` is `0.47`, `1` is `0.001`, `1000` is `1`."""
    return trim(f"{mills // 1000}.{mills % 1000:03d}")


def size_text(micro_shares: int) -> str:
    """`347_170_000` is `347.17`."""
    return trim(f"{micro_shares // MICRO}.{micro_shares % MICRO:06d}")


class _Side:
    """Levels from worst to best with their wire text in both tokens' books."""

    def __init__(self, *, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.keys: list[int] = []  # ascending, best last: mills for bids, -mills for asks
        self.sizes: list[int] = []
        self.up_texts: list[str] = []
        self.down_texts: list[str] = []

    def put(self, mills: int, micro_shares: int) -> None:
        key = mills if self.is_bid else -mills
        at = bisect_left(self.keys, key)
        found = at < len(self.keys) and self.keys[at] == key
        if micro_shares == 0:
            if found:
                del self.keys[at], self.sizes[at], self.up_texts[at], self.down_texts[at]
            return
        size = size_text(micro_shares)
        up = f'{{"price":"{price_text(mills)}","size":"{size}"}}'
        down = f'{{"price":"{price_text(1000 - mills)}","size":"{size}"}}'
        if found:
            self.sizes[at], self.up_texts[at], self.down_texts[at] = micro_shares, up, down
        else:
            self.keys.insert(at, key)
            self.sizes.insert(at, micro_shares)
            self.up_texts.insert(at, up)
            self.down_texts.insert(at, down)

    def size(self, mills: int) -> int:
        key = mills if self.is_bid else -mills
        at = bisect_left(self.keys, key)
        return self.sizes[at] if at < len(self.keys) and self.keys[at] == key else 0

    def best(self) -> int | None:
        return abs(self.keys[-1]) if self.keys else None


class OutcomeBook:
    """One logical book; levels are addressed by the Up token's price and side."""

    def __init__(self, *, tick_mills: int = 10) -> None:
        self.tick_mills = tick_mills
        self.last_trade_texts = ("", "")  # of Up and Down
        self.last_change_ms = 0
        self._bids = _Side(is_bid=True)
        self._asks = _Side(is_bid=False)

    def put(self, mills: int, *, is_bid: bool, micro_shares: int, ts_ms: int) -> None:
        """Set the whole size at a level; 0 removes it. Raises ValueError for a price outside (0, 1000) or a cross."""
        if not 0 < mills < 1000 or micro_shares < 0:
            raise ValueError(f"no level at {mills} mills with {micro_shares} micro-shares")
        if micro_shares:
            against = self._asks.best() if is_bid else self._bids.best()
            if against is not None and (mills >= against if is_bid else mills <= against):
                raise ValueError(f"a {'bid' if is_bid else 'ask'} at {mills} mills would cross {against}")
        (self._bids if is_bid else self._asks).put(mills, micro_shares)
        self.last_change_ms = ts_ms

    def best_bid(self) -> int | None:
        """Best Up bid in mills, None on an empty side."""
        return self._bids.best()

    def best_ask(self) -> int | None:
        """Best Up ask in mills, None on an empty side."""
        return self._asks.best()

    def size(self, mills: int, *, is_bid: bool) -> int:
        """Micro-shares at a level, 0 if there is none."""
        return (self._bids if is_bid else self._asks).size(mills)

    def levels(self, *, is_bid: bool) -> list[tuple[int, int]]:
        """(Up mills, micro-shares) from worst to best."""
        side = self._bids if is_bid else self._asks
        return [(abs(key), size) for key, size in zip(side.keys, side.sizes, strict=True)]

    def best_first(self, depth: int | None = None, *, is_bid: bool) -> tuple[list[int], list[int]]:
        """Up mills and micro-shares of the best levels of a side (None: of all), best first."""
        side = self._bids if is_bid else self._asks
        end = None if depth is None else -depth - 1
        keys, sizes = side.keys[:end:-1], side.sizes[:end:-1]
        return (keys if is_bid else [-key for key in keys]), sizes

    def level_count(self, *, is_bid: bool) -> int:
        return len((self._bids if is_bid else self._asks).keys)

    def level_from_best(self, steps: int, *, is_bid: bool) -> int | None:
        """Up mills of the level that many levels behind the best, None if there are fewer."""
        keys = (self._bids if is_bid else self._asks).keys
        return abs(keys[-1 - steps]) if steps < len(keys) else None

    def mid(self) -> float | None:
        """Up mid in dollars, None when a side is empty."""
        bid, ask = self.best_bid(), self.best_ask()
        return None if bid is None or ask is None else (bid + ask) / 2000.0

    def best_texts(self, outcome_index: int) -> tuple[str, str]:
        """Best bid and ask of one token as the price_change legs say them: `0` and `1` for an empty side."""
        bid, ask = self.best_bid() or 0, self.best_ask() or 1000
        return (
            (price_text(bid), price_text(ask))
            if outcome_index == 0
            else (price_text(1000 - ask), price_text(1000 - bid))
        )

    def side_texts(self, outcome_index: int) -> tuple[str, str]:
        """Bids and asks of one token as JSON arrays, worst to best."""
        if outcome_index == 0:
            bids, asks = self._bids.up_texts, self._asks.up_texts
        else:
            bids, asks = self._asks.down_texts, self._bids.down_texts
        return f"[{','.join(bids)}]", f"[{','.join(asks)}]"

    def hash(self, *, market: str, asset_id: str, ts_ms: int, outcome_index: int, version: str = "v1") -> str:
        """SHA-1 of the REST book in compact JSON with an empty hash; a v2 book ends with its version."""
        bids, asks = self.side_texts(outcome_index)
        tail = ',"version":"v2"' if version == "v2" else ""
        text = (
            f'{{"market":"{market}","asset_id":"{asset_id}","timestamp":"{ts_ms}","hash":"","bids":{bids},'
            f'"asks":{asks},"min_order_size":"5","tick_size":"{price_text(self.tick_mills)}","neg_risk":false,'
            f'"last_trade_price":"{self.last_trade_texts[outcome_index]}"{tail}}}'
        )
        return sha1(text.encode()).hexdigest()

"""What we hold, per period, and the answers to questions about it.

Nothing fills yet, so every position is flat; the ledger comes with paper execution. The contract stands: `Position` is
published each second and whenever a period begins, and a query is always answered with a version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from shared.core import Delivery, Event, time_of
from shared.market import NS_PER_S
from shared.messages import AnyMessage, Period, Position

ANSWER_VERSION = 1
REPEAT_NS = NS_PER_S


class PositionsQuery(msgspec.Struct, frozen=True, tag="positions", tag_field="query"):
    """All positions that are open now."""


class PositionQuery(msgspec.Struct, frozen=True, tag="position", tag_field="query"):
    """The position in the current period of one market."""

    market: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to any query. `status` `unknown_market` and `malformed` carry their reason in `detail`."""

    version: int = ANSWER_VERSION
    status: Literal["ok", "unknown_market", "malformed"] = "ok"
    detail: str = ""
    positions: tuple[Position, ...] = ()


_query_decoder = msgspec.msgpack.Decoder(PositionsQuery | PositionQuery)
_encoder = msgspec.msgpack.Encoder()


class HedgerCore:
    """Positions by market. One position a market: the current period's."""

    def __init__(self, markets: Sequence[str]) -> None:
        self._positions: dict[str, Position | None] = dict.fromkeys(markets)
        self._next_repeat_ns = 0

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Follow the periods; repeat the positions each second."""
        now_ns = time_of(event)
        changed: list[AnyMessage] = []
        if isinstance(event, Delivery) and isinstance(event.message, Period) and event.message.role == "current":
            period = event.message
            held = self._positions.get(period.market)
            if period.market in self._positions and (held is None or held.slug != period.slug):
                opened = _flat(period.market, period.slug, now_ns)
                self._positions[period.market] = opened
                changed.append(opened)
        if now_ns < self._next_repeat_ns:
            return changed
        self._next_repeat_ns = now_ns + REPEAT_NS
        for market, position in self._positions.items():
            if position is not None:
                self._positions[market] = msgspec.structs.replace(position, ts_event_ns=now_ns, ts_recv_ns=now_ns)
        return self.positions()

    def positions(self) -> tuple[Position, ...]:
        """The open positions."""
        return tuple(each for each in self._positions.values() if each is not None)

    def answer(self, question: bytes) -> bytes:
        """The MessagePack answer to a MessagePack query. Never raises on what was asked."""
        try:
            query = _query_decoder.decode(question)
        except (ValueError, RecursionError) as error:  # msgspec's own errors, invalid UTF-8, absurd nesting
            return _encoder.encode(Answer(status="malformed", detail=str(error)))
        if isinstance(query, PositionsQuery):
            return _encoder.encode(Answer(positions=self.positions()))
        if query.market not in self._positions:
            known = ", ".join(self._positions)
            return _encoder.encode(Answer(status="unknown_market", detail=f"{query.market!r}; served here: {known}"))
        position = self._positions[query.market]
        return _encoder.encode(Answer(positions=() if position is None else (position,)))


def _flat(market: str, slug: str, now_ns: int) -> Position:
    return Position(
        ts_event_ns=now_ns,
        ts_recv_ns=now_ns,
        market=market,
        slug=slug,
        call_shares=0.0,
        put_shares=0.0,
        call_average_price=None,
        put_average_price=None,
        mergeable_pairs=0.0,
        realized_pnl_usd=0.0,
        unrealized_pnl_usd=0.0,
        liquidation_pnl_usd=0.0,
        fees_usd=0.0,
        rebates_usd=0.0,
        worst_case_usd=0.0,
        fills=0,
    )

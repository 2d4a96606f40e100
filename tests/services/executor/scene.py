"""A market in good order, as the executor sees it, in which a test changes only what it is about."""

from __future__ import annotations

import itertools
from typing import Any

from services.executor.core import ExecutorCore
from services.executor.market_executor import MarketExecutor
from services.executor.settings import ExecutorSettings
from shared.config import MMConfig
from shared.core import Delivery, Timer
from shared.messages import (
    AnyMessage,
    FeedStatus,
    Layer,
    OpenOrder,
    OpenOrders,
    OutcomeBook,
    OutcomeTrade,
    Period,
    Position,
    QuoteSet,
    topic_of,
)
from shared.requests import BookFill
from tests.builders import NS, SLUG, START_S, build

MARKET = "btc-15m"
BOOK_STREAMS = ("btc-15m.CALL", "btc-15m.PUT")


def bid(cents: int, size: float = 50.0) -> Layer:
    price = cents / 100
    return Layer(side="bid", ticks=cents, price=price, size=size, layer=0, execution="buy", execution_price=price)


def ask(cents: int, size: float = 50.0, *, held: bool = False) -> Layer:
    price = cents / 100
    return Layer(
        side="ask",
        ticks=cents,
        price=price,
        size=size,
        layer=0,
        execution="sell" if held else "buy_opposite",
        execution_price=price if held else (100 - cents) / 100,
    )


class Scene:
    """The executor 300 s into a period, with a book of 49 : 51, a flat position, and no quotes yet.

    Time passes with `wait`, which renews what must stay fresh; `silent` names message classes that are not renewed.
    """

    def __init__(self, *, config: MMConfig | None = None, queue: str = "optimistic", **arguments: Any) -> None:
        settings = ExecutorSettings(queue=queue)  # type: ignore[arg-type]
        self.core = ExecutorCore(config or MMConfig(), settings, [MARKET], **({"session": "s1"} | arguments))
        self.now_ns = (START_S + 300) * NS
        self.silent: set[type] = set()
        self.position: dict[str, Any] = {}
        self.book: dict[str, Any] = {}
        self.heard: list[OpenOrders] = []
        self.fills: list[BookFill] = []
        self.confirms = True  # at once, and the ledger's only entries are our fills
        self._layers: tuple[Layer, ...] | None = None
        self._numbers = itertools.count(1)
        self.core.update(Timer(self.now_ns))
        self.say(Period)
        self.refresh()

    # -- driving -----------------------------------------------------------------------------------------------------

    @property
    def market(self) -> MarketExecutor:
        return self.core.markets[MARKET]

    def say(self, kind: Any, **fields: Any) -> None:
        self.deliver(build(kind, **({"ts_event_ns": self.now_ns, "ts_recv_ns": self.now_ns} | fields)))

    def deliver(self, message: AnyMessage) -> None:
        self._take(self.core.update(Delivery(topic_of(message), 1, next(self._numbers), message)))

    def timer(self) -> None:
        self._take(self.core.update(Timer(self.now_ns)))

    def _take(self, messages: Any) -> None:
        self.heard.extend(messages)
        for fill in self.core.take_fills():
            self.fills.append(fill)
            if self.confirms:
                self.core.confirm(fill.fill_id, entry=len(self.fills))

    def refresh(self) -> None:
        """Everything that must be fresh, said again."""
        for subject in BOOK_STREAMS:
            if FeedStatus not in self.silent:
                self.say(FeedStatus, venue="polymarket", channel="OutcomeBook", subject=subject)
        if OutcomeBook not in self.silent:
            self.say(OutcomeBook, **self.book)
        if Position not in self.silent:
            self.say(Position, **self.position)
        if self._layers is not None and QuoteSet not in self.silent:
            self.quote(*self._layers)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.now_ns += NS // 20
            self.refresh()
            self.timer()

    def quote(self, *layers: Layer, **fields: Any) -> None:
        """A quote set with these CALL layers, which is repeated while time passes."""
        self._layers = layers
        self.say(QuoteSet, **({"call": layers, "put": (), "valid_until_ns": self.now_ns + NS} | fields))

    def trade(self, price: float, size: float, **fields: Any) -> None:
        self.say(OutcomeTrade, **({"price": price, "size": size, "aggressor": "sell"} | fields))

    # -- asking ------------------------------------------------------------------------------------------------------

    def orders(self, slug: str = SLUG) -> list[OpenOrder]:
        """What was last said of the open orders of a period."""
        return list(next(each for each in reversed(self.heard) if each.slug == slug).orders)

    def standing(self) -> list[tuple[str, str, float, float]]:
        """Open orders that are not being canceled: outcome, side, price, what is left."""
        return [(each.outcome, each.side, each.price, each.left) for each in self.orders() if each.state != "canceling"]

    def count(self, what: str, reason: str = "") -> int:
        return self.market.counts[what, reason]

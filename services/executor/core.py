"""Paper execution as a pure core: quotes, books and trades in; open orders and fills out. Says only what concerns whom.

Beside the messages of `update` there are `take_fills`, the bookings to hand to the ledger, and `confirm`, the ledger's
answer to one of them. Nothing here is durable: whoever drives the core writes the bookings down first.

Time is the latest Timer, or a `ts_recv_ns` at most `CLOCK_SLACK_NS` ahead of it. A Timer further back than that says
that the clock was set back: all orders are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

from services.executor.market_executor import MarketExecutor
from services.executor.settings import ExecutorSettings
from shared.config import MMConfig
from shared.core import Event, EventClock, Gap, Timer
from shared.market import NS_PER_S
from shared.messages import (
    AnyMessage,
    FeedStatus,
    OutcomeBook,
    OutcomeTrade,
    Period,
    Position,
    QuoteSet,
)
from shared.requests import BookFill

REPEAT_NS = NS_PER_S


class ExecutorCore:
    """Implements `shared.core.Core` for paper execution of any number of markets.

    `session` must differ from that of every earlier run: the order and fill ids are made of it.
    """

    def __init__(
        self,
        config: MMConfig,
        settings: ExecutorSettings,
        markets: Sequence[str],
        *,
        session: str,
    ) -> None:
        self._clock = EventClock()
        self._next_repeat_ns = 0
        self._market_of: dict[str, str] = {}  # fill id -> market
        self._fills: list[BookFill] = []
        numbers = count(1)
        self.markets = {
            name: MarketExecutor(name, config, settings, session=session, numbers=numbers) for name in markets
        }

    @property
    def now_ns(self) -> int:
        """Our clock, as far as events told it."""
        return self._clock.now_ns

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; the open orders to publish because of it."""
        if self._clock.take(event):
            self._next_repeat_ns = 0
            for market in self.markets.values():
                market.forget()
        if isinstance(event, Gap):
            return self._take_gap(event)
        touched: Sequence[MarketExecutor]
        if isinstance(event, Timer):
            touched = tuple(self.markets.values())
            for market in touched:
                market.advance(self.now_ns)
        else:
            touched = self._take(event.message)
        for market in touched:
            market.follow(self.now_ns)
            self._collect(market)
        return self._open_orders(touched, is_timer=isinstance(event, Timer))

    def take_fills(self) -> list[BookFill]:
        """The bookings since the last call, in order."""
        fills, self._fills = self._fills, []
        return fills

    def confirm(self, fill_id: str, *, entry: int | None) -> None:
        """The ledger has answered: which of its entries the fill is; None when it refuses the fill for good."""
        market = self.markets.get(self._market_of.pop(fill_id, ""))
        if market is not None:
            market.confirm(fill_id, entry=entry)

    def await_confirmation(self, fills: Iterable[BookFill]) -> None:
        """Fills of earlier runs that are asked for again: until the ledger answers, nothing is placed in their market.

        Give those that it has not answered yet, and those of periods that still run: only its answer says which entry
        a fill is, and so whether a Position contains it.
        """
        for fill in fills:
            market = self.markets.get(fill.market)
            if market is not None:
                market.own_fills.add_earlier(fill)
                self._remember(fill)

    # -- inputs ------------------------------------------------------------------------------------------------------

    def _take(self, message: AnyMessage) -> Sequence[MarketExecutor]:
        if isinstance(message, FeedStatus):
            market = self.markets.get(message.subject.partition(".")[0])
            if market is not None:
                market.take_status(message, self.now_ns)
        elif isinstance(message, QuoteSet | OutcomeBook | OutcomeTrade | Period | Position):
            market = self.markets.get(message.market)
            if market is not None:
                match message:
                    case QuoteSet():
                        market.take_quotes(message, self.now_ns)
                    case OutcomeBook():
                        market.take_book(message, self.now_ns)
                    case OutcomeTrade():
                        market.take_trade(message, self.now_ns)
                    case Period():
                        market.take_period(message, self.now_ns)
                    case Position():
                        market.take_position(message, self.now_ns)
        else:
            market = None
        return () if market is None else (market,)

    def _take_gap(self, gap: Gap) -> Sequence[AnyMessage]:
        """Lost trades fill nothing, so they are counted; everything else heals with the next message."""
        name, _, rest = gap.topic.partition(".")
        market = self.markets.get(rest.partition(".")[0])
        if name == "OutcomeTrade" and market is not None:
            market.counts["trades_lost", ""] += gap.lost
        return ()

    # -- answers -----------------------------------------------------------------------------------------------------

    def _collect(self, market: MarketExecutor) -> None:
        for orders in market.periods.values():
            for fill in orders.fills:
                self._fills.append(fill)
                self._remember(fill)
            orders.fills.clear()

    def _remember(self, fill: BookFill) -> None:
        market = self.markets.get(fill.market)
        if market is not None:
            self._market_of[fill.fill_id] = fill.market
            market.unconfirmed[fill.fill_id] = self.now_ns

    def _open_orders(self, touched: Sequence[MarketExecutor], *, is_timer: bool) -> Sequence[AnyMessage]:
        is_repeated = is_timer and self.now_ns >= self._next_repeat_ns
        if is_repeated:
            self._next_repeat_ns = self.now_ns + REPEAT_NS
        return [
            orders.open_orders(self.now_ns)
            for market in touched
            for orders in sorted(market.periods.values(), key=lambda each: each.period.start_ns)
            if orders.is_changed or (is_repeated and orders.period.start_ns <= self.now_ns < orders.period.end_ns)
        ]

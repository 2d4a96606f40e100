"""Our orders in one period: what was sent, what stands, what filled. Made when the period is announced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from services.executor.own_fills import Holding, OwnFills
from services.executor.settings import ExecutorSettings
from services.executor.wanted import OrderKey
from shared.exchange import LEVELS, Exchange, Report
from shared.fees import rebate_micro, taker_fee_micro
from shared.kernel import State
from shared.market import NS_PER_S
from shared.messages import OpenOrder, OpenOrders, OrderState, OutcomeBook, OutcomeTrade, Period, Position
from shared.money import MICRO, from_micro, to_micro
from shared.requests import BookFill


@dataclass(slots=True)
class OwnOrder:
    """One order that can still fill."""

    number: int
    order_id: str
    key: OrderKey
    units: int
    left_units: int
    state: OrderState = "pending"
    fills: int = 0


class PeriodOrders:
    """The orders of one period on the model of the exchange.

    `fills` are the bookings since they were last taken; `rejected` the keys that the venue refused since then. `counts`
    is the executor's, by (what, reason). `own_fills` are the market's: they outlive a period that begins anew because
    the clock was set back. `numbers` are the session's order numbers: none comes twice, also not then.
    """

    def __init__(
        self,
        period: Period,
        settings: ExecutorSettings,
        *,
        session: str,
        numbers: Iterator[int],
        own_fills: OwnFills,
        counts: Counter[tuple[str, str]],
    ) -> None:
        self.period = period
        self.slug = period.slug
        self.live: dict[int, OwnOrder] = {}
        self.fills: list[BookFill] = []
        self.rejected: list[OrderKey] = []
        self.is_changed = True
        self.book_recv_ns: int | None = None
        self.tick_micro = to_micro(period.tick_size)
        self._own_fills = own_fills
        self._counts = counts
        self._session = session
        self._numbers = numbers
        self._order_ns = round(settings.order_latency_s * NS_PER_S)
        self._cancel_ns = round(settings.cancel_latency_s * NS_PER_S)
        self._queue = settings.queue
        self._exchange = Exchange(self._queue)

    @property
    def record(self) -> State:
        """The exchange's record of our orders."""
        return self._exchange.record

    # -- orders ------------------------------------------------------------------------------------------------------

    def place(self, key: OrderKey, units: int, now_ns: int) -> str | None:
        """Send a post-only order; None, or the name of why it was not sent."""
        number = next(self._numbers)
        refusal = self._exchange.place(
            number,
            outcome=key.outcome,
            side=key.side,
            price_micro=key.price_micro,
            units=units,
            arrives_ns=now_ns + self._order_ns,
        )
        if refusal is None:
            self.live[number] = OwnOrder(number, f"{self.slug}:{self._session}:{number}", key, units, units)
            self.is_changed = True
            self._counts["placed", ""] += 1
        return refusal

    def cancel(self, order: OwnOrder, reason: str, now_ns: int) -> None:
        """Send the cancel of an order, once."""
        if order.state != "canceling":
            self._exchange.cancel(order.number, now_ns + self._cancel_ns)
            order.state = "canceling"
            self.is_changed = True
            self._counts["cancel_sent", reason] += 1

    def holding(self, position: Position) -> Holding:
        """What the ledger says, and those of our fills that it does not contain yet."""
        return self._own_fills.holding(position)

    # -- the market --------------------------------------------------------------------------------------------------

    def advance(self, to_ns: int) -> None:
        """Let the venue's time pass."""
        self._take(self._exchange.advance(to_ns))

    def take_book(self, book: OutcomeBook, now_ns: int) -> None:
        """Take the book of CALL."""
        tick_micro = to_micro(book.tick_size)
        if tick_micro <= 0 or MICRO % tick_micro or max(len(book.bid_ticks), len(book.ask_ticks)) > LEVELS:
            self._counts["book_refused", "unusable"] += 1
            return
        self.tick_micro = tick_micro
        self.book_recv_ns = min(book.ts_recv_ns, now_ns)
        self._take(
            self._exchange.take_book(
                min(book.ts_event_ns, now_ns),
                bid_micro=np.array(book.bid_ticks, np.int64) * tick_micro,
                bid_units=np.rint(np.array(book.bid_sizes, np.float64) * MICRO),
                ask_micro=np.array(book.ask_ticks, np.int64) * tick_micro,
                ask_units=np.rint(np.array(book.ask_sizes, np.float64) * MICRO),
            )
        )

    def take_trade(self, trade: OutcomeTrade, now_ns: int) -> None:
        """Take a public trade of either token; after the end there are none."""
        ts_ns = min(trade.ts_event_ns, now_ns)
        price_micro, units = to_micro(trade.price), to_micro(trade.size)
        if ts_ns >= self.period.end_ns or not 0 < price_micro < MICRO or units <= 0:
            self._counts["trade_ignored", "after_end" if ts_ns >= self.period.end_ns else "malformed"] += 1
            return
        self._take(
            self._exchange.take_trade(
                ts_ns, outcome=trade.outcome, aggressor=trade.aggressor, price_micro=price_micro, units=units
            )
        )

    def drop(self, reason: str) -> None:
        """Forget all orders at once, as the venue does at the end and as a restart does."""
        if self.live:
            self._counts["canceled", reason] += len(self.live)
            self.is_changed = True
            self.live.clear()
        self._exchange = Exchange(self._queue)

    def _take(self, reports: list[Report]) -> None:
        for report in reports:
            order = self.live[report.order_id]
            order.left_units = report.left_units
            self.is_changed = True
            match report.kind:
                case "rests":
                    if order.state == "pending":
                        order.state = "resting"
                case "fill":
                    order.fills += 1
                    self._book(order, report)
                    if report.left_units == 0:
                        del self.live[order.number]
                case "canceled":
                    del self.live[order.number]
                    self._counts["canceled", ""] += 1
                case _:
                    del self.live[order.number]
                    self.rejected.append(order.key)
                    self._counts["rejected", report.kind] += 1

    def _book(self, order: OwnOrder, report: Report) -> None:
        period, price_micro, units = self.period, report.price_micro, report.units
        rate, exponent = period.fee_rate, period.fee_exponent
        fee = rebate = 0
        if report.is_maker:
            rebate = rebate_micro(
                price_micro, units, fee_rate=rate, fee_exponent=exponent, rebate_rate=period.rebate_rate
            )
        else:
            fee = taker_fee_micro(price_micro, units, fee_rate=rate, fee_exponent=exponent)
        fill = BookFill(
            fill_id=f"{order.order_id}:{order.fills}",
            order_id=order.order_id,
            order_units=order.units,
            market=period.market,
            slug=period.slug,
            outcome=report.outcome,
            side=report.side,
            price_micro=price_micro,
            units=units,
            fee_micro=fee,
            rebate_micro=rebate,
            is_maker=report.is_maker,
            ts_ns=report.ts_ns,
        )
        self.fills.append(fill)
        self._own_fills.add(fill)
        self._counts["filled", report.outcome] += 1
        self._counts["filled_units", report.outcome] += units

    # -- what is said ------------------------------------------------------------------------------------------------

    def open_orders(self, now_ns: int) -> OpenOrders:
        """All orders that can still fill."""
        self.is_changed = False
        return OpenOrders(
            ts_event_ns=now_ns,
            ts_recv_ns=now_ns,
            market=self.period.market,
            slug=self.slug,
            orders=tuple(self._open_order(order) for order in self.live.values()),
        )

    def _open_order(self, order: OwnOrder) -> OpenOrder:
        ahead = self._exchange.ahead_units(order.number)
        return OpenOrder(
            order_id=order.order_id,
            outcome=order.key.outcome,
            side=order.key.side,
            price=from_micro(order.key.price_micro),
            left=from_micro(order.left_units),
            ahead=None if ahead is None else ahead / MICRO,
            state=order.state,
        )

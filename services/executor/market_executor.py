"""One market: which quotes may be followed, and what must be sent so that our orders are what they ask for.

    may we quote? (lease, book, ledger)  ->  wanted orders  ->  cancel what is not wanted, keep, place what is missing

An order that is wanted at its price stays, whatever else changes: its place in the queue is worth more than its size.
What is more than wanted, or less than the venue's minimum size, is replaced. What cannot be placed is skipped, and
counted once for each new ladder.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from services.executor.period_orders import Holding, OwnOrder, PeriodOrders
from services.executor.settings import ExecutorSettings
from services.executor.wanted import OrderKey, wanted_of
from shared.config import MMConfig
from shared.market import NS_PER_S
from shared.messages import FeedStatus, OutcomeBook, OutcomeTrade, Period, Position, QuoteSet
from shared.money import MICRO, to_micro
from shared.requests import BookFill

BOOKING_LIMIT_NS = 2 * NS_PER_S  # a fill that the ledger has not confirmed for so long: we do not know where we stand
REPORT_LAG_NS = (
    NS_PER_S // 10
)  # silence is believed this late: what happened at the venue may still be on its way to us


class MarketExecutor:
    """Made at the start, one a market. `numbers` are the session's order numbers; `counts` is by (what, reason)."""

    def __init__(
        self,
        name: str,
        config: MMConfig,
        settings: ExecutorSettings,
        *,
        session: str,
        numbers: Iterator[int],
        earlier: Mapping[str, Sequence[BookFill]],
    ) -> None:
        self.name = name
        self.periods: dict[str, PeriodOrders] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.unconfirmed: OrderedDict[str, int] = OrderedDict()  # fill id -> when it happened, on our clock
        self.obstacle: str | None = "starting"
        self._settings = settings
        self._session = session
        self._numbers = numbers
        self._earlier = earlier
        self._quotes: QuoteSet | None = None
        self._wanted: dict[OrderKey, int] = {}
        self._lease_ends_ns = 0
        self._position: Position | None = None
        self._position_recv_ns = 0
        self._statuses: dict[tuple[str, str], FeedStatus] = {}
        self._pending_book: OutcomeBook | None = None
        self._skipped: set[tuple[OrderKey, str]] = set()
        self._rejected: set[OrderKey] = set()
        self._is_refused = False
        self._lease_ns = round(config.lease_s * NS_PER_S)
        self._book_ns = round(config.limits.book_s * NS_PER_S)
        self._status_ns = round(config.limits.feed_status_s * NS_PER_S)
        self._position_ns = round(config.limits.position_s * NS_PER_S)
        self._max_imbalance = to_micro(config.max_inventory_imbalance)
        self._max_position = to_micro(config.max_position_size)

    # -- inputs ------------------------------------------------------------------------------------------------------

    def take_period(self, period: Period, now_ns: int) -> None:
        """Take the description of a period; its orders begin with it."""
        known = self.periods.get(period.slug)
        if known is not None:
            known.period = period
        elif now_ns < period.end_ns:
            orders = self.periods[period.slug] = PeriodOrders(
                period,
                self._settings,
                session=self._session,
                numbers=self._numbers,
                earlier=self._earlier.get(period.slug, ()),
                counts=self.counts,
            )
            book = self._pending_book
            if book is not None and book.slug == period.slug:
                orders.take_book(book, now_ns)

    def take_book(self, book: OutcomeBook, now_ns: int) -> None:
        """Take a book. PUT's is the mirror of CALL's: it says nothing more."""
        if book.outcome != "CALL":
            return
        orders = self.periods.get(book.slug)
        if orders is None:
            self._pending_book = book
        else:
            orders.take_book(book, now_ns)

    def take_trade(self, trade: OutcomeTrade, now_ns: int) -> None:
        """Take a public trade."""
        orders = self.periods.get(trade.slug)
        if orders is not None:
            orders.take_trade(trade, now_ns)

    def take_quotes(self, quotes: QuoteSet, now_ns: int) -> None:
        """Take a quote set. Its lease is never longer than ours may be, whatever it claims."""
        wanted = wanted_of(quotes)
        if wanted != self._wanted:
            self._skipped.clear()
        self._quotes, self._wanted = quotes, wanted
        self._rejected.clear()
        self._lease_ends_ns = min(quotes.valid_until_ns, now_ns + self._lease_ns)

    def take_position(self, position: Position, now_ns: int) -> None:
        """Take what the ledger says. It is never younger than its arrival, whatever it claims."""
        self._position, self._position_recv_ns = position, min(position.ts_recv_ns, now_ns)

    def take_status(self, status: FeedStatus) -> None:
        """Take the health of one of this market's book streams."""
        if status.channel == "OutcomeBook":
            self._statuses[status.venue, status.subject] = status

    def confirm(self, fill_id: str, *, is_booked: bool) -> None:
        """The ledger answered. What it refuses it does not know of: nothing more is placed until a restart."""
        self.unconfirmed.pop(fill_id, None)
        if not is_booked:
            self._is_refused = True
            self.counts["booking", "refused"] += 1

    def forget(self) -> None:
        """The clock was set back: nothing has a known age, and the orders belong to another time."""
        self._quotes, self._wanted, self._position, self._pending_book = None, {}, None, None
        self._statuses.clear()
        for fill_id in self.unconfirmed:
            self.unconfirmed[fill_id] = 0
        for orders in self.periods.values():
            orders.drop("clock_set_back")
            orders.book_recv_ns = None

    # -- the answer --------------------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> None:
        """Let time pass at the venue; periods that are over lose their orders."""
        for slug, orders in tuple(self.periods.items()):
            orders.advance(now_ns - REPORT_LAG_NS)
            if now_ns - REPORT_LAG_NS >= orders.period.end_ns:
                orders.drop("period_ended")
                if not orders.is_changed and not orders.fills:
                    del self.periods[slug]

    def follow(self, now_ns: int) -> None:
        """Send what makes our orders the wanted ones."""
        for orders in self.periods.values():
            self._rejected.update(orders.rejected)
            orders.rejected.clear()
        obstacle = self._obstacle(now_ns)
        if obstacle != self.obstacle and obstacle is not None:
            self.counts["halted", obstacle] += 1
        self.obstacle = obstacle
        for slug, orders in self.periods.items():
            is_followed = obstacle is None and self._quotes is not None and slug == self._quotes.slug
            served = self._clear(orders, self._wanted if is_followed else {}, obstacle or "not_wanted", now_ns)
            if is_followed and self._position is not None:
                self._place(orders, served, orders.holding(self._position), now_ns)

    def _obstacle(self, now_ns: int) -> str | None:
        """Why no order of ours may stand now; None when they may."""
        quotes, position = self._quotes, self._position
        if self._is_refused:
            return "ledger_refused"
        if self.unconfirmed and now_ns - next(iter(self.unconfirmed.values())) > BOOKING_LIMIT_NS:
            return "hedger_unreachable"
        if quotes is None:
            return "no_quotes"
        if now_ns >= self._lease_ends_ns:
            return "lease_expired"
        if quotes.action == "PULL_QUOTES":
            return "pulled"
        orders = self.periods.get(quotes.slug)
        if orders is None or now_ns >= orders.period.end_ns:
            return "no_period"
        if orders.period.refusal is not None:
            return "period_refused"
        if orders.book_recv_ns is None or now_ns - orders.book_recv_ns > self._book_ns:
            return "book_missing"
        if not self._statuses or not all(self._is_live(each, now_ns) for each in self._statuses.values()):
            return "book_not_live"
        if position is None or position.slug != quotes.slug or now_ns - self._position_recv_ns > self._position_ns:
            return "position_missing"
        return None

    def _is_live(self, status: FeedStatus, now_ns: int) -> bool:
        return status.state == "LIVE" and now_ns - status.ts_recv_ns <= self._status_ns

    def _clear(
        self, orders: PeriodOrders, wanted: Mapping[OrderKey, int], reason: str, now_ns: int
    ) -> frozenset[OrderKey]:
        """Cancel what is not wanted, or is more than wanted; returns the wanted keys that an order serves.

        Orders at the wanted price serve it, oldest first, as long as all of them together are not more than wanted;
        else the nearest one a little further from the market: see `patience_ticks`. What is left of an order below the
        venue's minimum size serves nothing: it would keep a whole order from being placed.
        """
        served: set[OrderKey] = set()
        budget_units = dict(wanted)
        least_units = to_micro(orders.period.min_size_shares)
        spare: list[OwnOrder] = []
        for order in orders.live.values():
            if order.state == "canceling":
                continue
            if least_units <= order.left_units <= budget_units.get(order.key, 0):
                served.add(order.key)
                budget_units[order.key] -= order.left_units
            else:
                spare.append(order)
        most_micro = self._settings.patience_ticks * orders.tick_micro
        for key, units in budget_units.items():
            if key in served:
                continue
            near = [
                each
                for each in spare
                if 0 < _behind_micro(each.key, key) <= most_micro and least_units <= each.left_units <= units
            ]
            if near:
                spare.remove(min(near, key=lambda each: _behind_micro(each.key, key)))
                served.add(key)
        for order in spare:
            orders.cancel(order, reason, now_ns)
        return frozenset(served)

    def _place(self, orders: PeriodOrders, served: frozenset[OrderKey], holding: Holding, now_ns: int) -> None:
        for key, units in self._wanted.items():
            if key in served or key in self._rejected:
                continue
            fault = self._fault(orders, key, units, holding) or orders.place(key, units, now_ns)
            if fault is not None and (key, fault) not in self._skipped:
                self._skipped.add((key, fault))
                self.counts["skipped", fault] += 1

    def _fault(self, orders: PeriodOrders, key: OrderKey, units: int, holding: Holding) -> str | None:
        """Why an order must not be sent: the venue's rules, the balance, or a limit with everything open filled."""
        tick_micro = orders.tick_micro
        if key.price_micro % tick_micro or not tick_micro <= key.price_micro <= MICRO - tick_micro:
            return "off_grid"
        if units < to_micro(orders.period.min_size_shares):
            return "below_minimum_size"
        exposure = orders.exposure()
        inventory = holding.inventory_units
        if key.outcome == "CALL" and key.side == "buy":
            if holding.call_units + exposure.call_buys + units > self._max_position:
                return "max_position_size"
            return "max_inventory_imbalance" if inventory + exposure.call_buys + units > self._max_imbalance else None
        if key.side == "sell" and exposure.call_sells + units > holding.call_units:
            return "not_held"
        if key.side == "buy" and holding.put_units + exposure.put_buys + units > self._max_position:
            return "max_position_size"
        short = exposure.put_buys + exposure.call_sells + units - inventory
        return "max_inventory_imbalance" if short > self._max_imbalance else None


def _behind_micro(order: OrderKey, wanted: OrderKey) -> int:
    """How much further from the market an order rests than is wanted; below 0 for another token or side too."""
    if (order.outcome, order.side) != (wanted.outcome, wanted.side):
        return -1
    apart = wanted.price_micro - order.price_micro
    return apart if order.side == "buy" else -apart

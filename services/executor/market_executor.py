"""One market: which quotes may be followed, and what must be sent so that our orders are what they ask for.

    may we quote? (lease, book, ledger)  ->  wanted orders  ->  what to send (`plan.py`, compiled)

What cannot be placed is skipped, and counted once for each new ladder.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator

import numpy as np

from services.executor.own_fills import Holding, OwnFills
from services.executor.period_orders import PeriodOrders
from services.executor.plan import CANCEL, FAULTS, LIMITS, MOST_WANTED, PLACE, STEP, STEPS, WANTED, WORK, plan
from services.executor.settings import ExecutorSettings
from services.executor.wanted import OrderKey, wanted_of
from shared.config import MMConfig
from shared.kernel import State
from shared.market import NS_PER_S
from shared.messages import FeedStatus, OutcomeBook, OutcomeTrade, Period, Position, QuoteSet
from shared.money import to_micro

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
    ) -> None:
        self.name = name
        self.periods: dict[str, PeriodOrders] = {}
        self.own_fills = OwnFills()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.unconfirmed: OrderedDict[str, int] = OrderedDict()  # fill id -> when it happened, on our clock
        self.obstacle: str | None = "starting"
        self._settings = settings
        self._session = session
        self._numbers = numbers
        self._quotes: QuoteSet | None = None
        self._wanted: tuple[tuple[OrderKey, int], ...] = ()
        self._rows: State = np.zeros(MOST_WANTED, WANTED)  # the same, for `plan`
        self._lease_ends_ns = 0
        self._position: Position | None = None
        self._position_recv_ns = 0
        self._statuses: dict[tuple[str, str], tuple[FeedStatus, int]] = {}  # and when it came, on our clock
        self._pending_book: OutcomeBook | None = None
        self._skipped: set[tuple[OrderKey, str]] = set()
        self._is_refused = False
        self._lease_ns = round(config.lease_s * NS_PER_S)
        self._book_ns = round(config.limits.book_s * NS_PER_S)
        self._status_ns = round(config.limits.feed_status_s * NS_PER_S)
        self._position_ns = round(config.limits.position_s * NS_PER_S)
        self._limits: State = np.zeros(1, LIMITS)
        self._limits["max_imbalance_units"] = to_micro(config.max_inventory_imbalance)
        self._limits["max_position_units"] = to_micro(config.max_position_size)
        self._work: State = np.zeros(1, WORK)
        self._steps: State = np.zeros(STEPS, STEP)

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
                own_fills=self.own_fills,
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
        wanted = tuple(wanted_of(quotes).items())
        if wanted != self._wanted:
            self._skipped.clear()
            for row, (key, units) in enumerate(wanted):
                self._rows[row] = (*key.on_call, units, 0, 0)
        self._quotes, self._wanted = quotes, wanted
        self._rows["is_rejected"] = 0
        self._lease_ends_ns = min(quotes.valid_until_ns, now_ns + self._lease_ns)

    def take_position(self, position: Position, now_ns: int) -> None:
        """Take what the ledger says. It is never younger than its arrival, whatever it claims.

        A ledger that knows less than before is another one: it is not followed, until a restart.
        """
        if position.sequence < self.own_fills.sequence:
            self.counts["position_refused", "ledger_went_back"] += 1
            return
        self.own_fills.show(position.sequence)
        self._position, self._position_recv_ns = position, min(position.ts_recv_ns, now_ns)

    def take_status(self, status: FeedStatus, now_ns: int) -> None:
        """Take the health of one of this market's book streams. Its age counts from its arrival at the latest."""
        if status.channel == "OutcomeBook":
            self._statuses[status.venue, status.subject] = status, min(status.ts_recv_ns, now_ns)

    def confirm(self, fill_id: str, *, entry: int | None) -> None:
        """The ledger answered. What it refuses it does not know of: nothing more is placed until a restart."""
        self.unconfirmed.pop(fill_id, None)
        if entry is None:
            self._is_refused = True
            self.counts["booking", "refused"] += 1
        else:
            self.own_fills.confirm(fill_id, entry)

    def forget(self) -> None:
        """The clock was set back: nothing has a known age, and the orders belong to another time."""
        self._quotes, self._wanted, self._position, self._pending_book = None, (), None, None
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
            for key in orders.rejected:
                self._reject(key)
            orders.rejected.clear()
        obstacle = self._obstacle(now_ns)
        if obstacle != self.obstacle and obstacle is not None:
            self.counts["halted", obstacle] += 1
        self.obstacle = obstacle
        for slug, orders in self.periods.items():
            is_followed = obstacle is None and self._quotes is not None and slug == self._quotes.slug
            holding = orders.holding(self._position) if is_followed and self._position is not None else None
            wanted = len(self._wanted) if is_followed else 0
            self._send(orders, wanted=wanted, reason=obstacle or "not_wanted", holding=holding, now_ns=now_ns)

    def _reject(self, key: OrderKey) -> None:
        """The venue refused it: it is not sent again until the next quotes."""
        for row, (wanted, _) in enumerate(self._wanted):
            if wanted == key:
                self._rows[row]["is_rejected"] = 1

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
        if not self._statuses or not all(self._is_live(*each, now_ns) for each in self._statuses.values()):
            return "book_not_live"
        if position is None or position.slug != quotes.slug or now_ns - self._position_recv_ns > self._position_ns:
            return "position_missing"
        return None

    def _is_live(self, status: FeedStatus, recv_ns: int, now_ns: int) -> bool:
        return status.state == "LIVE" and now_ns - recv_ns <= self._status_ns

    def _send(self, orders: PeriodOrders, *, wanted: int, reason: str, holding: Holding | None, now_ns: int) -> None:
        """Send what makes the orders of a period the first `wanted` rows; nothing is placed without a `holding`."""
        limits = self._limits[0]
        limits["tick_micro"] = orders.tick_micro
        limits["least_units"] = to_micro(orders.period.min_size_shares)
        limits["patience_micro"] = self._settings.patience_ticks * orders.tick_micro
        if holding is not None:
            limits["call_least"], limits["call_most"] = holding.call_least, holding.call_most
            limits["put_most"] = holding.put_most
            limits["inventory_least"], limits["inventory_most"] = holding.inventory_least, holding.inventory_most
        count = plan(orders.record, self._work, self._rows, wanted, self._limits, holding is not None, self._steps)
        for kind, number, row, code in self._steps[:count].tolist():
            if kind == CANCEL:
                orders.cancel(orders.live[number], reason, now_ns)
                continue
            key, units = self._wanted[row]
            fault = orders.place(key, units, now_ns) if kind == PLACE else FAULTS[code]
            if fault is not None and (key, fault) not in self._skipped:
                self._skipped.add((key, fault))
                self.counts["skipped", fault] += 1

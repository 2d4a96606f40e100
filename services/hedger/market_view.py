"""What the bus says of one market's current period: rules, fair value, books, open orders; and the position in it.

Open orders have no age limit here: when whoever placed them falls silent, they may rest, be filled or be gone, and only
counting them all as filled is safe. So they stay in the worst case until the period changes or somebody says otherwise,
and `orders_age_s` tells how long ago they were a fact.
"""

from __future__ import annotations

from services.hedger.accounts import Account
from services.hedger.hedge_inputs import averaging_s
from services.hedger.hedge_risk import fair_deviation_per_sqrt_s, fair_per_bp
from services.hedger.pnl import liquidation_usd, unrealized_usd, worst_case_micro
from shared.market import NS_PER_S
from shared.messages import OpenOrder, OpenOrders, OutcomeBook, Period, Position, QuoteSet
from shared.money import from_micro

BOOK_LIMIT_NS = 30 * NS_PER_S  # a book older than this says nothing of what is paid now


class MarketView:
    """One market. Whatever it heard of the period before is dropped when a new one becomes current."""

    def __init__(self, market: str) -> None:
        self.market = market
        self.published: Position | None = None
        self._enter("")

    def _enter(self, slug: str) -> None:
        self.slug = slug
        self.orders: tuple[OpenOrder, ...] = ()
        self._orders_recv_ns = 0
        self.period: Period | None = None
        self._quotes: QuoteSet | None = None
        self._books: dict[str, OutcomeBook] = {}

    def take_period(self, period: Period) -> bool:
        """The current period; True when it is another than before."""
        is_new = period.slug != self.slug
        if is_new:
            self._enter(period.slug)
        self.period = period
        return is_new

    def take_quotes(self, quotes: QuoteSet) -> None:
        """The fair value, for as long as the lease of these quotes lasts."""
        if quotes.slug == self.slug:
            self._quotes = quotes

    def take_book(self, book: OutcomeBook) -> None:
        """What the market pays for one outcome."""
        if book.slug == self.slug:
            self._books[book.outcome] = book

    def take_orders(self, open_orders: OpenOrders, now_ns: int) -> None:
        """Our orders that can still fill; said again each second. They are never younger than their arrival."""
        if open_orders.slug == self.slug:
            self.orders = open_orders.orders
            self._orders_recv_ns = min(open_orders.ts_recv_ns, now_ns)

    def orders_age_s(self, now_ns: int) -> float:
        """Seconds since the open orders were said; without any, that says nothing."""
        return max(0, now_ns - self._orders_recv_ns) / NS_PER_S

    def position(self, account: Account, now_ns: int, *, sequence: int) -> Position:
        """The position in the current period as it stands now; `sequence` is the last entry in the account's ledger."""
        quotes, period = self.quotes(now_ns), self.period
        fair_value = None if quotes is None else quotes.fair_value
        liquidation = None
        if period is not None:
            liquidation = liquidation_usd(
                account,
                self.book("CALL", now_ns),
                self.book("PUT", now_ns),
                fee_rate=period.fee_rate,
                fee_exponent=period.fee_exponent,
            )
        return position_of(
            account, now_ns, sequence=sequence, orders=self.orders, fair_value=fair_value, liquidation=liquidation
        )

    def quotes(self, now_ns: int) -> QuoteSet | None:
        """The last quotes, while their lease lasts."""
        quotes = self._quotes
        return quotes if quotes is not None and now_ns <= quotes.valid_until_ns else None

    def fair_per_bp(self, now_ns: int) -> float | None:
        """Dollars a share that CALL gains per basis point of the asset; None without a fair value or a volatility."""
        quotes, period = self.quotes(now_ns), self.period
        if quotes is None or quotes.fair_value is None or period is None:
            return None
        deviation = fair_deviation_per_sqrt_s(
            fair=quotes.fair_value,
            time_left_s=(period.end_ns - now_ns) / NS_PER_S,
            averaging_s=averaging_s(period),
        )
        sigma = quotes.breakdown.get("sigma")
        if deviation is None or sigma is None:
            return None
        return fair_per_bp(deviation_per_sqrt_s=deviation, sigma_per_sqrt_s=sigma)

    def book(self, outcome: str, now_ns: int) -> OutcomeBook | None:
        """The last book of an outcome, while it says something."""
        book = self._books.get(outcome)
        return book if book is not None and now_ns - book.ts_recv_ns <= BOOK_LIMIT_NS else None


def position_of(
    account: Account, now_ns: int, *, sequence: int, orders: tuple[OpenOrder, ...] = (),
    fair_value: float | None = None, liquidation: float | None = None,
) -> Position:  # fmt: skip
    """An account as a message."""
    is_flat = account.call.units == 0 and account.put.units == 0
    worst_micro = worst_case_micro(
        cash_micro=account.cash_micro,
        call_units=account.call.units,
        put_units=account.put.units,
        orders=orders if account.outcome is None else (),
    )
    return Position(
        ts_event_ns=now_ns,
        ts_recv_ns=now_ns,
        market=account.market,
        slug=account.slug,
        call_shares=from_micro(account.call.units),
        put_shares=from_micro(account.put.units),
        call_average_price=account.call.average_price(),
        put_average_price=account.put.average_price(),
        mergeable_pairs=from_micro(account.pairs_units()),
        realized_pnl_usd=from_micro(account.realized_micro),
        unrealized_pnl_usd=unrealized_usd(account, fair_value),
        liquidation_pnl_usd=0.0 if is_flat else liquidation,
        fees_usd=from_micro(account.fees_micro),
        rebates_usd=from_micro(account.rebates_micro),
        worst_case_usd=from_micro(worst_micro),
        fills=account.fills,
        sequence=sequence,
    )

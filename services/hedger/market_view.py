"""What the bus says of one market's current period: fees, fair value, books and open orders; and the position in it."""

from __future__ import annotations

from services.hedger.accounts import Account
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
        self._fees: tuple[float, float] | None = None
        self._quotes: QuoteSet | None = None
        self._books: dict[str, OutcomeBook] = {}

    def take_period(self, period: Period) -> bool:
        """The current period; True when it is another than before."""
        is_new = period.slug != self.slug
        if is_new:
            self._enter(period.slug)
        self._fees = (period.fee_rate, period.fee_exponent)
        return is_new

    def take_quotes(self, quotes: QuoteSet) -> None:
        """The fair value, for as long as the lease of these quotes lasts."""
        if quotes.slug == self.slug:
            self._quotes = quotes

    def take_book(self, book: OutcomeBook) -> None:
        """What the market pays for one outcome."""
        if book.slug == self.slug:
            self._books[book.outcome] = book

    def take_orders(self, open_orders: OpenOrders) -> None:
        """Our orders that can still fill."""
        if open_orders.slug == self.slug:
            self.orders = open_orders.orders

    def position(self, account: Account, now_ns: int) -> Position:
        """The position in the current period as it stands now."""
        quotes = self._quotes
        fair_value = quotes.fair_value if quotes is not None and now_ns <= quotes.valid_until_ns else None
        call_book, put_book = (self._book(outcome, now_ns) for outcome in ("CALL", "PUT"))
        liquidation = None
        if self._fees is not None:
            fee_rate, fee_exponent = self._fees
            liquidation = liquidation_usd(
                account, call_book, put_book, fee_rate=fee_rate, fee_exponent=fee_exponent
            )  # fmt: skip
        return position_of(account, now_ns, orders=self.orders, fair_value=fair_value, liquidation=liquidation)

    def _book(self, outcome: str, now_ns: int) -> OutcomeBook | None:
        book = self._books.get(outcome)
        return book if book is not None and now_ns - book.ts_recv_ns <= BOOK_LIMIT_NS else None


def position_of(
    account: Account, now_ns: int, *, orders: tuple[OpenOrder, ...] = (), fair_value: float | None = None,
    liquidation: float | None = None,
) -> Position:  # fmt: skip
    """An account as a message."""
    is_flat = account.call.units == 0 and account.put.units == 0
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
        worst_case_usd=from_micro(worst_case_micro(account, orders)),
        fills=account.fills,
    )

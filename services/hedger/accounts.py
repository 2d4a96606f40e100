"""The state that follows from the ledger: one account for each period, by replay of its entries.

Average cost in exact integers. A leg is the shares of one outcome and what they cost. Adding to it adds the cash paid
to the cost; reducing it takes the same share of the cost as of the shares (to the nearest micro-dollar, ties to even)
and realizes the difference to the cash received. Nothing is lost to rounding: at every step

    cash = realized + rebates paid - cost of the CALL leg - cost of the PUT leg
"""

from __future__ import annotations

from collections.abc import Iterable

from services.hedger.entries import Entry
from shared.market import NS_PER_S, parse_slug
from shared.messages import Outcome
from shared.money import MICRO


def part_of(amount: int, part: int, whole: int) -> int:
    """`amount` x `part` / `whole`, to the nearest integer, ties to even. `whole` is positive."""
    floor, rest = divmod(amount * part, whole)
    if 2 * rest > whole or (2 * rest == whole and floor % 2 == 1):
        floor += 1
    return floor


class Leg:
    """The shares of one outcome and what they cost. Both are negative only between a late booking and its settlement,
    or inside a history from which a fill was taken back."""

    __slots__ = ("cost_micro", "units")

    def __init__(self, units: int = 0, cost_micro: int = 0) -> None:
        self.units = units
        self.cost_micro = cost_micro

    def trade(self, units: int, cash_micro: int) -> int:
        """Take `units` (negative: give) for `cash_micro` received (negative: paid); returns what was realized."""
        held = self.units
        if units == 0:
            return cash_micro
        if held == 0 or (held > 0) == (units > 0):
            self.units = held + units
            self.cost_micro -= cash_micro
            return 0
        size = abs(units)
        closing = min(size, abs(held))
        closing_cash = part_of(cash_micro, closing, size)
        removed = part_of(self.cost_micro, closing, abs(held))
        self.units = held + units
        self.cost_micro += closing_cash - cash_micro - removed
        return closing_cash - removed

    def average_price(self) -> float | None:
        """Dollars a share; None when none is held."""
        return self.cost_micro / self.units if self.units else None


class Account:
    """One period: what is held, what it cost, what was earned. `outcome` is the official one, empty until settled.

    `redeemed_call` and `redeemed_put` are the units that settlement took; `history` are the entries that still count,
    kept until then, because taking a fill back derives the account again without it.
    """

    __slots__ = (
        "call", "cash_micro", "end_ns", "entries", "fees_micro", "fills", "history", "last_ts_ns", "market", "outcome",
        "put", "realized_micro", "rebates_micro", "rebates_paid_micro", "redeemed_call", "redeemed_put", "slug",
        "start_s",
    )  # fmt: skip

    def __init__(self, market: str, slug: str) -> None:
        self.market = market
        self.slug = slug
        series, self.start_s = parse_slug(slug)
        self.end_ns = (self.start_s + series.length_s) * NS_PER_S
        self.outcome: Outcome | None = None
        self.history: list[Entry] = []
        self.entries = 0  # bookings, settlements not counted
        self.redeemed_call = self.redeemed_put = 0
        self.last_ts_ns = 0
        self._clear()

    def _clear(self) -> None:
        self.call = Leg()
        self.put = Leg()
        self.cash_micro = self.realized_micro = self.fees_micro = 0
        self.rebates_micro = self.rebates_paid_micro = self.fills = 0

    def copy(self) -> Account:
        """The same state, to go back to."""
        twin = Account.__new__(Account)
        for name in Account.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.call = Leg(self.call.units, self.call.cost_micro)
        twin.put = Leg(self.put.units, self.put.cost_micro)
        twin.history = list(self.history)
        return twin

    def leg(self, outcome: str) -> Leg:
        """The leg of one outcome."""
        return self.call if outcome == "CALL" else self.put

    def available(self, outcome: str) -> int:
        """Units that can still be given: those held and, for what is booked late, those that settlement took."""
        if outcome == "CALL":
            return self.call.units + self.redeemed_call
        return self.put.units + self.redeemed_put

    def pairs_units(self) -> int:
        """Mergeable pairs."""
        return max(min(self.call.units, self.put.units), 0)

    def is_open(self) -> bool:
        """Whether something was booked and no outcome is known yet."""
        return self.outcome is None and self.entries > 0

    def is_waiting(self, now_ns: int) -> bool:
        """Whether the period is over, and only its outcome is missing."""
        return self.is_open() and now_ns >= self.end_ns

    def apply(self, entry: Entry) -> None:
        """Take one entry."""
        if entry.ts_ns > self.last_ts_ns:
            self.last_ts_ns = entry.ts_ns
        if entry.kind != "settlement":
            self.entries += 1
        if self.outcome is not None or entry.kind == "settlement":
            self._take(entry)
        elif entry.kind == "reversal":
            self.history = [each for each in self.history if each.entry_id != entry.reverses]
            self._clear()
            for each in self.history:
                self._take(each)
        else:
            self.history.append(entry)
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        kind = entry.kind
        self.cash_micro += entry.cash_micro
        if kind == "fill" or kind == "reversal":
            sign = 1 if kind == "fill" else -1
            fee = sign * entry.fee_micro
            leg = self.call if entry.outcome == "CALL" else self.put
            traded = leg.trade(entry.call_units or entry.put_units, entry.cash_micro + fee)
            self.realized_micro += traded - fee
            self.fees_micro += fee
            self.rebates_micro += sign * entry.rebate_micro
            self.fills += sign
        elif kind == "merge":
            half = entry.units // 2
            self.realized_micro += self.call.trade(-entry.units, half)
            self.realized_micro += self.put.trade(-entry.units, entry.units - half)
        elif kind == "settlement":
            won = entry.cash_micro
            self.outcome = "CALL" if entry.outcome == "CALL" else "PUT"
            self.realized_micro += self.call.trade(entry.call_units, won if entry.outcome == "CALL" else 0)
            self.realized_micro += self.put.trade(entry.put_units, won if entry.outcome == "PUT" else 0)
            self.redeemed_call -= entry.call_units
            self.redeemed_put -= entry.put_units
            self.history = []
        elif kind == "fee":
            self.fees_micro -= entry.cash_micro
            self.realized_micro += entry.cash_micro
        else:
            self.rebates_paid_micro += entry.cash_micro


class Books:
    """All accounts, and the number of the last entry they know of."""

    def __init__(self) -> None:
        self.sequence = 0
        self.accounts: dict[str, Account] = {}

    def apply(self, entry: Entry) -> None:
        """Take the next entry."""
        account = self.accounts.get(entry.slug)
        if account is None:
            account = self.accounts[entry.slug] = Account(entry.market, entry.slug)
        account.apply(entry)
        self.sequence = entry.sequence

    def replay(self, entries: Iterable[Entry]) -> None:
        """Take many."""
        for entry in entries:
            self.apply(entry)


def settles_at(outcome: Outcome, leg: Outcome) -> int:
    """What a share of `leg` pays, in micro-dollars, when `outcome` wins."""
    return MICRO if outcome == leg else 0

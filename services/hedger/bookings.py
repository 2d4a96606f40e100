"""From a booking request to entries: what is refused, and why.

A batch is what one commit makes durable. Its bookings are judged one after the other, each against the state that those
before it leave behind; `undo` goes back to the state before the first.

What no later booking can cure is `refused`. What a booking that is still on its way can cure is `unavailable`, so that
its sender tries again and nothing is lost when requests overtake each other: a sale before its purchase, a merge before
one of its legs, a reversal before its fill. Each detail begins with the name of the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from services.hedger import entries as make
from services.hedger.accounts import Account, Books
from services.hedger.entries import SETTLEMENT_PREFIX, Entry
from shared.market import NS_PER_S, parse_slug
from shared.messages import Outcome
from shared.money import MICRO, from_micro
from shared.requests import BookCash, BookFill, Booking, BookMerge, BookReversal, BookSettlement, Status

LONGEST_ID = 200
LONGEST_REASON = 500
LARGEST_MICRO = 10**13  # ten million dollars or shares in one booking: more is a mistake of units
LAST_NS = 2**63 - 1

Refusal = Literal[
    "already_reversed", "amount", "id", "id_reused", "no_fill", "order_differs", "order_size",
    "outcome_differs", "price", "reason", "running", "slug", "time", "units",
]  # fmt: skip
Delay = Literal["fill_unknown", "ledger", "market", "pairs", "short"]  # cured by waiting, or by another hedger


class Verdict(NamedTuple):
    """What became of a booking. `name` is why it was not taken; `is_known`: it stood in the ledger before.

    `entry` is the ledger entry that it is; 0: none.
    """

    status: Status = "ok"
    name: Refusal | Delay | Literal[""] = ""
    detail: str = ""
    is_known: bool = False
    entry: int = 0


def booking_id(booking: Booking) -> str:
    """The id that counts once."""
    return booking.fill_id if isinstance(booking, BookFill) else booking.entry_id


def wanted(bookings: Iterable[Booking]) -> tuple[set[str], set[str]]:
    """The ids and order ids whose entries a batch must know. An id that is none is never looked up."""
    ids: set[str] = set()
    order_ids: set[str] = set()
    for booking in bookings:
        if _unsound(booking) is not None:
            continue
        ids.add(booking_id(booking))
        if isinstance(booking, BookFill):
            order_ids.add(booking.order_id)
        elif isinstance(booking, BookReversal):
            ids.add(booking.fill_id)
    return ids, order_ids


class Batch:
    """Bookings that one commit makes durable. `entries` are what it would append.

    `outcomes` are official ones by slug that are known and not booked yet: none is booked by hand against them.
    """

    def __init__(
        self,
        books: Books,
        markets: Collection[str],
        found: Iterable[Entry],
        *,
        now_ns: int,
        outcomes: Mapping[str, Outcome] | None = None,
    ) -> None:
        self.entries: list[Entry] = []
        self._books = books
        self._markets = markets
        self._now_ns = now_ns
        self._outcomes = {} if outcomes is None else outcomes
        self._first_sequence = books.sequence
        self._saved: dict[str, Account | None] = {}
        self._by_id: dict[str, Entry] = {}
        self._reversed: set[str] = set()
        self._by_order: dict[str, list[Entry]] = {}
        for entry in found:
            self._index(entry)

    def _index(self, entry: Entry) -> None:
        self._by_id[entry.entry_id] = entry
        if entry.reverses is not None:
            self._reversed.add(entry.reverses)
        if entry.order_id:
            self._by_order.setdefault(entry.order_id, []).append(entry)

    def undo(self) -> None:
        """Leave the books as they were before this batch."""
        for slug, account in self._saved.items():
            if account is None:
                self._books.accounts.pop(slug, None)
            else:
                self._books.accounts[slug] = account
        self._books.sequence = self._first_sequence
        self.entries = []

    def settle(self, *, market: str, slug: str, outcome: Outcome, ts_ns: int) -> bool:
        """Book the official outcome of a period, also when nothing is held in it any more: late fills must know it.

        False when it is booked already: an outcome counts once.
        """
        account = self._books.accounts.get(slug)
        if account is not None and account.outcome is not None:
            return False
        self._redeem(market, slug, outcome, ts_ns)
        return True

    def book(self, booking: Booking) -> Verdict:
        """Judge one booking, and take it when it is sound."""
        found = _unsound(booking)
        if found is not None:
            return found
        if isinstance(booking, BookReversal):
            return self._reverse(booking)
        if booking.market not in self._markets:
            known = ", ".join(self._markets)
            return Verdict("unknown_market", "market", f"market: {booking.market!r} is not served here: {known}")
        account = self._books.accounts.get(booking.slug)
        if account is None or account.market != booking.market:
            found = _slug_fault(booking.market, booking.slug)
            if found is not None:
                return found
        if isinstance(booking, BookSettlement):
            return self._settle_by_hand(booking)
        sequence = self._books.sequence + 1
        if isinstance(booking, BookFill):
            entry = make.of_fill(booking, sequence=sequence, booked_ns=self._now_ns)
        elif isinstance(booking, BookMerge):
            entry = make.of_merge(booking, sequence=sequence, booked_ns=self._now_ns)
        else:
            entry = make.of_cash(booking, sequence=sequence, booked_ns=self._now_ns)
        return self._known(entry) or self._order_fault(entry) or self._short(entry) or self._take(entry)

    def _reverse(self, booking: BookReversal) -> Verdict:
        fill = self._by_id.get(booking.fill_id)
        if fill is None:
            known = self._by_id.get(booking.entry_id)
            if known is not None:
                return _reused(known)
            return Verdict("unavailable", "fill_unknown", f"fill_unknown: no fill {booking.fill_id!r} is booked yet")
        if fill.kind != "fill":
            return Verdict("refused", "no_fill", f"no_fill: {booking.fill_id!r} is a {fill.kind}, not a fill")
        entry = make.of_reversal(booking, fill, sequence=self._books.sequence + 1, booked_ns=self._now_ns)
        found = self._known(entry)
        if found is None and booking.fill_id in self._reversed:
            found = Verdict(
                "refused", "already_reversed", f"already_reversed: fill {booking.fill_id!r} was taken back before"
            )
        return found or self._short(entry) or self._take(entry)

    def _settle_by_hand(self, booking: BookSettlement) -> Verdict:
        """The amounts follow from the account, so what makes two of these the same is the rest."""
        account = self._books.accounts.get(booking.slug) or Account(booking.market, booking.slug)
        known = self._by_id.get(booking.entry_id)
        if account.outcome is not None and account.outcome != booking.outcome:
            return _refuse("outcome_differs", f"{booking.slug} is settled as {account.outcome}, not {booking.outcome}")
        official = self._outcomes.get(booking.slug, booking.outcome)
        if account.outcome is None and official != booking.outcome:
            return _refuse("outcome_differs", f"the venue settled {booking.slug} as {official}, not {booking.outcome}")
        if known is not None:
            is_same = (known.kind, known.slug, known.ts_ns) == ("settlement", booking.slug, booking.ts_ns)
            return self._found(known) if is_same else _reused(known)
        if account.outcome is not None:
            before = self._saved.get(booking.slug, account)
            return Verdict(is_known=before is not None and before.outcome is not None)
        if self._now_ns < account.end_ns:
            return _refuse("running", f"{booking.slug} is not over yet")
        self._redeem(booking.market, booking.slug, booking.outcome, booking.ts_ns, entry_id=booking.entry_id)
        return Verdict(entry=self._books.sequence)

    def _known(self, entry: Entry) -> Verdict | None:
        known = self._by_id.get(entry.entry_id)
        if known is None:
            return None
        if make.same_booking(known, entry):
            return self._found(known)
        return _reused(known)

    def _found(self, known: Entry) -> Verdict:
        return Verdict(is_known=known.sequence <= self._first_sequence, entry=known.sequence)

    def _order_fault(self, entry: Entry) -> Verdict | None:
        filled = 0
        for other in self._by_order.get(entry.order_id, ()) if entry.kind == "fill" else ():
            if (other.order_units, other.slug, other.outcome, other.side) != (
                entry.order_units, entry.slug, entry.outcome, entry.side,
            ):  # fmt: skip
                text = f"{from_micro(other.order_units):g} {other.outcome} {other.side} in {other.slug}"
                detail = f"order_differs: order {entry.order_id!r} is {text} in the ledger"
                return Verdict("refused", "order_differs", detail)
            filled += other.units if other.kind == "fill" else -other.units
        if filled + entry.units > entry.order_units and entry.kind == "fill":
            detail = (
                f"order_size: {from_micro(filled):g} of the {from_micro(entry.order_units):g} shares of order "
                f"{entry.order_id!r} are filled, {from_micro(entry.units):g} more do not fit"
            )
            return Verdict("refused", "order_size", detail)
        return None

    def _short(self, entry: Entry) -> Verdict | None:
        account = self._books.accounts.get(entry.slug)
        for outcome, units in (("CALL", entry.call_units), ("PUT", entry.put_units)):
            held = 0 if account is None else account.available(outcome)
            if units < 0 and held + units < 0:
                name: Delay = "pairs" if entry.kind == "merge" else "short"
                detail = (
                    f"{name}: {from_micro(-units):g} {outcome} are given and {from_micro(held):g} are held in "
                    f"{entry.slug}; when a purchase is still on its way, send this again"
                )
                return Verdict("unavailable", name, detail)
        return None

    def _take(self, entry: Entry) -> Verdict:
        self._append(entry)
        account = self._books.accounts[entry.slug]
        if account.outcome is not None and (account.call.units or account.put.units):
            self._redeem(entry.market, entry.slug, account.outcome, entry.ts_ns)
        return Verdict(entry=entry.sequence)

    def _redeem(self, market: str, slug: str, outcome: Outcome, ts_ns: int, *, entry_id: str = "") -> None:
        account = self._books.accounts.get(slug) or Account(market, slug)
        self._append(
            make.of_settlement(
                market=market,
                slug=slug,
                outcome=outcome,
                call_units=account.call.units,
                put_units=account.put.units,
                sequence=self._books.sequence + 1,
                ts_ns=ts_ns,
                booked_ns=self._now_ns,
                entry_id=entry_id,
            )
        )

    def _append(self, entry: Entry) -> None:
        if not make.is_balanced(entry):
            raise AssertionError(f"unbalanced entry, which is a fault of ours: {entry}")
        if entry.slug not in self._saved:
            account = self._books.accounts.get(entry.slug)
            self._saved[entry.slug] = None if account is None else account.copy()
        self._books.apply(entry)
        self._index(entry)
        self.entries.append(entry)


def _reused(known: Entry) -> Verdict:
    detail = f"id_reused: {known.entry_id!r} is entry {known.sequence} ({known.kind}) with another content"
    return Verdict("refused", "id_reused", detail)


def _refuse(name: Refusal, text: str) -> Verdict:
    return Verdict("refused", name, f"{name}: {text}")


def _unsound(booking: Booking) -> Verdict | None:
    """What is wrong with the request itself, whatever the state."""
    names = [booking_id(booking)]
    if isinstance(booking, BookFill):
        names.append(booking.order_id)
    elif isinstance(booking, BookReversal):
        names.append(booking.fill_id)
        if len(booking.reason) > LONGEST_REASON or not booking.reason.isprintable():
            return _refuse("reason", f"give at most {LONGEST_REASON} printable characters")
    for name in names:
        if not 0 < len(name) <= LONGEST_ID or not name.isprintable():
            return _refuse("id", f"{name[:40]!r} is no id: give 1 to {LONGEST_ID} printable characters")
    if names[0].startswith(SETTLEMENT_PREFIX):
        return _refuse("id", f"ids that begin with {SETTLEMENT_PREFIX!r} are the ledger's own")
    if not 0 < booking.ts_ns <= LAST_NS:
        return _refuse("time", f"{booking.ts_ns} is no time in nanoseconds since 1970")
    return _amount_fault(booking)


def _amount_fault(booking: Booking) -> Verdict | None:
    if isinstance(booking, BookCash):
        if not 0 < abs(booking.cash_micro) <= LARGEST_MICRO:
            return _refuse("amount", f"{booking.cash_micro} micro-dollars: give up to {LARGEST_MICRO}, and not 0")
    elif isinstance(booking, BookFill | BookMerge):
        if not 0 < booking.units <= LARGEST_MICRO:
            return _refuse("units", f"{booking.units} micro-shares: give 1 to {LARGEST_MICRO}")
        if isinstance(booking, BookFill):
            if not 0 < booking.price_micro < MICRO:
                return _refuse("price", f"{booking.price_micro} micro-dollars is not between 0 and a dollar")
            if not 0 < booking.order_units <= LARGEST_MICRO:
                return _refuse("units", f"order of {booking.order_units} micro-shares: give 1 to {LARGEST_MICRO}")
            if not (0 <= booking.fee_micro <= LARGEST_MICRO and 0 <= booking.rebate_micro <= LARGEST_MICRO):
                return _refuse("amount", "a fee and a rebate are not negative")
    return None


def _slug_fault(market: str, slug: str) -> Verdict | None:
    try:
        series, start_s = parse_slug(slug)
        own = series.name == market and start_s < LAST_NS // NS_PER_S
        aligned = own and series.start_of(start_s * NS_PER_S) == start_s
    except (ValueError, OverflowError, OSError) as error:
        return _refuse("slug", str(error))
    if not own:
        return _refuse("slug", f"{slug!r} is no period of {market}")
    if not aligned:
        return _refuse("slug", f"no period of {market} starts at {start_s}")
    return None


def is_period_of(market: str, slug: str) -> bool:
    """Whether this slug names a period of this market."""
    return _slug_fault(market, slug) is None

"""Where the profit came from: the spread we captured, what the market then did to what we held, fees and rebates.

Of a fill of n shares, bought (s = 1) or sold (s = -1) at a price; mids and the payoff are those of its token, and a mid
of PUT is $1 less that of CALL:

    spread       = s n (mid when it was booked - price)
    inventory    = s n (last mid of the period - mid when it was booked)
    settlement   = s n (payoff - last mid)                                     once the outcome is booked
    unattributed = s n (payoff, else last mid - price)        of a fill that was booked while no mid was known
    profit       = spread + inventory + settlement + unattributed - fee + rebate

These are the parts of `backtest/attribution.py`, with its two halves of the spread in one. Merging pairs moves none of
them: a pair is worth a dollar at every mid.
"""

from __future__ import annotations

from typing import NamedTuple

from services.hedger.entries import Entry
from shared.messages import Outcome, OutcomeBook
from shared.money import from_micro


class Parts(NamedTuple):
    """Dollars by where they came from; fees are negative."""

    spread: float = 0.0
    inventory: float = 0.0
    settlement: float = 0.0
    unattributed: float = 0.0
    fees: float = 0.0
    rebates: float = 0.0

    def plus(self, other: Parts) -> Parts:
        """The sums."""
        return Parts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class _Counted(NamedTuple):
    entry: Entry  # a fill, or the reversal of one with its facts
    call_mid: float | None  # when the fill was booked


def mid_of(call_book: OutcomeBook | None) -> float | None:
    """The middle of the CALL book, dollars a share; None without both sides."""
    if call_book is None or not call_book.bid_ticks or not call_book.ask_ticks:
        return None
    return 0.5 * call_book.tick_size * (call_book.bid_ticks[0] + call_book.ask_ticks[0])


class PeriodAttribution:
    """The fills of one period that still count, and the last mid of CALL."""

    def __init__(self) -> None:
        self._counted: list[_Counted] = []
        self.last_mid: float | None = None

    def mark(self, call_mid: float | None) -> None:
        """The mid of CALL now; None changes nothing."""
        if call_mid is not None:
            self.last_mid = call_mid

    def take(self, entry: Entry, call_mid: float | None) -> None:
        """A booked fill, with the mid of CALL then if it is known; or the reversal of one, which undoes its parts."""
        if entry.kind == "reversal":
            call_mid = next((each.call_mid for each in self._counted if each.entry.entry_id == entry.reverses), None)
        self._counted.append(_Counted(entry, call_mid))
        if entry.kind == "fill":
            self.mark(call_mid)

    def parts(self, outcome: Outcome | None = None) -> Parts:
        """The sums over the fills; `outcome` is the one that won, None while nobody knows."""
        total = Parts()
        for each in tuple(self._counted):
            total = total.plus(self._parts_of(each, outcome))
        return total

    def _parts_of(self, counted: _Counted, outcome: Outcome | None) -> Parts:
        entry = counted.entry
        is_call = entry.outcome == "CALL"
        sign = 1.0 if entry.kind == "fill" else -1.0
        signed = sign * from_micro(entry.units) * (1.0 if entry.side == "buy" else -1.0)
        price = from_micro(entry.price_micro)
        then, last = (
            None if mid is None else mid if is_call else 1.0 - mid for mid in (counted.call_mid, self.last_mid)
        )
        payoff = None if outcome is None else float(outcome == entry.outcome)
        spread = inventory = settlement = unattributed = 0.0
        if then is not None and last is not None:
            spread, inventory = signed * (then - price), signed * (last - then)
            settlement = 0.0 if payoff is None else signed * (payoff - last)
        else:
            worth = payoff if payoff is not None else last
            unattributed = 0.0 if worth is None else signed * (worth - price)
        fee, rebate = sign * from_micro(entry.fee_micro), sign * from_micro(entry.rebate_micro)
        return Parts(spread, inventory, settlement, unattributed, -fee, rebate)


class MarketAttribution:
    """One market: its open periods, and the sums of those that were settled since it began."""

    def __init__(self) -> None:
        self._settled = Parts()
        self._periods: dict[str, PeriodAttribution] = {}

    def mark(self, slug: str, call_mid: float | None) -> None:
        """The mid of CALL in a period now."""
        period = self._periods.get(slug)
        if period is not None:
            period.mark(call_mid)

    def take(self, entry: Entry, call_mid: float | None, outcome: Outcome | None) -> None:
        """An entry that stands in the ledger; `outcome` is how its period was settled, None while it was not.

        What is booked after the settlement counts at the payoff.
        """
        if entry.kind not in ("fill", "reversal", "settlement"):
            return
        period = self._periods.setdefault(entry.slug, PeriodAttribution())
        if entry.kind != "settlement":
            period.take(entry, call_mid)
        if outcome is not None:
            self._settled = self._settled.plus(period.parts(outcome))
            del self._periods[entry.slug]

    def last_mid(self, slug: str) -> float | None:
        """The last mid of CALL in an open period; None when none was seen since its first fill."""
        period = self._periods.get(slug)
        return None if period is None else period.last_mid

    def parts(self) -> Parts:
        """Settled and open periods together."""
        total = self._settled
        for period in tuple(self._periods.values()):
            total = total.plus(period.parts())
        return total

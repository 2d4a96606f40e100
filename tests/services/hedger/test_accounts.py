"""The accounts against an independent ledger: exact fractions, everything worked out again from the whole story."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from services.hedger.accounts import Books, Leg, part_of
from services.hedger.bookings import Batch
from services.hedger.entries import movements
from services.hedger.journal import MemoryJournal
from services.hedger.pnl import outcome_micro
from shared.money import MICRO
from tests.builders import SLUG
from tests.services.hedger.scene import cash, fill, hedger_in_a_period, merge, reversal

UNIT = st.integers(1, 20_000_000)
SIDE = st.sampled_from(["buy", "buy", "sell"])
OUTCOME = st.sampled_from(["CALL", "PUT"])
STEP = st.one_of(
    st.tuples(SIDE, OUTCOME, st.integers(1, MICRO - 1), UNIT, st.integers(0, 50_000)),
    st.tuples(st.just("merge"), UNIT),
    st.tuples(st.just("reverse"), st.integers(0, 12)),
    st.tuples(st.just("settle"), OUTCOME),
    st.tuples(st.just("cash"), st.sampled_from(["fee", "rebate"]), st.integers(-MICRO, MICRO).filter(bool)),
)  # fmt: skip


class SlowLedger:
    """The story as a list, and the state from nothing but the list, in fractions."""

    def __init__(self) -> None:
        self.story: list[tuple[str, tuple[Any, ...]]] = []
        self.reversed: set[str] = set()
        self.outcome: str | None = None

    def standing(self) -> list[tuple[Any, ...]]:
        return [step for name, step in self.story if name not in self.reversed]

    def units(self, outcome: str) -> int:
        """What is held if nothing is ever settled."""
        held = 0
        for step in self.standing():
            if step[0] == "merge":
                held -= step[1]
            elif step[0] in ("buy", "sell") and step[1] == outcome:
                held += step[3] if step[0] == "buy" else -step[3]
        return held

    def cash(self) -> Fraction:
        """Cash, with what the outcome paid."""
        paid = Fraction(0)
        for step in self.standing():
            if step[0] == "merge":
                paid += step[1]
            elif step[0] == "cash":
                paid += step[2]
            elif step[0] == "buy":
                paid -= Fraction(step[2] * step[3], MICRO) + step[4]
            else:
                paid += Fraction(step[2] * step[3], MICRO) - step[4]
        return paid + (self.units(self.outcome) if self.outcome else 0)

    def cost(self, outcome: str) -> Fraction:
        """Average cost of what is held, by the definition."""
        held = cost = Fraction(0)
        for step in self.standing():
            if step[0] in ("buy", "sell") and step[1] == outcome:
                traded = Fraction(step[3] if step[0] == "buy" else -step[3])
                price = Fraction(step[2], MICRO)
            elif step[0] == "merge":
                traded, price = Fraction(-step[1]), Fraction(1, 2)
            else:
                continue
            if held * traded >= 0:
                cost += traded * price
            elif abs(traded) <= abs(held):
                cost += cost / held * traded
            else:
                cost = (held + traded) * price
            held += traded
        return cost


def judged(slow: SlowLedger, step: tuple[Any, ...], name: str) -> bool:
    """Whether the slow ledger takes it: nothing may become short."""
    if step[0] == "reverse":
        known = dict(slow.story)
        target = f"f{step[1]}"
        if target not in known or known[target][0] not in ("buy", "sell") or target in slow.reversed:
            return False
        slow.reversed.add(target)
        if min(slow.units("CALL"), slow.units("PUT")) < 0:
            slow.reversed.remove(target)
            return False
        return True
    slow.story.append((name, step))
    if min(slow.units("CALL"), slow.units("PUT")) < 0:
        slow.story.pop()
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=14))
def test_the_accounts_are_those_of_a_slow_exact_ledger_and_money_is_conserved(steps: list[tuple[Any, ...]]) -> None:
    books, journal, slow = Books(), MemoryJournal(), SlowLedger()
    for number, step in enumerate(steps):
        name = f"f{number}"
        batch = Batch(books, ["btc-15m"], journal.entries, now_ns=1)
        if step[0] == "settle":
            assert batch.settle(market="btc-15m", slug=SLUG, outcome=step[1], ts_ns=5) == (slow.outcome is None)
            slow.outcome = slow.outcome or step[1]
        else:
            match step[0]:
                case "merge":
                    booking: Any = merge(step[1], entry_id=name)
                case "reverse":
                    booking = reversal(f"f{step[1]}", entry_id=name)
                case "cash":
                    booking = cash(step[1], step[2], entry_id=name)
                case _:
                    booking = fill(
                        name, side=step[0], outcome=step[1], price_micro=step[2], units=step[3], fee_micro=step[4]
                    )
            assert (batch.book(booking).status == "ok") == judged(slow, step, name)
        journal.append(batch.entries)
        check(books, journal, slow)


def check(books: Books, journal: MemoryJournal, slow: SlowLedger) -> None:
    parties: dict[str, list[int]] = {}
    for entry in journal.entries:
        for party, *moved in movements(entry):
            parties[party] = [a + b for a, b in zip(parties.get(party, [0, 0, 0]), moved, strict=True)]
    assert [sum(column) for column in zip(*parties.values(), strict=True)] in ([], [0, 0, 0])
    account = books.accounts.get(SLUG)
    if account is None:
        assert not journal.entries
        return
    assert parties["ours"] == [account.cash_micro, account.call.units, account.put.units]
    steps = len(journal.entries)
    assert abs(account.cash_micro - slow.cash()) <= steps
    legs_cost = account.call.cost_micro + account.put.cost_micro
    assert account.cash_micro + legs_cost == account.realized_micro + account.rebates_paid_micro
    if slow.outcome is None:
        assert (account.call.units, account.put.units) == (slow.units("CALL"), slow.units("PUT"))
        assert abs(account.call.cost_micro - slow.cost("CALL")) <= 2 * steps
        assert abs(account.put.cost_micro - slow.cost("PUT")) <= 2 * steps
    else:
        assert account.outcome == slow.outcome
        assert (account.call.units, account.put.units, legs_cost) == (0, 0, 0)
    again = Books()
    again.replay(journal.entries)
    for name in ("cash_micro", "realized_micro", "fees_micro", "rebates_micro", "fills", "outcome", "redeemed_call"):
        assert getattr(again.accounts[SLUG], name) == getattr(account, name)


def test_selling_part_realizes_the_difference_to_the_average_cost() -> None:
    leg = Leg()
    assert leg.trade(10 * MICRO, -4_000_000) == 0
    assert leg.trade(10 * MICRO, -6_000_000) == 0
    assert leg.average_price() == 0.5
    assert leg.trade(-5 * MICRO, 3_500_000) == 1_000_000
    assert (leg.units, leg.cost_micro) == (15 * MICRO, 7_500_000)


def test_a_part_is_rounded_to_the_nearest_and_ties_to_even() -> None:
    assert [part_of(5, 1, 2), part_of(7, 1, 2), part_of(-5, 1, 2), part_of(10, 1, 3), part_of(11, 1, 3)] == [
        2,
        4,
        -2,
        3,
        4,
    ]


def test_selling_everything_leaves_no_cost_behind() -> None:
    leg = Leg()
    leg.trade(3, -1)
    leg.trade(-1, 1)
    leg.trade(-2, 1)
    assert (leg.units, leg.cost_micro) == (0, 0)


def test_a_fill_taken_back_leaves_the_account_as_if_it_had_never_been() -> None:
    def state(*bookings: Any) -> list[Any]:
        hedger = hedger_in_a_period()
        for each in bookings:
            batch = Batch(hedger.books, ["btc-15m"], [], now_ns=1)
            if each.__class__.__name__ == "BookReversal":
                batch = Batch(hedger.books, ["btc-15m"], taken, now_ns=1)
            assert batch.book(each).status == "ok"
            taken.extend(batch.entries)
        account = hedger.books.accounts[SLUG]
        return [
            account.call.units, account.call.cost_micro, account.realized_micro, account.cash_micro, account.fees_micro,
            account.rebates_micro, account.fills,
        ]  # fmt: skip

    taken: list[Any] = []
    others = (fill("f1", price_micro=400_000), fill("f3", side="sell", units=5 * MICRO, price_micro=700_000))
    wrong = fill("f2", price_micro=600_000, fee_micro=9, rebate_micro=4)
    assert state(others[0], wrong, others[1], reversal("f2")) == state(*others)


def test_the_profit_under_an_outcome_is_what_settlement_pays() -> None:
    for outcome in ("CALL", "PUT"):
        hedger = hedger_in_a_period()
        batch = Batch(hedger.books, ["btc-15m"], [], now_ns=1)
        batch.book(fill("f1", units=7 * MICRO))
        batch.book(fill("f2", units=3 * MICRO, outcome="PUT", fee_micro=1234))
        held = hedger.books.accounts[SLUG]
        expected = outcome_micro(cash_micro=held.cash_micro, units=held.leg(outcome).units, outcome=outcome)
        batch.settle(market="btc-15m", slug=SLUG, outcome=outcome, ts_ns=1)
        assert hedger.books.accounts[SLUG].cash_micro == expected == hedger.books.accounts[SLUG].realized_micro

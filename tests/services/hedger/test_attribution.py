"""Profit by where it came from, against the ledger's own profit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.hedger.attribution import Parts
from services.hedger.core import HedgerCore
from shared.core import Timer
from shared.messages import OutcomeBook
from shared.money import MICRO, from_micro
from tests.builders import NS, SLUG, build
from tests.services.hedger.scene import (
    AT_NS,
    END_NS,
    BreakableJournal,
    ask,
    deliver,
    fill,
    hedger_in_a_period,
    merge,
    outcome,
    reversal,
)


def book(hedger: HedgerCore, *, bid: int, ask_ticks: int) -> None:
    deliver(hedger, build(OutcomeBook, bid_ticks=(bid,), bid_sizes=(9.0,), ask_ticks=(ask_ticks,), ask_sizes=(9.0,)))


def parts(hedger: HedgerCore) -> Parts:
    return hedger.attributions["btc-15m"].parts()


def total(found: Parts) -> float:
    return sum(found)


def test_a_fill_below_the_mid_captures_spread_and_the_moves_after_it_are_inventory() -> None:
    hedger = hedger_in_a_period()
    book(hedger, bid=49, ask_ticks=53)
    ask(hedger, fill(fee_micro=10_000, rebate_micro=4_000))  # ten CALL at 49 cents, the mid is 51
    assert parts(hedger) == pytest.approx(Parts(spread=0.2, fees=-0.01, rebates=0.004))
    book(hedger, bid=45, ask_ticks=49)
    assert parts(hedger) == pytest.approx(Parts(spread=0.2, inventory=-0.4, fees=-0.01, rebates=0.004))


def test_buying_put_is_selling_call() -> None:
    hedger = hedger_in_a_period()
    book(hedger, bid=49, ask_ticks=53)
    ask(hedger, fill(outcome="PUT", price_micro=470_000))  # the mid of PUT is 49
    book(hedger, bid=45, ask_ticks=49)
    assert parts(hedger) == pytest.approx(Parts(spread=0.2, inventory=0.4))


def test_the_outcome_adds_the_way_from_the_last_mid_to_the_payoff() -> None:
    hedger = hedger_in_a_period()
    book(hedger, bid=49, ask_ticks=53)
    ask(hedger, fill())
    book(hedger, bid=59, ask_ticks=61)
    ask(hedger, outcome("PUT"), now_ns=END_NS)
    assert parts(hedger) == pytest.approx(Parts(spread=0.2, inventory=0.9, settlement=-6.0))
    assert total(parts(hedger)) == pytest.approx(from_micro(hedger.books.accounts[SLUG].realized_micro))


def test_a_fill_without_a_book_is_not_attributed_and_nor_is_one_of_an_earlier_life() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    assert parts(hedger) == Parts()
    book(hedger, bid=49, ask_ticks=53)
    assert parts(hedger) == pytest.approx(Parts(unattributed=0.2))
    ask(hedger, outcome("CALL"), now_ns=END_NS)
    assert parts(hedger) == pytest.approx(Parts(unattributed=5.1))


def test_a_restart_keeps_the_fills_of_open_periods() -> None:
    journal = BreakableJournal()
    first = hedger_in_a_period(journal)
    book(first, bid=49, ask_ticks=53)
    ask(first, fill())
    again = hedger_in_a_period(journal)
    book(again, bid=49, ask_ticks=53)
    assert parts(again) == pytest.approx(Parts(unattributed=0.2))


def test_a_reversal_takes_every_part_back_before_and_after_the_settlement() -> None:
    for is_late in (False, True):
        hedger = hedger_in_a_period()
        book(hedger, bid=49, ask_ticks=53)
        ask(hedger, fill(fee_micro=10_000, rebate_micro=4_000))
        if is_late:
            ask(hedger, outcome("CALL"), now_ns=END_NS)
        ask(hedger, reversal())
        assert total(parts(hedger)) == pytest.approx(0.0, abs=1e-9)


def test_merging_pairs_moves_nothing() -> None:
    hedger = hedger_in_a_period()
    book(hedger, bid=49, ask_ticks=53)
    ask(hedger, fill())
    ask(hedger, fill("p", outcome="PUT", price_micro=480_000))
    before = parts(hedger)
    assert ask(hedger, merge(10 * MICRO)).status == "ok"
    assert parts(hedger) == before
    assert total(before) == pytest.approx(from_micro(hedger.books.accounts[SLUG].realized_micro))


FILLS = st.lists(
    st.fixed_dictionaries(
        {
            "outcome": st.sampled_from(["CALL", "PUT"]),
            "price_micro": st.integers(1, 99).map(lambda cents: cents * 10_000),
            "units": st.integers(1, 100).map(lambda shares: shares * MICRO),
            "fee_micro": st.integers(0, 50_000),
            "mid": st.one_of(st.none(), st.integers(2, 98)),
        }
    ),
    max_size=6,
)


@given(fills=FILLS, won=st.sampled_from(["CALL", "PUT"]))
def test_the_parts_add_up_to_the_ledgers_profit(fills: list[dict[str, Any]], won: str) -> None:
    hedger = hedger_in_a_period()
    for number, each in enumerate(fills):
        mid = each.pop("mid")
        if mid is not None:
            book(hedger, bid=mid - 1, ask_ticks=mid + 1)
        assert ask(hedger, fill(f"f{number}", **each)).status == "ok"
    ask(hedger, outcome(won), now_ns=END_NS)
    account = hedger.books.accounts.get(SLUG)
    booked = 0.0 if account is None else from_micro(account.realized_micro)
    assert total(parts(hedger)) == pytest.approx(booked, abs=1e-6)


def test_the_days_profit_forgets_periods_that_ended_a_day_ago() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    ask(hedger, outcome("CALL"), now_ns=END_NS)
    assert hedger.day_pnl_usd("btc-15m") == pytest.approx(5.1)
    assert hedger.day_pnl_usd("eth-15m") == 0.0
    hedger.update(Timer(END_NS + 86_400 * NS))
    assert hedger.day_pnl_usd("btc-15m") == 0.0
    assert hedger.now_ns > AT_NS


def test_the_days_profit_counts_what_is_held_at_the_last_mid_also_when_its_period_is_long_over() -> None:
    hedger = hedger_in_a_period()
    book(hedger, bid=29, ask_ticks=31)
    ask(hedger, fill())  # 10 CALL at 0.49
    assert hedger.day_pnl_usd("btc-15m") == pytest.approx(10 * (0.30 - 0.49))
    hedger.update(Timer(END_NS + 2 * 86_400 * NS))
    assert hedger.day_pnl_usd("btc-15m") == pytest.approx(10 * (0.30 - 0.49))


def test_the_days_profit_counts_what_nobody_valued_under_its_worse_outcome() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    ask(hedger, fill("p", outcome="PUT", units=4 * MICRO, price_micro=500_000))
    assert hedger.day_pnl_usd("btc-15m") == pytest.approx(4 * 1.0 - 10 * 0.49 - 4 * 0.50)

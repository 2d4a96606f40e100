"""What is refused, by its name; what may come again; what comes late."""

from __future__ import annotations

from typing import Any

import pytest

from services.hedger.core import HedgerCore
from shared.messages import Settlement
from shared.money import MICRO
from shared.requests import Question
from tests.builders import SLUG, START_S, build
from tests.services.hedger.scene import (
    END_NS,
    BreakableJournal,
    ask,
    ask_all,
    cash,
    deliver,
    fill,
    hedger_in_a_period,
    merge,
    outcome,
    reversal,
)

ETH = SLUG.replace("btc", "eth")


@pytest.mark.parametrize(
    ("booking", "name"),
    [
        (fill(units=11, order_units=10), "order_size"),
        (fill(price_micro=0), "price"),
        (fill(price_micro=MICRO), "price"),
        (fill(price_micro=-1), "price"),
        (fill(units=0), "units"),
        (fill(units=-5), "units"),
        (fill(units=10**14), "units"),
        (fill(order_units=0), "units"),
        (fill(fee_micro=-1), "amount"),
        (fill(rebate_micro=-1), "amount"),
        (fill(slug=ETH), "slug"),
        (fill(slug="btc-15m"), "slug"),
        (fill(slug="btc-updown-5m-1791241200"), "slug"),
        (fill(slug=f"btc-updown-15m-{START_S + 1}"), "slug"),
        (fill(slug="btc-updown-15m-" + "9" * 30), "slug"),
        (fill(fill_id=""), "id"),
        (fill(fill_id="a\0b"), "id"),
        (fill(fill_id="x" * 201), "id"),
        (fill(order_id=""), "id"),
        (fill(fill_id=f"settlement:{SLUG}:1"), "id"),
        (fill(ts_ns=0), "time"),
        (fill(ts_ns=2**63), "time"),
        (merge(0), "units"),
        (cash("fee", 0), "amount"),
        (reversal(reason="a\nb"), "reason"),
    ],
)
def test_a_booking_that_cannot_be_is_refused_by_name(booking: Question, name: str) -> None:
    hedger = hedger_in_a_period()
    answer = ask(hedger, booking)
    assert (answer.status, answer.detail.partition(":")[0]) == ("refused", name)
    assert hedger.books.sequence == 0
    assert hedger.refused == {name: 1}


def test_an_answer_names_the_entry_that_a_booking_is_also_when_it_was_booked_before() -> None:
    hedger = hedger_in_a_period()
    together = ask_all(hedger, fill("f1"), fill("f2"), reversal("f1"), fill("f1"))
    assert [(each.status, each.entry, each.sequence) for each in together] == [
        ("ok", 1, 3),
        ("ok", 2, 3),
        ("ok", 3, 3),
        ("ok", 1, 3),
    ]
    assert ask(hedger, fill("f2")).entry == 2
    assert ask(hedger, fill("f1", price_micro=500_000)).entry == 0  # refused


def test_an_unknown_market_is_a_status_of_its_own() -> None:
    answer = ask(hedger_in_a_period(), fill(market="sol-15m", slug=SLUG.replace("btc", "sol")))
    assert answer.status == "unknown_market"
    assert "btc-15m, eth-15m" in answer.detail


def test_the_same_booking_again_is_ok_and_counts_once() -> None:
    hedger = hedger_in_a_period()
    bookings = [fill(), fill("f2", outcome="PUT"), fill("f3"), reversal("f3"), merge(MICRO), cash("rebate", 5)]
    for _ in range(2):
        assert [each.status for each in ask_all(hedger, *bookings)] == ["ok"] * 6
        assert hedger.books.sequence == 6
    assert [each.status for each in ask_all(hedger, fill("g"), fill("g"), fill("g"))] == ["ok"] * 3
    assert hedger.books.sequence == 7


@pytest.mark.parametrize(
    "changed",
    [
        fill(price_micro=480_000),
        fill(units=9 * MICRO, order_units=10 * MICRO),
        fill(ts_ns=1),
        merge(1, entry_id="f1"),
        cash("fee", -1, entry_id="f1"),
        reversal("none", entry_id="f1"),
    ],
)
def test_an_id_with_another_content_is_refused(changed: Question) -> None:
    hedger = hedger_in_a_period()
    assert ask(hedger, fill()).status == "ok"
    answer = ask(hedger, changed)
    assert (answer.status, answer.detail.partition(":")[0]) == ("refused", "id_reused")
    assert hedger.books.sequence == 1


def part(fill_id: str, shares: int, **fields: Any) -> Question:
    return fill(fill_id, **({"order_id": "o", "order_units": 10 * MICRO, "units": shares * MICRO} | fields))


def test_the_fills_of_an_order_never_exceed_it() -> None:
    hedger = hedger_in_a_period()
    together = ask_all(hedger, part("a", 6), part("b", 5), part("c", 4))
    assert [each.status for each in together] == ["ok", "refused", "ok"]
    assert "6 of the 10 shares" in together[1].detail
    assert ask(hedger, part("d", 1)).detail.startswith("order_size")


def test_a_fill_that_was_taken_back_gives_its_order_room_again() -> None:
    hedger = hedger_in_a_period()
    answers = ask_all(hedger, part("a", 10), reversal("a"), part("b", 10), part("c", 1))
    assert [each.status for each in answers] == ["ok", "ok", "ok", "refused"]


@pytest.mark.parametrize("other", [{"order_units": 11 * MICRO}, {"side": "sell"}, {"outcome": "PUT"}])
def test_an_order_does_not_change(other: dict[str, Any]) -> None:
    hedger = hedger_in_a_period()
    assert ask(hedger, part("a", 5)).status == "ok"
    assert ask(hedger, part("b", 1, **other)).detail.startswith("order_differs")


def test_a_sale_that_overtakes_its_purchase_is_to_be_sent_again() -> None:
    hedger = hedger_in_a_period()
    sale = fill("s", side="sell", units=4 * MICRO)
    first = ask(hedger, sale)
    assert (first.status, first.detail.partition(":")[0]) == ("unavailable", "short")
    assert [each.status for each in ask_all(hedger, fill(), sale)] == ["ok", "ok"]
    assert hedger.books.accounts[SLUG].call.units == 6 * MICRO


def test_no_more_pairs_are_merged_than_are_held() -> None:
    hedger = hedger_in_a_period()
    ask_all(hedger, fill(), fill("p", outcome="PUT", units=3 * MICRO))
    answer = ask(hedger, merge(3 * MICRO + 1))
    assert (answer.status, answer.detail.partition(":")[0]) == ("unavailable", "pairs")
    assert ask(hedger, merge(3 * MICRO)).status == "ok"


def test_a_reversal_needs_its_fill_and_counts_once() -> None:
    hedger = hedger_in_a_period()
    first = ask(hedger, reversal())
    assert (first.status, first.detail.partition(":")[0]) == ("unavailable", "fill_unknown")
    assert [each.status for each in ask_all(hedger, fill(), reversal())] == ["ok", "ok"]
    assert ask(hedger, reversal(entry_id="another")).detail.startswith("already_reversed")
    assert ask(hedger, reversal("reversal-f1")).detail.startswith("no_fill")


def test_a_fill_is_not_taken_back_under_shares_that_were_sold() -> None:
    hedger = hedger_in_a_period()
    ask_all(hedger, fill(), fill("s", side="sell"))
    assert ask(hedger, reversal()).detail.startswith("short")
    assert [each.status for each in ask_all(hedger, reversal("s"), reversal())] == ["ok", "ok"]


def settled(official: str = "CALL") -> HedgerCore:
    """Ten CALL at 49 cents, settled."""
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    deliver(hedger, build(Settlement, official=official))
    return hedger


@pytest.mark.parametrize(("official", "pays"), [("CALL", 1), ("PUT", 0)])
def test_what_comes_after_the_settlement_is_settled_at_once(official: str, pays: int) -> None:
    hedger = settled(official)
    account = hedger.books.accounts[SLUG]
    before = account.cash_micro
    assert ask(hedger, fill("late", price_micro=300_000)).status == "ok"
    account = hedger.books.accounts[SLUG]
    assert account.cash_micro - before == 10 * (pays * MICRO - 300_000)
    assert (account.call.units, account.realized_micro) == (0, account.cash_micro)
    assert hedger.booked == {"fill": 2, "settlement": 2}


def test_a_late_sale_takes_the_settlement_of_its_shares_back() -> None:
    hedger = settled()
    assert ask(hedger, fill("s", side="sell", units=4 * MICRO, price_micro=600_000)).status == "ok"
    account = hedger.books.accounts[SLUG]
    assert account.cash_micro == -4_900_000 + 2_400_000 + 6 * MICRO
    assert ask(hedger, fill("s2", side="sell", units=7 * MICRO)).detail.startswith("short")
    assert ask(hedger, fill("s3", side="sell", units=6 * MICRO)).status == "ok"


def test_a_late_merge_and_a_late_reversal_change_only_what_they_say() -> None:
    hedger = hedger_in_a_period()
    ask_all(hedger, fill(), fill("p", outcome="PUT", price_micro=500_000))
    deliver(hedger, build(Settlement))
    assert hedger.books.accounts[SLUG].cash_micro == 100_000
    assert ask(hedger, merge(10 * MICRO)).status == "ok"
    assert hedger.books.accounts[SLUG].cash_micro == 100_000
    hedger = settled()
    assert ask(hedger, reversal()).status == "ok"
    assert hedger.books.accounts[SLUG].cash_micro == 0


def test_an_outcome_is_known_even_of_a_period_without_a_fill() -> None:
    hedger = hedger_in_a_period()
    deliver(hedger, build(Settlement, official="PUT"))
    assert hedger.books.sequence == 0  # nothing to book yet
    ask(hedger, fill())
    assert hedger.books.accounts[SLUG].cash_micro == -4_900_000
    assert hedger.books.accounts[SLUG].call.units == 0


# -- outcomes by hand ------------------------------------------------------------------------------------------------


def test_an_outcome_booked_by_hand_redeems_what_is_held_and_counts_once() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    answers = ask_all(hedger, outcome(), outcome(), now_ns=END_NS)
    assert [each.status for each in answers] == ["ok", "ok"]
    account = hedger.books.accounts[SLUG]
    assert (account.outcome, account.cash_micro, account.call.units) == ("CALL", 5_100_000, 0)
    assert ask(hedger, outcome(), now_ns=END_NS).status == "ok"
    assert ask(hedger, outcome(entry_id="o2"), now_ns=END_NS).status == "ok"  # it stands already
    assert hedger.booked == {"fill": 1, "settlement": 1}
    assert ask(hedger, fill("late"), now_ns=END_NS).status == "ok"  # and settles at once
    assert hedger.books.accounts[SLUG].cash_micro == 10_200_000
    assert ask(hedger, outcome(), now_ns=END_NS).status == "ok"


def test_another_outcome_than_the_one_that_stands_is_refused_by_name() -> None:
    for hedger in (settled("CALL"), hedger_in_a_period()):
        first = ask(hedger, outcome("CALL", entry_id="first"), now_ns=END_NS)
        assert first.status == "ok"
        for again in (outcome("PUT"), outcome("PUT", entry_id="first")):
            answer = ask(hedger, again, now_ns=END_NS)
            assert (answer.status, answer.detail.partition(":")[0]) == ("refused", "outcome_differs")
        assert hedger.books.accounts[SLUG].outcome == "CALL"


@pytest.mark.parametrize("is_held", [False, True])
def test_an_outcome_by_hand_against_the_venues_word_that_is_not_booked_yet_is_refused(is_held: bool) -> None:
    journal = BreakableJournal()
    hedger = hedger_in_a_period(journal)
    if is_held:
        ask(hedger, fill())
        journal.is_broken = True
    deliver(hedger, build(Settlement, official="PUT"))
    journal.is_broken = False
    answer = ask(hedger, outcome("CALL"), now_ns=END_NS)
    assert (answer.status, answer.detail.partition(":")[0]) == ("refused", "outcome_differs")
    assert ask(hedger, outcome("PUT"), now_ns=END_NS).status == "ok"
    assert hedger.books.accounts[SLUG].outcome == "PUT"


def test_an_outcome_is_not_booked_while_the_period_runs() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    answer = ask(hedger, outcome(), now_ns=END_NS - 1)
    assert (answer.status, answer.detail.partition(":")[0]) == ("refused", "running")
    assert hedger.books.accounts[SLUG].outcome is None


@pytest.mark.parametrize(
    ("booking", "name"),
    [
        (outcome(entry_id="f1"), "id_reused"),
        (outcome(entry_id=f"settlement:{SLUG}:9"), "id"),
        (outcome(slug=ETH), "slug"),
        (outcome(ts_ns=0), "time"),
    ],
)
def test_an_outcome_that_cannot_be_is_refused_by_name(booking: Question, name: str) -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    answer = ask(hedger, booking, now_ns=END_NS)
    assert (answer.status, answer.detail.partition(":")[0]) == ("refused", name)
    assert hedger.books.sequence == 1


def test_the_venues_word_after_an_outcome_by_hand_books_nothing_and_a_contradiction_is_said() -> None:
    hedger = hedger_in_a_period()
    ask_all(hedger, fill(), outcome("PUT"), now_ns=END_NS)
    deliver(hedger, build(Settlement, official="PUT"))
    assert hedger.notices == []
    deliver(hedger, build(Settlement, official="CALL"))
    assert [note.partition(";")[2] for note in hedger.notices] == [" the venue now says CALL: not booked, look at it"]
    assert hedger.books.sequence == 2

"""A fill of ours counts once, whatever else the ledger books before, between and after."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.own_fills import Holding, OwnFills
from services.hedger.journal import MemoryJournal
from shared.messages import Position
from shared.money import to_micro
from shared.requests import BookFill, PositionQuery
from tests.builders import build
from tests.services.executor.test_period_orders import SHARE, fill_of
from tests.services.hedger.scene import ask, fill, hedger_in_a_period, reversal


def shown(own: OwnFills, **fields: Any) -> Holding:
    position = build(Position, **fields)
    own.show(position.sequence)
    return own.holding(position)


def exactly(call: int, put: int = 0) -> Holding:
    return Holding(call * SHARE, call * SHARE, put * SHARE, put * SHARE)


def test_a_fill_is_held_until_a_position_contains_its_entry_and_then_once() -> None:
    own = OwnFills()
    own.add(fill_of(1))
    own.confirm("f1", 8)
    assert shown(own, sequence=7) == exactly(10)
    assert shown(own, sequence=8, call_shares=10.0) == exactly(10)
    assert shown(own, sequence=9, call_shares=10.0) == exactly(10)


def test_what_others_book_and_what_is_taken_back_moves_no_fill_of_ours() -> None:
    own = OwnFills()
    for number in (1, 2):
        own.add(fill_of(number))
    own.confirm("f1", 3)  # entries 1 and 2 were booked by hand
    own.confirm("f2", 6)
    assert shown(own, sequence=3, call_shares=30.0, fills=3) == exactly(40)
    assert shown(own, sequence=5, call_shares=10.0, fills=1) == exactly(20)  # 4 and 5 took two fills back
    assert shown(own, sequence=6, call_shares=20.0, fills=2) == exactly(20)


def test_a_fill_that_is_not_answered_is_missing_from_what_was_shown_before_it() -> None:
    own = OwnFills()
    assert shown(own, sequence=4, call_shares=1.0) == exactly(1)
    own.add(fill_of(1, side="sell", units=SHARE))
    assert own.holding(build(Position, sequence=4, call_shares=1.0)) == exactly(0)


@pytest.mark.parametrize(
    ("outcome", "side", "expected"),
    [
        ("CALL", "buy", Holding(20 * SHARE, 30 * SHARE, 20 * SHARE, 20 * SHARE)),
        ("CALL", "sell", Holding(10 * SHARE, 20 * SHARE, 20 * SHARE, 20 * SHARE)),
        ("PUT", "buy", Holding(20 * SHARE, 20 * SHARE, 20 * SHARE, 30 * SHARE)),
    ],
)
def test_a_later_position_may_contain_it_or_not(outcome: str, side: str, expected: Holding) -> None:
    own = OwnFills()
    own.add(fill_of(1, outcome=outcome, side=side))
    assert shown(own, sequence=1, call_shares=20.0, put_shares=20.0) == expected
    assert expected.inventory_least <= expected.inventory_most


def test_a_fill_of_an_earlier_run_may_be_in_any_position_until_the_ledger_answers() -> None:
    own = OwnFills()
    assert shown(own, sequence=5, call_shares=10.0) == exactly(10)
    own.add_earlier(fill_of(1))
    position = build(Position, sequence=5, call_shares=10.0)
    assert own.holding(position) == Holding(10 * SHARE, 20 * SHARE, 0, 0)
    own.confirm("f1", 5)
    assert own.holding(position) == exactly(10)


def test_fills_of_another_period_are_not_held_in_this_one() -> None:
    own = OwnFills()
    own.add(fill_of(1, slug="btc-updown-15m-1791240300"))
    assert shown(own, call_shares=3.0) == exactly(3)


def test_a_position_never_goes_back() -> None:
    own = OwnFills()
    own.show(3)
    own.show(3)
    with pytest.raises(ValueError, match="entry 2 after one as of entry 3"):
        own.show(2)


# -- against the ledger itself ---------------------------------------------------------------------------------------


STEPS = st.lists(
    st.sampled_from(("buy", "sell", "book", "book", "by hand", "take back", "show", "show", "answer")), max_size=40
)


@given(STEPS)
def test_what_is_held_lies_between_the_bounds_whatever_the_ledger_does_and_whenever_it_says_so(
    steps: list[str],
) -> None:
    journal = MemoryJournal()
    hedger, own = hedger_in_a_period(journal), OwnFills()
    made: list[BookFill] = []
    unanswered: list[tuple[str, int]] = []
    booked = taken_back = by_hand = 0
    position = build(Position)
    for step in steps:
        match step:
            case "buy" | "sell":
                made.append(fill(f"f{len(made)}", side=step, units=SHARE))
                own.add(made[-1])
            case "book" if booked < len(made):
                answer = ask(hedger, made[booked])
                if answer.status == "ok":
                    unanswered.append((made[booked].fill_id, answer.entry))
                    booked += 1
            case "by hand":
                by_hand += 1
                assert ask(hedger, fill(f"desk-{by_hand}", units=SHARE)).status == "ok"
            case "take back" if taken_back < booked:
                taken_back += ask(hedger, reversal(f"f{taken_back}")).status == "ok"
            case "show":
                (position,) = ask(hedger, PositionQuery(market="btc-15m")).positions
                own.show(position.sequence)
            case "answer" if unanswered:
                own.confirm(*unanswered.pop(0))
        entry_of = {each.entry_id: each.sequence for each in journal.entries}
        held = to_micro(position.call_shares)
        for each in made:
            if entry_of.get(each.fill_id, position.sequence + 1) > position.sequence:
                held += each.units if each.side == "buy" else -each.units
        holding = own.holding(position)
        assert holding.call_least <= held <= holding.call_most
        if not unanswered and booked == len(made):
            assert holding.call_least == holding.call_most

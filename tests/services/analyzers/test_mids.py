from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.mids import SLOTS, STATE, Config, part, stood_at, stood_before, update
from shared.kernel import Record
from tests.services.analyzers.fixtures import cold, ns

CONFIG = Config()


def told(*books: tuple[float, float]) -> Record:
    """A state that saw these (time, mid), half a cent either side."""
    state = cold(STATE)
    for at_s, mid in books:
        update(state, CONFIG, ns(at_s), mid, 0.005)
    return state


def test_a_mid_stands_until_the_next_one() -> None:
    state = told((0.0, 0.50), (1.0, 0.52), (1.5, 0.52), (2.0, 0.51))
    found = [stood_at(state, CONFIG, ns(at_s))[0] for at_s in (0.0, 0.99, 1.0, 1.99, 2.0, 4.0)]
    assert found == [0.50, 0.50, 0.52, 0.52, 0.51, 0.51]
    assert stood_at(state, CONFIG, ns(1.0))[1] == 0.005


def test_the_mid_before_a_trade_is_not_the_one_that_the_trade_made() -> None:
    state = told((9.0, 0.50), (9.98, 0.53))  # the book shows the trade 20 ms before the trade's own stamp
    assert stood_before(state, CONFIG, ns(10.0))[0] == 0.50
    assert stood_at(state, CONFIG, ns(10.0))[0] == 0.53


def test_it_is_unknown_before_the_first_and_after_a_silence_and_while_one_side_is_empty() -> None:
    state = told((0.0, 0.50), (20.0, 0.60), (21.0, math.nan), (22.0, 0.61))
    unknown = (-1.0, 5.1, 19.9, 21.5, 27.1)
    assert all(math.isnan(stood_at(state, CONFIG, ns(at_s))[0]) for at_s in unknown)
    assert [stood_at(state, CONFIG, ns(at_s))[0] for at_s in (4.9, 20.5, 22.0, 27.0)] == [0.50, 0.60, 0.61, 0.61]


def test_it_is_unknown_from_a_loss_to_the_next_book() -> None:
    state = told((0.0, 0.50), (1.0, 0.51))
    part(state)
    assert math.isnan(stood_at(state, CONFIG, ns(1.5))[0])
    assert stood_at(state, CONFIG, ns(0.5))[0] == 0.50
    update(state, CONFIG, ns(2.0), 0.51, 0.005)
    assert math.isnan(stood_at(state, CONFIG, ns(1.5))[0])
    assert stood_at(state, CONFIG, ns(2.0))[0] == 0.51


def test_nothing_is_known_of_nothing() -> None:
    state = cold(STATE)
    part(state)
    assert math.isnan(stood_at(state, CONFIG, ns(0.0))[0])


def test_an_older_book_is_ignored_and_the_last_of_one_instant_counts() -> None:
    state = told((1.0, 0.50), (0.5, 0.90), (1.0, 0.51))
    assert stood_at(state, CONFIG, ns(1.0))[0] == 0.51
    assert math.isnan(stood_at(state, CONFIG, ns(0.9))[0])


def test_what_is_longer_ago_than_the_ring_is_unknown() -> None:
    state = told(*((i / 100, 0.40 + i / 10_000) for i in range(SLOTS + 10)))
    assert math.isnan(stood_at(state, CONFIG, ns(0.05))[0])
    assert stood_at(state, CONFIG, ns(0.105))[0] == pytest.approx(0.401)


books = st.lists(st.tuples(st.integers(1, 3000), st.sampled_from((0.4, 0.5, 0.6))), min_size=1, max_size=60)


@given(books, st.integers(0, 200_000))
def test_it_agrees_with_a_search_through_all_books(steps: list[tuple[int, float]], asked_ms: int) -> None:
    told_books, at_ms = [], 0
    for gap_ms, mid in steps:
        at_ms += gap_ms
        told_books.append((at_ms / 1000, mid))
    before = [(at_s, mid) for at_s, mid in told_books if at_s <= asked_ms / 1000]
    known = bool(before) and asked_ms / 1000 - before[-1][0] <= CONFIG.max_age_s
    found = stood_at(told(*told_books), CONFIG, ns(asked_ms / 1000))[0]
    assert found == before[-1][1] if known else math.isnan(found)

from __future__ import annotations

from services.analyzers.doubted import SLOTS, STATE, clear, doubt, is_doubted
from tests.services.analyzers.fixtures import cold, ns


def test_a_doubted_print_is_known_by_stamp_and_price() -> None:
    state = cold(STATE)
    doubt(state, ns(1), 10.0)
    assert is_doubted(state, ns(1), 10.0)
    assert not is_doubted(state, ns(1), 10.1)
    assert not is_doubted(state, ns(2), 10.0)


def test_the_later_price_of_a_stamp_replaces_the_earlier() -> None:
    state = cold(STATE)
    doubt(state, ns(1), 10.0)
    doubt(state, ns(1), 10.1)
    assert not is_doubted(state, ns(1), 10.0)
    assert is_doubted(state, ns(1), 10.1)


def test_what_is_believed_now_is_not_doubted() -> None:
    state = cold(STATE)
    doubt(state, ns(1), 10.0)
    clear(state, ns(1))
    assert not is_doubted(state, ns(1), 10.0)


def test_the_oldest_makes_room() -> None:
    state = cold(STATE)
    for i in range(SLOTS + 1):
        doubt(state, ns(i), 10.0)
    assert [is_doubted(state, ns(i), 10.0) for i in (0, 1, SLOTS)] == [False, True, True]

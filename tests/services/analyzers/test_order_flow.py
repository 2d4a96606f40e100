from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.order_flow import STATE, Config, part, read, update
from tests.services.analyzers.fixtures import cold, ns, vectors

CONFIG = Config()


def test_contributions_agree_with_the_reference() -> None:
    reference, state = vectors("toxicity.json")["ofi"], cold(STATE)
    found = [
        update(state, CONFIG, ns(i / 10), each["bid"], float(each["bidq"]), each["ask"], float(each["askq"]))
        for i, each in enumerate(reference["snapshots"])
    ]
    assert found == [0.0, *(float(each) for each in reference["expected"])]


def test_a_growing_bid_is_buying_pressure_and_fades() -> None:
    state = cold(STATE)
    for i in range(20):
        update(state, CONFIG, ns(i / 10), 100.0, 1.0 + i, 101.0, 1.0)
    now = read(state, CONFIG, ns(2))
    assert 0.5 < now < 1.0
    assert 0.0 < read(state, CONFIG, ns(30)) < 0.3 * now


def test_nothing_is_differenced_across_a_gap_or_a_silence() -> None:
    for at_s, lost in ((1.0, True), (10.0, False)):
        state = cold(STATE)
        update(state, CONFIG, ns(0), 100.0, 1.0, 101.0, 1.0)
        if lost:
            part(state)
        assert update(state, CONFIG, ns(at_s), 105.0, 500.0, 106.0, 1.0) == 0.0
        assert read(state, CONFIG, ns(at_s)) == 0.0


quotes = st.lists(
    st.tuples(st.floats(0.0, 3.0), st.integers(90, 110), st.floats(0, 50), st.integers(1, 3), st.floats(0, 50)),
    max_size=40,
)


@given(quotes, st.floats(1e-3, 1e3))
def test_it_stays_in_bounds_and_has_no_unit(steps: list[tuple[float, int, float, int, float]], scale: float) -> None:
    one, other = cold(STATE), cold(STATE)
    at_s = 0.0
    for gap_s, bid, bid_size, spread, ask_size in steps:
        at_s += gap_s
        update(one, CONFIG, ns(at_s), float(bid), bid_size, float(bid + spread), ask_size)
        update(other, CONFIG, ns(at_s), float(bid), scale * bid_size, float(bid + spread), scale * ask_size)
    assert -1.0 <= read(one, CONFIG, ns(at_s)) <= 1.0
    assert read(other, CONFIG, ns(at_s)) == pytest.approx(read(one, CONFIG, ns(at_s)), abs=1e-6)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.imbalance import STATE, Config, call_price, call_sign, read, update
from tests.services.analyzers.fixtures import cold, ns, vectors

CONFIG = Config()


def test_it_agrees_with_the_reference() -> None:
    reference = vectors("toxicity.json")["ew_imbalance"]
    config, state = Config(half_life_s=reference["half_life_s"], shrink_shares=reference["shrink"]), cold(STATE)
    for at_s, shares, expected in zip(reference["times"], reference["signed_size"], reference["expected"], strict=True):
        update(state, config, ns(at_s), float(shares))
        assert read(state, config, ns(at_s)) == pytest.approx(expected, rel=1e-9)


def test_signs_and_prices_agree_with_the_reference() -> None:
    for case in vectors("toxicity.json")["sign_mapping"]:
        outcome, aggressor = ("CALL" if case["token"] == "UP" else "PUT"), case["side"].lower()
        assert call_sign(outcome, aggressor) == case["up_sign"]
        assert call_price(outcome, case["price"]) == pytest.approx(case["up_price"])


def test_buying_put_is_selling_call() -> None:
    assert call_sign("PUT", "buy") == call_sign("CALL", "sell") == -1
    assert call_sign("PUT", "sell") == call_sign("CALL", "buy") == 1


def test_it_fades_when_trading_stops() -> None:
    state = cold(STATE)
    update(state, CONFIG, ns(0), 100.0)
    assert read(state, CONFIG, ns(0)) == pytest.approx(100 / 150)
    assert read(state, CONFIG, ns(CONFIG.half_life_s)) == pytest.approx(50 / 100)
    assert read(state, CONFIG, ns(3600)) == pytest.approx(0.0, abs=1e-9)


trades = st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(-500.0, 500.0)), max_size=30)


@given(trades)
def test_it_stays_in_bounds_and_mirrors(steps: list[tuple[float, float]]) -> None:
    one, other = cold(STATE), cold(STATE)
    at_s = 0.0
    for gap_s, shares in steps:
        at_s += gap_s
        update(one, CONFIG, ns(at_s), shares)
        update(other, CONFIG, ns(at_s), -shares)
    assert -1.0 <= read(one, CONFIG, ns(at_s)) <= 1.0
    assert read(other, CONFIG, ns(at_s)) == pytest.approx(-read(one, CONFIG, ns(at_s)), abs=1e-12)

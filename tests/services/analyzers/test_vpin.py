from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.vpin import STATE, Config, expected_by_chance, read, start, update
from shared.kernel import Record
from tests.services.analyzers.fixtures import cold, vectors

CONFIG = Config()


def sized(bucket_shares: float) -> Record:
    state = cold(STATE)
    start(state, CONFIG._replace(bucket_shares=bucket_shares), 0.0)
    return state


def test_buckets_and_vpin_agree_with_the_reference() -> None:
    reference = vectors("toxicity.json")["vpin"]
    config, state, found = CONFIG._replace(window=reference["window"]), sized(reference["V"]), []
    for volume, sign in zip(reference["volume"], reference["sign"], strict=True):
        for _ in range(update(state, float(volume) * sign)):
            found.append(read(state, config)[0])
    assert found[-1] == pytest.approx(reference["vpin"][-1])
    expected = [abs(each["buy"] - each["sell"]) / 100.0 for each in reference["buckets"]]
    assert list(state["imbalance"][:6]) == pytest.approx(expected)
    assert state["buys"] + state["sells"] == pytest.approx(reference["remainder"])


def test_the_value_by_chance_agrees_with_the_reference() -> None:
    for case in vectors("toxicity.json")["vpin_null"]:
        assert expected_by_chance(float(case["trades_per_bucket"])) == pytest.approx(case["expected_vpin"], rel=1e-9)


def test_the_value_by_chance_by_hand() -> None:
    assert [expected_by_chance(m) for m in (1.0, 2.0, 4.0)] == pytest.approx([1.0, 0.5, 0.375])


def test_a_trade_is_split_exactly_over_buckets() -> None:
    state = sized(100.0)
    assert update(state, 30.0) == 0
    assert update(state, -250.0) == 2
    assert list(state["imbalance"][:2]) == pytest.approx([0.4, 1.0])
    assert state["sells"] == pytest.approx(80.0)


def test_random_flow_lies_at_its_value_by_chance_and_one_sided_flow_above() -> None:
    rng = np.random.default_rng(1)
    random, informed = sized(200.0), sized(200.0)
    gaps = []
    for _ in range(4000):
        shares = float(rng.uniform(5, 40))
        update(random, shares * rng.choice([-1.0, 1.0]))
        update(informed, shares * (1.0 if rng.random() < 0.85 else -1.0))
        vpin, null = read(random, CONFIG)
        if math.isfinite(vpin):
            gaps.append(vpin - null)
    assert abs(np.mean(gaps)) < 0.03
    vpin, null = read(informed, CONFIG)
    assert vpin > null + 0.3


def test_there_is_no_answer_until_the_window_is_full() -> None:
    state = sized(100.0)
    update(state, 1499.0)
    assert math.isnan(read(state, CONFIG)[0])
    update(state, 1.0)
    assert read(state, CONFIG) == pytest.approx((1.0, 1.0), abs=1e-3)


def test_buckets_follow_the_volume_of_the_last_whole_period() -> None:
    state = cold(STATE)
    start(state, CONFIG, 50_000.0)
    assert state["bucket_shares"] == 1000.0
    start(state, CONFIG, 10.0)
    assert state["bucket_shares"] == CONFIG.min_bucket_shares


@given(st.lists(st.floats(-1e6, 1e6), max_size=40))
def test_volume_is_conserved_and_the_answer_bounded(trades: list[float]) -> None:
    state = sized(25.0)
    for each in trades:
        update(state, each)
    assert 0.0 <= state["buys"] + state["sells"] <= 25.0
    vpin, null = read(state, CONFIG)
    assert math.isnan(vpin) or (0.0 <= vpin <= 1.0 and 0.0 < null <= 1.0)


def test_an_unsized_state_counts_nothing() -> None:
    assert update(cold(STATE), 10.0) == 0

"""The digital's value agrees with independent numbers, and what is not known is never invented."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.digital import (
    MAX_SAMPLES,
    merton_probability,
    observe_print,
    open_window,
    point_digital,
    student_cdf,
    tail_dof,
    twap_law,
    up_probability,
    window_law,
)
from shared.kernel import State

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"
SECOND = 1_000_000_000
START = 1_000_000 * SECOND
SIGMA = 8.903621732722671e-05


def vectors(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no vectors at {path}: this machine has only the repository")
    return json.loads(path.read_text())


def path_at(seconds: float) -> float:
    return 3e-4 * math.sin(seconds / 97.0) + 1e-7 * seconds


def windows_of(*, period_s: int = 900, lookback_s: int = 60, offset_s: float = 0.0) -> State:
    strike = open_window(end_ns=START, lookback_s=lookback_s, offset_s=offset_s)
    settlement = open_window(end_ns=START + period_s * SECOND, lookback_s=lookback_s, offset_s=offset_s)
    return np.concatenate([strike, settlement])


def feed_path(windows: State, *, until_s: float, offset_s: float = 0.0, skip: tuple[int, ...] = ()) -> None:
    for second in range(-200, 1000):
        at = second - offset_s % 1.0
        if at <= until_s + 1e-9 and second not in skip:
            for row in (0, 1):
                observe_print(windows, row, START + round(at * SECOND), path_at(at))


def test_the_twap_value_agrees_with_the_exact_gaussian_functional() -> None:
    for case in vectors("twap_settlement.json")["cases"]:
        now = case["period_s"] - case["tau_s"]
        windows = windows_of(offset_s=case["offset_s"])
        feed_path(windows, until_s=now, offset_s=case["offset_s"])
        mean, weight, variance_s, missing = twap_law(windows, False, 0.0, START + round(now * SECOND), path_at(now))
        probability, slope = up_probability(mean, variance_s * case["sigma_sec"] ** 2, 0.0)
        assert missing == 0
        assert mean == pytest.approx(case["mean_log"], abs=1e-14)
        assert variance_s == pytest.approx(case["var_eff_seconds"], rel=1e-9, abs=1e-12)
        assert probability == pytest.approx(case["p_up"], abs=1e-10)
        settlement_weight = window_law(windows, 1, START + round(now * SECOND), path_at(now))[1] / 60
        assert settlement_weight == pytest.approx(case["spot_weight"], abs=1e-12)
        assert slope * settlement_weight * 1e-4 == pytest.approx(case["dp_per_bp"], rel=1e-7, abs=1e-20)
        if now >= -case["offset_s"]:  # before that a price move shifts the strike as well
            assert weight == pytest.approx(settlement_weight, abs=1e-12)


def test_before_the_strike_window_a_price_move_says_nothing() -> None:
    windows = windows_of()
    feed_path(windows, until_s=-100)
    _, weight, _, _ = twap_law(windows, False, 0.0, START - 100 * SECOND, path_at(-100))
    assert weight == pytest.approx(0.0, abs=1e-12)


def test_the_remaining_variance_follows_the_discrete_formula() -> None:
    for case in vectors("twap_settlement.json")["discrete_var_k_remaining"]:
        windows = windows_of()
        now = 900 - case["k"]
        feed_path(windows, until_s=now)
        _, _, variance_s, _ = twap_law(windows, True, 0.0, START + now * SECOND, path_at(now))
        assert variance_s == pytest.approx(case["var_over_sigma2"], rel=1e-12)


def test_forty_five_seconds_before_the_end_the_twap_knows_more_than_the_point_rule() -> None:
    windows = windows_of()
    feed_path(windows, until_s=855)
    mean, _, variance_s, _ = twap_law(windows, False, 0.0, START + 855 * SECOND, path_at(855))
    assert up_probability(mean, variance_s * SIGMA**2, 0.0)[0] == pytest.approx(0.910231717, abs=1e-8)
    assert point_digital(mean, SIGMA, 45.0, 1.0)[0] == pytest.approx(0.722, abs=5e-3)


def test_point_greeks_agree_with_the_closed_forms() -> None:
    for case in vectors("digital_greeks.json")["cases"]:
        moneyness = math.log(case["S"] / case["K"])
        price, delta, gamma, vega, theta, d1, d2 = point_digital(
            moneyness, case["sigma_sec"], float(case["tau_s"]), case["S"]
        )
        expected = case["expected"]
        assert price == pytest.approx(expected["price"], abs=1e-12)
        for ours, name in (
            (delta, "delta"),
            (gamma, "gamma"),
            (vega, "vega"),
            (theta, "theta"),
            (d1, "d1"),
            (d2, "d2"),
        ):
            assert ours == pytest.approx(expected[name], rel=1e-8, abs=1e-15), (name, case)


def test_the_greeks_obey_the_heat_equation() -> None:
    _, _, gamma, vega, theta, _, _ = point_digital(0.001, SIGMA, 300.0, 60_000.0)
    assert theta + 0.5 * (SIGMA * 60_000.0) ** 2 * gamma == pytest.approx(0.0, abs=1e-18)
    assert vega == pytest.approx(SIGMA * 300.0 * 60_000.0**2 * gamma, rel=1e-12)


def test_fat_tails_agree_with_the_reference() -> None:
    document = vectors("digital_fat_tails.json")
    for case in document["cases"]:
        probability, _ = up_probability(case["d_unit_variance"], 1.0, case["nu"])
        assert probability == pytest.approx(case["p"], abs=1e-10)
    for case in document["merton"]:
        probability = merton_probability(
            case["log_moneyness"], case["sigma_sec"], float(case["tau_s"]), case["jump_rate_per_s"], case["jump_sd"]
        )
        assert probability == pytest.approx(case["p"], abs=1e-10)


def test_the_student_tail_is_the_known_one_for_one_and_two_degrees() -> None:
    for score in (-30.0, -2.0, -0.1, 0.0, 0.3, 1.0, 8.0):
        assert student_cdf(score, 1.0) == pytest.approx(0.5 + math.atan(score) / math.pi, abs=1e-12)
        assert student_cdf(score, 2.0) == pytest.approx(0.5 + score / (2 * math.sqrt(2 + score * score)), abs=1e-12)


def test_tails_grow_thinner_with_more_seconds_left() -> None:
    assert tail_dof(0.0, 6.0) == 4.0
    assert tail_dof(30.0, 6.0) == 34.0
    assert tail_dof(30.0, 0.0) == 0.0


def test_a_tie_pays_call() -> None:
    assert up_probability(0.0, 0.0, 0.0)[0] == 1.0
    assert up_probability(-1e-16, 0.0, 0.0)[0] == 1.0
    assert up_probability(-1e-9, 0.0, 0.0)[0] == 0.0
    assert point_digital(0.0, SIGMA, 0.0, 1.0)[0] == 1.0


def covariance_law(windows: State, ref_s: float, *, row: int = 1) -> tuple[float, float, float]:
    """Mean, sensitivity and variance of a window's sum by conditioning a full covariance matrix on what was seen."""
    window = windows[row]
    first_s = (int(window["first_ns"]) - START) / SECOND
    count = int(window["count"])
    seen = [index for index in range(count) if window["is_seen"][index]]
    known_s = [first_s + index for index in seen] + [ref_s]
    known_log = [float(window["logs"][index]) for index in seen] + [path_at(ref_s)]
    if window["before_ns"] > 0:
        known_s.insert(0, (int(window["before_ns"]) - START) / SECOND)
        known_log.insert(0, float(window["before_log"]))
    unknown_s = [first_s + index for index in range(count) if index not in seen]
    origin, spread = min(known_s + unknown_s) - 1.0, 1e7  # a diffuse prior far before the first instant

    def covariance(left: list[float], right: list[float]) -> Any:
        return np.minimum.outer(np.array(left) - origin, np.array(right) - origin) + spread

    gain = np.linalg.solve(covariance(known_s, known_s), covariance(known_s, unknown_s)).T
    means = gain @ np.array(known_log)
    left_over = covariance(unknown_s, unknown_s) - gain @ covariance(known_s, unknown_s)
    return float(sum(known_log[-1 - len(seen) : -1]) + means.sum()), float(gain[:, -1].sum()), float(left_over.sum())


@settings(max_examples=60, deadline=None)
@given(
    now=st.integers(843, 905).map(lambda second: second + 0.37),
    skip=st.sets(st.integers(835, 900), max_size=30),
    late_s=st.integers(0, 20),
    joined_s=st.integers(800, 880),
)
def test_missing_prints_enter_with_their_conditional_law(
    now: float, skip: set[int], late_s: int, joined_s: int
) -> None:
    windows = windows_of()
    feed_path(windows, until_s=now - late_s, skip=tuple(skip | set(range(-200, joined_s))))
    total, sensitivity, hidden_s, future, lead_s, _ = window_law(windows, 1, START + round(now * SECOND), path_at(now))
    left = float(future)
    ahead_s = left * left * (lead_s - 1.0) + left * (left + 1.0) * (2.0 * left + 1.0) / 6.0 if future else 0.0
    mean, gain, variance_s = covariance_law(windows, now)
    assert total == pytest.approx(mean, abs=1e-6)
    assert sensitivity == pytest.approx(gain, abs=1e-3)  # of 60 samples; the covariance is inverted numerically
    assert hidden_s + ahead_s == pytest.approx(variance_s, rel=1e-3, abs=1e-2)


def test_a_missing_print_adds_uncertainty_and_a_repeated_one_changes_nothing() -> None:
    whole, holed = windows_of(), windows_of()
    feed_path(whole, until_s=880)
    feed_path(holed, until_s=880, skip=(860, 861, 862))
    ref = START + 880 * SECOND
    _, _, sure_s, missing_whole = twap_law(whole, True, 0.0, ref, path_at(880))
    _, _, unsure_s, missing_holed = twap_law(holed, True, 0.0, ref, path_at(880))
    assert (missing_whole, missing_holed) == (0, 3)
    assert unsure_s - sure_s == pytest.approx(3 * 4 * 5 / 12 / 3600, rel=1e-9)
    before = whole.tobytes()
    assert not observe_print(whole, 1, START + 870 * SECOND, path_at(870))
    assert whole.tobytes() == before


def test_a_corrected_print_replaces_the_earlier_one() -> None:
    corrected, right = windows_of(), windows_of()
    for windows in (corrected, right):
        feed_path(windows, until_s=880, skip=(800, 870))
    for windows, wrong in ((corrected, 0.5), (right, 0.0)):
        for at in (800, 870):  # the last before the window, and one inside
            observe_print(windows, 1, START + at * SECOND, path_at(at) + wrong)
    for at in (800, 870):
        observe_print(corrected, 1, START + at * SECOND, path_at(at))
    laws = [window_law(windows, 1, START + 880 * SECOND, path_at(880)) for windows in (corrected, right)]
    assert laws[0] == pytest.approx(laws[1], rel=1e-12)
    assert int(corrected[1]["seen"]) == int(right[1]["seen"])


def test_overlapping_windows_with_an_unknown_strike_have_no_answer() -> None:
    windows = windows_of(period_s=30)
    _, _, variance_s, _ = twap_law(windows, False, 0.0, START - 40 * SECOND, 0.0)
    assert math.isnan(variance_s)


def test_a_window_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        open_window(end_ns=START, lookback_s=MAX_SAMPLES + 1, offset_s=0.0)


@given(mean=st.floats(-0.01, 0.01), variance=st.floats(0.0, 1e-4), dof=st.sampled_from([0.0, 4.0, 12.5]))
def test_a_probability_is_a_probability_and_up_plus_down_is_one(mean: float, variance: float, dof: float) -> None:
    probability, slope = up_probability(mean, variance, dof)
    mirrored, _ = up_probability(-mean, variance, dof)
    assert 0.0 <= probability <= 1.0
    assert slope >= 0.0
    if variance > 0.0:
        assert probability + mirrored == pytest.approx(1.0, abs=1e-12)

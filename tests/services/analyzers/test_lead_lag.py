from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analyzers.lead_lag import (
    LAGS,
    ORACLE,
    STATE,
    TRAIL_LAGS,
    Config,
    correlation,
    mark_gap,
    null_of_maximum,
    peak,
    read,
    update,
)
from shared.kernel import Record
from tests.services.analyzers.fixtures import VECTORS, cold, ns, vectors

CONFIG = Config()
FOREVER = CONFIG._replace(half_life_s=1e12, max_gap_s=5.0, winsor=1e9)
LEADER = 1  # venue streams are 1, 2, 3

Ticks = tuple[np.ndarray, np.ndarray]


def hayashi_yoshida(x: Ticks, y: Ticks, lag: float) -> float:
    """The definition: sum of dX dY over all pairs of overlapping intervals, Y moved back by the lag. O(n m)."""
    (tx, px), (ty, py) = x, y
    overlap = (tx[:-1, None] < (ty - lag)[None, 1:]) & (tx[1:, None] > (ty - lag)[None, :-1])
    return float(np.diff(px) @ overlap @ np.diff(py))


def synthetic_pair(
    seed: int, *, lag_s: float, rho: float, seconds: int = 300, venue_hz: float = 8.0, oracle_s: float = 1.0
) -> tuple[Ticks, Ticks]:
    """A venue with Poisson ticks, and an oracle that prints on whole seconds what a correlated walk was a lag ago."""
    rng = np.random.default_rng(seed)
    step = 0.01
    n = round((seconds + 40) / step)
    own, noise = rng.standard_normal((2, n)) * 9e-5 * math.sqrt(step)
    x = np.cumsum(own)
    y = np.cumsum(rho * own + math.sqrt(1.0 - rho * rho) * noise)
    tx = np.unique(np.round(rng.uniform(0, seconds, rng.poisson(venue_hz * seconds)), 2))
    ty = np.arange(1.0, seconds, oracle_s)
    at = lambda t: np.round((t + 20) / step).astype(int)  # noqa: E731
    return (tx, x[at(tx)]), (ty, y[at(ty - lag_s)])


def feed(state: Record, config: Config, *streams: tuple[int, Ticks], delay_s: float = 0.0) -> None:
    """All ticks in the order of their stamps; the oracle's arrive `delay_s` late."""
    merged = sorted(
        (t + (delay_s if stream == ORACLE else 0.0), stream, t, p)
        for stream, ticks in streams
        for t, p in zip(*ticks, strict=True)
    )
    for _, stream, t, p in merged:
        update(state, config, stream, ns(t), p)


def rounded_up(ticks: Ticks) -> Ticks:
    """Stamps on the 100 ms grid as the kernel has them: the last tick of each bin, at its end."""
    bins = np.ceil(np.round(ticks[0] * 10, 6)) / 10
    last = np.append(np.diff(bins) > 0, True)
    return bins[last], ticks[1][last]


def answer_of(state: Record, at_s: float) -> tuple[int, float, float, float, bool]:
    return read(state, CONFIG, ns(at_s))


def test_the_definition_agrees_with_the_reference() -> None:
    reference = vectors("lead_lag.json")
    tiny = reference["tiny"]
    x, y = ((np.array(tiny["t" + each], float), np.array(tiny[each], float)) for each in "xy")
    for lag, expected in tiny["U"].items():
        assert hayashi_yoshida(x, y, float(lag)) == expected
    small = reference["small_pair"]
    x, y = ((np.array(small["t" + each]), np.array(small[each])) for each in "xy")
    for lag, expected in zip(small["lags"], small["U"], strict=True):
        assert hayashi_yoshida(x, y, lag) == pytest.approx(expected, rel=1e-9, abs=1e-18)


def test_the_definition_by_hand() -> None:
    x = (np.array([0.0, 2.0, 5.0]), np.array([0.0, 1.0, 3.0]))
    y = (np.array([1.0, 3.0, 6.0]), np.array([0.0, 2.0, 1.0]))
    assert [hayashi_yoshida(x, y, lag) for lag in (-1.0, 0.0, 1.0)] == [2.0, 4.0, 0.0]


def test_streaming_is_exactly_hayashi_yoshida_on_the_grid() -> None:
    x, y = (rounded_up(each) for each in synthetic_pair(3, lag_s=0.7, rho=0.8, seconds=120, venue_hz=4.0))
    state = cold(STATE)
    feed(state, FOREVER, (LEADER, x), (ORACLE, y))
    used = round(state["increments"][0])  # not in: the first few, before X was known for all lags, and the last few
    assert used > 90
    matches = [
        first
        for first in range(len(y[0]) - used)
        if np.allclose(
            state["contrast"][0],
            [
                hayashi_yoshida(
                    x, (np.round(y[0][first : first + used + 1] - k / 10, 6), y[1][first : first + used + 1]), 0.0
                )
                for k in range(-TRAIL_LAGS, LAGS - TRAIL_LAGS)
            ],
            rtol=1e-6,
            atol=1e-14,
        )
    ]
    assert len(matches) == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("lag_s", "rho"), [(0.4, 0.9), (1.5, 0.9), (2.3, 0.7)])
def test_the_true_lead_is_found(seed: int, lag_s: float, rho: float) -> None:
    x, y = synthetic_pair(seed, lag_s=lag_s, rho=rho)
    state = cold(STATE)
    feed(state, CONFIG, (LEADER, x), (ORACLE, y), delay_s=1.7)
    leader, lead_s, height, threshold, warm = answer_of(state, 300)
    assert (leader, warm) == (LEADER, True)
    assert lead_s == pytest.approx(lag_s, abs=0.25)
    assert threshold < height <= 1.0


@pytest.mark.parametrize("case", range(6))
def test_the_published_pairs_give_their_lag(case: int) -> None:
    parameters = vectors("lead_lag.json")["cases"][case]
    sys.path.insert(0, str(VECTORS))
    from lead_lag_synth import synth

    made = synth(
        parameters["T"],
        parameters["rate_x"],
        parameters["rate_y"],
        parameters["true_lag"],
        parameters["rho"],
        9e-5,
        np.random.default_rng(parameters["seed"]),
        noise=parameters["noise"],
    )
    sys.path.remove(str(VECTORS))
    state = cold(STATE)
    feed(state, CONFIG, (LEADER, made[:2]), (ORACLE, made[2:]))
    assert peak(state, 0)[0] == pytest.approx(parameters["est_lag"], abs=0.2)
    assert (read(state, CONFIG, ns(parameters["T"]))[0] == LEADER) == (parameters["true_lag"] > 0)


@pytest.mark.parametrize("seed", range(6))
def test_an_unrelated_venue_is_no_leader(seed: int) -> None:
    x, y = synthetic_pair(seed, lag_s=1.0, rho=0.0)
    state = cold(STATE)
    feed(state, CONFIG, (LEADER, x), (ORACLE, y))
    leader, lead_s, height, threshold, warm = answer_of(state, 300)
    assert (leader, warm) == (0, True)
    assert math.isnan(lead_s)
    assert height < threshold


def test_the_null_covers_the_largest_correlation_of_unrelated_streams() -> None:
    exceeded = 0
    for seed in range(24):
        x, y = synthetic_pair(100 + seed, lag_s=1.0, rho=0.0, seconds=200, venue_hz=4.0)
        state = cold(STATE)
        feed(state, FOREVER, (LEADER, x), (ORACLE, y))
        rho = [correlation(state, 0, k) for k in range(LAGS)]
        exceeded += max(rho, key=abs) > null_of_maximum(state, FOREVER, 0)
    assert exceeded <= 5


def test_a_venue_behind_the_oracle_is_no_leader() -> None:
    x, y = synthetic_pair(1, lag_s=-0.8, rho=0.9)
    state = cold(STATE)
    feed(state, CONFIG, (LEADER, x), (ORACLE, y))
    assert answer_of(state, 300)[0] == 0
    assert peak(state, 0)[0] == pytest.approx(-0.8, abs=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_the_faster_of_two_venues_is_the_leader(seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.standard_normal(40_000)) * 9e-5 * 0.1
    seconds = np.arange(0, 300, 0.1)
    at = lambda t: np.round((t + 20) / 0.01).astype(int)  # noqa: E731
    fast = (seconds, path[at(seconds)])
    slow = (seconds, path[at(seconds - 0.5)])
    oracle = (np.arange(1.0, 300.0), path[at(np.arange(1.0, 300.0) - 1.6)])
    state = cold(STATE)
    feed(state, CONFIG, (2, fast), (1, slow), (ORACLE, oracle))
    leader, lead_s, *_ = answer_of(state, 300)
    assert leader == 2
    assert lead_s == pytest.approx(1.6, abs=0.15)


def test_a_venue_that_another_leads_is_not_named_while_that_one_is_still_unproven() -> None:
    """The faster venue came later: it is proven over the slower one's many ticks before it is over the oracle's few."""
    rng = np.random.default_rng(1)
    path = np.cumsum(rng.standard_normal(60_000)) * 9e-5 * 0.1
    seconds, stamps = np.arange(0, 200, 0.1), np.arange(1.0, 200.0)
    at = lambda t: np.round((t + 20) / 0.01).astype(int)  # noqa: E731
    late = seconds[seconds > 40.0]
    fast = (late, path[at(late)])
    slow = (seconds, path[at(seconds - 0.5)])
    oracle = (stamps, path[at(stamps - 1.6)])
    state = cold(STATE)
    named = []
    for until_s in range(10, 200, 10):
        since_s = until_s - 10
        parts = [
            (stream, tuple(each[(ticks[0] > since_s) & (ticks[0] <= until_s)] for each in ticks))
            for stream, ticks in ((2, fast), (1, slow), (ORACLE, oracle))
        ]
        feed(state, CONFIG, *parts)  # type: ignore[arg-type]
        named.append(answer_of(state, until_s)[0])
    assert set(named) <= {0, 2}
    assert named[-1] == 2


@given(st.floats(1e-3, 1e3), st.integers(-50, 50))
@settings(max_examples=5, deadline=None)
def test_the_answer_depends_on_neither_volatility_nor_date(scale: float, days: int) -> None:
    (tx, px), (ty, py) = synthetic_pair(2, lag_s=1.0, rho=0.9, seconds=130, venue_hz=3.0)
    one, other = cold(STATE), cold(STATE)
    feed(one, CONFIG, (LEADER, (tx, px)), (ORACLE, (ty, py)))
    feed(other, CONFIG, (LEADER, (tx + days * 86400, px * scale)), (ORACLE, (ty + days * 86400, py * scale)))
    assert peak(other, 0) == pytest.approx(peak(one, 0), abs=1e-5)


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_correlations_stay_in_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = cold(STATE)
    t = np.cumsum(rng.exponential(0.2, 400))
    feed(
        state,
        CONFIG,
        (LEADER, (t, rng.standard_t(2, 400))),
        (ORACLE, (np.unique(np.round(t)), rng.standard_t(2, len(np.unique(np.round(t)))))),
    )
    assert all(abs(correlation(state, 0, k)) <= 1.0 + 1e-12 for k in range(LAGS))


def test_nothing_is_joined_across_a_gap_or_a_silence() -> None:
    seconds = np.arange(0.0, 60.0, 0.1)
    flat = (seconds, np.zeros(600))
    for lost in (False, True):
        state = cold(STATE)
        feed(state, CONFIG, (LEADER, flat))
        for at_s in range(20, 40):
            update(state, CONFIG, ORACLE, ns(at_s), 0.0)
        jump_at_s = 41 if lost else 50
        if lost:
            mark_gap(state, ORACLE)
        update(state, CONFIG, ORACLE, ns(jump_at_s), 1.0)  # the level moved while nobody looked
        feed(state, CONFIG, (LEADER, (seconds + 60.0, np.zeros(600))))
        assert state["y_square"][0] == 0.0


@pytest.mark.parametrize("at_s", [4.2, 8.0, 150.0])
def test_one_jump_moves_the_peak_by_less_than_a_tenth_of_a_second(at_s: float) -> None:
    """The oracle shows it more than a second later than the lead says."""
    (tx, px), (ty, py) = synthetic_pair(5, lag_s=1.0, rho=0.95)
    leads = []
    for jump in (0.0, 40e-4):  # 45 standard deviations of a second
        moved = ((tx, px + jump * (tx > at_s)), (ty, py + jump * (ty > at_s + 2.5)))
        state = cold(STATE)
        feed(state, CONFIG, (LEADER, moved[0]), (ORACLE, moved[1]))
        leads.append(peak(state, 0)[0])
    assert leads[1] == pytest.approx(leads[0], abs=0.1)


def test_a_y_that_stood_still_counts_as_soon_as_it_moves() -> None:
    (tx, px), (ty, py) = synthetic_pair(1, lag_s=1.0, rho=0.95)
    state = cold(STATE)
    feed(state, CONFIG, (LEADER, (tx, px)), (ORACLE, (ty, np.where(ty < 60.0, py[0], py))))
    assert answer_of(state, 300)[0] == LEADER


def test_ticks_that_are_not_newer_are_ignored() -> None:
    x, y = synthetic_pair(1, lag_s=1.0, rho=0.9, seconds=60)
    state = cold(STATE)
    feed(state, CONFIG, (LEADER, x), (ORACLE, y))
    before = state.copy()
    assert not update(state, CONFIG, ORACLE, ns(float(y[0][-1])), 9.0)
    assert not update(state, CONFIG, LEADER, ns(3.0), 9.0)
    assert state.tobytes() == before.tobytes()


def test_a_lead_once_used_moves_slowly() -> None:
    x, y = synthetic_pair(1, lag_s=1.0, rho=0.95)
    (tx, px), (ty, py) = synthetic_pair(2, lag_s=2.0, rho=0.95)
    state = cold(STATE)
    feed(state, CONFIG, (LEADER, x), (ORACLE, y))
    before = answer_of(state, 300)[1]
    feed(state, CONFIG, (LEADER, (tx + 301, px)), (ORACLE, (ty + 301, py)))
    leader, after, *_ = answer_of(state, 600)
    assert leader == 0 or abs(after - before) <= CONFIG.slew_s_per_min * 5.0 + 1e-9


def test_a_stale_estimate_names_no_leader() -> None:
    x, y = synthetic_pair(1, lag_s=1.0, rho=0.9)
    state = cold(STATE)
    feed(state, CONFIG, (LEADER, x), (ORACLE, y))
    assert answer_of(state, 300)[0] == LEADER
    assert answer_of(state, 300 + CONFIG.stale_s + 20)[::4] == (0, False)


def test_before_anything_there_is_no_leader_and_no_nan_but_the_lag() -> None:
    leader, lead_s, height, threshold, warm = read(cold(STATE), CONFIG, ns(0))
    assert (leader, height, threshold, warm) == (0, 0.0, 1.0, False)
    assert math.isnan(lead_s)

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.fill_curve import (
    STATE,
    Config,
    advance,
    decay_per_usd,
    observe_book,
    observe_trade,
    part,
    prior_excess,
    rate_per_s,
    read,
)
from shared.kernel import Record, layout_of, pack_state, unpack_state
from tests.services.analyzers.fixtures import cold, ns, vectors

CONFIG = Config(half_life_s=1e9, prior_sweeps=0.0)
TICK = 0.01
NAN = math.nan


def watch(
    state: Record,
    sweeps: list[tuple[float, float, float]],
    *,
    config: Config = CONFIG,
    until_s: float,
    from_s: float = 0.0,
    scale: float = 1.0,
    half_spread: float = 0.5 * TICK,
) -> Record:
    """A book every second, and sweeps of (seconds, sign, depth), one print each; `scale` is the unit of prices."""
    told = [(float(each), 0.0, 0.0) for each in np.arange(from_s, until_s)]
    for at_s, sign, depth in sorted(told + sweeps):
        if sign == 0.0:
            observe_book(state, config, ns(at_s), ns(at_s + 5.0), scale * TICK)
        else:
            price = scale * (0.5 + sign * depth)
            observe_trade(state, config, ns(at_s), ns(at_s), price, sign, scale * 0.5, scale * half_spread)
    advance(state, config, ns(until_s))
    return state


def simulated(seed: int, *, k: float, per_s: float, seconds: float, spreads: tuple[int, ...] = (1,)) -> Record:
    """Takers of both sides whose reach is exponential, against books of changing spread on a one-cent grid.

    An order at distance d is filled at `per_s` exp(-k d) by each side.
    """
    rng, state = np.random.default_rng(seed), cold(STATE)
    count = rng.poisson(2.0 * per_s * seconds)
    events = sorted(zip(rng.uniform(0, seconds, count), rng.exponential(1.0 / k, count), strict=True))
    spread_of = rng.choice(spreads, size=int(seconds) + 1)
    for second in range(int(seconds)):
        observe_book(state, CONFIG, ns(float(second)), ns(second + 5.0), TICK)
        half = 0.5 * TICK * float(spread_of[second])
        while events and events[0][0] < second + 1:
            at_s, reach = events.pop(0)
            if reach < half:
                continue  # nobody offers so near
            depth = half + math.floor((reach - half) / TICK) * TICK
            sign = 1.0 if rng.random() < 0.5 else -1.0
            observe_trade(state, CONFIG, ns(at_s), ns(at_s), 0.5 + sign * depth, sign, 0.5, half)
    advance(state, CONFIG, ns(float(seconds)))
    return state


def decay_error(mean_excess: float, tick_size: float, sweeps: float) -> float:
    """Standard error of k from n sweeps: 1 / sqrt(n m (m + tick)) for a mean excess m; k / sqrt(n) without a grid."""
    return 1.0 / math.sqrt(sweeps * mean_excess * (mean_excess + tick_size))


def test_the_fit_agrees_with_the_reference() -> None:
    reference = vectors("fill_tiers.json")["calibration"]
    depths, d0, seconds = np.array(reference["depths"]), reference["d0"], reference["T_s"]
    mean = float(np.mean(depths - d0))
    k = decay_per_usd(mean, 0.0)
    assert k == pytest.approx(reference["mle"]["k"], rel=1e-9)
    assert decay_error(mean, 0.0, float(len(depths))) == pytest.approx(reference["mle"]["se_k"], rel=1e-9)
    assert rate_per_s(float(len(depths)), seconds, k, d0) == pytest.approx(reference["mle"]["A"], rel=1e-9)


def test_the_analyzers_state_gives_the_reference_fit() -> None:
    reference = vectors("fill_tiers.json")["calibration"]
    depths, seconds = reference["depths"], int(reference["T_s"])
    sweeps = [((i + 0.5) * seconds / len(depths), 1.0, depth) for i, depth in enumerate(depths)]
    state = cold(STATE)
    for at_s, sign, depth in sweeps:
        observe_book(state, CONFIG, ns(at_s), ns(seconds), 0.0)
        observe_trade(state, CONFIG, ns(at_s), ns(at_s), 0.5 + depth, sign, 0.5, reference["d0"])
    advance(state, CONFIG, ns(seconds))
    rate, k = read(state, CONFIG, ns(seconds))
    assert k == pytest.approx(reference["mle"]["k"], rel=1e-6)
    assert 2.0 * rate == pytest.approx(reference["mle"]["A"], rel=2e-3)  # watched from the first sweep on


def test_the_grid_form_tends_to_the_continuous_one() -> None:
    for tick, apart in ((1e-2, 0.3), (1e-4, 3e-3), (1e-8, 1e-6)):
        assert decay_per_usd(0.017, tick) == pytest.approx(decay_per_usd(0.017, 0.0), rel=apart)
        assert decay_error(0.017, tick, 50.0) == pytest.approx(decay_error(0.017, 0.0, 50.0), rel=apart)


def test_the_grid_form_by_hand() -> None:
    assert decay_per_usd(TICK, TICK) == pytest.approx(math.log(2.0) / TICK)  # half of the sweeps go a tick further
    assert prior_excess(math.log(2.0) / TICK, TICK) == pytest.approx(TICK)
    assert prior_excess(50.0, 0.0) == pytest.approx(0.02)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [30.0, 80.0])
def test_the_truth_is_recovered_within_its_standard_error_on_a_grid(seed: int, k: float) -> None:
    state = simulated(seed, k=k, per_s=0.5, seconds=900)
    rate, found = read(state, CONFIG, ns(900))
    error = decay_error(state["excess"] / state["sweeps"], TICK, state["sweeps"])
    assert abs(found - k) < 3.0 * error < 0.5 * k
    assert rate == pytest.approx(0.5, rel=3.0 / math.sqrt(state["sweeps"]) + 0.015 * error)


def test_the_standard_error_is_the_spread_over_many_markets() -> None:
    states = [simulated(seed, k=60.0, per_s=0.5, seconds=300) for seed in range(60)]
    found = [read(state, CONFIG, ns(300))[1] for state in states]
    said = [decay_error(state["excess"] / state["sweeps"], TICK, state["sweeps"]) for state in states]
    assert np.mean(found) == pytest.approx(60.0, abs=3.0 * np.std(found) / math.sqrt(60.0) + 1.0)
    assert np.std(found) == pytest.approx(np.mean(said), rel=0.35)


def test_a_changing_spread_changes_neither_k_nor_a() -> None:
    states = [simulated(seed, k=50.0, per_s=0.5, seconds=2000, spreads=(1, 2, 3)) for seed in range(4)]
    found = [read(state, CONFIG, ns(2000)) for state in states]
    assert np.mean([k for _, k in found]) == pytest.approx(50.0, rel=0.07)
    assert np.mean([rate for rate, _ in found]) == pytest.approx(0.5, rel=0.15)


def test_the_prints_of_one_taker_are_one_sweep_to_its_farthest_price() -> None:
    swept, alone = cold(STATE), cold(STATE)
    for state in (swept, alone):
        observe_book(state, CONFIG, ns(0), ns(5), TICK)
    for at_s, price in ((1.0, 0.505), (1.0, 0.525), (1.003, 0.515)):
        observe_trade(swept, CONFIG, ns(at_s), ns(1.1), price, 1.0, 0.5, 0.005)
    observe_trade(alone, CONFIG, ns(1.0), ns(1.1), 0.525, 1.0, 0.5, 0.005)
    assert swept["sweeps"] == alone["sweeps"] == 1.0
    assert swept["excess"] == pytest.approx(alone["excess"]) == pytest.approx(0.02)


def test_a_later_print_and_one_of_the_other_side_are_other_sweeps() -> None:
    state = cold(STATE)
    observe_book(state, CONFIG, ns(0), ns(5), TICK)
    for at_s, sign in ((1.0, 1.0), (1.0, -1.0), (1.1, -1.0)):
        assert observe_trade(state, CONFIG, ns(at_s), ns(at_s), 0.5 + sign * 0.005, sign, 0.5, 0.005)
    assert state["sweeps"] == pytest.approx(3.0)


def test_without_a_mid_or_on_its_wrong_side_a_print_does_not_count() -> None:
    state = cold(STATE)
    for at_s, price, mid in ((1.0, 0.505, NAN), (2.0, 0.49, 0.5)):
        assert not observe_trade(state, CONFIG, ns(at_s), ns(at_s), price, 1.0, mid, 0.005)
    assert (state["sweeps"], state["excess"]) == (0.0, 0.0)
    assert observe_trade(state, CONFIG, ns(3.0), ns(3.0), 0.502, 1.0, 0.5, 0.005)  # inside the spread: at it
    assert state["excess"] == 0.0


def test_takers_of_one_direction_alone_still_make_a_curve() -> None:
    both = watch(cold(STATE), [(0.5 + i, (-1.0) ** i, 0.005 + TICK * (i % 3)) for i in range(60)], until_s=60)
    one = watch(cold(STATE), [(0.5 + i, 1.0, 0.005 + TICK * (i % 3)) for i in range(60)], until_s=60)
    assert read(one, CONFIG, ns(60)) == read(both, CONFIG, ns(60))


def test_time_without_a_two_sided_book_does_not_count() -> None:
    sweeps = [(0.5 + i, 1.0, 0.005 + TICK * (i % 3)) for i in range(60)]
    whole, broken = watch(cold(STATE), sweeps, until_s=60), watch(cold(STATE), sweeps, until_s=60)
    observe_book(broken, CONFIG, ns(60), ns(60), TICK)  # one side is empty
    advance(broken, CONFIG, ns(90))
    assert read(broken, CONFIG, ns(90)) == pytest.approx(read(whole, CONFIG, ns(60)), rel=1e-6)
    assert read(broken, CONFIG, ns(90))[0] == pytest.approx(
        0.5 * 1.0 * math.exp(read(whole, CONFIG, ns(60))[1] * 0.005)
    )


def test_no_answer_before_enough_sweeps_nor_long_after_the_last_book() -> None:
    few = watch(cold(STATE), [(0.5 + i, 1.0, 0.015) for i in range(19)], until_s=30)
    enough = watch(cold(STATE), [(0.5 + i, 1.0, 0.015) for i in range(21)], until_s=30)
    assert all(math.isnan(each) for each in read(few, CONFIG, ns(30)))
    assert all(math.isfinite(each) for each in read(enough, CONFIG, ns(30)))
    assert all(math.isnan(each) for each in read(enough, CONFIG, ns(30 + CONFIG.stale_s + 6)))
    assert all(math.isnan(each) for each in read(cold(STATE), CONFIG, ns(30)))


def test_old_sweeps_fade() -> None:
    config = Config(half_life_s=60.0, prior_sweeps=0.0)
    wild = [(0.5 + i / 2, 1.0, 0.105) for i in range(240)]
    calm = [(120.5 + i / 2, 1.0, 0.005 + TICK * (i % 2)) for i in range(1200)]
    state = watch(cold(STATE), wild + calm, config=config, until_s=720)
    only = watch(cold(STATE), calm, config=config, until_s=720, from_s=120)
    assert read(state, config, ns(720)) == pytest.approx(read(only, config, ns(720)), rel=0.05)


def test_when_no_sweep_passes_the_touch_the_prior_alone_bounds_the_decay() -> None:
    sweeps = [(0.5 + i, 1.0, 0.005) for i in range(60)]
    assert all(math.isnan(each) for each in read(watch(cold(STATE), sweeps, until_s=60), CONFIG, ns(60)))
    drawn = CONFIG._replace(prior_sweeps=10.0)
    rate, k = read(watch(cold(STATE), sweeps, config=drawn, until_s=60), drawn, ns(60))
    assert k > drawn.prior_decay_per_usd
    assert rate * math.exp(-k * 0.005) == pytest.approx(0.5, rel=1e-6)  # at the touch: what was counted


def test_the_prior_draws_a_few_sweeps_far_and_many_a_little() -> None:
    drawn = CONFIG._replace(prior_sweeps=10.0, min_sweeps=5.0)
    flat = drawn._replace(prior_sweeps=0.0)
    gaps = []
    for count in (10, 400):
        state = watch(cold(STATE), [((i + 0.5) / 10, 1.0, 0.005 + TICK * (i % 10)) for i in range(count)], until_s=60)
        alone, with_prior = read(state, flat, ns(60))[1], read(state, drawn, ns(60))[1]
        assert alone < with_prior < drawn.prior_decay_per_usd
        gaps.append(with_prior - alone)
    assert gaps[1] < 0.1 * gaps[0]
    assert decay_per_usd(prior_excess(60.0, TICK), TICK) == pytest.approx(60.0)


def test_after_a_part_no_sweep_goes_on_and_time_stands() -> None:
    state = watch(cold(STATE), [(0.5, 1.0, 0.005)], until_s=2)
    watched_s = state["watched_s"]
    part(state)
    advance(state, CONFIG, ns(4))
    assert state["watched_s"] == pytest.approx(watched_s)
    observe_book(state, CONFIG, ns(4), ns(9), TICK)
    assert observe_trade(state, CONFIG, ns(0.5), ns(4), 0.515, 1.0, 0.5, 0.005)


def test_a_checkpoint_goes_on_as_if_nothing_had_been() -> None:
    sweeps = [(0.5 + i, (-1.0) ** i, 0.005 + TICK * (i % 4)) for i in range(60)]
    whole = watch(cold(STATE), sweeps, until_s=60)
    half = watch(np.zeros(1, STATE)[0], sweeps[:30], until_s=30)
    again = unpack_state(pack_state(np.array([half], STATE)), dtype=STATE, layout=layout_of(STATE))[0]
    watch(again, sweeps[30:], until_s=60, from_s=30)
    assert again.tobytes() == whole.tobytes()


@given(st.floats(1e-3, 1e3), st.integers(0, 50))
def test_the_unit_of_prices_changes_k_alone_and_inversely(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sweeps = [(0.5 + i, float(rng.choice([-1.0, 1.0])), 0.005 + TICK * int(rng.integers(0, 4))) for i in range(40)]
    rate, k = read(watch(cold(STATE), sweeps, until_s=40), CONFIG, ns(40))
    scaled_rate, scaled_k = read(watch(cold(STATE), sweeps, until_s=40, scale=scale), CONFIG, ns(40))
    assert scaled_rate == pytest.approx(rate, rel=1e-6)
    assert scaled_k * scale == pytest.approx(k, rel=1e-6)


prints = st.lists(
    st.tuples(st.floats(0.0, 4.0), st.sampled_from((1.0, -1.0)), st.floats(0.0, 0.6), st.booleans()), max_size=80
)


@given(prints)
def test_the_answer_is_a_pair_of_positive_numbers_or_none(steps: list[tuple[float, float, float, bool]]) -> None:
    config, state, at_s = Config(min_sweeps=3.0), cold(STATE), 0.0
    for gap_s, sign, depth, is_known in steps:
        at_s += gap_s
        observe_book(state, config, ns(at_s), ns(at_s + (5.0 if is_known else 0.0)), TICK)
        observe_trade(state, config, ns(at_s), ns(at_s), 0.5 + sign * depth, sign, 0.5 if is_known else NAN, 0.005)
    rate, k = read(state, config, ns(at_s))
    assert math.isnan(k) or (k > 0.0 and (rate > 0.0 or math.isnan(rate)))

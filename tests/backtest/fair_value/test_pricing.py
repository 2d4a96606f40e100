"""Competitors are priced at the same instants by the live code, and nothing of the future enters."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtest.fair_value.oracle_mean import recomputed_windows
from backtest.fair_value.pricing import NAIVE_SIGMA, TAUS_S, Priced, Row, mid_at, moments_of, price_session
from backtest.fair_value.recordings_io import (
    Book,
    Recording,
    Session,
    Stream,
    Window,
    load_arnavbhatia,
    load_ligengxin,
    load_resolvedkit,
    load_thevalerka,
)
from shared.config import load_config
from shared.digital import normal_cdf
from shared.market import Series
from tests.backtest.fair_value import recordings as made

NS = 1_000_000_000
CONFIG = load_config()


def run(session: Session, recording: Recording) -> Priced:
    priced = Priced([], [], Counter())
    for _ in price_session(session, recording, CONFIG, priced):
        pass
    return priced


def day(folder: Path, *, seconds: int = 2700) -> tuple[Session, Recording]:
    """Oracle prints only, with official windows and windows settled by averages."""
    made.write_ligengxin(folder / "l", seconds=seconds)
    recording = load_ligengxin(folder / "l")
    (session,) = recording.sessions
    assert session.oracle is not None
    windows, _ = recomputed_windows(session.oracle, Series.parse("btc-5m"), group="twap", offset_s=3, at_least=57)
    return replace(session, windows=session.windows + tuple(windows)), recording


def with_future(stream: Stream, after_ns: int, factor: float) -> Stream:
    """The same until then, and another price afterwards."""
    prices = np.where(stream.recv_ns > after_ns, stream.prices * factor, stream.prices)
    return Stream(stream.stamp_ns, stream.recv_ns, prices)


def said_until(priced: Priced, until_s: int) -> dict[tuple[str, str, int], dict[str, float]]:
    return {
        (row.group, row.slug, row.tau_s): dict(row.said) for row in priced.rows if end_of(row) - row.tau_s <= until_s
    }


def end_of(row: Row) -> int:
    return int(row.slug.rsplit("-", 1)[1]) + 300


def test_another_future_changes_nothing_that_was_said_before_it(tmp_path: Path) -> None:
    session, recording = day(tmp_path)
    assert session.oracle is not None
    at_s = made.DAY_S + 1475
    truth = run(session, recording)
    other = run(replace(session, oracle=with_future(session.oracle, at_s * NS, 1.01)), recording)
    before = said_until(truth, at_s)
    assert len(before) > 20
    assert before == said_until(other, at_s)
    assert said_until(truth, made.DAY_S + 2700) != said_until(other, made.DAY_S + 2700)
    assert [each for each in truth.forecasts if each.start_s <= at_s] == [
        each for each in other.forecasts if each.start_s <= at_s
    ]


def test_another_future_of_the_venue_changes_nothing_either(tmp_path: Path) -> None:
    made.write_arnavbhatia(tmp_path / "a", windows=1)
    recording = load_arnavbhatia(tmp_path / "a")
    (session,) = recording.sessions
    assert session.venue is not None
    assert session.oracle is not None
    at_s = session.windows[0].start_s + 270
    truth = run(session, recording)
    other = run(
        replace(
            session,
            venue=with_future(session.venue, at_s * NS, 0.99),
            oracle=with_future(session.oracle, at_s * NS, 0.99),
        ),
        recording,
    )
    assert {row.tau_s for row in truth.rows} == {60, 30, 10}
    assert len(said_until(truth, at_s)) == 2
    assert said_until(truth, at_s) == said_until(other, at_s)
    assert truth.rows[-1].said["ours"] != other.rows[-1].said["ours"]


def test_a_print_received_after_the_instant_is_not_known_although_stamped_before(tmp_path: Path) -> None:
    session, recording = day(tmp_path)
    assert session.oracle is not None
    oracle = session.oracle
    instant_ns = (made.DAY_S + 900 - 60) * NS
    late = (oracle.stamp_ns <= instant_ns) & (oracle.recv_ns > instant_ns)
    assert late.any()
    moved = Stream(oracle.stamp_ns, oracle.recv_ns, np.where(late, oracle.prices * 1.02, oracle.prices))
    first = said_until(run(session, recording), made.DAY_S + 840)
    assert first == said_until(run(replace(session, oracle=moved), recording), made.DAY_S + 840)


def test_every_competitor_speaks_in_every_row_of_its_group(tmp_path: Path) -> None:
    session, recording = day(tmp_path)
    rows = run(session, recording).rows
    assert {frozenset(row.said) for row in rows if row.group == "twap"} == {
        frozenset({"ours", "fast_sigma", "point", "naive", "first_print"})
    }
    assert {frozenset(row.said) for row in rows if row.group != "twap"} == {frozenset({"ours", "fast_sigma", "naive"})}
    assert all(0.0 <= probability <= 1.0 for row in rows for probability in row.said.values())


def smoothed(stream: Stream, seconds: int) -> Stream:
    """The mean of the last prints in the place of each."""
    sums = np.convolve(stream.prices, np.ones(seconds))[: len(stream.prices)]
    return stream._replace(prices=sums / np.minimum(np.arange(1, len(sums) + 1), seconds))


def test_smoothed_prints_hide_more_volatility_from_one_second_steps_than_from_the_live_ones(tmp_path: Path) -> None:
    session, recording = day(tmp_path)
    assert session.oracle is not None
    ratios = [
        [each.fast_sigma / each.sigma for each in run(one, recording).forecasts if each.fast_sigma is not None]
        for one in (session, replace(session, oracle=smoothed(session.oracle, 4)))
    ]
    assert len(ratios[0]) == len(ratios[1]) > 10
    assert np.median(ratios[0]) == pytest.approx(1.0, abs=0.1)
    assert max(ratios[1]) < 0.7  # of a mean of 4: sqrt(1 / 4) over sqrt(1 - (4 - 1 / 4) / 30) is 0.53


def test_what_one_second_steps_say_is_surer_on_smoothed_prints(tmp_path: Path) -> None:
    session, recording = day(tmp_path)
    assert session.oracle is not None
    rows = run(replace(session, oracle=smoothed(session.oracle, 4)), recording).rows
    assert len(rows) > 40
    assert all(abs(row.said["fast_sigma"] - 0.5) >= abs(row.said["ours"] - 0.5) - 0.01 for row in rows)
    assert np.mean([abs(row.said["fast_sigma"] - row.said["ours"]) for row in rows]) > 0.02


def test_the_naive_digital_is_its_formula(tmp_path: Path) -> None:
    session, recording = day(tmp_path)
    assert session.oracle is not None
    row = next(row for row in run(session, recording).rows if row.group != "twap" and row.tau_s == 60)
    window = next(each for each in session.windows if each.slug == row.slug and each.group == row.group)
    known = session.oracle.until((window.end_s - 60) * NS)
    assert window.strike is not None
    deviation = NAIVE_SIGMA * math.sqrt(60.0)
    d2 = math.log(known.prices[-1] / window.strike) / deviation - 0.5 * deviation
    assert row.said["naive"] == pytest.approx(normal_cdf(d2), abs=1e-12)


def test_near_the_end_the_average_is_nearly_known_and_the_point_digital_does_not_know_it(tmp_path: Path) -> None:
    session, recording = day(tmp_path, seconds=made.PRINTS_S)
    rows = [row for row in run(session, recording).rows if row.group == "twap" and row.tau_s == 10]
    assert len(rows) > 15
    ours = np.mean([(row.said["ours"] - row.is_up) ** 2 for row in rows])
    point = np.mean([(row.said["point"] - row.is_up) ** 2 for row in rows])
    assert ours < 0.02
    assert point > 2.0 * ours


def test_with_a_venue_ours_is_projected_and_its_own_print_is_told_apart(tmp_path: Path) -> None:
    made.write_arnavbhatia(tmp_path / "a")
    recording = load_arnavbhatia(tmp_path / "a")
    rows = [row for session in recording.sessions for row in run(session, recording).rows]
    assert all(set(row.said) == {"ours", "own_print", "point", "naive", "first_print", "mid"} for row in rows)
    assert any(row.said["ours"] != row.said["own_print"] for row in rows)


def test_dropped_instants_are_counted_by_their_reason(tmp_path: Path) -> None:
    session, recording = day(tmp_path)
    assert session.oracle is not None
    oracle = session.oracle
    hole_ns = (made.DAY_S + 1500) * NS
    kept = (oracle.recv_ns < hole_ns) | (oracle.recv_ns > hole_ns + 100 * NS)
    holed = replace(session, oracle=Stream(*(column[kept] for column in oracle)))
    priced = run(holed, recording)
    reasons = {reason for _, reason in priced.drops}
    assert {"no strike", "volatility not warm", "oracle stale"} <= reasons
    assert priced.drops.total() + len(priced.rows) == sum(tau_s > 0 for _, tau_s, _ in moments_of(holed.windows))


def test_books_alone_are_scored_alone_and_not_where_they_are_their_own_label(tmp_path: Path) -> None:
    made.write_thevalerka(tmp_path / "t")
    made.write_resolvedkit(tmp_path / "r")
    recording = load_thevalerka(tmp_path / "t")
    priced = run(recording.sessions[0], recording)
    assert {row.tau_s for row in priced.rows} == {600, 300, 120, 60}
    assert all(set(row.said) == {"mid"} for row in priced.rows)
    assert priced.drops["thevalerka_btc15m_tob", "outcome read off the book, under 60 s left"] == 4
    recording = load_resolvedkit(tmp_path / "r")
    priced = run(recording.sessions[0], recording)
    assert priced.drops["resolvedkit_btc15m_books", "mid stale"] == 1  # the hole of 52 s around one minute to go
    assert len(priced.rows) == 2 * len(TAUS_S[900]) - 1


def test_a_mid_is_the_last_received_and_none_when_stale_wide_or_not_there() -> None:
    book = Book(np.array([10, 20]) * NS, np.array([0.4, 0.0]), np.array([0.42, 0.01]))
    limits = {"stale_s": 5.0, "placeholder_spread": 0.5}
    assert mid_at(book, 9 * NS, **limits) == "no book yet"
    assert mid_at(book, 12 * NS, **limits) == pytest.approx(0.41)
    assert mid_at(book, 20 * NS, **limits) == pytest.approx(0.005)
    assert mid_at(book, 16 * NS, **limits) == "mid stale"
    wide = Book(np.array([0]), np.array([0.1]), np.array([0.9]))
    assert mid_at(wide, NS, **limits) == "book too wide"


def test_a_windows_instants_are_its_start_and_its_grid() -> None:
    window = Window("g", "btc-updown-5m-300", 300, 600, "spot", 1.0, True)
    assert [(now_ns // NS, tau_s) for now_ns, tau_s, _ in moments_of([window])] == [
        (300, 0),
        *((600 - tau_s, tau_s) for tau_s in TAUS_S[300]),
    ]

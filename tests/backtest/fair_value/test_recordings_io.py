"""Each format becomes windows, streams and books, and what cannot be true is refused and counted."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from backtest.fair_value.recordings_io import (
    ARNAVBHATIA,
    LIGENGXIN,
    RESOLVEDKIT,
    THEVALERKA,
    WEIUOU,
    Recording,
    RecordingsAbsentError,
    book_of,
    jonahgrigoryan_overlaps,
    load_arnavbhatia,
    load_ligengxin,
    load_recordings,
    load_resolvedkit,
    load_thevalerka,
    load_weiuou,
    stream_of,
)
from tests.backtest.fair_value import recordings as made

NS = 1_000_000_000


def test_arnavbhatia_gives_both_streams_the_averages_and_a_book_that_both_tokens_agree_on(tmp_path: Path) -> None:
    made.write_arnavbhatia(tmp_path / "a")
    recording = load_arnavbhatia(tmp_path / "a")
    assert len(recording.sessions) == 2
    session = recording.sessions[0]
    (window,) = session.windows
    assert session.oracle is not None
    assert session.venue is not None
    assert session.ticks is not None
    assert window.book is not None
    assert window.settlement == "twap"
    assert window.end_s - window.start_s == 300
    assert session.oracle.recv_ns[0] - session.oracle.stamp_ns[0] == pytest.approx(1.2 * NS)
    assert window.book.recv_ns[0] == pytest.approx((window.start_s + 210.1) * NS)
    assert np.allclose(window.book.bids, window.book.bids[0])  # the mirror of DOWN's book is UP's
    ticks = dict(zip(session.ticks.stamp_ns.tolist(), session.ticks.prices.tolist(), strict=True))
    assert ticks[window.start_s * NS] == window.strike
    assert window.is_up is (ticks[window.end_s * NS] >= ticks[window.start_s * NS])


def test_ligengxin_reads_strikes_in_e18_and_a_window_without_one_says_so(tmp_path: Path) -> None:
    made.write_ligengxin(tmp_path / "l", seconds=900)
    recording = load_ligengxin(tmp_path / "l")
    (session,) = recording.sessions
    assert session.oracle is not None
    assert len(session.oracle.prices) == 901
    assert len(session.windows) == 3
    first = session.windows[0]
    assert first.strike == pytest.approx(session.oracle.prices[0], abs=1e-6)
    assert first.is_up is bool(session.oracle.prices[300] >= session.oracle.prices[0])
    assert session.windows[-1].strike is None
    assert recording.checks["windows without a strike"] == 1
    assert recording.checks["oracle prints read"] == 901


def test_a_weiuou_outcome_is_the_next_strike_against_the_windows_own(tmp_path: Path) -> None:
    made.write_weiuou(tmp_path / "w")
    (session,) = load_weiuou(tmp_path / "w").sessions
    first, second, third, last = session.windows
    assert (first.strike, first.is_up) == (None, None)
    assert second.strike is not None
    assert third.strike is not None
    assert second.is_up is (third.strike >= second.strike)
    assert last.strike is not None
    assert last.is_up is None
    assert second.book is not None
    assert len(second.book.bids) == 180


def test_thevalerka_outcomes_are_read_off_the_end_and_only_when_clear(tmp_path: Path) -> None:
    made.write_thevalerka(tmp_path / "t")
    recording = load_thevalerka(tmp_path / "t")
    assert [window.is_up for window in recording.sessions[0].windows] == [True, False, None]
    assert recording.labels_from_book
    assert recording.checks["book rows refused: crossed"] == 3
    assert recording.checks["book rows refused: may be the market before"] == 30


def test_resolvedkit_takes_the_up_side_and_the_payout(tmp_path: Path) -> None:
    made.write_resolvedkit(tmp_path / "r")
    (session,) = load_resolvedkit(tmp_path / "r").sessions
    assert [window.is_up for window in session.windows] == [True, False]
    book = session.windows[1].book
    assert book is not None
    assert set(book.bids.tolist()) == {0.6}
    assert len(book.bids) == 900


def test_a_capture_of_tomorrows_books_is_not_inside_its_window(tmp_path: Path) -> None:
    made.write_jonahgrigoryan(tmp_path)
    overlaps = {each.name: each for each in jonahgrigoryan_overlaps(tmp_path)}
    assert overlaps["tomorrow"].inside_s == 0.0
    assert overlaps["current"].inside_s == 20.0
    assert overlaps["current"].recorded_s == 25.0


def test_crossed_repeated_and_impossible_book_rows_are_refused_and_counted() -> None:
    checks: Counter[str] = Counter()
    book = book_of([(3, 0.4, 0.5), (1, 0.5, 0.5), (3, 0.4, 0.5), (2, -0.1, 0.5), (1, 0.3, 0.6)], checks)
    assert book.recv_ns.tolist() == [1, 3]
    assert book.bids.tolist() == [0.3, 0.4]
    assert checks == {
        "book rows read": 5,
        "book rows refused: crossed": 1,
        "book rows refused: repeated": 1,
        "book rows refused: outside 0 to 1": 1,
    }


def test_a_stream_is_in_order_of_receipt_and_holds_prices_only() -> None:
    checks: Counter[str] = Counter()
    stream = stream_of([(1, 9, 5.0), (2, 4, 6.0), (3, 10, 0.0), (4, 11, float("nan"))], checks, "prints")
    assert stream.recv_ns.tolist() == [4, 9]
    assert stream.prices.tolist() == [6.0, 5.0]
    assert checks["prints refused: not a price"] == 2
    assert checks["prints received out of order, sorted"] == 1
    assert len(stream.until(8).prices) == 1


def test_an_absent_or_empty_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(RecordingsAbsentError, match="--recordings"):
        load_recordings(tmp_path / "nowhere")
    with pytest.raises(RecordingsAbsentError, match="arnavbhatia1"):
        load_recordings(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ARNAVBHATIA
    folder.mkdir()
    with gzip.open(folder / "parity_windows.json.gz", "wt") as file:
        json.dump({"windows": [{"window_ts": 1, "events": [], "token_up": "1"}]}, file)
    with pytest.raises(ValueError, match=ARNAVBHATIA):
        load_recordings(tmp_path)


@pytest.mark.skipif(not made.DATA.is_dir(), reason=f"the recordings are not beside this checkout: {made.DATA}")
def test_the_real_recordings_hold_what_their_readme_says() -> None:
    found: dict[str, Recording] = {each.name: each for each in load_recordings(made.DATA)}
    counts = {name: (sum(len(s.windows) for s in each.sessions), _decided(each)) for name, each in found.items()}
    assert counts == {
        ARNAVBHATIA: (2, 2),
        LIGENGXIN: (292, 288),
        WEIUOU: (12, 3),
        THEVALERKA: (13, 12),
        RESOLVEDKIT: (10, 10),
    }
    assert max(each.inside_s for each in jonahgrigoryan_overlaps(made.DATA / "jonahgrigoryan_raw_multi")) < 60.0


def _decided(recording: Recording) -> int:
    """Windows with an outcome, and a strike where an oracle was recorded."""
    return sum(
        window.is_up is not None and (session.oracle is None or window.strike is not None)
        for session in recording.sessions
        for window in session.windows
    )

"""One CSV a period becomes both tokens' best prices; the market before, and what cannot be, is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.importers.top_of_book_io import ASSUMED_SHARES, is_mine, read
from shared.market import NS_PER_S
from tests.backtest.importers import made
from tests.backtest.importers.made import SPOT_START_S, write_top_of_book

FOLDER = made.DATA / "thevalerka_btc15m_tob"
ROWS = (
    (0.04, 0.99, 1.0, 0.0, 0.01),  # the market before
    (9.99, 0.48, 0.49, 0.51, 0.52),
    (10.0, 0.48, 0.50, 0.50, 0.52),
    (11.0, 0.50, 0.49, 0.50, 0.52),  # CALL crossed
    (20.0, 0.97, 0.98, 0.02, 0.03),
    (898.0, 0.99, 1.0, 0.0, 0.01),
)


def test_both_tokens_best_prices_arrive_at_one_instant_with_the_assumed_size(tmp_path: Path) -> None:
    events = read(write_top_of_book(tmp_path, ROWS))
    assert events.books["outcome"].tolist() == [0, 1, 1, 0, 1, 0, 1]
    assert events.books["ts_recv_ns"][0] == (SPOT_START_S + 10) * NS_PER_S
    assert made.levels_of(events, 0) == ([(48, ASSUMED_SHARES)], [(50, ASSUMED_SHARES)])
    assert made.levels_of(events, 1) == ([(50, ASSUMED_SHARES)], [(52, ASSUMED_SHARES)])
    assert made.levels_of(events, 5) == ([(99, ASSUMED_SHARES)], [])
    assert any(f"{ASSUMED_SHARES:g} shares" in note for note in events.notes)


def test_the_first_seconds_and_crossed_books_are_counted(tmp_path: Path) -> None:
    events = read(write_top_of_book(tmp_path, ROWS))
    assert events.drops == {"may_be_previous_market": 4, "crossed_book": 1, "gap_over_5_s": 4}
    assert len(events.outages) == 4


def test_the_outcome_is_read_off_the_end_when_it_is_clear(tmp_path: Path) -> None:
    write_top_of_book(tmp_path, ROWS)
    write_top_of_book(tmp_path, [(898.0, 0.01, 0.02, 0.98, 0.99)], start_s=SPOT_START_S + 900)
    write_top_of_book(tmp_path, [(898.0, 0.6, 0.62, 0.38, 0.4)], start_s=SPOT_START_S + 1800)
    write_top_of_book(tmp_path, [(800.0, 0.01, 0.02, 0.98, 0.99)], start_s=SPOT_START_S + 2700)
    events = read(tmp_path)
    assert [(label.slug[-10:], label.outcome, label.source) for label in events.labels] == [
        (str(SPOT_START_S), "CALL", "book"),
        (str(SPOT_START_S + 900), "PUT", "book"),
    ]
    assert events.drops["period_without_outcome"] == 2


def test_the_period_is_of_its_era_and_known_from_the_first_row_on(tmp_path: Path) -> None:
    (period,) = read(write_top_of_book(tmp_path, ROWS)).periods
    assert (period.role, period.settlement, period.strike, period.fee_exponent) == ("current", "spot", None, 2.0)
    assert period.ts_recv_ns == SPOT_START_S * NS_PER_S + 40_000_000


def test_a_file_is_mine_by_name_and_columns(tmp_path: Path) -> None:
    folder = write_top_of_book(tmp_path / "good", ROWS)
    file = next(folder.iterdir())
    assert is_mine(folder)
    assert is_mine(file)
    other = tmp_path / "other"
    other.mkdir()
    (other / file.name).write_text("timestamp_ms,price\n1,2\n")
    (other / "prices_20260202_1046.csv").write_text(file.read_text())  # no period starts then
    for path in (other, other / "prices_20260202_1046.csv", tmp_path, tmp_path / "absent"):
        assert not is_mine(path)
    with pytest.raises(ValueError, match="call_bid"):
        read(other)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = next(write_top_of_book(tmp_path, ROWS).iterdir())
    file.write_text(file.read_text() + "x,not a time,0.1,0.2,,0.8,0.9,,\n")
    with pytest.raises(ValueError, match=file.name):
        read(tmp_path)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the recording is not beside this checkout: {FOLDER}")
def test_the_recording_holds_what_its_readme_says() -> None:
    events = read(FOLDER)
    assert len({period.slug for period in events.periods}) == 13
    assert len(events.labels) == 12
    assert events.drops == {"may_be_previous_market": 218, "crossed_book": 478, "period_without_outcome": 1}
    assert len(read(FOLDER, markets=["btc-updown-15m-1770029100"]).labels) == 1

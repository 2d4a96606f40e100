"""The two parquet files become both tokens' books, periods and payouts."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from backtest.importers import resolvedkit_io
from backtest.importers.resolvedkit_io import NS_PER_MS, SampleAbsentError, is_mine, read, sample_path
from shared.market import NS_PER_S
from tests.backtest.importers import made
from tests.backtest.importers.made import START_S, market_row, snapshot, write_resolvedkit

_START_NS = START_S * NS_PER_S
FOLDER = made.DATA / "resolvedkit_btc15m_books"


def _two_markets(folder: Path) -> Path:
    books = []
    for number in range(2):
        for second in (-870, 1, 2, 30, 31):
            at_s = START_S + 900 * number + second + 0.25
            books.append(snapshot(f"0x{number}", at_s, "DOWN", [0.38, 0.37], [0.40]))
            books.append(snapshot(f"0x{number}", at_s, "UP", [0.60], [0.62, 0.63], shares=7.0))
    books.append(snapshot("0x1", START_S + 932, "UP", [0.62], [0.61]))
    books.append(snapshot("0x1", START_S + 933, "UP", [0.965], []))
    books.append(snapshot("0x9", START_S, "UP", [0.5], [0.6]))
    return write_resolvedkit(folder, books, [market_row(1, (0.0, 1.0)), market_row(0, (1.0, 0.0))])


def test_books_of_both_tokens_arrive_in_order_with_all_their_levels(tmp_path: Path) -> None:
    events = read(_two_markets(tmp_path))
    assert (events.books["ts_recv_ns"][1:] >= events.books["ts_recv_ns"][:-1]).all()
    first = events.books[0]
    assert first["ts_recv_ns"] == first["ts_event_ns"] == (START_S - 870) * NS_PER_S + 250_000_000
    assert events.names[first["slug"]] == f"btc-updown-15m-{START_S}"
    assert events.books["outcome"][:2].tolist() == [0, 1]
    assert made.levels_of(events, 0) == ([(60, 7.0)], [(62, 7.0), (63, 7.0)])
    assert made.levels_of(events, 1) == ([(38, 10.0), (37, 10.0)], [(40, 10.0)])


def test_the_tick_is_fine_from_the_first_fine_price_on(tmp_path: Path) -> None:
    events = read(_two_markets(tmp_path))
    assert events.books["tick_size"][-1] == 0.001
    assert made.levels_of(events, len(events.books) - 1) == ([(965, 10.0)], [])
    assert set(events.books["tick_size"][:-1].tolist()) == {0.01}


def test_refusals_gaps_and_strangers_are_counted(tmp_path: Path) -> None:
    events = read(_two_markets(tmp_path))
    assert events.drops == {"crossed_book": 1, "gap_over_5_s": 4, "book_of_unlisted_market": 1}
    spans = [
        ((row["start_ns"] - _START_NS) // NS_PER_MS, (row["end_ns"] - _START_NS) // NS_PER_MS) for row in events.outages
    ]
    assert spans == [(7_250, 30_250)] * 2 + [(907_250, 930_250)] * 2
    assert {events.names[row["subject"]] for row in events.outages} == {"btc-15m.CALL", "btc-15m.PUT"}


def test_the_payout_is_the_label_and_no_strike_is_known(tmp_path: Path) -> None:
    events = read(_two_markets(tmp_path))
    assert [(label.outcome, label.source) for label in events.labels] == [("CALL", "payout"), ("PUT", "payout")]
    assert [period.role for period in events.periods] == ["next", "current", "next", "current"]
    of_first = [period for period in events.periods if period.slug.endswith(str(START_S))]
    assert [(period.role, period.ts_recv_ns // NS_PER_S - START_S) for period in of_first] == [
        ("next", -870),
        ("current", 0),
    ]
    assert {(period.settlement, period.twap_lookback_s, period.strike) for period in of_first} == {("twap", 60, None)}
    assert of_first[0].condition_id == "0x0"
    assert of_first[0].fee_rate == 0.07


def test_one_market_can_be_asked_for_and_one_that_paid_neither_has_no_label(tmp_path: Path) -> None:
    folder = write_resolvedkit(
        tmp_path,
        [snapshot("0x0", START_S, "UP", [0.5], [0.6])],
        [market_row(0, (0.5, 0.5)), market_row(1, (1.0, 0.0))],
    )
    events = read(folder, markets=[f"btc-updown-15m-{START_S}"])
    assert events.labels == ()
    assert events.drops == {"market_without_payout": 1}
    assert read(folder, markets=["btc-15m"]).drops == {"market_without_payout": 1, "market_without_books": 1}
    with pytest.raises(ValueError, match="eth-15m"):
        read(folder, markets=["eth-15m"])


def test_only_a_folder_with_these_columns_is_mine(tmp_path: Path) -> None:
    assert is_mine(_two_markets(tmp_path / "good"))
    other = tmp_path / "other"
    other.mkdir()
    parquet.write_table(pa.table({"a": [1]}), other / "books.parquet")
    parquet.write_table(pa.table({"a": [1]}), other / "markets.parquet")
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("books.parquet", "markets.parquet"):
        (broken / name).write_text("no parquet")
    for path in (other, broken, tmp_path, tmp_path / "absent", other / "books.parquet"):
        assert not is_mine(path)
    with pytest.raises(ValueError, match="resolvedkit"):
        read(other)


def test_levels_without_sizes_are_an_error(tmp_path: Path) -> None:
    row = snapshot("0x0", START_S, "UP", [0.5], [0.6]) | {"bid_sz": []}
    with pytest.raises(ValueError, match="no size"):
        read(write_resolvedkit(tmp_path, [row], [market_row(0, (1.0, 0.0))]))


def test_without_the_package_the_sample_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        assert name == "resolvedkit"

    monkeypatch.setattr(resolvedkit_io, "find_spec", absent)
    with pytest.raises(SampleAbsentError, match=r"pip install .*\[samples\]"):
        read(sample_path())


@pytest.mark.skipif(find_spec("resolvedkit") is None, reason="the optional package resolvedkit is not installed")
def test_the_sample_holds_18_settled_markets() -> None:
    events = read(sample_path())
    assert len(events.labels) == 18
    assert len(events.books) == 38_311
    assert events.drops["crossed_book"] == 22
    assert Counter(label.outcome for label in events.labels) == {"CALL": 13, "PUT": 5}


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the recording is not beside this checkout: {FOLDER}")
def test_the_recording_holds_what_its_readme_says() -> None:
    events = read(FOLDER)
    assert len(events.labels) == 10
    assert len(events.books) + events.drops["crossed_book"] == 21_018
    assert events.drops.keys() == {"crossed_book", "gap_over_5_s"}
    assert (events.books["bids"] <= 20).all()

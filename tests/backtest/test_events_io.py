"""What is written is what is read; what cannot be read says which file, what and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import backtest.events_io as events_io
from backtest.events import Label
from backtest.events_build import EventsBuilder
from backtest.events_io import EventsError, is_events_folder, merge, read_events, read_many, write_events
from shared.messages import OutcomeBook, Period
from tests.backtest.small_events import NOW_NS, assert_same, builder_of_everything, everything
from tests.builders import NS, SLUG, START_S, build


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_events(everything(), tmp_path / "events")
    return tmp_path / "events"


def test_everything_written_is_read_again(folder: Path) -> None:
    assert_same(read_events(folder), everything())
    assert is_events_folder(folder)


def test_only_kinds_that_occur_have_a_file(tmp_path: Path) -> None:
    write_events(EventsBuilder().build("nothing"), tmp_path / "events")
    assert [each.name for each in (tmp_path / "events").iterdir()] == ["about.json"]
    assert_same(read_events(tmp_path / "events"), EventsBuilder().build("nothing"))


def test_row_groups_do_not_change_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_io, "ROWS_AT_ONCE", 3)
    write_events(everything(), tmp_path / "events")
    assert pq.ParquetFile(tmp_path / "events" / "books.parquet").num_row_groups == 4
    assert_same(read_events(tmp_path / "events"), everything())


sizes = st.floats(0.01, 1e9)
sides = st.lists(st.tuples(st.integers(1, 999), sizes), max_size=4)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["CALL", "PUT"]), sides, sides), max_size=6))
def test_books_of_any_depth_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, Any, Any, Any]]
) -> None:
    builder = EventsBuilder()
    for second, outcome, bids, asks in drawn:
        builder.book(
            ts_event_ns=NOW_NS,
            ts_recv_ns=NOW_NS + second,
            slug=f"{SLUG}{second}",
            outcome=outcome,
            tick_size=0.001,
            bid_ticks=[ticks for ticks, _ in bids],
            bid_shares=[shares for _, shares in bids],
            ask_ticks=[ticks for ticks, _ in asks],
            ask_shares=[shares for _, shares in asks],
        )
    events = builder.build("test")
    folder = tmp_path_factory.mktemp("books")
    write_events(events, folder)
    assert_same(read_events(folder), events)


def test_a_book_is_one_row_that_any_reader_understands(folder: Path) -> None:
    row = pq.read_table(folder / "books.parquet").to_pylist()[0]
    assert row == {
        "ts_event_ns": NOW_NS + NS // 5,
        "ts_recv_ns": NOW_NS + NS // 5,
        "slug": SLUG,
        "outcome": "CALL",
        "tick_size": 0.01,
        "bid_ticks": [49, 40],
        "bid_shares": [100.0, 200.0],
        "ask_ticks": [51, 60],
        "ask_shares": [100.0, 200.0],
    }


def test_words_without_a_dictionary_and_narrow_numbers_are_read_too(folder: Path) -> None:
    path = folder / "spot.parquet"
    frame = pq.read_table(path).to_pandas().astype({"venue": str, "asset": str, "bid_size": "float32"})
    frame["ask_size"] = 1
    pq.write_table(pa.Table.from_pandas(frame), path)
    assert read_events(folder).spot["bid"].tolist() == everything().spot["bid"].tolist()
    assert set(read_events(folder).spot["ask_size"].tolist()) == {1.0}


# -- refusals --------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EventsError, match=r"no about\.json in it"):
        read_events(tmp_path)
    with pytest.raises(EventsError, match="no such folder"):
        read_events(tmp_path / "absent")
    assert not is_events_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "about.json: "),
        ("[]", "its format is not"),
        ('{"format": "x"}', "its format is not"),
        ('{"format": "market-events", "version": 99}', r"version 99, this engine reads 1"),
        ('{"format": "market-events", "version": 1}', "missing required field"),
    ],
)
def test_an_about_that_says_something_else_is_refused(folder: Path, content: str, complaint: str) -> None:
    (folder / "about.json").write_text(content)
    with pytest.raises(EventsError, match=complaint):
        read_events(folder)


def change(path: Path, **columns: Any) -> None:
    table = pq.read_table(path)
    for name, column in columns.items():
        place = table.schema.get_field_index(name)
        table = table.remove_column(place) if column is None else table.set_column(place, name, column)
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("kind", "columns", "complaint"),
    [
        ("spot", {"bid": None}, r"spot\.parquet: no column bid"),
        ("spot", {"bid": pa.array(["1"] * 5)}, r"spot\.parquet: column bid is string, it must be numbers"),
        ("spot", {"ts_recv_ns": pa.array([1.5] * 5)}, "column ts_recv_ns is double, it must be whole nanoseconds"),
        ("spot", {"venue": pa.array([1] * 5)}, "column venue is int64, it must be words"),
        ("spot", {"ask": pa.array([1.0, None] * 2 + [1.0])}, "column ask has rows without a value"),
        ("trades", {"side": pa.array(["long"] * 5)}, "column side holds 'long', only sell, buy are known"),
        ("trades", {"is_inferred": pa.array([1] * 5)}, "column is_inferred is int64, it must be true or false"),
        ("books", {"bid_ticks": pa.array([1] * 10)}, "column bid_ticks is int64, it must be lists"),
        ("books", {"bid_shares": pa.array([[1.0]] * 10)}, "bid_shares has not one entry for each of bid_ticks"),
        ("books", {"ask_ticks": pa.array([[0.5, 1.0]] * 10)}, "column ask_ticks is double"),
        ("books", {"ask_shares": pa.array([[None, 1.0]] * 10)}, "ask_shares has rows or levels without a value"),
        ("periods", {"slug": pa.array([None, "a"])}, r"periods\.parquet: column slug has rows without a value"),
        ("periods", {"start_ns": pa.array(["x", "y"])}, "column start_ns is string, it must be int64"),
        ("periods", {"role": pa.array(["x", "y"])}, "a period or a label is none"),
        ("labels", {"outcome": pa.array(["UP"])}, "a period or a label is none"),
    ],
)
def test_a_file_of_another_shape_is_refused_by_name(
    folder: Path, kind: str, columns: dict[str, Any], complaint: str
) -> None:
    change(folder / f"{kind}.parquet", **columns)
    with pytest.raises(EventsError, match=complaint):
        read_events(folder)


def test_a_file_that_is_missing_cut_off_or_of_another_length_is_refused(folder: Path) -> None:
    path = folder / "trades.parquet"
    whole = path.read_bytes()
    pq.write_table(pq.read_table(path).slice(0, 2), path)
    with pytest.raises(EventsError, match=r"2 rows, and about\.json counts 5"):
        read_events(folder)
    path.write_bytes(whole[:-20])
    with pytest.raises(EventsError, match=r"trades\.parquet: not readable as Parquet"):
        read_events(folder)
    path.unlink()
    with pytest.raises(EventsError, match=r"trades\.parquet: missing"):
        read_events(folder)


def test_events_are_replaced_only_when_asked_to(folder: Path) -> None:
    with pytest.raises(EventsError, match="holds events already"):
        write_events(EventsBuilder().build("other"), folder)
    write_events(EventsBuilder().build("other"), folder, replace=True)
    assert [each.name for each in folder.iterdir()] == ["about.json"]
    assert read_events(folder).source == "other"
    about = json.loads((folder / "about.json").read_text()) | {"version": 99}
    (folder / "about.json").write_text(json.dumps(about))
    write_events(everything(), folder, replace=True)  # of whatever version
    assert_same(read_events(folder), everything())


def test_another_programs_folder_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text("{}")
    (tmp_path / "spot.parquet").write_text("not ours")
    with pytest.raises(EventsError, match="nothing here is replaced"):
        write_events(everything(), tmp_path, replace=True)
    assert (tmp_path / "spot.parquet").read_text() == "not ours"


def test_a_folder_that_was_cut_off_while_written_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_events(everything(), folder, replace=True)
    assert not is_events_folder(folder)


# -- several ---------------------------------------------------------------------------------------------------------


def test_parts_are_merged_as_if_they_had_been_one(tmp_path: Path) -> None:
    halves = []
    for start in (1, 0):
        builder = EventsBuilder()
        for second in range(start, 6, 2):
            builder.take(build(OutcomeBook, at_s=START_S + second, slug=f"{SLUG}{start}", bid_ticks=(40 - second, 9)))
            builder.take(build(Period, at_s=START_S + second, slug=f"{SLUG}{start}", strike=float(second + 1)))
        builder.label(Label(SLUG, "PUT", "payout"))
        builder.drop("bad_line", start + 1)
        halves.append(builder.build(f"half {start}", ["one clock", f"note {start}"]))
    merged = merge(halves)
    books = merged.books
    assert merged.source == "half 1 + half 0"
    assert merged.notes == ("one clock", "note 1", "note 0")
    assert merged.drops == {"bad_line": 3}
    assert merged.labels == (Label(SLUG, "PUT", "payout"),)
    assert merged.levels["ticks"][books["first"]].tolist() == [40, 39, 38, 37, 36, 35]
    assert [merged.names[place] for place in books["slug"]] == [f"{SLUG}{second % 2}" for second in range(6)]
    assert [each.strike for each in merged.periods] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    for number, half in enumerate(halves):
        write_events(half, tmp_path / str(number))
    assert_same(read_many([tmp_path]), merged)
    assert_same(read_many([tmp_path / "0", tmp_path / "1"]), merged)


def test_one_part_is_itself_and_no_part_is_an_error(tmp_path: Path) -> None:
    events = builder_of_everything().build("test")
    assert merge([events]) is events
    with pytest.raises(ValueError, match="at least one"):
        merge([])
    with pytest.raises(EventsError, match=r"no about\.json"):
        read_many([tmp_path])


def test_merging_leaves_the_parts_as_they_were() -> None:
    first, second = everything(), everything()
    before = [np.copy(part.books) for part in (first, second)]
    merge([first, second])
    assert [part.books.tolist() for part in (first, second)] == [part.tolist() for part in before]


def test_the_counts_are_written_for_readers_of_the_folder(folder: Path) -> None:
    about = json.loads((folder / "about.json").read_text())
    assert about["counts"] == {
        "spot": 5,
        "oracle": 10,
        "books": 10,
        "trades": 5,
        "outages": 1,
        "periods": 2,
        "labels": 1,
    }
    assert about["drops"] == {"bad_line": 3}
    assert about["notes"] == ["one clock"]

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.segments_io import SUFFIX, Drop, Record, SegmentWriter, read_segments

RECORDS: list[tuple[int, bytes | str]] = [(1, "first"), (2, b"\x00\xff second"), (3, ""), (3, "fourth " * 100)]


def segment_of_blocks(folder: Path, *blocks: Sequence[tuple[int, bytes | str]]) -> Path:
    with SegmentWriter(folder, "bybit", flush_s=60.0) as writer:
        for block in blocks:
            for ts_ns, payload in block:
                writer.write(ts_ns, payload)
            writer.flush()
        assert writer.path is not None
        return writer.path


def read(path: Path) -> tuple[list[Record], list[Drop]]:
    drops: list[Drop] = []
    return list(read_segments(path, on_drop=drops.append)), drops


def wait_for_size(folder: Path, deadline_s: float = 10.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not any(each.stat().st_size for each in folder.glob(f"*{SUFFIX}")):
        assert time.monotonic() < end_s, "nothing was flushed"
        time.sleep(0.005)


def test_what_was_written_is_read_back_as_it_came(tmp_path: Path) -> None:
    segment_of_blocks(tmp_path, list(RECORDS))
    assert read(tmp_path) == ([Record(ts_ns, "bybit", payload) for ts_ns, payload in RECORDS], [])


def test_a_record_can_name_its_own_stream(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, "bus") as writer:
        writer.write(1, b"x", source="SpotQuote.BTC.bybit")
    assert read(tmp_path)[0] == [Record(1, "SpotQuote.BTC.bybit", b"x")]


def test_a_segment_is_a_plain_zstandard_file(tmp_path: Path) -> None:
    path = segment_of_blocks(tmp_path, [(1, "one")], [(2, "two")])
    reader = zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True)
    content = reader.read()
    assert b"one" in content
    assert b"two" in content


def test_a_segment_cut_at_any_byte_keeps_every_whole_block_and_names_the_rest(tmp_path: Path) -> None:
    blocks = [[(1, "a"), (2, "b")], [(3, "c")], [(4, "d" * 500), (5, "e")]]
    path = segment_of_blocks(tmp_path, *blocks)
    whole = path.read_bytes()
    ends = [whole.index(b"MMS1", at) for at in range(len(whole)) if whole[at : at + 4] == b"MMS1"]
    starts = [end - 8 for end in ends] + [len(whole)]
    cut = tmp_path / "cut" / path.name
    cut.parent.mkdir()
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        records, drops = read(cut)
        complete = sum(start <= length for start in starts[1:])
        assert [record.ts_recv_ns for record in records] == [ts for block in blocks[:complete] for ts, _ in block]
        torn = length - starts[complete]
        assert [(drop.offset, drop.length) for drop in drops] == ([(starts[complete], torn)] if torn else [])


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(1, 255))
@example(at=683, byte=80)  # a length that reaches over the next block
def test_a_damaged_byte_costs_its_block_alone_and_never_invents_a_record(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    blocks = [[(number, f"payload {number} " * 20)] for number in range(5)]
    path = segment_of_blocks(tmp_path_factory.mktemp("segments"), *blocks)
    damaged = bytearray(path.read_bytes())
    damaged[at % len(damaged)] ^= byte
    path.write_bytes(damaged)
    records, drops = read(path)
    genuine = [Record(ts_ns, "bybit", payload) for block in blocks for ts_ns, payload in block]
    assert all(record in genuine for record in records)
    assert len(records) >= 4
    assert len(records) == 5 or drops


def test_a_dropped_tail_is_a_warning_unless_somebody_listens(tmp_path: Path) -> None:
    path = segment_of_blocks(tmp_path, [(1, "a")])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match="torn tail"):
        assert list(read_segments(path)) == []


def test_sources_and_segments_are_merged_in_order_of_receipt(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, "bybit", max_bytes=1) as first, SegmentWriter(tmp_path, "coinbase") as second:
        for ts_ns in range(0, 10, 2):
            first.write(ts_ns, "even")
            first.flush()
            second.write(ts_ns + 1, "odd")
    assert len(list(tmp_path.glob(f"bybit-*{SUFFIX}"))) == 5
    assert [record.ts_recv_ns for record in read(tmp_path)[0]] == list(range(10))


def test_a_lonely_record_reaches_the_file_without_another_after_it(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, "bybit", flush_s=0.05) as writer:
        writer.write(1, "lonely")
        wait_for_size(tmp_path)
        assert [record.payload for record in read(tmp_path)[0]] == ["lonely"]


def test_a_killed_writer_loses_at_most_what_was_not_flushed(tmp_path: Path) -> None:
    program = (
        "import sys, os, signal, pathlib; from shared.segments_io import SegmentWriter\n"
        "writer = SegmentWriter(pathlib.Path(sys.argv[1]), 'bybit')\n"
        "for number in range(1000): writer.write(number, 'x' * 100)\n"
        "writer.flush(); writer.write(1000, 'lost'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == -9
    records, drops = read(tmp_path)
    assert ([record.ts_recv_ns for record in records][:1000], drops) == (list(range(1000)), [])


def test_a_disk_that_fails_is_counted_and_never_stops_the_caller(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    with SegmentWriter(folder, "bybit", flush_s=60.0) as writer:
        folder.rmdir()
        writer.write(1, "lost")
        writer.flush()
        assert (writer.written, writer.dropped) == (0, 1)
        assert "No such file" in writer.last_error
        folder.mkdir()
        writer.write(2, "kept")
    assert [record.payload for record in read(folder)[0]] == ["kept"]


def aged(path: Path, *, hours: float) -> Path:
    then_s = time.time() - hours * 3600.0
    os.utime(path, (then_s, then_s))
    return path


def test_what_was_last_written_too_long_ago_goes_when_a_segment_is_begun(tmp_path: Path) -> None:
    old = aged(segment_of_blocks(tmp_path, [(1, "old")]), hours=3.0)
    young = aged(segment_of_blocks(tmp_path, [(2, "young")]), hours=1.0)
    with SegmentWriter(tmp_path, "bybit", keep_s=7_200.0) as writer:
        assert old.exists()  # nothing new was recorded yet
        writer.write(3, "new")
    assert not old.exists()
    assert young.exists()
    assert [record.payload for record in read(tmp_path)[0]] == ["young", "new"]


def test_when_everything_is_too_old_at_once_nothing_goes(tmp_path: Path) -> None:
    old = aged(segment_of_blocks(tmp_path, [(1, "old")]), hours=3.0)  # or the clock is three hours ahead
    with SegmentWriter(tmp_path, "bybit", keep_s=7_200.0) as writer:
        writer.write(2, "new")
    assert old.exists()


def test_recordings_of_others_and_other_files_are_never_removed(tmp_path: Path) -> None:
    theirs = [tmp_path / f"bybit-x-1-1{SUFFIX}", tmp_path / f"coinbase-1-1{SUFFIX}", tmp_path / "bybit-1-1.txt"]
    for each in theirs:
        each.touch()
        aged(each, hours=1_000.0)
    with SegmentWriter(tmp_path, "bybit", keep_s=1.0) as writer:
        writer.write(1, "new")
    assert all(each.exists() for each in theirs)


def test_without_a_limit_everything_is_kept(tmp_path: Path) -> None:
    old = aged(segment_of_blocks(tmp_path, [(1, "old")]), hours=100_000.0)
    with SegmentWriter(tmp_path, "bybit") as writer:
        writer.write(2, "new")
    assert old.exists()


def test_writing_after_the_end_is_counted_not_lost_silently(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "bybit")
    writer.close()
    writer.close()
    writer.write(1, "late")
    assert writer.dropped == 1


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no recording"):
        read_segments(tmp_path)


def test_a_source_that_is_no_file_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        SegmentWriter(tmp_path, "../etc")

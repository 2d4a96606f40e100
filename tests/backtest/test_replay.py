"""Recorded frames drive the whole engine, twice the same way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from backtest.replay import EXIT_NOTHING_RECORDED, EXIT_OK, Summary, replay, run_records
from shared.config import load_config
from shared.segments_io import Record, SegmentWriter
from tests.backtest.arnavbhatia import RECORDING, SERIES, load_windows, played, records_of

recorded = pytest.mark.skipif(
    not RECORDING.exists(), reason=f"the recordings are not beside this checkout: {RECORDING}"
)


@pytest.fixture(scope="module")
def windows() -> list[dict[str, Any]]:
    return load_windows()


def play(records: Sequence[Record], *, journal: Path | None = None) -> Summary:
    summary, steps = run_records(records, config=load_config(), series=SERIES, journal=journal)
    for _ in steps:
        pass
    return summary


@recorded
@pytest.mark.parametrize("number", [0, 1])
def test_a_recorded_window_proves_its_strike_settles_as_it_did_and_is_quoted(
    windows: list[dict[str, Any]], number: int
) -> None:
    window = windows[number]
    slug, label = f"btc-updown-5m-{window['window_ts']}", window["label"]
    summary = played(number)
    assert summary.strikes[slug] == f"{label['price_to_beat']:.8f} by own_twap60_tick"
    settlement = summary.settlements[slug]
    assert settlement.official == ("CALL" if label["resolved_up"] else "PUT")
    assert settlement.recomputed == settlement.official
    assert settlement.agrees
    assert settlement.final_price == pytest.approx(label["final_price"], rel=1e-12)
    assert set(summary.phases) >= {"early", "mid", "late", "final"}
    assert set(summary.drops) <= {"polymarket: duplicate_trade"}


@recorded
def test_a_closing_tick_that_never_came_is_named(windows: list[dict[str, Any]]) -> None:
    sources = [
        played(number).settlements[f"btc-updown-5m-{window['window_ts']}"].final_source
        for number, window in enumerate(windows)
    ]
    assert sources == ["own_tick", "published"]


@recorded
def test_the_same_recording_gives_the_same_journal(windows: list[dict[str, Any]], tmp_path: Path) -> None:
    records = [
        record for record in records_of(windows[0]) if record.ts_recv_ns < windows[0]["window_ts"] * 10**9 + 10**11
    ]
    for name in ("first", "second"):
        play(records, journal=tmp_path / name)
    first = (tmp_path / "first").read_bytes()
    assert first == (tmp_path / "second").read_bytes()
    assert sum(1 for line in first.splitlines() if json.loads(line)["topic"].startswith("QuoteSet")) > 100


@recorded
def test_a_recording_on_disk_replays_by_the_command(windows: list[dict[str, Any]], tmp_path: Path) -> None:
    folder, out = tmp_path / "rec", tmp_path / "out"
    with SegmentWriter(folder, "all") as writer:
        for record in list(records_of(windows[0]))[:3000]:
            writer.write(record.ts_recv_ns, record.payload, source=record.source)
    assert replay(folder, out, load_config("default"), SERIES, progress=False) == EXIT_OK
    assert json.loads((out / "replay.json").read_text())["records"] == 3000
    assert (out / "journal.jsonl").stat().st_size > 0


def test_an_empty_recording_is_refused(tmp_path: Path) -> None:
    assert replay(tmp_path, tmp_path / "out", load_config("default"), SERIES, progress=False) == EXIT_NOTHING_RECORDED


def test_frames_of_an_unknown_venue_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"kraken\.open"):
        play([Record(10**18, "kraken.open", b"")])

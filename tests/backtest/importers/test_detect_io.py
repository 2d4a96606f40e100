"""Any known recording is recognized; an unknown one is refused with what is understood."""

from __future__ import annotations

from pathlib import Path

import pytest

import backtest.importers.detect_io as detect_io
from backtest.events import Events
from backtest.events_build import EventsBuilder
from backtest.events_io import EventsError, write_events
from backtest.importers.detect_io import IMPORTERS, import_any
from shared.messages import SpotQuote
from tests.backtest.importers.test_bus_log_io import quotes, record
from tests.backtest.importers.test_frames_io import quote, write
from tests.backtest.small_events import assert_same, everything

BTC = ["btc-15m"]


def test_events_are_read_alone_and_in_parts(tmp_path: Path) -> None:
    write_events(everything(), tmp_path / "parts" / "one")
    write_events(EventsBuilder().build("nothing"), tmp_path / "parts" / "two")
    assert_same(import_any(tmp_path / "parts" / "one"), everything())
    assert import_any(tmp_path / "parts").source == "test + nothing"


def test_logs_of_the_bus_and_of_frames_are_told_apart(tmp_path: Path) -> None:
    assert import_any(record(tmp_path / "a", quotes((1, 1)))).source == "bus log a"
    assert import_any(write(tmp_path / "b", [quote(1, 1)]), markets=BTC).source == "frame log b"


def test_a_bus_log_is_preferred_to_the_frames_beside_it(tmp_path: Path) -> None:
    write(tmp_path, [quote(1, 1)])
    assert import_any(record(tmp_path, quotes((1, 1)))).source == f"bus log {tmp_path.name}"


def test_another_make_registers_as_a_module_with_two_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Made:
        def is_mine(self, path: Path) -> bool:
            return path.suffix == ".made"

        def read(self, path: Path, *, markets: object, progress: bool) -> Events:
            builder = EventsBuilder()
            builder.take(
                SpotQuote(ts_event_ns=1, ts_recv_ns=1, asset="BTC", venue="x", bid=1, bid_size=1, ask=2, ask_size=1)
            )
            return builder.build(f"{path.name} {markets} {progress}")

    monkeypatch.setattr(detect_io, "IMPORTERS", (*IMPORTERS, Made()))
    (tmp_path / "x.made").touch()
    assert import_any(tmp_path / "x.made", progress=True).source == "x.made () True"


def test_what_nobody_knows_is_refused_with_what_is_understood(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(EventsError, match="not a recording of a known make; give a folder of events"):
            import_any(path)
    with pytest.raises(EventsError, match="not found"):
        import_any(tmp_path / "absent")


def test_a_folder_of_events_that_is_broken_says_so_itself(tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text("{}")
    with pytest.raises(EventsError, match="its format is not"):
        import_any(tmp_path)

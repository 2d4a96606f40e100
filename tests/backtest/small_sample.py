"""A small simulated sample, made once for all tests that need whole events, tapes or folders of them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from backtest.api import write_sample
from backtest.events import Events
from backtest.events_io import read_events
from backtest.sample import SampleSettings
from backtest.tape import Tape
from backtest.tape_io import keep_tapes, read_tapes
from shared.config import load_config

MARKET = "btc-2m"
KNOBS = {"warm_up_s": 60, "depth": 20, "quote_rate": 0.1, "informed_share": 0, "maker_lag_ms": 0, "chunk_periods": 1}
SETTINGS = SampleSettings.model_validate({"series": MARKET, "periods": 2, **KNOBS})
SAMPLE = tuple(argument for name, knob in KNOBS.items() for argument in ("--sample", f"{name}={knob}"))


@cache
def _scratch() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mm-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def sample_folder() -> Path:
    """Two parts of one period each."""
    folder = _scratch() / "sample"
    write_sample(folder, SETTINGS)
    return folder


@cache
def part_folders() -> tuple[Path, ...]:
    """The parts, in order."""
    return tuple(sorted(sample_folder().iterdir()))


@cache
def first_events() -> Events:
    """What happened in the first part."""
    return read_events(part_folders()[0])


@cache
def tapes_folder() -> Path:
    """The tapes of the parts under the default configuration, by their names."""
    folder = _scratch() / "tapes"
    for place in part_folders():
        keep_tapes(read_events(place), [load_config()], [MARKET], folder)
    return folder


@cache
def small_tapes() -> tuple[Tape, ...]:
    """The tapes of both periods under the default configuration."""
    found = [tape for folder in tapes_folder().iterdir() for tape in read_tapes(folder)]
    return tuple(sorted(found, key=lambda tape: tape.period.start_ns))

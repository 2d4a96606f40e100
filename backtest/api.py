"""The backtest as a function: `from mm_backtest import backtest`.

result = backtest("out/backtest/sample", preset="aggressive", queue="pessimistic")
print(result.summary())
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from backtest.engine import LatencyModel, RunOptions, run
from backtest.evaluator import ordered
from backtest.events import Events
from backtest.events_io import EventsError, write_events
from backtest.parts import first_pass, parts_of
from backtest.result import BacktestResult
from backtest.sample import SampleSettings, generate
from backtest.tape import Progress, Tape
from backtest.tape_io import read_tapes, tapes_from
from shared.config import MMConfig, load_config
from shared.exchange import QueueName

__all__ = ["BacktestResult", "backtest", "write_sample"]


def backtest(
    data: Path | str | Sequence[Path | str] | Events,
    *,
    preset: str = "default",
    config: MMConfig | None = None,
    markets: Sequence[str] = (),
    queue: QueueName = "pessimistic",
    latency_ms: float = 100.0,
    jitter_ms: float = 0.0,
    strategy: str | None = None,
    keeps_quotes: bool = True,
    seed: int = 0,
    workers: int = 1,
    tapes: Path | None = None,
    progress: Progress | None = None,
) -> BacktestResult:
    """Run one configuration over events, and hand over everything that happened.

    `data` is what `--data` takes (folders of events, recordings), or events in memory. `config` stands instead of
    `preset`. `latency_ms` is the way of orders and of cancels to the venue, `jitter_ms` its standard deviation.
    `strategy` names a baseline to run instead. `tapes` keeps the first pass for the next call; `progress` hears how
    many steps of the second were played. Raises EventsError for data that cannot be used, ConfigError for a preset that
    is none, and ValueError for an unknown queue model or strategy.
    """
    chosen = config or load_config(preset)
    latency = LatencyModel(latency_ms / 1000.0, jitter_ms / 1000.0)
    options = RunOptions(
        queue=queue, order=latency, cancel=latency, strategy=strategy, keeps_quotes=keeps_quotes, seed=seed
    )
    found = _tapes(data, chosen, markets, workers, tapes)
    if not found:
        raise EventsError("no period was seen while it ran: give other data or markets")
    return BacktestResult(run(found, chosen, options, progress=progress), found)


def write_sample(folder: Path | str, settings: SampleSettings | None = None, *, workers: int = 1) -> list[Path]:
    """Simulated events as folders that `backtest` reads, one a chunk; where they are."""
    chosen = settings or SampleSettings()
    written = []
    for chunk, events in enumerate(generate(chosen, workers=workers)):
        place = Path(folder) / f"{chosen.name}-{chunk:04d}"
        write_events(events, place, replace=True)
        written.append(place)
    return written


def _tapes(
    data: Path | str | Sequence[Path | str] | Events,
    config: MMConfig,
    markets: Sequence[str],
    workers: int,
    folder: Path | None,
) -> list[Tape]:
    if isinstance(data, Events):
        chosen = tuple(markets) or tuple(sorted({period.market for period in data.periods}))
        return ordered(tapes_from(data, [config], chosen)[0])
    paths = [Path(data)] if isinstance(data, Path | str) else [Path(each) for each in data]
    with tempfile.TemporaryDirectory() as scratch:
        parts = parts_of(paths, markets)
        played = list(first_pass(parts, [config], markets, folder or Path(scratch), workers=workers))
        if len(played) < len(parts):
            raise KeyboardInterrupt  # a result of half the data would look like one of the whole
        return ordered([tape for each in played for tape in read_tapes(each.tapes[0])])

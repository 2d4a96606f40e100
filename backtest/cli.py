"""The command line of `mm_backtest.py`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple, get_args

from backtest.optimizer.limits import MIN_EXPLORED
from shared.config import PRESETS
from shared.exchange import QueueName
from shared.market import Series

QUEUES: tuple[QueueName, ...] = get_args(QueueName)
HEADLINE: QueueName = "pessimistic"

DONE, FAULT, WRONG, NO_DATA, SEARCH_FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 130
MEANINGS = {
    DONE: "done: the report is written",
    FAULT: "a fault of the program itself",
    WRONG: "wrong usage or configuration: the message names what",
    NO_DATA: "no data, or data that cannot be read: the message names file and remedy",
    SEARCH_FAILED: "the search cannot be run: too few periods, or its storage or cluster cannot be reached",
    INTERRUPTED: "Ctrl-C: what was finished is in the report",
}

SAMPLE_PERIODS, SEARCH_PERIODS = 8, 120  # a search cannot learn from few
_SEARCH_REQUOTE_MS = 100.0  # a search runs hundreds of times what a backtest runs once


class Options(NamedTuple):
    """What was asked for, checked."""

    data: tuple[Path, ...]
    markets: tuple[str, ...]
    preset: str
    config: Path | None
    overrides: tuple[str, ...]
    queues: tuple[QueueName, ...]
    order_ms: float
    cancel_ms: float
    jitter_ms: float
    requote_ms: float
    generate_sample: bool
    series: str
    periods: int
    sample: tuple[str, ...]
    seed: int
    optimize: bool
    trials: int
    folds: int
    space: Path | None
    storage: str | None
    scheduler: str | None
    compare: tuple[Path, Path] | None
    ablation: bool
    workers: int
    out: Path
    json: bool
    progress: bool

    @property
    def headline(self) -> QueueName:
        """The queue model of the headline: the least believing of those that run."""
        return self.queues[0]


def make_parser() -> argparse.ArgumentParser:
    """The parser; its help is complete."""
    codes = "\n".join(f"  {code:<4} {meaning}" for code, meaning in MEANINGS.items())
    parser = argparse.ArgumentParser(
        prog="mm_backtest.py",
        description="Judges a configuration on recorded or simulated periods, with the code that quotes live.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog=f"""\
examples:
  python3 mm_backtest.py                                          simulated periods, report in out/backtest
  python3 mm_backtest.py --generate-sample --periods 200          simulated events as files, nothing else
  python3 mm_backtest.py --data out/backtest/sample --preset aggressive
  python3 mm_backtest.py --data recording --markets btc-15m --latency-ms 150
  python3 mm_backtest.py --data samples                           real settled markets of the samples extra
  python3 mm_backtest.py --optimize --trials 100 --workers 2
  python3 mm_backtest.py --compare mine.toml theirs.toml

exit codes:
{codes}
""",
    )
    add = parser.add_argument_group("what to run on").add_argument
    add(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="events or a recording, several times for several; `samples` for the samples extra (default: simulate)",
    )
    add("--markets", default="", metavar="LIST", help="only these series, such as btc-15m,eth-15m (default: all)")
    add("--generate-sample", action="store_true", help="write simulated events into OUT/sample, and stop")
    add(
        "--periods",
        type=int,
        metavar="N",
        help=f"simulated periods (default: {SAMPLE_PERIODS}; {SEARCH_PERIODS} for --optimize)",
    )
    add("--series", default="btc-15m", metavar="NAME", help="simulated series (default: %(default)s)")
    add(
        "--sample",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a knob of the simulated world, such as informed_share=0.5, several times for several",
    )
    add("--seed", type=int, default=1, metavar="N", help="of simulation and search (default: %(default)s)")

    add = parser.add_argument_group("the configuration").add_argument
    add("--preset", default="default", choices=tuple(PRESETS), help="preset (default: %(default)s)")
    add("--config", type=Path, metavar="FILE", help="settings over the preset, TOML or JSON")
    add(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting over all, such as base_spread=0.03"
    )

    add = parser.add_argument_group("the exchange").add_argument
    add(
        "--queue",
        default="all",
        choices=(*QUEUES, "all"),
        help=f"queue model; all runs the three, and {HEADLINE} makes the headline (default: %(default)s)",
    )
    add(
        "--latency-ms",
        default="100",
        metavar="MS[,MS]",
        help="until an order arrives at the venue, and until a cancel does (default: %(default)s for both)",
    )
    add("--jitter-ms", type=float, default=0.0, metavar="MS", help="standard deviation of both (default: constant)")

    add(
        "--requote-ms",
        type=float,
        metavar="MS",
        help=f"at least so long between two requotes (default: 0, every event; {_SEARCH_REQUOTE_MS:g} for --optimize)",
    )

    add = parser.add_argument_group("what to do").add_argument
    add("--optimize", action="store_true", help="search settings that beat the configuration, or say that none does")
    add("--trials", type=int, default=200, metavar="N", help="tries of each study of the search (default: %(default)s)")
    add("--folds", type=int, default=4, metavar="N", help="blocks of the walk forward (default: %(default)s)")
    add("--space", type=Path, metavar="FILE", help="TOML that narrows what is searched")
    add(
        "--storage",
        metavar="URL",
        help="where the search keeps its tries; machines may share it (default: a file in OUT)",
    )
    add("--scheduler", metavar="ADDRESS", help="a Dask cluster to search on (default: processes of this machine)")
    add("--compare", nargs=2, type=Path, metavar="FILE", help="two configurations on the same periods")
    add("--no-ablation", action="store_true", help="do not run each technique switched off")

    add = parser.add_argument_group("how").add_argument
    add(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (default: one a core)",
    )
    add(
        "--out",
        type=Path,
        default=Path("out/backtest"),
        metavar="DIR",
        help="report, tables, tapes (default: %(default)s)",
    )
    add("--json", action="store_true", help="print every number of the report as JSON instead of tables")
    add("--no-progress", action="store_true", help="no progress bars")
    return parser


def parse(arguments: Sequence[str]) -> Options:
    """The options. Exits with 2 and a message when they cannot be used."""
    parser = make_parser()
    given = parser.parse_args(arguments)
    if sum((bool(given.compare), given.optimize, given.generate_sample)) > 1:
        parser.error("--optimize, --compare and --generate-sample are different things to do: choose one")
    if given.generate_sample and given.data:
        parser.error("--generate-sample makes data: leave --data out")
    _refuse_idle(parser, given, {each.partition("=")[0] for each in arguments})
    if given.periods is None:
        given.periods = SEARCH_PERIODS if given.optimize else SAMPLE_PERIODS
    for name, least in (("periods", 1), ("trials", MIN_EXPLORED), ("folds", 1), ("workers", 1), ("seed", 0)):
        if getattr(given, name) < least:
            parser.error(f"--{name} {getattr(given, name)}: give {least} or more")
    markets = tuple(_series(parser, "markets", each) for each in given.markets.split(",") if each.strip())
    series = _series(parser, "series", given.series)
    order_ms, cancel_ms = _latencies(parser, given.latency_ms)
    if given.requote_ms is not None and not 0.0 <= given.requote_ms <= 60_000.0:
        parser.error(f"--requote-ms {given.requote_ms}: give 0 to 60000")
    if not 0.0 <= given.jitter_ms <= 60_000.0:
        parser.error(f"--jitter-ms {given.jitter_ms}: give 0 to 60000")
    if given.jitter_ms > 0.0 and min(order_ms, cancel_ms) == 0.0:
        parser.error("--jitter-ms: a latency of 0 ms cannot spread; give --latency-ms above 0, or leave it out")
    if given.out.exists() and not given.out.is_dir():
        parser.error(f"--out {given.out}: give a folder")
    return Options(
        data=tuple(given.data),
        markets=markets,
        preset=given.preset,
        config=given.config,
        overrides=tuple(given.set),
        queues=QUEUES if given.queue == "all" else (given.queue,),
        order_ms=order_ms,
        cancel_ms=cancel_ms,
        jitter_ms=given.jitter_ms,
        requote_ms=_SEARCH_REQUOTE_MS if given.requote_ms is None and given.optimize else given.requote_ms or 0.0,
        generate_sample=given.generate_sample,
        series=series,
        periods=given.periods,
        sample=tuple(given.sample),
        seed=given.seed,
        optimize=given.optimize,
        trials=given.trials,
        folds=given.folds,
        space=given.space,
        storage=given.storage,
        scheduler=given.scheduler,
        compare=None if given.compare is None else (given.compare[0], given.compare[1]),
        ablation=not given.no_ablation,
        workers=given.workers,
        out=given.out,
        json=given.json,
        progress=not given.no_progress,
    )


def _refuse_idle(parser: argparse.ArgumentParser, given: argparse.Namespace, flags: Set[str]) -> None:
    """Flags that would do nothing together with the others end the program: nobody shall believe that they did."""
    configuration = ("--preset", "--config", "--set")
    rules = (
        (
            given.generate_sample,
            (*configuration, "--queue", "--latency-ms", "--jitter-ms", "--requote-ms", "--no-ablation", "--json"),
            "--generate-sample runs no configuration and writes no report: leave it out",
        ),
        (
            not given.optimize,
            ("--trials", "--folds", "--space", "--storage", "--scheduler"),
            "it is for a search: add --optimize, or leave it out",
        ),
        (given.compare, configuration, "--compare names both configurations: leave it out"),
        (
            given.optimize or given.compare,
            ("--no-ablation",),
            "techniques are switched off only without --optimize and --compare: leave it out",
        ),
        (
            given.data,
            ("--periods", "--series", "--sample"),
            "it is for simulated periods: leave it out, or leave --data out",
        ),
        (not given.data, ("--markets",), "it chooses from --data: name what to simulate with --series"),
        (
            given.data and not given.optimize and not given.jitter_ms,
            ("--seed",),
            "nothing is drawn: add --jitter-ms or --optimize, or leave it out",
        ),
    )
    for is_idle, named, remedy in rules:
        for flag in named:
            if is_idle and flag in flags:
                parser.error(f"{flag} does nothing here: {remedy}")
    for each in given.sample:
        name = each.partition("=")[0].strip()
        if name in ("periods", "series"):
            parser.error(f"--sample {name}: give --{name}")


def _series(parser: argparse.ArgumentParser, flag: str, text: str) -> str:
    try:
        return Series.parse(text).name
    except ValueError as error:
        parser.error(f"--{flag}: {error}")


def _latencies(parser: argparse.ArgumentParser, text: str) -> tuple[float, float]:
    try:
        numbers = [float(each) for each in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0.0 <= each <= 60_000.0 for each in numbers):
        parser.error(f"--latency-ms {text!r}: give one number of milliseconds, or two such as 100,150; at most 60000")
    return numbers[0], numbers[-1]

"""`mm_backtest.py`: reads or simulates events, plays them once, runs what was asked for, writes the report."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.exceptions import OptunaError
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sqlalchemy.exc import SQLAlchemyError

from backtest import cli, report
from backtest.baselines import STRATEGIES
from backtest.engine import LatencyModel, Run, RunOptions, run
from backtest.evaluator import TapeEvaluatorFactory, ordered
from backtest.events_io import ABOUT, EventsError, is_events_folder, write_events
from backtest.importers import book_implied, inferred_trades
from backtest.importers.resolvedkit_io import SampleAbsentError, sample_path
from backtest.optimizer.decision import Verdict, decide
from backtest.optimizer.evaluate import QUEUE_MODELS
from backtest.optimizer.search import Found, Plan, SearchError, folds_of, search, sqlite_url
from backtest.optimizer.space import Space, SpaceError, space_around
from backtest.parts import Part, Played, first_pass, parts_of, told
from backtest.report_page_io import numbers_of, write_report
from backtest.report_summary import print_summary
from backtest.result import BacktestResult
from backtest.sample import INVENTED, SampleSettings, generate
from backtest.study import estimate, make_study, paired, settings_that_differ
from backtest.tape import Tape, tape_key
from backtest.tape_io import engine_hash, read_tapes
from shared.config import ConfigError, MMConfig, Techniques, load_config
from shared.exchange import QueueName
from shared.market import NS_PER_S, Series

Floats = NDArray[np.float64]
# What must be known before a figure is believed: the periods are simulated, or prices or trades were concluded.
CONCLUDED = (INVENTED, book_implied.NOTES[0], inferred_trades.NOTES[0])
LONGEST_EMBARGO_NS = 3600 * NS_PER_S
OPPOSITE = "buying the opposite outcome"  # hedging as a technique: no switch of the configuration, an option of the run


class NoDataError(ValueError):
    """There is nothing to run on; the text says what to do."""


class Ground(NamedTuple):
    """What configurations run on: the tapes of each in order, and what there is to say of the events."""

    tapes: dict[str, list[Tape]]  # by `tape_key`
    played: list[Played]

    def of(self, config: MMConfig) -> list[Tape]:
        """The tapes of one of the configurations that were played."""
        return self.tapes[tape_key(config)]


def main(options: cli.Options) -> int:
    """Do what the command line asks for; returns the exit code."""
    console = Console(stderr=True)
    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        with _interrupts_answered(console):
            return Backtest(options, console).run()
    except (ConfigError, SpaceError, ValidationError) as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return cli.WRONG
    except (EventsError, NoDataError, SampleAbsentError) as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return cli.NO_DATA
    except SearchError as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return cli.SEARCH_FAILED
    except BrokenProcessPool:
        console.print("a worker ended by itself, perhaps for want of memory: try with fewer --workers", soft_wrap=True)
        return cli.FAULT
    except KeyboardInterrupt:
        console.print(
            "interrupted before there was anything to report; what was played before is kept in --out", soft_wrap=True
        )
        return cli.INTERRUPTED


@contextmanager
def _interrupts_answered(console: Console) -> Iterator[None]:
    """Ctrl-C is answered at once: what is finished after it may take a while."""

    def answer(number: int, frame: FrameType | None) -> None:
        console.print("interrupted: finishing what was begun")
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # the caller's own, or ignored
        yield
        return
    signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Backtest:
    """One call of the command line."""

    def __init__(self, options: cli.Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._is_interrupted = False
        self._tapes_in = options.out / "tapes"

    def run(self) -> int:
        """Do what was asked for; returns the exit code."""
        options = self._options
        if options.generate_sample:
            self._sample_parts()
            return self._code()
        if options.compare is not None:
            first, second = (load_config(file=each) for each in options.compare)
            name = options.compare[0].stem
        else:
            first, second = load_config(options.preset, file=options.config, overrides=options.overrides), None
            name = options.preset if options.config is None else f"{options.preset}, {options.config.name}"
        space = self._space(first) if options.optimize else None
        parts = parts_of(self._data(), options.markets) if options.data else self._sample_parts()
        is_plain = not options.optimize and second is None
        variants = _variants(first) if options.ablation and is_plain else {}
        ground = self._play(parts, [first, *variants.values(), *([second] if second is not None else [])])
        results = {queue: self._result(ground, first, queue) for queue in options.queues}
        # Fewer periods are another search: what is done of this one would be lost.
        optimizer = None if space is None or self._is_interrupted else self._optimize(ground, first, space)
        comparison = None if second is None else self._compare(ground, results[options.headline], second)
        ablation = self._ablation(ground, first, variants)
        baselines = self._baselines(ground, first)
        source, notes, drops = told(ground.played)
        study = make_study(
            results,
            options.headline,
            title=f"Backtest of {name}",
            source=report.Source(source, notes, drops),
            config_name=name,
            latencies_ms={"order": options.order_ms, "cancel": options.cancel_ms},
            ablation=ablation,
            baselines=baselines,
            caveats=self._caveats(parts, ground, first),
            optimizer=optimizer,
            comparison=comparison,
            absent=self._absent(),
        )
        page = write_report(study, options.out)
        self._write_tables(results[options.headline])
        if options.json:
            print(json.dumps(numbers_of(study), indent=1))
        else:
            print_summary(study, Console())
        self._console.print(f"report: {page}", highlight=False, soft_wrap=True)
        return self._code()

    def _code(self) -> int:
        return cli.INTERRUPTED if self._is_interrupted else cli.DONE

    # -- events ------------------------------------------------------------------------------------------------------

    def _data(self) -> list[Path]:
        """The paths, with the word `samples` for the data of the samples extra."""
        return [sample_path() if str(each) == "samples" and not each.exists() else each for each in self._options.data]

    def _sample_parts(self) -> list[Part]:
        """The simulated events as folders, made now unless they lie there."""
        options = self._options
        settings = _sample_settings(options)
        folder = options.out / "sample"
        wanted = {
            folder / f"{settings.name}-{chunk:04d}": len(settings.starts(chunk)) for chunk in range(settings.chunks)
        }
        if not all(_holds(place, periods) for place, periods in wanted.items()):
            with self._bars("periods") as progress:
                made = generate(settings, workers=options.workers, progress=progress)
                with suppress(KeyboardInterrupt):  # while one was written: those that are whole are used
                    for place, events in zip(wanted, made, strict=False):
                        if not _holds(place, wanted[place]):
                            write_events(events, place, replace=True)
        found = parts_of([place for place, periods in wanted.items() if _holds(place, periods)], ())
        if not found:
            raise KeyboardInterrupt
        self._is_interrupted = len(found) < len(wanted)
        if options.generate_sample:
            self._console.print(f"{len(found)} parts of simulated events in {folder}", highlight=False, soft_wrap=True)
        return found

    def _play(self, parts: Sequence[Part], configs: Sequence[MMConfig]) -> Ground:
        """The first pass over all parts, under each configuration that needs tapes of its own."""
        options = self._options
        distinct = list({tape_key(each): each for each in configs}.values())
        played: list[Played] = []
        with self._bars("parts") as progress:
            task = progress.add_task("playing events", total=len(parts))
            for each in first_pass(
                parts,
                distinct,
                options.markets,
                self._tapes_in,
                workers=options.workers,
                finished=lambda _: progress.advance(task),
            ):
                played.append(each)
        if not played:
            raise KeyboardInterrupt
        if len(played) < len(parts):
            self._is_interrupted = True
        tapes = {
            tape_key(config): ordered([tape for each in played for tape in read_tapes(each.tapes[place])])
            for place, config in enumerate(distinct)
        }
        if not all(tapes.values()):
            raise NoDataError("no period was seen while it ran: give other --data or --markets")
        return Ground(tapes, played)

    # -- runs --------------------------------------------------------------------------------------------------------

    def _run_options(self, queue: QueueName) -> RunOptions:
        options = self._options
        jitter_s = options.jitter_ms / 1000.0
        return RunOptions(
            queue=queue,
            order=LatencyModel(options.order_ms / 1000.0, jitter_s),
            cancel=LatencyModel(options.cancel_ms / 1000.0, jitter_s),
            requote_s=options.requote_ms / 1000.0,
            seed=options.seed,
        )

    def _result(self, ground: Ground, config: MMConfig, queue: QueueName) -> BacktestResult:
        chosen = self._run_options(queue)._replace(keeps_quotes=queue == self._options.headline)
        with self._bars("steps") as progress:
            tapes = ground.of(config)
            total = sum(len(tape.steps) for tape in tapes)
            task = progress.add_task(f"running, {queue} queue", total=total)
            found = run(tapes, config, chosen, progress=lambda steps: progress.update(task, completed=steps))
        return BacktestResult(found, tapes)

    def _ablation(self, ground: Ground, config: MMConfig, variants: Mapping[str, MMConfig]) -> dict[str, Floats]:
        """P&L of each period with each technique off in turn."""
        if not variants:
            return {}
        options = self._run_options(self._options.headline)
        runs = {name: partial(run, ground.of(each), each, options) for name, each in variants.items()}
        runs[OPPOSITE] = partial(run, ground.of(config), config, options._replace(buys_opposite=False))
        return self._profits("each technique off", runs)

    def _baselines(self, ground: Ground, config: MMConfig) -> dict[str, Floats]:
        options = self._run_options(self._options.headline)
        tapes = ground.of(config)
        runs = {name: partial(run, tapes, config, options._replace(strategy=name)) for name in STRATEGIES}
        return self._profits("simple quoters", runs)

    def _profits(self, what: str, runs: Mapping[str, Callable[[], Run]]) -> dict[str, Floats]:
        """P&L of each period of these runs; after an interrupt, of those that were done."""
        found: dict[str, Floats] = {}
        with self._bars("runs") as progress:
            try:
                for name, each in progress.track(runs.items(), description=what):
                    found[name] = each().pnl_usd
            except KeyboardInterrupt:
                self._is_interrupted = True
        return found

    def _compare(self, ground: Ground, ours: BacktestResult, config: MMConfig) -> report.Comparison:
        assert self._options.compare is not None
        name, other_name = (each.stem for each in self._options.compare)
        other = run(ground.of(config), config, self._run_options(self._options.headline))
        found = paired(other_name, ours.pnl_usd, other.pnl_usd)
        return report.Comparison(
            a=name,
            b=other_name,
            a_usd=estimate(ours.pnl_usd),
            b_usd=estimate(other.pnl_usd),
            difference_usd=found.difference_usd,
            p=found.p,
            settings=settings_that_differ(ours.run.config, config),
        )

    # -- the search --------------------------------------------------------------------------------------------------

    def _space(self, config: MMConfig) -> Space:
        """What is searched. What can be known to be too little is refused before anything is played."""
        options = self._options
        if not options.data and not _can_search(_sample_settings(options), options.folds):
            more = (_sample_settings(options._replace(periods=each)) for each in count(options.periods + 1))
            least = next(each.periods for each in more if _can_search(each, options.folds))
            raise SearchError(
                f"--periods {options.periods}: too few for {options.folds} folds; give {least}, or fewer --folds"
            )
        return space_around(config, file=options.space)

    def _optimize(self, ground: Ground, config: MMConfig, space: Space) -> report.Optimizer:
        options, tapes = self._options, ground.of(config)
        run_options = self._run_options(options.headline)
        plan = Plan(
            space=space,
            start_ns=np.array([tape.period.start_ns for tape in tapes]),
            end_ns=np.array([tape.period.end_ns for tape in tapes]),
            data_hash=hashlib.sha256(
                "-".join([*sorted(each.tapes[0].name for each in ground.played), repr(run_options)]).encode()
            ).hexdigest()[:16],
            engine_version=engine_hash(),
            trials=options.trials,
            folds=options.folds,
            embargo_ns=_embargo_ns(tapes) if options.data else _embargo_of_sample_ns(_sample_settings(options)),
            seed=options.seed,
        )
        folders = tuple(each.tapes[0].resolve() for each in ground.played)
        factory = TapeEvaluatorFactory(folders, run_options, tape_key(config))
        options.out.mkdir(parents=True, exist_ok=True)
        with self._bars("tries") as progress:
            try:
                found = search(
                    plan,
                    factory,
                    storage=options.storage or sqlite_url(options.out),
                    workers=options.workers,
                    scheduler=options.scheduler,
                    progress=progress,
                )
            except (OSError, ImportError, SQLAlchemyError, OptunaError) as error:
                raise SearchError(f"the search's storage or cluster cannot be reached: {error}") from error
        self._is_interrupted |= found.is_interrupted
        verdict = decide(found, seed=options.seed)
        (options.out / "optimizer.json").write_text(json.dumps(verdict.describe(), indent=1))
        if verdict.recommended is not None:
            (options.out / "recommended.json").write_text(verdict.recommended.model_dump_json(indent=1))
        return _told_of(found, verdict, config)

    # -- the rest ----------------------------------------------------------------------------------------------------

    def _caveats(self, parts: Sequence[Part], ground: Ground, config: MMConfig) -> list[str]:
        tapes = ground.of(config)
        _, notes, _ = told(ground.played)
        found = [note for note in notes if note in CONCLUDED]
        periods = len(tapes)
        if self._is_interrupted:
            wanted = max(len(parts), 0 if self._options.data else _sample_settings(self._options).chunks)
            left_out = "what was not run is not in this report"
            if len(ground.played) < wanted:
                left_out = f"{len(ground.played)} of {wanted} parts are in this report, and what was not run is not"
            found.append(f"interrupted: {left_out}")
        if twice := periods - len({tape.slug for tape in tapes}):
            found.append(f"{twice} of {periods} periods are there more than once, each counted by itself")
        if periods < 30:
            found.append(f"{periods} periods are few: intervals are wide, and rare losses may be missing")
        return found

    def _absent(self) -> dict[str, str]:
        options = self._options
        found = {}
        if not options.optimize:
            found["optimizer"] = "No search was asked for: --optimize."
        elif self._is_interrupted:
            found["optimizer"] = "It was not begun: an interrupt came before all periods were played. Run it again."
        if options.compare is None:
            found["comparison"] = "No other configuration was given: --compare A B."
        if not options.ablation:
            found["ablation"] = "Left out by --no-ablation."
        elif options.optimize or options.compare is not None:
            found["ablation"] = "Not run together with a search or a comparison."
        return found

    def _write_tables(self, result: BacktestResult) -> None:
        """Fills, quotes and periods of the headline's run, for the user's own analysis."""
        folder = self._options.out
        result.fills_df().to_parquet(folder / "fills.parquet")
        result.quotes_df().to_parquet(folder / "quotes.parquet")
        result.periods_df().to_parquet(folder / "periods.parquet")

    @contextmanager
    def _bars(self, unit: str) -> Iterator[Progress]:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (self._options.progress and self._console.is_terminal),
            transient=True,
        ) as progress:
            yield progress


def _holds(folder: Path, periods: int) -> bool:
    """Whether a chunk of the sample lies there, whole; the last one of a shorter sample has fewer periods."""
    if not is_events_folder(folder):
        return False
    counts = json.loads((folder / ABOUT).read_bytes())["counts"]
    return bool(counts.get("labels") == periods)


def _variants(config: MMConfig) -> dict[str, MMConfig]:
    """The configuration with each technique that is on switched off in turn."""
    return {
        name: config.model_copy(update={"techniques": config.techniques.model_copy(update={name: False})})
        for name in Techniques.model_fields
        if getattr(config.techniques, name)
    }


def _sample_settings(options: cli.Options) -> SampleSettings:
    knobs: dict[str, str | int] = {"series": options.series, "periods": options.periods, "seed": options.seed}
    for each in options.sample:
        name, separator, text = each.partition("=")
        if not separator:
            raise ConfigError(f"--sample {each!r} must be written KEY=VALUE, such as informed_share=0.5")
        knobs[name.strip()] = text.strip()
    try:
        return SampleSettings.model_validate(knobs)
    except ValidationError as error:
        texts = [f"--sample {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise ConfigError("\n".join(texts)) from error


def _embargo_ns(tapes: Sequence[Tape]) -> int:
    """Volatility remembers about an hour; a short recording cannot spare as much."""
    span_ns = tapes[-1].period.end_ns - tapes[0].period.start_ns
    return min(LONGEST_EMBARGO_NS, span_ns // 20)


def _embargo_of_sample_ns(settings: SampleSettings) -> int:
    """As long as the periods of one chunk: another is another world."""
    return min(LONGEST_EMBARGO_NS, settings.chunk_periods * Series.parse(settings.series).length_s * NS_PER_S)


def _can_search(settings: SampleSettings, folds: int) -> bool:
    """Whether a sample has periods enough for the folds of a search."""
    starts_s = [start_s for chunk in range(settings.chunks) for start_s in settings.starts(chunk)]
    start_ns = np.array(starts_s, np.int64) * NS_PER_S
    end_ns = start_ns + Series.parse(settings.series).length_s * NS_PER_S
    try:
        folds_of(start_ns, end_ns, folds=folds, purge_ns=0, embargo_ns=_embargo_of_sample_ns(settings))
    except SearchError:
        return False
    return True


def _told_of(found: Found, verdict: Verdict, config: MMConfig) -> report.Optimizer:
    """The search as the report shows it: under the probabilistic queue, with the answer of all demands."""
    judged = QUEUE_MODELS.index("probabilistic")
    folds = []
    for tested in found.tested:
        train, test = tested.fold.train, tested.fold.test
        folds.append(
            report.Fold(
                trained_on=_span(found.plan, train),
                tested_on=_span(found.plan, test),
                trained_usd=estimate(tested.train_usd[:, judged]),
                tested_usd=estimate(tested.pnl_usd[:, judged]),
                default_usd=estimate(tested.default_usd[:, judged]),
            )
        )
    chosen = () if verdict.candidate is None else settings_that_differ(verdict.candidate, config)
    return report.Optimizer(
        answer=verdict.sentence, chosen=chosen, folds=tuple(folds), overfit_probability=verdict.overfitting
    )


def _span(plan: Plan, places: NDArray[np.int64]) -> str:
    if not len(places):
        return "none"
    first, last = int(plan.start_ns[places[0]]), int(plan.end_ns[places[-1]])
    begin, end = (datetime.fromtimestamp(each / NS_PER_S, UTC) for each in (first, last))
    return f"{begin:%m-%d %H:%M} to {end:%m-%d %H:%M}"

"""Looks for the best configuration with Optuna, walking forward in time.

For each fold a study of its own sees the past alone (purged and embargoed), picks the best of its trials, and that
choice is played through the next block of periods, which no study of this fold has seen. A last study sees all periods;
its choice is the candidate. What the folds' choices earned is the evidence that choosing this way works.

A study lives in a storage: a SQLite file, any database that SQLAlchemy knows, or memory. Its name is a digest of all
that its scores depend on, so that the same search goes on where it stopped and another begins anew. Several machines
that run the same search on one storage share the work. Trials are asked for and told here; only evaluations run
elsewhere (`compute.py`). With one worker the result depends on the seed alone: each trial draws from a generator of its
own, also after a resume.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backtest.optimizer.compute import Compute, compute_on
from backtest.optimizer.evaluate import MICRO, QUEUE_MODELS, Factory, FloatArray, IntArray, evaluate
from backtest.optimizer.limits import MIN_EXPLORED, MIN_TRAIN_PERIODS
from backtest.optimizer.objective import CAUTION, score
from backtest.optimizer.space import Choice, Space
from backtest.statistics import Fold, walk_forward
from shared.config import PRESETS, MMConfig
from shared.market import NS_PER_S

_PNL = "pnl"  # attributes of a trial: what it earned, packed
_PRESET = "preset"  # the point that stood in line


class SearchError(ValueError):
    """A search that cannot be run; the text says what to change."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to search, on which periods."""

    space: Space
    start_ns: IntArray  # of each period, in order
    end_ns: IntArray
    data_hash: str  # of the events that the tapes were made of
    engine_version: str
    trials: int = 200  # in each study
    folds: int = 4
    purge_ns: int = 0  # trained periods end more than purge and embargo before a test block begins
    embargo_ns: int = 3600 * NS_PER_S  # volatility remembers about an hour
    seed: int = 0

    @property
    def explored(self) -> int:
        """How many trials of a study are placed without looking at results: the presets, then random ones."""
        return max(MIN_EXPLORED, self.trials // 4)


class Scored(NamedTuple):
    """One trial of the study over all periods."""

    config: MMConfig
    score: float  # `objective.score`, dollars a period
    pnl_usd: FloatArray  # all periods x queue models


class Tested(NamedTuple):
    """What a fold chose on its past, and what that earned in the block after it."""

    fold: Fold
    trials: int
    choice: MMConfig | None  # None: nothing scored above the default, which then stands in
    score: float
    train_usd: FloatArray  # training periods x queue models, of the choice
    pnl_usd: FloatArray  # test periods x queue models, of the choice
    default_usd: FloatArray  # test periods x queue models, of the default


@dataclass(frozen=True)
class Found:
    """What a search found."""

    plan: Plan
    default_usd: FloatArray  # all periods x queue models, of the base configuration
    tested: tuple[Tested, ...]
    scored: tuple[Scored, ...]  # of the study over all periods
    is_complete: bool  # no study was cut short before its explored trials were done
    is_interrupted: bool

    @property
    def chosen(self) -> int | None:
        """Place in `scored` of the candidate, the best over all periods. None when none scored above the default."""
        best = max(range(len(self.scored)), key=lambda place: self.scored[place].score, default=None)
        return best if best is not None and self.scored[best].score > 0.0 else None


def sqlite_url(folder: Path) -> str:
    """The storage that a search uses unless it is given another: a file in its output folder."""
    return f"sqlite:///{(folder / 'optimizer.sqlite').resolve()}"


def search(
    plan: Plan,
    factory: Factory,
    *,
    storage: str | BaseStorage | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Found:
    """Run the studies of a plan, or what is left of them, and test what they choose.

    `storage` is a database's URL, or an Optuna storage (None: this process's memory); see `compute_on` for `workers`
    and `scheduler`. An interrupt (Ctrl-C) ends the search early: what is done is kept and found. Raises SearchError
    when there are too few periods, ValueError for a cluster that is not there, and what the evaluator raises.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if plan.trials < MIN_EXPLORED:
        raise SearchError(f"trials = {plan.trials}: give at least {MIN_EXPLORED}")
    folds = folds_of(plan.start_ns, plan.end_ns, folds=plan.folds, purge_ns=plan.purge_ns, embargo_ns=plan.embargo_ns)
    held = storage if isinstance(storage, BaseStorage) else _open(storage)
    try:
        with compute_on(workers=workers, scheduler=scheduler) as compute:
            return _Search(plan, factory, held, compute, progress or Progress(disable=True)).run(folds)
    finally:
        if isinstance(held, RDBStorage) and held is not storage:
            held.remove_session()
            held.engine.dispose()


def progress_bar() -> Progress:
    """A bar for `search` that shows trials done, time left and the best score."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("best {task.fields[best]:+.4f} $ a period"),
    )


def study_name(plan: Plan, train: IntArray) -> str:
    """The name of the study that sees these periods: equal for equal scores, and for them alone."""
    identity = {
        "data": plan.data_hash,
        "engine": plan.engine_version,
        "space": plan.space.digest,
        "caution": CAUTION,
        "explored": plan.explored,
        "seed": plan.seed,
        "kept": _PNL,  # of each trial: a study whose trials lack it is another
        "train": hashlib.sha256(np.asarray(train, dtype="<i8").tobytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def folds_of(start_ns: IntArray, end_ns: IntArray, *, folds: int, purge_ns: int, embargo_ns: int) -> list[Fold]:
    """The folds of a search. Raises SearchError when one of them would have too few periods."""
    if len(start_ns) < MIN_TRAIN_PERIODS * (folds + 1):
        raise SearchError(
            f"{len(start_ns)} periods are too few for {folds} folds: give at least "
            f"{MIN_TRAIN_PERIODS * (folds + 1)}, or fewer folds"
        )
    try:
        found = walk_forward(start_ns, end_ns, folds=folds, purge_ns=purge_ns, embargo_ns=embargo_ns)
    except ValueError as error:
        raise SearchError(f"the periods cannot be walked through: {error}") from error
    for number, fold in enumerate(found, 1):
        if len(fold.train) < MIN_TRAIN_PERIODS or not len(fold.test):
            raise SearchError(
                f"fold {number} would train on {len(fold.train)} periods and test on {len(fold.test)}: at least "
                f"{MIN_TRAIN_PERIODS} and 1 are needed; give more periods, fewer folds or a shorter embargo"
            )
    return found


def _open(storage: str | None) -> BaseStorage:
    if storage is None:
        return InMemoryStorage()
    # Machines that share a SQLite file wait for each other instead of failing at once.
    engine: dict[str, Any] = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
    return RDBStorage(storage, engine_kwargs=engine)


@dataclass
class _Search:
    plan: Plan
    factory: Factory
    storage: BaseStorage
    compute: Compute
    progress: Progress
    default_usd: FloatArray = field(init=False)

    def run(self, folds: Sequence[Fold]) -> Found:
        """All studies, then their tests."""
        everything = np.arange(len(self.plan.start_ns), dtype=np.int64)
        self.default_usd = self._play(self.plan.space.base, everything)
        trains = [*(fold.train for fold in folds), everything]
        studies = [self._study(train) for train in trains]
        is_interrupted = False
        try:
            with self.progress:
                for place, (study, train) in enumerate(zip(studies, trains, strict=True), 1):
                    name = f"fold {place} of {len(folds)}" if place <= len(folds) else "all periods"
                    self._fill(study, train, name)
        except KeyboardInterrupt:
            is_interrupted = True
        done = [_completed(study) for study in studies]
        return Found(
            plan=self.plan,
            default_usd=self.default_usd,
            tested=tuple(self._test(f, trials) for f, trials in zip(folds, done[:-1], strict=True) if len(trials)),
            scored=tuple(self._scored(done[-1])),
            is_complete=all(len(trials) >= self.plan.explored for trials in done),
            is_interrupted=is_interrupted,
        )

    def _study(self, train: IntArray) -> optuna.Study:
        """The study of these periods, created or found, with the presets first in line."""
        space = self.plan.space
        sampler = _DrawsByTrial(space.distributions(), seed=self.plan.seed, explored=self.plan.explored)
        study = optuna.create_study(
            storage=self.storage,
            study_name=study_name(self.plan, train),
            sampler=sampler,
            direction="maximize",
            load_if_exists=True,
        )
        # What an interrupt cut short stands in line again, also where the storage calls it running: at worst another
        # machine plays it as well. Optuna's own `skip_if_exists` would count it as tried.
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.WAITING))
        tried = [trial.user_attrs.get(_PRESET) for trial in trials]
        presets = (MMConfig(**(space.base.model_dump() | settings)) for settings in PRESETS.values())
        for point in map(space.nearest, (space.base, *presets)):
            if point not in tried:
                study.enqueue_trial(point, user_attrs={_PRESET: point})
                tried.append(point)
        return study

    def _fill(self, study: optuna.Study, train: IntArray, name: str) -> None:
        """Trials until the study has as many as planned."""
        goal, space = self.plan.trials, self.plan.space
        done = _completed(study)
        bar = self.progress.add_task(name, total=goal, completed=len(done), best=_best(done))
        distributions = space.distributions()
        asked: dict[int, Trial] = {}
        pending: dict[Future[FloatArray], Trial] = {}
        try:
            while len(done) < goal:
                while len(pending) < self.compute.slots and len(done) + len(pending) < goal:
                    trial = study.ask(fixed_distributions=distributions)
                    asked[trial.number] = trial
                    config = space.config(trial.params)
                    pending[self.compute.executor.submit(evaluate, self.factory, config, train)] = trial
                finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in sorted(finished, key=lambda each: pending[each].number):
                    trial = pending.pop(future)
                    pnl_usd = future.result()
                    trial.set_user_attr(_PNL, _packed(pnl_usd))
                    study.tell(trial, score(pnl_usd - self.default_usd[train]))
                    del asked[trial.number]
                done = _completed(study)  # other machines' too
                self.progress.update(bar, completed=len(done), best=_best(done))
        finally:
            for future in pending:
                future.cancel()
            for trial in asked.values():
                study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def _play(self, config: MMConfig, periods: IntArray) -> FloatArray:
        return self.compute.executor.submit(evaluate, self.factory, config, periods).result()

    def _test(self, fold: Fold, trials: Sequence[FrozenTrial]) -> Tested:
        """Play what a fold chose through its test block."""
        default_usd = self.default_usd[fold.test]
        best = max(trials, key=_score)
        if _score(best) <= 0.0:
            return Tested(fold, len(trials), None, 0.0, self.default_usd[fold.train], default_usd, default_usd)
        choice = self.plan.space.config(best.params)
        return Tested(
            fold, len(trials), choice, _score(best), _pnl_usd(best), self._play(choice, fold.test), default_usd
        )

    def _scored(self, trials: Sequence[FrozenTrial]) -> list[Scored]:
        config = self.plan.space.config
        return [Scored(config(each.params), _score(each), _pnl_usd(each)) for each in trials]


class _DrawsByTrial(BaseSampler):
    """TPE whose randomness is the trial's number and the seed alone, so that a resumed search draws what it would have.

    Failed trials do not count: what an interrupt cut short is drawn again.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], *, seed: int, explored: int) -> None:
        self._distributions = {name: each for name, each in distributions.items() if not each.single()}
        self._seed = seed
        self._explored = explored
        self._sampler = self._fresh(0)

    def _fresh(self, place: int) -> TPESampler:
        drawn = np.random.SeedSequence([self._seed, place]).generate_state(1)[0]
        return TPESampler(multivariate=True, n_startup_trials=self._explored, seed=int(drawn))

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Begin the trial's own draws."""
        earlier = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        self._sampler = self._fresh(trial.number - sum(each.number < trial.number for each in earlier))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Every setting of the space: each trial has them all."""
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """All settings together, once there are enough trials."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Choice:
        """One setting at random, before that."""
        drawn: Choice = self._sampler.sample_independent(study, trial, param_name, param_distribution)
        return drawn


def _completed(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that have a score, in the order in which they were begun."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _score(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _best(trials: Sequence[FrozenTrial]) -> float:
    return max((_score(each) for each in trials), default=0.0)


def _pnl_usd(trial: FrozenTrial) -> FloatArray:
    """What it earned, periods of its study x queue models."""
    return _unpacked(trial.user_attrs[_PNL])


def _packed(pnl_usd: FloatArray) -> str:
    """Whole millionths of a dollar, compressed: a trial of 3000 periods takes some ten kilobytes of the storage."""
    micro = np.rint(pnl_usd * MICRO).astype("<i8")
    return base64.b64encode(zlib.compress(micro.tobytes())).decode()


def _unpacked(packed: str) -> FloatArray:
    micro = np.frombuffer(zlib.decompress(base64.b64decode(packed)), dtype="<i8")
    return micro.reshape(-1, len(QUEUE_MODELS)) / float(MICRO)

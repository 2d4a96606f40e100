from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from optuna import load_study
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState
from rich.console import Console

from backtest.optimizer import search as searching
from backtest.optimizer.evaluate import Factory, PeriodResults, evaluate
from backtest.optimizer.objective import score
from backtest.optimizer.search import Found, Plan, SearchError, progress_bar, search, sqlite_url, study_name
from backtest.optimizer.space import Space, space_around
from shared.config import PRESETS, MMConfig, config_hash
from tests.backtest.optimizer.evaluators import HOUR_NS, EdgeFactory, NoiseFactory, hourly

SEARCHED = ("base_spread", "toxicity_weight", "uncertainty_weight")
PERIODS = 80


def plan_of(*, periods: int = PERIODS, trials: int = 14, folds: int = 2, seed: int = 1, data_hash: str = "d") -> Plan:
    start_ns, end_ns = hourly(periods)
    rows = tuple(row for row in space_around(MMConfig()).rows if row.name in SEARCHED)
    return Plan(
        space=Space(MMConfig(), rows),
        start_ns=start_ns,
        end_ns=end_ns,
        data_hash=data_hash,
        engine_version="1",
        trials=trials,
        folds=folds,
        embargo_ns=HOUR_NS,
        seed=seed,
    )


def scores_of(found: Found) -> list[float]:
    return [each.score for each in found.scored]


@dataclass
class Call:
    config: MMConfig
    periods: np.ndarray


@dataclass(eq=False)
class Watched:
    """Builds an evaluator that writes down what it is asked, and at the `stop`-th call raises `error`."""

    inner: Factory
    stop: int | None = None
    error: BaseException = field(default_factory=KeyboardInterrupt)
    calls: list[Call] = field(default_factory=list)

    def __call__(self) -> Watched._Evaluator:
        return Watched._Evaluator(self)

    @dataclass
    class _Evaluator:
        watched: Watched

        def __call__(self, config: MMConfig, periods: np.ndarray) -> PeriodResults:
            self.watched.calls.append(Call(config, periods))
            if len(self.watched.calls) == self.watched.stop:
                raise self.watched.error
            return self.watched.inner()(config, periods)


@pytest.fixture
def storage() -> BaseStorage:
    return InMemoryStorage()


def test_one_seed_finds_the_same_twice() -> None:
    factory = NoiseFactory(1, PERIODS)
    assert scores_of(search(plan_of(), factory)) == scores_of(search(plan_of(), factory))


def test_another_seed_tries_other_configurations() -> None:
    factory = NoiseFactory(1, PERIODS)
    assert scores_of(search(plan_of(), factory)) != scores_of(search(plan_of(seed=2), factory))


def test_the_presets_are_tried_first() -> None:
    found = search(plan_of(), NoiseFactory(1, PERIODS))
    tried = [(each.config.base_spread, each.config.uncertainty_weight) for each in found.scored]
    presets = [MMConfig(**each) for each in PRESETS.values()]
    assert found.scored[0].config == MMConfig()
    assert found.scored[0].score == 0.0
    assert {(each.base_spread, each.uncertainty_weight) for each in presets} <= set(tried[: len(presets)])


def test_a_score_is_that_of_the_gains_over_the_default() -> None:
    factory = NoiseFactory(1, PERIODS)
    found = search(plan_of(), factory)
    last = found.scored[-1]
    pnl_usd = evaluate(factory, last.config, np.arange(PERIODS))
    assert last.pnl_usd == pytest.approx(pnl_usd)
    assert last.score == pytest.approx(score(pnl_usd - evaluate(factory, MMConfig(), np.arange(PERIODS))))


def test_a_fold_chooses_without_having_seen_its_test_periods() -> None:
    watched = Watched(NoiseFactory(1, PERIODS))
    plan = plan_of()
    found = search(plan, watched)
    first = found.tested[0].fold
    assert set(first.train.tolist()).isdisjoint(first.test.tolist())
    assert plan.end_ns[first.train].max() + plan.embargo_ns < plan.start_ns[first.test].min()
    seen = [call.periods.tolist() for call in watched.calls[1 : 1 + plan.trials]]  # the first plays the default
    assert seen == [first.train.tolist()] * plan.trials


def test_a_choice_is_played_on_the_test_periods_alone() -> None:
    factory = EdgeFactory(1, PERIODS, edge_usd=2.0)
    found = search(plan_of(), factory)
    for tested in found.tested:
        assert tested.choice is not None
        assert tested.pnl_usd == pytest.approx(evaluate(factory, tested.choice, tested.fold.test))
        assert tested.default_usd == pytest.approx(found.default_usd[tested.fold.test])


def test_a_choice_carries_what_it_earned_where_it_was_chosen() -> None:
    factory = EdgeFactory(1, PERIODS, edge_usd=2.0)
    found = search(plan_of(), factory)
    for tested in found.tested:
        assert tested.choice is not None
        assert tested.train_usd == pytest.approx(evaluate(factory, tested.choice, tested.fold.train))
        assert score(tested.train_usd - found.default_usd[tested.fold.train]) == pytest.approx(tested.score)


def test_the_default_stands_in_where_nothing_scores_above_it() -> None:
    found = search(plan_of(), EdgeFactory(1, PERIODS, edge_usd=-50.0))
    spreads = [each.config.base_spread for each in found.scored]
    assert min(spreads) < 0.02 < max(spreads)
    hopeless = search(
        replace(plan_of(), space=Space(MMConfig(), tuple(r for r in plan_of().space.rows if r.name == "base_spread"))),
        OnlyTheDefault(),
    )
    assert hopeless.chosen is None
    for each in hopeless.tested:
        assert each.choice is None
        assert (each.pnl_usd == each.default_usd).all()
        assert (each.train_usd == hopeless.default_usd[each.fold.train]).all()


@dataclass(frozen=True)
class OnlyTheDefault:
    """Every other configuration loses a dollar a period."""

    def __call__(self) -> OnlyTheDefault._Evaluator:
        return OnlyTheDefault._Evaluator()

    class _Evaluator:
        def __call__(self, config: MMConfig, periods: np.ndarray) -> PeriodResults:
            return PeriodResults(np.full((len(periods), 3), 0.0 if config == MMConfig() else -1.0))


def test_the_best_trial_over_all_periods_is_the_candidate() -> None:
    found = search(plan_of(trials=30), EdgeFactory(1, PERIODS, edge_usd=5.0))
    assert found.chosen is not None
    assert found.scored[found.chosen].score == max(scores_of(found))
    assert 0.024 < found.scored[found.chosen].config.base_spread < 0.037


def test_the_sampler_learns_where_to_look() -> None:
    found = search(plan_of(trials=60), EdgeFactory(1, PERIODS, edge_usd=5.0))

    near = [0.024 < each.config.base_spread < 0.037 for each in found.scored]
    explored = found.plan.explored
    assert np.mean(near[:explored]) < 0.3
    assert np.mean(near[explored:]) > 0.5


def test_a_storage_keeps_what_is_done(tmp_path: Path) -> None:
    factory, storage = NoiseFactory(1, PERIODS), sqlite_url(tmp_path)
    first = search(plan_of(), factory, storage=storage)
    watched = Watched(factory)
    again = search(plan_of(), watched, storage=storage)
    assert scores_of(again) == scores_of(first)
    assert again.scored[3].pnl_usd == pytest.approx(first.scored[3].pnl_usd, abs=0.0)
    choices = sum(each.choice is not None for each in again.tested)
    assert len(watched.calls) == 1 + choices  # the default and the tests; no trial


def test_more_trials_go_on_where_fewer_ended(storage: BaseStorage) -> None:
    factory = NoiseFactory(1, PERIODS)
    search(plan_of(trials=12), factory, storage=storage)
    longer = search(plan_of(trials=15), factory, storage=storage)
    assert scores_of(longer) == scores_of(search(plan_of(trials=15), factory))


def test_an_interrupted_search_reports_and_goes_on_as_if_nothing_had_been(storage: BaseStorage) -> None:
    factory = NoiseFactory(1, PERIODS)
    partial = search(plan_of(), Watched(factory, stop=1 + 14 + 5), storage=storage)
    assert partial.is_interrupted
    assert not partial.is_complete
    assert [each.trials for each in partial.tested] == [14, 4]
    assert partial.scored == ()
    whole = search(plan_of(), factory, storage=storage)
    assert whole.is_complete
    assert not whole.is_interrupted
    undisturbed = search(plan_of(), factory)
    assert scores_of(whole) == scores_of(undisturbed)
    assert [each.score for each in whole.tested] == [each.score for each in undisturbed.tested]


def test_an_interrupt_after_the_exploration_leaves_a_search_that_can_be_judged() -> None:
    found = search(plan_of(), Watched(NoiseFactory(1, PERIODS), stop=1 + 3 * 14))
    assert found.is_interrupted
    assert found.is_complete
    assert len(found.scored) == 13


def test_an_evaluator_that_fails_stops_the_search_and_leaves_no_trial_running(storage: BaseStorage) -> None:
    watched = Watched(NoiseFactory(1, PERIODS), stop=4, error=OSError("no tape"))
    with pytest.raises(OSError, match="no tape"):
        search(plan_of(), watched, storage=storage)
    study = load_study(study_name=study_name(plan_of(), watched.calls[-1].periods), storage=storage)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]


def test_a_preset_that_an_interrupt_cut_short_is_tried_again(storage: BaseStorage) -> None:
    factory = NoiseFactory(1, PERIODS)
    search(plan_of(), Watched(factory, stop=1 + 2 * 14 + 3), storage=storage)
    whole = search(plan_of(), factory, storage=storage)
    assert scores_of(whole) == scores_of(search(plan_of(), factory))


def test_a_preset_that_a_dead_machine_was_playing_is_played_again(storage: BaseStorage) -> None:
    factory = Watched(NoiseFactory(1, PERIODS), stop=3, error=OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        search(plan_of(), factory, storage=storage)
    study = load_study(study_name=study_name(plan_of(), factory.calls[-1].periods), storage=storage)
    lost = study.ask().user_attrs["preset"]  # and never told
    search(plan_of(), NoiseFactory(1, PERIODS), storage=storage)
    assert lost in [each.user_attrs.get("preset") for each in study.trials if each.state == TrialState.COMPLETE]


def test_other_periods_or_another_engine_are_another_study() -> None:
    plan, train = plan_of(), np.arange(40)
    name = study_name(plan, train)
    assert name == study_name(plan_of(trials=15, data_hash="d"), train)
    others = [
        study_name(plan_of(data_hash="e"), train),
        study_name(replace(plan, engine_version="2"), train),
        study_name(plan_of(seed=2), train),
        study_name(replace(plan, space=space_around(MMConfig())), train),
        study_name(plan, np.arange(41)),
    ]
    assert len({name, *others}) == 6


def test_a_study_whose_trials_kept_no_pnl_is_another(storage: BaseStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = NoiseFactory(1, PERIODS)
    with monkeypatch.context() as older:  # what a trial keeps is part of its study's name
        older.setattr(searching, "_PNL", "nothing")
        search(plan_of(), factory, storage=storage)
    watched = Watched(factory)
    assert scores_of(search(plan_of(), watched, storage=storage)) == scores_of(search(plan_of(), factory))
    assert len(watched.calls) > 3 * 14


def test_changed_events_start_another_study(storage: BaseStorage) -> None:
    factory = NoiseFactory(1, PERIODS)
    search(plan_of(), factory, storage=storage)
    watched = Watched(factory)
    search(plan_of(data_hash="e"), watched, storage=storage)
    assert len(watched.calls) > 3 * 14


def test_two_processes_do_the_work_of_one() -> None:
    found = search(plan_of(), EdgeFactory(1, PERIODS, edge_usd=5.0), workers=2)
    assert len(found.scored) == 14
    assert found.scored[0].score == 0.0
    assert [each.trials for each in found.tested] == [14, 14]
    assert found.chosen is not None
    assert len({each.config.base_spread for each in found.scored}) > 10  # no two draw the same


def test_searches_that_share_a_storage_share_the_work(storage: BaseStorage) -> None:
    watched = Watched(NoiseFactory(1, PERIODS))
    with ThreadPoolExecutor(2) as machines:
        both = [machines.submit(search, plan_of(), watched, storage=storage) for _ in range(2)]
        found = [each.result() for each in both]
    assert all(14 <= len(each.scored) <= 16 for each in found)
    assert (
        len(watched.calls) < 3 * 14 + 15
    )  # twice the default and the tests, and trials that both had begun at the end
    drawn = [each.config for each in found[0].scored]
    assert len({config_hash(config) for config in drawn}) == len(drawn)


def test_a_cluster_does_the_work() -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="inproc://"
        ) as cluster,
    ):
        found = search(plan_of(), NoiseFactory(1, PERIODS), scheduler=cluster.scheduler_address)
    assert len(found.scored) == 14
    assert found.is_complete


def test_progress_counts_trials_of_each_study() -> None:
    progress = progress_bar()
    progress.live.console = Console(quiet=True)
    search(plan_of(), NoiseFactory(1, PERIODS), progress=progress)
    assert [(task.description, task.completed, task.total) for task in progress.tasks] == [
        ("fold 1 of 2", 14, 14),
        ("fold 2 of 2", 14, 14),
        ("all periods", 14, 14),
    ]


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (plan_of(periods=50), "too few for 2 folds"),
        (plan_of(trials=9), "at least 10"),
        (replace(plan_of(), embargo_ns=20 * HOUR_NS), "shorter embargo"),
        (replace(plan_of(), end_ns=hourly(PERIODS - 1)[1]), "cannot be walked through"),
    ],
)
def test_a_plan_that_cannot_be_searched_says_what_to_change(plan: Plan, complaint: str) -> None:
    with pytest.raises(SearchError, match=complaint):
        search(plan, NoiseFactory(1, PERIODS))

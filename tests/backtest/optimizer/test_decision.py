from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from backtest.optimizer.decision import DEMANDS, Verdict, changes, decide
from backtest.optimizer.evaluate import Evaluator, Factory, IntArray, PeriodResults
from backtest.optimizer.search import Found, Plan, Scored, search
from backtest.optimizer.space import Space, space_around
from backtest.statistics import deflated_sharpe, overfitting, sharpe_of
from shared.config import MMConfig
from tests.backtest.optimizer.evaluators import EdgeFactory, NoiseFactory, hourly

SEARCHED = ("base_spread", "toxicity_weight", "uncertainty_weight", "inventory_skew_factor", "pin_risk_z")
PERIODS = 200
QUICK = DEMANDS._replace(resamples=999)


def found_with(factory: Factory, *, seed: int = 0, periods: int = PERIODS, trials: int = 20) -> Found:
    start_ns, end_ns = hourly(periods)
    rows = tuple(row for row in space_around(MMConfig()).rows if row.name in SEARCHED)
    plan = Plan(
        space=Space(MMConfig(), rows),
        start_ns=start_ns,
        end_ns=end_ns,
        data_hash="d",
        engine_version="1",
        trials=trials,
        folds=2,
        seed=seed,
    )
    return search(plan, factory)


def verdict_on(factory: Factory, *, seed: int = 0) -> Verdict:
    return decide(found_with(factory, seed=seed), seed=seed, demands=QUICK)


@pytest.fixture(scope="module")
def edge() -> Found:
    return found_with(EdgeFactory(seed=1, periods=PERIODS, edge_usd=0.8))


@pytest.fixture(scope="module")
def noise() -> list[Verdict]:
    """Verdicts on noise by seed; the odd ones are smooth."""
    return [verdict_on(NoiseFactory(seed, PERIODS, smooth=seed % 2 == 1), seed=seed) for seed in range(40)]


@dataclass(frozen=True)
class Biased:
    """An edge, with this much added to every period under each queue, to the edge alone or to all configurations."""

    seed: int
    edge_usd: tuple[float, float, float]
    all_usd: float = 0.0

    def __call__(self) -> Evaluator:
        noise = NoiseFactory(self.seed, PERIODS)()

        def play(config: MMConfig, periods: IntArray) -> PeriodResults:
            near = 1.0 if 0.024 < config.base_spread < 0.037 else 0.0
            return PeriodResults(noise(config, periods).pnl_usd + near * np.array(self.edge_usd) + self.all_usd)

        return play


# -- the two promises -------------------------------------------------------------------------------------------------


def test_noise_is_told_to_be_noise(noise: list[Verdict]) -> None:
    assert len(noise) == 40
    silent = [each for each in noise if each.recommended is None]
    assert len(silent) >= 38
    assert all(each.sentence.startswith("No configuration beats the default") for each in silent)
    assert sum(each.candidate is not None for each in silent) > 20  # luck was found, and not believed


def test_a_true_edge_is_found() -> None:
    verdicts = [verdict_on(EdgeFactory(seed, PERIODS, edge_usd=0.8), seed=seed) for seed in range(10)]
    found = [each.recommended for each in verdicts if each.recommended is not None]
    assert len(found) >= 9
    assert all(0.024 < config.base_spread < 0.037 for config in found)


# -- each demand counts -----------------------------------------------------------------------------------------------


def test_a_gain_that_needs_a_good_place_in_the_queue_is_not_one() -> None:
    assert verdict_on(Biased(3, edge_usd=(0.8, 0.8, 0.0))).recommended is not None
    assert verdict_on(Biased(3, edge_usd=(0.0, 0.8, 0.8))).recommended is None
    assert verdict_on(Biased(3, edge_usd=(0.8, 0.0, 0.8))).recommended is None


@pytest.mark.parametrize(
    ("demand", "impossible", "complaint"),
    [
        ("min_deflated_sharpe", 1.01, "deflated Sharpe ratio"),
        ("max_overfitting", -0.01, "below the median"),
        ("min_stability", 1.01, "chosen again on resampled periods"),
    ],
)
def test_a_demand_that_is_not_met_is_named(edge: Found, demand: str, impossible: float, complaint: str) -> None:
    assert decide(edge, demands=QUICK).shortfalls == ()
    verdict = decide(edge, demands=QUICK._replace(**{demand: impossible}))
    assert verdict.recommended is None
    assert verdict.candidate is not None
    assert all(complaint in each for each in verdict.shortfalls)
    assert complaint in verdict.sentence


def test_what_was_not_gained_out_of_sample_is_not_recommended(edge: Found) -> None:
    idle = tuple(each._replace(pnl_usd=each.default_usd) for each in edge.tested)
    verdict = decide(replace(edge, tested=idle), demands=QUICK)
    assert verdict.recommended is None
    assert all("out of sample" in each for each in verdict.shortfalls)
    assert math.isnan(verdict.gains[0].low_usd)


def test_more_trials_of_the_same_luck_deflate_more(edge: Found) -> None:
    crowd = found_with(NoiseFactory(5, PERIODS), trials=60).scored
    rng = np.random.default_rng(1)
    lucky = edge.default_usd + rng.normal(0.2, 1.0, size=(PERIODS, 1))
    best = Scored(MMConfig(base_spread=0.03), 9.0, lucky)
    few = decide(replace(edge, scored=(best, *_around(edge, crowd[:5]))), demands=QUICK)
    many = decide(replace(edge, scored=(best, *_around(edge, crowd))), demands=QUICK)
    assert few.deflated_sharpe is not None
    assert many.deflated_sharpe is not None
    assert many.deflated_sharpe < few.deflated_sharpe - 0.05


def _around(found: Found, scored: tuple[Scored, ...]) -> list[Scored]:
    """The same trials around another default."""
    own = [each.pnl_usd - scored[0].pnl_usd for each in scored]
    return [each._replace(pnl_usd=found.default_usd + gain) for each, gain in zip(scored, own, strict=True)]


def test_truly_bad_configurations_do_not_deflate_the_best(edge: Found) -> None:
    bad = tuple(
        Scored(MMConfig(), -loss, edge.default_usd - loss + 0.01 * edge.scored[5].pnl_usd)
        for loss in (5.0, 10.0, 20.0, 40.0)
    )
    verdict = decide(replace(edge, scored=(*edge.scored, *bad)), demands=QUICK)
    assert verdict.deflated_sharpe is not None
    assert verdict.deflated_sharpe > 0.95


def test_the_deflated_sharpe_ratio_is_that_of_the_candidate_among_its_trials(edge: Found) -> None:
    verdict = decide(edge, demands=QUICK)
    assert edge.chosen is not None
    expected = []
    for queue in (0, 1):
        observed = [sharpe_of((each.pnl_usd - edge.default_usd)[:, queue]) for each in edge.scored]
        ratios = [each.ratio for each in observed if each is not None]
        chosen = observed[edge.chosen]
        assert chosen is not None
        assert len(ratios) == 19  # the default's has no spread
        variance = min(float(np.var(ratios, ddof=1)), 1.0 / (PERIODS - 1))
        expected.append(deflated_sharpe(chosen, trials=19, trial_variance=variance))
    assert verdict.deflated_sharpe == pytest.approx(min(each for each in expected if each is not None))


def test_the_bound_of_a_gain_is_one_sided_at_the_level(edge: Found) -> None:
    gains = np.concatenate([each.pnl_usd - each.default_usd for each in edge.tested])[:, 0]
    error = gains.std(ddof=1) / math.sqrt(len(gains))
    found = decide(edge, demands=DEMANDS).gains[0]
    assert found.gain_usd == pytest.approx(gains.mean())
    assert found.gain_usd - found.low_usd == pytest.approx(1.645 * error, rel=0.15)
    assert found.high_usd - found.gain_usd == pytest.approx(1.645 * error, rel=0.15)
    stricter = decide(edge, demands=DEMANDS._replace(level=0.005)).gains[0]
    assert stricter.gain_usd - stricter.low_usd == pytest.approx(2.576 * error, rel=0.15)


def test_the_probability_of_overfitting_is_that_among_all_trials_under_the_worse_queue() -> None:
    found = found_with(NoiseFactory(3, PERIODS), seed=3)
    gains = np.stack([each.pnl_usd - found.default_usd for each in found.scored], axis=1)
    expected = max(overfitting(gains[:, :, queue], blocks=16).probability for queue in (0, 1))
    assert expected > DEMANDS.max_overfitting
    assert decide(found, demands=QUICK).overfitting == pytest.approx(expected)


def test_few_periods_are_cut_into_fewer_blocks() -> None:
    found = found_with(NoiseFactory(3, 70), seed=3, periods=70)
    gains = np.stack([each.pnl_usd - found.default_usd for each in found.scored], axis=1)
    expected = max(overfitting(gains[:, :, queue], blocks=6).probability for queue in (0, 1))
    assert decide(found, demands=QUICK).overfitting == pytest.approx(expected)


def test_a_choice_that_is_made_again_beats_the_default_again(edge: Found) -> None:
    stability = decide(edge, demands=QUICK).stability
    assert stability is not None
    assert stability.beats_default > 0.95
    assert 0.1 < stability.is_alike <= 1.0


def test_a_lucky_choice_is_not_stable(noise: list[Verdict]) -> None:
    found = [each.stability for each in noise[::2]]
    shares = [each.beats_default for each in found if each is not None]
    assert 0.0 < np.mean(shares) < 0.8


# -- words and figures ------------------------------------------------------------------------------------------------


def test_the_answer_says_how_much_more_and_how_sure(edge: Found) -> None:
    verdict = decide(edge, demands=QUICK)
    worst = min(verdict.gains[:2], key=lambda each: each.low_usd)
    assert verdict.sentence.startswith("A configuration beats the default")
    assert f"${worst.gain_usd:.4f} a period more" in verdict.sentence
    assert f"at least ${worst.low_usd:.4f} with 95% confidence under the {worst.queue_model} queue" in verdict.sentence
    assert worst.gain_usd == pytest.approx(worst.choice_usd - worst.default_usd)


def test_a_better_configuration_that_loses_says_so() -> None:
    verdict = verdict_on(Biased(3, edge_usd=(0.8, 0.8, 0.8), all_usd=-5.0))
    assert verdict.recommended is not None
    assert "still loses" in verdict.sentence
    assert "not to trade is better" in verdict.sentence


def test_a_search_where_nothing_scored_says_so(edge: Found) -> None:
    verdict = decide(replace(edge, scored=edge.scored[:1]), demands=QUICK)
    assert verdict.recommended is verdict.candidate is None
    assert verdict.shortfalls == ("no trial scored above the default over all periods",)
    assert (verdict.deflated_sharpe, verdict.overfitting, verdict.stability) == (None, None, None)


def test_a_search_that_was_stopped_too_early_has_no_answer_yet(edge: Found) -> None:
    verdict = decide(replace(edge, is_complete=False, is_interrupted=True, tested=(), scored=()), demands=QUICK)
    assert verdict.recommended is None
    assert verdict.sentence.startswith("No answer yet")
    assert verdict.gains == ()


def test_a_search_that_was_stopped_later_is_judged_and_says_so(edge: Found) -> None:
    verdict = decide(replace(edge, is_interrupted=True), demands=QUICK)
    assert verdict.recommended is not None
    assert "stopped early" in verdict.sentence


def test_the_same_finding_gets_the_same_verdict(edge: Found) -> None:
    assert decide(edge, seed=3, demands=QUICK) == decide(edge, seed=3, demands=QUICK)


def test_changes_name_what_the_candidate_sets_otherwise() -> None:
    other = MMConfig(base_spread=0.03, limits={"book_s": 20.0})
    assert changes(MMConfig(), other) == {"base_spread": (0.02, 0.03), "limits.book_s": (30.0, 20.0)}


def test_the_description_is_json_without_nan(edge: Found) -> None:
    idle = tuple(each._replace(pnl_usd=each.default_usd) for each in edge.tested)
    description = decide(replace(edge, tested=idle), demands=QUICK).describe()
    assert json.loads(json.dumps(description, allow_nan=False)) == json.loads(json.dumps(description))
    assert description["gains"][0]["low_usd"] is None
    recommended = decide(edge, demands=QUICK).describe()["recommended"]
    assert MMConfig(**recommended) == decide(edge, demands=QUICK).recommended

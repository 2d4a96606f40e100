from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from backtest.optimizer.evaluate import EvaluationError, Evaluator, IntArray, PeriodResults, evaluate
from shared.config import MMConfig
from tests.backtest.optimizer.evaluators import NoiseFactory

PERIODS = np.array([3, 1, 4], dtype=np.int64)
built: list[str] = []


@dataclass(frozen=True)
class Fixed:
    """Answers with the same numbers, whatever is asked."""

    name: str
    numbers: tuple[tuple[float, ...], ...]

    def __call__(self) -> Evaluator:
        built.append(self.name)

        def play(config: MMConfig, periods: IntArray) -> PeriodResults:
            return PeriodResults(np.array(self.numbers))

        return play


def test_results_are_in_the_order_that_was_asked_for() -> None:
    factory = NoiseFactory(seed=1, periods=10)
    whole = evaluate(factory, MMConfig(), np.arange(10))
    assert evaluate(factory, MMConfig(), PERIODS) == pytest.approx(whole[PERIODS])


def test_results_are_whole_millionths_of_a_dollar() -> None:
    found = evaluate(Fixed("thirds", ((1 / 3, 2 / 3, 1.0),) * 3), MMConfig(), PERIODS)
    assert found[0].tolist() == [0.333333, 0.666667, 1.0]


def test_an_evaluator_is_built_once_in_a_process() -> None:
    built.clear()
    for _ in range(3):
        evaluate(Fixed("once", ((0.0, 0.0, 0.0),) * 3), MMConfig(), PERIODS)
    assert built == ["once"]


def test_another_factory_builds_another_evaluator() -> None:
    first = evaluate(NoiseFactory(seed=1, periods=10), MMConfig(), PERIODS)
    assert not np.allclose(first, evaluate(NoiseFactory(seed=2, periods=10), MMConfig(), PERIODS))


def test_a_profit_that_is_no_number_is_refused() -> None:
    with pytest.raises(EvaluationError, match="not a finite number"):
        evaluate(Fixed("nan", ((0.0, float("nan"), 0.0),) * 3), MMConfig(), PERIODS)


def test_results_of_too_few_periods_are_refused() -> None:
    with pytest.raises(EvaluationError, match="shape"):
        evaluate(Fixed("short", ((0.0, 0.0, 0.0),)), MMConfig(), PERIODS)

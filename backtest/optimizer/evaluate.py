"""What a configuration is judged by: dollars earned in each period, under each model of the queue.

The optimizer knows nothing of tapes. It is given a *factory*: something that can be pickled and compared (a frozen
dataclass with `__call__`, say), small, that builds the evaluator; each process builds it once.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from threading import Lock
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.config import MMConfig, config_hash
from shared.exchange import QueueName

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

QUEUE_MODELS: tuple[QueueName, QueueName, QueueName] = ("pessimistic", "probabilistic", "optimistic")
JUDGES: tuple[int, int] = (0, 1)  # those of them that a gain must hold under; the third is shown, never believed
MICRO = 1_000_000  # parts of a dollar: money is whole ones


class PeriodResults(NamedTuple):
    """What one configuration earned."""

    pnl_usd: FloatArray  # periods x queue models, dollars, in the order that was asked for


class Evaluator(Protocol):
    """Plays a configuration through periods. The same arguments give the same answer.

    A Dask worker with several threads calls it from all of them at once.
    """

    def __call__(self, config: MMConfig, periods: IntArray) -> PeriodResults:
        """What the configuration earned in these periods (places among all periods), from scratch in each."""
        ...


class Factory(Hashable, Protocol):
    """Builds the evaluator in the process that it will work in."""

    def __call__(self) -> Evaluator:
        """A new evaluator."""
        ...


class EvaluationError(RuntimeError):
    """An evaluator answered with something that is no profit of these periods."""


def evaluate(factory: Factory, config: MMConfig, periods: IntArray) -> FloatArray:
    """Dollars earned, periods x queue models, by this process's evaluator, to the millionth.

    Raises EvaluationError when the answer has another shape, or a number in it is not finite.
    """
    pnl_usd = np.asarray(_built(factory)(config, periods).pnl_usd, dtype=np.float64)
    expected = (len(periods), len(QUEUE_MODELS))
    if pnl_usd.shape != expected:
        raise EvaluationError(f"configuration {config_hash(config)}: results of shape {pnl_usd.shape}, not {expected}")
    if not np.isfinite(pnl_usd).all():
        raise EvaluationError(f"configuration {config_hash(config)}: a period's profit is not a finite number")
    return np.rint(pnl_usd * MICRO) / MICRO  # as a storage keeps it, so that a resumed search sees the same


_building = Lock()


def _built(factory: Factory) -> Evaluator:
    with _building:
        return _build(factory)


@lru_cache(maxsize=1)
def _build(factory: Factory) -> Evaluator:
    return factory()

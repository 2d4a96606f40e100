"""The evaluator of the optimizer: a configuration over tapes under all three queue models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backtest.engine import RunOptions, run
from backtest.optimizer.evaluate import QUEUE_MODELS, IntArray, PeriodResults
from backtest.tape import Tape, tape_key
from backtest.tape_io import read_tapes
from shared.config import MMConfig


class TapeEvaluator:
    """Plays a configuration over the same tapes again and again; each period from scratch."""

    def __init__(self, tapes: Sequence[Tape], options: RunOptions, key: str) -> None:
        self._tapes = tapes
        self._options = options
        self._key = key

    def __call__(self, config: MMConfig, periods: IntArray) -> PeriodResults:
        """Profit in dollars of these periods, under each queue model. ValueError for a setting these tapes have not."""
        if tape_key(config) != self._key:
            raise ValueError("this configuration reads the events in another way: it needs tapes of its own")
        tapes = [self._tapes[place] for place in periods.tolist()]
        pnl_usd = np.zeros((len(tapes), len(QUEUE_MODELS)))
        for column, queue in enumerate(QUEUE_MODELS):
            options = self._options._replace(queue=queue)
            pnl_usd[:, column] = [run([tape], config, options).pnl_usd[0] for tape in tapes]
        return PeriodResults(pnl_usd)


class TapeEvaluatorFactory(NamedTuple):
    """Builds the evaluator where it will work, from tapes on disk (`tape_io`), in the order of their periods."""

    folders: tuple[Path, ...]
    options: RunOptions
    key: str

    def __call__(self) -> TapeEvaluator:
        """Read the tapes."""
        return TapeEvaluator(
            ordered([tape for each in self.folders for tape in read_tapes(each)]), self.options, self.key
        )


def ordered(tapes: Sequence[Tape]) -> list[Tape]:
    """By start, then by name."""
    return sorted(tapes, key=lambda tape: (tape.period.start_ns, tape.slug))

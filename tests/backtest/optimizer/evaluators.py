"""Evaluators whose truth is known: no configuration is better, or one setting is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backtest.optimizer.evaluate import FloatArray, IntArray, PeriodResults
from shared.config import MMConfig, config_hash

HOUR_NS = 3600 * 1_000_000_000
QUEUE_LUCK_USD = np.array([-0.2, 0.0, 0.3])  # the same for every configuration


def _own_luck(config: MMConfig, periods: int, seed: int) -> FloatArray:
    """Periods x (the configuration's luck, and what each queue adds to it)."""
    return np.random.default_rng([seed, int(config_hash(config), 16)]).normal(size=(periods, 4))


@dataclass(frozen=True)
class NoiseEvaluator:
    """Noise of one of two kinds, seen through three queues.

    `smooth`: in each period every setting has a slope of its own, without a trend, so that neighbors earn alike and the
    sampler finds hills that are not there. Otherwise each configuration has luck of its own.
    """

    seed: int
    periods: int
    smooth: bool = False

    def __call__(self, config: MMConfig, periods: IntArray) -> PeriodResults:
        market = np.random.default_rng([self.seed, 1])
        own = _own_luck(config, self.periods, self.seed)
        luck = market.normal(size=self.periods)
        if self.smooth:
            slopes = market.normal(size=(self.periods, len(_STANDARDIZED)))
            luck += slopes @ np.array([_standardized(config, name) for name in _STANDARDIZED]) + 0.3 * own[:, 0]
        else:
            luck += own[:, 0]
        pnl_usd = luck[:, None] + 0.3 * own[:, 1:] + QUEUE_LUCK_USD
        return PeriodResults(pnl_usd[periods])


@dataclass(frozen=True)
class EdgeEvaluator:
    """Noise, but a base spread near `best_spread` earns `edge_usd` more a period than one far from it."""

    seed: int
    periods: int
    edge_usd: float
    best_spread: float = 0.03

    def __call__(self, config: MMConfig, periods: IntArray) -> PeriodResults:
        noise = NoiseEvaluator(self.seed, self.periods)(config, periods).pnl_usd
        distance = math.log(config.base_spread / self.best_spread) / math.log(1.2)
        return PeriodResults(noise + self.edge_usd * math.exp(-0.5 * distance * distance))


@dataclass(frozen=True)
class NoiseFactory:
    """Builds a NoiseEvaluator."""

    seed: int
    periods: int
    smooth: bool = False

    def __call__(self) -> NoiseEvaluator:
        return NoiseEvaluator(self.seed, self.periods, self.smooth)


@dataclass(frozen=True)
class EdgeFactory:
    """Builds an EdgeEvaluator."""

    seed: int
    periods: int
    edge_usd: float

    def __call__(self) -> EdgeEvaluator:
        return EdgeEvaluator(self.seed, self.periods, self.edge_usd)


def hourly(periods: int) -> tuple[IntArray, IntArray]:
    """Starts and ends of periods, one after the other."""
    start_ns = np.arange(periods, dtype=np.int64) * HOUR_NS
    return start_ns, start_ns + HOUR_NS


_STANDARDIZED = {"base_spread": (0.02, 0.02), "toxicity_weight": (1.0, 1.0), "uncertainty_weight": (0.5, 0.5)}


def _standardized(config: MMConfig, name: str) -> float:
    center, scale = _STANDARDIZED[name]
    return float((getattr(config, name) - center) / scale)

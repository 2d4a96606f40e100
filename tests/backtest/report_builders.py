"""Studies for tests: a whole one with plausible seeded numbers, and the least one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from backtest.fair_value.scoring import PERIODS_FOR_INTERVAL, Estimate
from backtest.report import (
    QUEUES,
    Attribution,
    BracketRow,
    Comparison,
    Deflated,
    Ending,
    Fold,
    Headline,
    Markout,
    Model,
    Optimizer,
    Paired,
    SeedRun,
    Setting,
    Slice,
    Source,
    Study,
    Uptime,
)
from shared.config import Techniques
from shared.market import NS_PER_S

START_NS = 1_763_560_800 * NS_PER_S
PERIOD_NS = 900 * NS_PER_S
SEED = 11


def estimate(mean: float, half: float | None = None, *, periods: int = 96) -> Estimate:
    """A mean with a symmetric interval; none without a half."""
    return Estimate(mean, None, None, periods) if half is None else Estimate(mean, mean - half, mean + half, periods)


def measured(numbers: np.ndarray[Any, np.dtype[np.float64]]) -> Estimate:
    """Mean and normal interval of one number a period."""
    periods = len(numbers)
    if periods < PERIODS_FOR_INTERVAL:
        return Estimate(float(numbers.mean()), None, None, periods)
    half = 1.96 * float(numbers.std(ddof=1)) / math.sqrt(periods)
    return estimate(float(numbers.mean()), half, periods=periods)


def headline(pnl_usd: Estimate, *, fills: int = 1000, **changes: Any) -> Headline:
    """A headline that agrees with its mean."""
    fields: dict[str, Any] = {
        "pnl_usd": pnl_usd,
        "total_usd": pnl_usd.mean * pnl_usd.periods,
        "fills": fills,
        "shares": 25.0 * fills,
        "won": pnl_usd.periods // 2,
        "lost": pnl_usd.periods // 3,
        "max_drawdown_usd": 3.21,
    }
    return Headline(**{**fields, **changes})


def study(**changes: Any) -> Study:
    """The least study: a headline of 96 periods, and nothing else."""
    fields: dict[str, Any] = {
        "title": "BTC 15 m",
        "created": "2026-11-23 10:00 UTC",
        "source": Source("a recording"),
        "config_name": "default",
        "config_hash": "0a1b2c3d",
        "settings": (),
        "model": Model("probabilistic"),
        "headline": headline(estimate(0.5, 0.2)),
    }
    return Study(**{**fields, **changes})


def whole_study(
    *, periods: int = 96, drift_usd: float = 0.35, title: str = "BTC 15 m, three days in November"
) -> Study:
    """A study with every section, from seeded numbers that agree with each other."""
    random = np.random.default_rng(SEED)
    noise = random.normal(0.0, 1.0, periods)
    pnl_usd = {
        queue: drift_usd + shift + 2.4 * noise + random.standard_t(4.0, periods)
        for queue, shift in zip(QUEUES, (-0.45, 0.0, 0.40), strict=True)
    }
    ours = pnl_usd["probabilistic"]
    start_ns = START_NS + np.arange(periods) * PERIOD_NS
    start_ns[periods // 2 :] += 40 * PERIOD_NS
    cumulative = {queue: np.cumsum(each) for queue, each in pnl_usd.items()}
    fills = random.poisson(14.0, periods)
    equity = pd.DataFrame({"end_ns": start_ns + PERIOD_NS, **cumulative})
    rows = pd.DataFrame(
        {
            "slug": [f"btc-updown-15m-{each // NS_PER_S}" for each in start_ns],
            "start_ns": start_ns,
            "pnl_usd": ours,
            "fills": fills,
            "shares": 25.0 * fills,
            "winner": random.choice(["CALL", "PUT"], periods),
        }
    )
    path = np.concatenate(([0.0], cumulative["probabilistic"]))
    total_fills = int(fills.sum())
    observed_s = 900.0 * periods
    return Study(
        title=title,
        created="2026-11-23 10:00 UTC",
        source=Source(
            "recorder, Frankfurt",
            ("Trades of the first hour were not recorded.", "Receipt times are our own."),
            {"crossed book": 31, "unknown token": 4},
        ),
        config_name="default",
        config_hash="0a1b2c3d",
        settings=(Setting("base_spread", "0.02", "0.03"), Setting("tier_sizes", "(20, 40)", "(10, 20, 40)")),
        model=Model(
            "probabilistic",
            {"feed": 42.0, "order to venue": 61.0, "cancel to venue": 58.5},
            ("Orders that would have taken are rejected by the venue, as live.",),
        ),
        headline=Headline(
            measured(ours),
            float(ours.sum()),
            total_fills,
            25.0 * total_fills,
            int((ours > 0.0).sum()),
            int((ours < 0.0).sum()),
            float((np.maximum.accumulate(path) - path).max()),
            0.643,
            Deflated(0.142, 48.0, 0.109, 0.913),
        ),
        caveats=(
            "Three days of one asset: neighboring periods share its volatility, so intervals are somewhat too narrow.",
            "Nobody reacts to our orders, and our trades move no price.",
        ),
        bracket=tuple(
            BracketRow(queue, measured(each), float(each.sum()), round(total_fills * more), 25.0 * total_fills * more)
            for (queue, each), more in zip(pnl_usd.items(), (0.62, 1.0, 1.37), strict=True)
        ),
        equity=equity,
        periods=rows,
        attribution=_attribution(ours, random),
        markouts=tuple(
            Markout(horizon_s, estimate(mean, half, periods=periods), total_fills - lost)
            for horizon_s, mean, half, lost in (
                (1.0, 0.0081, 0.0007, 0),
                (5.0, 0.0064, 0.0011, 0),
                (30.0, 0.0031, 0.0019, 3),
                (60.0, 0.0022, 0.0027, 9),
                (250.0, 0.0018, 0.0052, 160),
                (None, 0.0104, 0.0171, 0),
            )
        ),
        win_lose=(
            Ending(True, total_fills // 2 - 21, 25.0 * (total_fills // 2 - 21), 8010.5, 0.5123),
            Ending(False, total_fills - total_fills // 2 + 21, 25.0 * (total_fills // 2 + 21), -7969.25, 0.4712),
        ),
        breakdowns=_breakdowns(total_fills, periods, float(ours.sum())),
        uptime=Uptime(
            observed_s,
            0.712 * observed_s,
            0.698 * observed_s,
            0.643 * observed_s,
            {
                "PULL_QUOTES": 0.22 * observed_s,
                "WIDEN_SPREADS": 0.31 * observed_s,
                "QUOTE_BID_ONLY": 0.03 * observed_s,
                "QUOTE_ASK_ONLY": 0.02 * observed_s,
                "QUOTE_BOTH": 0.42 * observed_s,
            },
            {
                label: part * observed_s
                for label, part in (
                    ("volatility_cold", 0.021),
                    ("final_phase", 0.067),
                    ("gamma_danger", 0.0312),
                    ("volatile_regime", 0.142),
                    ("high_toxicity", 0.091),
                    ("projection_missing", 0.0874),
                    ("inventory_limit_long", 0.017),
                    ("momentum_up", 0.012),
                    ("volatility_spike", 0.033),
                    ("book_placeholder", 0.0),
                    ("model_market_disagreement", 0.018),
                )
            },
        ),
        ablation=tuple(
            _paired(name, ours, random, worth)
            for name, worth in zip(
                Techniques.model_fields,
                (0.9, 1.4, 0.3, 0.1, 0.05, 0.5, 0.35, -0.08, 0.2, -0.45, 0.15, 0.02),
                strict=True,
            )
        ),
        baselines=(
            _paired("fixed spread around the mid", ours, random, 1.2),
            _paired("fixed spread around our fair value", ours, random, 0.35),
            _paired("Avellaneda and Stoikov", ours, random, 0.1),
            Paired("not to quote", estimate(0.0, 0.0, periods=periods), measured(ours), 0.04),
        ),
        optimizer=_optimizer(),
        comparison=Comparison(
            "wider",
            "default",
            measured(ours),
            measured(ours - 0.2 - 0.4 * random.normal(0.0, 1.0, periods)),
            estimate(0.21, 0.11, periods=periods),
            0.0002,
            (Setting("base_spread", "0.02", "0.03"),),
        ),
    )


def _paired(name: str, ours: Any, random: np.random.Generator, worth_usd: float) -> Paired:
    difference = worth_usd + 1.1 * random.normal(0.0, 1.0, len(ours))
    found = measured(difference)
    p = None if found.high is None else math.erfc(1.96 * abs(found.mean) / (found.high - found.mean) / math.sqrt(2.0))
    return Paired(name, measured(ours - difference), found, p)


def _attribution(total: Any, random: np.random.Generator) -> Attribution:
    periods = len(total)
    spread = random.gamma(8.0, 0.36, periods)
    adverse = random.gamma(5.0, 0.36, periods)
    fees, rebates = -random.gamma(1.0, 0.05, periods), random.gamma(3.0, 0.06, periods)
    inventory = -adverse + random.normal(0.0, 1.0, periods)
    settlement = total - spread - inventory - fees - rebates
    return Attribution(
        30.0,
        *(measured(each) for each in (spread, spread - adverse, adverse, inventory, settlement, fees, rebates, total)),
    )


def _breakdowns(fills: int, periods: int, total_usd: float) -> dict[str, tuple[Slice, ...]]:
    cuts: dict[str, tuple[tuple[str, float, float, float, float, float | None], ...]] = {
        "phase": (
            ("early", 0.41, 0.7, 0.0019, 0.0013, 31_000.0),
            ("mid", 0.35, 0.5, 0.0011, 0.0021, 20_500.0),
            ("late", 0.24, -0.2, -0.0008, 0.0032, 4_020.0),
        ),
        "regime": (
            ("quiet", 0.5, 0.9, 0.0018, 0.0012, 30_100.0),
            ("mean_reverting", 0.2, 0.3, 0.0012, 0.0022, 11_000.0),
            ("trending_up", 0.18, 0.1, 0.0004, 0.0031, 9_050.0),
            ("volatile", 0.12, -0.3, -0.0041, 0.0036, 5_400.0),
        ),
        "time left": (
            ("600 to 900 s", 0.42, 0.6, 0.0017, 0.0012, None),
            ("300 to 600 s", 0.35, 0.5, 0.0012, 0.0019, None),
            ("under 300 s", 0.23, -0.1, -0.0005, 0.0035, None),
        ),
        "layer": (("0", 0.7, 0.7, 0.0011, 0.0011, None), ("1", 0.3, 0.3, 0.0009, 0.0018, None)),
    }
    return {
        by: tuple(
            Slice(
                name,
                round(fills * part),
                25.0 * round(fills * part),
                total_usd * earned,
                estimate(mean, half, periods=periods),
                quoted_s,
            )
            for name, part, earned, mean, half, quoted_s in slices
        )
        for by, slices in cuts.items()
    }


def _optimizer() -> Optimizer:
    days = ("11-17", "11-18", "11-19", "11-20")
    return Optimizer(
        "The search found nothing that beats the default on periods it had not seen.",
        (Setting("base_spread", "0.02", "0.0265"), Setting("gamma", "0.1", "0.31")),
        tuple(
            Fold(
                f"11-16 to {days[place]}",
                days[place + 1],
                estimate(1.42 - 0.11 * place, 0.41, periods=96 * (place + 2)),
                estimate(0.38 + 0.23 * place * (-1) ** place, 0.62),
                estimate(0.41 - 0.12 * place, 0.57),
            )
            for place in range(3)
        ),
        Deflated(0.161, 37.5, 0.128, 0.871),
        0.312,
        (
            SeedRun(1, estimate(0.37, 0.36), 1.0),
            SeedRun(2, estimate(0.29, 0.35), 0.75),
            SeedRun(3, estimate(0.44, 0.38), 0.625),
        ),
    )

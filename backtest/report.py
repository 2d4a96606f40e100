"""What a report of a backtest is made of: plain numbers, filled in by the caller, drawn and written elsewhere.

`Study` is the whole; every section of it but the headline is optional. A section that is None or empty is absent, and
the page says why: with the caller's sentence in `absent`, or one of `report_words.py`. No statistics are computed here.

Money is in dollars, sizes in shares, times in seconds unless the name says otherwise. "A period" is the unit of every
mean and every interval: an `Estimate` is the mean over periods with its 95 % interval clustered by period (None where
there are too few periods to give one), and the number of periods it rests on. A difference is always ours less the
other's: above zero, ours is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

import pandas as pd

from backtest.fair_value.scoring import Estimate
from shared.exchange import QueueName

QUEUES: tuple[QueueName, ...] = get_args(QueueName)  # from the least to the most believing
SECTIONS: Mapping[str, str] = {  # optional parts of a study, in the order of the page, with their titles
    "bracket": "Three queue models",
    "equity": "Equity",
    "periods": "Period by period",
    "attribution": "Where the money comes from",
    "markouts": "Markouts",
    "win_lose": "What the fills turned into",
    "breakdowns": "Breakdowns",
    "uptime": "Uptime, and reasons not to quote",
    "ablation": "What each technique is worth",
    "baselines": "Against simple quoters",
    "optimizer": "Optimizer",
    "comparison": "Comparison",
}
EQUITY_TIME = "end_ns"
PERIOD_COLUMNS = ("slug", "start_ns", "pnl_usd", "fills", "shares", "winner")
_CENT_USD = 0.01


class Source(NamedTuple):
    """Where the events came from: the name, what a reader must know, and what was refused (reason to count)."""

    name: str
    notes: tuple[str, ...] = ()
    drops: Mapping[str, int] = {}


class Setting(NamedTuple):
    """A setting that differs: its name, what it usually is (or is in B), and what it was here (or is in A)."""

    name: str
    usual: str
    chosen: str


class Model(NamedTuple):
    """How orders met the market: the queue model of the headline, and medians of the latencies by name, in ms."""

    queue: QueueName
    latencies_ms: Mapping[str, float] = {}
    remarks: tuple[str, ...] = ()


class Deflated(NamedTuple):
    """A Sharpe ratio (mean over deviation of the P&L of a period), judged by how many configurations were tried.

    `probability`: that the true ratio is above `luck_sharpe`, which the best of `trials` tries without any skill would
    be expected to show (Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", 2014).
    """

    sharpe: float
    trials: float  # effective number; it may be a fraction
    luck_sharpe: float
    probability: float


class Headline(NamedTuple):
    """The result under the queue model of `Model`.

    `won` and `lost` count periods with a P&L above and below zero. `max_drawdown_usd` is the deepest fall of the
    cumulative P&L below its peak, at or above zero. `two_sided_share` of the time observed had quotes on both sides.
    """

    pnl_usd: Estimate
    total_usd: float
    fills: int
    shares: float
    won: int
    lost: int
    max_drawdown_usd: float
    two_sided_share: float | None = None
    deflated: Deflated | None = None


class BracketRow(NamedTuple):
    """The same run under one queue model."""

    queue: QueueName
    pnl_usd: Estimate
    total_usd: float
    fills: int
    shares: float


class Attribution(NamedTuple):
    """Parts of the P&L of a period, each as what it adds (fees at or below zero): together they are the total.

        total = spread_capture + inventory + settlement + fees + rebates
        spread_capture = realized + adverse

    `spread_capture` is side x (mid at the fill - price); `realized` is the same with the mid `horizon_s`
    after the fill, so `adverse` is what the market took back meanwhile: the greater, the worse. `inventory` is what
    held shares moved with the mid, `settlement` the last step from the mid to the payout.
    """

    horizon_s: float
    spread_capture: Estimate
    realized: Estimate
    adverse: Estimate
    inventory: Estimate
    settlement: Estimate
    fees: Estimate
    rebates: Estimate
    total: Estimate

    @property
    def unexplained_usd(self) -> float:
        """Total less its parts, dollars a period: zero up to rounding, or the attribution is wrong."""
        parts = (self.spread_capture, self.inventory, self.settlement, self.fees, self.rebates)
        return self.total.mean - math.fsum(part.mean for part in parts)


class Markout(NamedTuple):
    """Mean of side x (mid a horizon after the fill - price), dollars a share; horizon None: the settlement."""

    horizon_s: float | None
    per_share_usd: Estimate
    fills: int


class Ending(NamedTuple):
    """Fills whose bought token won (True), lost (False), or is not known (None). Selling a token buys its opposite.

    `price_usd` is the mean price paid for a share of the bought token, weighted by shares; NaN when it is not known.
    """

    won: bool | None
    fills: int
    shares: float
    pnl_usd: float
    price_usd: float


class Slice(NamedTuple):
    """Fills of one phase, regime, span of time left or layer, and what they earned until the settlement.

    `quoted_s`: seconds with quotes on both sides meanwhile; None where it does not apply.
    """

    name: str
    fills: int
    shares: float
    pnl_usd: float
    per_share_usd: Estimate | None = None
    quoted_s: float | None = None


class Uptime(NamedTuple):
    """Seconds observed; with a bid, an ask, both; of each action; of each reason while it held (reasons overlap)."""

    observed_s: float
    bid_s: float
    ask_s: float
    both_s: float
    action_s: Mapping[str, float]
    reason_s: Mapping[str, float]


class Paired(NamedTuple):
    """Another run on the same periods: its P&L a period, and ours less its, paired. `p`: of no difference."""

    name: str
    pnl_usd: Estimate | None
    difference_usd: Estimate
    p: float | None = None


class Fold(NamedTuple):
    """One step of a walk forward: chosen on `trained_on`, then judged on `tested_on`, which came later."""

    trained_on: str
    tested_on: str
    trained_usd: Estimate  # the choice, on the periods it was chosen on
    tested_usd: Estimate
    default_usd: Estimate | None = None  # the default configuration on the same test periods


class SeedRun(NamedTuple):
    """The whole search again from another seed: P&L a period out of sample, and how much of the choice was the same."""

    seed: int
    tested_usd: Estimate
    agreement: float | None = None  # share of the searched settings that came out equal


class Optimizer(NamedTuple):
    """What a search for better settings found, judged on periods that it did not see.

    `overfit_probability` is the share of splits in which the best in sample is below the median out of sample (PBO).
    """

    answer: str
    chosen: tuple[Setting, ...] = ()
    folds: tuple[Fold, ...] = ()
    deflated: Deflated | None = None
    overfit_probability: float | None = None
    seeds: tuple[SeedRun, ...] = ()


class Comparison(NamedTuple):
    """Two runs on the same periods; the difference is A less B. `settings`: `usual` is B's, `chosen` is A's."""

    a: str
    b: str
    a_usd: Estimate
    b_usd: Estimate
    difference_usd: Estimate
    p: float | None = None
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything that a report shows.

    `equity`: one row a period in order of time, the column `end_ns` and one for each queue model that ran: cumulative
    P&L in dollars. `periods`: one row a period in order of time, columns `PERIOD_COLUMNS`; `winner` is CALL, PUT or
    anything else for not known. `ablation`: each technique by its name in the configuration, switched off.
    `breakdowns`: slices by what they are cut by ("phase", "time left").

    ValueError when `absent` names no section, a frame lacks a column, or the headline does not agree with `periods`.
    """

    title: str
    created: str  # UTC, in words
    source: Source
    config_name: str
    config_hash: str
    settings: tuple[Setting, ...]  # those that differ from the default
    model: Model
    headline: Headline
    caveats: tuple[str, ...] = ()
    bracket: tuple[BracketRow, ...] = ()
    equity: pd.DataFrame | None = None
    periods: pd.DataFrame | None = None
    attribution: Attribution | None = None
    markouts: tuple[Markout, ...] = ()
    win_lose: tuple[Ending, ...] = ()
    breakdowns: Mapping[str, tuple[Slice, ...]] = field(default_factory=dict)
    uptime: Uptime | None = None
    ablation: tuple[Paired, ...] = ()
    baselines: tuple[Paired, ...] = ()
    optimizer: Optimizer | None = None
    comparison: Comparison | None = None
    absent: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := set(self.absent) - set(SECTIONS):
            raise ValueError(f"no section of a report: {sorted(unknown)}; there are {list(SECTIONS)}")
        if self.equity is not None and EQUITY_TIME not in self.equity:
            raise ValueError(f"equity needs the column {EQUITY_TIME}")
        if self.periods is None:
            return
        if missing := [name for name in PERIOD_COLUMNS if name not in self.periods]:
            raise ValueError(f"periods need the columns {missing}")
        if len(self.periods) != self.headline.pnl_usd.periods:
            raise ValueError(f"{len(self.periods)} rows of periods, but a headline of {self.headline.pnl_usd.periods}")
        total_usd = math.fsum(self.periods["pnl_usd"])
        if abs(total_usd - self.headline.total_usd) > _CENT_USD:
            raise ValueError(f"periods sum to ${total_usd:.2f}, but the headline says ${self.headline.total_usd:.2f}")

    def has(self, section: str) -> bool:
        """Whether there is anything to show in this section; KeyError if there is no such section."""
        if section not in SECTIONS:
            raise KeyError(section)
        part = getattr(self, section)
        if section == "breakdowns":
            return any(part.values())
        if section == "equity":
            return part is not None and len(part) > 0 and len(self.queues) > 0
        if isinstance(part, Attribution | Uptime | Optimizer | Comparison):
            return True
        return part is not None and len(part) > 0

    @property
    def queues(self) -> tuple[QueueName, ...]:
        """The queue models that the equity knows."""
        return () if self.equity is None else tuple(queue for queue in QUEUES if queue in self.equity)

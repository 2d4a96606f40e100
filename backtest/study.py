"""From results to what the report shows: every number of a `Study`, worked out here and drawn elsewhere.

A mean or a difference is over periods, with a 95 % bootstrap interval in which one period is one unit; a difference is
ours less the other's, on the same periods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backtest import breakdowns, report
from backtest import markouts as measured
from backtest.attribution import HORIZON_S, PARTS, attribute_periods
from backtest.fair_value.scoring import Estimate
from backtest.records import ACTIONS, UNKNOWN
from backtest.result import PERIODS_TO_SAY, BacktestResult, difference_of, interval_of
from services.quoter.action import RULES
from shared.config import MMConfig, config_hash
from shared.exchange import QueueName
from shared.money import MICRO

Floats = NDArray[np.float64]


def estimate(pnl_usd: Floats) -> Estimate:
    """Mean a period and its interval."""
    found = interval_of(pnl_usd)
    if found is None:
        return Estimate(float(pnl_usd.mean()) if len(pnl_usd) else 0.0, None, None, len(pnl_usd))
    return Estimate(found.mean_usd, _bound(found.low_usd), _bound(found.high_usd), found.periods)


def paired(name: str, ours: Floats, theirs: Floats) -> report.Paired:
    """Another run on the same periods, beside ours."""
    found = difference_of(ours, theirs)
    if found is None:
        difference = Estimate(float(np.mean(ours - theirs)) if len(ours) else 0.0, None, None, len(ours))
        return report.Paired(name, estimate(theirs), difference)
    low, high = _bound(found.estimate.low_usd), _bound(found.estimate.high_usd)
    difference = Estimate(found.estimate.mean_usd, low, high, found.estimate.periods)
    return report.Paired(name, estimate(theirs), difference, found.p_value)


def settings_that_differ(config: MMConfig, usual: MMConfig | None = None) -> tuple[report.Setting, ...]:
    """The settings in which two configurations differ, by their dotted names; `usual` is the default."""
    flat, base = _flat(config.model_dump()), _flat((usual or MMConfig()).model_dump())
    return tuple(report.Setting(name, str(base[name]), str(flat[name])) for name in flat if flat[name] != base[name])


def make_study(
    results: Mapping[QueueName, BacktestResult],
    headline: QueueName,
    *,
    title: str,
    source: report.Source,
    config_name: str,
    latencies_ms: Mapping[str, float],
    ablation: Mapping[str, Floats],
    baselines: Mapping[str, Floats],
    caveats: Sequence[str] = (),
    optimizer: report.Optimizer | None = None,
    comparison: report.Comparison | None = None,
    absent: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> report.Study:
    """Everything about these runs of one configuration, one for each queue model that ran.

    `ablation` and `baselines` hold the P&L of each period under the headline's queue model, in the order of the run.
    """
    result = results[headline]
    config, pnl_usd = result.run.config, result.pnl_usd
    table = result.periods_df().sort_values("end_ns", kind="stable")
    summary = result.summary()
    return report.Study(
        title=title,
        created=(now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        source=source,
        config_name=config_name,
        config_hash=config_hash(config),
        settings=settings_that_differ(config),
        model=report.Model(headline, latencies_ms, _remarks(result)),
        headline=report.Headline(
            pnl_usd=estimate(pnl_usd),
            total_usd=summary["pnl_usd"],
            fills=summary["fills"],
            shares=summary["shares"],
            won=summary["won"],
            lost=summary["lost"],
            max_drawdown_usd=summary["max_drawdown_usd"],
            two_sided_share=summary["two_sided_share"],
        ),
        caveats=(*caveats, *_caveats(result)),
        bracket=tuple(_bracket_row(queue, results[queue]) for queue in report.QUEUES if queue in results),
        equity=_equity(results),
        periods=table[list(report.PERIOD_COLUMNS)].reset_index(drop=True),
        attribution=_attribution(result),
        markouts=_markouts(result),
        win_lose=_endings(result),
        breakdowns=_slices(result),
        uptime=_uptime(result),
        ablation=tuple(paired(name, pnl_usd, each) for name, each in ablation.items()),
        baselines=tuple(paired(name, pnl_usd, each) for name, each in baselines.items()),
        optimizer=optimizer,
        comparison=comparison,
        absent=absent or {},
    )


def _bracket_row(queue: QueueName, result: BacktestResult) -> report.BracketRow:
    summary = result.summary()
    return report.BracketRow(queue, estimate(result.pnl_usd), summary["pnl_usd"], summary["fills"], summary["shares"])


def _equity(results: Mapping[QueueName, BacktestResult]) -> pd.DataFrame:
    first = next(iter(results.values())).equity_df()
    table = pd.DataFrame({report.EQUITY_TIME: first["end_ns"]})
    for queue, result in results.items():
        table[queue] = result.equity_df()["equity_usd"]
    return table


def _attribution(result: BacktestResult) -> report.Attribution | None:
    if not len(result.run.fills):
        return None
    sums = attribute_periods(result.parts, result.run.periods)
    part = {name: estimate(sums[f"{name}_micro"].to_numpy() / MICRO) for name in _names()}
    capture = (sums["realised_micro"] + sums["adverse_micro"] + sums["unattributed_micro"]).to_numpy() / MICRO
    return report.Attribution(
        horizon_s=HORIZON_S,
        spread_capture=estimate(capture),
        realized=part["realised"],
        adverse=part["adverse"],
        inventory=part["inventory"],
        settlement=part["settlement"],
        fees=estimate(-sums["fee_micro"].to_numpy() / MICRO),
        rebates=part["rebate"],
        total=part["pnl"],
    )


def _names() -> tuple[str, ...]:
    return (*(name.removesuffix("_micro") for name in PARTS), "rebate", "pnl")


def _markouts(result: BacktestResult) -> tuple[report.Markout, ...]:
    if not len(result.run.fills):
        return ()
    table = measured.markouts(result.run.fills, result.run.periods, result.mids)
    rows = []
    for name, row in table.iterrows():
        horizon_s = None if name == measured.SETTLEMENT else float(str(name).removesuffix(" s"))
        if row["fills"] > 0:
            periods = int(row["periods"])
            low, high = _bound(row["low_usd_per_share"]), _bound(row["high_usd_per_share"])
            if periods < PERIODS_TO_SAY:
                low = high = None
            per_share = Estimate(float(row["markout_usd_per_share"]), low, high, periods)
            rows.append(report.Markout(horizon_s, per_share, int(row["fills"])))
    return tuple(rows)


def _endings(result: BacktestResult) -> tuple[report.Ending, ...]:
    fills, periods = result.run.fills, result.run.periods
    if not len(fills):
        return ()
    bought = np.where(fills["side"] > 0, fills["outcome"], 1 - fills["outcome"])
    price = np.where(fills["side"] > 0, fills["price_micro"], MICRO - fills["price_micro"]) / MICRO
    shares = fills["units"] / MICRO
    winner = periods["winner"][fills["period"]]
    profit = result.parts["pnl_micro"].to_numpy() / MICRO
    found = []
    for won, chosen in (
        (True, bought == winner),
        (False, (bought != winner) & (winner != UNKNOWN)),
        (None, winner == UNKNOWN),
    ):
        if chosen.any():
            total = float(shares[chosen].sum())
            mean = float((price * shares)[chosen].sum()) / total
            found.append(report.Ending(won, int(chosen.sum()), total, float(profit[chosen].sum()), mean))
    return tuple(found)


def _slices(result: BacktestResult) -> dict[str, tuple[report.Slice, ...]]:
    fills, parts, periods = result.run.fills, result.parts, result.run.periods
    if not len(fills):
        return {}
    tables = {
        "phase": breakdowns.by_phase(fills, parts, periods),
        "time left": breakdowns.by_time_left(fills, parts),
        "regime": breakdowns.by_regime(fills, parts, periods),
        "layer": breakdowns.by_layer(fills, parts),
        "side": breakdowns.by_side(fills, parts, periods),
    }
    return {name: tuple(_slice(str(key), row) for key, row in table.iterrows()) for name, table in tables.items()}


def _slice(name: str, row: Any) -> report.Slice:
    quoted_s = float(row["quoted_s"]) if "quoted_s" in row.index else None
    return report.Slice(name, int(row["fills"]), float(row["shares"]), float(row["pnl_usd"]), None, quoted_s)


def _uptime(result: BacktestResult) -> report.Uptime:
    rows = result.run.periods
    actions, reasons = rows["action_s"].sum(axis=0), rows["reason_s"].sum(axis=0)
    return report.Uptime(
        observed_s=float(rows["observed_s"].sum()),
        bid_s=float(rows["bid_s"].sum()),
        ask_s=float(rows["ask_s"].sum()),
        both_s=float(rows["both_s"].sum()),
        action_s={name: float(seconds) for name, seconds in zip(ACTIONS, actions, strict=True)},
        reason_s={rule.label: float(seconds) for rule, seconds in zip(RULES, reasons, strict=True) if seconds > 0.0},
    )


def _remarks(result: BacktestResult) -> tuple[str, ...]:
    remarks = ["our orders do not move the market, and nobody reacts to them"]
    options = result.run.options
    for name, each in (("orders", options.order), ("cancels", options.cancel)):
        if each.sd_s > 0.0:
            remarks.append(
                f"the latency of {name} spreads by {1000.0 * each.sd_s:g} ms, drawn with seed {options.seed}"
            )
    if options.requote_s > 0.0:
        remarks.append(f"at least {1000.0 * options.requote_s:g} ms between two requotes, where live there are none")
    if not options.buys_opposite:
        remarks.append("asks are placed only when CALL is held to sell")
    return tuple(remarks)


def _caveats(result: BacktestResult) -> list[str]:
    summary = result.summary()
    found = []
    if summary["unknown_outcomes"]:
        found.append(
            f"{summary['unknown_outcomes']} of {summary['periods']} periods have no known outcome: "
            "their shares count at the last mid, or as pairs alone where there was none"
        )
    volume = summary["share_of_public_volume"]
    if volume is not None and volume > 0.1:
        found.append(
            f"we would have been {volume:.0%} of the public volume: a real market would have noticed, "
            "and this result is too good"
        )
    return found


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, held in nested.items():
        flat |= _flat(held, f"{prefix}{name}.") if isinstance(held, Mapping) else {prefix + name: held}
    return flat


def _bound(number: float) -> float | None:
    return None if math.isnan(number) else float(number)

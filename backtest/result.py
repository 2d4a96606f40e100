"""The result of a backtest as tables and numbers: what a user's own analysis starts from.

    result = BacktestResult(run(tapes, config), tapes)
    result.summary()["pnl_per_period_usd"]
    result.fills_df().groupby("phase")["pnl_usd"].sum()
    result.plot().savefig("equity.png")

Prices and money are in dollars, sizes in shares, times UTC. Every number is worked out from the integers of `Run`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from backtest.attribution import PARTS, attribute_fills, attribute_periods
from backtest.engine import Run
from backtest.events import OUTCOMES
from backtest.plots import equity as draw_equity
from backtest.records import ACTIONS, UNKNOWN
from backtest.statistics import Difference, Estimate, mean_interval, paired_difference, sharpe_of
from backtest.tape import Tape
from services.quoter.records import PHASES, REGIMES
from shared.config import MAX_TIERS, config_hash
from shared.money import MICRO

SEED = 20  # of every resampling: the same result, the same intervals
PERIODS_TO_SAY = 6  # fewer have no interval: not even a sign in each of them would be rarer than one in twenty


class BacktestResult:
    """A run, and what is needed to judge it."""

    def __init__(self, run: Run, tapes: Sequence[Tape]) -> None:
        if len(tapes) != len(run.periods):
            raise ValueError(f"a run of {len(run.periods)} periods and {len(tapes)} tapes: give the tapes of the run")
        self.run = run
        self.slugs = [tape.slug for tape in tapes]
        self.markets = [tape.period.market for tape in tapes]
        self.mids: list[NDArray[Any]] = [tape.mids for tape in tapes]

    @property
    def pnl_usd(self) -> NDArray[np.float64]:
        """Profit of each period."""
        return self.run.pnl_usd

    @cached_property
    def parts(self) -> pd.DataFrame:
        """Where each fill's profit came from, in whole micro-dollars (`attribution.attribute_fills`)."""
        return attribute_fills(self.run.fills, self.run.periods, self.mids)

    def summary(self) -> dict[str, Any]:
        """The numbers that one looks at first. An interval is 95 %, one period is one unit; None: too few to say."""
        run, pnl_usd = self.run, self.pnl_usd
        found = interval_of(pnl_usd)
        sharpe = sharpe_of(pnl_usd)
        observed_s = float(run.periods["observed_s"].sum())
        bounds = (None, None) if found is None else (_number(found.low_usd), _number(found.high_usd))
        return {
            "config_hash": config_hash(run.config),
            "queue": run.options.queue,
            "strategy": run.options.strategy or "engine",
            "periods": len(pnl_usd),
            "pnl_usd": float(pnl_usd.sum()),
            "pnl_per_period_usd": float(pnl_usd.mean()) if len(pnl_usd) else None,
            "pnl_per_period_low_usd": bounds[0],
            "pnl_per_period_high_usd": bounds[1],
            "sharpe_per_period": None if sharpe is None else sharpe.ratio,
            "won": int((pnl_usd > 0.0).sum()),
            "lost": int((pnl_usd < 0.0).sum()),
            "max_drawdown_usd": max_drawdown(self.equity_df()["pnl_usd"].to_numpy()),
            "fills": len(run.fills),
            "shares": float(run.periods["traded_units"].sum()) / MICRO,
            "share_of_public_volume": _share(run.periods["traded_units"].sum(), run.periods["public_units"].sum()),
            "fees_usd": float(run.periods["fee_micro"].sum()) / MICRO,
            "rebates_usd": float(run.periods["rebate_micro"].sum()) / MICRO,
            "orders": int(run.periods["orders"].sum()),
            "cancels": int(run.periods["cancels"].sum()),
            "rejects": int(run.periods["rejects"].sum()),
            "max_inventory_shares": float(run.periods["max_inventory_units"].max(initial=0)) / MICRO,
            "observed_s": observed_s,
            "two_sided_share": _share(run.periods["both_s"].sum(), observed_s),
            "unknown_outcomes": int((run.periods["winner"] == UNKNOWN).sum()),
            "events": int(run.periods["events"].sum()),
        }

    def fills_df(self) -> pd.DataFrame:
        """One row a fill, in order: when, what, at which price, and where its profit came from."""
        fills = self.run.fills
        side = np.where(fills["side"] > 0, "buy", "sell")
        table = pd.DataFrame(
            {
                "time": pd.to_datetime(fills["ts_ns"], utc=True),
                "known": pd.to_datetime(fills["known_ns"], utc=True),
                "placed": pd.to_datetime(fills["placed_ns"], utc=True),
                "slug": np.array(self.slugs, object)[fills["period"]],
                "outcome": np.array(OUTCOMES, object)[fills["outcome"]],
                "side": side,
                "price": fills["price_micro"] / MICRO,
                "shares": fills["units"] / MICRO,
                "is_maker": fills["is_maker"] == 1,
                "order_id": fills["order_id"],
                "layer": fills["layer"],
                "phase": np.array(PHASES, object)[fills["phase"]],
                "regime": np.array(REGIMES, object)[fills["regime"]],
                "time_left_s": fills["tau_s"],
                "call_mid": _dollars(fills["mid_micro"]),
                "call_fair_value": fills["fair_value"],
                "ahead_shares": fills["ahead_units"] / MICRO,
            }
        )
        for name in (*PARTS, "fee_micro", "rebate_micro", "pnl_micro"):
            table[name.replace("_micro", "_usd")] = self.parts[name].to_numpy() / MICRO
        return table

    def quotes_df(self) -> pd.DataFrame:
        """One row for each change of the ladder or the action. ValueError when the run did not keep them."""
        quotes = self.run.quotes
        if not self.run.options.keeps_quotes:
            raise ValueError("the run kept no quotes: run it with keeps_quotes=True")
        tick = quotes["tick_micro"] / MICRO
        columns: dict[str, Any] = {
            "time": pd.to_datetime(quotes["ts_ns"], utc=True),
            "slug": np.array(self.slugs, object)[quotes["period"]],
            "action": np.array(ACTIONS, object)[quotes["action"]],
            "fair_value": quotes["fair_value"],
            "reservation": quotes["reservation"],
            "half_spread": quotes["half_spread"],
            "call_mid": _dollars(quotes["mid_micro"]),
            "inventory_shares": quotes["inventory_units"] / MICRO,
        }
        for layer in range(MAX_TIERS):
            for side in ("bid", "ask"):
                ticks = quotes[f"{side}_ticks"][:, layer]
                columns[f"{side}_{layer}"] = np.where(ticks > 0, ticks * tick, math.nan)
                columns[f"{side}_{layer}_shares"] = quotes[f"{side}_shares"][:, layer]
        return pd.DataFrame(columns)

    def periods_df(self) -> pd.DataFrame:
        """One row a period, in the order of the run: outcome, money, time, and where the profit came from."""
        rows = self.run.periods
        winner = np.array([*OUTCOMES, None], object)[rows["winner"]]
        table = pd.DataFrame(
            {
                "slug": self.slugs,
                "market": self.markets,
                "start": pd.to_datetime(rows["start_ns"], utc=True),
                "start_ns": rows["start_ns"],
                "end_ns": rows["end_ns"],
                "winner": winner,
                "pnl_usd": rows["pnl_micro"] / MICRO,
                "cash_usd": rows["cash_micro"] / MICRO,
                "payout_usd": rows["payout_micro"] / MICRO,
                "fees_usd": rows["fee_micro"] / MICRO,
                "rebates_usd": rows["rebate_micro"] / MICRO,
                "fills": rows["fills"],
                "shares": rows["traded_units"] / MICRO,
                "public_shares": rows["public_units"] / MICRO,
                "call_shares": rows["call_units"] / MICRO,
                "put_shares": rows["put_units"] / MICRO,
                "max_inventory_shares": rows["max_inventory_units"] / MICRO,
                "orders": rows["orders"],
                "cancels": rows["cancels"],
                "rejects": rows["rejects"],
                "events": rows["events"],
                "observed_s": rows["observed_s"],
                "bid_s": rows["bid_s"],
                "ask_s": rows["ask_s"],
                "two_sided_s": rows["both_s"],
            }
        )
        sums = attribute_periods(self.parts, rows)
        for name in PARTS:
            table[name.replace("_micro", "_usd")] = sums[name].to_numpy() / MICRO
        return table

    def equity_df(self) -> pd.DataFrame:
        """Cumulative profit after each period, by when it ended; `drawdown_usd` below the highest before."""
        order = np.argsort(self.run.periods["end_ns"], kind="stable")
        total = np.cumsum(self.run.periods["pnl_micro"][order]) / MICRO
        peak = np.maximum.accumulate(np.concatenate([[0.0], total]))[1:]
        return pd.DataFrame(
            {
                "end": pd.to_datetime(self.run.periods["end_ns"][order], utc=True),
                "end_ns": self.run.periods["end_ns"][order],
                "slug": np.array(self.slugs, object)[order],
                "pnl_usd": self.pnl_usd[order],
                "equity_usd": total,
                "drawdown_usd": peak - total,
            }
        )

    def plot(self) -> Figure:
        """The equity as a Matplotlib figure."""
        queue = self.run.options.queue
        table = self.equity_df().rename(columns={"equity_usd": queue})
        return draw_equity(table[["end_ns", queue]], (queue,), queue)


def interval_of(pnl_usd: NDArray[np.float64]) -> Estimate | None:
    """The mean of a period and its 95 % interval; None for fewer than `PERIODS_TO_SAY`."""
    return mean_interval(pnl_usd, rng=np.random.default_rng(SEED)) if len(pnl_usd) >= PERIODS_TO_SAY else None


def difference_of(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Difference | None:
    """`interval_of` ours less theirs, paired by period, with the chance of no difference; None for as few."""
    enough = len(ours) >= PERIODS_TO_SAY
    return paired_difference(ours, theirs, rng=np.random.default_rng(SEED)) if enough else None


def max_drawdown(pnl_usd: NDArray[np.float64]) -> float:
    """The deepest fall of the cumulative profit below its peak, at or above 0."""
    total = np.concatenate([[0.0], np.cumsum(pnl_usd)])
    return float(np.max(np.maximum.accumulate(total) - total))


def _dollars(micro: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(micro == UNKNOWN, math.nan, micro / MICRO)


def _number(number: float) -> float | None:
    return None if math.isnan(number) else number


def _share(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None

"""Where the profit of a run came from and what it waited for, as tables.

Tables of fills take the fills, their parts (`attribution.attribute_fills`) and, where the run counted seconds by the
same key, its periods. Their columns:

    fills, shares
    spread_capture_usd       realised + adverse
    realised_usd ... pnl_usd the parts, fees, rebates and their sum, as in `attribution.py`
    markout_usd_per_share    realised over the shares whose split is known; NaN without any
    quoted_s                 seconds with the quotes of that row; only where the run counts them
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backtest.attribution import PARTS, Rows
from backtest.events import OUTCOMES
from backtest.records import ACTIONS
from services.quoter.action import RULES
from services.quoter.records import PHASES, REGIMES
from shared.money import MICRO

TIME_LEFT_EDGES_S: tuple[float, ...] = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_MICRO_COLUMNS = (*PARTS, "fee_micro", "rebate_micro", "pnl_micro")


def by_phase(fills: Rows, parts: pd.DataFrame, periods: Rows) -> pd.DataFrame:
    """One row a phase, at the fill; `quoted_s` on both sides."""
    return _table("phase", PHASES, fills["phase"], fills, parts, periods["phase_s"].sum(axis=0))


def by_regime(fills: Rows, parts: pd.DataFrame, periods: Rows) -> pd.DataFrame:
    """One row a regime, at the fill; `quoted_s` on both sides."""
    return _table("regime", REGIMES, fills["regime"], fills, parts, periods["regime_s"].sum(axis=0))


def by_time_left(fills: Rows, parts: pd.DataFrame, *, edges_s: Sequence[float] = TIME_LEFT_EDGES_S) -> pd.DataFrame:
    """One row a bucket of seconds left, its lower edge included; `edges_s` ascending and above 0.

    A fill stamped at or after the end is in `ended`. ValueError for other edges.
    """
    edges = np.asarray(edges_s, dtype=np.float64)
    if len(edges) == 0 or edges[0] <= 0.0 or np.any(np.diff(edges) <= 0.0):
        raise ValueError(f"edges {list(edges_s)}: give ascending seconds above 0")
    lows = ("0", *(f"{edge:g}" for edge in edges[:-1]))
    names = [
        "ended",
        *(f"{low}-{edge:g} s" for low, edge in zip(lows, edges, strict=True)),
        f"{edges[-1]:g} s and more",
    ]
    tau_s = fills["tau_s"]
    bucket = np.where(tau_s <= 0.0, 0, 1 + np.digitize(tau_s, edges))
    return _table("time_left", names, bucket, fills, parts)


def by_layer(fills: Rows, parts: pd.DataFrame) -> pd.DataFrame:
    """One row a layer of the ladder, 0 innermost, down to the outermost that filled."""
    layers = int(fills["layer"].max()) + 1 if len(fills) else 0
    return _table("layer", range(layers), fills["layer"], fills, parts)


def by_side(fills: Rows, parts: pd.DataFrame, periods: Rows) -> pd.DataFrame:
    """`bid`: bought CALL or sold PUT; `ask`: sold CALL or bought PUT; `quoted_s` with that side wanted."""
    asks = np.where(fills["outcome"] == 0, fills["side"] < 0, fills["side"] > 0).astype(np.int64)
    quoted_s = np.array([periods["bid_s"].sum(), periods["ask_s"].sum()])
    return _table("ladder_side", ("bid", "ask"), asks, fills, parts, quoted_s)


def by_token(fills: Rows, parts: pd.DataFrame) -> pd.DataFrame:
    """One row for what was done with which token: `buy CALL`, `sell CALL`, `buy PUT`, `sell PUT`."""
    names = [f"{act} {outcome}" for outcome in OUTCOMES for act in ("buy", "sell")]
    return _table("trade", names, 2 * fills["outcome"] + (fills["side"] < 0), fills, parts)


def uptime(periods: Rows) -> pd.DataFrame:
    """Seconds observed (`observed`), with a bid, an ask and both wanted, and under each action.

    Columns `seconds` and `share_of_observed`; the share is NaN when nothing was observed.
    """
    names = ("observed", "bid", "ask", "both", *ACTIONS)
    sides = [periods[name].sum() for name in ("observed_s", "bid_s", "ask_s", "both_s")]
    return _seconds("state", names, np.concatenate([sides, periods["action_s"].sum(axis=0)]), periods)


def not_quoting(periods: Rows) -> pd.DataFrame:
    """Seconds that each reason held, longest first, whatever the action; several can hold at once. Never held: left
    out.

    Columns `action` and `meaning` of the rule, `seconds`, `share_of_observed`.
    """
    table = _seconds("reason", [rule.label for rule in RULES], periods["reason_s"].sum(axis=0), periods)
    table.insert(0, "action", [rule.action for rule in RULES])
    table.insert(1, "meaning", [rule.meaning for rule in RULES])
    return table[table["seconds"] > 0.0].sort_values("seconds", ascending=False, kind="stable")


def _seconds(name: str, labels: Sequence[str], seconds: NDArray[np.float64], periods: Rows) -> pd.DataFrame:
    observed_s = float(periods["observed_s"].sum())
    shares = seconds / observed_s if observed_s > 0.0 else np.full(len(seconds), math.nan)
    index = pd.Index(list(labels), name=name)
    return pd.DataFrame({"seconds": seconds, "share_of_observed": shares}, index=index)


def _table(
    name: str,
    labels: Sequence[object],
    places: NDArray[np.int64],
    fills: Rows,
    parts: pd.DataFrame,
    quoted_s: NDArray[np.float64] | None = None,
) -> pd.DataFrame:
    if len(fills) != len(parts):
        raise ValueError(f"{len(fills)} fills and the parts of {len(parts)}: give the parts of these fills")
    columns = parts[list(_MICRO_COLUMNS)].assign(
        fills=1, units=fills["units"], split_units=np.where(parts["is_split"], fills["units"], 0)
    )
    sums = columns.groupby(places).sum().reindex(range(len(labels)), fill_value=0)
    table = pd.DataFrame(index=pd.Index(list(labels), name=name))
    table["fills"] = sums["fills"].to_numpy()
    table["shares"] = sums["units"].to_numpy() / MICRO
    table["spread_capture_usd"] = (sums["realised_micro"] + sums["adverse_micro"]).to_numpy() / MICRO
    for column in _MICRO_COLUMNS:
        table[f"{column.removesuffix('_micro')}_usd"] = sums[column].to_numpy() / MICRO
    split = sums["split_units"].to_numpy()
    realised = sums["realised_micro"].to_numpy()
    table["markout_usd_per_share"] = np.divide(realised, split, out=np.full(len(split), math.nan), where=split > 0)
    if quoted_s is not None:
        table["quoted_s"] = quoted_s
    return table

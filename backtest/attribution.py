"""Where the profit of each fill and period came from, exact to the micro-dollar.

Of one fill: V(x) what its shares are worth at a price x of their token, as the ledger books it (whole micro-dollars,
ties to even), s +1 bought and -1 sold. A mid of the PUT token is $1 less that of CALL, so buying PUT at q is selling
CALL at 1 - q, and every part is the same number in either token. With the mid before the trade, the mid a horizon
later, the last mid of the period and the payoff:

    realised      = s (V(mid later) - V(price))
    adverse       = s (V(mid before) - V(mid later))     together: the spread captured, s (V(mid before) - V(price))
    inventory     = s (V(last mid) - V(mid before))
    settlement    = s (V(payoff) - V(last mid))          0 without a known winner: shares count at the last mid
    unattributed  = what the parts above would need a mid for that is not known
    pnl           = realised + adverse + inventory + settlement + unattributed - fee + rebate
                  = cash + payout - fee + rebate

Each part is a difference of booked amounts, so that rounding (below a micro-dollar a part) cancels in the sum. A
horizon that reaches the end of the period is cut there: the mid later is the last mid.

Source: `reference/quant.md` 6 and 11 (effective = realised + adverse: Huang and Stoll 1996, Bessembinder and
Venkataraman 2010); numbers: `attribution` of `backtest_stats` and `markouts` of `toxicity` in `../shared/vectors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backtest.records import UNKNOWN
from shared.market import NS_PER_S
from shared.money import MICRO

Rows = NDArray[Any]  # of FILL, PERIOD or MID
Integers = NDArray[np.int64]

HORIZON_S = 5.0
PARTS: tuple[str, ...] = (
    "realised_micro",
    "adverse_micro",
    "inventory_micro",
    "settlement_micro",
    "unattributed_micro",
)


def attribute_fills(fills: Rows, periods: Rows, mids: Sequence[Rows], *, horizon_s: float = HORIZON_S) -> pd.DataFrame:
    """One row a fill: `period`, `units`, the five `PARTS`, `fee_micro`, `rebate_micro`, `pnl_micro`, `is_split`.

    `mids` holds the mids of each of `periods`, in their order. `is_split`: realised and adverse are known. A fill whose
    shares nobody can value (no winner, no mid) has its cash in `unattributed_micro`. ValueError for a horizon that is
    not positive, for mids of other periods, and for a fill of no period.
    """
    place, outcome, side, units = fills["period"], fills["outcome"], fills["side"], fills["units"]
    later = mid_later(fills, periods, mids, horizon_s=horizon_s)
    last, winner = periods["last_mid_micro"][place], periods["winner"][place]
    later = np.where(reaches_end(fills, periods, horizon_s=horizon_s), last, later)
    before = fills["mid_micro"]
    knows_before, knows_last, knows_winner = before != UNKNOWN, last != UNKNOWN, winner != UNKNOWN
    is_split = knows_before & (later != UNKNOWN)
    at_price = booked_micro(fills["price_micro"], units)
    at_before, at_later, at_last = (booked_micro(token_micro(mid, outcome), units) for mid in (before, later, last))
    payoff = np.where(winner == outcome, units, 0)
    at_end = np.where(knows_winner, payoff, np.where(knows_last, at_last, 0))
    realised = np.where(is_split, side * (at_later - at_price), 0)
    adverse = np.where(is_split, side * (at_before - at_later), 0)
    inventory = np.where(knows_before & knows_last, side * (at_last - at_before), 0)
    settlement = np.where(knows_winner & knows_last, side * (payoff - at_last), 0)
    gross = side * (at_end - at_price)
    return pd.DataFrame(
        {
            "period": place,
            "units": units,
            "realised_micro": realised,
            "adverse_micro": adverse,
            "inventory_micro": inventory,
            "settlement_micro": settlement,
            "unattributed_micro": gross - realised - adverse - inventory - settlement,
            "fee_micro": fills["fee_micro"],
            "rebate_micro": fills["rebate_micro"],
            "pnl_micro": gross - fills["fee_micro"] + fills["rebate_micro"],
            "is_split": is_split,
        }
    )


def attribute_periods(parts: pd.DataFrame, periods: Rows) -> pd.DataFrame:
    """The rows of `attribute_fills` added up, one row for each of `periods` (0 where it had no fill).

    Columns `PARTS`, `fee_micro`, `rebate_micro`, `pnl_micro`. `pnl_micro` is what the run booked. Without a winner the
    run values the shares left in one sum and not fill by fill: the micro-dollars of rounding between the two, or the
    payout booked for shares that no mid values, are in `unattributed_micro`. ValueError when fills and period disagree
    by more.
    """
    columns = [*PARTS, "fee_micro", "rebate_micro", "pnl_micro"]
    sums = parts.groupby("period")[columns].sum().reindex(range(len(periods)), fill_value=0)
    fills = np.bincount(parts["period"], minlength=len(periods))
    booked = periods["pnl_micro"]
    left = booked - sums["pnl_micro"].to_numpy()
    no_winner, no_mid = periods["winner"] == UNKNOWN, periods["last_mid_micro"] == UNKNOWN
    expected = np.where(no_winner & no_mid, periods["payout_micro"], 0)
    slack = np.where(no_winner & ~no_mid, fills + 2, 0)  # half a micro-dollar each: every fill, both sums of shares
    wrong = np.flatnonzero(2 * np.abs(left - expected) > slack)
    if len(wrong):
        place = int(wrong[0])
        raise ValueError(
            f"period {place} booked {booked[place]} micro-dollars, its fills make {booked[place] - left[place]}: "
            "these are not its fills"
        )
    sums["unattributed_micro"] += left
    sums["pnl_micro"] = booked
    return sums


def booked_micro(price_micro: Integers, units: Integers) -> Integers:
    """`shared.money.product_micro` of arrays: micro-dollars, to the nearest, ties to even. Up to 9 million shares."""
    whole, rest = np.divmod(price_micro * units, MICRO)
    goes_up = (2 * rest > MICRO) | ((2 * rest == MICRO) & (whole % 2 == 1))
    booked: Integers = whole + goes_up
    return booked


def token_micro(call_micro: Integers, outcome: Integers) -> Integers:
    """The price of a token whose CALL stands at `call_micro`: 1 - CALL for PUT."""
    return np.where(outcome == 0, call_micro, MICRO - call_micro)


def reaches_end(fills: Rows, periods: Rows, *, horizon_s: float) -> NDArray[np.bool_]:
    """Whether the horizon of each fill lies at or beyond the end of its period."""
    ends: NDArray[np.bool_] = fills["ts_ns"] + round(horizon_s * NS_PER_S) >= periods["end_ns"][fills["period"]]
    return ends


def mid_later(fills: Rows, periods: Rows, mids: Sequence[Rows], *, horizon_s: float) -> Integers:
    """The mid of CALL in force a horizon after each fill; UNKNOWN from the end of its period on.

    ValueError as `attribute_fills`.
    """
    if not horizon_s > 0.0:
        raise ValueError(f"the horizon is {horizon_s} s: give a positive one")
    if len(mids) != len(periods):
        raise ValueError(f"{len(mids)} arrays of mids for {len(periods)} periods: give one for each")
    place = fills["period"]
    if len(fills) and not (place.min() >= 0 and place.max() < len(periods)):
        raise ValueError(f"fills name periods {place.min()} to {place.max()}, there are {len(periods)}")
    at_ns = fills["ts_ns"] + round(horizon_s * NS_PER_S)
    found = np.full(len(fills), UNKNOWN, dtype=np.int64)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        if len(rows):
            series = mids[place[rows[0]]]
            seen = np.searchsorted(series["ts_ns"], at_ns[rows], side="right") - 1
            known = seen >= 0
            found[rows[known]] = series["mid_micro"][seen[known]]
    return np.where(reaches_end(fills, periods, horizon_s=horizon_s), UNKNOWN, found)

"""What fills were worth later: markouts by horizon, and whether we are filled when we are wrong.

The markout of a fill at a horizon is s (mid later - price) in dollars a share, s +1 bought and -1 sold, with the mid of
its own token (buying PUT at q is selling CALL at 1 - q); at settlement the payoff stands for the mid. Means weigh by
shares. Fills of one period share its fate, so one period is one unit: with sums Y of dollars and W of shares a period,

    m = sum Y / sum W        var m = G / (G - 1) sum (Y - m W)^2 / (sum W)^2        interval m -+ t(G - 1) sqrt(var m)

over the G periods that have any (Cochran, Sampling Techniques, 1977, 6.4; Cameron and Miller 2015, CR1). Fewer than two
periods have no interval (NaN).

Source: `reference/quant.md` 6; numbers: `markouts` of `toxicity` in `../shared/vectors`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from backtest.attribution import Rows, booked_micro, mid_later, token_micro
from backtest.records import UNKNOWN
from shared.money import MICRO

HORIZONS_S: tuple[float, ...] = (1.0, 5.0, 30.0, 60.0, 250.0)
SETTLEMENT = "settlement"
CONFIDENCE = 0.95
_SECONDS_PER_HOUR = 3600.0

Floats = NDArray[np.float64]


class Ratio(NamedTuple):
    """A mean with its interval; NaN where there is none."""

    mean: float
    low: float
    high: float
    periods: int


def markouts(
    fills: Rows,
    periods: Rows,
    mids: Sequence[Rows],
    *,
    horizons_s: Sequence[float] = HORIZONS_S,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """One row a horizon (index `horizon`: "5 s", ..., "settlement").

    Columns: `fills` and `shares` counted, `unknown_fills` (no mid then, the period was over, or nobody knows the
    winner: left out, not guessed), `periods`, `markout_usd`, and `markout_usd_per_share` with `low_usd_per_share` and
    `high_usd_per_share`. `mids` holds the mids of each of `periods`. ValueError as `mid_later`.
    """
    rows: dict[str, dict[str, float]] = {}
    for horizon_s in horizons_s:
        later = mid_later(fills, periods, mids, horizon_s=horizon_s)
        rows[f"{horizon_s:g} s"] = _markout(fills, periods, later, confidence)
    winner = periods["winner"][fills["period"]]
    payoff = np.where(winner == UNKNOWN, UNKNOWN, np.where(winner == 0, MICRO, 0))
    rows[SETTLEMENT] = _markout(fills, periods, payoff, confidence)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("horizon")
    return table.astype(dict.fromkeys(("fills", "unknown_fills", "periods"), np.int64))


def by_result(fills: Rows, periods: Rows, *, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """Fills by whether the token bought won (index `bought_token`: won, lost, unknown). Selling a token buys the other.

    A backtest that fills an order whatever happens next shows equal rates; a live book fills the losing side more
    often. Columns: `fills`, `shares`, `quoted_s` (with an order on that side: CALL is bought by bids, PUT by asks),
    `fills_per_hour` quoted with its interval, `pnl_usd` (payoff - price - fee + rebate), `pnl_usd_per_share` with its
    interval; NaN where the winner is not known or nothing was quoted.
    """
    place, units, side = fills["period"], fills["units"], fills["side"]
    bought = np.where(side > 0, fills["outcome"], 1 - fills["outcome"])
    winner = periods["winner"]
    payoff = np.where(winner[place] == fills["outcome"], units, 0)
    cash = -side * booked_micro(fills["price_micro"], units)
    pnl_usd = (cash + side * payoff - fills["fee_micro"] + fills["rebate_micro"]) / MICRO
    won_s = np.where(winner == 0, periods["bid_s"], periods["ask_s"])
    lost_s = np.where(winner == 0, periods["ask_s"], periods["bid_s"])
    known = winner != UNKNOWN
    groups = {
        "won": (bought == winner[place], np.where(known, won_s, 0.0)),
        "lost": ((bought != winner[place]) & known[place], np.where(known, lost_s, 0.0)),
        "unknown": (~known[place], np.where(known, 0.0, periods["bid_s"] + periods["ask_s"])),
    }
    rows = {}
    for name, (chosen, quoted_s) in groups.items():
        count = _by_period(place[chosen], np.ones(chosen.sum()), len(periods))
        shares = _by_period(place[chosen], units[chosen] / MICRO, len(periods))
        gained = _by_period(place[chosen], pnl_usd[chosen], len(periods))
        rate = clustered_ratio(count, quoted_s / _SECONDS_PER_HOUR, confidence=confidence)
        worth = clustered_ratio(gained, shares, confidence=confidence)
        if name == "unknown":
            gained, worth = np.array([math.nan]), Ratio(math.nan, math.nan, math.nan, 0)
        rows[name] = {
            "fills": int(chosen.sum()),
            "shares": float(shares.sum()),
            "quoted_s": float(quoted_s.sum()),
            "fills_per_hour": rate.mean,
            "low_fills_per_hour": rate.low,
            "high_fills_per_hour": rate.high,
            "pnl_usd": float(gained.sum()),
            "pnl_usd_per_share": worth.mean,
            "low_usd_per_share": worth.low,
            "high_usd_per_share": worth.high,
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("bought_token")
    return table.astype({"fills": np.int64})


def clustered_ratio(sums: Floats, weights: Floats, *, confidence: float = CONFIDENCE) -> Ratio:
    """Ratio of the totals of two columns with one row a period, and its interval; formula above.

    Periods in which both are 0 say nothing and are left out. All NaN when the weights add up to 0.
    """
    said = (sums != 0.0) | (weights != 0.0)
    sums, weights = sums[said], weights[said]
    periods, total = len(sums), float(weights.sum())
    if total <= 0.0:
        return Ratio(math.nan, math.nan, math.nan, periods)
    mean = float(sums.sum()) / total
    if periods < 2:
        return Ratio(mean, math.nan, math.nan, periods)
    residuals = sums - mean * weights
    error = math.sqrt(periods / (periods - 1) * float(residuals @ residuals)) / total
    reach = float(stats.t.ppf(0.5 + 0.5 * confidence, periods - 1)) * error
    return Ratio(mean, mean - reach, mean + reach, periods)


def _markout(fills: Rows, periods: Rows, call_micro: NDArray[np.int64], confidence: float) -> dict[str, float]:
    known = call_micro != UNKNOWN
    counted = fills[known]
    shares = counted["units"] / MICRO
    gain_micro = counted["side"] * (token_micro(call_micro[known], counted["outcome"]) - counted["price_micro"])
    gained = _by_period(counted["period"], gain_micro / MICRO * shares, len(periods))
    held = _by_period(counted["period"], shares, len(periods))
    mean = clustered_ratio(gained, held, confidence=confidence)
    return {
        "fills": len(counted),
        "unknown_fills": len(fills) - len(counted),
        "shares": float(shares.sum()),
        "periods": mean.periods,
        "markout_usd": float(gained.sum()),
        "markout_usd_per_share": mean.mean,
        "low_usd_per_share": mean.low,
        "high_usd_per_share": mean.high,
    }


def _by_period(place: NDArray[np.int64], amounts: Floats, periods: int) -> Floats:
    totals: Floats = np.bincount(place, weights=amounts, minlength=periods).astype(np.float64)
    return totals

"""Builders of a run's records: a test names only the fields under test. Given in dollars and shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from backtest.attribution import Rows
from backtest.records import FILL, MID, PERIOD, UNKNOWN
from services.quoter.records import PHASES
from shared.money import product_micro, to_micro

SECOND = 1_000_000_000
START = 1_791_241_200 * SECOND
LENGTH_S = 300
CALL, PUT = 0, 1


def at(seconds: float, *, period: int = 0) -> int:
    """Nanoseconds at so many seconds after the start of a period."""
    return START + (period * LENGTH_S) * SECOND + round(seconds * SECOND)


def micro(dollars: float | None) -> int:
    return UNKNOWN if dollars is None else to_micro(dollars)


def fill(
    *,
    period: int = 0,
    at_s: float = 100.0,
    outcome: int = CALL,
    side: int = 1,
    price: float = 0.49,
    shares: float = 10.0,
    mid: float | None = 0.5,
    fee: float = 0.0,
    rebate: float = 0.0,
    **fields: Any,
) -> Rows:
    """One row of FILL."""
    row = np.zeros(1, dtype=FILL)
    named = {
        "period": period,
        "ts_ns": at(at_s, period=period),
        "outcome": outcome,
        "side": side,
        "price_micro": to_micro(price),
        "units": to_micro(shares),
        "is_maker": 1,
        "mid_micro": micro(mid),
        "fee_micro": to_micro(fee),
        "rebate_micro": to_micro(rebate),
        "phase": PHASES.index("mid"),
        "tau_s": LENGTH_S - at_s,
    }
    for name, entry in {**named, **fields}.items():
        row[name] = entry
    return row


def rows_of(rows: Iterable[Rows]) -> Rows:
    return np.concatenate([np.zeros(0, dtype=FILL), *rows])


def period(
    fills: Rows | None = None,
    *,
    place: int = 0,
    winner: int = CALL,
    last_mid: float | None = 0.6,
    **fields: Any,
) -> Rows:
    """One row of PERIOD, booked from its fills as a ledger books them, one by one."""
    row = np.zeros(1, dtype=PERIOD)
    row["start_ns"], row["end_ns"] = at(0, period=place), at(LENGTH_S, period=place)
    row["winner"], row["last_mid_micro"] = winner, micro(last_mid)
    if fills is not None:
        book(row, fills[fills["period"] == place])
    for name, entry in fields.items():
        row[name] = entry
    return row


def book(row: Rows, fills: Rows) -> None:
    held = [0, 0]
    cash = fees = rebates = 0
    for each in fills:
        units, side = int(each["units"]), int(each["side"])
        held[int(each["outcome"])] += side * units
        cash -= side * product_micro(int(each["price_micro"]), units)
        fees += int(each["fee_micro"])
        rebates += int(each["rebate_micro"])
    winner, last = int(row["winner"][0]), int(row["last_mid_micro"][0])
    if winner != UNKNOWN:
        payout = held[winner]
    elif last != UNKNOWN:
        payout = product_micro(last, held[CALL]) + product_micro(1_000_000 - last, held[PUT])
    else:
        payout = 0
    row["call_units"], row["put_units"] = held
    row["cash_micro"], row["payout_micro"] = cash, payout
    row["fee_micro"], row["rebate_micro"] = fees, rebates
    row["pnl_micro"] = cash + payout - fees + rebates


def mids(*points: tuple[float, float | None], place: int = 0) -> Rows:
    """MID rows from (seconds after the start, mid in dollars or None)."""
    rows = np.zeros(len(points), dtype=MID)
    for row, (seconds, mid) in enumerate(points):
        rows[row] = (at(seconds, period=place), micro(mid))
    return rows


def periods_of(rows: Sequence[Rows]) -> Rows:
    return np.concatenate([np.zeros(0, dtype=PERIOD), *rows])

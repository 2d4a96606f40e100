"""What a backtest runs on: market events of any source as columns, in order of receipt.

On disk a folder: one Parquet file for each kind that occurs, and `about.json` (`events_io.py`). In memory NumPy
records:

    spot     an exchange's best bid and ask          books    one outcome's whole depth; its levels lie in `levels`
    oracle   a print of the settlement source        trades   a public trade of an outcome token
    outages  when a stream is known to have been down

beside the periods as they were announced (each again when its strike is proven) and the outcomes (`labels`). Names are
places in `names`. `ts_event_ns` is the source's clock, `ts_recv_ns` ours: what was not received yet at an instant does
not exist at that instant. An import that has only one clock says so in `notes`, as everything that a reader of results
must know; `drops` counts what was refused, by reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.messages import OracleKind, Outcome, Period

SPOT = np.dtype(
    [
        ("ts_event_ns", "i8"),
        ("ts_recv_ns", "i8"),
        ("asset", "i4"),
        ("venue", "i4"),
        ("bid", "f8"),
        ("bid_size", "f8"),
        ("ask", "f8"),
        ("ask_size", "f8"),
    ]
)
ORACLE = np.dtype(
    [
        ("ts_event_ns", "i8"),
        ("ts_recv_ns", "i8"),
        ("asset", "i4"),
        ("venue", "i4"),
        ("kind", "i4"),  # place in ORACLE_KINDS
        ("price", "f8"),
    ]
)
BOOK = np.dtype(
    [
        ("ts_event_ns", "i8"),
        ("ts_recv_ns", "i8"),
        ("slug", "i4"),
        ("outcome", "i4"),  # place in OUTCOMES
        ("tick_size", "f8"),
        ("first", "i8"),  # place in `levels` of its best bid; its asks follow its bids, best first
        ("bids", "i4"),
        ("asks", "i4"),
    ]
)
LEVEL = np.dtype([("ticks", "i4"), ("shares", "f8")])
TRADE = np.dtype(
    [
        ("ts_event_ns", "i8"),
        ("ts_recv_ns", "i8"),
        ("slug", "i4"),
        ("outcome", "i4"),
        ("side", "i4"),  # of the taker in this token: +1 buys, -1 sells
        ("is_inferred", "i4"),  # 1: not recorded, concluded from the book (`inferred_trades.py`)
        ("price", "f8"),
        ("shares", "f8"),
        ("number", "i8"),  # tells trades apart; 0: the source has no ids
    ]
)
OUTAGE = np.dtype([("start_ns", "i8"), ("end_ns", "i8"), ("venue", "i4"), ("channel", "i4"), ("subject", "i4")])

OUTCOMES: tuple[Outcome, Outcome] = ("CALL", "PUT")
ORACLE_KINDS: tuple[OracleKind, OracleKind] = ("spot", "twap60")

Rows = NDArray[Any]  # one of the dtypes above


class Label(NamedTuple):
    """How a period ended: the outcome that paid $1, and who says so (`official`, `recomputed`, `payout`, ...)."""

    slug: str
    outcome: Outcome
    source: str


class Events(NamedTuple):
    """Events of one source, each kind in order of receipt."""

    source: str
    notes: tuple[str, ...]
    drops: Mapping[str, int]
    names: tuple[str, ...]
    spot: Rows
    oracle: Rows
    books: Rows
    levels: Rows
    trades: Rows
    outages: Rows
    periods: tuple[Period, ...]
    labels: tuple[Label, ...]

    @property
    def total(self) -> int:
        """How many events there are, periods included."""
        return len(self.spot) + len(self.oracle) + len(self.books) + len(self.trades) + len(self.periods)

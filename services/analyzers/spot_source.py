"""Which venue's mid is *the* spot price: the leading one, else the best-ranked venue that is alive.

Returns are never computed across two venues: a change of venue is announced, and the estimators re-anchor.
A quote that is not newer than the last one of its venue (by the venue's clock) is ignored. A stamp ahead of our own
receipt counts as our receipt, and what we receive after it as newer, whatever its stamp.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from services.analyzers.record_text import read_text, write_text
from shared.kernel import Record, kernel
from shared.messages import SpotQuote

MAX_VENUES = 4
NAME_BYTES = 16
# Dollar venues first: their basis to the oracle is smallest. Unknown venues come after these, in order of arrival.
PREFERENCE = ("coinbase", "kraken", "bitstamp", "bybit", "binance")

REFUSED, SPARE, USED, SWITCHED = -1, 0, 1, 2

STATE = np.dtype(
    [
        ("names", "u1", (MAX_VENUES, NAME_BYTES)),
        ("rank", "i8", (MAX_VENUES,)),
        ("event_ns", "i8", (MAX_VENUES,)),
        ("seen_ns", "i8", (MAX_VENUES,)),
        ("ahead_ns", "i8", (MAX_VENUES,)),  # our receipt of the last quote stamped ahead of it
        ("chosen", "i8"),  # index + 1; 0 is none
        ("leader", "i8"),  # index + 1; 0 is none
    ],
    align=True,
)


class Config(NamedTuple):
    """`fallback_s`: a venue silent for longer (our clock) hands over to the next. `clock_s`: a stamp further from
    our clock than this is a broken clock and is ignored."""

    fallback_s: float = 5.0
    clock_s: float = 10.0


@kernel
def event_time(state: Record, config: Config, index: int, ts_event_ns: int, ts_recv_ns: int) -> int:
    """The instant that a quote counts for: its stamp, our receipt when that is earlier; just after the last quote when
    an earlier stamp was ahead of our receipt, so that its error silences nothing."""
    if ts_event_ns - ts_recv_ns > config.clock_s * 1e9:
        return ts_event_ns  # a broken clock, which `admit` refuses
    if ts_event_ns > ts_recv_ns:
        state.ahead_ns[index] = ts_recv_ns
        ts_event_ns = ts_recv_ns
    if ts_event_ns <= state.ahead_ns[index] <= ts_recv_ns:
        return int(max(ts_event_ns, state.event_ns[index] + 1))
    return ts_event_ns


@kernel
def admit(state: Record, config: Config, index: int, ts_event_ns: int, ts_recv_ns: int) -> int:
    """Register a quote; say what it is: REFUSED (not newer, or a broken clock), SPARE (a good quote of a venue that
    is not the source), USED (the spot price), or SWITCHED (the spot price, from a new source)."""
    if ts_event_ns <= state.event_ns[index]:
        return -1
    if abs(ts_event_ns - ts_recv_ns) > config.clock_s * 1e9:
        return -1
    state.event_ns[index] = ts_event_ns
    state.seen_ns[index] = ts_recv_ns
    if state.leader != index + 1:
        for other in range(len(state.seen_ns)):
            alive = state.seen_ns[other] > 0 and ts_recv_ns - state.seen_ns[other] <= config.fallback_s * 1e9
            if alive and other != index:
                if state.leader == other + 1:
                    return 0
                if state.rank[other] < state.rank[index]:
                    return 0
    if state.chosen == index + 1:
        return 1
    state.chosen = index + 1
    return 2


def log_mid(quote: SpotQuote) -> float | None:
    """Log of the mid; None when the quote is empty or crossed."""
    if not 0.0 < quote.bid <= quote.ask < math.inf:
        return None
    return math.log(0.5 * (quote.bid + quote.ask))


class Venues:
    """Venue names as small indices, remembered in the state record."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._index: dict[str, int] = {}
        self.reload()

    def reload(self) -> None:
        """Read the names again after the record was replaced."""
        names = [read_text(row) for row in self._record["names"]]
        self._index = {name: index for index, name in enumerate(names) if name}

    def index_of(self, venue: str) -> int | None:
        """The venue's index, given at its first appearance; None beyond the first `MAX_VENUES` venues."""
        known = self._index.get(venue)
        if known is not None:
            return known
        index = len(self._index)
        if index >= MAX_VENUES or not 0 < len(venue.encode()) <= NAME_BYTES:
            return None
        write_text(self._record["names"][index], venue)
        self._record["rank"][index] = PREFERENCE.index(venue) if venue in PREFERENCE else len(PREFERENCE) + index
        self._index[venue] = index
        return index

    def lead(self, venue: str | None) -> None:
        """Prefer this venue over the ranking while it is alive; None returns to the ranking."""
        index = None if venue is None else self.index_of(venue)
        self._record["leader"] = 0 if index is None else index + 1

    def name(self, index: int) -> str:
        """The venue's name."""
        return read_text(self._record["names"][index])

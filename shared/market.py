"""Series, periods, outcomes and phases: the names of things and when they are.

A *series* such as `btc-15m` is cut into *periods*; a period's slug is `btc-updown-15m-<start>`, start in Unix seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from shared.messages import Outcome, PhaseName

NS_PER_S = 1_000_000_000
_LENGTH = re.compile(r"^([1-9][0-9]*)(s|m|h)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_PERIOD_SLUG = re.compile(r"^([a-z0-9]+)-updown-([1-9][0-9]*[smh])-([0-9]+)$")

# Periods of four hours and more are cut from midnight in New York, shorter ones from the Unix epoch.
_LOCAL_FROM_S = 4 * 3600
_NEW_YORK = ZoneInfo("America/New_York")

# Phase boundaries as shares of the period that are left (900 s: early > 540, mid > 180, late > 60, final the rest).
PHASE_SHARES: tuple[tuple[PhaseName, float], ...] = (("early", 0.6), ("mid", 0.2), ("late", 1.0 / 15.0))


@dataclass(frozen=True)
class Series:
    """A recurring market: `btc-15m` is asset BTC with periods of 900 s."""

    name: str
    asset: str
    length_text: str
    length_s: int

    @classmethod
    def parse(cls, name: str) -> Series:
        """Parse `<asset>-<length>`; raises ValueError naming the remedy."""
        asset, _, length_text = name.strip().lower().partition("-")
        found = _LENGTH.match(length_text)
        if not asset.isalnum() or found is None:
            raise ValueError(f"market {name!r} is not a series: write asset and length, such as btc-15m or eth-5m")
        return cls(
            name=f"{asset}-{length_text}",
            asset=asset.upper(),
            length_text=length_text,
            length_s=int(found[1]) * _SECONDS[found[2]],
        )

    def start_of(self, ts_ns: int) -> int:
        """Start (Unix seconds) of the period that holds this instant."""
        second = ts_ns // NS_PER_S
        offset_s = _new_york_offset_s(second) if self.length_s >= _LOCAL_FROM_S else 0
        return int(second - (second + offset_s) % self.length_s)

    def slug(self, start_s: int) -> str:
        """The venue's slug of the period that starts then."""
        return f"{self.asset.lower()}-updown-{self.length_text}-{start_s}"


def _new_york_offset_s(second: int) -> int:
    offset = datetime.fromtimestamp(second, UTC).astimezone(_NEW_YORK).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def parse_slug(slug: str) -> tuple[Series, int]:
    """Series and start (Unix seconds) in a period slug; raises ValueError."""
    found = _PERIOD_SLUG.match(slug)
    if found is None:
        raise ValueError(f"{slug!r} is not a period slug such as btc-updown-15m-1791241200")
    return Series.parse(f"{found[1]}-{found[2]}"), int(found[3])


def phase_at(ts_ns: int, *, start_ns: int, end_ns: int) -> PhaseName:
    """Phase of the period at an instant; boundaries scale with the period's length."""
    if ts_ns < start_ns:
        return "before"
    if ts_ns >= end_ns:
        return "after"
    share_left = (end_ns - ts_ns) / (end_ns - start_ns)
    for name, share in PHASE_SHARES:
        if share_left > share:
            return name
    return "final"


def opposite(outcome: Outcome) -> Outcome:
    """The other outcome."""
    return "PUT" if outcome == "CALL" else "CALL"


_CANDLE_LENGTHS_S = (3600, 86_400)


def settles_by_candle(series: Series) -> bool:
    """Whether the venue settles this length by a candle of an exchange (hourly and daily), not by the oracle."""
    return series.length_s in _CANDLE_LENGTHS_S

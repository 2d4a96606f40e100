"""Whether a process does what it is there for: the answer to `GET /health` on its metrics port.

Alive is not healthy. A feed is healthy while every stream of it is LIVE; an analyzer, the quoter, the executor, the
broker, the sink and the recorder while what they are for happened within the last seconds; the hedger while the loop
that answers turns and the ledger takes entries. Pure: counts and time come in, a verdict goes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shared.wiring import Part

SILENT_S = 5.0  # everything that is looked at happens about once a second
ERROR_S = 10.0

# The counts of `Runtime.counters`, or "published <message>" and "received <message>".
_MUST_RISE = {
    "broker": "forwarded",
    "executor": "received QuoteSet",
    "sink": "files_written",
    "recorder": "written_records",
}
_MUST_REST = {"hedger": "ledger_errors", "recorder": "dropped_records"}


class Verdict(NamedTuple):
    """Whether the process is healthy, and why, in words."""

    is_healthy: bool
    sentence: str


class Health:
    """Follows the counts of one part. `note` is called by its loop, `judge` by whoever asks."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._turned_s: float | None = None
        self._rises: dict[str, tuple[float, float]] = {}  # count, when it last rose

    def note(self, counts: Mapping[str, float], *, now_s: float) -> None:
        """Take the counts of this turn of the loop; about once a second."""
        self._turned_s = now_s
        for name, count in counts.items():
            if count > self._rises.get(name, (0.0, 0.0))[0]:
                self._rises[name] = (count, now_s)

    def judge(
        self, *, now_s: float, owned_markets: float | None = None, streams: Mapping[str, bool] | None = None
    ) -> Verdict:
        """The verdict now.

        `owned_markets`: how many are this instance's share; None where markets are not shared. `streams`: whether each
        stream of a feed is LIVE.
        """
        if self._turned_s is None:
            return Verdict(False, "not on the bus yet")
        if now_s - self._turned_s > SILENT_S:
            return Verdict(False, f"the loop stands still for {now_s - self._turned_s:.0f} s")
        resting = _MUST_REST.get(self._part.name)
        error_age_s = None if resting is None else self._age_s(resting, now_s)
        if error_age_s is not None and error_age_s < ERROR_S:
            return Verdict(False, f"{resting} rose {error_age_s:.0f} s ago")
        if self._part.room == "feeds":
            return _judge_streams(streams or {})
        if owned_markets == 0.0:
            return Verdict(True, "no market is its own")
        rising = _MUST_RISE.get(self._part.name)
        if self._part.room in ("analyzers", "quoter"):
            rising = f"published {self._part.publishes[0].__name__}"
        return Verdict(True, "its loop turns") if rising is None else self._judge_rise(rising, now_s)

    def _judge_rise(self, name: str, now_s: float) -> Verdict:
        age_s = self._age_s(name, now_s)
        if age_s is None:
            return Verdict(False, f"{name}: none yet")
        return Verdict(age_s <= SILENT_S, f"{name}: the last {age_s:.0f} s ago")

    def _age_s(self, name: str, now_s: float) -> float | None:
        rise = self._rises.get(name)
        return None if rise is None else now_s - rise[1]


def _judge_streams(streams: Mapping[str, bool]) -> Verdict:
    """Of a feed: every stream it reported must be LIVE."""
    dead = sorted(name for name, is_live in streams.items() if not is_live)
    if not streams:
        return Verdict(False, "no stream yet")
    return Verdict(False, f"not LIVE: {', '.join(dead)}") if dead else Verdict(True, f"{len(streams)} streams LIVE")

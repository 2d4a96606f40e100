"""Which of the living instances of one kind analyzes which market: everybody's heartbeats in, one answer everywhere.

A market belongs to the instance that can serve the fewest markets (so one that is pinned to a few has them), and among
equals to the one of the highest random weight, a hash of its name and the market's (rendezvous hashing: Thaler,
Ravishankar 1998). Nobody assigns anything, all compute the same, and when one goes only its own markets move.

Time is counted in our own heartbeats as the bus brings them back to us: whoever is silent for `SILENT_BEATS` of ours is
gone. So nobody is gone because we stood still, or because the bus did.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from shared.messages import Heartbeat

SILENT_BEATS = 3  # two to three seconds, at a heartbeat a second


def weight(instance: str, market: str) -> int:
    """The random weight of an instance for a market, 0 to 2^64 - 1: the same in every process."""
    return int.from_bytes(blake2b(f"{instance}\0{market}".encode(), digest_size=8).digest(), "big")


@dataclass(slots=True)
class _Member:
    started_ns: int
    markets: frozenset[str]
    missed: int = 0  # of our heartbeats, since its last


class Ownership:
    """The living instances as one of them (`instance`, begun at `started_ns`, able to serve `markets`) sees them.

    Two processes under one name are one instance, the later: the earlier is dead, or started twice by mistake, and then
    serves nothing while the later lives.
    """

    def __init__(self, instance: str, started_ns: int, markets: Iterable[str]) -> None:
        self._instance = instance
        self._started_ns = started_ns
        self._markets = tuple(markets)
        self._members = {instance: _Member(started_ns, frozenset(self._markets))}

    def hear(self, beat: Heartbeat) -> bool:
        """Take a heartbeat of our kind, ours included; one without markets is a farewell. True: markets may move."""
        is_ours = (beat.instance, beat.started_ns) == (self._instance, self._started_ns)
        gone = self._count_beat() if is_ours else False
        known = self._members.get(beat.instance)
        if known is not None and known.started_ns > beat.started_ns:
            return gone
        if not beat.markets and not is_ours:
            return self._members.pop(beat.instance, None) is not None
        came = _Member(beat.started_ns, frozenset(self._markets if is_ours else beat.markets))
        self._members[beat.instance] = came
        return gone or known is None or (known.started_ns, known.markets) != (came.started_ns, came.markets)

    def _count_beat(self) -> bool:
        """One more of our heartbeats; True when somebody was silent for too many of them."""
        for member in self._members.values():
            member.missed += 1
        gone = [name for name, member in self._members.items() if member.missed >= SILENT_BEATS]
        for name in gone:
            del self._members[name]
        return bool(gone)

    def owner(self, market: str) -> str | None:
        """The instance that analyzes this market; None when nobody can serve it."""
        able = [
            (len(each.markets), -weight(name, market), name)
            for name, each in self._members.items()
            if market in each.markets
        ]
        return min(able)[2] if able else None

    def owned(self) -> tuple[str, ...]:
        """The markets that we analyze."""
        ours = self._members.get(self._instance)
        if ours is None or ours.started_ns != self._started_ns:
            return ()
        return tuple(market for market in self._markets if self.owner(market) == self._instance)

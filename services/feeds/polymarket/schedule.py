"""When to ask the venue's REST endpoints again."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from services.feeds.protocol import Fetch
from shared.market import NS_PER_S

_IN_FLIGHT_S = 20
_FORGET_AFTER_S = 900


@dataclass(slots=True)
class _Poll:
    due_ns: int
    asked_ns: int
    in_flight: bool
    failures: int


class Polls:
    """Which requests are due: one in flight each, slower after each failure, the jitter fixed by the request."""

    def __init__(self) -> None:
        self._polls: dict[str, _Poll] = {}

    def due(self, request: str, url: str, ts_ns: int) -> list[Fetch]:
        """The request, when it may be made now."""
        poll = self._polls.get(request)
        if poll is None:
            self._polls[request] = _Poll(due_ns=ts_ns, asked_ns=ts_ns, in_flight=True, failures=0)
            return [Fetch(request, url)]
        if poll.in_flight:
            if ts_ns - poll.asked_ns < _IN_FLIGHT_S * NS_PER_S:
                return []
        elif ts_ns < poll.due_ns:
            return []
        poll.asked_ns, poll.in_flight = ts_ns, True
        return [Fetch(request, url)]

    def answered(self, request: str, ts_ns: int, *, served: bool, again_s: float) -> None:
        """An answer came: ask again after `again_s`, doubled for each failure in a row up to a minute."""
        poll = self._polls.setdefault(request, _Poll(due_ns=ts_ns, asked_ns=ts_ns, in_flight=False, failures=0))
        poll.in_flight = False
        poll.failures = 0 if served else min(poll.failures + 1, 8)
        wait_s = again_s if served else max(again_s, min(again_s * 2.0 ** (poll.failures - 1), 60.0))
        share = zlib.crc32(f"{request}{poll.failures}".encode()) / 2**32
        jitter = 1.0 if served else 0.8 + 0.4 * share
        poll.due_ns = ts_ns + int(wait_s * jitter * NS_PER_S)

    def hurry(self, request: str, ts_ns: int) -> None:
        """Make a request due now."""
        if (poll := self._polls.get(request)) is not None:
            poll.due_ns = min(poll.due_ns, ts_ns)

    def prune(self, ts_ns: int) -> None:
        """Forget requests that nobody has made for a quarter of an hour."""
        old_ns = ts_ns - _FORGET_AFTER_S * NS_PER_S
        for request in [request for request, poll in self._polls.items() if poll.asked_ns < old_ns]:
            del self._polls[request]

    def __len__(self) -> int:
        return len(self._polls)

"""What a pure core is: events in, messages out, nothing else.

A core has no sockets, clocks, logs, metrics or randomness. Three drivers feed it: the live service frame
(`shared/service.py`), the replay, and the library. Same events, same messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from shared.market import NS_PER_S
from shared.messages import AnyMessage


class Delivery(NamedTuple):
    """A message as it arrived: its topic, the publisher's unbroken run, its place in it, and when it was sent."""

    topic: str
    epoch: int
    seq: int
    message: AnyMessage
    ts_pub_ns: int = 0


class Gap(NamedTuple):
    """Messages of this topic were lost before this instant, or its publisher began a new epoch."""

    topic: str
    lost: int
    ts_ns: int


class Timer(NamedTuple):
    """Time passed and nothing else happened. `ts_ns` is our clock (Unix, nanoseconds)."""

    ts_ns: int


Event = Delivery | Gap | Timer


class Core(Protocol):
    """One service's logic."""

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; return what to publish."""
        ...


def time_of(event: Event) -> int:
    """When an event reached us, in nanoseconds of our clock."""
    return event.message.ts_recv_ns if isinstance(event, Delivery) else event.ts_ns


CLOCK_SLACK_NS = NS_PER_S  # a receipt this far ahead of the last Timer moves time; a Timer this far back does not


class EventClock:
    """Time as events tell it: the latest Timer, or a receipt at most `CLOCK_SLACK_NS` ahead of it."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._timer_ns = 0

    def take(self, event: Event) -> bool:
        """Let time come as far as this event; True when a Timer says that the clock was set back."""
        at_ns = time_of(event)
        was_set_back = False
        if isinstance(event, Timer):
            self._timer_ns = at_ns
            was_set_back = at_ns < self.now_ns - CLOCK_SLACK_NS
            if was_set_back:
                self.now_ns = at_ns
        if self._timer_ns == 0 or at_ns <= self._timer_ns + CLOCK_SLACK_NS:
            self.now_ns = max(self.now_ns, at_ns)
        return was_set_back

"""What a pure core is: events in, messages out, nothing else.

A core has no sockets, clocks, logs, metrics or randomness. Three drivers feed it: the live service frame
(`shared/service.py`), the replay, and the library. Same events, same messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

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

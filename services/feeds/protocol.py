"""A venue as a pure protocol: frames in, actions out. No sockets, no clock.

`services/feeds/connection_io.py` owns the sockets and drives any `VenueProtocol`; recorded frames drive the same
object in the replay and in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from shared.messages import AnyMessage, FeedState


class Publish(NamedTuple):
    """Put a message on the bus."""

    message: AnyMessage


class Send(NamedTuple):
    """Send a text frame to the venue."""

    text: str


class Reconnect(NamedTuple):
    """Drop this connection and open a new one; everything learned on it is in doubt."""

    reason: str


class Fetch(NamedTuple):
    """Ask a REST endpoint of the venue; the answer comes back through `on_response` under the same `request`."""

    request: str
    url: str


class Drop(NamedTuple):
    """A frame, or a part of one, was refused. `reason` is a short stable label for metrics, `detail` for the log."""

    reason: str
    detail: str


class Status(NamedTuple):
    """The state of one of the protocol's streams changed by evidence (a crossed book, a gap, a venue error)."""

    channel: str
    subject: str
    state: FeedState
    reason: str


Act = Publish | Send | Reconnect | Fetch | Drop | Status


class VenueProtocol(Protocol):
    """What each venue implements."""

    venue: str

    def on_open(self, ts_ns: int) -> Sequence[Act]:
        """The socket is open: what to send first."""
        ...

    def on_frame(self, frame: str | bytes, ts_recv_ns: int) -> Sequence[Act]:
        """One frame arrived. Never raises on venue bytes: what cannot be used is a `Drop`."""
        ...

    def on_response(self, request: str, status: int, body: bytes, ts_recv_ns: int) -> Sequence[Act]:
        """A `Fetch` was answered; status 0 means that no answer came (timeout, connection refused)."""
        ...

    def on_timer(self, ts_ns: int) -> Sequence[Act]:
        """Time passed (about ten times a second): pings, deadlines, discovery, periodic checks."""
        ...

    def on_close(self, ts_ns: int) -> Sequence[Act]:
        """The socket closed: nothing learned on it is fresh any more."""
        ...

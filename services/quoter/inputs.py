"""What the quoter has received, and whether it may still be used.

An `Input` is the last message of one topic. It is unusable before the first message, after a gap until the next one,
and when it is too old. A stream also has a `FeedStatus`, whose publisher repeats it: silence about a stream is not
health.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from shared.config import Limits
from shared.market import NS_PER_S
from shared.messages import FeedStatus, Message

MessageT = TypeVar("MessageT", bound=Message)


def nanoseconds(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(seconds * NS_PER_S)


class LimitsNs(NamedTuple):
    """How old each input may be, in nanoseconds since we received it."""

    book: int
    oracle: int
    spot: int
    feed_status: int
    position: int
    volatility: int
    regime: int
    flow: int
    lead_lag: int

    @classmethod
    def of(cls, limits: Limits) -> LimitsNs:
        """The configured limits."""
        return cls(*(nanoseconds(getattr(limits, name + "_s")) for name in cls._fields))


class Input(Generic[MessageT]):
    """The last message of one topic."""

    __slots__ = ("has_gap", "message", "recv_ns")

    def __init__(self) -> None:
        self.message: MessageT | None = None
        self.recv_ns = 0
        self.has_gap = False

    def take(self, message: MessageT, now_ns: int) -> None:
        """A new message heals a gap. Its age counts from its receipt by the feed, never from a future one."""
        self.message = message
        self.recv_ns = min(message.ts_recv_ns, now_ns)
        self.has_gap = False

    def forget(self) -> None:
        """As if nothing had been received."""
        self.message = None
        self.recv_ns = 0
        self.has_gap = False

    def is_usable(self, now_ns: int, limit_ns: int) -> bool:
        """Whether there is a message, no gap after it, and it is not too old."""
        return self.message is not None and not self.has_gap and now_ns - self.recv_ns <= limit_ns

    def fault(self, now_ns: int, limit_ns: int) -> str | None:
        """Why it is unusable: `missing`, `gap`, `stale`; None when it is usable."""
        if self.message is None:
            return "missing"
        if self.has_gap:
            return "gap"
        return "stale" if now_ns - self.recv_ns > limit_ns else None


def is_live(status: Input[FeedStatus] | None, now_ns: int, limit_ns: int) -> bool:
    """Whether a stream's feed says LIVE, and said so recently."""
    return (
        status is not None
        and status.is_usable(now_ns, limit_ns)
        and status.message is not None
        and status.message.state == "LIVE"
    )

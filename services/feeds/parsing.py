"""What every parser of venue bytes needs: strict numbers, times, and doubt about prices that cannot be.

Nothing here raises on venue bytes. What cannot be read is `None`, never a made-up number.
"""

from __future__ import annotations

import math
import re
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from services.feeds.protocol import Act, Drop, Status
from shared.messages import FeedState

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

# Everything a msgspec decoder can raise on hostile input: bad JSON or types, lone surrogates, deep nesting.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError)

LARGEST_NUMBER = 1e15  # no price or size of these venues comes near it
MAX_CLOCK_SKEW_NS = 60 * NS_PER_S
LATE_NS = 2 * NS_PER_S
LATE_PATIENCE_NS = NS_PER_S
AHEAD_NS = 500 * NS_PER_MS
MAX_DETAIL_CHARS = 200

_DECIMAL = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?").fullmatch
_ISO_SECOND = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}").fullmatch


def parse_decimal(text: str) -> float | None:
    """The nearest float of a plain decimal such as `28165.07`; None for anything else (signs, exponents, `0.-1`)."""
    if _DECIMAL(text) is None:
        return None
    number = float(text)
    return number if number < LARGEST_NUMBER else None


def parse_positive(text: str) -> float | None:
    """As `parse_decimal`, and None for zero."""
    return parse_decimal(text) or None


def parse_e18(text: str) -> float | None:
    """The nearest float of an integer text in units of 10^-18; None for anything that is not one, or not positive."""
    if not (0 < len(text) <= 40 and text.isascii() and text.isdigit()):
        return None
    number = int(text) / 10**18  # integer true division rounds correctly
    return number if 0.0 < number < LARGEST_NUMBER else None


def is_price(number: float) -> bool:
    """Whether a JSON number can be a price."""
    return math.isfinite(number) and 0.0 < number < LARGEST_NUMBER


@lru_cache(maxsize=64)
def _whole_second(text: str) -> int | None:
    if _ISO_SECOND(text) is None:
        return None
    try:
        moment = datetime.strptime(text.replace(" ", "T"), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp())


def parse_iso_ns(text: str) -> int | None:
    """Nanoseconds since 1970 of `2026-04-29T02:10:52.525376Z` (UTC, up to nine decimals); None when it is not one."""
    if text[-1:] != "Z" or len(text) > 30:
        return None
    second = _whole_second(text[:19])
    if second is None:
        return None
    fraction = text[19:-1]
    if not fraction:
        return second * NS_PER_S
    digits = fraction[1:]
    if fraction[0] != "." or not (0 < len(digits) <= 9 and digits.isascii() and digits.isdigit()):
        return None
    return second * NS_PER_S + int(digits.ljust(9, "0"))


def is_clock_plausible(ts_event_ns: int, ts_recv_ns: int) -> bool:
    """Whether the venue's clock and ours agree well enough that an age means something."""
    return -MAX_CLOCK_SKEW_NS <= ts_event_ns - ts_recv_ns <= MAX_CLOCK_SKEW_NS


def drop(reason: str, detail: object) -> Drop:
    """A `Drop` whose detail is short, whatever the venue sent."""
    return Drop(reason, str(detail)[:MAX_DETAIL_CHARS])


class Lateness:
    """Whether a stream tells old news: every frame of the last second came more than two seconds after its stamp.

    A slow reader, a clogged line and a wrong clock look the same, and its age by receipt shows none of them.
    """

    __slots__ = ("_sound_ns",)

    def __init__(self) -> None:
        self._sound_ns: int | None = None  # when the last frame came that was in order

    def observe(self, ts_event_ns: int, ts_recv_ns: int) -> bool:
        """Take one frame; whether the stream is doubtful now."""
        if self._sound_ns is None or self._is_sound(ts_recv_ns - ts_event_ns):
            self._sound_ns = ts_recv_ns
        return ts_recv_ns - self._sound_ns >= LATE_PATIENCE_NS

    def forget(self) -> None:
        """A new connection, or proof that nothing is missing: the next frame begins anew."""
        self._sound_ns = None

    def _is_sound(self, age_ns: int) -> bool:
        return age_ns <= LATE_NS


class Earliness(Lateness):
    """Whether a stream's clock runs ahead: every frame of the last second was stamped well after we received it."""

    __slots__ = ()

    def _is_sound(self, age_ns: int) -> bool:
        return age_ns >= -AHEAD_NS


class Punctuality:
    """Both doubts about the stamps of one stream, of which a frame can support only one."""

    __slots__ = ("_early", "_late")

    def __init__(self) -> None:
        self._late, self._early = Lateness(), Earliness()

    def observe(self, ts_event_ns: int, ts_recv_ns: int) -> str | None:
        """Take one frame by the venue's own stamp; `late`, `clock_ahead`, or None."""
        is_late = self._late.observe(ts_event_ns, ts_recv_ns)
        is_early = self._early.observe(ts_event_ns, ts_recv_ns)
        return "late" if is_late else "clock_ahead" if is_early else None

    def forget(self) -> None:
        """As `Lateness.forget`."""
        self._late.forget()
        self._early.forget()


def received_by(ts_event_ns: int, ts_recv_ns: int, subject: object) -> tuple[int, tuple[Drop, ...]]:
    """The stamp to publish, and a `clock_ahead` to count: nothing happened after we received it."""
    if ts_event_ns - ts_recv_ns <= AHEAD_NS:
        return ts_event_ns, ()
    ahead_s = (ts_event_ns - ts_recv_ns) / NS_PER_S
    return ts_recv_ns, (drop("clock_ahead", f"{subject} stamped {ahead_s:.3f} s ahead of its receipt"),)


class PriceGuard:
    """Refuses a single price far from the last good one; believes it when the venue insists.

    A price within `reach` (relative) of the last accepted one passes. Another is held back until `insistence`
    prices in a row agree with each other; then the world has moved, and it passes. The first price ever passes.
    """

    __slots__ = ("_candidate", "_insistence", "_last", "_reach", "_streak")

    def __init__(self, *, reach: float = 0.2, insistence: int = 3) -> None:
        self._reach = reach
        self._insistence = insistence
        self._last: float | None = None
        self._candidate = 0.0
        self._streak = 0

    def accept(self, price: float) -> bool:
        """Whether this price may be used."""
        last = self._last
        if last is None or abs(price - last) <= self._reach * last:
            self._last = price
            self._streak = 0
            return True
        agrees = self._streak > 0 and abs(price - self._candidate) <= 0.25 * self._reach * self._candidate
        self._streak = self._streak + 1 if agrees else 1
        self._candidate = price
        if self._streak < self._insistence:
            return False
        self._last = price
        self._streak = 0
        return True


class RecentIds:
    """The last identifiers seen, so that nothing counts twice. Memory is bounded."""

    __slots__ = ("_known", "_order")

    def __init__(self, limit: int = 4096) -> None:
        self._order: deque[str] = deque(maxlen=limit)
        self._known: set[str] = set()

    def add(self, identifier: str) -> bool:
        """Remember; False when it was known already."""
        known, order = self._known, self._order
        if identifier in known:
            return False
        if len(order) == order.maxlen:
            known.discard(order[0])
        order.append(identifier)
        known.add(identifier)
        return True


class Evidence:
    """What a protocol holds against its own streams, so that each change is told once.

    A doubt stands until the protocol withdraws it (`trust`) or the connection ends (`forget`).
    """

    __slots__ = ("_standing",)

    def __init__(self) -> None:
        self._standing: dict[tuple[str, str], tuple[FeedState, str]] = {}

    def doubt(self, channel: str, subject: str, state: FeedState, reason: str) -> tuple[Act, ...]:
        """Say that the stream cannot be relied on; nothing when that was said already."""
        if self._standing.get((channel, subject)) == (state, reason):
            return ()
        self._standing[channel, subject] = (state, reason)
        return (Status(channel, subject, state, reason),)

    def trust(self, channel: str, subject: str, reason: str = "recovered") -> tuple[Act, ...]:
        """Withdraw a doubt; nothing when there is none."""
        if not self._standing or self._standing.pop((channel, subject), None) is None:
            return ()
        return (Status(channel, subject, "LIVE", reason),)

    def is_doubted(self, channel: str, subject: str) -> bool:
        """Whether a doubt stands."""
        return (channel, subject) in self._standing

    def forget(self) -> None:
        """The connection ended: what was known about its streams no longer matters."""
        self._standing.clear()

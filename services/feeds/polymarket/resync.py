"""When to ask for a fresh snapshot of a doubted book, and when to give up on the connection."""

from __future__ import annotations

from dataclasses import dataclass

from shared.market import NS_PER_S

_BASE_S = 2.0
_CAP_S = 16.0
_SETTLED_S = 30
_MOST_TRIES = 3


@dataclass(slots=True)
class Resync:
    """Waits of 2, 4, 8 s between tries; the first is free when the book was sound for half a minute."""

    tries: int = 0
    asked_ns: int = 0

    def asked(self, ts_ns: int) -> None:
        """A snapshot was asked for."""
        self.tries += 1
        self.asked_ns = ts_ns

    def restart(self, ts_ns: int) -> None:
        """A new connection: its subscription is the first try."""
        self.tries, self.asked_ns = 1, ts_ns

    def sound(self, ts_ns: int) -> None:
        """The book is sound now: the next doubt waits its 2 s after the last try, or nothing when that is long ago."""
        if self.tries:
            self.tries = 0 if ts_ns - self.asked_ns >= _SETTLED_S * NS_PER_S else 1

    def due(self, ts_ns: int) -> bool:
        """Whether to ask (again)."""
        wait_s = min(_BASE_S * 2.0 ** (self.tries - 1), _CAP_S) if self.tries else 0.0
        return ts_ns - self.asked_ns >= wait_s * NS_PER_S

    def hopeless(self) -> bool:
        """Whether asking does not help and a new connection should be tried."""
        return self.tries >= _MOST_TRIES

"""Brings fills to the ledger, in a thread of its own: the trading loop never waits for it.

A fill is asked for again, under the same id, until the ledger says that it booked it (`ok`) or that it never will
(`refused`). Everything else is no answer yet: silence, `unavailable`, an answer of another version, and
`unknown_market` or `malformed`, which a ledger started with other markets or of another version may answer otherwise.
Meanwhile the fills of other markets go on; within a market the order stays.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import NamedTuple, TypeVar

from shared.bus import BusTimeoutError, request
from shared.requests import BookFill, decode_answer, encode_question

TRY_S = 1.0
PAUSE_S = 0.1

T = TypeVar("T")


class Answered(NamedTuple):
    """The ledger's word on a fill: its entry, None when it was refused; and how long after it was handed over."""

    fill_id: str
    entry: int | None
    detail: str
    waited_s: float


class PutOff(NamedTuple):
    """The ledger cannot book a fill as it was started; the fill keeps waiting."""

    fill_id: str
    detail: str


@dataclass(slots=True)
class _Line:
    """The fills of one market, and when each was handed over; the first one is next, not before `due_s`."""

    fills: deque[tuple[BookFill, float]] = field(default_factory=deque)
    due_s: float = 0.0
    put_off_id: str = ""


class Courier:
    """Hand over with `bring`, collect with `answers` and `put_offs`. `tries` counts the questions that were sent."""

    def __init__(self, address: str, *, try_s: float = TRY_S) -> None:
        self.tries = 0
        self._address = address
        self._try_s = try_s
        self._waiting: SimpleQueue[tuple[BookFill, float]] = SimpleQueue()
        self._answered: SimpleQueue[Answered] = SimpleQueue()
        self._put_off: SimpleQueue[PutOff] = SimpleQueue()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def bring(self, fill: BookFill) -> None:
        """Take a fill over; those of its market before it go first."""
        self._waiting.put((fill, time.monotonic()))

    def answers(self) -> list[Answered]:
        """What the ledger answered since the last call, in order."""
        return _taken(self._answered)

    def put_offs(self) -> list[PutOff]:
        """Fills that the ledger could not book as it was started, since the last call; each is named once."""
        return _taken(self._put_off)

    def close(self) -> None:
        """Stop; what is not answered stays in the outbox."""
        self._stopping.set()
        self._thread.join(self._try_s + 1.0)

    def _run(self) -> None:
        lines: dict[str, _Line] = {}
        while not self._stopping.is_set():
            is_idle = True
            for line in lines.values():
                if line.fills and time.monotonic() >= line.due_s and not self._stopping.is_set():
                    is_idle = False
                    self._serve(line)
            self._sort_in(lines, wait_s=PAUSE_S if is_idle else 0.0)

    def _sort_in(self, lines: dict[str, _Line], *, wait_s: float) -> None:
        """Put what was handed over into the line of its market; wait this long for the first."""
        try:
            fill, since_s = self._waiting.get(timeout=wait_s)
            while True:
                lines.setdefault(fill.market, _Line()).fills.append((fill, since_s))
                fill, since_s = self._waiting.get_nowait()
        except Empty:
            return

    def _serve(self, line: _Line) -> None:
        """Ask for the first fill of a line, once."""
        fill, since_s = line.fills[0]
        self.tries += 1
        try:
            answer = decode_answer(request(self._address, encode_question(fill), timeout_s=self._try_s, tries=1))
        except BusTimeoutError:
            return
        except ValueError:
            line.due_s = time.monotonic() + PAUSE_S
            return
        match answer.status:
            case "ok" | "refused":
                line.fills.popleft()
                entry = answer.entry if answer.status == "ok" else None
                detail = answer.detail or answer.status
                self._answered.put(Answered(fill.fill_id, entry, detail, time.monotonic() - since_s))
            case "unavailable":
                line.due_s = time.monotonic() + PAUSE_S
            case "unknown_market" | "malformed":  # only another start of the ledger changes that: no hurry
                line.due_s = time.monotonic() + self._try_s
                if line.put_off_id != fill.fill_id:
                    line.put_off_id = fill.fill_id
                    self._put_off.put(PutOff(fill.fill_id, f"{answer.status}: {answer.detail}"))


def _taken(queue: SimpleQueue[T]) -> list[T]:
    """Everything in a queue, in order."""
    found: list[T] = []
    while not queue.empty():
        found.append(queue.get())
    return found

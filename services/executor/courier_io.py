"""Brings fills to the ledger, one after the other, in a thread of its own: the trading loop never waits for it.

A fill is asked for again, under the same id, until the ledger says that it booked it or that it never will. Silence,
`unavailable` and an answer of another version are no answer.
"""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import NamedTuple

from shared.bus import BusTimeoutError, request
from shared.requests import BookFill, decode_answer, encode_question

TRY_S = 1.0
PAUSE_S = 0.1


class Answered(NamedTuple):
    """The ledger's word on a fill, and how long after it was handed over."""

    fill_id: str
    is_booked: bool
    detail: str
    waited_s: float


class Courier:
    """Hand over with `bring`, collect with `answers`. `tries` counts the questions that were sent."""

    def __init__(self, address: str, *, try_s: float = TRY_S) -> None:
        self.tries = 0
        self._address = address
        self._try_s = try_s
        self._waiting: SimpleQueue[tuple[BookFill, float]] = SimpleQueue()
        self._answered: SimpleQueue[Answered] = SimpleQueue()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def bring(self, fill: BookFill) -> None:
        """Take a fill over; those before it go first."""
        self._waiting.put((fill, time.monotonic()))

    def answers(self) -> list[Answered]:
        """What the ledger answered since the last call, in order."""
        found: list[Answered] = []
        while not self._answered.empty():
            found.append(self._answered.get())
        return found

    def close(self) -> None:
        """Stop; what is not answered stays in the outbox."""
        self._stopping.set()
        self._thread.join(self._try_s + 1.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                fill, since = self._waiting.get(timeout=PAUSE_S)
            except Empty:
                continue
            question = encode_question(fill)
            while not self._stopping.is_set():
                verdict = self._ask(question)
                if verdict is not None:
                    self._answered.put(Answered(fill.fill_id, *verdict, time.monotonic() - since))
                    break

    def _ask(self, question: bytes) -> tuple[bool, str] | None:
        """(booked, why not); None: no answer yet."""
        self.tries += 1
        try:
            answer = decode_answer(request(self._address, question, timeout_s=self._try_s, tries=1))
        except BusTimeoutError:
            return None
        except ValueError:
            self._stopping.wait(PAUSE_S)
            return None
        if answer.status == "unavailable":
            self._stopping.wait(PAUSE_S)
            return None
        return answer.status == "ok", answer.detail or answer.status

"""A ledger for tests: answers bookings as it is told to, and remembers each question."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

from shared.bus import Responder
from shared.requests import Answer, BookFill, Status, decode_question, encode_answer


class FakeLedger:
    """Books every fill once by its id. `verdict(fill, times asked)` is a status, raw bytes, or None for silence."""

    def __init__(self, address: str, verdict: Callable[[BookFill, int], Status | bytes | None]) -> None:
        self.asked: list[str] = []
        self.booked: list[BookFill] = []
        self._verdict = verdict
        self._responder = Responder(address)
        self._stopping = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._responder.close()

    def _run(self) -> None:
        while not self._stopping.wait(0.005):
            self._responder.serve(self._answer)

    def _answer(self, question: bytes) -> bytes:
        fill = decode_question(question)
        assert isinstance(fill, BookFill)
        self.asked.append(fill.fill_id)
        verdict = self._verdict(fill, self.asked.count(fill.fill_id))
        if isinstance(verdict, bytes):
            return verdict
        if verdict in ("ok", None) and fill.fill_id not in {each.fill_id for each in self.booked}:
            self.booked.append(fill)  # a lost answer is no lost booking
        if verdict is None:
            self._stopping.wait(0.3)  # longer than the courier of the test waits for an answer
            return b""
        if verdict != "ok":
            return encode_answer(Answer(status=verdict, detail="as told"))
        entry = [each.fill_id for each in self.booked].index(fill.fill_id) + 1
        return encode_answer(Answer(sequence=len(self.booked), entry=entry))

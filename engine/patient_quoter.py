"""The live quoter, told to wait: a state is many messages of one instant, and deserves one answer."""

from __future__ import annotations

from collections.abc import Sequence

from services.quoter.core import QuoterCore
from shared.core import Delivery, Event, Timer
from shared.messages import AnyMessage


class PatientQuoter(QuoterCore):
    """A `QuoterCore` that, while `is_waiting`, takes every message as ever but answers none of them.

    `answer` ends the waiting. What it says is what it would have said at this Timer anyway; what is left out are the
    answers to halves of a state.
    """

    is_waiting = False

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; the quote sets to publish because of it, none while waiting."""
        if not self.is_waiting:
            return super().update(event)
        if isinstance(event, Delivery):
            self.take(event)
        return ()

    def answer(self, now_ns: int) -> Sequence[AnyMessage]:
        """Time has come to this instant: wait no longer."""
        self.is_waiting = False
        return super().update(Timer(now_ns))

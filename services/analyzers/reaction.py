"""What an event did to an analyzer, and what every analyzer offers to the core."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np

from shared.core import Delivery
from shared.kernel import State
from shared.messages import Flow, LeadLag, Regime, Volatility

Reaction = Literal[0, 1, 2]
NOTHING: Reaction = 0
CHANGED: Reaction = 1
URGENT: Reaction = 2  # publish at once


class Analyzer(Protocol):
    """One kind of signal of one market. Everything it remembers is in `record`; the zero record is the cold start."""

    STATE: np.dtype[Any]
    market: str
    record: State

    def observe(self, delivery: Delivery) -> Reaction:
        """Take one message; what is not an input is ignored."""
        ...

    def observe_gap(self, topic: str) -> None:
        """Messages of a topic were lost."""
        ...

    def observe_time(self, ts_ns: int) -> Reaction:
        """Time passed and nothing else."""
        ...

    def signal(self, ts_event_ns: int, ts_recv_ns: int) -> LeadLag | Regime | Volatility | Flow:
        """The signal as of now."""
        ...

    def reload(self) -> None:
        """The record's bytes were replaced in place."""
        ...

"""Loads every kernel of an analyzer before a market is its own.

A kernel is read from disk when it is first called, which takes a second or two: too long for a market that is taken
over while its quotes stand.
"""

from __future__ import annotations

from services.analyzers.core import AnalyzerCore, Kind
from shared.config import MMConfig
from shared.core import Delivery, Timer
from shared.invented_market import SERIES, moment, time_of_step
from shared.messages import topic_of

STEPS = 600  # virtual tenths of a second


def rehearse(kind: Kind, config: MMConfig, *, steps: int = STEPS) -> None:
    """Analyze an invented market, and forget it."""
    core = AnalyzerCore(kind, (SERIES.name,), config)
    for step in range(steps):
        for message in moment(step):
            core.update(Delivery(topic_of(message), 1, step + 1, message))
        core.update(Timer(time_of_step(step)))

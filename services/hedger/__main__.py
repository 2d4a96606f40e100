"""`python -m services.hedger`"""

from __future__ import annotations

from prometheus_client import Counter

from services.hedger.core import HedgerCore
from shared.bus import Responder
from shared.service import Runtime, run

_ANSWERED = Counter("hedger_queries", "Queries answered.")


class Hedger(HedgerCore):
    """The core with its request socket."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__([each.name for each in runtime.series])
        self._responder = Responder(runtime.endpoints.hedger)

    def answer_waiting(self) -> None:
        """Answer the queries that wait."""
        _ANSWERED.inc(self._responder.serve(self.answer))


if __name__ == "__main__":
    run("hedger", Hedger, timer_s=0.02, each_turn=Hedger.answer_waiting)

"""The system as the bus shows it: what the panel and the log lines are drawn from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from bot.results_io import Results, ask_results
from services.sink.view import SystemView
from shared.bus import Endpoints, Subscriber
from shared.core import Timer
from shared.market import Series
from shared.wiring import PART, subscriptions

DRAIN_EACH_S = 0.05
ASK_EACH_S = 2.0


class BusView:
    """Keeps a view current from the bus, beginning with its last values, whenever the broker comes (back).

    `results` are the ledger's, by market, asked every other second; empty while it does not answer.
    """

    def __init__(self, endpoints: Endpoints, series: Sequence[Series]) -> None:
        self.view = SystemView(series)
        self.results: dict[str, Results] = {}
        self._endpoints = endpoints
        self._subscriber = Subscriber(self._endpoints, subscriptions(PART["sink"], series))

    async def wait_for_parts(self, timeout_s: float) -> bool:
        """Wait until any part is heard; False when none is."""
        deadline_s = time.monotonic() + timeout_s
        while not self.view.parts and time.monotonic() < deadline_s:
            self.drain()
            await asyncio.sleep(DRAIN_EACH_S)
        return bool(self.view.parts)

    async def follow(self) -> None:
        """Take what comes, until cancelled."""
        while True:
            self.drain()
            await asyncio.sleep(DRAIN_EACH_S)

    async def follow_results(self) -> None:
        """Ask the ledger again and again, in a thread: the screen does not wait for it."""
        while True:
            found = await asyncio.to_thread(ask_results, self._endpoints.hedger, tuple(self.view.markets))
            self.results.clear()
            self.results.update(found)
            await asyncio.sleep(ASK_EACH_S)

    def drain(self) -> None:
        """Take what is there now."""
        self.view.update(Timer(time.time_ns()))  # the time at which what follows was heard
        while events := self._subscriber.receive(0):
            for event in events:
                self.view.update(event)
        self.view.update(Timer(time.time_ns()))

    def close(self) -> None:
        """Leave the bus."""
        self._subscriber.close()

"""The system as the bus shows it: what the panel and the log lines are drawn from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from services.sink.view import SystemView
from shared.bus import Endpoints, Subscriber
from shared.core import Timer
from shared.market import Series
from shared.wiring import PART, subscriptions

DRAIN_EACH_S = 0.05


class BusView:
    """Keeps a view current from the bus, beginning with its last values, whenever the broker comes (back)."""

    def __init__(self, bus: str, series: Sequence[Series]) -> None:
        self.view = SystemView(series)
        self._subscriber = Subscriber(Endpoints.of(bus), subscriptions(PART["sink"], series))

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

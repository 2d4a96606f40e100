from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any, cast

from services.feeds.freshness import Freshness
from services.feeds.polymarket.market_channel import MarketChannelProtocol
from services.feeds.settings import FeedSettings
from services.feeds.venues_io import Feed
from shared.market import Series


class NoBroker:
    """A subscriber that nobody answers."""

    def __init__(self) -> None:
        self.asked = 0

    def join(self, timeout_s: float) -> list[Any]:
        raise AssertionError(f"it would block the event loop for {timeout_s} s")

    def receive(self, timeout_ms: int) -> list[Any]:
        assert timeout_ms == 0
        self.asked += 1
        return []


def test_while_no_broker_answers_the_loop_goes_on_and_can_be_stopped() -> None:
    subscriber = NoBroker()
    runtime: Any = SimpleNamespace(series=(Series.parse("btc-15m"),), subscriber=subscriber)
    feed = Feed(runtime, FeedSettings(), None)

    async def scenario() -> None:
        protocol = MarketChannelProtocol(["btc-15m"])
        taking = asyncio.create_task(feed._take_oracle(protocol, cast("Any", None), Freshness("polymarket")))
        async with asyncio.timeout(10):
            while subscriber.asked < 2:
                assert not taking.done()
                await asyncio.sleep(0.01)
        taking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await taking
        assert taking.cancelled()

    asyncio.run(scenario())

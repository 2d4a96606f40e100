from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from services.feeds.files import FilesFeed
from services.feeds.files_io import FolderFollower
from shared.market import Series
from shared.messages import AnyMessage, FeedStatus, OraclePrice, OutcomeBook, Period, SpotQuote
from tests.services.feeds.test_connection_io import Bus, run


def write(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({"timestamp": time.time_ns() // 1_000_000} | fields))


def kinds(messages: list[AnyMessage]) -> set[type]:
    return {type(message) for message in messages}


def test_a_folder_is_read_at_the_start_and_followed_from_then_on(tmp_path: Path) -> None:
    async def test() -> None:
        bus = Bus()
        write(tmp_path / "bybit.json", price=76568.5)
        follower = FolderFollower(FilesFeed(Series.parse("btc-15m")), folder=tmp_path, publisher=bus)
        task = asyncio.create_task(follower.run())
        await bus.until(lambda bus: bus.quotes() == [76568.5])
        (tmp_path / "call.json").write_text('{"best_bid": 0.4')
        write(tmp_path / "chainlink.json", price=76570.0, strike=76500.0)
        await bus.until(lambda bus: {OraclePrice, Period} <= kinds(bus.messages))
        write(tmp_path / "call.json", best_bid=0.42, best_ask=0.45)
        await bus.until(lambda bus: OutcomeBook in kinds(bus.messages))
        await bus.until(
            lambda bus: (
                {("bybit", "SpotQuote"), ("chainlink", "OraclePrice"), ("polymarket", "OutcomeBook")}
                <= {(each.venue, each.channel) for each in bus.messages if isinstance(each, FeedStatus)}
            )
        )
        task.cancel()
        await asyncio.wait([task])

    run(test())


def test_a_folder_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    async def test() -> None:
        bus, folder = Bus(), tmp_path / "a" / "b"
        follower = FolderFollower(FilesFeed(Series.parse("btc-15m")), folder=folder, publisher=bus)
        task = asyncio.create_task(follower.run())
        while not folder.is_dir():
            await asyncio.sleep(0)
        write(folder / "coinbase.json", price=76568.5)
        await bus.until(lambda bus: SpotQuote in kinds(bus.messages))
        task.cancel()
        await asyncio.wait([task])

    run(test())

"""Follows a folder of JSON files: reads what changed, as soon as the operating system says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
from watchfiles import awatch

from services.feeds.connection_io import FRAMES, Outlet, PublishPort
from services.feeds.files import FILE_NAMES, LARGEST_FILE_BYTES, FilesFeed
from services.feeds.freshness import FILE_LIMITS, Freshness
from services.feeds.protocol import Act, Drop, Publish, Status
from shared.messages import AnyMessage, OracleHistory, OraclePrice, SpotQuote, SpotTrade

TIMER_S = 0.1
DEBOUNCE_MS = 20
REREAD_MS = 500  # everything is read again after this much silence: some file systems notify nobody

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class FolderFollower:
    """One folder, for as long as `run` runs.

    Health is reported under the venue a file speaks for, so that nobody downstream needs to know of files.
    """

    def __init__(self, feed: FilesFeed, *, folder: Path, publisher: PublishPort) -> None:
        self._feed = feed
        self._folder = folder
        self._outlets = {
            venue: Outlet(venue, publisher=publisher, freshness=Freshness(venue, limits=FILE_LIMITS))
            for venue in ("bybit", "coinbase", "chainlink", "polymarket")
        }
        self._outlet = Outlet(feed.venue, publisher=publisher, freshness=Freshness(feed.venue))

    async def run(self) -> None:
        """Serve until cancelled. A folder that does not exist yet is made, so that it can be watched."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for outlet in self._outlets.values():
            outlet.report(outlet.freshness.on_open(time.time_ns()))
        log.info("following", venue=self._feed.venue, folder=str(self._folder))
        timer = asyncio.create_task(self._run_timer())
        watching = asyncio.create_task(self._watch())
        try:
            done, _ = await asyncio.wait((timer, watching), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (timer, watching):
                task.cancel()
            await asyncio.gather(timer, watching, return_exceptions=True)

    async def _watch(self) -> None:
        self._read_all()
        changes = awatch(
            self._folder,
            step=DEBOUNCE_MS,
            debounce=5 * DEBOUNCE_MS,
            recursive=False,
            rust_timeout=REREAD_MS,
            yield_on_timeout=True,
        )
        async for batch in changes:
            if not batch:
                self._read_all()
            for name in sorted({Path(path).name for _, path in batch} & FILE_NAMES):
                self._read(name)

    async def _run_timer(self) -> None:
        while True:
            await asyncio.sleep(TIMER_S)
            ts_ns = time.time_ns()
            self._apply(self._feed.on_timer(ts_ns), ts_ns)
            for outlet in (self._outlet, *self._outlets.values()):
                outlet.on_timer(ts_ns)

    def _read_all(self) -> None:
        for name in sorted(FILE_NAMES):
            self._read(name)

    def _read(self, name: str) -> None:
        try:
            with (self._folder / name).open("rb") as file:
                raw = file.read(LARGEST_FILE_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            self._outlet.drop(Drop("unreadable", f"{name}: {error}"), time.time_ns())
            return
        ts_recv_ns = time.time_ns()
        acts = self._feed.on_file(name, raw, ts_recv_ns)
        if acts:
            FRAMES.labels(self._feed.venue).inc()
            self._apply(acts, ts_recv_ns)

    def _apply(self, acts: Sequence[Act], ts_ns: int) -> None:
        for act in acts:
            match act:
                case Publish(message):
                    self._outlets[_venue_of(message)].publish(message, ts_ns)
                case Drop():
                    self._outlet.drop(act, ts_ns)
                case Status():
                    self._outlets["chainlink"].judge(act, ts_ns)  # only the oracle stream doubts itself


def _venue_of(message: AnyMessage) -> str:
    match message:
        case SpotQuote() | SpotTrade() | OraclePrice() | OracleHistory():
            return message.venue
        case _:
            return "polymarket"

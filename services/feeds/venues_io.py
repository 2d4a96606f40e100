"""Puts the parts of one feed together: its protocol, its socket or folder, and the bus."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path

import aiohttp

from services.feeds.bybit import BybitProtocol
from services.feeds.chainlink import polybolt
from services.feeds.chainlink.polybolt import Credentials, PolyBoltProtocol
from services.feeds.chainlink.rtds import RtdsProtocol
from services.feeds.coinbase import CoinbaseProtocol
from services.feeds.connection_io import Connection, ConnectionOptions, RefusedByVenueError
from services.feeds.files import FilesFeed
from services.feeds.files_io import FolderFollower
from services.feeds.freshness import Freshness, expected_streams
from services.feeds.polymarket.market_channel import MarketChannelProtocol
from services.feeds.protocol import VenueProtocol
from services.feeds.recording_io import RecordedProtocol
from services.feeds.settings import FeedSettings
from shared.core import Delivery
from shared.segments_io import SegmentWriter
from shared.service import LATENCY, Runtime

VENUES = ("bybit", "coinbase", "chainlink", "polymarket", "files")
BUS_POLL_S = 0.05
BEAT_S = 0.1
USER_AGENT = "polymarket-market-maker"


class Feed:
    """One feed process: everything of one venue."""

    def __init__(self, runtime: Runtime, settings: FeedSettings, credentials: Credentials | None) -> None:
        self._runtime = runtime
        self._settings = settings
        self._credentials = credentials
        self._assets = tuple(dict.fromkeys(series.asset for series in runtime.series))

    async def run(self) -> None:
        """Serve until the process is asked to stop."""
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.call_soon_threadsafe(stopped.set)

        self._runtime.on_stop.append(stop)
        if self._runtime.stopping:
            return
        tasks = [asyncio.create_task(each) for each in (self._serve(), self._beat(), _wait(stopped))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _serve(self) -> Coroutine[None, None, None]:
        match self._runtime.service:
            case "bybit":
                return self._serve_spot(BybitProtocol(self._assets), self._settings.bybit_url)
            case "coinbase":
                protocol = CoinbaseProtocol(self._assets, rest_url=self._settings.coinbase_rest_url)
                return self._serve_spot(protocol, self._settings.coinbase_url)
            case "chainlink":
                return self._serve_oracle()
            case "polymarket":
                return self._serve_polymarket()
            case "files":
                return self._serve_files()
            case other:
                raise ValueError(f"unknown venue {other!r}: {', '.join(VENUES)}")

    async def _serve_spot(self, protocol: VenueProtocol, url: str) -> None:
        freshness = self._freshness(protocol.venue)
        await self._serve_connection(protocol, url, freshness, ConnectionOptions())

    async def _serve_oracle(self) -> None:
        settings, log = self._settings, self._runtime.log
        freshness = self._freshness("chainlink")
        if settings.oracle_stream != "rtds" and self._credentials is not None:
            options = ConnectionOptions(
                delays_s=polybolt.RECONNECT_DELAYS_S,
                fatal=polybolt.CREDENTIALS_REFUSED if settings.oracle_stream == "auto" else frozenset(),
            )
            bolt = PolyBoltProtocol(self._assets, self._credentials, history_s=settings.oracle_history_s)
            try:
                await self._serve_connection(bolt, settings.polybolt_url, freshness, options)
            except RefusedByVenueError as error:
                log.error("PolyBolt refuses the credentials, falling back to RTDS", reason=str(error))
        rtds = RtdsProtocol(self._assets, history_s=settings.oracle_history_s)
        await self._serve_connection(rtds, settings.rtds_url, freshness, ConnectionOptions())

    async def _serve_polymarket(self) -> None:
        urls = self._settings.polymarket_urls()
        protocol = MarketChannelProtocol(self._runtime.series, urls=urls)
        freshness = self._freshness("polymarket")
        with self._recorded(protocol) as recorded:
            async with self._session() as session:
                connection = self._connection(recorded, urls.market_channel, freshness, session, ConnectionOptions())
                async with asyncio.TaskGroup() as group:
                    group.create_task(connection.run())
                    group.create_task(self._take_oracle(protocol, connection, freshness))

    async def _take_oracle(self, protocol: MarketChannelProtocol, connection: Connection, freshness: Freshness) -> None:
        subscriber = self._runtime.subscriber
        if subscriber is None:
            return
        while True:  # never `join`: it would stop the heartbeat and the venue while there is no broker
            for event in subscriber.receive(0):
                if isinstance(event, Delivery):
                    ts_ns = time.time_ns()
                    freshness.on_reference(event.message, ts_ns)
                    connection.apply(protocol.on_message(event.message), ts_ns)
            await asyncio.sleep(BUS_POLL_S)

    async def _serve_files(self) -> None:
        series = self._runtime.series
        if len(series) > 1:
            self._runtime.log.warning("files speak of one market only", market=series[0].name)
        feed = FilesFeed(series[0], assumptions=self._settings.file_assumptions())
        follower = FolderFollower(feed, folder=self._settings.files_dir, publisher=self._runtime.publisher)
        await follower.run()

    async def _serve_connection(
        self, protocol: VenueProtocol, url: str, freshness: Freshness, options: ConnectionOptions
    ) -> None:
        with self._recorded(protocol) as recorded:
            async with self._session() as session:
                await self._connection(recorded, url, freshness, session, options).run()

    def _freshness(self, venue: str) -> Freshness:
        return Freshness(venue, expected=expected_streams(venue, self._runtime.series))

    def _connection(
        self,
        protocol: VenueProtocol,
        url: str,
        freshness: Freshness,
        session: aiohttp.ClientSession,
        options: ConnectionOptions,
    ) -> Connection:
        return Connection(
            protocol,
            url=url,
            publisher=self._runtime.publisher,
            freshness=freshness,
            session=session,
            options=options,
            on_epoch=self._runtime.publisher.new_epoch,
            on_latency_s=LATENCY.labels("feed").observe,
        )

    @contextlib.contextmanager
    def _recorded(self, protocol: VenueProtocol) -> Iterator[VenueProtocol]:
        folder: Path | None = self._runtime.settings.record
        if folder is None:
            yield protocol
            return
        with SegmentWriter(folder, protocol.venue, keep_s=self._runtime.settings.record_keep_s) as writer:
            yield RecordedProtocol(protocol, writer)

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"User-Agent": USER_AGENT}, trust_env=True)

    async def _beat(self) -> None:
        while True:
            self._runtime.beat()
            await asyncio.sleep(BEAT_S)


async def _wait(stopped: asyncio.Event) -> None:
    await stopped.wait()

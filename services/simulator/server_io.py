"""The simulated venues on one HTTP port: connections, the clock that moves the world, and the fault switches."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable

from aiohttp import WSCloseCode, WSMsgType, web
from prometheus_client import CONTENT_TYPE_LATEST

from services.simulator import clob, gamma
from services.simulator.bybit import BybitSession
from services.simulator.coinbase import CoinbaseSession, trades_json
from services.simulator.crypto_price import crypto_price_json
from services.simulator.events import Event, OracleTick
from services.simulator.faults import FaultBoard, FaultyDoor, FaultyLine, HttpReply, Outgoing
from services.simulator.market_channel import MarketFrames, MarketSession
from services.simulator.metrics_io import metrics_page
from services.simulator.polybolt import PolyBoltSession
from services.simulator.rtds import RtdsSession
from services.simulator.session import Frame, Session
from services.simulator.settings import SimulatorSettings
from services.simulator.truth import truth
from services.simulator.urls import (
    BYBIT_PATH,
    COINBASE_PATH,
    CRYPTO_PRICE_PATH,
    MARKET_PATH,
    POLYBOLT_PATH,
    RTDS_PATH,
    VenueUrls,
    urls,
)
from services.simulator.wire import compact
from services.simulator.world import World

_MAX_QUEUED_FRAMES = 20_000
_JSON = "application/json"


def clock_ms() -> int:
    """Unix ms now."""
    return time.time_ns() // 1_000_000


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task; raises what it failed with, if it had failed before."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise  # it is us who are cancelled


class Connection:
    """One WebSocket client: a session, its faulty line, and frames waiting to be written in order."""

    def __init__(self, session: Session, line: FaultyLine, socket: web.WebSocketResponse) -> None:
        self.session = session
        self.line = line
        self.socket = socket
        self._waiting: deque[tuple[float, Frame]] = deque()
        self._wake = asyncio.Event()
        self._is_cut = asyncio.Event()

    def push(self, outgoing: list[Outgoing]) -> None:
        """Queue frames; a client that cannot follow is cut off (as PolyBolt's 4002 does)."""
        if not outgoing:
            return
        now_s = time.monotonic()
        for frame, delay_s in outgoing:
            self._waiting.append((now_s + delay_s, frame))
        if len(self._waiting) > _MAX_QUEUED_FRAMES:
            self._waiting.clear()
            self._waiting.append((now_s, Frame("", is_data=False, close_code=4002)))
        self._wake.set()

    def cut(self) -> None:
        """End the connection without ceremony."""
        self._waiting.clear()
        self._waiting.append((0.0, Frame("", is_data=False, close_code=WSCloseCode.GOING_AWAY)))
        self._is_cut.set()
        self._wake.set()

    async def _cut_before(self, due_s: float) -> bool:
        """Hold a frame back until it is due; whether the connection was cut meanwhile."""
        pause_s = due_s - time.monotonic()
        if pause_s > 0.0:
            waiting = asyncio.create_task(self._is_cut.wait())
            await asyncio.wait({waiting}, timeout=pause_s)
            waiting.cancel()
        return self._is_cut.is_set()

    async def write(self) -> None:
        """Send what waits until the connection ends."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                due_s, frame = self._waiting.popleft()
                if await self._cut_before(due_s) and frame.close_code is None:
                    continue
                try:
                    if frame.text or frame.close_code is None:
                        await self.socket.send_str(frame.text)
                    if frame.close_code is not None:
                        await self.socket.close(code=frame.close_code)
                        return
                except ConnectionError:
                    return


class Simulator:
    """Serves a world: `async with Simulator(settings) as simulator:` listens on `simulator.port` in the block."""

    def __init__(self, settings: SimulatorSettings, *, clock: Callable[[], int] = clock_ms) -> None:
        self.settings = settings
        self._clock = clock
        self.world = World(settings.world_config(), start_ms=clock())
        self.faults = FaultBoard()
        self.port = settings.port
        self.event_count = 0
        self._connections: set[Connection] = set()
        self._doors = {venue: FaultyDoor(self.faults, venue) for venue in ("gamma", "clob", "website", "coinbase")}
        self._market_frames = MarketFrames()
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        self._pump_task: asyncio.Task[None] | None = None

    @property
    def urls(self) -> VenueUrls:
        """Where each venue listens."""
        return urls(self.port, self.settings.host)

    async def __aenter__(self) -> Simulator:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._pump_task = asyncio.create_task(self._pump(), name="simulator-world")
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for connection in self._connections:
            connection.cut()
        await self._runner.cleanup()
        if self._pump_task is not None:
            await _end(self._pump_task)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; raises what stopped the world, if that came first."""
        if self._pump_task is None:
            raise RuntimeError("run() needs the simulator to be entered with `async with`")
        waiting = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({waiting, self._pump_task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._pump_task in done:
            self._pump_task.result()

    # --- the world's clock ----------------------------------------

    async def _pump(self) -> None:
        step_s = self.settings.step_ms / 1000.0
        while True:
            self.world.advance(self._clock(), self._dispatch)
            now_ms = self._clock()
            if self.faults.is_on("tick_size_change", "market", now_ms):
                self._switch_ticks()
            await asyncio.sleep(step_s)

    def _dispatch(self, event: Event) -> None:
        self.event_count += 1
        for connection in self._connections:
            frames = connection.session.on_event(event)
            if frames:
                connection.push(connection.line.send(frames, event.ts_ms))

    def _switch_ticks(self) -> None:
        for series in self.world.series:
            self.world.change_tick(self.world.current_period(series))

    def _shown(self, tick: OracleTick) -> bool:
        """The late-strike fault hides the TWAP tick of every period's start."""
        if tick.kind != "twap" or not self._strike_is_late(self.world.now_ms):
            return True
        lengths = [series.length_s for series in self.world.series if series.asset == tick.asset]
        return all(tick.stamp_s % length_s for length_s in lengths)

    def _strike_is_late(self, now_ms: int) -> bool:
        return any(self.faults.is_on("late_strike", venue, now_ms) for venue in ("polybolt", "rtds", "website"))

    # --- sockets ----------------------------------------

    def _open_session(self, venue: str) -> Session:
        if venue == "bybit":
            return BybitSession(self.world, secrets.token_hex(10))
        if venue == "coinbase":
            return CoinbaseSession(self.world)
        if venue == "market":
            return MarketSession(self.world, self._market_frames)
        if venue == "polybolt":
            return PolyBoltSession(self.world, shown=self._shown)
        return RtdsSession(self.world, base64.b64encode(secrets.token_bytes(13)).decode(), shown=self._shown)

    def _socket_handler(self, venue: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if self.faults.is_on("disconnect", venue, self._clock()):
                return web.Response(status=503, headers={"Retry-After": "1"})
            socket = web.WebSocketResponse(heartbeat=25.0, compress=False, max_msg_size=1 << 20)
            await socket.prepare(request)
            connection = Connection(self._open_session(venue), FaultyLine(self.faults, venue), socket)
            connection.push(connection.line.send(connection.session.on_connect(), self._clock()))
            writer = asyncio.create_task(connection.write(), name=f"simulator-{venue}")
            self._connections.add(connection)
            try:
                async for message in socket:
                    if message.type is WSMsgType.TEXT:
                        now_ms = self._clock()
                        frames = connection.session.on_text(message.data, now_ms)
                        connection.push(connection.line.send(frames, now_ms))
            finally:
                self._connections.discard(connection)
                await _end(writer)
            return socket

        return handle

    # --- REST ----------------------------------------

    def _application(self) -> web.Application:
        application = web.Application()
        for venue, path in (
            ("bybit", BYBIT_PATH),
            ("coinbase", COINBASE_PATH),
            ("market", MARKET_PATH),
            ("polybolt", POLYBOLT_PATH),
            ("rtds", RTDS_PATH),
        ):
            application.router.add_get(path, self._socket_handler(venue))
        routes: tuple[tuple[str, str, str, Callable[[web.Request], Awaitable[HttpReply]]], ...] = (
            ("GET", "/events/slug/{slug}", "gamma", self._event_by_slug),
            ("GET", "/markets/slug/{slug}", "gamma", self._market_by_slug),
            ("GET", "/events/keyset", "gamma", self._events_keyset),
            ("GET", "/events", "gamma", self._events),
            ("GET", "/markets", "gamma", self._markets),
            ("GET", "/clob-markets/{condition}", "clob", self._clob_market),
            ("GET", "/book", "clob", self._book),
            ("POST", "/books", "clob", self._books),
            ("GET", "/time", "clob", self._time),
            ("GET", "/tick-size", "clob", self._tick_size),
            ("GET", CRYPTO_PRICE_PATH, "website", self._crypto_price),
            ("GET", "/products/{product}/trades", "coinbase", self._coinbase_trades),
        )
        for method, path, venue, handler in routes:
            application.router.add_route(method, path, self._rest_handler(venue, handler))
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/sim/truth", self._truth)
        application.router.add_get("/sim/urls", self._urls)
        application.router.add_get("/sim/fault", self._list_faults)
        application.router.add_post("/sim/fault", self._start_fault)
        application.router.add_delete("/sim/fault", self._clear_faults)
        return application

    def _rest_handler(
        self, venue: str, handler: Callable[[web.Request], Awaitable[HttpReply]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            slow = self.faults.find("slow", venue, self._clock())
            if slow is not None:
                await asyncio.sleep(slow.delay_s)
            try:
                reply = await handler(request)
            except (KeyError, ValueError) as error:
                reply = HttpReply(400, compact({"error": f"invalid request: {error}"}), {})
            reply = self._doors[venue].answer(reply, self._clock())
            return web.Response(status=reply.status, text=reply.text, headers=reply.headers, content_type=_JSON)

        return handle

    def _ok(self, message: object) -> HttpReply:
        return HttpReply(200, compact(message), {})

    async def _event_by_slug(self, request: web.Request) -> HttpReply:
        period = self.world.periods.get(request.match_info["slug"])
        if period is None:
            return HttpReply(404, '{"type":"not found error","error":"slug not found"}', {})
        return self._ok(gamma.event_json(period, self._clock()))

    async def _market_by_slug(self, request: web.Request) -> HttpReply:
        period = self.world.periods.get(request.match_info["slug"])
        if period is None:
            return HttpReply(404, '{"type":"not found error","error":"slug not found"}', {})
        return self._ok(gamma.market_json(period, self._clock()))

    async def _events(self, request: web.Request) -> HttpReply:
        periods, _ = gamma.select(self.world, request.query)
        return self._ok([gamma.event_json(period, self._clock()) for period in periods])

    async def _markets(self, request: web.Request) -> HttpReply:
        periods, _ = gamma.select(self.world, request.query, closed_default="false")
        return self._ok([gamma.market_json(period, self._clock(), schema=False) for period in periods])

    async def _events_keyset(self, request: web.Request) -> HttpReply:
        if "offset" in request.query:
            raise ValueError("offset is not supported, use after_cursor")
        cursor = request.query.get("after_cursor", "")
        skip = int(base64.b64decode(cursor, validate=True)) if cursor else 0
        periods, more = gamma.select(self.world, request.query, skip=skip)
        answer: dict[str, object] = {"events": [gamma.event_json(period, self._clock()) for period in periods]}
        if more:
            answer["next_cursor"] = base64.b64encode(str(skip + len(periods)).encode()).decode()
        return self._ok(answer)

    async def _clob_market(self, request: web.Request) -> HttpReply:
        period = self.world.period_of_condition(request.match_info["condition"])
        return (
            HttpReply(404, '{"error":"market not found"}', {}) if period is None else self._ok(clob.market_json(period))
        )

    def _book_text(self, token: str) -> str | None:
        period = self.world.period_of_token(token)
        if period is None or period.resolved:
            return None
        ghost = self.faults.is_on("ghost_book", "clob", self._clock())
        return clob.book_text(period, period.outcome_index(token), ghost=ghost)

    async def _book(self, request: web.Request) -> HttpReply:
        text = self._book_text(request.query["token_id"])
        missing = HttpReply(404, '{"error":"No orderbook exists for the requested token id"}', {})
        return missing if text is None else HttpReply(200, text, {})

    async def _books(self, request: web.Request) -> HttpReply:
        tokens = clob.requested_tokens(await request.text())
        if tokens is None:
            return HttpReply(400, '{"error":"Invalid payload"}', {})
        texts = [self._book_text(token) for token in tokens]
        return HttpReply(200, f"[{','.join(text for text in texts if text is not None)}]", {})

    async def _time(self, _request: web.Request) -> HttpReply:
        return HttpReply(200, str(self._clock() // 1000), {})

    async def _tick_size(self, request: web.Request) -> HttpReply:
        period = self.world.period_of_token(request.query["token_id"])
        if period is None:
            return HttpReply(404, '{"error":"market not found"}', {})
        return self._ok({"minimum_tick_size": period.book.tick_mills / 1000.0})

    async def _crypto_price(self, request: web.Request) -> HttpReply:
        now_ms = self._clock()
        answer = crypto_price_json(self.world, request.query, now_ms, late=self._strike_is_late(now_ms))
        return HttpReply(400, '{"error":"Invalid symbol"}', {}) if answer is None else self._ok(answer)

    async def _coinbase_trades(self, request: web.Request) -> HttpReply:
        venue = self.world.coinbase.get(request.match_info["product"].removesuffix("-USD"))
        if venue is None:
            return HttpReply(404, '{"message":"NotFound"}', {})
        return self._ok(trades_json(venue, limit=int(request.query.get("limit", "1000"))))

    # --- the simulator's own ----------------------------------------

    async def _metrics(self, _request: web.Request) -> web.Response:
        page = metrics_page(
            events=self.event_count,
            connections=Counter(each.session.venue for each in self._connections),
            faults=len(self.faults.active(self._clock())),
        )
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _truth(self, _request: web.Request) -> web.Response:
        return web.json_response(truth(self.world))

    async def _urls(self, _request: web.Request) -> web.Response:
        return web.json_response(self.urls._asdict())

    def _fault_list(self) -> web.Response:
        return web.json_response([fault._asdict() for fault in self.faults.active(self._clock())])

    async def _list_faults(self, _request: web.Request) -> web.Response:
        return self._fault_list()

    async def _start_fault(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.text())
            fault = self.faults.start(
                str(body["name"]),
                str(body.get("venue") or "*"),
                now_ms=self._clock(),
                duration_s=None if body.get("duration_s") is None else float(body["duration_s"]),
                **({"delay_s": float(body["delay_s"])} if "delay_s" in body else {}),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        if fault.name == "disconnect":
            for connection in self._connections:
                if fault.venue in (connection.session.venue, "*"):
                    connection.cut()
        return self._fault_list()

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self.faults.clear(name=request.query.get("name"), venue=request.query.get("venue"))
        return self._fault_list()

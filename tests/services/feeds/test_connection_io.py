"""The runner against a venue on loopback: a small aiohttp server that does what each test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from tenacity import Future, RetryCallState, Retrying

from services.feeds.connection_io import (
    BackOff,
    Connection,
    ConnectionLostError,
    ConnectionOptions,
    DropLog,
    Outlet,
    RefusedByVenueError,
    close_label,
    retry_after_s,
)
from services.feeds.freshness import LIMITS, Freshness
from services.feeds.protocol import Act, Drop, Fetch, Publish, Reconnect, Send, Status
from shared.messages import AnyMessage, FeedStatus, OraclePrice, SpotQuote
from tests.builders import NS, START_S, build

Handler = Callable[[web.WebSocketResponse], Awaitable[object]]
FAST = ConnectionOptions(
    backoff_s=0.01, backoff_cap_s=0.02, timer_s=0.01, send_spacing_s=0.0, connect_timeout_s=2.0, fetch_timeout_s=1.0
)


class Bus:
    """A bus that remembers, and lets a test wait for what it wants to see."""

    def __init__(self) -> None:
        self.messages: list[AnyMessage] = []
        self._news = asyncio.Event()

    def publish(self, message: AnyMessage) -> None:
        self.messages.append(message)
        self._news.set()

    async def until(self, wanted: Callable[[Bus], bool]) -> None:
        while not wanted(self):
            self._news.clear()
            await self._news.wait()

    def quotes(self) -> list[float]:
        return [message.bid for message in self.messages if isinstance(message, SpotQuote)]

    def reasons(self) -> list[tuple[str, str]]:
        return [(each.state, each.reason) for each in self.messages if isinstance(each, FeedStatus)]


class EchoProtocol:
    """A venue whose frames are commands: a number is a quote, the rest are named acts."""

    venue = "bybit"

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.timers = 0
        self.answers: list[tuple[str, int, bytes]] = []
        self.timer_acts: list[Act] = []

    def on_open(self, ts_ns: int) -> Sequence[Act]:  # noqa: ARG002
        self.opened += 1
        return [Send(f"hello {self.opened}")]

    def on_frame(self, frame: str | bytes, ts_recv_ns: int) -> Sequence[Act]:
        text = frame if isinstance(frame, str) else frame.decode()
        kind, _, rest = text.partition(" ")
        match kind:
            case "drop":
                return [Drop("malformed", rest)]
            case "gap":
                return [Status("SpotQuote", "BTC", "GAP", "crossed")]
            case "reconnect":
                return [Reconnect(rest)]
            case "fetch":
                return [Fetch("it", rest)]
            case "fail":
                raise RuntimeError("our own bug")
            case "send":
                return [Send(rest)]
        return [Publish(quote(float(text), ts_recv_ns))]

    def on_response(self, request: str, status: int, body: bytes, ts_recv_ns: int) -> Sequence[Act]:
        self.answers.append((request, status, body))
        return [Publish(quote(float(1000 + status), ts_recv_ns))]

    def on_timer(self, ts_ns: int) -> Sequence[Act]:  # noqa: ARG002
        self.timers += 1
        acts, self.timer_acts = self.timer_acts, []
        return acts

    def on_close(self, ts_ns: int) -> Sequence[Act]:  # noqa: ARG002
        self.closed += 1
        return []


def quote(price: float, ts_ns: int) -> SpotQuote:
    return SpotQuote(
        ts_event_ns=ts_ns, ts_recv_ns=ts_ns, asset="BTC", venue="bybit",
        bid=price, bid_size=1.0, ask=price + 1.0, ask_size=1.0,
    )  # fmt: skip


class Bench:
    """A venue on loopback, a connection to it, and the bus it publishes on. `handlers` serve one connection each."""

    def __init__(
        self, *handlers: Handler, options: ConnectionOptions = FAST, freshness: Freshness | None = None
    ) -> None:
        self.bus = Bus()
        self.protocol = EchoProtocol()
        self.freshness = freshness or Freshness("bybit", expected=[("SpotQuote", "BTC")])
        self.epochs = 0
        self.latencies: list[float] = []
        self.refusals: list[web.Response] = []  # answers to the next handshakes
        self._handlers = list(handlers)
        self._options = options
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Bench:
        app = web.Application()
        app.router.add_get("/ws", self._serve)
        app.router.add_get("/rest", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.rest = f"http://127.0.0.1:{port}/rest"
        self._session = aiohttp.ClientSession()
        self.connection = Connection(
            self.protocol,
            url=f"ws://127.0.0.1:{port}/ws",
            publisher=self.bus,
            freshness=self.freshness,
            session=self._session,
            options=self._options,
            on_epoch=self._count_epoch,
            on_latency_s=self.latencies.append,
        )
        self.task = asyncio.create_task(self.connection.run())
        return self

    def _count_epoch(self) -> None:
        self.epochs += 1

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.refusals:
            return self.refusals.pop(0)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        handler = self._handlers.pop(0) if self._handlers else stay
        await handler(socket)
        return socket

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("kind") == "never":
            await asyncio.Event().wait()
        return web.Response(text="body", status=int(request.query.get("status", "200")))


async def stay(socket: web.WebSocketResponse) -> None:
    """Say 100 and keep the connection open."""
    await socket.send_str("100")
    await listen(socket)


async def listen(socket: web.WebSocketResponse) -> list[str]:
    return [message.data async for message in socket if message.type is aiohttp.WSMsgType.TEXT]


def says(*frames: str, then: Handler = listen) -> Handler:
    async def handler(socket: web.WebSocketResponse) -> None:
        for frame in frames:
            await socket.send_str(frame)
        await then(socket)

    return handler


def closes(code: int) -> Handler:
    async def handler(socket: web.WebSocketResponse) -> None:
        await socket.close(code=code)

    return handler


def run(test: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(10):
            await test

    asyncio.run(limited())


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_streams_state_and_the_least_delay_of_a_second_are_metrics() -> None:
    freshness = Freshness("kraken", expected=[("SpotQuote", "BTC")])
    outlet = Outlet("kraken", publisher=Bus(), freshness=freshness)
    stream = {"venue": "kraken", "channel": "SpotQuote", "subject": "BTC"}
    now_ns = (START_S + 300) * NS
    outlet.on_timer(now_ns)
    assert REGISTRY.get_sample_value("feed_state", stream) == 0.0
    assert REGISTRY.get_sample_value("feed_gaps_total", stream) == 0.0
    assert REGISTRY.get_sample_value("feed_reconnects_total", {"venue": "kraken", "reason": "connect_failed"}) == 0.0
    outlet.report(freshness.on_open(now_ns))
    for delay_ms in (30, -20, 400):
        received_ns = now_ns + delay_ms * 1_000_000
        outlet.publish(build(SpotQuote, ts_event_ns=now_ns, ts_recv_ns=received_ns), now_ns)
    outlet.publish(build(OraclePrice, ts_event_ns=now_ns, ts_recv_ns=now_ns - NS), now_ns)  # ages by its own stamps
    outlet.on_timer(now_ns + NS)
    assert REGISTRY.get_sample_value("feed_state", stream) == 3.0
    assert REGISTRY.get_sample_value("feed_least_delay_seconds", {"venue": "kraken"}) == -0.02
    outlet.publish(build(SpotQuote, ts_event_ns=now_ns, ts_recv_ns=now_ns + 50_000_000), now_ns + NS)
    outlet.on_timer(now_ns + 2 * NS)
    assert REGISTRY.get_sample_value("feed_least_delay_seconds", {"venue": "kraken"}) == 0.05


def test_frames_are_published_with_their_health() -> None:
    async def test() -> None:
        async with Bench(says("100", "101")) as bench:
            await bench.bus.until(lambda bus: bus.quotes() == [100.0, 101.0])
            assert bench.bus.reasons()[-1][0] == "LIVE"
            assert len(bench.latencies) == 2

    run(test())


def test_a_closed_connection_is_opened_again_in_a_new_epoch() -> None:
    async def test() -> None:
        before = sample("feed_reconnects_total", venue="bybit", reason="close_4002")
        async with Bench(says("100", then=closes(4002)), stay) as bench:
            await bench.bus.until(lambda bus: bus.quotes() == [100.0, 100.0])
            assert (bench.protocol.opened, bench.protocol.closed, bench.epochs) == (2, 1, 1)
            assert ("DOWN", "close_4002") in bench.bus.reasons()
            assert bench.bus.reasons()[-1][0] == "LIVE"
        assert sample("feed_reconnects_total", venue="bybit", reason="close_4002") == before + 1

    run(test())


def test_the_protocol_may_ask_for_a_new_connection() -> None:
    async def test() -> None:
        async with Bench(says("reconnect gap"), stay) as bench:
            await bench.bus.until(lambda bus: bus.quotes() == [100.0])
            assert ("DOWN", "gap") in bench.bus.reasons()

    run(test())


def test_a_bug_in_a_parser_costs_the_connection_and_not_the_process() -> None:
    async def test() -> None:
        async with Bench(says("fail"), stay) as bench:
            await bench.bus.until(lambda bus: bus.quotes() == [100.0])
            assert ("DOWN", "parser_failed") in bench.bus.reasons()

    run(test())


def test_a_venue_that_stays_open_and_silent_is_left() -> None:
    async def test() -> None:
        impatient = {"SpotQuote": LIMITS["SpotQuote"]._replace(stale_s=0.05, reconnect_s=0.1)}
        freshness = Freshness("bybit", expected=[("SpotQuote", "BTC")], limits=impatient)
        async with Bench(says("100"), stay, freshness=freshness) as bench:
            await bench.bus.until(lambda bus: len(bus.quotes()) >= 2)
            states = [state for state, _ in bench.bus.reasons()]
            assert states.index("STALE") < len(states) - 1 - states[::-1].index("LIVE")
            assert ("DOWN", "stale_SpotQuote") in bench.bus.reasons()

    run(test())


def test_the_venues_pings_are_answered_and_prove_nothing() -> None:
    async def ping(socket: web.WebSocketResponse) -> None:
        while not socket.closed:
            await socket.ping()
            await asyncio.sleep(0.005)

    async def test() -> None:
        impatient = {"SpotQuote": LIMITS["SpotQuote"]._replace(stale_s=0.05, reconnect_s=0.1)}
        freshness = Freshness("bybit", expected=[("SpotQuote", "BTC")], limits=impatient)
        async with Bench(says("100", then=ping), stay, freshness=freshness) as bench:
            await bench.bus.until(lambda bus: ("DOWN", "stale_SpotQuote") in bus.reasons())

    run(test())


def test_what_the_protocol_sends_arrives_in_order() -> None:
    async def test() -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()

        async def hear(socket: web.WebSocketResponse) -> None:
            async for message in socket:
                heard.put_nowait(message.data)

        async with Bench(says("send a", "send b", then=hear)):
            assert [await heard.get() for _ in range(3)] == ["hello 1", "a", "b"]

    run(test())


@pytest.mark.parametrize(("query", "status"), [("?status=200", 200), ("?status=429", 429), ("?kind=never", 0)])
def test_a_fetch_is_answered_or_timed_out_while_frames_go_on(query: str, status: int) -> None:
    async def test() -> None:
        async with Bench(stay) as bench:
            await bench.bus.until(lambda bus: bus.quotes() == [100.0])
            bench.protocol.timer_acts = [Fetch("it", bench.rest + query)]
            await bench.bus.until(lambda bus: 1000.0 + status in bus.quotes())
            assert bench.protocol.answers == [("it", status, b"body" if status else b"")]

    run(test())


def test_a_fetch_of_nowhere_is_answered_with_nothing() -> None:
    async def test() -> None:
        async with Bench(stay) as bench:
            bench.protocol.timer_acts = [Fetch("a", "http://127.0.0.1:1/"), Fetch("b", "not a url")]
            await bench.bus.until(lambda bus: bus.quotes().count(1000.0) == 2)

    run(test())


def test_a_refused_handshake_is_tried_again() -> None:
    async def test() -> None:
        before = sample("feed_reconnects_total", venue="bybit", reason="http_503")
        async with Bench(stay) as bench:
            bench.refusals += [web.Response(status=503), web.Response(status=503, headers={"Retry-After": "0"})]
            await bench.bus.until(lambda bus: bus.quotes() == [100.0])
        assert sample("feed_reconnects_total", venue="bybit", reason="http_503") == before + 2

    run(test())


def test_reasons_that_cannot_be_mended_end_the_run() -> None:
    async def test() -> None:
        options = ConnectionOptions(backoff_s=0.01, fatal=frozenset({"close_4001"}))
        async with Bench(closes(4001), options=options) as bench:
            with pytest.raises(RefusedByVenueError):
                await bench.task

    run(test())


def test_timers_run_while_there_is_no_connection() -> None:
    async def test() -> None:
        async with Bench() as bench:
            bench.refusals += [web.Response(status=503)] * 1000
            bench.protocol.timer_acts = [Send("into the void"), Fetch("it", bench.rest)]
            await bench.bus.until(lambda bus: bus.quotes() == [1200.0])
            assert bench.protocol.timers > 0
            assert bench.protocol.opened == 0

    run(test())


def test_drops_and_gaps_are_counted_by_reason() -> None:
    async def test() -> None:
        dropped = sample("feed_dropped_total", venue="bybit", reason="malformed")
        gaps = sample("feed_gaps_total", venue="bybit", channel="SpotQuote", subject="BTC")
        async with Bench(says("drop x", "drop y", "gap", "100")) as bench:
            await bench.bus.until(lambda bus: bus.quotes() == [100.0])
        assert sample("feed_dropped_total", venue="bybit", reason="malformed") == dropped + 2
        assert sample("feed_gaps_total", venue="bybit", channel="SpotQuote", subject="BTC") == gaps + 1

    run(test())


def test_a_flood_of_frames_does_not_starve_the_timers() -> None:
    async def flood(socket: web.WebSocketResponse) -> None:
        for _ in range(20_000):
            await socket.send_str("drop it")
        await socket.send_str("7")
        await listen(socket)

    async def test() -> None:
        async with Bench(flood) as bench:
            await bench.bus.until(lambda bus: bus.quotes() == [7.0])
            assert bench.protocol.timers > 3

    run(test())


def lost(reason: str, *, attempt: int = 1, **more: Any) -> RetryCallState:
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    state.outcome = Future.construct(attempt, ConnectionLostError(reason, **more), True)
    return state


def test_the_back_off_grows_is_jittered_and_is_capped() -> None:
    back_off = BackOff(ConnectionOptions(backoff_s=0.5, backoff_cap_s=30.0))
    for attempt, longest in [(1, 0.5), (2, 1.0), (5, 8.0), (20, 30.0), (500, 30.0)]:
        delays = [back_off(lost("connect_failed", attempt=attempt)) for _ in range(200)]
        assert 0.0 <= min(delays) < 0.3 * longest
        assert 0.7 * longest < max(delays) <= longest


def test_a_healthy_connection_starts_the_back_off_over() -> None:
    state = lost("close_1006", attempt=20, was_healthy=True)
    assert BackOff(ConnectionOptions(backoff_s=0.5))(state) <= 0.5
    assert state.attempt_number == 1


def test_the_venues_own_word_on_when_to_come_back_is_kept() -> None:
    back_off = BackOff(ConnectionOptions(delays_s={"close_4003": (2.0, 10.0)}))
    assert 45.0 <= back_off(lost("http_429", retry_after_s=45.0)) <= 46.0
    delays = [back_off(lost("close_4003")) for _ in range(200)]
    assert 2.0 <= min(delays) < 4.0
    assert 8.0 < max(delays) <= 10.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text, 10.0) == seconds


def test_close_codes_are_a_small_set_of_labels() -> None:
    assert [close_label(code) for code in (1000, 4003, None, 7, 99_999)] == [
        "close_1000",
        "close_4003",
        "close_1006",
        "close_1006",
        "close_1006",
    ]


def test_a_drop_is_logged_at_once_and_then_every_ten_seconds_with_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    drops = DropLog("bybit")
    for second in range(10):
        drops.add(Drop("crossed", f"number {second}"), second * 1_000_000_000)
        drops.flush(second * 1_000_000_000)
    drops.flush(10 * 1_000_000_000)
    drops.flush(30 * 1_000_000_000)
    logged = capsys.readouterr()
    lines = [line for line in (logged.out + logged.err).splitlines() if "dropped" in line]
    assert len(lines) == 2
    assert "number 0" in lines[0]
    assert "9" in lines[1]


def test_the_state_of_every_stream_is_a_metric() -> None:
    outlet = Outlet("bybit", publisher=Bus(), freshness=Freshness("bybit", expected=[("SpotQuote", "SOL")]))
    labels = {"venue": "bybit", "channel": "SpotQuote", "subject": "SOL"}
    outlet.report(outlet.freshness.on_open(NS))
    outlet.on_timer(NS)
    assert REGISTRY.get_sample_value("feed_live", labels) == 0.0
    outlet.publish(build(SpotQuote, asset="SOL", venue="bybit", at_s=1.0), NS)
    assert REGISTRY.get_sample_value("feed_live", labels) == 1.0
    outlet.report(outlet.freshness.on_close(2 * NS, "server_closed"))
    assert REGISTRY.get_sample_value("feed_live", labels) == 0.0

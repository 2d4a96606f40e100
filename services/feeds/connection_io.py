"""Drives one venue protocol over one websocket: connect, receive, send, fetch, watch, and connect again.

The only file that touches venue sockets. The protocol decides; this file carries out, and measures.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Protocol

import aiohttp
import structlog
from prometheus_client import Counter, Gauge
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential
from tenacity.wait import wait_base

from services.feeds.freshness import Freshness
from services.feeds.protocol import Act, Drop, Fetch, Publish, Reconnect, Send, Status, VenueProtocol
from shared.messages import AnyMessage, FeedState, FeedStatus, OutcomeBook, OutcomeTrade, SpotQuote, SpotTrade

NS_PER_S = 1_000_000_000

LIVE = Gauge("feed_live", "1 while a stream can be relied on.", ["venue", "channel", "subject"])
AGE = Gauge("feed_age_seconds", "Age of the last data of a stream.", ["venue", "channel", "subject"])
FRAMES = Counter("feed_frames_total", "Frames received.", ["venue"])
DROPPED = Counter("feed_dropped_total", "Frames, or parts of frames, refused.", ["venue", "reason"])
RECONNECTS = Counter("feed_reconnects_total", "Connections that ended.", ["venue", "reason"])
GAPS = Counter("feed_gaps_total", "Losses of continuity.", ["venue", "channel", "subject"])
STATE = Gauge("feed_state", "A stream is LIVE (3), STALE (2), GAP (1) or DOWN (0).", ["venue", "channel", "subject"])
LEAST_DELAY = Gauge(
    "feed_least_delay_seconds",
    "The least time from an exchange's stamp to our receipt, in the last second with data; below zero, a clock is off.",
    ["venue"],
)
STATE_NUMBERS: Mapping[FeedState, int] = {"DOWN": 0, "GAP": 1, "STALE": 2, "LIVE": 3}
_STAMPED_AT_ONCE = frozenset({SpotQuote, SpotTrade, OutcomeBook, OutcomeTrade})  # an oracle's stamps are old already

_ENDINGS = (aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class PublishPort(Protocol):
    """Where messages go: the bus, or a list in a test."""

    def publish(self, message: AnyMessage) -> object:
        """Put it on the bus."""
        ...


class ConnectionLostError(Exception):
    """A connection ended, or never began. `reason` is a metric label."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None, was_healthy: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.was_healthy = was_healthy


class RefusedByVenueError(Exception):
    """The venue refuses us for a reason that another connection cannot mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """How patient and how polite a connection is."""

    backoff_s: float = 0.5  # the first delay is uniform up to this, each further one up to twice the last
    backoff_cap_s: float = 30.0
    healthy_after_s: float = 5.0  # a connection that yielded data for so long starts the back-off over
    connect_timeout_s: float = 10.0
    fetch_timeout_s: float = 5.0
    fetches_at_once: int = 8
    largest_answer_bytes: int = 16 << 20
    largest_frame_bytes: int = 32 << 20
    send_spacing_s: float = 0.11
    sends_waiting: int = 1024
    timer_s: float = 0.1
    retry_after_cap_s: float = 600.0
    delays_s: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # by reason, uniform between the two
    fatal: frozenset[str] = frozenset()  # reasons to give up for: `run` raises RefusedByVenueError


class BackOff(wait_base):
    """Full jitter with a cap, but the venue's own word first: `Retry-After`, then a delay agreed for the reason."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._jitter = wait_random_exponential(multiplier=options.backoff_s, max=options.backoff_cap_s)

    def __call__(self, retry_state: RetryCallState) -> float:
        """Seconds to wait before the next connection."""
        lost = retry_state.outcome.exception() if retry_state.outcome is not None else None
        if isinstance(lost, ConnectionLostError):
            if lost.was_healthy:
                retry_state.attempt_number = 1
            if lost.retry_after_s is not None:
                return lost.retry_after_s + random.uniform(0.0, self._options.backoff_s)
            if lost.reason in self._options.delays_s:
                return random.uniform(*self._options.delays_s[lost.reason])
        return self._jitter(retry_state)


class DropLog:
    """Logs each reason at once when it is new, then every ten seconds with a count."""

    INTERVAL_NS = 10 * NS_PER_S

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._logged_ns: dict[str, int] = {}
        self._unlogged: dict[str, tuple[int, str]] = {}

    def add(self, dropped: Drop, ts_ns: int) -> None:
        """One more."""
        reason = dropped.reason
        logged_ns = self._logged_ns.get(reason)
        if logged_ns is None:
            self._logged_ns[reason] = ts_ns
            log.warning("dropped", venue=self._venue, reason=reason, count=1, detail=dropped.detail)
        else:
            self._unlogged[reason] = (self._unlogged.get(reason, (0, ""))[0] + 1, dropped.detail)

    def flush(self, ts_ns: int) -> None:
        """Log the counts that are due."""
        for reason in tuple(self._unlogged):
            if ts_ns - self._logged_ns[reason] >= self.INTERVAL_NS:
                count, detail = self._unlogged.pop(reason)
                self._logged_ns[reason] = ts_ns
                log.warning("dropped", venue=self._venue, reason=reason, count=count, detail=detail)


class Outlet:
    """Carries out the acts that need no venue: publish, count, log, and judge freshness."""

    def __init__(self, venue: str, *, publisher: PublishPort, freshness: Freshness) -> None:
        self.venue = venue
        self.freshness = freshness
        self._publisher = publisher
        self._drops = DropLog(venue)
        self._measured_ns = 0
        self._least_delay_ns: int | None = None  # of the messages since it was measured last
        # What every venue may do one day is a zero from the start, so that its first time is an increase.
        FRAMES.labels(venue)
        DROPPED.labels(venue, "parser_failed")
        RECONNECTS.labels(venue, "connect_failed")

    def publish(self, message: AnyMessage, ts_ns: int) -> None:
        """A message made of venue data."""
        self._publisher.publish(message)
        if type(message) in _STAMPED_AT_ONCE:
            delay_ns = message.ts_recv_ns - message.ts_event_ns
            if self._least_delay_ns is None or delay_ns < self._least_delay_ns:
                self._least_delay_ns = delay_ns
        changes = self.freshness.on_message(message, ts_ns)
        if changes:
            self.report(changes)

    def report(self, statuses: Sequence[FeedStatus]) -> None:
        """The health of streams."""
        for status in statuses:
            self._publisher.publish(status)
            LIVE.labels(self.venue, status.channel, status.subject).set(status.state == "LIVE")

    def drop(self, dropped: Drop, ts_ns: int) -> None:
        """Something was refused."""
        DROPPED.labels(self.venue, dropped.reason).inc()
        self._drops.add(dropped, ts_ns)

    def judge(self, status: Status, ts_ns: int) -> None:
        """The protocol's word on one of its streams."""
        if status.state == "GAP":
            GAPS.labels(self.venue, status.channel, status.subject).inc()
        self.report(self.freshness.on_status(status, ts_ns))

    def on_timer(self, ts_ns: int) -> None:
        """Silence, the periodic report, the counts, the ages, the clock."""
        self.report(self.freshness.on_timer(ts_ns))
        self._drops.flush(ts_ns)
        if ts_ns - self._measured_ns < NS_PER_S:
            return
        self._measured_ns = ts_ns
        if self._least_delay_ns is not None:
            LEAST_DELAY.labels(self.venue).set(self._least_delay_ns / NS_PER_S)
            self._least_delay_ns = None
        for channel, subject in self.freshness.streams():
            STATE.labels(self.venue, channel, subject).set(STATE_NUMBERS[self.freshness.state((channel, subject))])
            GAPS.labels(self.venue, channel, subject)
            age_s = self.freshness.age_s((channel, subject), ts_ns)
            if age_s is not None:
                AGE.labels(self.venue, channel, subject).set(age_s)


def _nothing() -> None:
    """No callback."""


class Connection:
    """One protocol on one websocket, for as long as `run` runs.

    `on_epoch` is called when a connection replaces a lost one, before anything of it is published. `on_latency_s` gets
    the seconds from receipt to published.
    """

    def __init__(
        self,
        protocol: VenueProtocol,
        *,
        url: str,
        publisher: PublishPort,
        freshness: Freshness,
        session: aiohttp.ClientSession,
        options: ConnectionOptions | None = None,
        on_epoch: Callable[[], None] = _nothing,
        on_latency_s: Callable[[float], None] | None = None,
    ) -> None:
        self._protocol = protocol
        self._url = url
        self._session = session
        self._options = options or ConnectionOptions()
        self._outlet = Outlet(protocol.venue, publisher=publisher, freshness=freshness)
        self._freshness = freshness
        self._on_epoch = on_epoch
        self._on_latency_s = on_latency_s
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._sends: asyncio.Queue[str] = asyncio.Queue(self._options.sends_waiting)
        self._reconnect_reason: str | None = None
        self._connections = 0
        self._data_ns: int | None = None  # when this connection first yielded data
        self._fetch_slots = asyncio.Semaphore(self._options.fetches_at_once)
        self._tasks: set[asyncio.Future[object]] = set()

    async def run(self) -> None:
        """Serve until cancelled; raises RefusedByVenueError for a reason in `options.fatal`."""
        timer: asyncio.Future[object] = asyncio.ensure_future(self._run_timer())
        reconnecting = AsyncRetrying(
            retry=retry_if_exception_type(ConnectionLostError), wait=BackOff(self._options), before_sleep=self._on_lost
        )
        serving: asyncio.Future[object] = asyncio.ensure_future(reconnecting(self._serve_once))
        try:
            done, _ = await asyncio.wait((timer, serving), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            everything: tuple[asyncio.Future[object], ...] = (timer, serving, *self._tasks)
            for task in everything:
                task.cancel()
            await asyncio.wait(everything)

    def apply(self, acts: Sequence[Act], ts_ns: int) -> None:
        """Carry out what the protocol decided. For acts that do not come from the socket, such as of `on_oracle`."""
        outlet = self._outlet
        for act in acts:
            kind = type(act)
            if kind is Publish:
                outlet.publish(act.message, ts_ns)  # type: ignore[union-attr]
            elif isinstance(act, Drop):
                outlet.drop(act, ts_ns)
            elif isinstance(act, Status):
                outlet.judge(act, ts_ns)
            elif isinstance(act, Send):
                self._send(act, ts_ns)
            elif isinstance(act, Fetch):
                self._spawn(self._fetch(act))
            elif isinstance(act, Reconnect):
                self._interrupt(act.reason)

    def _on_lost(self, retry_state: RetryCallState) -> None:
        delay_s = retry_state.next_action.sleep if retry_state.next_action is not None else 0.0
        lost = retry_state.outcome.exception() if retry_state.outcome is not None else None
        log.warning(
            "reconnecting",
            venue=self._protocol.venue,
            reason=str(lost),
            attempt=retry_state.attempt_number,
            delay_s=round(float(delay_s), 3),
        )

    async def _serve_once(self) -> None:
        """One connection from beginning to end; always ends by raising."""
        try:
            lost = await self._converse(await self._connect())
        except ConnectionLostError as error:
            lost = error
            self._outlet.report(self._freshness.on_close(time.time_ns(), lost.reason))
        RECONNECTS.labels(self._protocol.venue, lost.reason).inc()
        if lost.reason in self._options.fatal:
            raise RefusedByVenueError(lost.reason)
        raise lost

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        options = self._options
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                return await self._session.ws_connect(
                    self._url,
                    max_msg_size=options.largest_frame_bytes,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
        except aiohttp.WSServerHandshakeError as error:
            after_s = retry_after_s(error.headers.get("Retry-After") if error.headers else None, time.time())
            if after_s is not None:
                after_s = min(after_s, options.retry_after_cap_s)
            raise ConnectionLostError(f"http_{error.status}", retry_after_s=after_s) from error
        except TimeoutError as error:
            raise ConnectionLostError("connect_timeout") from error
        except (aiohttp.ClientError, OSError) as error:
            log.info("cannot connect", venue=self._protocol.venue, url=self._url, error=str(error))
            raise ConnectionLostError("connect_failed") from error

    async def _converse(self, socket: aiohttp.ClientWebSocketResponse) -> ConnectionLostError:
        protocol = self._protocol
        opened_ns = time.time_ns()
        self._reconnect_reason = self._data_ns = None
        self._sends = asyncio.Queue(self._options.sends_waiting)
        self._socket = socket
        self._connections += 1
        if self._connections > 1:
            self._on_epoch()
        log.info("connected", venue=protocol.venue, url=self._url, connection=self._connections)
        sender = asyncio.create_task(self._run_sender(socket, self._sends))
        reason = "cancelled"
        try:
            self._outlet.report(self._freshness.on_open(opened_ns))
            self.apply(protocol.on_open(opened_ns), opened_ns)
            reason = await self._receive(socket)
        finally:
            self._socket = None
            sender.cancel()
            closed_ns = time.time_ns()
            self.apply(protocol.on_close(closed_ns), closed_ns)
            self._outlet.report(self._freshness.on_close(closed_ns, reason))
            await asyncio.gather(sender, return_exceptions=True)
            await socket.close()
        healthy_for_s = 0.0 if self._data_ns is None else (closed_ns - self._data_ns) / NS_PER_S
        return ConnectionLostError(reason, was_healthy=healthy_for_s >= self._options.healthy_after_s)

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """Take frames until the connection ends; returns why it did."""
        frames = FRAMES.labels(self._protocol.venue)
        taken = 0
        while True:
            received = await socket.receive()
            ts_recv_ns = time.time_ns()
            if received.type is aiohttp.WSMsgType.TEXT or received.type is aiohttp.WSMsgType.BINARY:
                frames.inc()
                self._take(received.data, ts_recv_ns)
                taken += 1
                if taken % 256 == 0:
                    await asyncio.sleep(0)  # a full queue never waits: let timers and sends have their turn
                if self._reconnect_reason is not None:
                    return self._reconnect_reason
            elif received.type is aiohttp.WSMsgType.CLOSE:
                return self._reconnect_reason or close_label(received.data)
            elif received.type in _ENDINGS:
                return self._reconnect_reason or close_label(socket.close_code)

    def _take(self, frame: str | bytes, ts_recv_ns: int) -> None:
        try:
            acts = self._protocol.on_frame(frame, ts_recv_ns)
        except Exception as error:  # whatever a venue sends, the feed lives: start over
            log.exception("parser failed", venue=self._protocol.venue, frame=str(frame[:500]))
            acts = (Drop("parser_failed", repr(error)), Reconnect("parser_failed"))
        if not acts:
            return
        self.apply(acts, ts_recv_ns)
        if any(type(act) is Publish for act in acts):
            if self._data_ns is None:
                self._data_ns = ts_recv_ns
            if self._on_latency_s is not None:
                self._on_latency_s((time.time_ns() - ts_recv_ns) / 1e9)

    def _interrupt(self, reason: str) -> None:
        """End the present connection; without one there is nothing to end."""
        socket = self._socket
        if socket is None or self._reconnect_reason is not None:
            return
        self._reconnect_reason = reason
        self._spawn(_close(socket))

    def _send(self, send: Send, ts_ns: int) -> None:
        if self._socket is None:
            self._outlet.drop(Drop("send_while_closed", send.text[:60]), ts_ns)
            return
        try:
            self._sends.put_nowait(send.text)
        except asyncio.QueueFull:
            self._interrupt("send_queue_full")

    async def _run_sender(self, socket: aiohttp.ClientWebSocketResponse, sends: asyncio.Queue[str]) -> None:
        while True:
            text = await sends.get()
            try:
                await socket.send_str(text)
            except (aiohttp.ClientError, OSError):
                self._interrupt("send_failed")
                return
            await asyncio.sleep(self._options.send_spacing_s)

    async def _run_timer(self) -> None:
        while True:
            await asyncio.sleep(self._options.timer_s)
            ts_ns = time.time_ns()
            self.apply(self._protocol.on_timer(ts_ns), ts_ns)
            self._outlet.on_timer(ts_ns)
            reason = self._freshness.overdue(ts_ns)
            if reason is not None:
                self._interrupt(reason)

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        task: asyncio.Future[object] = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, fetch: Fetch) -> None:
        status, body = 0, b""
        async with self._fetch_slots:
            try:
                async with asyncio.timeout(self._options.fetch_timeout_s), self._session.get(fetch.url) as response:
                    body = await _body_of(response, self._options.largest_answer_bytes)
                    status = response.status
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                status, body = 0, b""
                log.info("no answer", venue=self._protocol.venue, url=fetch.url, error=repr(error))
        ts_recv_ns = time.time_ns()
        try:
            acts = self._protocol.on_response(fetch.request, status, body, ts_recv_ns)
        except Exception as error:  # whatever a venue answers, the feed lives
            log.exception("parser failed", venue=self._protocol.venue, request=fetch.request)
            acts = (Drop("parser_failed", repr(error)),)
        self.apply(acts, ts_recv_ns)


async def _body_of(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise ValueError(f"answer of more than {limit} bytes")
    return bytes(body)


async def _close(socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.close()


def close_label(code: object) -> str:
    """A close code as a metric label; 1006 when there was none."""
    return f"close_{code}" if isinstance(code, int) and 1000 <= code < 5000 else "close_1006"


def retry_after_s(text: str | None, now_s: float) -> float | None:
    """Seconds in a `Retry-After` header, which is a number or an HTTP date; None when it is neither."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text[:10])
    try:
        return max(parsedate_to_datetime(text).timestamp() - now_s, 0.0)
    except (ValueError, TypeError, OverflowError):
        return None

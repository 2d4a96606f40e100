"""What every process does around its core: settings, logs, metrics, heartbeat, clean stop.

A service's `__main__.py` is settings, core, `run`. Exit codes: 0 stopped cleanly; 2 the configuration is wrong (a
supervisor must not restart); anything else, a crash or a hang (restart with back-off).
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Self, TypeVar
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from prometheus_client import REGISTRY, Gauge, Histogram, make_wsgi_app, start_http_server
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from pydantic import ValidationError

from shared.bus import BusTimeoutError, Endpoints, Publisher, Subscriber, check_server, close_everything
from shared.core import Core, Delivery, Event, Timer
from shared.health import Health, Verdict
from shared.lossy_io import LossyText
from shared.messages import AnyMessage, Heartbeat, QuoteSet
from shared.settings import ServiceSettings, StrictSettings
from shared.watchdog import watchdog
from shared.wiring import PART, subscriptions

EXIT_CONFIGURATION = 2
JOIN_TIMEOUT_S = 30.0
BROKER_TRY_S = 0.5
HEARTBEAT_S = 1.0
BOUND = ("broker", "hedger")  # the parts that others connect to
GC_THRESHOLDS = (50_000, 20, 20)
LATENCY_BUCKETS = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5)

LATENCY = Histogram(
    "tick_to_quote_seconds",
    "Age of a tick at each stage on its way to a quote: feed (venue frame to bus), bus (publish to receipt), "
    "compute (one core update), total (venue frame to quote set).",
    ["stage"],
    buckets=LATENCY_BUCKETS,
)
_UP = Gauge("service_start_time_seconds", "When this process began to serve (Unix time).", ["part", "name"])


def configure_logging(level: str) -> None:
    """One JSON object a line on standard error: time, level, event, and the fields by name."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=LossyText(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )


class BusCollector(Collector):
    """The bus counters, read when Prometheus asks, so that counting costs the hot path nothing."""

    def __init__(self, publisher: Publisher, subscriber: Subscriber | None) -> None:
        self._publisher = publisher
        self._subscriber = subscriber

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The counter families."""
        sent = dict(self._publisher.sent)
        never = dict.fromkeys(sent, 0)  # what did not happen yet is a zero, so that its first time is an increase
        yield _family("bus_published_messages", "Messages published.", "message", sent)
        yield _family(
            "bus_dropped_messages", "Dropped at the high-water mark.", "message", never | self._publisher.dropped
        )
        yield _family(
            "bus_unpublishable_messages", "Refused for NaN or infinity.", "message", never | self._publisher.refused
        )
        if self._subscriber is None:
            return
        received = dict(self._subscriber.received)
        never = dict.fromkeys(received, 0)
        yield _family("bus_received_messages", "Messages received.", "message", received)
        yield _family("bus_lost_messages", "Missing from the sequence.", "message", never | self._subscriber.lost)
        yield _family(
            "bus_superseded_messages",
            "Snapshots skipped for a newer one at hand.",
            "message",
            never | self._subscriber.superseded,
        )
        yield _family("bus_refused_messages", "Messages refused by the codec.", "reason", self._subscriber.refused)
        duplicates = CounterMetricFamily("bus_duplicate_messages", "Messages that came again, or too late.")
        duplicates.add_metric([], self._subscriber.duplicates)
        yield duplicates


def _family(name: str, text: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, count in tuple(counts.items()):
        family.add_metric([key], count)
    return family


def _with_health(metrics: WSGIApplication, judge: Callable[[], Verdict]) -> WSGIApplication:
    """The metrics endpoint, with `/health` beside it: 200 or 503, and a sentence."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/health":
            return metrics(environ, start_response)
        verdict = judge()
        status = "200 OK" if verdict.is_healthy else "503 Service Unavailable"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{verdict.sentence}\n".encode()]

    return answer


class Runtime:
    """A running process: its settings, log, publisher, metrics port, heartbeat, and whether to stop.

    Use as a context manager. `stopping` turns true on SIGTERM, SIGINT, or when the supervisor is gone.
    """

    def __init__(self, service: str, settings: ServiceSettings, *, prefixes: Iterable[str] | None = None) -> None:
        self.service = service
        self.settings = settings
        self.instance = settings.instance or f"{service}-{socket.gethostname()}-{os.getpid()}"
        self.series = settings.series()
        self.stopping = False
        self._stop_reason = ""
        self.counters: dict[str, float] = {}
        self.on_stop: list[Callable[[], None]] = []
        endpoints = open_bus(settings, serves=service in BOUND)
        configure_logging(settings.log_level)
        structlog.contextvars.bind_contextvars(service=service, instance=self.instance)
        self.log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
        self.endpoints = endpoints
        wanted = subscriptions(PART[service], self.series) if prefixes is None else tuple(prefixes)
        self.publisher = Publisher(endpoints, instance=self.instance)
        self.subscriber = Subscriber(endpoints, wanted, latest_only=PART[service].latest_only) if wanted else None
        self.started_ns = time.time_ns()
        self._next_beat = 0.0
        self._health = Health(PART[service])
        self.metrics_port = self._serve_metrics()

    def _serve_metrics(self) -> int:
        REGISTRY.register(BusCollector(self.publisher, self.subscriber))
        host, port = self.settings.metrics_host, self.settings.metrics_port
        try:
            server, _ = start_http_server(port, addr=host)
        except OSError as error:
            self.log.warning("metrics port taken, using a free one", port=port, error=str(error))
            server, _ = start_http_server(0, addr=host)
        server.set_app(_with_health(make_wsgi_app(), self._judge_health))
        _UP.labels(self.service, self.instance).set(self.started_ns / 1e9)
        return int(server.server_port)

    def _judge_health(self) -> Verdict:
        samples = [sample for family in REGISTRY.collect() for sample in family.samples]
        owned = next((each.value for each in samples if each.name == "analyzer_owned_markets"), None)
        live = [each for each in samples if each.name == "feed_live"]
        streams = {f"{each.labels['channel']} {each.labels['subject']}": each.value == 1.0 for each in live}
        return self._health.judge(now_s=time.monotonic(), owned_markets=owned, streams=streams)

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.log.info("started", pid=os.getpid(), metrics_port=self.metrics_port, bus=self.settings.bus)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.log.error("crashed", error=repr(error), exc_info=(kind, error, trace))
        else:
            self.log.info("stopped", reason=self._stop_reason)
        watchdog.rest()
        if self._next_beat > 0.0:
            self._publish_heartbeat(())  # nobody need wait for our silence
        self.publisher.close()
        if self.subscriber is not None:
            self.subscriber.close()
        close_everything()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.stop(signal.Signals(number).name)

    def stop(self, reason: str) -> None:
        """Ask the loop to end. Safe in a signal handler: it must not log, for the log may be what was interrupted."""
        if not self.stopping:
            self.stopping = True
            self._stop_reason = reason
            for each in self.on_stop:
                each()

    def wait_for_broker(self) -> None:
        """Wait until the broker takes what is published; raises BusTimeoutError, also when the supervisor is gone."""
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        while True:
            try:
                return self.publisher.wait_until_connected(BROKER_TRY_S)
            except BusTimeoutError:
                self._check_supervisor()
                if self.stopping or time.monotonic() >= deadline:
                    raise

    def _check_supervisor(self) -> None:
        supervisor = self.settings.supervisor_pid
        if supervisor and os.getppid() != supervisor:
            self.stop("supervisor is gone")

    def beat(self) -> None:
        """Publish a heartbeat when one is due; stop when the supervisor is gone. Call it often.

        Without the next call within `hung_s` of the settings the process ends (`watchdog`).
        """
        now = time.monotonic()
        if now < self._next_beat:
            return
        if self.settings.hung_s > 0.0:
            watchdog.expect(self.settings.hung_s)
        self._next_beat = now + HEARTBEAT_S
        self._check_supervisor()
        self.publisher.drain_subscriptions()
        self._health.note(self._health_counts(), now_s=now)
        self._publish_heartbeat(tuple(each.name for each in self.series))

    def _publish_heartbeat(self, markets: tuple[str, ...]) -> None:
        now_ns = time.time_ns()
        self.publisher.publish(
            Heartbeat(
                ts_event_ns=now_ns,
                ts_recv_ns=now_ns,
                service=self.service,
                instance=self.instance,
                pid=os.getpid(),
                metrics_port=self.metrics_port,
                markets=markets,
                started_ns=self.started_ns,
                resident_bytes=_resident_bytes(),
                counters=self._bus_counters() | self.counters,
            )
        )

    def _health_counts(self) -> dict[str, float]:
        counts = {f"published {name}": float(count) for name, count in self.publisher.sent.items()}
        if self.subscriber is not None:
            counts |= {f"received {name}": float(count) for name, count in self.subscriber.received.items()}
        return counts | self.counters

    def _bus_counters(self) -> dict[str, float]:
        counters: dict[str, float] = {
            "published": self.publisher.sent.total(),
            "dropped": self.publisher.dropped.total(),
        }
        if self.subscriber is not None:
            counters |= {
                "received": self.subscriber.received.total(),
                "superseded": self.subscriber.superseded.total(),
                "lost": self.subscriber.lost.total(),
                "refused": self.subscriber.refused.total(),
            }
        return counters


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


Settings = TypeVar("Settings", bound=StrictSettings)
AnyCore = TypeVar("AnyCore", bound=Core)


def load_settings(kind: type[Settings]) -> Settings:
    """Settings from the environment; on a mistake says which variable and why, and exits with 2."""
    try:
        return kind()
    except ValidationError as error:
        for each in error.errors():
            name = ".".join(str(part) for part in each["loc"]) or kind.__name__
            print(f"configuration: {name}: {each['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION) from None


def open_bus(settings: ServiceSettings, bus: str = "", *, serves: bool = False) -> Endpoints:
    """The addresses and keys of the bus; on a mistake says what and how to mend it, and exits with 2.

    `serves`: others connect to this process.
    """
    try:
        endpoints = settings.endpoints(bus)
        if serves:
            check_server(endpoints.publish)
    except ValueError as error:
        print(f"configuration: {error}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION) from None
    return endpoints


def run(
    service: str,
    make_core: Callable[[Runtime], AnyCore],
    *,
    timer_s: float = 0.1,
    each_turn: Callable[[AnyCore], None] | None = None,
    on_published: Callable[[AnyMessage], None] | None = None,
    last_words: Callable[[AnyCore], Sequence[AnyMessage]] | None = None,
) -> None:
    """Run a pure core as a process: join the bus, feed it events and timers, publish what it returns.

    `each_turn` is called once a loop, for what a service does beside its core (answering requests, writing files);
    `on_published` after each message that left, for metrics; `last_words` once, at a clean stop, are published last.
    """
    settings = load_settings(ServiceSettings)
    with Runtime(service, settings) as runtime:
        core = make_core(runtime)
        subscriber = runtime.subscriber
        if subscriber is None:
            raise ValueError(f"{service} subscribes to nothing: it is not a core")
        try:
            events: Sequence[Event] = _join(runtime, subscriber)
            _serve(runtime, core, subscriber, events, timer_s, each_turn, on_published)
            for message in () if last_words is None else last_words(core):
                runtime.publisher.publish(message)
        except BusTimeoutError as error:
            if runtime.stopping:
                return
            runtime.log.error("no bus", error=str(error))
            raise SystemExit(1) from error


def _join(runtime: Runtime, subscriber: Subscriber) -> Sequence[Event]:
    runtime.wait_for_broker()
    runtime.beat()  # whoever joins after this hears of us at once
    events = subscriber.join(JOIN_TIMEOUT_S)
    runtime.log.info("joined the bus", last_values=len(events))
    return events


def _serve(
    runtime: Runtime,
    core: AnyCore,
    subscriber: Subscriber,
    events: Sequence[Event],
    timer_s: float,
    each_turn: Callable[[AnyCore], None] | None,
    on_published: Callable[[AnyMessage], None] | None,
) -> None:
    # What was loaded at the start is no garbage, and what a core makes for an event is freed by its last reference: the
    # collector, which stops the way to a quote, need not look at the first and seldom at the second.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    publish = runtime.publisher.publish
    bus_stage = LATENCY.labels("bus").observe
    compute_stage = LATENCY.labels("compute").observe
    total_stage = LATENCY.labels("total").observe
    next_timer = time.monotonic()
    while not runtime.stopping:
        for event in events:
            begin_ns = time.time_ns()
            produced: Sequence[AnyMessage] = core.update(event)
            if not produced:
                continue
            end_ns = time.time_ns()
            for message in produced:
                publish(message)
                if on_published is not None:
                    on_published(message)
                if type(message) is QuoteSet and isinstance(event, Delivery) and message.trigger == event.topic:
                    bus_stage(max(begin_ns - event.ts_pub_ns, 0) / 1e9)
                    compute_stage((end_ns - begin_ns) / 1e9)
                    total_stage(max(end_ns - message.trigger_recv_ns, 0) / 1e9)
        now = time.monotonic()
        if now >= next_timer:
            next_timer = now + timer_s
            for message in core.update(Timer(time.time_ns())):
                publish(message)
                if on_published is not None:
                    on_published(message)
        if each_turn is not None:
            each_turn(core)
        runtime.beat()
        events = subscriber.receive(max(int((next_timer - time.monotonic()) * 1000), 0))

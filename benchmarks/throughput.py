"""Sustained ticks a second through feed, broker, analyzers and quoter, with not one lost; beside raw ZeroMQ.

The raw side has the same shape: one publisher, a forwarder, as many receivers as there are readers of spot ticks, each
of which only counts. Both sides run in the same run, one after the other, with the same number of ticks.
"""

from __future__ import annotations

import json
import tempfile
import time

import zmq

from benchmarks import scene
from benchmarks.processes import started
from benchmarks.report import Row
from services.feeds.bybit import BybitProtocol
from services.feeds.protocol import Publish
from shared.bus import HIGH_WATER_MARK, Endpoints, Publisher, Subscriber
from shared.codec import encode
from shared.core import Delivery
from shared.messages import Envelope, Heartbeat, SpotQuote
from tests.builders import build

READERS = ("lead_lag", "regime", "volatility", "flow", "quoter")
IN_FLIGHT = HIGH_WATER_MARK // 4  # ticks sent ahead of the slowest reader


def measure(ticks: int = 60_000) -> list[Row]:
    """Run both."""
    with tempfile.TemporaryDirectory(prefix="mm") as folder:
        ours, lost = _through_the_system(f"ipc://{folder}/b", ticks)
        raw = _through_raw_zeromq(f"{folder}/raw", ticks)
    ratio = ours / raw
    return [
        Row(
            f"ticks a second, parsed, through {len(READERS)} readers",
            f"{ours:,.0f} /s",
            f"{raw:,.0f} /s raw ZeroMQ, {len(READERS)} counters",
            f"{ratio:.2f}",
            "at least half of raw",
            ratio >= 0.5,
        ),
        Row("messages lost on the way", f"{lost}", target="none", met=lost == 0),
    ]


def _through_the_system(bus: str, ticks: int) -> tuple[float, int]:
    analyzers = [["services.analyzers", kind] for kind in READERS[:-1]]
    with started([["services.broker"], ["services.quoter"], *analyzers], {"MM_BUS": bus}):
        endpoints = Endpoints.of(bus)
        publisher = Publisher(endpoints, instance="bench-1")
        publisher.wait_until_connected(30)
        progress = _Progress(endpoints)
        progress.wait_for_all()
        for message in scene.standing(time.time_ns()):
            publisher.publish(message)
        protocol = BybitProtocol(["BTC"])
        protocol.on_open(time.time_ns())
        base = progress.settle()
        begin = time.perf_counter()
        for number in range(1, ticks + 1):
            now_ns = time.time_ns()
            frame = scene.bybit_frame(now_ns, scene.SPOT_USD * (1 + 1e-6 * (number % 7)), number)
            for act in protocol.on_frame(frame, now_ns):
                if isinstance(act, Publish):
                    publisher.publish(act.message)
            if number % 500 == 0:
                progress.keep_up(base, number - IN_FLIGHT)
        progress.keep_up(base, ticks)
        took = time.perf_counter() - begin
        return ticks / took, progress.lost() + int(publisher.dropped.total())


class _Progress:
    """How far each reader is, from its heartbeats."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._subscriber = Subscriber(endpoints, [f"Heartbeat.{reader}." for reader in READERS])
        self._subscriber.join(30)
        self._counters: dict[str, dict[str, float]] = {}

    def _listen(self, timeout_ms: int) -> None:
        for event in self._subscriber.receive(timeout_ms):
            if isinstance(event, Delivery) and isinstance(event.message, Heartbeat):
                self._counters[event.message.service] = event.message.counters

    def wait_for_all(self) -> None:
        while len(self._counters) < len(READERS):
            self._listen(1000)

    def settle(self) -> dict[str, float]:
        """Received counts after two more heartbeats of everybody: the scene has been taken in by then."""
        for _ in range(2):
            self._counters.clear()
            self.wait_for_all()
        return self._received()

    def _received(self) -> dict[str, float]:
        return {reader: counters["received"] for reader, counters in self._counters.items()}

    def keep_up(self, base: dict[str, float], ticks: int) -> None:
        """Wait until every reader has taken this many ticks."""
        while any(received - base[reader] < ticks for reader, received in self._received().items()):
            self._listen(1000)

    def lost(self) -> int:
        return int(sum(counters["lost"] + counters["dropped"] for counters in self._counters.values()))


def _through_raw_zeromq(path: str, ticks: int) -> float:
    counters = [["benchmarks.raw", "count", path, str(number)] for number in range(len(READERS))]
    with started([["benchmarks.raw", "broker", path], *counters]):
        context = zmq.Context.instance()
        source, target = context.socket(zmq.SUB), context.socket(zmq.PUB)
        target.set(zmq.SNDHWM, 0)
        source.connect(f"ipc://{path}.out")
        target.connect(f"ipc://{path}.in")
        source.subscribe(b"done")
        tick = b"tick" + encode(Envelope(1, "bybit-1", 1, 1, 1, build(SpotQuote)))
        ready: set[bytes] = set()
        while len(ready) < len(READERS):
            target.send(tick + b"end")
            while source.poll(100):
                ready.add(source.recv().split()[1])
        while source.poll(300):
            source.recv()
        begin = time.perf_counter()
        for _ in range(ticks - 1):
            target.send(tick)
        target.send(tick + b"end")
        counts = [int(source.recv().split()[2]) for _ in READERS]
        took = time.perf_counter() - begin
        if counts != [ticks] * len(READERS):
            raise RuntimeError(f"raw ZeroMQ lost ticks: {json.dumps(counts)}")
        return ticks / took

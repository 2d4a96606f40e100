"""Sustained ticks a second through feed, broker, analyzers and quoter, with not one lost; beside raw ZeroMQ.

The raw side has the same shape: one publisher, a forwarder, as many receivers as there are readers of spot ticks, each
of which only counts. Both sides run in the same run, one after the other, with the same number of ticks.
"""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request

import zmq

from benchmarks import scene
from benchmarks.processes import started
from benchmarks.report import Row
from services.feeds.bybit import BybitProtocol
from services.feeds.protocol import Publish
from shared.bus import HIGH_WATER_MARK, Endpoints, Publisher, Subscriber
from shared.codec import encode
from shared.core import Delivery
from shared.messages import SCHEMA_VERSION, Envelope, Heartbeat, SpotQuote
from tests.builders import build

READERS = ("lead_lag", "regime", "volatility", "flow", "quoter")
CHECK_EVERY = HIGH_WATER_MARK // 4
IN_FLIGHT = HIGH_WATER_MARK // 2  # ticks sent ahead of the slowest reader


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
        for message in scene.standing(time.time_ns()):
            publisher.publish(message)
        protocol = BybitProtocol(["BTC"])
        protocol.on_open(time.time_ns())
        base = progress.settle()
        prices = [scene.SPOT_USD * (1 + 1e-6 * step) for step in range(7)]
        frames = [scene.bybit_frame(time.time_ns(), prices[number % 7], number) for number in range(1, ticks + 1)]
        begin = time.perf_counter()
        for number, frame in enumerate(frames, 1):
            now_ns = time.time_ns()
            for act in protocol.on_frame(frame, now_ns):
                if isinstance(act, Publish):
                    publisher.publish(act.message)
            if number % CHECK_EVERY == 0:
                progress.keep_up(base, number - IN_FLIGHT)
        progress.keep_up(base, ticks)
        took = time.perf_counter() - begin
        return ticks / took, progress.lost() + int(publisher.dropped.total())


class _Progress:
    """How far each reader is, asked of its metrics: heartbeats are too far apart to pace a run by."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._ports: dict[str, int] = {}
        subscriber = Subscriber(endpoints, [f"Heartbeat.{reader}." for reader in READERS])
        events = subscriber.join(30)
        while len(self._ports) < len(READERS):
            for event in events:
                if isinstance(event, Delivery) and isinstance(event.message, Heartbeat):
                    self._ports[event.message.service] = event.message.metrics_port
            events = subscriber.receive(1000)
        subscriber.close()
        self._done = dict.fromkeys(READERS, 0.0)

    def _count(self, reader: str, *names: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[reader]}/metrics") as answer:
            page = answer.read().decode()
        return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(names))

    def taken(self, reader: str) -> float:
        """Spot quotes this reader has taken in, or skipped for a newer one it had."""
        labels = '{message="SpotQuote"}'
        return self._count(reader, f"bus_received_messages_total{labels}", f"bus_superseded_messages_total{labels}")

    def settle(self) -> dict[str, float]:
        """What they have taken once the scene stands."""
        before: dict[str, float] = {}
        while (now := {reader: self.taken(reader) for reader in READERS}) != before or 0.0 in now.values():
            before = now
            time.sleep(0.2)
        return before

    def keep_up(self, base: dict[str, float], ticks: int) -> None:
        """Wait until every reader has taken this many ticks."""
        for reader in READERS:
            while self._done[reader] < ticks:
                self._done[reader] = self.taken(reader) - base[reader]

    def lost(self) -> int:
        """Messages missing from anybody's sequence, or dropped by a publisher."""
        return int(
            sum(self._count(reader, "bus_lost_messages_total", "bus_dropped_messages_total") for reader in READERS)
        )


def _through_raw_zeromq(path: str, ticks: int) -> float:
    counters = [["benchmarks.raw", "count", path, str(number)] for number in range(len(READERS))]
    with started([["benchmarks.raw", "broker", path], *counters]):
        context = zmq.Context.instance()
        source, target = context.socket(zmq.SUB), context.socket(zmq.PUB)
        target.set(zmq.SNDHWM, 0)
        source.connect(f"ipc://{path}.out")
        target.connect(f"ipc://{path}.in")
        source.subscribe(b"done")
        tick = b"tick" + encode(Envelope(SCHEMA_VERSION, "bybit-1", 1, 1, 1, build(SpotQuote)))
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

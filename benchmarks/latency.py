"""Tick-to-quote: from the feed's receipt of a frame to the quote set's arrival at a subscriber.

Beside it, in the same run, fifty ticks each by turns: a tick of the same size relayed to a process that answers at once
with a message of the quote set's size, over the same number of hops (feed, broker, quoter, broker, subscriber).
"""

from __future__ import annotations

import tempfile
import time

import numpy as np
import zmq

from benchmarks import scene
from benchmarks.processes import started
from benchmarks.report import Row
from services.feeds.bybit import BybitProtocol
from services.feeds.protocol import Publish
from shared.bus import Endpoints, Publisher
from shared.codec import decode, encode
from shared.market import NS_PER_S
from shared.messages import SCHEMA_VERSION, Envelope, QuoteSet, SpotQuote
from tests.builders import build

REFRESH_NS = 400_000_000
MOVE_BPS = 1.5
BLOCK = 50  # ticks before the other side's turn


def measure(ticks: int = 3000) -> list[Row]:
    """Run both systems side by side."""
    with tempfile.TemporaryDirectory(prefix="mm") as folder:
        bus = f"ipc://{folder}/b"
        with started([["services.broker"], ["services.quoter"]], {"MM_BUS": bus}):
            quotes, size = _quotes(bus, ticks // 10)
            raw = f"{folder}/raw"
            with started([["benchmarks.raw", "broker", raw], ["benchmarks.raw", "echo", raw, str(size)]]):
                ours, floor = _by_turns(quotes, _Floor(raw), ticks)
    rows = []
    for name, share in (("p50", 50), ("p99", 99)):
        mine, least = np.percentile(ours, share) / 1e3, np.percentile(floor, share) / 1e3
        target = "p50 at most 1.5 x floor" if name == "p50" else ""
        rows.append(
            Row(
                f"tick to quote, {name}",
                f"{mine:.0f} µs",
                f"{least:.0f} µs raw ZeroMQ, {size} bytes back",
                f"{mine / least:.2f}",
                target,
                bool(mine <= 1.5 * least) if target else None,
            )
        )
    return rows


class _Quotes:
    """The feed and the subscriber around the real broker and quoter."""

    def __init__(self, bus: str) -> None:
        endpoints = Endpoints.of(bus)
        self.publisher = Publisher(endpoints, instance="bench-1")
        self.publisher.wait_until_connected(30)
        self._ear = zmq.Context.instance().socket(zmq.SUB)
        self._ear.connect(endpoints.subscribe)
        self._ear.subscribe(b"QuoteSet.btc-15m\0")
        self.protocol = BybitProtocol(["BTC"])
        self.protocol.on_open(time.time_ns())
        self.update = 0
        self.refreshed_ns = 0
        self.start_s = time.time_ns() // NS_PER_S - scene.ELAPSED_S
        self.last: QuoteSet | None = None

    def refresh(self) -> None:
        """Keep everything but the tick fresh."""
        now_ns = time.time_ns()
        if now_ns - self.refreshed_ns < REFRESH_NS:
            return
        self.refreshed_ns = now_ns
        for message in scene.standing(now_ns, self.start_s):
            if not (isinstance(message, SpotQuote) and message.venue == "bybit"):
                self.publisher.publish(message)

    def tick(self) -> int | None:
        """One frame in; nanoseconds until its quote set is here, None when it changed no quote."""
        self.update += 1
        price = scene.SPOT_USD * (1 + MOVE_BPS * 1e-4 * (1 if self.update % 2 else -1))
        frame = scene.bybit_frame(time.time_ns(), price, self.update)
        begin_ns = time.time_ns()
        for act in self.protocol.on_frame(frame, begin_ns):
            if isinstance(act, Publish):
                self.publisher.publish(act.message)
        while self._ear.poll(50):
            frame = self._ear.recv()
            arrived_ns = time.time_ns()
            quotes = decode(frame.partition(b"\0")[2]).body
            if isinstance(quotes, QuoteSet):
                self.last = quotes
                if quotes.trigger_recv_ns == begin_ns:
                    return arrived_ns - begin_ns
        return None


def _quotes(bus: str, warm_ticks: int) -> tuple[_Quotes, int]:
    quotes = _Quotes(bus)
    for _ in range(warm_ticks):
        quotes.refresh()
        quotes.tick()
    last = quotes.last
    if last is None or not last.call:
        raise RuntimeError(f"no quote stands in the benchmark's scene: {last and last.reasons}")
    return quotes, len(encode(Envelope(SCHEMA_VERSION, "quoter-1", 1, 1, 1, last)))


class _Floor:
    """The same hops with processes that do nothing."""

    def __init__(self, raw: str) -> None:
        context = zmq.Context.instance()
        self.source, self.target = context.socket(zmq.SUB), context.socket(zmq.XPUB)
        self.source.connect(f"ipc://{raw}.out")
        self.target.connect(f"ipc://{raw}.in")
        self.source.subscribe(b"echo")
        self.tick_bytes = b"tick" + encode(Envelope(SCHEMA_VERSION, "bybit-1", 1, 1, 1, build(SpotQuote)))
        self.target.poll()  # the echo process subscribes: the path is open one way
        while not self.source.poll(100):
            self.target.send(self.tick_bytes)
        while self.source.poll(100):
            self.source.recv()

    def tick(self) -> int:
        """Nanoseconds of one round."""
        begin_ns = time.time_ns()
        self.target.send(self.tick_bytes)
        self.source.poll()
        self.source.recv()
        return time.time_ns() - begin_ns


def _by_turns(quotes: _Quotes, floor: _Floor, ticks: int) -> tuple[list[int], list[int]]:
    ours: list[int] = []
    least: list[int] = []
    for _ in range(ticks // BLOCK):
        for _ in range(BLOCK):
            quotes.refresh()
            took = quotes.tick()
            if took is not None:
                ours.append(took)
        least.extend(floor.tick() for _ in range(BLOCK))
    if len(ours) < ticks // 2:
        raise RuntimeError(f"only {len(ours)} of {ticks} ticks changed a quote: {quotes.last and quotes.last.reasons}")
    return ours, least

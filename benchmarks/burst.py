"""A market open: 700 frames a second of the market channel for 30 s, through the real feed, broker and quoter.

The simulated venue sends the burst at the start of a short period. The age of each book when it reaches a subscriber
(received there, less when the feed took it off the socket) is watched from before the burst to its end: when no queue
grows, the books of its last seconds are no older than those of its first.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.processes import ROOT
from benchmarks.report import Row
from shared.bus import Endpoints, Subscriber
from shared.core import Delivery, Gap
from shared.messages import OutcomeBook, QuoteSet

FRAMES_PER_S = 700
BURST_S = 30
SERIES = "btc-90s"
GROWTH_TARGET = 2.0  # p50 of the last third of the burst against the first third


def measure() -> list[Row]:
    """Run the bot through one market open."""
    with tempfile.TemporaryDirectory(prefix="mm") as folder:
        out = Path(folder) / "out"
        variables = {"MM_SIM_BURST_PER_S": str(FRAMES_PER_S), "MM_SIM_BURST_S": str(BURST_S)}
        bot = subprocess.Popen(
            [sys.executable, "mm_bot.py", "--out", str(out), "--markets", SERIES],
            cwd=ROOT,
            env=os.environ | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            books, quotes, lost, start_s = _watch(_bus_of(out))
        finally:
            bot.send_signal(signal.SIGINT)
            bot.wait(30)
    in_burst = [(at, age) for at, age in books if start_s <= at < start_s + BURST_S]
    first = [age for at, age in in_burst if at < start_s + BURST_S / 3]
    last = [age for at, age in in_burst if at >= start_s + BURST_S * 2 / 3]
    growth = float(np.median(last) / np.median(first))
    return [
        Row(
            f"age of books at a subscriber, {len(in_burst) / BURST_S:.0f} a second for {BURST_S} s",
            f"p50 {np.median(last) * 1e3:.1f} ms in the last third",
            f"p50 {np.median(first) * 1e3:.1f} ms in the first third",
            f"{growth:.2f}",
            f"no queue grows: at most {GROWTH_TARGET:.0f} x",
            growth <= GROWTH_TARGET,
        ),
        Row(
            "tick to quote set during the burst",
            f"p50 {np.median(quotes) * 1e3:.1f} ms, p99 {np.percentile(quotes, 99) * 1e3:.1f} ms",
        ),
        Row("messages lost", str(lost), target="none", met=lost == 0),
    ]


def _bus_of(out: Path) -> str:
    log = out / "logs" / "quoter.log"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines() if log.exists() else ():
            if '"bus"' in line:
                return str(json.loads(line)["bus"])
        time.sleep(0.05)
    raise RuntimeError("the bot did not start")


def _watch(bus: str) -> tuple[list[tuple[float, float]], list[float], int, float]:
    """Books and quotes until the first whole burst is over."""
    series_s = int(SERIES.split("-")[1].rstrip("s"))
    subscriber = Subscriber(Endpoints.of(bus), [f"OutcomeBook.{SERIES}.", f"QuoteSet.{SERIES}\0"])
    subscriber.join(30)
    now_s = time.time()
    start_s = now_s - now_s % series_s + series_s
    if start_s < now_s + 10:
        start_s += series_s
    books: list[tuple[float, float]] = []
    quotes: list[float] = []
    lost = 0
    while time.time() < start_s + BURST_S + 1:
        for event in subscriber.receive(100):
            now_ns = time.time_ns()
            if isinstance(event, Gap):
                lost += event.lost
            elif isinstance(event, Delivery) and isinstance(event.message, OutcomeBook):
                books.append((now_ns / 1e9, (now_ns - event.message.ts_recv_ns) / 1e9))
            elif isinstance(event, Delivery) and isinstance(event.message, QuoteSet) and now_ns / 1e9 >= start_s:
                quotes.append((now_ns - event.message.trigger_recv_ns) / 1e9)
    subscriber.close()
    return books, quotes, lost, start_s

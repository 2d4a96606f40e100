"""The real bot, as processes on the simulated venues: what kills a part, pulls the quotes, and they return.

Time here is real, so one bot plays the whole story, in a long period that has just begun. Rollovers are watched in
virtual time (`test_rollover.py`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from watchfiles import watch

from shared.market import Series
from tests.processes import ROOT

QUOTES, STATUS = "mm_quotes.json", "mm_status.json"
LEASE_S = 1.5
PATIENCE_S = 90.0  # for one state of a file on a busy machine


class Bot:
    """A running bot and its output folder."""

    def __init__(self, out: Path, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.out = out
        self.log = log
        self.process = process

    def read(self, name: str) -> dict[str, Any]:
        """A file of the folder; empty while it is not there."""
        try:
            content: dict[str, Any] = json.loads((self.out / name).read_bytes())
        except FileNotFoundError:
            return {}
        return content

    def wait(self, condition: Callable[[dict[str, Any]], bool], name: str = QUOTES) -> dict[str, Any]:
        """The content of a file as soon as it meets the condition."""
        end_s = time.monotonic() + PATIENCE_S
        for _ in watch(self.out, step=10, debounce=20, rust_timeout=100, yield_on_timeout=True, recursive=False):
            content = self.read(name)
            if content and condition(content):
                return content
            assert self.process.poll() is None, self.log.read_text()[-2_000:]
            assert time.monotonic() < end_s, f"{name} stayed {content}\n{self.log.read_text()[-2_000:]}"
        raise AssertionError("the folder is watched no more")

    @contextmanager
    def without_restarts(self) -> Iterator[None]:
        """The supervisor stands still, so what a death does can be seen before its successor speaks."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def pids(self) -> dict[str, int]:
        """Process ids of the parts that spoke."""
        return {name: part["pid"] for name, part in self.read(STATUS).get("parts", {}).items()}

    def restarts(self) -> dict[str, str]:
        """Why each part was started again, as the supervisor said it."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return {line["part"]: line["reason"] for line in lines if line.get("event") == "restarting"}


@contextmanager
def bot(folder: Path, *arguments: str) -> Iterator[Bot]:
    out, log = folder / "out", folder / "bot.log"
    out.mkdir()
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MM_")}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "mm_bot.py", "--out", str(out), *arguments],
            cwd=ROOT,
            env=environment | {"MM_SIM_SIGMA_SCALE": "0.5"},
            stdout=file,
            stderr=file,
        )
    try:
        yield Bot(out, log, process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def long_market() -> str:
    """A series whose present period has the longest to run: no end may come between."""
    now_ns = time.time_ns()

    def left_s(name: str) -> float:
        series = Series.parse(name)
        return series.start_of(now_ns) + series.length_s - now_ns / 1e9

    return max(("btc-50m", "btc-60m", "btc-70m"), key=left_s)


def is_quoting(quotes: dict[str, Any]) -> bool:
    return bool(quotes["quotes"]["CALL"])


def is_pulled_for(*reasons: str) -> Callable[[dict[str, Any]], bool]:
    def condition(quotes: dict[str, Any]) -> bool:
        return quotes["action"] == "PULL_QUOTES" and not set(reasons).isdisjoint(quotes["reasons"])

    return condition


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.timeout(600)
def test_quotes_survive_the_death_of_their_makers_and_end_with_the_bot(tmp_path: Path) -> None:
    with bot(tmp_path, "--markets", long_market(), "--seed", "3") as running:
        first = running.wait(is_quoting)
        assert first["valid_until"] - first["quoted_at"] == LEASE_S * 1000

        # A second bot on the same folder is refused.
        second = subprocess.run(
            [sys.executable, "mm_bot.py", "--out", str(running.out)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (second.returncode, f"pid {running.process.pid}" in second.stderr) == (3, True)

        # The quoter hangs: its lease ends, the file says so, and quotes return with it.
        quoter = running.pids()["quoter"]
        os.kill(quoter, signal.SIGSTOP)
        pulled = running.wait(is_pulled_for("lease_expired"))
        assert pulled["quotes"] == {"CALL": [], "PUT": []}
        os.kill(quoter, signal.SIGCONT)
        running.wait(is_quoting)

        # The quoter dies: the file says so, and its successor quotes.
        with running.without_restarts():
            os.kill(quoter, signal.SIGKILL)
            pulled = running.wait(is_pulled_for("lease_expired"))
        assert pulled["quotes"] == {"CALL": [], "PUT": []}
        running.wait(is_quoting)
        running.wait(lambda status: status["parts"]["quoter"]["pid"] != quoter, STATUS)
        assert running.restarts() == {"quoter": "killed by SIGKILL"}

        # A feed dies: nobody vouches for the books any more.
        feed = running.pids()["polymarket"]
        with running.without_restarts():
            os.kill(feed, signal.SIGKILL)
            pulled = running.wait(is_pulled_for("book_feed_not_live", "book_gap"))
        assert pulled["quotes"] == {"CALL": [], "PUT": []}
        running.wait(is_quoting)
        running.wait(lambda status: status["parts"]["polymarket"]["pid"] != feed, STATUS)
        assert running.restarts()["polymarket"] == "killed by SIGKILL"

        # The end: every process goes, and the last word is PULL_QUOTES.
        pids = running.pids()
        assert {"broker", "quoter", "sink", "hedger", "polymarket", "chainlink", "bybit", "coinbase"} <= set(pids)
        running.process.terminate()
        assert running.process.wait(60) == 0
        last = running.read(QUOTES)
        assert (last["action"], last["reasons"]) == ("PULL_QUOTES", ["stopped"])
        assert [name for name, pid in pids.items() if is_alive(pid)] == []

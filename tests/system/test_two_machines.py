"""Two machines, as network namespaces on one wire: the bus, the quoter and the ledger on one, all else on the other.

A sink on either machine shows what a reader there sees. The wire is cut and healed; takes root and iproute2.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from watchfiles import watch

from bot.cli import KeysRequest
from bot.keys_io import make_keys
from services.simulator.urls import urls
from shared.config import MMConfig
from shared.market import NS_PER_S, Series
from tests.processes import ROOT, running, start

NEW_NETWORK = 0x40000000  # CLONE_NEWNET, of setns(2)
MS_PER_S = 1000
PATIENCE_S = 90.0  # for one state of a file on a busy machine
QUOTES = "mm_quotes.json"
SIMULATOR_PORT = 8790
NEEDED = "takes root and `ip netns` (iproute2) to make network namespaces"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=True, timeout=20)


class Machines:
    """Two network namespaces and the wire between them."""

    def __init__(self) -> None:
        self.first, self.second = f"mm-first-{os.getpid()}", f"mm-second-{os.getpid()}"
        self.first_address, self.second_address = "10.77.0.1", "10.77.0.2"

    def make(self) -> None:
        """Raises CalledProcessError where it is not allowed."""
        ip("netns", "add", self.first)
        ip("netns", "add", self.second)
        self._join()

    def _join(self) -> None:
        ip("link", "add", "wire", "netns", self.first, "type", "veth", "peer", "name", "wire", "netns", self.second)
        for name, address in ((self.first, self.first_address), (self.second, self.second_address)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "wire")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "wire", "up")

    def remove(self) -> None:
        for name in (self.first, self.second):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False, timeout=20)

    def replace_first(self) -> None:
        """Another machine takes the place of the first, whose parts are dead; the second heard of no end."""
        ip("netns", "delete", self.first)
        ip("netns", "add", self.first)
        self._join()

    def pull_out(self) -> None:
        """The wire is gone."""
        ip("-n", self.first, "link", "delete", "wire")

    def cut(self) -> None:
        ip("-n", self.first, "link", "set", "wire", "down")

    def heal(self) -> None:
        ip("-n", self.first, "link", "set", "wire", "up")


@contextmanager
def on(machine: str) -> Iterator[None]:
    """What this thread starts in the block is on that machine."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(place: str) -> None:
        with open(place, "rb") as file:
            if libc.setns(file.fileno(), NEW_NETWORK):
                raise OSError(ctypes.get_errno(), f"setns {place}")

    with open("/proc/thread-self/ns/net", "rb") as home:
        enter(f"/run/netns/{machine}")
        try:
            yield
        finally:
            if libc.setns(home.fileno(), NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "setns back")


@pytest.fixture
def machines() -> Iterator[Machines]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip(NEEDED)
    machines = Machines()
    try:
        machines.make()
        with on(machines.first):
            pass
    except (subprocess.CalledProcessError, OSError) as error:
        machines.remove()
        pytest.skip(f"{NEEDED}: {error}")
    yield machines
    machines.remove()


class Reader:
    """The quotes that stand on one machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seen: list[dict[str, Any]] = []

    def read(self) -> dict[str, Any]:
        """The file; empty while it is not there."""
        try:
            quotes: dict[str, Any] = json.loads((self._folder / QUOTES).read_bytes())
        except FileNotFoundError:
            return {}
        return quotes

    def wait(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The file as soon as it meets the condition; `seen` keeps what was in it since."""
        self.seen.clear()
        end_s = time.monotonic() + PATIENCE_S
        for _ in watch(self._folder, step=10, debounce=20, rust_timeout=100, yield_on_timeout=True, recursive=False):
            quotes = self.read()
            if quotes:
                self.seen.append(quotes)
                if condition(quotes):
                    return quotes
            assert time.monotonic() < end_s, f"it stayed {quotes}"
        raise AssertionError("the folder is watched no more")


def is_quoting(quotes: dict[str, Any]) -> bool:
    return bool(quotes["quotes"]["CALL"])


def is_pulled(quotes: dict[str, Any]) -> bool:
    return bool(quotes["action"] == "PULL_QUOTES")


def long_market() -> str:
    """A series whose present period has the longest to run: no end may come between."""
    now_ns = time.time_ns()

    def left_s(name: str) -> float:
        series = Series.parse(name)
        return series.start_of(now_ns) + series.length_s - now_ns / NS_PER_S

    return max(("btc-50m", "btc-60m", "btc-70m"), key=left_s)


def venues() -> dict[str, str]:
    """The simulator beside the feeds."""
    found = urls(SIMULATOR_PORT)
    return {
        "MM_FEED_BYBIT_URL": found.bybit_ws,
        "MM_FEED_POLYBOLT_URL": found.polybolt_ws,
        "MM_FEED_GAMMA_URL": found.gamma,
        "MM_FEED_CLOB_URL": found.clob,
        "MM_FEED_WEBSITE_URL": found.website,
        "MM_FEED_MARKET_URL": found.market_ws,
        "MM_POLYBOLT_API_KEY": "simulator",
        "MM_POLYBOLT_SECRET": "simulator",
        "MM_POLYBOLT_PASSPHRASE": "simulator",
    }


@pytest.mark.timeout(400)
def test_a_cut_wire_pulls_the_quotes_on_both_machines_and_they_return_by_themselves(
    machines: Machines, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    assert make_keys(KeysRequest(keys, ("second",)), out=io.StringIO(), err=io.StringIO()) == 0
    bus = f"tcp://{machines.first_address}:7700"
    readers = []
    with ExitStack() as stack:

        def run(machine: str, module: str, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
            folder = keys / ("server" if machine == machines.first else "second")
            own = {"MM_BUS_KEYS": str(folder), "MM_MARKETS": market, **(variables or {})}
            with on(machine):
                stack.enter_context(running(module, *arguments, bus=bus, variables=own))

        def run_sink(machine: str) -> None:
            out = tmp_path / machine
            out.mkdir()
            run(machine, "services.sink", variables={"MM_OUT": str(out)})
            readers.append(Reader(out))

        market = long_market()
        run(machines.first, "services.broker")
        simulated = {
            "MM_SIM_SERIES": market,
            "MM_SIM_SEED": "3",
            "MM_SIM_SIGMA_SCALE": "0.5",
            "MM_SIM_BOOK_RATE": "0.3",
        }
        run(machines.second, "services.simulator", variables=simulated | {"MM_SIM_PORT": str(SIMULATOR_PORT)})
        for feed in ("bybit", "chainlink", "polymarket"):
            run(machines.second, "services.feeds", feed, variables=venues())
        run(machines.second, "services.analyzers", "volatility")
        run(machines.first, "services.hedger")
        run(machines.first, "services.quoter")
        run_sink(machines.first)
        run_sink(machines.second)
        near, far = readers
        near.wait(is_quoting)
        far.wait(is_quoting)

        machines.cut()
        cut_ms = time.time() * MS_PER_S

        # Across the wire nobody speaks any more: what stood there ends with its lease.
        pulled = far.wait(is_pulled)
        assert pulled["reasons"][0] == "lease_expired"
        lease_ms = MMConfig().lease_s * MS_PER_S
        assert all(each["valid_until"] <= cut_ms + lease_ms for each in far.seen if is_quoting(each))

        # Beside the quoter: nothing is quoted on feeds that say nothing.
        pulled = near.wait(is_pulled)
        assert any(each.endswith(("_feed_not_live", "_stale")) for each in pulled["reasons"]), pulled["reasons"]
        silent_ms = MMConfig().limits.feed_status_s * MS_PER_S
        assert all(each["quoted_at"] <= cut_ms + silent_ms + lease_ms for each in near.seen if is_quoting(each))

        assert is_pulled(far.read())
        machines.heal()
        near.wait(is_quoting)
        far.wait(is_quoting)


LISTENER = """
import sys
from pathlib import Path
from shared.bus import Endpoints, Subscriber
from shared.bus_keys_io import read_keys
from shared.core import Delivery
subscriber = Subscriber(Endpoints.of(sys.argv[1], read_keys(Path(sys.argv[2]))), ["Heartbeat.broker."])
subscriber.join(60)
while True:
    for event in subscriber.receive(1000):
        if isinstance(event, Delivery):
            print(event.message.instance, flush=True)
"""


def test_a_subscriber_hears_the_broker_that_follows_one_whose_machine_lost_power(
    machines: Machines, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    assert make_keys(KeysRequest(keys, ("second",)), out=io.StringIO(), err=io.StringIO()) == 0
    bus = f"tcp://{machines.first_address}:7700"
    own = {"MM_BUS_KEYS": str(keys / "server")}
    with on(machines.first):
        broker = start("services.broker", bus=bus, variables=own | {"MM_INSTANCE": "broker-before"})
    with on(machines.second):
        listener = subprocess.Popen(
            [sys.executable, "-c", LISTENER, bus, str(keys / "second")],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
    assert listener.stdout is not None
    try:
        assert listener.stdout.readline() == "broker-before\n"
        machines.pull_out()
        broker.kill()
        broker.communicate()
        machines.replace_first()
        with on(machines.first), running("services.broker", bus=bus, variables=own | {"MM_INSTANCE": "broker-after"}):
            while listener.stdout.readline() != "broker-after\n":
                assert listener.poll() is None
    finally:
        listener.kill()
        listener.communicate()

from __future__ import annotations

import json
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.bus import Endpoints, Publisher, Subscriber
from shared.core import Delivery
from shared.messages import Heartbeat, QuoteSet
from tests.builders import NS, build
from tests.processes import running, wait_for_line


@pytest.fixture
def bus(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/bus"


def quotes(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "mm_quotes.json").read_bytes())
    return content


@contextmanager
def quoting(bus: str) -> Iterator[None]:
    """A quoter that renews its lease of two seconds ten times a second."""
    publisher = Publisher(Endpoints.of(bus), instance="quoter")
    publisher.wait_until_connected(10.0)
    done = threading.Event()

    def quote() -> None:
        while not done.wait(0.1):
            now_s = time.time()
            publisher.publish(build(QuoteSet, at_s=now_s, valid_until_ns=round((now_s + 2.0) * NS)))
        publisher.close()

    quoter = threading.Thread(target=quote)
    quoter.start()
    try:
        yield
    finally:
        done.set()
        quoter.join()


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition; the test's own time limit is the deadline."""
    while not condition():
        time.sleep(0.002)


def test_a_quote_set_stands_in_the_file_until_its_lease_ends_although_nobody_says_so(bus: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running("services.broker", bus=bus), running("services.sink", bus=bus, variables={"MM_OUT": str(out)}) as sink:
        wait_for_line(sink, "joined the bus")
        assert quotes(out)["reasons"] == ["starting"]
        publisher = Publisher(Endpoints.of(bus), instance="quoter")
        publisher.wait_until_connected(10.0)
        now_s = time.time()
        publisher.publish(build(Heartbeat, instance="quoter", at_s=now_s))
        valid_until_ns = round((now_s + 0.5) * NS)
        publisher.publish(build(QuoteSet, at_s=now_s, valid_until_ns=valid_until_ns))
        publisher.close()
        wait_until(lambda: quotes(out)["action"] == "QUOTE_BOTH")
        wait_until(lambda: quotes(out)["action"] == "PULL_QUOTES")
        late_ms = (time.time_ns() - valid_until_ns) / 1e6
        assert 0 <= late_ms < 500
        assert quotes(out)["reasons"][0] == "lease_expired"
    assert quotes(out)["reasons"] == ["stopped"]


def test_on_a_full_disk_no_old_ladder_stays_and_with_space_the_quotes_return(bus: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running("services.broker", bus=bus), running("services.sink", bus=bus, variables={"MM_OUT": str(out)}) as sink:
        wait_for_line(sink, "joined the bus")
        with quoting(bus):
            wait_until(lambda: quotes(out)["action"] == "QUOTE_BOTH")
            _, hard = resource.prlimit(sink.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(sink.pid, resource.RLIMIT_FSIZE, (0, hard))  # every write fails
            wait_until(lambda: list(out.iterdir()) == [])
            resource.prlimit(sink.pid, resource.RLIMIT_FSIZE, (hard, hard))
            wait_until(lambda: (out / "mm_quotes.json").exists() and quotes(out)["action"] == "QUOTE_BOTH")
        assert sink.poll() is None
    assert quotes(out)["reasons"] == ["stopped"]


def test_the_heartbeat_counts_the_files_written(bus: str, tmp_path: Path) -> None:
    with running("services.broker", bus=bus), running("services.sink", bus=bus, variables={"MM_OUT": str(tmp_path)}):
        subscriber = Subscriber(Endpoints.of(bus), ["Heartbeat.sink."])
        subscriber.join(20.0)
        counts: list[float] = []
        while len(counts) < 2 or not 0.0 < counts[-2] < counts[-1]:
            beats = [each.message for each in subscriber.receive(1000) if isinstance(each, Delivery)]
            counts += [each.counters.get("files_written", 0.0) for each in beats if isinstance(each, Heartbeat)]
        subscriber.close()

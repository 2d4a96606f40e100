from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.bus import Endpoints, Publisher
from shared.messages import Heartbeat, QuoteSet
from tests.builders import NS, build
from tests.processes import running, wait_for_line


@pytest.fixture
def bus(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/bus"


def quotes(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "mm_quotes.json").read_bytes())
    return content


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

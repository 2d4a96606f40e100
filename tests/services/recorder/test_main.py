from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.recorder.__main__ import envelope_of
from shared.bus import Endpoints, Publisher
from shared.codec import decode
from shared.core import Delivery
from shared.messages import SpotQuote
from shared.segments_io import SUFFIX, read_segments
from tests.builders import build
from tests.processes import running, start, wait_for_line


@pytest.fixture
def bus(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/bus"


def count_records(folder: Path) -> int:
    return sum(1 for _ in read_segments(folder)) if any(folder.glob("*")) else 0


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition; the test's own time limit is the deadline."""
    while not condition():
        time.sleep(0.01)


def test_what_was_on_the_bus_is_on_the_disk_in_order_and_complete(bus: str, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    with (
        running("services.broker", bus=bus),
        running("services.recorder", bus=bus, variables={"MM_RECORD": str(folder)}) as recorder,
    ):
        wait_for_line(recorder, "joined the bus")
        publisher = Publisher(Endpoints.of(bus), instance="bybit")
        publisher.wait_until_connected(10.0)
        for number in range(100):
            publisher.publish(build(SpotQuote, bid_size=float(number)))
        publisher.close()
        wait_until(lambda: count_records(folder / "bus") == 100)
    records = list(read_segments(folder / "bus"))
    envelopes = [decode(record.payload) for record in records if isinstance(record.payload, bytes)]
    assert {record.source for record in records} == {"SpotQuote.BTC.bybit"}
    assert [envelope.seq for envelope in envelopes] == list(range(1, 101))
    assert [envelope.body.bid_size for envelope in envelopes if isinstance(envelope.body, SpotQuote)] == [
        float(number) for number in range(100)
    ]


def test_the_recorded_envelope_is_the_delivered_one() -> None:
    quote = build(SpotQuote)
    envelope = envelope_of(Delivery("SpotQuote.BTC.bybit", 7, 3, quote, 11))
    assert (envelope.epoch, envelope.seq, envelope.ts_pub_ns, envelope.body) == (7, 3, 11, quote)


def test_recordings_older_than_the_hours_set_are_removed(bus: str, tmp_path: Path) -> None:
    old, young = (tmp_path / "bus" / f"bus-{number}-1{SUFFIX}" for number in (1, 2))
    old.parent.mkdir()
    for path, age_h in ((old, 3.0), (young, 1.0)):
        path.touch()
        then_s = time.time() - age_h * 3600.0
        os.utime(path, (then_s, then_s))
    variables = {"MM_RECORD": str(tmp_path), "MM_RECORD_KEEP_H": "2"}
    with running("services.broker", bus=bus), running("services.recorder", bus=bus, variables=variables) as recorder:
        wait_for_line(recorder, "joined the bus")
        publisher = Publisher(Endpoints.of(bus), instance="bybit")
        publisher.wait_until_connected(10.0)
        publisher.publish(build(SpotQuote))
        publisher.close()
        wait_until(lambda: not old.exists())
    assert young.exists()


def test_without_a_folder_it_does_not_start(bus: str) -> None:
    recorder = start("services.recorder", bus=bus)
    _, said = recorder.communicate(timeout=30)
    assert recorder.returncode == 2
    assert "MM_RECORD" in said

"""The service frame as it runs: a real broker and a real hedger."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from shared.bus import Endpoints, Publisher, Subscriber
from shared.core import Delivery
from shared.messages import Heartbeat, Period, Position
from tests.builders import build
from tests.processes import ROOT, running, start, wait_for_line
from tests.shared.raw_frames import publish_raw


@pytest.fixture
def bus(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/b"


def wait_for(subscriber: Subscriber, kind: type) -> object:
    while True:
        for event in subscriber.receive(1000):
            if isinstance(event, Delivery) and isinstance(event.message, kind):
                return event.message


def scrape(port: int, page: str = "metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=20) as answer:
        return str(answer.read().decode())


def test_a_service_joins_beats_counts_and_stops_cleanly(bus: str) -> None:
    endpoints = Endpoints.of(bus)
    with running("services.broker", bus=bus) as broker, running("services.hedger", bus=bus) as hedger:
        broker_port = json.loads(wait_for_line(broker, '"started"'))["metrics_port"]
        wait_for_line(hedger, "joined the bus")
        publisher = Publisher(endpoints, instance="test-1")
        publisher.wait_until_connected(20)
        subscriber = Subscriber(endpoints, ["Position.btc-15m\0", "Heartbeat.hedger."])
        subscriber.join(20)
        publisher.publish(build(Period))
        position = wait_for(subscriber, Position)
        assert isinstance(position, Position)
        assert position.call_shares == 0.0
        publish_raw(endpoints, [b"Period.btc-15m.junk\0junk"])
        beat = wait_for(subscriber, Heartbeat)
        while isinstance(beat, Heartbeat) and not beat.counters["refused"]:
            beat = wait_for(subscriber, Heartbeat)
        assert isinstance(beat, Heartbeat)
        assert scrape(beat.metrics_port, "health") == "its loop turns\n"
        page = scrape(beat.metrics_port)
        assert 'bus_received_messages_total{message="Period"} 1.0' in page
        assert 'bus_refused_messages_total{reason="malformed"} 1.0' in page
        assert 'bus_lost_messages_total{message="Period"} 0.0' in page  # what never happened is a zero
        assert 'bus_dropped_messages_total{message="Position"} 0.0' in page
        assert 'service_start_time_seconds{name="hedger-' in page
        forwarded = re.search(r"^broker_forwarded_messages_total (\S+)$", scrape(broker_port), re.MULTILINE)
        assert forwarded is not None
        assert float(forwarded[1]) >= 1.0
        assert "process_resident_memory_bytes" in page
        subscriber.close()
        publisher.close()


def test_a_configuration_error_exits_with_two_and_names_the_variable(bus: str) -> None:
    process = start("services.hedger", bus=bus, variables={"MM_MARKTES": "btc-15m"})
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "MM_MARKTES is not a setting; did you mean MM_MARKETS?" in said


def test_an_orphan_stops_by_itself(bus: str) -> None:
    with running("services.broker", bus=bus) as broker:
        wait_for_line(broker, '"started"')
        process = start("services.hedger", bus=bus, variables={"MM_SUPERVISOR_PID": "1"})
        assert json.loads(wait_for_line(process, '"stopped"'))["reason"] == "supervisor is gone"
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_an_orphan_stops_even_before_it_found_a_broker(bus: str) -> None:
    process = start("services.hedger", bus=bus, variables={"MM_SUPERVISOR_PID": "1"})
    assert json.loads(wait_for_line(process, '"stopped"'))["reason"] == "supervisor is gone"
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_part_that_does_not_do_its_work_says_so_with_503(bus: str) -> None:
    with running("services.broker", bus=bus), running("services.executor", bus=bus) as executor:
        port = json.loads(wait_for_line(executor, '"started"'))["metrics_port"]
        wait_for_line(executor, "joined the bus")
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            scrape(port, "health")
        with refused.value as answer:
            assert answer.read() in (b"received QuoteSet: none yet\n", b"not on the bus yet\n")


def test_a_taken_metrics_port_is_said_and_replaced(bus: str) -> None:
    with running("services.broker", bus=bus) as broker:
        port = json.loads(wait_for_line(broker, '"started"'))["metrics_port"]
        with running("services.hedger", bus=bus, variables={"MM_METRICS_PORT": str(port)}) as hedger:
            assert json.loads(wait_for_line(hedger, "metrics port taken"))["port"] == port
            wait_for_line(hedger, "joined the bus")


def run_beside_a_broker(bus: str, program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program of the test's own, to its end."""
    with running("services.broker", bus=bus) as broker:
        wait_for_line(broker, '"started"')
        return subprocess.run(
            [sys.executable, "-c", program],
            env={"MM_BUS": bus, "PYTHONPATH": str(ROOT), **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def test_a_crash_is_logged_with_its_reason(bus: str) -> None:
    program = """
from shared.service import run
class Broken:
    def update(self, event):
        raise RuntimeError("our own invariant broke")
run("hedger", lambda runtime: Broken())
"""
    done = run_beside_a_broker(bus, program)
    assert done.returncode == 1
    assert "our own invariant broke" in done.stderr


def test_a_loop_that_stands_still_ends_its_process_and_says_where(bus: str) -> None:
    program = """
import threading
from shared import service
class Hanging:
    def update(self, event):
        threading.Event().wait()
service.run("hedger", lambda runtime: Hanging())
"""
    done = run_beside_a_broker(bus, program, MM_HUNG_S="4")
    assert done.returncode == 1
    assert re.search(r'File "<string>", line 6 in update', done.stderr)


def test_who_stops_says_farewell_and_whoever_comes_later_knows_it(bus: str) -> None:
    with running("services.broker", bus=bus) as broker:
        wait_for_line(broker, '"started"')
        subscriber = Subscriber(Endpoints.of(bus), ["Heartbeat.regime."])
        subscriber.join(20)
        with running("services.analyzers", "regime", bus=bus) as analyzer:
            beat = wait_for(subscriber, Heartbeat)
            assert isinstance(beat, Heartbeat)
            assert beat.markets == ("btc-15m",)
            assert beat.instance == f"regime-{socket.gethostname()}-{analyzer.pid}"  # containers share process ids
        while beat.markets:
            beat = wait_for(subscriber, Heartbeat)
            assert isinstance(beat, Heartbeat)
        late = Subscriber(Endpoints.of(bus), ["Heartbeat.regime."])
        assert [each.message.markets for each in late.join(20) if isinstance(each, Delivery)] == [()]  # type: ignore[union-attr]
        subscriber.close()
        late.close()


def test_an_analyzer_says_how_many_markets_it_owns(bus: str) -> None:
    variables = {"MM_MARKETS": "btc-15m,eth-15m,sol-15m"}
    with running("services.broker", bus=bus) as broker:
        wait_for_line(broker, '"started"')
        with running("services.analyzers", "flow", bus=bus, variables=variables) as analyzer:
            port = json.loads(wait_for_line(analyzer, '"started"'))["metrics_port"]
            wait_for_line(analyzer, "joined the bus")
            while 'analyzer_owned_markets{kind="flow"} 3.0' not in (page := scrape(port)):
                assert 'analyzer_owned_markets{kind="flow"} 0.0' in page  # its first timer has not come

"""The bus as it runs: a real broker process, real sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest

from shared.bus import (
    Broker,
    BusTimeoutError,
    Continuity,
    Endpoints,
    Publisher,
    Responder,
    Subscriber,
    request,
)
from shared.core import Delivery, Event, Gap
from shared.messages import SCHEMA_VERSION, Envelope, OutcomeTrade, SpotQuote, SpotTrade
from tests.builders import build
from tests.shared.raw_frames import publish_raw

ROOT = Path(__file__).parents[2]


def start_broker(bus: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"MM_BUS": bus, "PYTHONPATH": str(ROOT), "MM_SUPERVISOR_PID": str(os.getpid())}
    return subprocess.Popen([sys.executable, "-m", "services.broker"], env=environment, stderr=subprocess.DEVNULL)


@pytest.fixture
def bus(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/b"


@pytest.fixture
def endpoints(bus: str) -> Iterator[Endpoints]:
    process = start_broker(bus)
    yield Endpoints.of(bus)
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture
def connect(endpoints: Endpoints) -> Iterator[Callable[..., tuple[Publisher, Subscriber]]]:
    opened: list[Publisher | Subscriber] = []

    def open_pair(*prefixes: str) -> tuple[Publisher, Subscriber]:
        publisher = Publisher(endpoints, instance="test-1")
        publisher.wait_until_connected(20)
        subscriber = Subscriber(endpoints, prefixes)
        opened.extend((publisher, subscriber))
        return publisher, subscriber

    yield open_pair
    for each in opened:
        each.close()


def receive(subscriber: Subscriber, count: int) -> list[Event]:
    """Wait until this many events came; the test's own time limit is the deadline."""
    events: list[Event] = []
    while len(events) < count:
        events.extend(subscriber.receive(1000))
    return events


def test_a_message_arrives_as_it_was_sent(connect: Callable[..., tuple[Publisher, Subscriber]]) -> None:
    publisher, subscriber = connect("SpotQuote.BTC.")
    assert subscriber.join(20) == []
    quote = build(SpotQuote)
    publisher.publish(build(SpotQuote, asset="ETH"))
    publisher.publish(quote)
    (event,) = receive(subscriber, 1)
    assert isinstance(event, Delivery)
    assert (event.topic, event.seq, event.message) == ("SpotQuote.BTC.bybit", 1, quote)


def test_a_late_joiner_gets_the_last_values_but_no_old_trades(
    connect: Callable[..., tuple[Publisher, Subscriber]], endpoints: Endpoints
) -> None:
    publisher, witness = connect("SpotQuote.", "OutcomeTrade.")
    witness.join(20)
    publisher.publish(build(SpotQuote, bid=1.0))
    publisher.publish(build(OutcomeTrade))
    publisher.publish(build(SpotQuote, bid=2.0))
    receive(witness, 3)
    late = Subscriber(endpoints, ["SpotQuote.", "OutcomeTrade."])
    (event,) = late.join(20)
    late.close()
    assert isinstance(event, Delivery)
    assert isinstance(event.message, SpotQuote)
    assert event.message.bid == 2.0


def test_what_the_snapshot_already_held_is_not_delivered_twice(
    connect: Callable[..., tuple[Publisher, Subscriber]], endpoints: Endpoints
) -> None:
    publisher, subscriber = connect("SpotQuote.")
    witness = Subscriber(endpoints, ["SpotQuote."])
    witness.join(20)
    for bid in (1.0, 2.0, 3.0):
        publisher.publish(build(SpotQuote, bid=bid))
    receive(witness, 3)
    witness.close()
    events = subscriber.join(20)
    publisher.publish(build(SpotQuote, bid=4.0))
    while not any(isinstance(each, Delivery) and each.seq == 4 for each in events):
        events.extend(receive(subscriber, 1))
    numbers = [each.seq for each in events if isinstance(each, Delivery)]
    assert numbers == sorted(set(numbers))


def test_garbage_is_counted_by_reason_and_the_bus_goes_on(
    connect: Callable[..., tuple[Publisher, Subscriber]], endpoints: Endpoints
) -> None:
    publisher, subscriber = connect("SpotQuote.BTC.")
    subscriber.join(20)
    publish_raw(endpoints, [b"SpotQuote.BTC.bybit\0junk", b"SpotQuote.BTC.bybit", b"SpotQuote.BTC.bybit\0\x92\x63\xc0"])
    while sum(subscriber.refused.values()) < 3:
        assert subscriber.receive(20_000) == []
    assert subscriber.refused == {"malformed": 2, "version": 1}
    publisher.publish(build(SpotQuote))
    (event,) = receive(subscriber, 1)
    assert isinstance(event, Delivery)


def test_a_message_under_a_foreign_topic_is_refused(
    connect: Callable[..., tuple[Publisher, Subscriber]], endpoints: Endpoints
) -> None:
    from shared.codec import encode

    _, subscriber = connect("SpotQuote.BTC.")
    subscriber.join(20)
    publish_raw(
        endpoints,
        [b"SpotQuote.BTC.bybit\0" + encode(Envelope(SCHEMA_VERSION, "x", 1, 1, 1, build(SpotQuote, asset="ETH")))],
    )
    while not subscriber.refused:
        assert subscriber.receive(20_000) == []
    assert "carries SpotQuote.ETH.bybit" in subscriber.last_refusal


def test_a_number_that_is_not_finite_never_leaves(connect: Callable[..., tuple[Publisher, Subscriber]]) -> None:
    publisher, _ = connect("SpotQuote.")
    assert not publisher.publish(build(SpotQuote, bid=float("nan")))
    assert publisher.refused == {"SpotQuote": 1}


def test_a_new_epoch_of_the_publisher_is_a_gap(connect: Callable[..., tuple[Publisher, Subscriber]]) -> None:
    publisher, subscriber = connect("SpotQuote.")
    subscriber.join(20)
    publisher.publish(build(SpotQuote))
    publisher.new_epoch()
    publisher.publish(build(SpotQuote))
    kinds = [type(each) for each in receive(subscriber, 3)]
    assert kinds == [Delivery, Gap, Delivery]


def test_the_bus_heals_when_the_broker_is_killed(bus: str) -> None:
    first = start_broker(bus)
    endpoints = Endpoints.of(bus)
    publisher = Publisher(endpoints, instance="test-1")
    publisher.wait_until_connected(20)
    subscriber = Subscriber(endpoints, ["SpotQuote."])
    subscriber.join(20)
    first.send_signal(signal.SIGKILL)
    first.wait(20)
    second = start_broker(bus)
    deadline = 400  # tries of 50 ms each: the reconnection is ZeroMQ's
    came: list[Event] = []
    for number in range(deadline):
        publisher.publish(build(SpotQuote, bid=float(number)))
        came = subscriber.receive(50)
        if any(isinstance(each, Delivery) for each in came):
            break
    assert any(isinstance(each, Delivery) for each in came)
    publisher.close()
    subscriber.close()
    second.terminate()
    assert second.wait(20) == 0


def test_joining_without_a_broker_says_so(tmp_path: Path) -> None:
    endpoints = Endpoints.of(f"ipc://{tmp_path}/nobody")
    subscriber = Subscriber(endpoints, ["SpotQuote."])
    with pytest.raises(BusTimeoutError, match="no broker answered"):
        subscriber.join(0.05)
    subscriber.close()
    with pytest.raises(BusTimeoutError, match="did not answer"):
        request(endpoints.hedger, b"?", timeout_s=0.05)


def test_requests_are_answered_one_by_one(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/r"
    responder = Responder(address)
    done = Flag()

    def serve() -> None:
        while not done.is_set():
            responder.serve(lambda question: question.upper())

    thread = Thread(target=serve)
    thread.start()
    try:
        assert request(address, b"hedge", timeout_s=20) == b"HEDGE"
        assert request(address, b"position", timeout_s=20) == b"POSITION"
    finally:
        done.set()
        thread.join()
        responder.close()


def test_the_cache_forgets_what_is_dead(tmp_path: Path) -> None:
    broker = Broker(Endpoints.of(f"ipc://{tmp_path}/c"))
    broker.topics = {b"a": b"a\0old", b"b": b"b\0new"}
    broker.forget(lambda frame: frame.endswith(b"old"))
    assert list(broker.topics) == [b"b"]
    broker.close()


@pytest.mark.parametrize("address", ["udp://x:1", "tcp://host", "ipc://", "nonsense", "ipc://" + "x" * 120])
def test_an_address_that_cannot_work_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="bus address"):
        Endpoints.of(address)


def numbered(seq: int, *, instance: str = "a", epoch: int = 1) -> tuple[bytes, str, int, int]:
    return b"t", instance, epoch, seq


def test_missing_numbers_are_counted_and_repeats_are_not_news() -> None:
    continuity = Continuity()
    assert continuity.judge(*numbered(5)) == (True, None)
    assert continuity.judge(*numbered(6)) == (True, None)
    assert continuity.judge(*numbered(6)) == (False, None)
    assert continuity.judge(*numbered(4)) == (False, None)
    assert continuity.judge(*numbered(10)) == (True, 3)


def test_a_new_publisher_or_epoch_is_a_break_and_an_old_epoch_is_not_news() -> None:
    continuity = Continuity()
    continuity.judge(*numbered(5))
    assert continuity.judge(*numbered(6, epoch=2)) == (True, 0)
    assert continuity.judge(*numbered(7, epoch=1)) == (False, None)
    assert continuity.judge(*numbered(1, instance="b")) == (True, 0)


def test_skipped_messages_are_not_lost_and_lost_ones_among_them_are() -> None:
    continuity = Continuity()
    continuity.judge(*numbered(1))
    assert continuity.judge(*numbered(5), 3) == (True, None)
    assert continuity.judge(*numbered(10), 2) == (True, 2)


def test_a_publisher_whose_clock_stepped_back_is_heard_again() -> None:
    continuity = Continuity()
    continuity.judge(*numbered(9, epoch=1000))
    judged = [continuity.judge(*numbered(seq, epoch=900)) for seq in range(1, 6)]
    assert judged == [(False, None), (False, None), (True, 0), (True, None), (True, None)]


@pytest.mark.parametrize("question", [b"5", b"null", b"[" * 100_000, b"[1]", b"\xff", b"", b"{}"])
def test_garbage_on_the_snapshot_socket_is_answered_with_nothing(tmp_path: Path, question: bytes) -> None:
    endpoints = Endpoints.of(f"ipc://{tmp_path}/g")
    broker = Broker(endpoints)
    done = Flag()

    def serve() -> None:
        while not done.is_set():
            broker.serve(timeout_ms=20)

    thread = Thread(target=serve)
    thread.start()
    try:
        assert request(endpoints.snapshot, question, timeout_s=20, tries=1) == b""
    finally:
        done.set()
        thread.join()
        broker.close()


def test_a_good_snapshot_before_a_bad_one_is_not_lost(endpoints: Endpoints) -> None:
    publisher = Publisher(endpoints, instance="test-1")
    publisher.wait_until_connected(20)
    subscriber = Subscriber(endpoints, ["SpotQuote."], latest_only=True)
    subscriber.join(20)
    publisher.publish(build(SpotQuote, bid=1.0))
    publish_raw(endpoints, [b"SpotQuote.BTC.bybit\0junk"])
    bids: list[float] = []
    while not bids or not subscriber.refused:
        events = subscriber.receive(1000)
        bids += [
            each.message.bid for each in events if isinstance(each, Delivery) and isinstance(each.message, SpotQuote)
        ]
    assert bids == [1.0]
    publisher.close()
    subscriber.close()


def test_only_the_latest_snapshot_of_a_topic_is_delivered_and_every_trade(endpoints: Endpoints) -> None:
    publisher = Publisher(endpoints, instance="test-1")
    publisher.wait_until_connected(20)
    witness = Subscriber(endpoints, ["SpotTrade."])
    witness.join(20)
    subscriber = Subscriber(endpoints, ["SpotQuote.", "SpotTrade."], latest_only=True)
    subscriber.join(20)
    for bid in (1.0, 2.0, 3.0):
        publisher.publish(build(SpotQuote, bid=bid))
        publisher.publish(build(SpotTrade, price=bid))
    receive(witness, 3)  # the last message has passed the broker: all six wait in our queue
    events: list[Event] = []
    while len(events) + subscriber.superseded.total() < 6:
        events.extend(subscriber.receive(1000))
    messages = [each.message for each in events if isinstance(each, Delivery)]
    assert [each.price for each in messages if isinstance(each, SpotTrade)] == [1.0, 2.0, 3.0]
    assert [each.bid for each in messages if isinstance(each, SpotQuote)][-1] == 3.0
    assert subscriber.lost.total() == 0
    publisher.new_epoch()
    publisher.publish(build(SpotQuote))
    assert isinstance(receive(subscriber, 2)[0], Gap)
    for each in (publisher, witness, subscriber):
        each.close()

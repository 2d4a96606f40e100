"""The bus over TCP: whose key is listed publishes, reads, and asks; nobody else does. Real sockets, real processes."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest

from bot.cli import KeysRequest
from bot.keys_io import make_keys
from shared.bus import (
    Broker,
    BusTimeoutError,
    Endpoints,
    Publisher,
    Responder,
    Subscriber,
    request,
)
from shared.bus_keys_io import BusKeys, BusKeysError, read_keys
from shared.core import Delivery
from shared.messages import SpotQuote
from shared.settings import ServiceSettings
from tests.builders import build
from tests.processes import free_tcp_bus, running, start, wait_for_line
from tests.shared.raw_frames import publish_raw

SOON_S = 0.7  # a stranger's patience: whoever is let in is served within a fraction of it


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Keys of a server and of two clients, and of a stranger whom the server does not list."""
    folder = tmp_path / "keys"
    assert make_keys(KeysRequest(folder, ("feeds", "quoter", "stranger")), out=io.StringIO(), err=io.StringIO()) == 0
    (folder / "server" / "clients" / "stranger.key").unlink()
    return folder


class Bus:
    """A broker and a hedger that answers in capitals, in threads of this process."""

    def __init__(self, address: str, keys: BusKeys) -> None:
        self.address = address
        self.endpoints = Endpoints.of(address, keys)
        self.broker = Broker(self.endpoints)
        self.responder = Responder(self.endpoints.hedger)
        self._done = Flag()
        self._threads = [Thread(target=each) for each in (self._serve_broker, self._serve_hedger)]
        for each in self._threads:
            each.start()

    def _serve_broker(self) -> None:
        while not self._done.is_set():
            self.broker.serve(timeout_ms=5)

    def _serve_hedger(self) -> None:
        while not self._done.is_set():
            self.responder.serve_together(lambda questions: [each.upper() for each in questions], wait_ms=5)

    def as_seen_with(self, keys: BusKeys | None) -> Endpoints:
        return Endpoints.of(self.address, keys)

    def close(self) -> None:
        self._done.set()
        for each in self._threads:
            each.join()
        self.responder.close()
        self.broker.close()


@pytest.fixture
def bus(folder: Path) -> Iterator[Bus]:
    bus = Bus(free_tcp_bus(), read_keys(folder / "server"))
    yield bus
    bus.close()


def assert_is_served(endpoints: Endpoints) -> None:
    """Publishes, reads it, finds it in the snapshot, and is answered."""
    publisher = Publisher(endpoints, instance="test-1")
    publisher.wait_until_connected(20)
    subscriber = Subscriber(endpoints, ["SpotQuote."])
    subscriber.join(20)
    publisher.publish(build(SpotQuote, bid=7.0))
    while not (events := subscriber.receive(1000)):
        pass
    assert any(isinstance(each, Delivery) and each.message == build(SpotQuote, bid=7.0) for each in events)
    late = Subscriber(endpoints, ["SpotQuote."])
    assert [each.message for each in late.join(20) if isinstance(each, Delivery)] == [build(SpotQuote, bid=7.0)]
    assert request(endpoints.hedger, b"hedge", timeout_s=20) == b"HEDGE"
    for each in (publisher, subscriber, late):
        each.close()


def assert_is_shut_out(endpoints: Endpoints, bus: Bus) -> None:
    """Neither publishes nor reads nor is given the snapshot nor an answer, while others are served."""
    insider = Subscriber(bus.endpoints, ["SpotQuote."])
    insider.join(20)
    before = bus.broker.forwarded
    publisher = Publisher(endpoints, instance="stranger")
    subscriber = Subscriber(endpoints, [""])
    with pytest.raises(BusTimeoutError, match="no broker took the connection"):
        publisher.wait_until_connected(SOON_S)
    publisher.publish(build(SpotQuote, bid=666.0))
    publish_raw(endpoints, [b"SpotQuote.BTC.bybit\0junk"], connect_s=0.1)
    with pytest.raises(BusTimeoutError, match="no broker answered"):
        subscriber.join(SOON_S)
    assert_is_served(bus.endpoints)  # the stranger's subscriber stands connected, as far as it can, all the while
    assert subscriber.receive(100) == []
    with pytest.raises(BusTimeoutError, match="did not answer"):
        request(endpoints.snapshot, b'["SpotQuote."]', timeout_s=SOON_S, tries=1)
    with pytest.raises(BusTimeoutError, match="did not answer"):
        request(endpoints.hedger, b"hedge", timeout_s=SOON_S, tries=1)
    heard = [each.message for each in insider.receive(1000) if isinstance(each, Delivery)]
    assert heard == [build(SpotQuote, bid=7.0)]
    assert bus.broker.forwarded >= before + 1
    assert insider.refused.total() == 0
    for each in (publisher, subscriber, insider):
        each.close()


def test_a_listed_key_publishes_reads_and_asks(bus: Bus, folder: Path) -> None:
    assert_is_served(bus.as_seen_with(read_keys(folder / "feeds")))
    assert bus.broker.refused_keys == 0


def test_a_key_that_is_not_listed_does_nothing_and_is_counted(bus: Bus, folder: Path) -> None:
    assert_is_shut_out(bus.as_seen_with(read_keys(folder / "stranger")), bus)
    assert bus.broker.refused_keys > 0


def test_without_a_key_nothing_is_read_or_said(bus: Bus) -> None:
    assert_is_shut_out(bus.as_seen_with(None), bus)


def test_another_servers_key_is_not_trusted(bus: Bus, folder: Path) -> None:
    keys = read_keys(folder / "feeds")
    deceived = BusKeys(keys.secret, server=(folder / "server" / "clients" / "quoter.key").read_bytes().strip())
    assert_is_shut_out(bus.as_seen_with(deceived), bus)


def test_a_revoked_key_is_refused_at_its_next_connection_and_a_new_one_let_in_at_once(bus: Bus, folder: Path) -> None:
    listed = folder / "server" / "clients"
    assert_is_served(bus.as_seen_with(read_keys(folder / "quoter")))
    shutil.move(listed / "quoter.key", folder / "quoter.key")
    assert_is_shut_out(bus.as_seen_with(read_keys(folder / "quoter")), bus)
    shutil.move(folder / "quoter.key", listed / "quoter.key")
    assert_is_served(bus.as_seen_with(read_keys(folder / "quoter")))


def test_nobody_is_let_in_once_the_doorkeeper_is_gone(bus: Bus, folder: Path) -> None:
    assert bus.broker._doorkeeper is not None
    bus.broker._doorkeeper.close()
    publisher = Publisher(bus.as_seen_with(read_keys(folder / "feeds")), instance="test-1")
    with pytest.raises(BusTimeoutError, match="it does not list our key"):
        publisher.wait_until_connected(SOON_S)
    publisher.close()


def test_a_client_cannot_be_a_server(folder: Path) -> None:
    endpoints = Endpoints.of(free_tcp_bus(), read_keys(folder / "feeds"))
    with pytest.raises(BusKeysError, match="names a client's folder"):
        Broker(endpoints)
    with pytest.raises(BusKeysError, match="names a client's folder"):
        Responder(endpoints.hedger)


@pytest.mark.parametrize(
    "bus", ["tcp://10.0.0.5:5550", "tcp://broker:5550", "tcp://0.0.0.0:5550", "tcp://127.0.0.1:5550?hedger=hedger:5553"]
)
def test_plain_tcp_that_leaves_the_machine_is_refused_with_the_remedy(bus: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"--generate-keys DIR.*MM_BUS_KEYS.*MM_BUS_ALLOW_PLAIN"):
        Endpoints.of(bus)
    Endpoints.of(bus, read_keys(folder / "feeds"))
    Endpoints.of(bus, is_plain_allowed=True)


@pytest.mark.parametrize("bus", ["tcp://127.0.0.1:5550", "tcp://localhost:5550", "tcp://127.8.0.1:1"])
def test_plain_tcp_within_the_machine_needs_no_keys(bus: str) -> None:
    assert Endpoints.of(bus).publish == bus


def test_unix_sockets_carry_no_keys(folder: Path, tmp_path: Path) -> None:
    settings = ServiceSettings(bus=f"ipc://{tmp_path}/b", bus_keys=folder / "server")
    assert settings.endpoints() == Endpoints.of(f"ipc://{tmp_path}/b")
    assert settings.endpoints().publish.keys is None  # type: ignore[attr-defined]


def test_the_hedger_may_be_elsewhere() -> None:
    endpoints = Endpoints.of("tcp://broker:5550?hedger=hedger:7000", is_plain_allowed=True)
    assert endpoints == ("tcp://broker:5550", "tcp://broker:5551", "tcp://broker:5552", "tcp://hedger:7000")


@pytest.mark.parametrize("bus", ["tcp://a:1?hedge=b:2", "tcp://a:1?hedger=b", "tcp://a:1/path", "tcp://[::1]:5550"])
def test_a_tcp_address_that_is_none_is_refused(bus: str) -> None:
    with pytest.raises(ValueError, match="write ipc"):
        Endpoints.of(bus, is_plain_allowed=True)


def test_processes_take_their_keys_from_the_settings(folder: Path) -> None:
    bus = free_tcp_bus()
    keys = {name: {"MM_BUS_KEYS": str(folder / name)} for name in ("server", "feeds", "stranger")}
    with running("services.broker", bus=bus, variables=keys["server"]) as broker:
        wait_for_line(broker, '"started"')
        with running("services.analyzers", "regime", bus=bus, variables=keys["feeds"]) as analyzer:
            wait_for_line(analyzer, "joined the bus")
            stranger = Publisher(Endpoints.of(bus, read_keys(folder / "stranger")), instance="stranger")
            with pytest.raises(BusTimeoutError):
                stranger.wait_until_connected(SOON_S)
            stranger.close()


@pytest.mark.parametrize(
    ("name", "variables", "said"),
    [
        ("services.hedger", {"MM_BUS": "tcp://10.1.1.1:5550"}, "make keys with `mm_bot.py --generate-keys DIR`"),
        ("services.hedger", {"MM_BUS_KEYS": "feeds"}, "names a client's folder"),
        ("services.broker", {"MM_BUS_KEYS": "nowhere"}, "nowhere/secret.key is missing"),
    ],
)
def test_a_process_whose_bus_is_not_safe_exits_with_two_and_says_what_to_do(
    folder: Path, name: str, variables: dict[str, str], said: str
) -> None:
    if "MM_BUS_KEYS" in variables:
        variables = variables | {"MM_BUS_KEYS": str(folder / variables["MM_BUS_KEYS"])}
    process = start(name, bus=free_tcp_bus(), variables=variables)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 2, log
    assert said in log

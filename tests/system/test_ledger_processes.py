"""No fill is lost and none counts twice: real hedgers that are killed, crowded out, damaged and short of room."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Condition, Thread

import pytest

from services.hedger.ledger_io import open_ledger
from shared.bus import BusTimeoutError, Endpoints, request
from shared.money import MICRO
from shared.requests import BookFill, FillsQuery, decode_answer, encode_question
from tests.builders import SLUG
from tests.processes import ROOT, running, start, wait_for_line
from tests.services.hedger import postgres
from tests.services.hedger.scene import fill

SENDERS = 4


class Sender(Thread):
    """Books fills one after the other, each again and again until it is acknowledged, as an executor must."""

    def __init__(self, endpoints: Endpoints, number: int, acknowledged: list[str], news: Condition) -> None:
        super().__init__(daemon=True)
        self._address = endpoints.hedger
        self._number = number
        self._acknowledged = acknowledged
        self._news = news
        self.sent: list[str] = []
        self.is_enough = False

    def run(self) -> None:
        """Until it is enough."""
        while not self.is_enough:
            name = f"s{self._number}-{len(self.sent)}"
            self.sent.append(name)
            self._book(fill(name, units=MICRO))
            with self._news:
                self._acknowledged.append(name)
                self._news.notify()

    def _book(self, booking: BookFill) -> None:
        while True:
            try:
                reply = request(self._address, encode_question(booking), timeout_s=0.5, tries=2)
            except BusTimeoutError:
                continue
            answer = decode_answer(reply)
            if answer.status == "ok":
                return
            assert answer.status == "unavailable", answer.detail


@contextmanager
def ledger_url(backend: str, tmp_path: Path) -> Iterator[str]:
    """A new ledger of this kind."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.sqlite"
        return
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.ABSENT)
    with postgres.serving(programs) as url:
        yield url


@pytest.mark.parametrize(("backend", "rounds"), [("sqlite", 4), ("postgresql", 2)])
def test_a_hedger_killed_at_any_moment_loses_no_fill_and_counts_none_twice(
    tmp_path: Path, backend: str, rounds: int
) -> None:
    chance = random.Random(11)
    bus = f"ipc://{tmp_path}/b"
    acknowledged: list[str] = []
    news = Condition()
    with ExitStack() as stack:
        url = stack.enter_context(ledger_url(backend, tmp_path))
        stack.enter_context(running("services.broker", bus=bus))
        senders = [Sender(Endpoints.of(bus), number, acknowledged, news) for number in range(SENDERS)]
        for each in senders:
            each.start()
        for _ in range(rounds):
            hedger = start("services.hedger", bus=bus, variables={"MM_HEDGER_LEDGER": url})
            wait_for_line(hedger, "joined the bus")
            with news:
                wanted = len(acknowledged) + chance.randrange(1, 150)
                assert news.wait_for(lambda wanted=wanted: len(acknowledged) >= wanted, timeout=60)
            hedger.send_signal(signal.SIGKILL)
            hedger.communicate(timeout=30)
            with news:
                said = set(acknowledged)
            with open_ledger(url, read_only=True) as ledger:
                standing = [entry.entry_id for entry in ledger.after(0)]
            assert said <= set(standing)
            assert len(standing) == len(set(standing))
        with running("services.hedger", bus=bus, variables={"MM_HEDGER_LEDGER": url}):
            for each in senders:
                each.is_enough = True
            for each in senders:
                each.join(60)
                assert not each.is_alive()
        with open_ledger(url, read_only=True) as ledger:
            standing = [entry.entry_id for entry in ledger.after(0)]
        assert sorted(standing) == sorted(name for each in senders for name in each.sent)


def book(endpoints: Endpoints, *names: str) -> list[str]:
    """The statuses of these fills."""
    questions = [encode_question(fill(name, units=MICRO)) for name in names]
    return [decode_answer(request(endpoints.hedger, each, timeout_s=20, tries=1)).status for each in questions]


def verified(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`--verify` as a command."""
    command = [sys.executable, "-m", "services.hedger", "--verify", "--ledger", url, *arguments]
    own = {name: text for name, text in os.environ.items() if not name.startswith("MM_")} | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=own, cwd=ROOT, timeout=60, check=False)


def test_a_damaged_last_page_stops_the_start_and_the_copy_goes_on(tmp_path: Path) -> None:
    path, copy = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite"
    bus = f"ipc://{tmp_path}/b"
    endpoints = Endpoints.of(bus)
    names = [f"f{number}" for number in range(30)]
    with running("services.broker", bus=bus):
        with running("services.hedger", bus=bus, variables={"MM_HEDGER_LEDGER": f"sqlite:///{path}"}):
            assert book(endpoints, *names) == ["ok"] * 30
        with sqlite3.connect(path) as connection:
            page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.close()
        with path.open("r+b") as file:
            file.seek(-page_bytes, os.SEEK_END)
            file.write(os.urandom(page_bytes))
        damaged = start("services.hedger", bus=bus, variables={"MM_HEDGER_LEDGER": f"sqlite:///{path}"})
        _, said = damaged.communicate(timeout=60)
        assert damaged.returncode == 2
        assert "damaged" in said
        assert "--verify" in said
        assert "--recover" in said
        done = verified(f"sqlite:///{path}", "--recover", str(copy))
        assert done.returncode == 3, done.stderr
        with open_ledger(f"sqlite:///{copy}", read_only=True) as ledger:
            kept = [entry.entry_id for entry in ledger.after(0)]
        assert kept == names[: len(kept)]
        with running("services.hedger", bus=bus, variables={"MM_HEDGER_LEDGER": f"sqlite:///{copy}"}):
            assert book(endpoints, *names) == ["ok"] * 30
        assert verified(f"sqlite:///{copy}").returncode == 0


def test_a_full_disk_refuses_bookings_loudly_and_room_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    bus = f"ipc://{tmp_path}/b"
    endpoints = Endpoints.of(bus)
    variables = {"MM_HEDGER_LEDGER": f"sqlite:///{path}"}
    with running("services.broker", bus=bus), running("services.hedger", bus=bus, variables=variables) as hedger:
        wait_for_line(hedger, "joined the bus")
        assert book(endpoints, "f1", "f2") == ["ok", "ok"]
        _, most = resource.prlimit(hedger.pid, resource.RLIMIT_FSIZE)
        size = path.with_name(path.name + "-wal").stat().st_size
        resource.prlimit(hedger.pid, resource.RLIMIT_FSIZE, (size, most))  # no file of it may grow
        assert book(endpoints, "f3", "f4", "f3") == ["unavailable"] * 3
        wait_for_line(hedger, "the ledger is unavailable, nothing is booked")
        reply = decode_answer(request(endpoints.hedger, encode_question(FillsQuery()), timeout_s=20))
        assert (reply.status, [row["id"] for row in reply.rows]) == ("ok", ["f2", "f1"])
        resource.prlimit(hedger.pid, resource.RLIMIT_FSIZE, (most, most))
        assert book(endpoints, "f3", "f4", "f1") == ["ok"] * 3
        wait_for_line(hedger, "the ledger answers again")
    with open_ledger(variables["MM_HEDGER_LEDGER"], read_only=True) as ledger:
        entries = list(ledger.after(0))
    assert [entry.entry_id for entry in entries] == ["f1", "f2", "f3", "f4"]
    assert {entry.slug for entry in entries} == {SLUG}

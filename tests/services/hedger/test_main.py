"""The hedger as a process: its ledger, its command line, its drop folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.folder_io import BOT_FILE
from services.hedger.hedge_report import group_rows
from shared.bus import Endpoints, Publisher, Responder, Subscriber, request
from shared.config import MMConfig
from shared.core import Delivery
from shared.messages import Fill, OutcomeBook, Period, Position, QuoteSet
from shared.money import MICRO
from shared.requests import FillsQuery, HedgeQuery, decode_answer, encode_question
from tests.builders import NS, SLUG, build
from tests.processes import ROOT, running, start, wait_for_line
from tests.services.hedger.scene import fill

BOOK = ("book-fill", "--market", "btc-15m", "--slug", SLUG, "--outcome", "CALL", "--side", "buy", "--price", "0.49")


@pytest.fixture
def bus(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/b"


@contextmanager
def serving(bus: str, tmp_path: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A broker and a hedger on it."""
    with (
        running("services.broker", bus=bus),
        running("services.hedger", bus=bus, variables={"MM_OUT": str(tmp_path / "out")} | variables) as hedger,
    ):
        wait_for_line(hedger, "joined the bus")
        yield hedger


def command(bus: str, module: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command line, to its end."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("MM_")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=own | {"MM_BUS": bus, "PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )


@pytest.fixture
def client(bus: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return command(bus, "services.hedger.client", *arguments)

    return run


def test_a_booked_fill_is_published_and_the_position_with_it(bus: str, tmp_path: Path) -> None:
    endpoints = Endpoints.of(bus)
    with serving(bus, tmp_path):
        subscriber = Subscriber(endpoints, ["Position.btc-15m\0", "Fill.btc-15m\0"])
        subscriber.join(20)
        publisher = Publisher(endpoints, instance="test-1")
        publisher.wait_until_connected(20)
        publisher.publish(build(Period))
        booked = encode_question(fill(outcome="PUT"))
        assert decode_answer(request(endpoints.hedger, booked, timeout_s=20)).status == "ok"
        seen: list[str] = []
        while not seen or seen[-1] != "held":
            for event in subscriber.receive(1000):
                if isinstance(event, Delivery) and isinstance(event.message, Fill):
                    seen.append(event.message.fill_id)
                elif isinstance(event, Delivery) and isinstance(event.message, Position) and event.message.put_shares:
                    seen.append("held")
        assert seen == ["f1", "held"]
        subscriber.close()
        publisher.close()


def test_the_command_line_books_asks_and_says_by_its_exit_code(
    bus: str, tmp_path: Path, client: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with serving(bus, tmp_path):
        booking = (*BOOK, "--fill-id", "f1", "--shares", "10", "--ts-ns", "1791241500000000000")
        for _ in range(2):
            done = client(*booking)
            assert (done.returncode, done.stdout.partition(":")[0]) == (0, "booked")
        done = client(*booking, "--fee", "1")
        assert done.returncode == 1
        assert "refused: id_reused" in done.stderr
        done = client("fills", "--json")
        (row,) = json.loads(done.stdout)["rows"]
        assert (row["id"], row["shares"], row["cash_usd"]) == ("f1", 10.0, -4.9)
        for asked in (("positions",), ("pnl", "--market", "btc-15m"), ("fills", "--count", "5")):
            done = client(*asked)
            assert (done.returncode, SLUG in done.stdout) == (0, True), asked
        assert client("position", "--market", "sol-15m").returncode == 1
        assert client("hedge", "--market", "btc-15m").returncode == 1
        assert client("position").returncode == 2
        assert client(*BOOK, "--fill-id", "f2", "--shares", "ten").returncode == 2


def test_the_client_finds_the_bus_of_a_running_bot_by_its_folder(bus: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / BOT_FILE).write_bytes(msgspec.json.encode({"pid": 1, "bus": bus, "markets": ["btc-15m"]}))
    with serving(bus, tmp_path):
        done = command("ipc:///nowhere/b", "services.hedger.client", "positions", "--out", str(folder))
        assert (done.returncode, done.stderr) == (0, "")
    for contents, why in ((b"junk", "is no file of a bot"), (b"{}", "is no file of a bot"), (None, "no bot runs on")):
        (folder / BOT_FILE).unlink()
        if contents is not None:
            (folder / BOT_FILE).write_bytes(contents)
        done = command(bus, "services.hedger.client", "positions", "--out", str(folder))
        assert (done.returncode, why in done.stderr) == (2, True), done.stderr
        (folder / BOT_FILE).touch()
    assert command(bus, "services.hedger.client", "positions", "--out", "x", "--bus", bus).returncode == 2


def test_a_running_hedger_says_what_to_do_with_its_position(
    bus: str, tmp_path: Path, client: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    start_s = int(time.time()) // 900 * 900
    slug = f"btc-updown-15m-{start_s}"
    config = MMConfig(inventory_skew_factor=0.004).model_dump_json()
    with serving(bus, tmp_path, MM_CONFIG_JSON=config):
        publisher = Publisher(Endpoints.of(bus), instance="test-1")
        publisher.wait_until_connected(20)
        held = encode_question(fill(slug=slug, units=100 * MICRO, ts_ns=start_s * NS))
        assert decode_answer(request(Endpoints.of(bus).hedger, held, timeout_s=20)).status == "ok"
        rows: tuple[dict[str, Any], ...] = ()
        while not rows:  # what is published and what is asked come by two ways
            now_ns = time.time_ns()
            lasting = {"at_s": now_ns / NS, "slug": slug}
            publisher.publish(build(Period, start_ns=start_s * NS, end_ns=now_ns + 900 * NS, **lasting))
            publisher.publish(build(OutcomeBook, **lasting))
            quotes = {"fair_value": 0.56, "fair_low": None, "fair_high": None, "valid_until_ns": now_ns + 600 * NS}
            publisher.publish(build(QuoteSet, **(lasting | quotes)))
            asked = encode_question(HedgeQuery(market="btc-15m"))
            rows = decode_answer(request(Endpoints.of(bus).hedger, asked, timeout_s=20)).rows
        done = client("hedge", "--market", "btc-15m")
        assert (done.returncode, done.stderr) == (0, "")
        page = command(bus, "hedge_analyzer", "--ask-hedger", "--market", "btc-15m")
        assert (page.returncode, page.stderr) == (0, "")
        for text in ("100 CALL, 0 PUT", "fair 0.56", "gamma 0.004 per $", "certain"):
            assert text in done.stdout
            assert text in page.stdout
        answered = json.loads(command(bus, "hedge_analyzer", "--ask-hedger", "--json").stdout)
        assert answered["recommendation"] == group_rows(rows)["recommendation"]
        publisher.close()


def test_an_outcome_that_was_missed_is_named_at_the_start_and_booked_by_hand(
    bus: str, tmp_path: Path, client: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    slug = "btc-updown-15m-1726056000"
    with serving(bus, tmp_path):
        booked = encode_question(fill(slug=slug))
        assert decode_answer(request(Endpoints.of(bus).hedger, booked, timeout_s=20)).status == "ok"
    with serving(bus, tmp_path) as hedger:
        wait_for_line(hedger, f"{slug} since 2024-09-11T12:15:00Z")
        for asked in ("pnl", "positions"):
            shown = client(asked).stdout
            assert slug in shown, asked
            assert "2024-09-11T12:15:00Z" in shown, asked
        assert json.loads(client("positions", "--json").stdout)["waiting"] == {slug: 1_726_056_900 * NS}
        for _ in range(2):
            done = client("book-settlement", "--slug", slug, "--outcome", "CALL")
            assert (done.returncode, done.stdout.partition(" (")[0]) == (0, f"booked: {slug} as CALL")
        done = client("book-settlement", "--slug", slug, "--outcome", "PUT")
        assert (done.returncode, "refused: outcome_differs" in done.stderr) == (1, True)
        (row,) = json.loads(client("pnl", "--json").stdout)["rows"]
        assert (row["outcome"], row["realized_usd"], row["waiting_since_ns"]) == ("CALL", 5.1, None)
        assert client("book-settlement", "--slug", "btc-15m", "--outcome", "PUT").returncode == 2


def test_no_answer_is_unknown_and_says_how_to_repeat_the_very_same_booking(
    client: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = client(*BOOK, "--fill-id", "f1", "--shares", "10", "--timeout-s", "0.1")
    assert done.returncode == 3
    assert "--ts-ns 1" in done.stderr


def test_a_second_hedger_on_the_same_ledger_is_refused(bus: str, tmp_path: Path, url: str) -> None:
    with serving(bus, tmp_path, MM_HEDGER_LEDGER=url):
        other = start("services.hedger", bus=bus, variables={"MM_HEDGER_LEDGER": url})
        _, said = other.communicate(timeout=60)
        assert other.returncode == 2
        assert "another hedger writes" in said
        done = command(bus, "services.hedger", "--verify", "--ledger", url)
        assert (done.returncode, "0 entries, intact" in done.stdout) == (0, True)


def test_a_server_that_does_not_answer_is_worth_another_try(bus: str, tmp_path: Path) -> None:
    url = f"postgresql://nobody:s3cret@/none?host={tmp_path}"
    done = command(bus, "services.hedger", MM_HEDGER_LEDGER=url)
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


def test_a_wrong_command_or_setting_exits_with_two(bus: str, tmp_path: Path) -> None:
    assert command(bus, "services.hedger", "--recover", str(tmp_path / "x")).returncode == 2
    done = command(bus, "services.hedger", MM_HEDGER_LEGDER="sqlite:///x")
    assert (done.returncode, "did you mean MM_HEDGER_LEDGER" in done.stderr) == (2, True)
    (tmp_path / "file").touch()
    done = command(bus, "services.hedger", MM_HEDGER_DROP=str(tmp_path / "file"), MM_OUT=str(tmp_path / "out"))
    assert (done.returncode, "MM_HEDGER_DROP" in done.stderr) == (2, True)


def test_a_dropped_file_is_booked_and_counted(bus: str, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "mm_hedge_1.json").write_bytes(msgspec.json.encode(fill("bad", price_micro=0)))
    (drop / "mm_hedge_2.json").write_bytes(msgspec.json.encode(fill("dropped", units=MICRO)))
    with running("services.broker", bus=bus):
        variables = {"MM_OUT": str(tmp_path / "out"), "MM_HEDGER_DROP": str(drop)}
        with running("services.hedger", bus=bus, variables=variables) as hedger:
            port = json.loads(wait_for_line(hedger, '"started"'))["metrics_port"]
            wait_for_line(hedger, "mm_hedge_1.json refused: price")
            rows = decode_answer(request(Endpoints.of(bus).hedger, encode_question(FillsQuery()), timeout_s=20)).rows
            assert [row["id"] for row in rows] == ["dropped"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
                text = page.read().decode()
    assert sorted(each.name for each in drop.iterdir()) == [
        "mm_hedge_1.json.reason", "mm_hedge_1.json.refused", "mm_hedge_2.json.booked",
    ]  # fmt: skip
    assert "hedger_fills_booked_total 1.0" in text
    assert "hedger_commit_seconds_count 1.0" in text


def test_requests_that_wait_together_are_answered_in_one_call(bus: str) -> None:
    address = Endpoints.of(bus).hedger
    responder = Responder(address)
    batches: list[list[bytes]] = []

    def answer_all(questions: list[bytes]) -> list[bytes]:
        batches.append(questions)
        return [b"re " + each for each in questions]

    assert responder.serve_together(answer_all) == 0
    assert batches == []
    with subprocess.Popen([sys.executable, "-c", ASKER, address], stdout=subprocess.PIPE, cwd=ROOT) as asker:
        served = 0
        while served < 20:
            served += responder.serve_together(answer_all, wait_ms=1000)
        said, _ = asker.communicate(timeout=30)
    assert said.split(b"\n")[:20] == [b"re %d" % number for number in range(20)]
    assert len(batches) < 20
    assert b"".join(b"".join(each) for each in batches) == b"".join(b"%d" % number for number in range(20))
    responder.close()


ASKER = """
import sys, zmq
socket = zmq.Context.instance().socket(zmq.DEALER)
socket.connect(sys.argv[1])
for number in range(20):
    socket.send(b"%d" % number)
for number in range(20):
    print(socket.recv().decode())
"""

"""The real process between a broker, a publisher that plays the market, and a ledger that drops and delays."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from services.executor.outbox_io import OUTBOX_FILE, Outbox
from shared.bus import Endpoints, Publisher, Subscriber
from shared.core import Delivery
from shared.messages import (
    FeedStatus,
    Heartbeat,
    OpenOrders,
    OutcomeBook,
    OutcomeTrade,
    Period,
    Position,
    QuoteSet,
)
from shared.requests import BookFill, Status
from shared.service import EXIT_CONFIGURATION
from tests.builders import NS, build
from tests.processes import running, start, wait_for_line
from tests.services.executor.ledger import FakeLedger
from tests.services.executor.outbox import read_outbox
from tests.services.executor.scene import BOOK_STREAMS, MARKET, ask, bid
from tests.services.executor.test_period_orders import fill_of


class Market:
    """Publishes a market in good order, now, and hears the open orders and heartbeats."""

    def __init__(self, bus: str) -> None:
        endpoints = Endpoints.of(bus)
        self.start_s = int(time.time()) - 300
        self.slug = f"btc-updown-15m-{self.start_s}"
        self.open: OpenOrders | None = None
        self.beat: Heartbeat | None = None
        self._publisher = Publisher(endpoints, instance="market")
        self._publisher.wait_until_connected(20.0)
        self._subscriber = Subscriber(endpoints, (f"OpenOrders.{MARKET}\0", "Heartbeat.executor."))
        self._subscriber.join(20.0)
        self._trades = 0

    def turn(self, **trade: float) -> None:
        """Say everything that must be fresh, and perhaps a trade; hear what is there."""
        now_ns = time.time_ns()
        at_s = now_ns / NS
        say = self._publisher.publish
        start_ns = self.start_s * NS
        say(build(Period, at_s=at_s, slug=self.slug, start_ns=start_ns, end_ns=start_ns + 900 * NS))
        for subject in BOOK_STREAMS:
            say(build(FeedStatus, at_s=at_s, venue="polymarket", channel="OutcomeBook", subject=subject))
        book = {"bid_ticks": (45,), "bid_sizes": (100.0,), "ask_ticks": (55,), "ask_sizes": (100.0,)}
        say(build(OutcomeBook, at_s=at_s, slug=self.slug, **book))
        say(build(Position, at_s=at_s, slug=self.slug))
        quotes = {"call": (bid(48), ask(52)), "valid_until_ns": now_ns + NS}
        say(build(QuoteSet, at_s=at_s, slug=self.slug, **quotes))
        if trade:
            self._trades += 1
            say(build(OutcomeTrade, at_s=at_s, slug=self.slug, aggressor="sell", trade_id=str(self._trades), **trade))
        for event in self._subscriber.receive(20):
            if isinstance(event, Delivery) and isinstance(event.message, OpenOrders):
                self.open = event.message
            elif isinstance(event, Delivery) and isinstance(event.message, Heartbeat):
                self.beat = event.message

    def turn_until(self, condition: Callable[[], bool], **trade: float) -> None:
        """Turns until a condition holds; the test's own time limit is the deadline."""
        while not condition():
            self.turn(**trade)

    def close(self) -> None:
        self._publisher.close()
        self._subscriber.close()


@pytest.fixture
def bus(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/bus"


def metrics_of(market: Market) -> bytes:
    assert market.beat is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{market.beat.metrics_port}/metrics", timeout=5.0) as answer:
        return bytes(answer.read())


def states(path: Path) -> list[str]:
    return [each.state for each in read_outbox(path)] if path.exists() else []


def test_every_fill_in_the_outbox_is_booked_exactly_once_by_a_ledger_that_drops_and_delays(
    bus: str, tmp_path: Path
) -> None:
    def verdict(fill: BookFill, times: int) -> Status | None:
        number = int(fill.units) // 1_000_000
        return (None if number % 2 else "unavailable") if times == 1 else "ok"

    variables = {"MM_OUT": str(tmp_path), "MM_EXECUTOR_QUEUE": "optimistic"}
    outbox = tmp_path / OUTBOX_FILE
    with running("services.broker", bus=bus):
        with running("services.executor", bus=bus, variables=variables) as executor:
            wait_for_line(executor, "joined the bus")
            market = Market(bus)
            market.turn_until(
                lambda: market.open is not None and [each.state for each in market.open.orders] == ["resting"] * 2
            )
            market.turn_until(lambda: len(states(outbox)) > 0, price=0.48, size=1.0)
            assert set(states(outbox)) == {"waiting"}  # on disk, though there is no ledger yet
        first_run = [each.fill for each in read_outbox(outbox)]
        ledger = FakeLedger(Endpoints.of(bus).hedger, verdict)
        with running("services.executor", bus=bus, variables=variables) as executor:
            wait_for_line(executor, "joined the bus")
            for size in (2.0, 3.0):
                known = len(states(outbox))
                market.turn_until(lambda known=known: len(states(outbox)) > known, price=0.48, size=size)  # type: ignore[misc]
            market.beat = None  # that was of the first run
            market.turn_until(lambda: market.beat is not None)
            market.turn_until(lambda: set(states(outbox)) == {"booked"})
            text = metrics_of(market)
            assert b'what="placed"' in text
            assert b"executor_outbox_fills 0.0" in text
            assert b"executor_booking_seconds_count" in text
            assert b'executor_filled_shares_total{market="btc-15m",outcome="PUT"} 0.0' in text  # not yet is a zero
            market.close()
        ledger.close()
    record = [each.fill for each in read_outbox(outbox)]
    assert record[: len(first_run)] == first_run
    assert ledger.booked == record
    assert len({each.fill_id for each in record}) == len(record)
    assert all(ledger.asked.count(each.fill_id) >= 2 for each in record)
    sessions = {each.order_id.split(":")[1] for each in record}
    assert len(sessions) == 2


def test_a_second_executor_on_the_same_outbox_does_not_start(bus: str, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / OUTBOX_FILE)
    process = start("services.executor", bus=bus, variables={"MM_OUT": str(tmp_path)})
    wait_for_line(process, "another executor")
    assert process.wait(timeout=60) == EXIT_CONFIGURATION
    assert process.stderr is not None
    process.stderr.close()
    outbox.close()


def test_a_fill_that_nobody_answers_stays_for_the_next_run(bus: str, tmp_path: Path) -> None:
    path = tmp_path / OUTBOX_FILE
    outbox = Outbox(path)
    outbox.append([fill_of(1), fill_of(2)])
    outbox.close()
    with (
        running("services.broker", bus=bus),
        running("services.executor", bus=bus, variables={"MM_OUT": str(tmp_path)}) as executor,
    ):
        wait_for_line(executor, "joined the bus")
    assert states(path) == ["waiting", "waiting"]


def test_a_booked_fill_of_a_period_that_runs_is_asked_for_again_and_others_are_not(bus: str, tmp_path: Path) -> None:
    start_s = int(time.time()) // 900 * 900
    ts_ns = start_s * NS
    over, runs = (
        fill_of(number, slug=f"btc-updown-15m-{start}", ts_ns=ts_ns)
        for number, start in ((1, start_s - 1800), (2, start_s + 900))
    )
    outbox = Outbox(tmp_path / OUTBOX_FILE)
    outbox.append([over, runs, fill_of(3, slug=over.slug, ts_ns=ts_ns)])
    for each in (over, runs):
        outbox.settle(each.fill_id, "booked", "ok")
    outbox.close()
    ledger = FakeLedger(Endpoints.of(bus).hedger, lambda _fill, _times: "ok")
    with (
        running("services.broker", bus=bus),
        running("services.executor", bus=bus, variables={"MM_OUT": str(tmp_path)}) as executor,
    ):
        wait_for_line(executor, "joined the bus")
        while states(tmp_path / OUTBOX_FILE) != ["booked"] * 3:
            time.sleep(0.02)
    assert sorted(set(ledger.asked)) == ["f2", "f3"]
    ledger.close()


def test_a_fill_of_a_market_the_ledger_does_not_serve_is_booked_by_a_later_start_that_does(
    bus: str, tmp_path: Path
) -> None:
    path = tmp_path / OUTBOX_FILE
    outbox = Outbox(path)
    outbox.append([fill_of(1, market="eth-15m"), fill_of(2)])
    outbox.close()
    served = {"btc-15m"}
    ledger = FakeLedger(
        Endpoints.of(bus).hedger, lambda fill, _times: "ok" if fill.market in served else "unknown_market"
    )
    variables = {"MM_OUT": str(tmp_path)}
    with running("services.broker", bus=bus):
        for expected in (["waiting", "booked"], ["booked", "booked"]):
            with running("services.executor", bus=bus, variables=variables) as executor:
                if expected[0] == "waiting":
                    wait_for_line(executor, "the fill waits in the outbox")
                while states(path) != expected:
                    time.sleep(0.02)
            assert states(path) == expected
            served.add("eth-15m")
    assert [each.fill_id for each in ledger.booked] == ["f2", "f1"]
    ledger.close()


def test_a_wrong_setting_stops_the_start(bus: str, tmp_path: Path) -> None:
    variables = {"MM_OUT": str(tmp_path), "MM_EXECUTOR_QUEUE": "lucky"}
    process = start("services.executor", bus=bus, variables=variables)
    _, log = process.communicate(timeout=60)
    assert process.returncode == EXIT_CONFIGURATION
    assert "queue" in log

"""No paper fill is lost and none counts twice: broker, hedger and executor, killed at any moment while they trade.

`KILL_ROUNDS=50` makes it long; see `CONTRIBUTING.md`.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from services.executor.outbox_io import OUTBOX_FILE
from services.hedger.accounts import Books
from services.hedger.entries import Entry, movements
from services.hedger.ledger_io import open_ledger
from services.hedger.market_view import position_of
from services.hedger.settings import LEDGER_FILE
from shared.bus import Endpoints, Publisher, Subscriber, request
from shared.messages import FeedStatus, OutcomeBook, OutcomeTrade, Period, Position, QuoteSet
from shared.money import MICRO, from_micro, product_micro
from shared.requests import BookFill, PositionQuery, decode_answer, encode_question
from tests.builders import NS, build
from tests.processes import start, wait_for_line
from tests.services.executor.outbox import read_outbox
from tests.services.executor.scene import BOOK_STREAMS, MARKET, ask, bid

PARTS = ("broker", "hedger", "executor")
ROUNDS = int(os.environ.get("KILL_ROUNDS", "10"))
PACE_MS = 10


class PaperSystem:
    """The three parts, and a market that quotes and trades all the time on their bus."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.bus = f"ipc://{folder}/b"
        self.outbox = folder / OUTBOX_FILE
        self.kills: Counter[str] = Counter()
        self.slug = f"{MARKET.replace('-', '-updown-')}-{int(time.time()) // 900 * 900}"
        self._variables = {
            "MM_OUT": str(folder),
            "MM_EXECUTOR_QUEUE": "optimistic",
            "MM_EXECUTOR_ORDER_LATENCY_S": "0.01",
        }
        self._chance = chance
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._trades = 0
        for part in PARTS:
            self.start(part)
        endpoints = Endpoints.of(self.bus)
        self._publisher = Publisher(endpoints, instance="market")
        self._subscriber = Subscriber(endpoints, (f"OpenOrders.{MARKET}\0",))  # its news set the pace
        self._end_ns = time.time_ns() + 3600 * NS
        self._publisher.wait_until_connected(30.0)
        self._subscriber.join(30.0)
        wait_for_line(self._running["executor"], "joined the bus")

    # -- the parts ---------------------------------------------------------------------------------------------------

    def start(self, part: str) -> None:
        self._running[part] = start(f"services.{part}", bus=self.bus, variables=self._variables)

    def kill(self, part: str) -> None:
        """At once. A part that had stopped by itself is a fault, and its log says which."""
        self._end(part, signal.SIGKILL, -signal.SIGKILL)
        self.kills[part] += 1

    def stop(self) -> None:
        """Cleanly, who publishes first and the broker last."""
        for part in reversed(PARTS):
            self._end(part, signal.SIGTERM, 0)

    def _end(self, part: str, number: signal.Signals, expected: int) -> None:
        ended = self._running.pop(part)
        ended.send_signal(number)
        _, log = ended.communicate(timeout=30)
        assert ended.returncode == expected, f"{part} ended with {ended.returncode}:\n{log}"

    def close(self) -> None:
        """Whatever still runs after a failure is killed."""
        for each in self._running.values():
            each.kill()
            each.communicate(timeout=30)
        self._publisher.close()
        self._subscriber.close()

    # -- the market --------------------------------------------------------------------------------------------------

    def turn(self, *, is_trading: bool = True) -> None:
        """Everything that must be fresh, and a trade that reaches our bid or our asks."""
        now_ns = time.time_ns()
        now = {"at_s": now_ns / NS, "slug": self.slug}
        say = self._publisher.publish
        say(build(Period, **now, start_ns=self._end_ns - 7200 * NS, end_ns=self._end_ns))
        for subject in BOOK_STREAMS:
            say(build(FeedStatus, at_s=now["at_s"], venue="polymarket", channel="OutcomeBook", subject=subject))
        sizes = {"bid_sizes": (100.0,), "ask_sizes": (100.0,)}
        say(build(OutcomeBook, **now, bid_ticks=(45,), ask_ticks=(55,), **sizes))
        layers = (bid(48), ask(52, 5.0, held=True), ask(53))
        say(build(QuoteSet, **now, call=layers, put=(), valid_until_ns=now_ns + NS))
        if is_trading:
            self._trades += 1
            aggressor = self._chance.choice(("sell", "buy"))
            trade = {"price": 0.48 if aggressor == "sell" else 0.53, "size": self._chance.randrange(1, MICRO) / MICRO}
            say(build(OutcomeTrade, **now, **trade, aggressor=aggressor, trade_id=str(self._trades)))
        self._subscriber.receive(PACE_MS)

    def turn_until(self, condition: Callable[[], bool], *, is_trading: bool = True) -> None:
        """Turns until a condition holds; the test's own time limit is the deadline."""
        while not condition():
            for _ in range(5):
                self.turn(is_trading=is_trading)

    # -- what came of it ---------------------------------------------------------------------------------------------

    def written(self) -> int:
        """Fills in the outbox."""
        with closing(sqlite3.connect(f"file:{self.outbox}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM fills").fetchone()[0])

    def is_drained(self) -> bool:
        return {each.state for each in read_outbox(self.outbox)} == {"booked"}

    def position(self) -> Position:
        """What the hedger says."""
        question = encode_question(PositionQuery(market=MARKET))
        (position,) = decode_answer(request(Endpoints.of(self.bus).hedger, question, timeout_s=30)).positions
        return position


def booking_of(entry: Entry) -> BookFill:
    """What was asked to be booked, from what stands in the ledger."""
    return BookFill(
        fill_id=entry.entry_id,
        order_id=entry.order_id,
        order_units=entry.order_units,
        market=entry.market,
        slug=entry.slug,
        outcome=entry.outcome,  # type: ignore[arg-type]
        side=entry.side,  # type: ignore[arg-type]
        price_micro=entry.price_micro,
        units=entry.units,
        fee_micro=entry.fee_micro,
        rebate_micro=entry.rebate_micro,
        is_maker=entry.liquidity == "maker",
        ts_ns=entry.ts_ns,
    )


def totals(fills: Sequence[BookFill]) -> tuple[int, int, int]:
    """Cash, CALL and PUT that these fills leave us with."""
    cash_micro, held = 0, Counter[str]()
    for each in fills:
        sign = 1 if each.side == "buy" else -1
        cash_micro -= sign * product_micro(each.price_micro, each.units) + each.fee_micro
        held[each.outcome] += sign * each.units
    return cash_micro, held["CALL"], held["PUT"]


@pytest.mark.timeout(60 + 15 * ROUNDS)
def test_the_ledger_is_the_outbox_exactly_whoever_is_killed(tmp_path: Path) -> None:
    chance = random.Random(29)
    with ExitStack() as stack:
        paper = PaperSystem(tmp_path, chance)
        stack.callback(paper.close)
        paper.turn_until(lambda: paper.written() > 0)
        for _ in range(ROUNDS):
            victims = chance.sample(PARTS, chance.choice((1, 1, 1, 2, 3)))
            for part in victims:
                paper.kill(part)
            for part in victims:
                paper.start(part)
            if chance.random() < 0.25:  # the next falls while these start or heal
                for _ in range(chance.randrange(60)):
                    paper.turn()
            else:
                wanted = paper.written() + chance.randrange(1, 30)
                paper.turn_until(lambda wanted=wanted: paper.written() >= wanted)  # type: ignore[misc]
        paper.turn_until(paper.is_drained, is_trading=False)
        said = paper.position()
        paper.stop()
    record = [each.fill for each in read_outbox(paper.outbox)]
    with open_ledger(f"sqlite:///{tmp_path / LEDGER_FILE}", read_only=True) as ledger:
        entries = list(ledger.after(0))
    assert [booking_of(each) for each in entries] == record
    assert len({each.fill_id for each in record}) == len(record)
    assert len({each.order_id.split(":")[1] for each in record}) > 1  # several executors traded
    assert {(each.outcome, each.side) for each in record} == {("CALL", "buy"), ("CALL", "sell"), ("PUT", "buy")}
    assert set(paper.kills) == set(PARTS)

    books = Books()
    books.replay(entries)
    (account,) = books.accounts.values()
    assert (account.cash_micro, account.call.units, account.put.units) == totals(record)
    assert account.cash_micro == account.realized_micro - account.call.cost_micro - account.put.cost_micro
    moved = [each for entry in entries for each in movements(entry)]
    assert {sum(column) for column in zip(*(each[1:] for each in moved), strict=True)} == {0}
    assert said.sequence == books.sequence
    replayed = position_of(account, said.ts_recv_ns, sequence=books.sequence)
    for name in ("slug", "call_shares", "put_shares", "realized_pnl_usd", "fees_usd", "rebates_usd", "fills"):
        assert getattr(said, name) == getattr(replayed, name), name
    assert said.fills == len(record)
    assert said.call_shares == from_micro(account.call.units)

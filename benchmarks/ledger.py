"""The ledger: durable fills a second, the latency of a question, and how long a million fills take to read again.

Beside them, in the same run: bare SQLite commits of the same batch size on the same disk, and bare ZeroMQ round trips.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import zmq
from msgspec.structs import astuple
from rich.progress import Progress

from benchmarks.processes import started
from benchmarks.report import Row
from services.hedger import entries as make
from services.hedger.accounts import Books
from services.hedger.entries import FIELDS, Entry
from services.hedger.ledger_io import open_ledger
from shared.bus import Endpoints
from shared.money import MICRO
from shared.requests import BookFill, PositionsQuery, decode_answer, encode_question
from tests.builders import START_S

IN_FLIGHT = 256  # bookings a busy sender has under way
FILLS_A_PERIOD = 500
PERIOD_S = 900


def measure(fills: int = 20_000, *, replayed: int = 1_000_000) -> list[Row]:
    """Run all."""
    with tempfile.TemporaryDirectory(prefix="mm", dir=Path.cwd()) as folder:
        return [*_serving(Path(folder), fills), _replay(Path(folder), replayed)]


def booking(number: int) -> BookFill:
    """One of many fills, each of an order of its own; the periods follow one another."""
    start_s = START_S + number // FILLS_A_PERIOD * PERIOD_S
    return BookFill(
        fill_id=f"bench-fill-{number}",
        order_id=f"bench-order-{number}",
        order_units=10 * MICRO,
        market="btc-15m",
        slug=f"btc-updown-15m-{start_s}",
        outcome="CALL" if number % 2 else "PUT",
        side="buy",
        price_micro=480_000 + number % 7 * 10_000,
        units=10 * MICRO,
        fee_micro=0,
        rebate_micro=35_000,
        is_maker=True,
        ts_ns=start_s * 1_000_000_000 + 1,
    )


def _serving(folder: Path, fills: int) -> list[Row]:
    bus = f"ipc://{folder}/b"
    ledger = folder / "serving.sqlite"
    echo = f"ipc://{folder}/echo"
    variables = {"MM_BUS": bus, "MM_HEDGER_LEDGER": f"sqlite:///{ledger}"}
    parts = [["services.broker"], ["services.hedger"], ["benchmarks.ledger", echo]]
    with started(parts, variables), zmq.Context() as context:
        hedger, bare = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
        hedger.connect(Endpoints.of(bus).hedger)
        bare.connect(echo)
        question = encode_question(PositionsQuery())
        for socket in (hedger, bare):
            _round_trip(socket, question)
        took_s = _book(hedger, [encode_question(booking(number)) for number in range(fills)])
        ask_us, bare_us, book_us, alone_us = [], [], [], []
        alone = _bare_table(folder / "alone.sqlite")
        for number in range(1000):
            ask_us.append(_round_trip(hedger, question))
            bare_us.append(_round_trip(bare, question))
            if number % 5 == 0:  # by turns: a disk has better and worse minutes
                fill = booking(fills + number)
                book_us.append(_round_trip(hedger, encode_question(fill)))
                alone_us.append(_bare_commits(alone, [make.of_fill(fill, sequence=number, booked_ns=1)], 1) * 1e6)
        alone.close()
        hedger.close(linger=0)
        bare.close(linger=0)
    batch = _mean_batch(ledger, fills)
    rows = [make.of_fill(booking(number), sequence=number + 1, booked_ns=1) for number in range(fills)]
    bare_table = _bare_table(folder / "bare.sqlite")
    floor_s = _bare_commits(bare_table, rows, batch)
    bare_table.close()
    ask, booked, floor, commit = (float(np.percentile(each, 50)) for each in (ask_us, book_us, bare_us, alone_us))
    return [
        Row(
            "durable fills a second, acknowledged",
            f"{fills / took_s:,.0f} /s in commits of {batch}",
            f"{fills / floor_s:,.0f} /s bare SQLite commits of as many rows",
            f"{floor_s / took_s:.2f}",
        ),
        Row(
            "one fill alone, booked and acknowledged, median",
            f"{booked:,.0f} us (99 %: {np.percentile(book_us, 99):,.0f})",
            f"{floor + commit:,.0f} us bare round trip and bare commit",
            f"{booked / (floor + commit):.2f}",
        ),
        Row(
            "a question, asked and answered, median",
            f"{ask:,.0f} us (99 %: {np.percentile(ask_us, 99):,.0f})",
            f"{floor:,.0f} us bare ZeroMQ round trip (99 %: {np.percentile(bare_us, 99):,.0f})",
            f"{ask / floor:.2f}",
        ),
    ]


def _book(socket: zmq.Socket[bytes], questions: list[bytes]) -> float:
    """Seconds until the last of them is acknowledged, with as many under way as a busy sender has."""
    begin = time.perf_counter()
    answered = 0
    for number, question in enumerate(questions):
        socket.send(question)
        while number - answered >= IN_FLIGHT:
            answered += _acknowledged(socket)
    while answered < len(questions):
        answered += _acknowledged(socket)
    return time.perf_counter() - begin


def _acknowledged(socket: zmq.Socket[bytes]) -> int:
    answer = decode_answer(socket.recv())
    if answer.status != "ok":
        raise RuntimeError(f"the hedger refused a fill: {answer.detail}")
    return 1


def _round_trip(socket: zmq.Socket[bytes], question: bytes) -> float:
    begin = time.perf_counter_ns()
    socket.send(question)
    socket.recv()
    return (time.perf_counter_ns() - begin) / 1e3


def _mean_batch(ledger: Path, fills: int) -> int:
    """Rows a commit: what is booked in one commit has one booking time."""
    with sqlite3.connect(ledger) as connection:
        query = "SELECT COUNT(DISTINCT booked_ns) FROM entries WHERE sequence <= ?"
        (commits,) = connection.execute(query, (fills,)).fetchone()
    connection.close()
    return max(round(fills / commits), 1)


def _bare_table(path: Path) -> sqlite3.Connection:
    """A table of the same columns and nothing else, as durable as ours."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"CREATE TABLE entries ({', '.join(FIELDS)}, link, PRIMARY KEY (sequence))")
    return connection


def _bare_commits(connection: sqlite3.Connection, rows: list[Entry], batch: int) -> float:
    """Seconds to insert these rows, a commit each `batch`."""
    insert = f"INSERT INTO entries VALUES ({', '.join('?' * (len(FIELDS) + 1))})"
    columns = [(*astuple(row), bytes(32)) for row in rows]
    begin = time.perf_counter()
    for first in range(0, len(columns), batch):
        connection.execute("BEGIN")
        connection.executemany(insert, columns[first : first + batch])
        connection.execute("COMMIT")
    return time.perf_counter() - begin


def _replay(folder: Path, fills: int) -> Row:
    """Write a ledger of this many fills, then read it as a starting hedger does."""
    url = f"sqlite:///{folder}/replay.sqlite"
    with Progress() as progress:
        writing = progress.add_task("writing the ledger", total=fills)
        with open_ledger(url) as ledger:
            for first in range(0, fills, 10 * FILLS_A_PERIOD):
                count = min(10 * FILLS_A_PERIOD, fills - first)
                ledger.append(list(_periods(first, count, ledger.place.sequence)))
                progress.update(writing, completed=first + count)
            written = ledger.place.sequence
        reading = progress.add_task("reading it again", total=fills)
        with open_ledger(url) as ledger:
            begin = time.perf_counter()
            ledger.quick_check()
            checked_s = time.perf_counter() - begin
            books = Books()
            books.replay(_watched(ledger.after(0), progress, reading))
            took_s = time.perf_counter() - begin
    if books.sequence != written:
        raise RuntimeError(f"read {books.sequence} of {written} entries")
    return Row(
        f"start on a ledger of {fills:,} fills",
        f"{took_s:.1f} s, {took_s / fills * 1e6:.1f} us a fill",
        f"of it {checked_s:.1f} s SQLite's own check of its pages",
    )


def _periods(first: int, count: int, sequence: int) -> Iterator[Entry]:
    """The entries of these fills, with the settlement of each period after its last."""
    units = FILLS_A_PERIOD // 2 * 10 * MICRO
    for number in range(first, first + count):
        sequence += 1
        fill = booking(number)
        yield make.of_fill(fill, sequence=sequence, booked_ns=1)
        if (number + 1) % FILLS_A_PERIOD == 0:
            sequence += 1
            yield make.of_settlement(
                market=fill.market, slug=fill.slug, outcome="CALL", call_units=units, put_units=units,
                sequence=sequence, ts_ns=fill.ts_ns, booked_ns=1,
            )  # fmt: skip


def _watched(entries: Iterable[Entry], progress: Progress, task: object) -> Iterable[Entry]:
    for number, entry in enumerate(entries):
        if number % 50_000 == 0:
            progress.update(task, completed=number)  # type: ignore[arg-type]
        yield entry


def _echo(address: str) -> None:
    """Answer each request with itself."""
    socket = zmq.Context.instance().socket(zmq.ROUTER)
    socket.bind(address)
    while True:
        socket.send_multipart(socket.recv_multipart())


if __name__ == "__main__":
    _echo(sys.argv[1])

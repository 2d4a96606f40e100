"""The fills that we owe the ledger, on disk before they count: a SQLite file, written through at every commit.

It is the exchange's own record: every fill ever made, in order, and what the ledger answered to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import filelock
import sqlalchemy as sql

from shared.requests import BookFill, decode_question, encode_question

OUTBOX_FILE = "executor_outbox.sqlite3"

FillState = Literal["waiting", "booked", "refused"]

_schema = sql.MetaData()
_fills = sql.Table(
    "fills",
    _schema,
    sql.Column("place", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("fill_id", sql.Text, nullable=False, unique=True),
    sql.Column("ts_ns", sql.BigInteger, nullable=False),
    sql.Column("question", sql.LargeBinary, nullable=False),
    sql.Column("state", sql.Text, nullable=False, index=True),
    sql.Column("detail", sql.Text, nullable=False),
)


class OutboxTakenError(Exception):
    """Another executor writes this outbox."""


class Outbox:
    """One writer at a time. Raises OutboxTakenError when there is another."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(path.with_name(path.name + ".lock"), timeout=0)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise OutboxTakenError(f"another executor writes {path}: stop it, or choose another folder") from None
        self._engine = _open(path)
        _schema.create_all(self._engine)
        self.waiting_count = len(self.waiting())

    def append(self, fills: Sequence[BookFill]) -> None:
        """Write fills down; when this returns, they are on disk. Raises when one is there already."""
        rows: list[dict[str, Any]] = [
            {
                "fill_id": each.fill_id,
                "ts_ns": each.ts_ns,
                "question": encode_question(each),
                "state": "waiting",
                "detail": "",
            }
            for each in fills
        ]
        with self._engine.begin() as connection:
            connection.execute(sql.insert(_fills), rows)
        self.waiting_count += len(rows)

    def settle(self, fill_id: str, state: FillState, detail: str = "") -> None:
        """Write down what the ledger answered to a waiting fill."""
        waits = (_fills.c.fill_id == fill_id) & (_fills.c.state == "waiting")
        with self._engine.begin() as connection:
            changed = connection.execute(sql.update(_fills).where(waits).values(state=state, detail=detail)).rowcount
        self.waiting_count -= changed

    def waiting(self) -> list[BookFill]:
        """What the ledger has not answered yet, in order."""
        return self._read(_fills.c.state == "waiting")

    def booked_since(self, ts_ns: int) -> list[BookFill]:
        """Fills since then that the ledger has booked, in order."""
        return self._read((_fills.c.ts_ns >= ts_ns) & (_fills.c.state == "booked"))

    def close(self) -> None:
        """Let another executor have it."""
        self._engine.dispose()
        self._lock.release()

    def _read(self, condition: sql.ColumnElement[bool]) -> list[BookFill]:
        query = sql.select(_fills.c.question).where(condition).order_by(_fills.c.place)
        with self._engine.connect() as connection:
            questions = connection.scalars(query).all()
        found = []
        for question in questions:
            fill = decode_question(question)
            if not isinstance(fill, BookFill):
                raise ValueError(f"the outbox holds a {type(fill).__name__}")
            found.append(fill)
        return found


def _open(path: Path) -> sql.Engine:
    engine = sql.create_engine(f"sqlite:///{path}")

    @sql.event.listens_for(engine, "connect")
    def _write_through(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine

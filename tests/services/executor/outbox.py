"""What stands in an executor's outbox, read by a stranger, also while an executor writes it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from shared.requests import BookFill, decode_question


class OutboxRow(NamedTuple):
    fill: BookFill
    state: str
    detail: str


def read_outbox(path: Path) -> list[OutboxRow]:
    """Every fill in order. Raises when there is no outbox."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT question, state, detail FROM fills ORDER BY place").fetchall()
    found = []
    for question, state, detail in rows:
        fill = decode_question(question)
        assert isinstance(fill, BookFill)
        found.append(OutboxRow(fill, state, detail))
    return found

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sql

from services.executor.outbox_io import Outbox, OutboxTakenError
from tests.processes import ROOT
from tests.services.executor.outbox import read_outbox
from tests.services.executor.test_period_orders import fill_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deeper" / "outbox.sqlite3"


def test_what_was_written_is_there_after_a_restart_in_order(path: Path) -> None:
    outbox = Outbox(path)
    fills = [fill_of(number) for number in (3, 1, 2)]
    outbox.append(fills[:2])
    outbox.append(fills[2:])
    outbox.close()
    again = Outbox(path)
    assert again.waiting() == fills
    assert again.waiting_count == 3
    again.close()


def test_an_answered_fill_waits_no_more_but_stays_on_the_record(path: Path) -> None:
    outbox = Outbox(path)
    outbox.append([fill_of(1), fill_of(2), fill_of(3)])
    outbox.settle("f1", "booked", "ok")
    outbox.settle("f2", "refused", "order is overfilled")
    outbox.settle("f2", "booked", "too late")
    outbox.settle("f1", "booked", "twice")
    assert (outbox.waiting(), outbox.waiting_count) == ([fill_of(3)], 1)
    assert [(each.fill.fill_id, each.state, each.detail) for each in read_outbox(path)] == [
        ("f1", "booked", "ok"),
        ("f2", "refused", "order is overfilled"),
        ("f3", "waiting", ""),
    ]
    assert outbox.booked_since(0) == [fill_of(1)]
    assert outbox.booked_since(fill_of(2).ts_ns) == []
    outbox.close()


def test_a_fill_cannot_be_written_twice(path: Path) -> None:
    outbox = Outbox(path)
    outbox.append([fill_of(1)])
    with pytest.raises(sql.exc.IntegrityError):
        outbox.append([fill_of(2), fill_of(1)])
    assert (outbox.waiting(), outbox.waiting_count) == ([fill_of(1)], 1)
    outbox.close()


def test_only_one_executor_writes_an_outbox(path: Path) -> None:
    outbox = Outbox(path)
    with pytest.raises(OutboxTakenError, match="another executor"):
        Outbox(path)
    outbox.close()
    Outbox(path).close()


def test_what_was_written_survives_the_death_of_the_process(path: Path) -> None:
    program = (
        "import os, pathlib\n"
        "from services.executor.outbox_io import Outbox\n"
        "from tests.services.executor.test_period_orders import fill_of\n"
        f"outbox = Outbox(pathlib.Path({str(path)!r}))\n"
        "outbox.append([fill_of(1)])\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=60).returncode == 9
    outbox = Outbox(path)
    assert outbox.waiting() == [fill_of(1)]
    outbox.close()

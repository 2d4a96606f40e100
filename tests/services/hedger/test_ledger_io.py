"""The ledger on disk, on both backends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.hedger.bookings import Batch
from services.hedger.core import HedgerCore
from services.hedger.entries import Entry
from services.hedger.journal import JournalError, MemoryJournal
from services.hedger.ledger_io import Ledger, LedgerDamagedError, LedgerError, LedgerTakenError, open_ledger, shown
from shared.money import MICRO
from tests.builders import SLUG
from tests.services.hedger.scene import ask, ask_all, fill, hedger_in_a_period, merge, reversal


def entries_of(*bookings: Any) -> list[Entry]:
    """The entries of these bookings, one after the other."""
    kept = MemoryJournal()
    hedger = HedgerCore(["btc-15m", "eth-15m"], kept)
    for each in bookings:
        batch = Batch(hedger.books, ["btc-15m", "eth-15m"], kept.entries, now_ns=7)
        assert batch.book(each).status == "ok"
        kept.append(batch.entries)
    return kept.entries


def some(count: int, first: int = 1) -> list[Entry]:
    """Fills one after the other."""
    return entries_of(*(fill(f"f{number}") for number in range(1, first + count)))[first - 1 :]


def sqlite_path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def test_what_was_written_is_read_again_in_order(url: str) -> None:
    written = entries_of(
        fill("f1"), fill("f2", outcome="PUT"), merge(MICRO), fill("f3"), reversal("f3", reason="é \U0001f600")
    )
    with open_ledger(url) as ledger:
        ledger.append(written[:1])
        ledger.append(written[1:])
        assert list(ledger.after(0)) == written
        assert list(ledger.after(5)) == []
    with open_ledger(url) as ledger:
        assert list(ledger.after(0)) == written
        assert ledger.place.sequence == 5


def test_the_chain_goes_on_after_a_restart(url: str) -> None:
    written = some(5)
    with open_ledger(url) as ledger:
        ledger.append(written[:3])
    with open_ledger(url) as ledger:
        assert len(list(ledger.after(0))) == 3
        ledger.append(written[3:])
    with open_ledger(url, read_only=True) as ledger:
        assert list(ledger.after(0)) == written


def test_entries_are_found_by_id_by_what_they_reverse_and_by_order(url: str) -> None:
    written = entries_of(
        fill("f1"), fill("f2", order_id="o", order_units=20 * MICRO), fill("f3", order_id="o", order_units=20 * MICRO),
        reversal("f1"),
    )  # fmt: skip
    memory = MemoryJournal()
    memory.append(written)
    with open_ledger(url) as ledger:
        ledger.append(written)
        for ids, orders in (({"f1"}, set()), (set(), {"o"}), ({"f9"}, {"none", ""}), (set(), set()), ({"f2"}, {"o"})):
            found = sorted(ledger.find(ids=ids, order_ids=orders), key=lambda entry: entry.sequence)
            assert found == list(memory.find(ids=ids, order_ids=orders))


def test_the_latest_come_newest_first(url: str) -> None:
    written = entries_of(
        fill("f1"), fill("f2", market="eth-15m", slug=SLUG.replace("btc", "eth")), fill("f3"), fill("f4")
    )  # fmt: skip
    memory = MemoryJournal()
    memory.append(written)
    with open_ledger(url) as ledger:
        ledger.append(written)
        for market, count in (("", 2), ("btc-15m", 2), ("eth-15m", 9), ("sol-5m", 1)):
            assert list(ledger.latest(market=market, count=count)) == list(memory.latest(market=market, count=count))
    assert [each.entry_id for each in memory.latest(market="btc-15m", count=2)] == ["f4", "f3"]


def test_a_row_can_be_neither_changed_nor_deleted(url: str) -> None:
    with open_ledger(url) as ledger:
        ledger.append(some(2))
        for statement in ("UPDATE entries SET units = 1", "DELETE FROM entries WHERE sequence = 2"):
            with pytest.raises(sa.exc.DatabaseError, match="append-only"):
                ledger.connect().exec_driver_sql(statement)
            ledger.connect().rollback()
        assert len(list(ledger.after(0))) == 2


def test_an_id_or_a_sequence_that_is_taken_leaves_nothing_of_its_batch(url: str) -> None:
    written = some(3)
    with open_ledger(url) as ledger:
        ledger.append(written[:2])
        twin = entries_of(fill("f0"), fill("f0b"), fill("f3"), fill("f1"))[2:]
        with pytest.raises(JournalError):
            ledger.append(twin)
        assert list(ledger.after(0)) == written[:2]
        ledger.append(written[2:])
        with pytest.raises(ValueError, match="does not follow"):
            ledger.append(written[:1])


def test_a_second_hedger_is_refused_and_may_follow_the_first(url: str) -> None:
    with open_ledger(url), pytest.raises(LedgerTakenError, match="another hedger writes"):
        open_ledger(url)
    open_ledger(url).close()


def unprotected(path: Path) -> sqlite3.Connection:
    """Somebody who takes the triggers away."""
    connection = sqlite3.connect(path, isolation_level=None)
    for verb in ("UPDATE", "DELETE"):
        connection.execute(f"DROP TRIGGER entries_no_{verb}")
    return connection


@pytest.mark.parametrize(
    ("tampering", "bad"),
    [
        ("UPDATE entries SET price_micro = 480000 WHERE sequence = 5", 5),
        ("UPDATE entries SET units = 'many' WHERE sequence = 6", 6),
        ("UPDATE entries SET reason = x'00' WHERE sequence = 6", 6),
        ("UPDATE entries SET link = zeroblob(32) WHERE sequence = 7", 7),
        ("DELETE FROM entries WHERE sequence = 4", 4),
        ("UPDATE entries SET slug = CAST(x'ff' AS TEXT) WHERE sequence = 3", 3),
    ],
)
def test_tampering_is_found_where_it_is(tmp_path: Path, tampering: str, bad: int) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    with open_ledger(url) as ledger:
        ledger.append(some(9))
    connection = unprotected(tmp_path / "ledger.sqlite")
    connection.execute(tampering)
    connection.close()
    read: list[Entry] = []
    with open_ledger(url, read_only=True) as ledger, pytest.raises(LedgerDamagedError) as found:
        read.extend(ledger.after(0))
    assert found.value.sequence == bad


def test_the_entries_before_a_damaged_page_are_all_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    written = some(400)
    with open_ledger(f"sqlite:///{path}") as ledger:
        ledger.append(written)
    with sqlite3.connect(path) as connection:
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        leaves = (
            connection.execute(
                "SELECT pageno FROM dbstat WHERE name = 'entries' AND pagetype = 'leaf' ORDER BY path"
            ).fetchall()
            if _has_dbstat(connection)
            else []
        )
    connection.close()
    size = path.stat().st_size
    page = leaves[-2][0] if leaves else size // page_bytes
    with path.open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xa5" * page_bytes)
    read: list[Entry] = []
    with open_ledger(f"sqlite:///{path}", read_only=True) as ledger:
        with pytest.raises(LedgerDamagedError, match="damaged"):
            ledger.quick_check()
        if leaves:
            with pytest.raises(LedgerDamagedError) as found:
                read.extend(ledger.after(0))
            assert read == written[: len(read)]
            assert found.value.sequence == len(read) + 1
            assert 300 < len(read) < 400


def _has_dbstat(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1 FROM dbstat LIMIT 1")
    except sqlite3.OperationalError:
        return False
    return True


class Pages:
    """How many pages SQLite may use: a disk that is full, and one that has room again."""

    def __init__(self) -> None:
        self.most = 1 << 30

    def limit(self, connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={self.most}")


@pytest.fixture
def pages() -> Iterator[Pages]:
    limited = Pages()
    sa.event.listen(sa.engine.Engine, "connect", limited.limit)
    yield limited
    sa.event.remove(sa.engine.Engine, "connect", limited.limit)


def fill_up(ledger: Ledger, pages: Pages) -> None:
    """No page more than there are."""
    pages.most = int(ledger.connect().exec_driver_sql("PRAGMA page_count").scalar_one())
    ledger.connect().exec_driver_sql(f"PRAGMA max_page_count={pages.most}")


def test_a_full_disk_refuses_the_booking_and_half_of_nothing_stands(tmp_path: Path, pages: Pages) -> None:
    with open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as ledger:
        hedger = hedger_in_a_period(ledger)
        assert ask(hedger, fill("f1")).status == "ok"
        fill_up(ledger, pages)
        many = [fill(f"g{number}") for number in range(100)]
        answers = ask_all(hedger, *many, fill("f1"))
        assert {each.status for each in answers[:-1]} == {"unavailable"}
        assert "nothing was booked" in answers[0].detail
        assert answers[-1].status == "ok"  # it stood there before
        assert hedger.books.sequence == 1
        assert hedger.books.accounts[SLUG].call.units == 10 * MICRO
        assert [note for note in hedger.notices if "full" in note]
        assert ask(hedger, fill("h")).status in ("ok", "unavailable")  # one row may still fit
        pages.most = 1 << 30
        ledger._disconnect()
        assert {each.status for each in ask_all(hedger, *many)} == {"ok"}
        assert ask(hedger, many[0]).status == "ok"
        standing = [entry.entry_id for entry in ledger.after(0)]
        assert sorted(standing) == sorted({"f1", *(each.fill_id for each in many)} | (set(standing) & {"h"}))


def test_a_poisoned_id_harms_none_of_the_bookings_beside_it(url: str) -> None:
    with open_ledger(url) as ledger:
        hedger = hedger_in_a_period(ledger)
        poison = (fill("a\0b"), fill("c", order_id="\0"), reversal("\0"), fill("x" * 70_000))
        answers = ask_all(hedger, fill("f1"), *poison, fill("é%s?'"))
        assert [each.status for each in answers] == ["ok", *["refused"] * 4, "ok"]
        assert [entry.entry_id for entry in ledger.after(0)] == ["f1", "é%s?'"]


class CutOff(Ledger):
    """Commits, and loses the answer."""

    is_cut = False

    def append(self, entries: Sequence[Entry]) -> None:
        super().append(entries)
        if self.is_cut:
            self.place = self.before
            raise JournalError("server closed the connection unexpectedly")
        self.before = self.place


def test_a_commit_whose_answer_was_lost_counts_once(url: str) -> None:
    opened = open_ledger(url)
    opened.__class__ = CutOff
    assert isinstance(opened, CutOff)
    with opened as ledger:
        hedger = hedger_in_a_period(ledger)
        assert ask(hedger, fill("f1")).status == "ok"
        ledger.is_cut = True
        assert ask(hedger, fill("f2")).status == "unavailable"
        ledger.is_cut = False
        assert hedger.books.sequence == 1
        assert ask(hedger, fill("f2")).status == "ok"
        assert hedger.books.sequence == 2
        assert hedger.books.accounts[SLUG].fills == 2


def test_a_server_that_is_lost_is_found_again(postgres_url: str) -> None:
    with open_ledger(postgres_url) as ledger:
        hedger = hedger_in_a_period(ledger)
        assert ask(hedger, fill("f1")).status == "ok"
        killer = sa.create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
        with killer.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        assert ask(hedger, fill("f2")).status == "unavailable"
        assert ask(hedger, fill("f2")).status == "ok"
        assert [entry.entry_id for entry in ledger.after(0)] == ["f1", "f2"]


def test_a_lock_that_somebody_else_took_meanwhile_is_waited_for(postgres_url: str) -> None:
    with open_ledger(postgres_url) as ledger:
        hedger = hedger_in_a_period(ledger)
        assert ask(hedger, fill("f1")).status == "ok"
        ledger._disconnect()
        with open_ledger(postgres_url) as other:
            assert len(list(other.after(0))) == 1
            other.append(some(2)[1:])
            assert ask(hedger, fill("g")).status == "unavailable"
            assert ask(hedger, fill("g")).status == "unavailable"
        assert ask(hedger, fill("g")).status == "ok"
        assert [entry.entry_id for entry in ledger.after(0)] == ["f1", "f2", "g"]
        assert hedger.books.accounts[SLUG].fills == 3


@pytest.mark.parametrize("text", ["mysql://a/b", "sqlite://", "nonsense", "sqlite:///:memory:"])
def test_what_is_no_ledger_is_named_with_the_remedy(text: str) -> None:
    with pytest.raises(LedgerError, match="write sqlite:///<file> or postgresql://"):
        open_ledger(text)


def test_a_server_that_is_not_there_is_no_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError):
        open_ledger(f"postgresql://nobody@/none?host={tmp_path}")


def test_a_ledger_of_another_format_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    open_ledger(url).close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("UPDATE ledger_format SET format = 9")
    connection.close()
    with pytest.raises(LedgerError, match="format"):
        open_ledger(url)


def test_a_file_that_is_no_database_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"junk" * 4096)
    with pytest.raises(LedgerDamagedError, match="not a database"):
        open_ledger(f"sqlite:///{path}")


def test_commits_are_durable_before_they_return(tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as ledger:
        assert ledger.connect().exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert ledger.connect().exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://mm:s3cret@db:5432/mm", "postgresql://mm:***@db:5432/mm"),
        ("postgresql://mm@db/mm?password=s3cret&sslmode=require", "postgresql://mm@db/mm?sslmode=require"),
        ("sqlite:////a/ledger.sqlite", "sqlite:////a/ledger.sqlite"),
        ("postgresql://mm:s3@cret@db/mm", "(a URL that cannot be read)"),
        ("postgresql://mm:s3cret@db:port/mm", "(a URL that cannot be read)"),
        ("s3cret", "(a URL that cannot be read)"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, text: str) -> None:
    assert shown(url) == text

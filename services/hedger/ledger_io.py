"""The ledger on disk: append-only rows in SQLite or PostgreSQL, each linked to the one before by a hash.

SQLite runs in WAL mode with `synchronous=FULL`: an append that returned survives a power cut. Triggers refuse to change
or delete a row, a lock keeps a second hedger out, and reading checks every link, so that a damaged page or a changed
row is found where it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import filelock
import sqlalchemy as sa
from msgspec.structs import astuple
from prometheus_client import Histogram
from sqlalchemy.exc import DatabaseError, InterfaceError, SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from services.hedger.entries import FIELDS, FIRST_LINK, Entry, link
from services.hedger.journal import JournalError
from shared.service import LATENCY_BUCKETS

FORMAT = 1
CHUNK_ROWS = 20_000
LOCK_SUFFIX = ".lock"
TAKE_OVER_S = 3.0  # a server may need this long to notice that the hedger before us is gone

_COMMIT = Histogram("hedger_commit_seconds", "Writing one batch of entries durably.", buckets=LATENCY_BUCKETS)
_LOCK_KEY = int.from_bytes(b"mmledger", "big")  # of PostgreSQL's advisory lock, one a database
_metadata = sa.MetaData()
_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _column(name: str) -> sa.Column[Any]:
    if name == "sequence":
        return sa.Column(name, _Big, primary_key=True, autoincrement=False)
    if name == "entry_id":
        return sa.Column(name, sa.Text, nullable=False, unique=True)
    if name == "reverses":
        return sa.Column(name, sa.Text, nullable=True)
    if name.endswith(("_micro", "units", "_ns")):
        return sa.Column(name, _Big, nullable=False)
    return sa.Column(name, sa.Text, nullable=False)


_entries = sa.Table("entries", _metadata, *map(_column, FIELDS), sa.Column("link", sa.LargeBinary, nullable=False))
_is_reversal, _has_order = _entries.c.reverses.is_not(None), _entries.c.order_id != ""
sa.Index(
    "entries_reverses", _entries.c.reverses, unique=True, sqlite_where=_is_reversal, postgresql_where=_is_reversal
)  # fmt: skip
sa.Index("entries_order", _entries.c.order_id, sqlite_where=_has_order, postgresql_where=_has_order)
sa.Index("entries_market", _entries.c.market, _entries.c.sequence)
_format = sa.Table("ledger_format", _metadata, sa.Column("format", sa.Integer, primary_key=True))

_DAMAGE = ("malformed", "not a database")  # how SQLite says that a file is no longer its own
_NO_ROOM = ("is full", "disk I/O error")
_SECRETS = ("password", "sslpassword")  # that a URL may carry behind its question mark
_NOT_SHOWN = "(a URL that cannot be read)"
_COLUMNS = ", ".join((*FIELDS, "link"))
_REFUSE_CHANGES = {
    "sqlite": [
        f"CREATE TRIGGER IF NOT EXISTS entries_no_{verb} BEFORE {verb} ON entries "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION entries_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$",
        "CREATE OR REPLACE TRIGGER entries_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON entries "
        "EXECUTE FUNCTION entries_append_only()",
    ],
}


class LedgerError(Exception):
    """The ledger cannot be used, and trying again will not help: the text says what is wrong and what to do."""


class LedgerTakenError(LedgerError):
    """Another hedger writes this ledger."""


class LedgerDamagedError(LedgerError):
    """The ledger is not what was written. `sequence` is the first bad entry; None when the fault is in no entry."""

    def __init__(self, fault: str, *, sequence: int | None = None) -> None:
        super().__init__(fault if sequence is None else f"entry {sequence} is damaged: {fault}")
        self.sequence = sequence


class Place(NamedTuple):
    """How far the chain is known: the last entry's number and link."""

    sequence: int = 0
    link: bytes = FIRST_LINK


class Ledger:
    """A journal (see `journal.py`) on disk. Open it with `open_ledger`; use it from one thread."""

    def __init__(self, url: sa.URL, lock: filelock.BaseFileLock | None, *, read_only: bool) -> None:
        self.place = Place()
        self._lock = lock
        self._read_only = read_only
        self._engine = sa.create_engine(url, poolclass=sa.NullPool)
        self._connection: sa.Connection | None = None
        self._mark = "?" if self._engine.dialect.paramstyle == "qmark" else "%s"
        marks = ", ".join([self._mark] * (len(FIELDS) + 1))
        self._insert = f"INSERT INTO entries ({_COLUMNS}) VALUES ({marks})"

    # -- the connection ---------------------------------------------------------------------------------------------

    def connect(self) -> sa.Connection:
        """The one connection, made (again) when there is none. Raises JournalError, LedgerTakenError."""
        if self._connection is not None:
            return self._connection
        try:
            connection = self._engine.connect()
        except SQLAlchemyError as error:
            raise JournalError(_text(error)) from error
        try:
            if self._engine.dialect.name == "sqlite":
                if not self._read_only:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                    connection.exec_driver_sql("PRAGMA synchronous=FULL")
                connection.exec_driver_sql("PRAGMA busy_timeout=5000")
            elif not self._read_only:
                connection.exec_driver_sql("SET synchronous_commit TO on")
                taken = connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LOCK_KEY})").scalar_one()
                if not taken:
                    raise LedgerTakenError("another hedger writes this ledger: stop it, or name another database")
            connection.commit()
        except SQLAlchemyError as error:
            connection.close()
            raise JournalError(_text(error)) from error
        except LedgerTakenError:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()

    def _again(self) -> sa.Connection:
        """The connection of a hedger that runs: a lock it cannot have back now, it may have later."""
        try:
            return self.connect()
        except LedgerTakenError as error:  # the server has not noticed yet that our old session is gone
            raise JournalError(str(error)) from error

    @contextlib.contextmanager
    def _asking(self) -> Iterator[sa.Connection]:
        """A connection whose failure is a JournalError, after which it is made anew unless it can roll back.

        SQLite keeps its connection: on a full disk it could open no other.
        """
        connection = self._again()
        try:
            yield connection
            if connection.in_transaction():
                connection.rollback()
        except SQLAlchemyError as error:
            self._give_up(connection)
            raise JournalError(_text(error)) from error

    def _give_up(self, connection: sa.Connection) -> None:
        if self._engine.dialect.name == "sqlite":
            try:
                return connection.rollback()
            except SQLAlchemyError:
                pass  # then it is of no more use either
        self._disconnect()

    def create(self) -> None:
        """Make the tables that are not there yet. Raises JournalError, and LedgerError for another format."""
        with self._asking() as connection:
            _metadata.create_all(connection)
            for statement in _REFUSE_CHANGES[self._engine.dialect.name]:
                connection.exec_driver_sql(statement)
            formats = connection.execute(sa.select(_format.c.format)).scalars().all()
            if not formats:
                connection.execute(sa.insert(_format).values(format=FORMAT))
                formats = [FORMAT]
            connection.commit()
        if formats != [FORMAT]:
            raise LedgerError(f"the ledger has format {formats}, this engine writes {FORMAT}: use the engine it is of")

    # -- a journal ---------------------------------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> None:
        """Write all or none in one transaction; they are durable when this returns. Raises JournalError."""
        place = self.place
        rows: list[tuple[Any, ...]] = []
        for entry in entries:
            if entry.sequence != place.sequence + 1:
                raise ValueError(f"entry {entry.sequence} does not follow {place.sequence}")
            place = Place(entry.sequence, link(place.link, entry))
            rows.append((*astuple(entry), place.link))
        with _COMMIT.time(), self._asking() as connection:
            connection.exec_driver_sql(self._insert, rows)
            connection.commit()
        self.place = place

    def find(self, *, ids: Collection[str], order_ids: Collection[str]) -> Sequence[Entry]:
        """Entries with one of these ids, or that reverse one of them, or of these orders. Raises JournalError."""
        marks = ", ".join([self._mark] * len(ids))
        conditions = [f"entry_id IN ({marks})", f"reverses IN ({marks})"] if ids else []
        if order_ids:
            conditions.append(f"(order_id IN ({', '.join([self._mark] * len(order_ids))}) AND order_id <> '')")
        if not conditions:
            return []
        query = f"SELECT {', '.join(FIELDS)} FROM entries WHERE {' OR '.join(conditions)}"
        with self._asking() as connection:
            return [Entry(*row) for row in connection.exec_driver_sql(query, (*ids, *ids, *order_ids))]

    def latest(self, *, market: str, count: int) -> Sequence[Entry]:
        """The last entries of one market or (empty) of all, newest first. Raises JournalError."""
        query = sa.select(*(_entries.c[name] for name in FIELDS)).order_by(_entries.c.sequence.desc()).limit(count)
        with self._asking() as connection:
            return [
                Entry(*row) for row in connection.execute(query.where(_entries.c.market == market) if market else query)
            ]

    def after(self, sequence: int) -> Iterator[Entry]:
        """Every entry after this one, each link checked. `sequence` is 0 or the last one known.

        Raises JournalError when the ledger does not answer, LedgerDamagedError at the first bad entry, after having
        given all entries before it.
        """
        place = Place() if sequence == 0 else self.place
        if place.sequence != sequence:
            raise ValueError(f"the chain is known up to {place.sequence}, not at {sequence}")
        chunk = CHUNK_ROWS
        while True:
            try:
                rows = self._rows(place.sequence, chunk)
            except _UnreadableError as error:
                if chunk == 1:
                    fault = f"it cannot be read ({error})"
                    raise LedgerDamagedError(fault, sequence=place.sequence + 1) from error
                chunk = max(chunk // 8, 1)
                continue
            for row in rows:
                entry = Entry(*row[:-1])
                if entry.sequence != place.sequence + 1:
                    fault = f"it is missing, entry {entry.sequence} comes next"
                    raise LedgerDamagedError(fault, sequence=place.sequence + 1)
                try:
                    linked = link(place.link, entry)
                except (TypeError, ValueError, OverflowError) as error:
                    fault = f"its fields are no entry ({error})"
                    raise LedgerDamagedError(fault, sequence=place.sequence + 1) from error
                if linked != row[-1]:
                    fault = f"its hash is not that of its content and of what came before (id {entry.entry_id!r})"
                    raise LedgerDamagedError(fault, sequence=entry.sequence)
                place = Place(entry.sequence, linked)
                yield entry
            if len(rows) < chunk:
                break
        if place.sequence >= self.place.sequence:
            self.place = place

    def _rows(self, after: int, count: int) -> list[tuple[Any, ...]]:
        """Raw rows: a million of them are read at each start. Raises _UnreadableError, JournalError."""
        connection = self._again()
        try:
            cursor = connection.connection.cursor()
            cursor.execute(
                f"SELECT {_COLUMNS} FROM entries WHERE sequence > {after:d} ORDER BY sequence LIMIT {count:d}"
            )
            rows = list(cursor.fetchall())
            cursor.close()
            if self._engine.dialect.name == "postgresql":
                connection.connection.rollback()
        except self._engine.dialect.loaded_dbapi.Error as error:
            self._disconnect()
            is_lost = isinstance(error, self._engine.dialect.loaded_dbapi.OperationalError)
            if self._engine.dialect.name == "postgresql" and is_lost:
                raise JournalError(str(error)) from error
            raise _UnreadableError(str(error)) from error
        return rows

    # -- checks ------------------------------------------------------------------------------------------------------

    def quick_check(self, *, thorough: bool = False) -> None:
        """Ask SQLite whether its pages are sound; PostgreSQL watches its own. Raises LedgerDamagedError."""
        if self._engine.dialect.name != "sqlite":
            return
        pragma = "integrity_check(3)" if thorough else "quick_check(3)"
        try:
            with self._asking() as connection:
                faults = [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA {pragma}")]
        except JournalError as error:
            faults = [str(error)]
        if faults != ["ok"]:
            raise LedgerDamagedError("SQLite finds its file damaged: " + "; ".join(faults)[:300])

    def close(self) -> None:
        """Give the ledger free."""
        self._disconnect()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _UnreadableError(Exception):
    """These rows cannot be read."""


def open_ledger(url: str, *, read_only: bool = False) -> Ledger:
    """Open the ledger, made when there is none; nobody else may write it as long as it is open.

    `read_only` takes no lock and makes nothing. Raises LedgerError for a ledger that cannot be used, LedgerTakenError
    when another hedger writes it, JournalError when its server does not answer or its disk has no room.
    """
    parsed = _parse(url)
    lock = None
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "")
        if read_only:
            if not path.is_file():
                raise LedgerError(f"there is no ledger at {path}")
            parsed = parsed.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
        else:
            lock = _lock_file(path)
    ledger = Ledger(parsed, lock, read_only=read_only)
    try:
        if not read_only:
            _take_over(ledger)
            ledger.create()
    except JournalError as error:
        ledger.close()
        if parsed.get_backend_name() == "sqlite":
            if any(words in str(error) for words in _DAMAGE):
                raise LedgerDamagedError(f"{shown(url)}: {error}") from error
            if not any(words in str(error) for words in _NO_ROOM):
                raise LedgerError(f"{shown(url)}: {error}") from error
        raise
    except LedgerError:
        ledger.close()
        raise
    return ledger


def _take_over(ledger: Ledger) -> None:
    for attempt in Retrying(
        retry=retry_if_exception_type(LedgerTakenError), stop=stop_after_delay(TAKE_OVER_S), wait=wait_fixed(0.1),
        reraise=True,
    ):  # fmt: skip
        with attempt:
            ledger.connect()


def shown(url: str) -> str:
    """This URL without its passwords, for texts that others read. One that cannot be read is not shown at all."""
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):  # ValueError: a port that is no number
        return _NOT_SHOWN
    if "@" in (parsed.host or ""):  # of a password that holds an @, which should have been %40
        return _NOT_SHOWN
    return parsed.difference_update_query(_SECRETS).render_as_string(hide_password=True)


def _parse(url: str) -> sa.URL:
    fault = f"{shown(url)} is no ledger: write sqlite:///<file> or postgresql://<user>@<host>/<name>"
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (SQLAlchemyError, ValueError) as error:
        raise LedgerError(fault) from error
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise LedgerError(fault)


def _lock_file(path: Path) -> filelock.BaseFileLock:
    lock = filelock.FileLock(f"{path}{LOCK_SUFFIX}", timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise LedgerTakenError(f"another hedger writes {path}: stop it, or name another ledger") from None
    except OSError as error:
        raise LedgerError(f"cannot write the ledger {path}: {error.strerror}") from error
    return lock


def _text(error: SQLAlchemyError) -> str:
    """The driver's own words, on one line."""
    cause = error.orig if isinstance(error, DatabaseError | InterfaceError) and error.orig is not None else error
    return " ".join(str(cause).split())[:300]

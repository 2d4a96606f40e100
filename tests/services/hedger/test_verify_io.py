from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from services.hedger.ledger_io import open_ledger
from services.hedger.verify_io import EXIT_DAMAGED, EXIT_INTACT, EXIT_SILENT, EXIT_UNUSABLE, verify
from tests.services.hedger.test_ledger_io import some, unprotected

Captured = pytest.CaptureFixture[str]


def write(url: str, count: int) -> None:
    with open_ledger(url) as ledger:
        ledger.append(some(count))


def test_an_intact_ledger_is_said_with_its_last_hash(url: str, capsys: Captured) -> None:
    write(url, 5)
    with open_ledger(url) as ledger:  # in use by a hedger, which verifying does not disturb
        assert len(list(ledger.after(0))) == 5
        last = ledger.place.link.hex()
        assert verify(url) == EXIT_INTACT
    said = capsys.readouterr().out
    assert "5 entries, intact" in said
    assert last in said


def test_the_first_bad_entry_is_named_and_the_intact_ones_are_copied(tmp_path: Path, capsys: Captured) -> None:
    path, copy = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite"
    write(f"sqlite:///{path}", 9)
    connection = unprotected(path)
    connection.execute("UPDATE entries SET units = units + 1 WHERE sequence = 7")
    connection.close()
    assert verify(f"sqlite:///{path}", recover=copy) == EXIT_DAMAGED
    said = capsys.readouterr()
    assert "entry 7 is damaged" in said.err
    assert "intact before it: 6" in said.err
    assert "copied 6 entries" in said.out
    assert verify(f"sqlite:///{copy}") == EXIT_INTACT
    with open_ledger(f"sqlite:///{copy}") as ledger:
        assert list(ledger.after(0)) == some(6)


def test_a_copy_never_overwrites(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    write(url, 1)
    assert verify(url, recover=tmp_path / "ledger.sqlite") == EXIT_UNUSABLE


def test_entries_that_do_not_balance_are_damage_whoever_hashed_them(tmp_path: Path, capsys: Captured) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    first, second = some(2)
    first = first.__class__(*(second_or_first(first, name) for name in first.__struct_fields__))
    with open_ledger(url) as ledger:
        ledger.append([first, second])
    assert verify(url) == EXIT_DAMAGED
    assert "entry 1 does not balance" in capsys.readouterr().err


def second_or_first(entry: object, name: str) -> object:
    """The entry's field, and a micro-dollar from nowhere."""
    return getattr(entry, name) + 1 if name == "cash_micro" else getattr(entry, name)


def test_an_index_that_is_damaged_is_found_too(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "ledger.sqlite"
    write(f"sqlite:///{path}", 50)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'market', 'slug') WHERE name = 'entries_market'")
    connection.close()
    assert verify(f"sqlite:///{path}") == EXIT_DAMAGED
    assert "damaged" in capsys.readouterr().err


def test_no_ledger_and_no_server_are_two_codes(tmp_path: Path) -> None:
    assert verify(f"sqlite:///{tmp_path}/none.sqlite") == EXIT_UNUSABLE
    assert verify(f"postgresql://nobody@/none?host={tmp_path}") == EXIT_SILENT
    assert not list(tmp_path.iterdir())


def test_no_text_holds_the_password(tmp_path: Path, capsys: Captured) -> None:
    urls = {
        f"postgresql://mm:s3cret@/none?host={tmp_path}": EXIT_SILENT,
        f"postgresql://mm@/none?host={tmp_path}&password=s3cret": EXIT_SILENT,
        "postgresql://mm:s3cret@db:port/none": EXIT_UNUSABLE,
        "mysql://mm:s3cret@db/none": EXIT_UNUSABLE,
        "s3cret": EXIT_UNUSABLE,
    }
    for url, code in urls.items():
        assert verify(url) == code, url
        said = capsys.readouterr()
        assert said.err
        assert "s3cret" not in said.out + said.err

"""`python -m services.hedger --verify`: is every entry what was written, and how to go on when one is not.

Exit codes: 0 intact; 1 the ledger does not answer; 2 it cannot be opened, or the command is wrong; 3 damaged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from services.hedger.accounts import Books
from services.hedger.entries import Entry, is_balanced
from services.hedger.journal import JournalError
from services.hedger.ledger_io import Ledger, LedgerDamagedError, LedgerError, open_ledger, shown

EXIT_INTACT, EXIT_SILENT, EXIT_UNUSABLE, EXIT_DAMAGED = 0, 1, 2, 3
COPIED_TOGETHER = 5_000
REMEDY = (
    "find the fault with `python -m services.hedger --verify`; copy the intact entries with `--recover FILE`, "
    "book what is missing again, and start on the copy"
)


def verify(url: str, *, recover: Path | None = None) -> int:
    """Check every entry, say the first bad one, and copy the intact ones before it when asked; returns the exit code.

    Takes no lock: a ledger in use can be verified.
    """
    if recover is not None and recover.exists():
        return _say(EXIT_UNUSABLE, f"{recover} exists: name a new file for the copy")
    try:
        with open_ledger(url, read_only=True) as ledger:
            books = Books()
            fault = _first_fault(ledger, books)
            if recover is not None:
                _copy(ledger, recover, books.sequence)
            if fault:
                return _say(EXIT_DAMAGED, f"{shown(url)}: {fault}; intact before it: {books.sequence:,} entries")
            place = ledger.place
            intact = f"{place.sequence:,} entries, intact; the last hash is {place.link.hex()}"
            return _say(EXIT_INTACT, f"{shown(url)}: {intact}")
    except LedgerError as error:
        return _say(EXIT_UNUSABLE, str(error))
    except JournalError as error:
        return _say(EXIT_SILENT, f"{shown(url)} does not answer: {error}")


def _first_fault(ledger: Ledger, books: Books) -> str:
    try:
        for entry in ledger.after(0):
            if not is_balanced(entry):
                return f"entry {entry.sequence} does not balance (id {entry.entry_id!r})"
            books.apply(entry)
        ledger.quick_check(thorough=True)
    except LedgerError as error:
        return str(error)
    return ""


def _copy(ledger: Ledger, target: Path, last: int) -> None:
    with open_ledger(f"sqlite:///{target}") as copy:
        intact = _up_to(ledger, last)
        while entries := list(islice(intact, COPIED_TOGETHER)):
            copy.append(entries)
        print(f"copied {copy.place.sequence:,} entries to {target}")


def _up_to(ledger: Ledger, last: int) -> Iterator[Entry]:
    try:
        for entry in ledger.after(0):
            if entry.sequence > last:
                return
            yield entry
    except LedgerDamagedError:  # the fault that was found before: what is in front of it is copied
        return


def _say(code: int, text: str) -> int:
    print(text, file=sys.stdout if code == EXIT_INTACT else sys.stderr)
    return code

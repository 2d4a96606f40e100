"""Where entries stand: what the hedger needs of its ledger, and one in memory for replays and tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from services.hedger.entries import Entry


class JournalError(Exception):
    """The ledger did not answer, or had no room. Whether an append was written is then unknown until it is read."""


class Journal(Protocol):
    """An append-only sequence of entries, numbered from 1 without a gap."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Write all of them or none, durably, before this returns. Raises JournalError."""
        ...

    def find(self, *, ids: Collection[str], order_ids: Collection[str]) -> Sequence[Entry]:
        """Entries with one of these ids, or that reverse one of them, or of these orders. Raises JournalError."""
        ...

    def after(self, sequence: int) -> Iterable[Entry]:
        """Every entry after this one, in order. Raises JournalError."""
        ...

    def latest(self, *, market: str, count: int) -> Sequence[Entry]:
        """The last entries of one market or (empty) of all, newest first. Raises JournalError."""
        ...


class MemoryJournal:
    """A journal that ends with its process."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._by_id: dict[str, list[Entry]] = {}
        self._by_order: dict[str, list[Entry]] = {}

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep them."""
        for entry in entries:
            self.entries.append(entry)
            self._by_id.setdefault(entry.entry_id, []).append(entry)
            if entry.reverses is not None:
                self._by_id.setdefault(entry.reverses, []).append(entry)
            if entry.order_id:
                self._by_order.setdefault(entry.order_id, []).append(entry)

    def find(self, *, ids: Collection[str], order_ids: Collection[str]) -> Sequence[Entry]:
        """Those that match, each once, in order."""
        found = {entry.sequence: entry for each in ids for entry in self._by_id.get(each, ())}
        found |= {entry.sequence: entry for each in order_ids for entry in self._by_order.get(each, ())}
        return [found[sequence] for sequence in sorted(found)]

    def after(self, sequence: int) -> Iterable[Entry]:
        """The rest."""
        return self.entries[sequence:]

    def latest(self, *, market: str, count: int) -> Sequence[Entry]:
        """Newest first."""
        matching = [entry for entry in self.entries if not market or entry.market == market]
        return matching[: -count - 1 : -1]

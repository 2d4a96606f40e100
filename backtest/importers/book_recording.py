"""Events of a recording that holds books alone: no trades, no spot, no oracle; only gaps of the books are outages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from backtest.events import ORACLE, OUTAGE, OUTCOMES, SPOT, TRADE, Events, Label, Rows
from backtest.importers.columns import (
    BookRows,
    Books,
    Names,
    book_rows,
    by_receipt,
    fine_from,
    joined,
    outages_of,
    refuse,
)
from shared.messages import Outcome, Period


class BookRecording:
    """Takes both tokens' books period by period. What is refused is counted in `drops`, by reason."""

    def __init__(self, *, silence_s: int) -> None:
        self.drops = Counter[str]()
        self._silence_s = silence_s
        self._names = Names()
        self._books: list[BookRows] = []
        self._outages: list[Rows] = [np.zeros(0, OUTAGE)]
        self._periods: list[Period] = []
        self._labels: list[Label] = []

    def take_books(self, slug: str, both: Mapping[Outcome, Books]) -> dict[Outcome, Books] | None:
        """Judge the books of a period and take those that can be true. None when there are none."""
        kept = {outcome: refuse(both[outcome], slug, self.drops) for outcome in OUTCOMES}
        if not any(len(books.recv_ns) for books in kept.values()):
            return None
        fine_ns = fine_from(kept.values())
        for place, outcome in enumerate(OUTCOMES):
            rows = book_rows(kept[outcome], slug=self._names.place(slug), outcome=place, fine_from_ns=fine_ns)
            silent = outages_of(
                kept[outcome], slug, outcome, silence_s=self._silence_s, names=self._names, drops=self.drops
            )
            self._books.append(rows)
            self._outages.append(silent)
        return kept

    def announce(self, periods: Iterable[Period]) -> None:
        """Take what was said of a period."""
        self._periods.extend(periods)

    def label(self, label: Label) -> None:
        """Take how a period ended."""
        self._labels.append(label)

    def events(self, source: str, notes: Sequence[str]) -> Events:
        """All that was taken, in order of receipt."""
        books, levels = joined(self._books)
        return Events(
            source=source,
            notes=tuple(notes),
            drops=dict(self.drops),
            names=self._names.all,
            spot=np.zeros(0, SPOT),
            oracle=np.zeros(0, ORACLE),
            books=books,
            levels=levels,
            trades=np.zeros(0, TRADE),
            outages=by_receipt(np.concatenate(self._outages), "start_ns"),
            periods=tuple(sorted(self._periods, key=lambda period: period.ts_recv_ns)),
            labels=tuple(self._labels),
        )

"""Our fills of one market, for as long as a Position may lack them: what is held is what the ledger shows, and these.

A Position names the last ledger entry that it contains, and the ledger's answer to a fill names the fill's own entry.
So a Position contains a fill exactly when that entry is not above its sequence, whatever else was booked, taken back or
settled meanwhile. A fill that is not answered yet lies above the sequence that we knew when it happened; a later
Position may contain it or not, and then both cases count, each where it is worse.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.messages import Position
from shared.money import to_micro
from shared.requests import BookFill


@dataclass(frozen=True, slots=True)
class Holding:
    """Micro-shares held, between bounds that meet when every fill is known to be in the Position or not."""

    call_least: int
    call_most: int
    put_least: int
    put_most: int

    @property
    def inventory_least(self) -> int:
        """CALL minus PUT, at the least."""
        return self.call_least - self.put_most

    @property
    def inventory_most(self) -> int:
        """CALL minus PUT, at the most."""
        return self.call_most - self.put_least


@dataclass(slots=True)
class _OwnFill:
    fill: BookFill
    after: int  # its entry is above this one
    entry: int | None  # None until the ledger answers


class OwnFills:
    """One a market. `sequence` is that of the latest Position: none before it may follow."""

    def __init__(self) -> None:
        self.sequence = 0
        self._fills: dict[str, _OwnFill] = {}

    def add(self, fill: BookFill) -> None:
        """A fill that happened just now: no Position of before contains it."""
        self._fills[fill.fill_id] = _OwnFill(fill, self.sequence, None)

    def add_earlier(self, fill: BookFill) -> None:
        """A fill of an earlier run, until the ledger says which entry it is."""
        self._fills[fill.fill_id] = _OwnFill(fill, 0, None)

    def confirm(self, fill_id: str, entry: int) -> None:
        """The ledger says which entry a fill is."""
        known = self._fills.get(fill_id)
        if known is None:
            return
        known.entry = entry
        self._drop_shown()

    def show(self, sequence: int) -> None:
        """A Position came that contains every entry up to this one. Raises ValueError when one before had more."""
        if sequence < self.sequence:
            raise ValueError(f"a position as of entry {sequence} after one as of entry {self.sequence}")
        self.sequence = sequence
        self._drop_shown()

    def holding(self, position: Position) -> Holding:
        """What the latest Position says, and those of our fills in its period that it lacks, or may lack."""
        call, put = to_micro(position.call_shares), to_micro(position.put_shares)
        least, most = {"CALL": call, "PUT": put}, {"CALL": call, "PUT": put}
        for each in self._fills.values():
            fill = each.fill
            if fill.slug != position.slug:
                continue
            signed = fill.units if fill.side == "buy" else -fill.units
            is_lacking = each.entry is not None or position.sequence <= each.after
            if is_lacking or signed < 0:
                least[fill.outcome] += signed
            if is_lacking or signed > 0:
                most[fill.outcome] += signed
        return Holding(least["CALL"], most["CALL"], least["PUT"], most["PUT"])

    def _drop_shown(self) -> None:
        shown = [name for name, each in self._fills.items() if each.entry is not None and each.entry <= self.sequence]
        for name in shown:
            del self._fills[name]

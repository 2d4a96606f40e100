"""`mm_bot.py --explain`: the explanation of the quotes that stood at a time, from a recording or a replay's journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import msgspec

from bot import exit_codes
from bot.cli import ExplainRequest
from services.quoter.explanation import explain, iso
from services.recorder.__main__ import SOURCE
from shared.codec import RefusedMessageError, decode
from shared.lossy_io import LossyText
from shared.market import NS_PER_S
from shared.messages import QuoteSet
from shared.segments_io import SUFFIX, Drop, read_segments

JOURNAL_SUFFIX = ".jsonl"
_TOPIC = "QuoteSet."
_FIELDS = QuoteSet.__struct_fields__


class ExplainError(Exception):
    """Nothing can be explained; the text says why and what to do."""


@dataclass
class Standing:
    """Of one market: the span that the journal covers, and the last set published at or before the time asked for."""

    first_ns: int
    last_ns: int
    lease_end_ns: int
    quotes: QuoteSet | None = None

    def hear(self, quotes: QuoteSet, at_ns: int | None) -> None:
        """Take the next set; they come nearly in order."""
        ts_ns = quotes.ts_event_ns
        self.first_ns = min(self.first_ns, ts_ns)
        if ts_ns >= self.last_ns:
            self.last_ns, self.lease_end_ns = ts_ns, max(ts_ns, quotes.valid_until_ns)
        is_later = self.quotes is None or ts_ns >= self.quotes.ts_event_ns
        if is_later and (at_ns is None or ts_ns <= at_ns):
            self.quotes = quotes


@dataclass
class Unreadable:
    """What of a journal could not be read."""

    count: int = 0
    reason: str = ""

    def note(self, reason: str) -> None:
        """Count one more; the first reason is kept."""
        self.count += 1
        self.reason = self.reason or reason


@dataclass
class Told:
    """The answer: a text for each market, and what to say beside it."""

    texts: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def run_explain(request: ExplainRequest, *, out: TextIO | LossyText, err: TextIO | LossyText) -> int:
    """Print the explanations; returns the exit code."""
    try:
        told = tell(request)
    except ExplainError as error:
        print(f"mm_bot.py: {error}", file=err)
        return exit_codes.CONFIGURATION
    for remark in told.remarks:
        print(f"mm_bot.py: {remark}", file=err)
    print("\n".join(told.texts), end="", file=out, flush=True)
    return exit_codes.CLEAN


def tell(request: ExplainRequest) -> Told:
    """The explanations a request asks for. Raises ExplainError."""
    unreadable = Unreadable()
    standing: dict[str, Standing] = {}
    for quotes in _quote_sets(request.journal, unreadable):
        span = standing.get(quotes.market)
        if span is None:
            span = standing[quotes.market] = Standing(quotes.ts_event_ns, quotes.ts_event_ns, quotes.valid_until_ns)
        span.hear(quotes, request.at_ns)
    told = Told()
    if unreadable.count:
        told.remarks.append(f"{unreadable.count} records could not be read; the first: {unreadable.reason}")
    if not standing:
        why = f": {told.remarks[0]}" if told.remarks else ""
        raise ExplainError(f"--explain {request.journal}: no quotes in it{why}")
    absent = [market for market in request.markets if market not in standing]
    if absent:
        there = ", ".join(sorted(standing))
        raise ExplainError(f"--markets {', '.join(absent)}: no quotes in {request.journal}; it has {there}")
    outside: list[str] = []
    for market in request.markets or sorted(standing):
        span = standing[market]
        at_ns = span.last_ns if request.at_ns is None else request.at_ns
        if span.quotes is None or at_ns > span.lease_end_ns:
            outside.append(f"{market}: quotes stood from {iso(span.first_ns)} to {iso(span.lease_end_ns)}")
            continue
        told.texts.append(f"{_state(span.quotes, at_ns)}\n{explain(span.quotes)}")
    if not told.texts:
        assert request.at_ns is not None
        raise ExplainError(f"--at {iso(request.at_ns)} is outside of {request.journal}\n  " + "\n  ".join(outside))
    told.remarks += outside
    return told


def _state(quotes: QuoteSet, at_ns: int) -> str:
    """Whether the lease of the last set still ran."""
    late_ns = at_ns - quotes.valid_until_ns
    if late_ns > 0:
        return f"at {iso(at_ns)} nothing stood: the lease had run out {late_ns / NS_PER_S:.3f} s before; the last was"
    return f"at {iso(at_ns)} this stood, for another {-late_ns / NS_PER_S:.3f} s"


# -- reading ---------------------------------------------------------------------------------------------------------


def _quote_sets(journal: Path, unreadable: Unreadable) -> Iterator[QuoteSet]:
    """The quote sets of a recording folder (or its `bus` folder, or one segment), or of a `journal.jsonl`."""
    if journal.is_file() and journal.suffix == JOURNAL_SUFFIX:
        return _of_journal(journal, unreadable)
    if journal.is_file() and journal.name.endswith(SUFFIX):
        return _of_bus(journal, unreadable)
    if not journal.exists():
        raise ExplainError(f"--explain {journal}: not found")
    if not journal.is_dir():
        raise ExplainError(f"--explain {journal}: give the folder that --record wrote, or a journal.jsonl of --replay")
    for folder in (journal / SOURCE, journal):
        if any(folder.glob(f"{SOURCE}-*{SUFFIX}")):
            return _of_bus(folder, unreadable)
    written = journal / "journal.jsonl"
    if written.is_file():
        return _of_journal(written, unreadable)
    raise ExplainError(
        f"--explain {journal}: no recording of the bus and no journal.jsonl in it: give the folder that "
        "--record wrote, or the output folder of --replay"
    )


def _of_bus(path: Path, unreadable: Unreadable) -> Iterator[QuoteSet]:
    def drop(dropped: Drop) -> None:
        unreadable.note(str(dropped))

    for record in read_segments(path, on_drop=drop):
        if not record.source.startswith(_TOPIC):
            continue
        payload = record.payload if isinstance(record.payload, bytes) else record.payload.encode()
        try:
            message = decode(payload).body
        except RefusedMessageError as error:
            unreadable.note(str(error))
            continue
        if isinstance(message, QuoteSet):
            yield message


def _of_journal(path: Path, unreadable: Unreadable) -> Iterator[QuoteSet]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if _TOPIC.encode() not in line:
                continue
            try:
                named: dict[str, object] = msgspec.json.decode(line, type=dict[str, object])
                if str(named.get("topic", "")).startswith(_TOPIC):
                    yield _of_fields(named)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                unreadable.note(f"line {number}: {error}")
            except KeyError as error:
                unreadable.note(f"line {number}: no {error}: replay the recording again with this version")


def _of_fields(named: Mapping[str, object]) -> QuoteSet:
    """A line of a journal names the fields; a message is an array. Raises MsgspecError, and KeyError for a field."""
    return msgspec.convert([QuoteSet.__name__, *(named[name] for name in _FIELDS)], QuoteSet)

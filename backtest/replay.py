"""Recorded frames through the same parsers, analyzers and quoter, in event time, as fast as it can.

A recording is a folder of segments as the feeds write them (`services/feeds/recording_io.py`). Every quote set goes
into a journal, one JSON object a line; settlements, refusals and drops are counted and shown. Same recording, same
journal.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from backtest.session import Session, trading_cores
from backtest.venues import Venues
from services.feeds.bybit import BybitProtocol
from services.feeds.chainlink.polybolt import Credentials, PolyBoltProtocol
from services.feeds.chainlink.rtds import RtdsProtocol
from services.feeds.coinbase import CoinbaseProtocol
from services.feeds.polymarket.market_channel import MarketChannelProtocol
from services.feeds.protocol import Act, Drop, VenueProtocol
from services.feeds.recording_io import CLOSE, OPEN, RESPONSE, unpack_response
from shared.config import MMConfig
from shared.market import NS_PER_S, Series
from shared.messages import AnyMessage, Period, QuoteSet, Settlement, topic_of
from shared.segments_io import Record, read_segments

TIMER_NS = NS_PER_S // 10
LONGEST_SILENCE_NS = 3600 * NS_PER_S  # a longer hole in a recording is jumped over, not timed through

EXIT_OK, EXIT_NOTHING_RECORDED = 0, 5


@dataclass
class Summary:
    """What a replay saw and did."""

    records: int = 0
    events: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    sets: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    strikes: dict[str, str] = field(default_factory=dict)
    settlements: dict[str, Settlement] = field(default_factory=dict)

    def hear(self, message: AnyMessage) -> None:
        """Count one message."""
        self.events += 1
        match message:
            case QuoteSet():
                self.sets[message.action] += 1
                self.reasons.update(message.reasons)
                if message.call:
                    self.phases[message.phase] += 1
            case Period(strike_state="PROVEN", role="current"):
                self.strikes.setdefault(message.slug, f"{message.strike:.8f} by {message.strike_source}")
            case Settlement():
                self.settlements[message.slug] = message
            case _:
                pass


class Replay:
    """Venue protocols told again what they were told, in front of a session of cores."""

    def __init__(self, session: Session, series: Sequence[Series], summary: Summary) -> None:
        self._session = session
        self._series = series
        self._summary = summary
        # Sends, requests and reconnections were recorded as what came back.
        self._venues = Venues(session, series, dropped=self._count)
        self._now_ns = 0

    def play(self, records: Iterable[Record]) -> Iterator[int]:
        """Play records in order; yields after each how many there were."""
        for number, record in enumerate(records, 1):
            self._pass_time(record.ts_recv_ns)
            self._tell(record)
            self._summary.records = number
            yield number
        if self._now_ns:
            self._pass_time(self._now_ns + TIMER_NS)

    def _pass_time(self, until_ns: int) -> None:
        if not self._now_ns or until_ns - self._now_ns > LONGEST_SILENCE_NS:
            self._now_ns = until_ns
            return
        next_ns = self._now_ns - self._now_ns % TIMER_NS + TIMER_NS
        while next_ns <= until_ns:
            self._now_ns = next_ns
            self._venues.timer(next_ns)
            self._session.timer(next_ns)
            next_ns += TIMER_NS
        self._now_ns = max(self._now_ns, until_ns)

    def _tell(self, record: Record) -> None:
        venue, dot, what = record.source.partition(".")
        ts_ns = record.ts_recv_ns
        if venue not in self._venues.protocols:
            self._begin(venue, record)
        match dot + what:
            case "":
                self._venues.frame(venue, record.payload, ts_ns)
            case _ if dot + what == OPEN:
                self._venues.open(venue, ts_ns)
            case _ if dot + what == CLOSE:
                self._venues.close(venue, ts_ns, "recorded")
            case _ if dot + what == RESPONSE:
                payload = record.payload if isinstance(record.payload, bytes) else record.payload.encode()
                self._venues.response(venue, *unpack_response(payload), ts_ns)
            case other:
                self._summary.drops[f"unknown source {venue}{other}"] += 1

    def _begin(self, venue: str, record: Record) -> None:
        self._venues.add(self._make(venue, record))
        if not record.source.endswith(OPEN):  # the recording begins in the middle
            self._venues.open(venue, record.ts_recv_ns)

    def _make(self, venue: str, record: Record) -> VenueProtocol:
        assets = tuple(dict.fromkeys(each.asset for each in self._series))
        match venue:
            case "bybit":
                return BybitProtocol(assets)
            case "coinbase":
                return CoinbaseProtocol(assets)
            case "chainlink":
                return _OracleRelay(assets)
            case "polymarket":
                return MarketChannelProtocol(self._series)
            case _:
                raise ValueError(f"recording has frames of {record.source!r}, a venue this engine does not know")

    def _count(self, venue: str, dropped: Drop) -> None:
        self._summary.drops[f"{venue}: {dropped.reason}"] += 1


class _OracleRelay:
    """The price stream of a recording, whichever of its two protocols the frames are in."""

    venue = "chainlink"

    def __init__(self, assets: Sequence[str]) -> None:
        self._bolt: VenueProtocol = PolyBoltProtocol(assets, Credentials("recorded", "recorded", "recorded"))
        self._rtds: VenueProtocol = RtdsProtocol(assets)
        self._spoken: VenueProtocol | None = None

    def on_open(self, ts_ns: int) -> Sequence[Act]:
        """Both begin; the first frame decides."""
        self._spoken = None
        return [*self._bolt.on_open(ts_ns), *self._rtds.on_open(ts_ns)]

    def on_frame(self, frame: str | bytes, ts_recv_ns: int) -> Sequence[Act]:
        """PolyBolt frames have `op` or `channel`, the older ones `topic` or nothing."""
        if self._spoken is None:
            text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
            if not text:
                return ()
            self._spoken = self._bolt if '"op"' in text or '"channel"' in text else self._rtds
        return self._spoken.on_frame(frame, ts_recv_ns)

    def on_response(self, request: str, status: int, body: bytes, ts_recv_ns: int) -> Sequence[Act]:
        """Neither asks."""
        return (self._spoken or self._bolt).on_response(request, status, body, ts_recv_ns)

    def on_timer(self, ts_ns: int) -> Sequence[Act]:
        """Of the one that is spoken."""
        return () if self._spoken is None else self._spoken.on_timer(ts_ns)

    def on_close(self, ts_ns: int) -> Sequence[Act]:
        """Of the one that is spoken."""
        return () if self._spoken is None else self._spoken.on_close(ts_ns)


def run_records(
    records: Iterable[Record], *, config: MMConfig, series: Sequence[Series], journal: Path | None = None
) -> tuple[Summary, Iterator[int]]:
    """Set up a replay; iterate the second answer to run it. The journal is written as it goes."""
    summary = Summary()
    session = Session(trading_cores(config, series), series)
    session.listeners.append(summary.hear)
    replay = Replay(session, series, summary)
    if journal is None:
        return summary, replay.play(records)

    def play() -> Iterator[int]:
        with journal.open("wb") as file:

            def write(message: AnyMessage) -> None:
                if isinstance(message, QuoteSet | Settlement):
                    file.write(journal_line(message))

            session.listeners.append(write)
            yield from replay.play(records)

    return summary, play()


def journal_line(message: QuoteSet | Settlement) -> bytes:
    """A line of the journal: the topic, then the message's fields by name."""
    return msgspec.json.encode({"topic": topic_of(message)} | _as_map(message)) + b"\n"


def _as_map(message: AnyMessage) -> dict[str, object]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


def replay(path: Path, out: Path, config: MMConfig, markets: Sequence[Series], *, progress: bool = True) -> int:
    """`mm_bot.py --replay`: play a recording, write `journal.jsonl`, print what happened; returns the exit code."""
    console = Console(stderr=True)
    try:
        total = sum(1 for _ in read_segments(path))
    except FileNotFoundError:
        total = 0
    if not total:
        console.print(f"{path} holds no recorded frame: give the folder that --record wrote")
        return EXIT_NOTHING_RECORDED
    out.mkdir(parents=True, exist_ok=True)
    journal = out / "journal.jsonl"
    summary, steps = run_records(read_segments(path), config=config, series=markets, journal=journal)
    bar = Progress(
        TextColumn("replaying"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not progress,
    )
    with bar:
        task = bar.add_task("replay", total=total)
        for number in steps:
            if number % 200 == 0 or number == total:
                bar.update(task, completed=number)
    _print(summary, journal, console)
    (out / "replay.json").write_text(json.dumps(_summary_of(summary), indent=1))
    return EXIT_OK


def _summary_of(summary: Summary) -> dict[str, object]:
    return {
        "records": summary.records,
        "events": summary.events,
        "quote_sets": dict(summary.sets),
        "quoting_by_phase": dict(summary.phases),
        "reasons": dict(summary.reasons.most_common()),
        "drops": dict(summary.drops.most_common()),
        "strikes": summary.strikes,
        "settlements": {slug: _as_map(each) for slug, each in summary.settlements.items()},
    }


def _print(summary: Summary, journal: Path, console: Console) -> None:
    table = Table(show_header=False, title=f"{summary.records} records, {summary.events} events", title_justify="left")
    for heading, counts in (
        ("quote sets", summary.sets),
        ("with ladders, by phase", summary.phases),
        ("reasons", summary.reasons),
        ("dropped", summary.drops),
    ):
        table.add_row(heading, ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none")
    for slug, proof in summary.strikes.items():
        table.add_row(f"strike of {slug}", proof)
    for slug, settlement in summary.settlements.items():
        ours, theirs = settlement.recomputed or "unknown", settlement.official or "unknown"
        table.add_row(f"settlement of {slug}", f"recomputed {ours} ({settlement.final_source}), official {theirs}")
    table.add_row("journal", str(journal))
    console.print(table)

"""The recorder's bus logs as events: every message as it was published, and what was lost on the way.

Missing sequence numbers of a topic are counted (`bus_lost_<kind>`) and its stream was down from the message before to
the one after them. The health that the feeds published becomes outages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from backtest.events import Events
from backtest.events_build import EventsBuilder
from backtest.events_check import check
from backtest.events_io import EventsError
from services.recorder.__main__ import SOURCE
from shared.codec import RefusedMessageError, decode
from shared.market import Series
from shared.messages import AnyMessage, FeedStatus, SpotTrade
from shared.segments_io import SUFFIX, Drop, Record, read_segments

_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])")


def is_mine(path: Path) -> bool:
    """Whether there is a bus log: in the folder `--record` wrote, in its `bus` folder, or one segment of it."""
    return _log_of(path) is not None


def read(path: Path, *, markets: Sequence[str] = (), progress: bool = False) -> Events:
    """The events of a bus log, checked; with `markets` only of those. Raises `EventsError`."""
    log = _log_of(path)
    if log is None:
        raise EventsError(f"{path}: no bus log ({SOURCE}-*{SUFFIX}) here; give the folder that --record wrote")
    reader = _Reader([Series.parse(each) for each in markets])
    records = read_segments(log, on_drop=reader.torn)
    for record in track(records, description="reading the bus log", total=None, disable=not progress, transient=True):
        reader.take(record)
    return check(reader.builder.build(f"bus log {path.name}", reader.notes()))


def _log_of(path: Path) -> Path | None:
    if path.is_file():
        return path if path.name.startswith(f"{SOURCE}-") and path.name.endswith(SUFFIX) else None
    return next((each for each in (path / SOURCE, path) if any(each.glob(f"{SOURCE}-*{SUFFIX}"))), None)


class _Reader:
    """Records into a builder, watching the sequence of each topic."""

    def __init__(self, markets: Sequence[Series]) -> None:
        self.builder = EventsBuilder()
        self._subjects = {each.name for each in markets} | {each.asset for each in markets}
        self._last: dict[str, tuple[int, int, int]] = {}  # epoch, number, receipt of a topic's last message
        self._exchange_trades = 0

    def torn(self, _dropped: Drop) -> None:
        """Bytes that no record could be read from."""
        self.builder.drop("bus_damaged_block")

    def take(self, record: Record) -> None:
        """One record: the topic, and the envelope as it was on the bus."""
        topic = record.source
        kind, _, rest = topic.partition(".")
        if self._subjects and rest.partition(".")[0] not in self._subjects:
            return
        payload = record.payload if isinstance(record.payload, bytes) else record.payload.encode()
        try:
            envelope = decode(payload)
        except RefusedMessageError as error:
            self.builder.drop(f"bus_{error.reason}")
            return
        message = envelope.body
        if self._follows(topic, kind, message, envelope.epoch, envelope.seq):
            self.builder.take(message)
            self._exchange_trades += isinstance(message, SpotTrade)

    def notes(self) -> list[str]:
        """What the format has no place for."""
        if not self._exchange_trades:
            return []
        return [f"{self._exchange_trades} public trades of exchanges were recorded; events do not hold them"]

    def _follows(self, topic: str, kind: str, message: AnyMessage, epoch: int, seq: int) -> bool:
        """Whether the message is a new one of its topic. The broker repeats its last one to whoever joins."""
        last = self._last.get(topic)
        if last is not None and last[0] == epoch:
            if seq <= last[1]:
                self.builder.drop("bus_repeated")
                return False
            if seq > last[1] + 1:
                self.builder.drop(f"bus_lost_{_snake(kind)}", seq - last[1] - 1)
                if not isinstance(message, FeedStatus) and last[2] < message.ts_recv_ns:
                    self.builder.lost(message, since_ns=last[2])
        self._last[topic] = epoch, seq, message.ts_recv_ns
        return True


def _snake(name: str) -> str:
    return _WORD_START.sub("_", name).lower()

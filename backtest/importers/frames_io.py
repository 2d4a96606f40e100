"""Raw frame logs as events: the venue protocols hear what was recorded, and what they publish is kept.

Everything is as the feeds would have published it: books of a doubtful state are not among it, and the health of each
stream becomes outages. What the protocols dropped is counted under `<venue>_<reason>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec
from rich.progress import track

from backtest.events import Events
from backtest.events_build import EventsBuilder
from backtest.events_check import check
from backtest.events_io import EventsError
from backtest.replay import Replay, Summary
from backtest.session import Session
from services.feeds.recording_io import RESPONSE, unpack_response
from services.recorder.__main__ import SOURCE
from shared.market import Series, parse_slug
from shared.messages import AnyMessage, SpotTrade
from shared.segments_io import SUFFIX, Drop, Record, read_segments

VENUES = frozenset({"bybit", "coinbase", "chainlink", "polymarket"})
SEARCHED_RECORDS = 200_000  # from the start, for the periods that the recorder asked its venue for

_EVENT_REQUEST = "event:"
_NOT_SNAKE = re.compile(r"[^a-z0-9]+")


def is_mine(path: Path) -> bool:
    """Whether a folder, or one segment, holds frames of venues."""
    if not (path.is_file() and path.name.endswith(SUFFIX)) and not any(
        not each.name.startswith(f"{SOURCE}-") for each in path.glob(f"*{SUFFIX}")
    ):
        return False
    try:
        first = next(iter(read_segments(path, on_drop=_ignore)), None)
    except (FileNotFoundError, ValueError):
        return False
    return first is not None and first.source.partition(".")[0] in VENUES


def read(path: Path, *, markets: Sequence[str] = (), progress: bool = False) -> Events:
    """The events of a frame log, checked. Without `markets` those of the periods that the recorder asked for.

    Raises `EventsError` when neither names a market, or a frame is of a venue that this engine does not know.
    """
    series = tuple(Series.parse(each) for each in markets) or _asked_for(path)
    if not series:
        raise EventsError(f"{path}: the frames name no market; say which markets they are of, such as btc-15m")
    builder, summary = EventsBuilder(), Summary()
    exchange_trades = 0

    def hear(message: AnyMessage) -> None:
        nonlocal exchange_trades
        builder.take(message)
        exchange_trades += isinstance(message, SpotTrade)

    def torn(_dropped: Drop) -> None:
        builder.drop("damaged_block")

    session = Session({}, series)
    session.listeners.append(hear)
    steps = Replay(session, series, summary).play(_of_known_venues(path, read_segments(path, on_drop=torn)))
    try:
        for _ in track(steps, description="reading the frames", total=None, disable=not progress, transient=True):
            pass
    except msgspec.DecodeError as error:
        raise EventsError(f"{path}: a recorded response is damaged: {error}; leave that segment out") from error
    for reason, count in summary.drops.items():
        builder.drop(_NOT_SNAKE.sub("_", reason.lower()), count)
    notes = [f"{exchange_trades} public trades of exchanges were recorded; events do not hold them"]
    return check(builder.build(f"frame log {path.name}", notes if exchange_trades else ()))


def _of_known_venues(path: Path, records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        if record.source.partition(".")[0] not in VENUES:
            raise EventsError(
                f"{path}: frames of {record.source!r}, only {', '.join(sorted(VENUES))} are known; leave them out"
            )
        yield record


def _asked_for(path: Path) -> tuple[Series, ...]:
    """The series of the periods that were asked for."""
    found: dict[Series, None] = {}
    for record in islice(read_segments(path, on_drop=_ignore), SEARCHED_RECORDS):
        if not record.source.endswith(RESPONSE) or not isinstance(record.payload, bytes):
            continue
        try:
            request = unpack_response(record.payload)[0]
            if request.startswith(_EVENT_REQUEST):
                found[parse_slug(request.removeprefix(_EVENT_REQUEST))[0]] = None
        except ValueError:  # a damaged response or another kind of slug: `read` meets and names the first
            continue
    return tuple(found)


def _ignore(_dropped: Drop) -> None:
    """A damaged block is counted when the frames are read."""

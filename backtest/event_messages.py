"""Events as the bus would have carried them: messages in order of receipt.

At one instant a Period comes first, then OraclePrice, SpotQuote, OutcomeBook, OutcomeTrade, FeedStatus.

Nobody records the health that the quoter wants of every stream, so it is concluded from the events: a stream that has
spoken is reported each second and whenever its state changes; DOWN inside an outage, STALE when its last row is older
than a feed allows (`services/feeds/freshness.py`: prints of the oracle age by their own stamps, all else by receipt),
LIVE otherwise. What a feed may prove beyond that (a quiet book that its hash confirms) is in no recording of others:
such a stream is STALE here. The repeats end a minute after everything fell silent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.events import ORACLE_KINDS, OUTCOMES, Events, Rows
from backtest.events_build import TOKEN_VENUE, grouped, packed, run_places
from services.feeds.freshness import EXPECTED_TIME_S, LIMITS, SEEN_TIME_S
from shared.market import NS_PER_S, parse_slug
from shared.messages import (
    AnyMessage,
    FeedState,
    FeedStatus,
    OraclePrice,
    OutcomeBook,
    OutcomeTrade,
    SpotQuote,
)

ROWS_AT_ONCE = 1 << 14  # turned from columns into Python numbers together
REPEATED_S = 60  # how long states are repeated after the last event of all streams
_STATES: tuple[FeedState, ...] = ("LIVE", "STALE", "DOWN")
_LIVE, _STALE, _DOWN = range(len(_STATES))
_STALE_S = {channel: limits.stale_s for channel, limits in LIMITS.items() if limits.stale_s is not None}

_STATUS = np.dtype(
    [
        ("ts_ns", "i8"),
        ("stream", "i4"),
        ("state", "i4"),  # place in _STATES
        ("age_s", "f8"),
        ("seen_hz", "f8"),
        ("expected_hz", "f8"),
        ("reconnects", "i8"),
    ]
)


class _Stream(NamedTuple):
    """One stream: who, the receipts of its rows, and the stamps from which their age counts (ascending)."""

    venue: str
    channel: str
    subject: str
    received: NDArray[np.int64]
    aged_from: NDArray[np.int64]


def messages(events: Events, *, slugs: Collection[str] | None = None) -> Iterator[AnyMessage]:
    """All messages of the events; with `slugs` only those periods and what is told of their assets.

    ValueError of a slug that is none.
    """
    chosen = events if slugs is None else _of_slugs(events, frozenset(slugs))
    markets = _markets(chosen)
    statuses = _statuses(chosen, markets)
    books, levels = packed(chosen.books, chosen.levels)
    sources: tuple[tuple[NDArray[Any], Iterator[AnyMessage]], ...] = (
        (np.array([each.ts_recv_ns for each in chosen.periods], np.int64), iter(chosen.periods)),
        (chosen.oracle["ts_recv_ns"], _oracle_prices(chosen)),
        (chosen.spot["ts_recv_ns"], _spot_quotes(chosen)),
        (books["ts_recv_ns"], _outcome_books(books, levels, chosen.names, markets)),
        (chosen.trades["ts_recv_ns"], _outcome_trades(chosen, markets)),
        (statuses[0]["ts_ns"], _feed_statuses(*statuses)),
    )
    times = np.concatenate([received for received, _ in sources])
    kinds = np.repeat(np.arange(len(sources), dtype=np.int8), [len(received) for received, _ in sources])
    order = kinds[np.argsort(times, kind="stable")]
    takers: list[Callable[[], AnyMessage]] = [source.__next__ for _, source in sources]
    for start in range(0, len(order), ROWS_AT_ONCE):
        for kind in order[start : start + ROWS_AT_ONCE].tolist():
            yield takers[kind]()


def _of_slugs(events: Events, slugs: frozenset[str]) -> Events:
    assets = {parse_slug(slug)[0].asset for slug in slugs}
    is_slug = np.array([name in slugs for name in events.names], np.bool_)
    is_asset = np.array([name in assets for name in events.names], np.bool_)
    return events._replace(
        spot=events.spot[is_asset[events.spot["asset"]]] if len(events.spot) else events.spot,
        oracle=events.oracle[is_asset[events.oracle["asset"]]] if len(events.oracle) else events.oracle,
        books=events.books[is_slug[events.books["slug"]]] if len(events.books) else events.books,
        trades=events.trades[is_slug[events.trades["slug"]]] if len(events.trades) else events.trades,
        periods=tuple(each for each in events.periods if each.slug in slugs),
    )


def _markets(events: Events) -> dict[int, str]:
    """The market of each slug that occurs: as its period says, else as the slug does. ValueError of another name."""
    said = {period.slug: period.market for period in events.periods}
    places = np.unique(np.concatenate((events.books["slug"], events.trades["slug"]))).tolist()
    slugs = {place: events.names[place] for place in places}
    return {place: said.get(slug) or parse_slug(slug)[0].name for place, slug in slugs.items()}


# -- one kind each ---------------------------------------------------------------------------------------------------


def _parts(rows: Rows) -> Iterator[Rows]:
    return (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))


def _columns(rows: Rows) -> list[list[Any]]:
    return [rows[name].tolist() for name in rows.dtype.names or ()]


def _oracle_prices(events: Events) -> Iterator[AnyMessage]:
    names = events.names
    for part in _parts(events.oracle):
        for event_ns, recv_ns, asset, venue, kind, price in zip(*_columns(part), strict=True):
            yield OraclePrice(
                ts_event_ns=event_ns,
                ts_recv_ns=recv_ns,
                asset=names[asset],
                venue=names[venue],
                kind=ORACLE_KINDS[kind],
                price=price,
            )


def _spot_quotes(events: Events) -> Iterator[AnyMessage]:
    names = events.names
    for part in _parts(events.spot):
        for event_ns, recv_ns, asset, venue, bid, bid_size, ask, ask_size in zip(*_columns(part), strict=True):
            yield SpotQuote(
                ts_event_ns=event_ns,
                ts_recv_ns=recv_ns,
                asset=names[asset],
                venue=names[venue],
                bid=bid,
                bid_size=bid_size,
                ask=ask,
                ask_size=ask_size,
            )


def _outcome_books(books: Rows, levels: Rows, names: tuple[str, ...], markets: dict[int, str]) -> Iterator[AnyMessage]:
    for part in _parts(books):
        first = int(part["first"][0])
        depth = int(part["first"][-1] + part["bids"][-1] + part["asks"][-1]) - first
        ticks, shares = _columns(levels[first : first + depth])
        at = 0
        for event_ns, recv_ns, slug, outcome, tick_size, _, bids, asks in zip(*_columns(part), strict=True):
            middle, end = at + bids, at + bids + asks
            yield OutcomeBook(
                ts_event_ns=event_ns,
                ts_recv_ns=recv_ns,
                market=markets[slug],
                slug=names[slug],
                outcome=OUTCOMES[outcome],
                tick_size=tick_size,
                bid_ticks=tuple(ticks[at:middle]),
                bid_sizes=tuple(shares[at:middle]),
                ask_ticks=tuple(ticks[middle:end]),
                ask_sizes=tuple(shares[middle:end]),
            )
            at = end


def _outcome_trades(events: Events, markets: dict[int, str]) -> Iterator[AnyMessage]:
    names = events.names
    for part in _parts(events.trades):
        for event_ns, recv_ns, slug, outcome, side, _, price, shares, number in zip(*_columns(part), strict=True):
            yield OutcomeTrade(
                ts_event_ns=event_ns,
                ts_recv_ns=recv_ns,
                market=markets[slug],
                slug=names[slug],
                outcome=OUTCOMES[outcome],
                price=price,
                size=shares,
                aggressor="buy" if side > 0 else "sell",
                trade_id=str(number) if number else "",
            )


# -- health ----------------------------------------------------------------------------------------------------------


def _streams(events: Events, markets: dict[int, str]) -> list[_Stream]:
    found: list[_Stream] = []
    names = events.names
    for mine in grouped(events.spot["venue"], events.spot["asset"]):
        quotes = events.spot[mine]
        found.append(_stream(names[quotes["venue"][0]], "SpotQuote", names[quotes["asset"][0]], quotes))
    for mine in grouped(events.oracle["venue"], events.oracle["asset"], events.oracle["kind"]):
        prints = events.oracle[mine]
        subject = f"{names[prints['asset'][0]]}.{ORACLE_KINDS[prints['kind'][0]]}"
        found.append(_stream(names[prints["venue"][0]], "OraclePrice", subject, prints))
    market_names = tuple(dict.fromkeys(markets.values()))
    market_of = np.zeros(len(names), np.int64)
    for place, market in markets.items():
        market_of[place] = market_names.index(market)
    for mine in grouped(market_of[events.books["slug"]], events.books["outcome"]) if len(events.books) else ():
        books = events.books[mine]
        subject = f"{markets[int(books['slug'][0])]}.{OUTCOMES[books['outcome'][0]]}"
        found.append(_stream(TOKEN_VENUE, "OutcomeBook", subject, books))
    return found


def _stream(venue: str, channel: str, subject: str, rows: Rows) -> _Stream:
    received = np.ascontiguousarray(rows["ts_recv_ns"])
    by_event_time = LIMITS[channel].by_event_time
    aged_from = np.maximum.accumulate(rows["ts_event_ns"]) if by_event_time else received
    return _Stream(venue, channel, subject, received, aged_from)


def _statuses(events: Events, markets: dict[int, str]) -> tuple[Rows, list[_Stream]]:
    """Every status in order of time, and the streams that they are of."""
    streams = _streams(events, markets)
    seconds = _reported_seconds([each.received for each in streams])
    parts: list[Rows] = [np.empty(0, _STATUS)]
    for place, stream in enumerate(streams):
        parts.append(_statuses_of(stream, place, _outages_of(events, stream), seconds))
    rows = np.concatenate(parts)
    return rows[np.argsort(rows["ts_ns"], kind="stable")], streams


def _reported_seconds(received: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The whole seconds, in nanoseconds, at most `REPEATED_S` after an event of any stream."""
    if not received:
        return np.empty(0, np.int64)
    seconds = np.unique(np.concatenate([np.unique(-(-each // NS_PER_S)) for each in received]))
    runs = np.minimum(np.append(np.diff(seconds), 1), REPEATED_S)
    return run_places(seconds, runs) * NS_PER_S


def _outages_of(events: Events, stream: _Stream) -> Rows:
    places = {name: place for place, name in enumerate(events.names)}
    rows = events.outages
    is_mine = np.ones(len(rows), np.bool_)
    for field in ("venue", "channel", "subject"):
        is_mine &= rows[field] == places.get(getattr(stream, field), -1)
    return rows[is_mine]


def _statuses_of(stream: _Stream, place: int, outages: Rows, seconds: NDArray[np.int64]) -> Rows:
    received, aged_from = stream.received, stream.aged_from
    limit_ns = round(_STALE_S[stream.channel] * NS_PER_S)
    first_ns, end_ns = int(received[0]), int(seconds[-1])
    next_ns = np.append(received[1:], end_ns + 1)
    stale_ns = np.maximum(aged_from + limit_ns + 1, received)
    is_late = stale_ns < next_ns
    changes = (received[:1], stale_ns[is_late], next_ns[is_late], outages["start_ns"], outages["end_ns"])
    at = np.unique(np.concatenate((seconds, *changes)))
    at = at[(at >= first_ns) & (at <= end_ns)]
    last = np.searchsorted(received, at, side="right") - 1
    ages_ns = at - aged_from[last]
    ended = np.searchsorted(np.sort(outages["end_ns"]), at, side="right")
    is_down = np.searchsorted(np.sort(outages["start_ns"]), at, side="right") > ended
    rows = np.empty(len(at), _STATUS)
    rows["ts_ns"], rows["stream"], rows["reconnects"] = at, place, ended
    rows["state"] = np.where(is_down, _DOWN, np.where(ages_ns > limit_ns, _STALE, _LIVE))
    rows["age_s"] = ages_ns / NS_PER_S
    for field, time_s in (("seen_hz", SEEN_TIME_S), ("expected_hz", EXPECTED_TIME_S)):
        rows[field] = _rate(received, at, round(time_s * NS_PER_S))
    return rows


def _rate(received: NDArray[np.int64], at: NDArray[np.int64], time_ns: int) -> NDArray[np.float64]:
    """Rows a second in the time before each instant, or since the first row; 0 before any time passed."""
    counts = np.searchsorted(received, at, side="right") - np.searchsorted(received, at - time_ns, side="right")
    watched_s = np.minimum(at - received[0], time_ns) / NS_PER_S
    rates: NDArray[np.float64] = np.divide(counts, watched_s, out=np.zeros(len(at)), where=watched_s > 0.0)
    return rates


def _feed_statuses(rows: Rows, streams: list[_Stream]) -> Iterator[AnyMessage]:
    reasons = [
        ("", f"no data for more than {_STALE_S[stream.channel]:g} s", "outage in the recording") for stream in streams
    ]
    for part in _parts(rows):
        for ts_ns, place, state, age_s, seen_hz, expected_hz, reconnects in zip(*_columns(part), strict=True):
            stream = streams[place]
            yield FeedStatus(
                ts_event_ns=ts_ns,
                ts_recv_ns=ts_ns,
                venue=stream.venue,
                channel=stream.channel,
                subject=stream.subject,
                state=_STATES[state],
                reason=reasons[place][state],
                age_s=age_s,
                expected_rate_hz=expected_hz,
                seen_rate_hz=seen_hz,
                reconnects=reconnects,
            )

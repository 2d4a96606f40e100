"""Events through all cores of the system, message by message, so that a test sees what the engine makes of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backtest.events import ORACLE_KINDS, OUTCOMES, Events
from backtest.session import Session, trading_cores
from shared.config import MMConfig
from shared.market import NS_PER_S, Series
from shared.messages import AnyMessage, FeedStatus, OraclePrice, OutcomeBook, QuoteSet, SpotQuote
from tests.builders import build

TIMER_NS = NS_PER_S // 5


def quote_sets(events: Events, series: Series, *, from_ns: int, until_ns: int) -> list[QuoteSet]:
    """Every quote set of these instants: the feeds are live throughout, time passes five times a second."""
    session = Session(trading_cores(MMConfig(), [series]), [series])
    heard: list[QuoteSet] = []
    session.listeners.append(lambda message: heard.append(message) if isinstance(message, QuoteSet) else None)
    due = sorted(_messages(events, series, until_ns), key=lambda message: message.ts_recv_ns)
    place = 0
    for now_ns in range(from_ns, until_ns + 1, TIMER_NS):
        while place < len(due) and due[place].ts_recv_ns <= now_ns:
            session.publish(due[place])
            place += 1
        if now_ns % NS_PER_S == 0:
            for status in _statuses(events, series, now_ns):
                session.publish(status)
        session.timer(now_ns)
    return heard


def _messages(events: Events, series: Series, until_ns: int) -> Iterator[AnyMessage]:
    names = events.names
    yield from events.periods
    for row in events.oracle:
        yield OraclePrice(
            ts_event_ns=int(row["ts_event_ns"]),
            ts_recv_ns=int(row["ts_recv_ns"]),
            asset=names[row["asset"]],
            kind=ORACLE_KINDS[row["kind"]],
            price=float(row["price"]),
            venue=names[row["venue"]],
        )
    for row in events.spot:
        yield SpotQuote(
            ts_event_ns=int(row["ts_event_ns"]),
            ts_recv_ns=int(row["ts_recv_ns"]),
            asset=names[row["asset"]],
            venue=names[row["venue"]],
            bid=float(row["bid"]),
            bid_size=float(row["bid_size"]),
            ask=float(row["ask"]),
            ask_size=float(row["ask_size"]),
        )
    for row in events.books[events.books["ts_recv_ns"] <= until_ns]:
        bids, asks = np.split(events.levels[row["first"] : row["first"] + row["bids"] + row["asks"]], [row["bids"]])
        yield OutcomeBook(
            ts_event_ns=int(row["ts_event_ns"]),
            ts_recv_ns=int(row["ts_recv_ns"]),
            market=series.name,
            slug=names[row["slug"]],
            outcome=OUTCOMES[row["outcome"]],
            tick_size=float(row["tick_size"]),
            bid_ticks=tuple(bids["ticks"].tolist()),
            bid_sizes=tuple(bids["shares"].tolist()),
            ask_ticks=tuple(asks["ticks"].tolist()),
            ask_sizes=tuple(asks["shares"].tolist()),
        )


def _statuses(events: Events, series: Series, now_ns: int) -> Iterator[FeedStatus]:
    streams = (
        *((events.names[venue], "SpotQuote", series.asset) for venue in np.unique(events.spot["venue"])),
        *((events.names[venue], "OraclePrice", f"{series.asset}.spot") for venue in np.unique(events.oracle["venue"])),
        *(("polymarket", "OutcomeBook", f"{series.name}.{outcome}") for outcome in OUTCOMES),
    )
    for venue, channel, subject in streams:
        yield build(FeedStatus, at_s=now_ns / NS_PER_S, venue=venue, channel=channel, subject=subject)

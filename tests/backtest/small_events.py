"""A few seconds of one market, of every kind of event, for tests of what reads and writes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from backtest.events import Events, Label
from backtest.events_build import EventsBuilder
from shared.messages import OraclePrice, OutcomeBook, OutcomeTrade, Period, SpotQuote
from tests.builders import NS, SLUG, START_S, build

NOW_NS = (START_S + 300) * NS


def builder_of_everything() -> EventsBuilder:
    """Every kind of event once or twice, around `NOW_NS`."""
    builder = EventsBuilder()
    builder.take(build(Period, at_s=START_S + 290))
    builder.take(build(Period, at_s=START_S + 291, strike=None, strike_state="PENDING", taker_delay_s=None))
    for second in range(5):
        at_s = START_S + 300 + second
        builder.take(build(OraclePrice, at_s=at_s, price=80_000.0 + second))
        builder.take(build(OraclePrice, at_s=at_s, kind="twap60"))
        builder.take(build(SpotQuote, at_s=at_s + 0.1, bid=79_990.0 + second))
        builder.take(build(OutcomeBook, at_s=at_s + 0.2, bid_ticks=(49 - second, 40), ask_ticks=(51, 60 + second)))
        builder.take(build(OutcomeBook, at_s=at_s + 0.2, outcome="PUT", bid_ticks=(), bid_sizes=()))
        builder.take(build(OutcomeTrade, at_s=at_s + 0.3, trade_id=str(second), aggressor="sell"))
    builder.outage(start_ns=NOW_NS, end_ns=NOW_NS + NS, venue="bybit", channel="SpotQuote", subject="BTC")
    builder.label(Label(SLUG, "CALL", "official"))
    return builder


def everything() -> Events:
    """The events of `builder_of_everything`."""
    builder = builder_of_everything()
    builder.drop("bad_line", 3)
    return builder.build("test", ["one clock"])


def assert_same(first: Events, second: Events) -> None:
    """The two hold the same, whatever the places of their names."""
    assert _plain(first) == _plain(second)


def _plain(events: Events) -> dict[str, Any]:
    found = events._asdict()
    names = np.array(events.names, object)
    for kind in ("spot", "oracle", "books", "trades", "outages"):
        rows = found[kind]
        found[kind] = {
            name: names[rows[name]].tolist()
            if name in ("asset", "venue", "slug", "channel", "subject")
            else rows[name].tolist()
            for name in rows.dtype.names
        }
    found["levels"] = events.levels.tolist()
    found["names"] = None
    return found

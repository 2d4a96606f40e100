from __future__ import annotations

from collections.abc import Sequence

import pytest

from backtest.session import Session
from shared.core import Delivery, Event, Timer
from shared.market import Series
from shared.messages import AnyMessage, Position, QuoteSet, SpotQuote
from tests.builders import build

SERIES = [Series.parse("btc-15m")]


class Echo:
    """Answers every spot quote with a quote set, and remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def update(self, event: Event) -> Sequence[AnyMessage]:
        self.heard.append(event)
        return [build(QuoteSet)] if isinstance(event, Delivery) and isinstance(event.message, SpotQuote) else []


def test_a_core_hears_what_the_wiring_table_gives_it_and_nothing_else() -> None:
    quoter, hedger = Echo(), Echo()
    session = Session({"quoter": quoter, "hedger": hedger}, SERIES)
    session.publish(build(SpotQuote))
    session.publish(build(SpotQuote, asset="ETH"))
    session.publish(build(Position))
    topics = [event.topic for event in quoter.heard if isinstance(event, Delivery)]
    assert topics == ["SpotQuote.BTC.bybit", "Position.btc-15m"]
    assert [event.topic for event in hedger.heard if isinstance(event, Delivery)] == ["QuoteSet.btc-15m"]


def test_what_a_core_publishes_is_delivered_before_the_next_event() -> None:
    quoter, listener = Echo(), Echo()
    session = Session({"quoter": quoter}, SERIES)
    session.add("listener", listener, ("QuoteSet.",))
    heard: list[str] = []
    session.listeners.append(lambda message: heard.append(type(message).__name__))
    session.publish(build(SpotQuote))
    session.publish(build(SpotQuote))
    assert heard == ["SpotQuote", "QuoteSet", "SpotQuote", "QuoteSet"]
    numbers = [(event.topic, event.seq) for event in listener.heard if isinstance(event, Delivery)]
    assert numbers == [("QuoteSet.btc-15m", 1), ("QuoteSet.btc-15m", 2)]


@pytest.mark.parametrize("ts_ns", [1, 10**18])
def test_a_timer_reaches_every_core(ts_ns: int) -> None:
    quoter, hedger = Echo(), Echo()
    Session({"quoter": quoter, "hedger": hedger}, SERIES).timer(ts_ns)
    assert quoter.heard == hedger.heard == [Timer(ts_ns)]

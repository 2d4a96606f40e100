from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.sink.metrics_io import SinkCollector
from services.sink.view import SystemView, standing
from shared.core import Delivery, Timer
from shared.market import Series
from shared.messages import AnyMessage, OutcomeBook, Period, QuoteSet, Settlement, topic_of
from tests.builders import NS, START_S, build

AT_NS = (START_S + 300) * NS
BTC = {"market": "btc-15m"}


def shown(*messages: AnyMessage, at_ns: int = AT_NS) -> CollectorRegistry:
    """The metrics of a sink that heard these messages, at a time."""
    view = SystemView([Series.parse("btc-15m")])
    view.update(Timer(AT_NS))
    for message in messages:
        view.update(Delivery(topic_of(message), 1, 1, message))
    view.update(Timer(at_ns))
    collector = SinkCollector({"btc-15m": 0}, ("btc-15m",))
    market = view.markets["btc-15m"]
    books = tuple(market.books.values())
    collector.note("btc-15m", standing(view, market), books, now_ns=at_ns, lease_expiries=3)
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def test_what_stands_in_the_file_is_shown_beside_the_book() -> None:
    registry = shown(build(Period), build(OutcomeBook), build(QuoteSet), at_ns=AT_NS + NS)
    assert registry.get_sample_value("sink_action", BTC | {"action": "QUOTE_BOTH"}) == 1.0
    assert registry.get_sample_value("sink_action", BTC | {"action": "PULL_QUOTES"}) == 0.0
    assert registry.get_sample_value("sink_fair_value", BTC) == 0.5
    layer = BTC | {"outcome": "CALL", "side": "bid", "layer": "0"}
    assert registry.get_sample_value("sink_ladder_price", layer) == 0.42
    assert registry.get_sample_value("sink_ladder_shares", layer) == 50.0
    assert registry.get_sample_value("sink_book_price", BTC | {"outcome": "CALL", "side": "ask"}) == 0.51
    assert registry.get_sample_value("sink_quotes_age_seconds", BTC) == 1.0
    assert registry.get_sample_value("sink_lease_expiries_total", BTC) == 3.0


def test_after_the_lease_no_ladder_and_no_fair_value_is_shown() -> None:
    registry = shown(build(Period), build(OutcomeBook), build(QuoteSet), at_ns=AT_NS + 3 * NS)
    assert registry.get_sample_value("sink_action", BTC | {"action": "PULL_QUOTES"}) == 1.0
    assert registry.get_sample_value("sink_fair_value", BTC) is None
    layer = BTC | {"outcome": "CALL", "side": "bid", "layer": "0"}
    assert registry.get_sample_value("sink_ladder_price", layer) is None
    assert registry.get_sample_value("sink_book_price", BTC | {"outcome": "CALL", "side": "bid"}) == 0.49


def test_a_settlement_counts_once_by_whether_we_agree_and_only_when_it_is_official() -> None:
    collector = SinkCollector({"btc-15m": 0}, ("btc-15m",))
    registry = CollectorRegistry()
    registry.register(collector)

    def counted(agrees: str) -> float | None:
        return registry.get_sample_value("sink_settlements_total", BTC | {"agrees": agrees})

    assert [counted(each) for each in ("yes", "no", "unknown")] == [0.0, 0.0, 0.0]
    collector.count_settlement(build(Settlement, official=None, agrees=None))
    collector.count_settlement(build(Settlement, market="doge-15m"))
    assert counted("unknown") == 0.0
    for _ in range(2):
        collector.count_settlement(build(Settlement, agrees=False))
    collector.count_settlement(build(Settlement, slug="btc-updown-15m-1791242100", agrees=True))
    assert [counted(each) for each in ("yes", "no", "unknown")] == [1.0, 1.0, 0.0]

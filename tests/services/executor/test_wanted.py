from __future__ import annotations

from services.executor.wanted import OrderKey, wanted_of
from shared.messages import QuoteSet
from tests.builders import build
from tests.services.executor.scene import ask, bid


def test_bids_buy_call_and_asks_sell_what_is_held_and_else_buy_put() -> None:
    quotes = build(QuoteSet, call=(bid(48, 50.0), ask(52, 20.0, held=True), ask(53, 7.5)), put=(bid(47),))
    assert wanted_of(quotes) == {
        OrderKey("CALL", "buy", 480_000): 50_000_000,
        OrderKey("CALL", "sell", 520_000): 20_000_000,
        OrderKey("PUT", "buy", 470_000): 7_500_000,
    }


def test_the_innermost_layers_come_first() -> None:
    quotes = build(QuoteSet, call=(bid(48), bid(47), ask(52)))
    assert [key.price_micro for key in wanted_of(quotes)] == [480_000, 470_000, 480_000]


def test_a_pulled_set_wants_nothing() -> None:
    assert wanted_of(build(QuoteSet, action="PULL_QUOTES", call=())) == {}

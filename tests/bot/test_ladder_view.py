from __future__ import annotations

from bot.ladder_view import ladder_rows
from shared.messages import Layer, OutcomeBook, Side
from tests.builders import build


def layer(side: Side, ticks: int, size: float = 50.0) -> Layer:
    return Layer(
        side=side, ticks=ticks, price=ticks * 0.01, size=size, layer=0, execution="buy", execution_price=ticks * 0.01
    )


def test_our_orders_stand_beside_the_book_highest_price_first() -> None:
    rows = ladder_rows(build(OutcomeBook), [layer("bid", 48), layer("ask", 53)], 10)
    assert [(row.ticks, row.bid_size, row.ask_size, row.our_bid, row.our_ask) for row in rows] == [
        (53, 0.0, 0.0, 0.0, 50.0),
        (52, 0.0, 200.0, 0.0, 0.0),
        (51, 0.0, 100.0, 0.0, 0.0),
        (49, 100.0, 0.0, 0.0, 0.0),
        (48, 200.0, 0.0, 50.0, 0.0),
    ]


def test_a_deep_book_is_cut_to_the_rows_around_the_touch() -> None:
    book = build(
        OutcomeBook,
        bid_ticks=tuple(range(49, 19, -1)),
        bid_sizes=(1.0,) * 30,
        ask_ticks=tuple(range(51, 81)),
        ask_sizes=(1.0,) * 30,
    )
    assert [row.ticks for row in ladder_rows(book, [], 6)] == [53, 52, 51, 49, 48, 47]
    far = ladder_rows(book, [layer("bid", ticks) for ticks in range(10, 20)], 6)
    assert len(far) == 6


def test_without_a_book_our_own_orders_are_shown() -> None:
    assert [row.ticks for row in ladder_rows(None, [layer("bid", 48)], 5)] == [48]
    assert ladder_rows(None, [], 5) == []


def test_prices_have_as_many_decimals_as_the_tick() -> None:
    assert ladder_rows(build(OutcomeBook), [], 5)[0].decimals == 2
    assert ladder_rows(build(OutcomeBook, tick_size=0.001), [], 5)[0].decimals == 3

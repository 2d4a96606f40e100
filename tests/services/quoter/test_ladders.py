"""A remembered ladder is the ladder that would be built."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.quoter.ladders import LadderBook, LadderKey
from shared.config import MAX_TIERS

PRICES = tuple(ticks / 100 for ticks in range(101))
BOOK = LadderBook()


def numbers(bid: int, sizes: list[float]) -> NDArray[np.float64]:
    flat = np.zeros((4, MAX_TIERS))
    for layer, size in enumerate(sizes):
        flat[:, layer] = (bid - layer, size, 100 - bid + layer, size)
    return flat.reshape(-1)


@given(
    bid=st.integers(9, 49),
    sizes=st.lists(st.sampled_from([0.0, 5.0, 50.0]), min_size=1, max_size=MAX_TIERS),
    held=st.sampled_from([(0.0, 0.0), (60.0, 0.0), (0.0, 55.0)]),
)
def test_remembering_ladders_changes_none(bid: int, sizes: list[float], held: tuple[float, float]) -> None:
    flat = numbers(bid, sizes)
    key: LadderKey = (100, held, flat.tobytes())
    call, put = BOOK.of(key, PRICES, flat)
    assert (call, put) == LadderBook().of(key, PRICES, flat)
    assert len(call) == len(put) == 2 * sum(size > 0.0 for size in sizes)
    for left, shares in ((call, held[0]), (put, held[1])):
        assert sum(layer.size for layer in left if layer.execution == "sell") <= shares
        assert {layer.execution for layer in left if layer.side == "bid"} <= {"buy"}
        for layer in left:
            opposite = layer.execution == "buy_opposite"
            assert layer.price == layer.ticks / 100
            assert layer.execution_price == ((100 - layer.ticks) / 100 if opposite else layer.price)

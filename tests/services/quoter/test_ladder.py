"""The ladder stands on the grid, inside the limits, and never crosses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quoter.ladder import build_side, layer_sizes, layer_ticks
from shared.config import MAX_TIERS

TIERS = np.array([50.0, 100.0, 200.0, 500.0, 0.0, 0.0, 0.0, 0.0])


def sizes_in(room: float, *, factor: float = 1.0, min_size: float = 5.0, count: int = 4) -> list[float]:
    sizes = np.zeros(MAX_TIERS)
    total = layer_sizes(TIERS, count, factor, room, min_size, sizes)
    assert total == sizes.sum()
    return [float(size) for size in sizes if size]


def test_enough_room_gives_the_tiers_themselves() -> None:
    assert sizes_in(850.0) == [50.0, 100.0, 200.0, 500.0]
    assert sizes_in(850.0, factor=0.5) == [25.0, 50.0, 100.0, 250.0]


def test_too_little_room_shrinks_all_tiers_and_keeps_the_inner_ones() -> None:
    assert sizes_in(500.0) == [29.0, 58.0, 117.0, 294.0]
    assert sizes_in(12.0) == [5.0, 5.0]
    assert sizes_in(4.9) == []
    assert sizes_in(-20.0) == []


@given(
    tiers=st.lists(st.floats(0.5, 2000.0), min_size=1, max_size=MAX_TIERS),
    factor=st.floats(0.0, 2.0),
    room=st.floats(-500.0, 3000.0),
    min_size=st.floats(0.5, 60.0),
)
def test_sizes_are_whole_at_least_the_minimum_and_within_the_room(
    tiers: list[float], factor: float, room: float, min_size: float
) -> None:
    sizes = np.zeros(MAX_TIERS)
    padded = np.array(sorted(tiers) + [0.0] * (MAX_TIERS - len(tiers)))
    total = layer_sizes(padded, len(tiers), factor, room, min_size, sizes)
    standing = sizes[sizes > 0.0]
    assert total == standing.sum() <= max(room, 0.0)
    assert all(size == int(size) and size >= min_size for size in standing)


def test_rounding_is_away_and_a_price_on_a_tick_stays_there() -> None:
    assert layer_ticks(0.5, 0.01, 0.01, 1, 0, 99) == 49
    assert layer_ticks(0.5, 0.01, 0.01, -1, 0, 1) == 51
    assert layer_ticks(0.5, 0.0101, 0.01, 1, 0, 99) == 48
    assert layer_ticks(0.5, 0.0101, 0.01, -1, 0, 1) == 52


def test_post_only_moves_a_layer_out_and_the_next_one_stays_distinct() -> None:
    assert layer_ticks(0.5, 0.01, 0.01, 1, 0, 44) == 44
    assert layer_ticks(0.5, 0.02, 0.01, 1, 44, 44) == 43


@pytest.mark.parametrize("per_dollar", [10, 100, 200, 400, 1000, 10_000])
@pytest.mark.parametrize("side", [1, -1])
def test_every_tick_grid_is_respected_at_both_ends(per_dollar: int, side: int) -> None:
    spreads = np.linspace(0.001, 0.2, MAX_TIERS)
    for reservation in (0.0, 0.001, 0.02, 0.5, 0.97, 0.9995, 1.0):
        ticks, sizes = np.zeros(MAX_TIERS), np.full(MAX_TIERS, 10.0)
        limit = per_dollar - 1 if side > 0 else 1
        standing = build_side(
            reservation, spreads, 0.0, MAX_TIERS, 1.0 / per_dollar, per_dollar, side, limit, ticks, sizes
        )
        placed = [int(tick) for tick, size in zip(ticks, sizes, strict=True) if size > 0.0]
        assert len(placed) == len(set(placed)) == standing
        assert all(1 <= tick <= per_dollar - 1 for tick in placed)
        assert placed == sorted(placed, reverse=side > 0)
        for tick, spread in zip(placed, spreads, strict=False):
            away = reservation - tick / per_dollar if side > 0 else tick / per_dollar - reservation
            assert away >= spread - 1e-9 or tick in (1, per_dollar - 1)


def test_a_credit_brings_the_innermost_layer_nearer_and_no_other() -> None:
    spreads = np.array([0.06, 0.08] + [0.0] * (MAX_TIERS - 2))
    placed = []
    for credit in (0.0, 0.02):
        ticks, sizes = np.zeros(MAX_TIERS), np.full(MAX_TIERS, 10.0)
        build_side(0.5, spreads, credit, 2, 0.01, 100, 1, 99, ticks, sizes)
        placed.append(ticks[:2].tolist())
    assert placed == [[44.0, 42.0], [46.0, 42.0]]


def test_a_phase_factor_caps_the_shares_whatever_the_minimum_size() -> None:
    sizes = np.zeros(4)
    total = layer_sizes(np.array([6.0, 6.0, 6.0, 6.0]), 4, 0.5, 1000.0, 5.0, sizes)  # half of 24
    assert (total, sizes.tolist()) == (10.0, [5.0, 5.0, 0.0, 0.0])

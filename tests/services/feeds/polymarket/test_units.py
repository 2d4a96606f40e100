"""Strings of the venue become exact numbers, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feeds.polymarket.units import LEGAL_TICK_UNITS, milliseconds, positive, price_units, size_shares


@pytest.mark.parametrize(
    ("text", "units"),
    [("0.86", 8600), (".86", 8600), ("0.8600", 8600), ("0.0001", 1), ("0", 0), ("1", 10_000), ("1.000000", 10_000)],
)
def test_prices_are_exact_units(text: str, units: int) -> None:
    assert price_units(text) == units


@pytest.mark.parametrize(
    "text", ["", ".", "1.", "NaN", "inf", "-0.5", "1e-2", "0.00001", "1.01", "2", " 0.5", "٠.٥", "0_1"]
)
def test_what_is_no_price_on_the_finest_grid_is_refused(text: str) -> None:
    assert price_units(text) is None


@pytest.mark.parametrize("tick", sorted(LEGAL_TICK_UNITS))
def test_every_price_of_every_legal_tick_survives_the_string(tick: int) -> None:
    for units in range(tick, 10_000, tick):
        assert price_units(f"{units / 10_000:g}") == units


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e9", "", ".", "1_0", "²", "9" * 40, "1.2.3", " 1"])
def test_what_is_no_size_is_refused(text: str) -> None:
    try:
        assert size_shares(text) is None
    except ValueError:
        pytest.fail("a size must never raise")


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    price_units(text)
    size_shares(text)
    milliseconds(text)
    positive(text)

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given

from shared.money import MICRO, from_micro, product_micro, to_micro


def test_a_float_is_what_its_text_says() -> None:
    assert to_micro(0.1) == 100_000
    assert to_micro(0.29) == 290_000
    assert to_micro("1.000001") == 1_000_001
    assert to_micro(Decimal("-2.5")) == -2_500_000


def test_half_a_micro_unit_goes_to_the_even() -> None:
    assert [to_micro(text) for text in ("0.0000005", "0.0000015", "-0.0000005")] == [0, 2, 0]


@pytest.mark.parametrize("amount", ["nan", "inf", float("nan"), float("-inf")])
def test_what_is_not_finite_is_no_amount(amount: float | str) -> None:
    with pytest.raises(ValueError, match="finite"):
        to_micro(amount)


@given(st.integers(-(10**15), 10**15))
def test_micro_units_come_back(micro: int) -> None:
    assert to_micro(Decimal(micro) / MICRO) == micro
    if abs(micro) < 10**14:  # beyond, a float has no micro-unit left
        assert to_micro(from_micro(micro)) == micro


@given(st.integers(-(10**6), 10**6), st.integers(-(10**12), 10**12))
def test_a_product_is_the_exact_one_to_the_nearest(price_micro: int, units: int) -> None:
    assert product_micro(price_micro, units) == round(Fraction(price_micro * units, MICRO))

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.market import NS_PER_S, Series, parse_slug, phase_at


@pytest.mark.parametrize(
    ("name", "asset", "length_s"),
    [("btc-15m", "BTC", 900), ("ETH-5m", "ETH", 300), ("sol-4h", "SOL", 14400), ("xrp-90s", "XRP", 90)],
)
def test_a_series_is_an_asset_and_a_length(name: str, asset: str, length_s: int) -> None:
    series = Series.parse(name)
    assert (series.name, series.asset, series.length_s) == (name.lower(), asset, length_s)


@pytest.mark.parametrize("name", ["btc", "btc-", "-15m", "btc-15", "btc-0m", "btc-15d", "b/c-15m", ""])
def test_what_is_no_series_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(ValueError, match="btc-15m"):
        Series.parse(name)


@given(st.integers(1_500_000_000, 2_500_000_000), st.sampled_from(["btc-15m", "eth-5m", "sol-4h"]))
def test_every_instant_is_in_the_period_its_slug_names(second: int, name: str) -> None:
    series = Series.parse(name)
    start_s = series.start_of(second * NS_PER_S + 1)
    assert start_s <= second < start_s + series.length_s
    assert parse_slug(series.slug(start_s)) == (series, start_s)


def _unix(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp())  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(("month", "hour"), [(7, 4), (12, 5)])
def test_four_hour_periods_are_cut_from_midnight_in_new_york(month: int, hour: int) -> None:
    midnight_in_new_york = _unix(2026, month, 10, hour)
    assert Series.parse("btc-4h").start_of((midnight_in_new_york + 3 * 3600) * NS_PER_S) == midnight_in_new_york


def test_fifteen_minute_periods_are_cut_from_the_unix_epoch() -> None:
    assert Series.parse("btc-15m").start_of((1_791_241_200 + 899) * NS_PER_S) == 1_791_241_200


def test_a_slug_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="period slug"):
        parse_slug("bitcoin-up-or-down-october-5-2026-7pm-et")


@pytest.mark.parametrize(
    ("left_s", "phase"),
    [
        (901, "before"),
        (900, "early"),
        (541, "early"),
        (540, "mid"),
        (181, "mid"),
        (180, "late"),
        (61, "late"),
        (60, "final"),
        (1, "final"),
        (0, "after"),
    ],
)
def test_phases_of_fifteen_minutes(left_s: int, phase: str) -> None:
    assert phase_at((900 - left_s) * NS_PER_S, start_ns=0, end_ns=900 * NS_PER_S) == phase


@given(st.integers(-10, 910))
def test_phases_scale_with_the_length(second: int) -> None:
    short = phase_at(second * NS_PER_S, start_ns=0, end_ns=900 * NS_PER_S)
    assert phase_at(second * NS_PER_S * 16, start_ns=0, end_ns=14_400 * NS_PER_S) == short

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feeds.parsing import (
    Evidence,
    Lateness,
    PriceGuard,
    RecentIds,
    is_clock_plausible,
    parse_decimal,
    parse_e18,
    parse_iso_ns,
    parse_positive,
)
from services.feeds.protocol import Status


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e5", "nan", "inf", "0.-10000", "1_000", " 1", "1 ", "1.", ".5", "0x1", "１２", "9" * 41]
)
def test_what_is_not_a_plain_decimal_is_no_number(text: str) -> None:
    assert parse_decimal(text) is None


def test_a_decimal_is_the_nearest_float() -> None:
    assert parse_decimal("28165.07") == 28165.07
    assert parse_decimal("0") == 0.0
    assert parse_decimal("78803.715261094101516288") == float("78803.715261094101516288")


def test_zero_is_not_positive_and_huge_is_not_a_number() -> None:
    assert parse_positive("0.000") is None
    assert parse_positive("1" + "0" * 20) is None


@given(st.integers(min_value=1, max_value=10**32))
def test_an_e18_integer_is_the_correctly_rounded_quotient(number: int) -> None:
    assert parse_e18(str(number)) == float(f"{number}e-18")


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "1e18", "²", "9" * 41])
def test_what_is_not_an_e18_integer_is_no_price(text: str) -> None:
    assert parse_e18(text) is None


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_an_iso_time_agrees_with_datetime_to_the_microsecond(moment: datetime) -> None:
    since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_iso_ns(moment.isoformat() + "Z") == since // timedelta(microseconds=1) * 1000


def test_iso_times_keep_nanoseconds_and_refuse_nonsense() -> None:
    assert parse_iso_ns("1970-01-01T00:00:01.123456789Z") == 1_123_456_789
    assert parse_iso_ns("1970-01-01T00:00:01Z") == 1_000_000_000
    for text in ("", "Z", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z"):
        assert parse_iso_ns(text) is None


def test_a_clock_an_hour_off_is_not_plausible() -> None:
    assert is_clock_plausible(10**18, 10**18 + 10**9)
    assert not is_clock_plausible(10**18, 10**18 + 3600 * 10**9)
    assert not is_clock_plausible(10**18 + 3600 * 10**9, 10**18)


LAGS = ((0.0, 0.1), (0.5, 3.0), (0.9, 3.0), (1.0, 3.0), (1.5, 2.1), (1.6, 1.9), (1.7, 3.0))  # receipt, lag in seconds


def test_a_stream_is_late_when_every_frame_of_a_second_was_and_on_time_with_the_first_that_is_not() -> None:
    lateness, now = Lateness(), 10**18
    seen = [lateness.observe(now + int(at * 1e9) - int(lag * 1e9), now + int(at * 1e9)) for at, lag in LAGS]
    assert seen == [False, False, False, True, True, False, False]


def test_one_late_frame_between_others_is_no_lateness() -> None:
    lateness, now = Lateness(), 10**18
    assert not any(
        lateness.observe(now + at - lag, now + at) for at, lag in ((0, 0), (10**8, 3 * 10**9), (2 * 10**8, 0))
    )


def test_lateness_is_unknown_again_on_a_new_connection() -> None:
    lateness, late_ns = Lateness(), 3 * 10**9
    assert [lateness.observe(0, at + late_ns) for at in (0, 10**9)] == [False, True]
    lateness.forget()
    assert lateness.observe(0, 2 * 10**9 + late_ns) is False


def test_one_absurd_price_is_refused_and_forgotten() -> None:
    guard = PriceGuard()
    assert [guard.accept(price) for price in (100.0, 1000.0, 101.0, 1000.0, 102.0)] == [True, False, True, False, True]


def test_a_venue_that_insists_is_believed() -> None:
    guard = PriceGuard()
    assert [guard.accept(price) for price in (100.0, 150.0, 151.0, 150.5, 150.0)] == [True, False, False, True, True]


def test_absurd_prices_that_disagree_are_never_believed() -> None:
    guard = PriceGuard()
    assert guard.accept(100.0)
    assert not any(guard.accept(price) for price in (200.0, 400.0, 800.0, 1600.0, 3200.0))


def test_an_identifier_counts_once_and_memory_is_bounded() -> None:
    recent = RecentIds(limit=2)
    assert [recent.add(each) for each in "aabcab"] == [True, False, True, True, True, True]


def test_a_doubt_is_told_once_and_withdrawn_once() -> None:
    evidence = Evidence()
    assert evidence.doubt("SpotQuote", "BTC", "GAP", "crossed") == (Status("SpotQuote", "BTC", "GAP", "crossed"),)
    assert evidence.doubt("SpotQuote", "BTC", "GAP", "crossed") == ()
    assert evidence.trust("SpotQuote", "BTC") == (Status("SpotQuote", "BTC", "LIVE", "recovered"),)
    assert evidence.trust("SpotQuote", "BTC") == ()

"""Each era has its rule, fees and delay, and nothing is announced before it could be known."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backtest.importers.eras import (
    Fees,
    Strike,
    announcements,
    fee_notes,
    fees_of,
    settlement_of,
    taker_delay_of,
)
from shared.market import NS_PER_S, Series

FIFTEEN, FIVE = Series.parse("btc-15m"), Series.parse("btc-5m")


def _second(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("series", "day", "rule"),
    [
        (FIFTEEN, "2026-08-06T23:45", ("spot", 0)),
        (FIFTEEN, "2026-08-07", ("twap", 60)),
        (FIVE, "2026-08-06T23:55", ("spot", 0)),
        (FIVE, "2026-08-07", ("twap", 30)),
        (FIVE, "2026-08-14", ("twap", 60)),
    ],
)
def test_the_settlement_rule_is_that_of_the_day(series: Series, day: str, rule: tuple[str, int]) -> None:
    assert settlement_of(series, _second(day)) == rule


def test_fees_came_to_15_minutes_first_and_today_are_one_curve() -> None:
    assert fees_of(FIFTEEN, _second("2026-01-04")).rate == 0.0
    assert fees_of(FIFTEEN, _second("2026-02-02")) == Fees(0.125, 2.0, 0.0)
    assert fees_of(FIVE, _second("2026-02-02")).rate == 0.0
    assert fees_of(FIVE, _second("2026-02-12")).rate == 0.125
    assert fees_of(Series.parse("btc-4h"), _second("2026-03-05")).rate == 0.0
    assert fees_of(Series.parse("btc-4h"), _second("2026-03-06")).rate == 0.125
    assert fees_of(FIVE, _second("2026-03-30")) == Fees(0.07, 1.0, 0.2)


def test_the_first_fee_curve_is_the_mean_of_what_both_tokens_paid() -> None:
    fees = fees_of(FIFTEEN, _second("2026-02-02"))
    for price in (0.5, 0.3, 0.9):
        both = [token * 0.25 * (price * (1.0 - price)) ** 2 for token in (price, 1.0 - price)]
        assert fees.rate * (price * (1.0 - price)) ** fees.exponent == pytest.approx(sum(both) / 2)
    assert len(fee_notes(["btc-updown-15m-1770029100"])) == 2
    assert len(fee_notes(["btc-updown-15m-1790586000"])) == 1


def test_the_taker_delay_is_that_of_the_day() -> None:
    days = ("2026-02-17", "2026-02-18", "2026-08-17T11:00", "2026-09-04T14:00")
    assert [taker_delay_of(_second(day)) for day in days] == [0.5, 0.25, 0.05, 0.15]


def test_a_period_is_announced_as_it_draws_near_and_again_when_proven() -> None:
    start_ns = 1_790_586_000 * NS_PER_S
    strike = Strike(80_000.0, start_ns + 2 * NS_PER_S, "made")
    periods = announcements("btc-updown-15m-1790586000", seen_ns=start_ns - 1000 * NS_PER_S, strike=strike)
    assert [(each.role, (each.ts_recv_ns - start_ns) // NS_PER_S) for each in periods] == [
        ("next2", -1000),
        ("next", -900),
        ("current", 0),
        ("current", 2),
    ]
    assert [each.strike for each in periods] == [None, None, None, 80_000.0]
    assert [each.strike_state for each in periods] == ["PENDING"] * 3 + ["PROVEN"]
    assert periods[-1].strike_source == "made"
    assert {each.end_ns - each.start_ns for each in periods} == {900 * NS_PER_S}


def test_a_strike_is_never_known_before_the_start_nor_before_the_period() -> None:
    start_ns = 1_790_586_000 * NS_PER_S
    early = Strike(80_000.0, start_ns - NS_PER_S, "made")
    assert announcements("btc-updown-15m-1790586000", seen_ns=0, strike=early)[-1].ts_recv_ns == start_ns
    late = announcements("btc-updown-15m-1790586000", seen_ns=start_ns + 9, strike=early)
    assert [(each.role, each.ts_recv_ns) for each in late] == [("current", start_ns + 9)] * 2


def test_an_hour_is_settled_by_a_candle_and_refused() -> None:
    (period,) = announcements("btc-updown-1h-1790586000", seen_ns=1_790_586_000 * NS_PER_S)
    assert period.refusal == "candle_market"

"""Markouts weigh by shares, count a period as one unit, and show whether the losing side fills more often."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from backtest.markouts import by_result, clustered_ratio, markouts
from backtest.records import UNKNOWN
from tests.backtest.builders import CALL, LENGTH_S, PUT, fill, mids, period, periods_of, rows_of
from tests.shared.test_digital import vectors


def test_markouts_follow_the_mid_at_each_horizon_and_the_payoff_at_the_end() -> None:
    fills = rows_of([fill(price=0.49, shares=10.0, at_s=20.0), fill(side=-1, price=0.51, shares=30.0, at_s=20.0)])
    path = mids((0.0, 0.5), (21.0, 0.48), (49.0, 0.60), (270.0, 0.9))
    table = markouts(fills, period(winner=PUT), [path])
    assert list(table.index) == ["1 s", "5 s", "30 s", "60 s", "250 s", "settlement"]
    # bought 10 at 0.49, sold 30 at 0.51
    assert table.loc["1 s", "markout_usd_per_share"] == pytest.approx((10 * -0.01 + 30 * 0.03) / 40)
    assert table.loc["30 s", "markout_usd_per_share"] == pytest.approx((10 * 0.11 + 30 * -0.09) / 40)
    assert table.loc["250 s", "markout_usd_per_share"] == pytest.approx((10 * 0.41 + 30 * -0.39) / 40)
    assert table.loc["settlement", "markout_usd"] == pytest.approx(10 * -0.49 + 30 * 0.51)
    assert table["shares"].tolist() == [40.0] * 6


def test_the_hand_checked_fills_have_their_markouts() -> None:
    for case in vectors("toxicity.json")["markouts"]:
        row = fill(
            outcome=PUT if case["side"].endswith("down") else CALL,
            side=1 if "buy" in case["side"] else -1,
            price=case["token_price"],
            shares=case["size"],
        )
        ended = period(winner=CALL if case["payoff_up"] else PUT)
        table = markouts(row, ended, [mids((101.0, case["fair_up_at_h"]))], horizons_s=[1.0])
        assert table.loc["1 s", "markout_usd"] == pytest.approx(case["markout_usd"])
        assert table.loc["1 s", "markout_usd_per_share"] == pytest.approx(case["realised_spread"])
        assert table.loc["settlement", "markout_usd"] == pytest.approx(case["settlement_pnl"])


def test_a_mid_counts_from_its_own_stamp_on() -> None:
    path = mids((0.0, 0.5), (105.0, 0.7))
    table = markouts(fill(price=0.4), period(), [path], horizons_s=[4.999, 5.0])
    assert table["markout_usd_per_share"].tolist()[:2] == pytest.approx([0.1, 0.3])


def test_what_is_not_known_is_counted_and_left_out() -> None:
    fills = rows_of([fill(at_s=LENGTH_S - 2.0), fill(at_s=10.0), fill(at_s=50.0)])
    path = mids((20.0, 0.55), (52.0, None), (60.0, 0.6))
    table = markouts(fills, period(winner=UNKNOWN), [path], horizons_s=[1.0, 5.0])
    assert table["unknown_fills"].tolist() == [1, 3, 3]  # too early; and over, and one-sided; no winner
    assert table["fills"].tolist() == [2, 0, 0]
    assert math.isnan(table.loc["settlement", "markout_usd_per_share"])


def test_an_interval_takes_a_period_as_one_unit() -> None:
    rows = [fill(period=place, price=0.4 + 0.02 * place, shares=5.0) for place in range(4) for _ in range(25)]
    whole = periods_of([period(place=place) for place in range(4)])
    paths = [mids((0.0, 0.5), place=place) for place in range(4)]
    row = markouts(rows_of(rows), whole, paths, horizons_s=[5.0]).loc["5 s"]
    means = np.array([0.10, 0.08, 0.06, 0.04])  # equal shares: the t interval of four numbers, not of a hundred
    low, high = stats.t.interval(0.95, 3, means.mean(), stats.sem(means))
    assert row["periods"] == 4
    assert row["markout_usd_per_share"] == pytest.approx(means.mean())
    assert (row["low_usd_per_share"], row["high_usd_per_share"]) == pytest.approx((low, high))


def test_an_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        weights = rng.gamma(2.0, 50.0, 40)
        sums = weights * (0.01 + rng.normal(0.0, 0.05, 40))
        found = clustered_ratio(sums, weights, confidence=0.9)
        held += found.low <= 0.01 <= found.high
    assert 0.86 <= held / 400 <= 0.94


def test_one_period_has_a_mean_and_no_interval() -> None:
    found = clustered_ratio(np.array([3.0, 0.0]), np.array([6.0, 0.0]))
    assert (found.mean, found.periods) == (0.5, 1)
    assert math.isnan(found.low)
    assert math.isnan(clustered_ratio(np.zeros(3), np.zeros(3)).mean)


def test_the_losing_side_that_fills_more_often_is_seen() -> None:
    fills = rows_of(
        [
            fill(period=0, outcome=CALL, side=1, price=0.5, shares=10.0, rebate=0.05),  # CALL won: bought the winner
            fill(period=0, outcome=CALL, side=-1, price=0.5, shares=20.0),  # sold CALL: bought PUT, lost
            fill(period=0, outcome=PUT, side=1, price=0.4, shares=20.0),  # lost
            fill(period=1, outcome=CALL, side=1, price=0.3, shares=20.0, fee=0.1),  # PUT won: lost
            fill(period=2, outcome=CALL, side=1, price=0.3, shares=7.0),  # nobody knows
        ]
    )
    whole = periods_of(
        [
            period(place=0, winner=CALL, bid_s=3600.0, ask_s=3600.0),
            period(place=1, winner=PUT, bid_s=900.0, ask_s=3600.0),
            period(place=2, winner=UNKNOWN, bid_s=100.0, ask_s=50.0),
        ]
    )
    table = by_result(fills, whole)
    assert list(table.index) == ["won", "lost", "unknown"]
    assert table["fills"].tolist() == [1, 3, 1]
    assert table["shares"].tolist() == [10.0, 60.0, 7.0]
    assert table["quoted_s"].tolist() == [7200.0, 4500.0, 150.0]
    assert table["fills_per_hour"].tolist() == pytest.approx([0.5, 2.4, 24.0])
    assert table.loc["won", "pnl_usd"] == pytest.approx(5.05)
    assert table.loc["lost", "pnl_usd"] == pytest.approx(-10.0 - 8.0 - 6.1)
    assert table.loc["lost", "pnl_usd_per_share"] == pytest.approx(-24.1 / 60.0)
    assert math.isnan(table.loc["unknown", "pnl_usd"])
    assert table.loc["lost", "low_fills_per_hour"] < 2.4 < table.loc["lost", "high_fills_per_hour"]

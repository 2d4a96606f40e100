"""Forecasts are put beside the right window, and the signature tells smoothed prices from a random walk."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.fair_value.pricing import SECONDS_PER_YEAR, Forecast
from backtest.fair_value.recordings_io import Stream
from backtest.fair_value.volatility_check import log_prices_between, measure, qlike, qlikes, shifted_variance, signature
from tests.backtest.fair_value import recordings as made

NS = 1_000_000_000


def stream(prices: np.ndarray, *, start_s: int = 0) -> Stream:
    stamps = (start_s + np.arange(len(prices))) * NS
    return Stream(stamps, stamps + NS, prices)


def test_a_perfect_forecast_costs_nothing_and_any_other_costs_something() -> None:
    assert qlike(2.0, 2.0) == 0.0
    assert qlike(2.0, 1.0) == pytest.approx(0.5 - math.log(0.5) - 1.0)
    assert qlike(1.0, 2.0) > qlike(2.0, 1.0) > 0.0  # too low a forecast is the worse one


def test_a_forecast_of_the_true_volatility_has_ratio_one() -> None:
    prices = made.walk(3000, seed=1)
    forecasts = [
        Forecast("g", f"w{start}", start, start + 900, made.SIGMA, 0.5 * made.SIGMA) for start in (0, 900, 1800)
    ]
    measured = measure(forecasts, stream(prices))
    assert [each.start_s for each in measured] == [0, 900, 1800]
    for each in measured:
        assert each.ratio == pytest.approx(1.0, abs=0.3)
        assert each.fast_ratio == pytest.approx(0.5 * each.ratio)
        assert each.realized == pytest.approx(900 * made.SIGMA**2, rel=0.2)
        assert each.jump_share < 0.2
    costs = qlikes(measured)
    assert list(costs) == ["as live (5 s steps)", "from 1 s steps", "fixed 50 %"]
    assert costs["as live (5 s steps)"].mean() < 0.2 < costs["from 1 s steps"].mean()


def test_forecasts_are_judged_by_steps_past_the_smoothing() -> None:
    smooth = np.convolve(made.walk(920, seed=3), np.full(5, 0.2), mode="valid")
    (each,) = measure([Forecast("g", "w0", 0, 900, made.SIGMA, None)], stream(smooth))
    logs = np.log(smooth[:901])
    assert each.ratio == pytest.approx(made.SIGMA / math.sqrt(shifted_variance(logs, 30) / 900))
    assert each.realized < 0.4 * each.realized_reference
    assert each.fast_ratio is None
    assert list(qlikes([each])) == ["as live (5 s steps)", "fixed 50 %"]


def test_a_window_with_holes_is_left_out() -> None:
    prices = {second: 100.0 + second % 7 for second in range(301)}
    full = log_prices_between(prices, 0, 300)
    assert full is not None
    assert len(full) == 301
    for second in range(100, 105):
        del prices[second]
    bridged = log_prices_between(prices, 0, 300)
    assert bridged is not None
    assert bridged[102] == bridged[99] == full[99]
    for second in range(105, 115):
        del prices[second]
    assert log_prices_between(prices, 0, 300) is None
    assert log_prices_between(prices, -1, 300) is None


def test_the_signature_of_a_walk_is_flat_and_that_of_smoothed_prices_rises() -> None:
    prices = made.walk(20_000, seed=8)
    flat = signature(stream(prices))
    smooth = signature(stream(np.convolve(prices, np.full(5, 0.2), mode="valid")))
    assert flat is not None
    assert smooth is not None
    true = made.SIGMA * math.sqrt(SECONDS_PER_YEAR)
    assert flat[1] == pytest.approx(true, rel=0.03)
    assert flat[60] == pytest.approx(true, rel=0.1)
    assert smooth[1] < 0.6 * smooth[60]
    assert signature(stream(prices[:500])) is None


def test_shifted_variance_of_a_line_is_its_slope() -> None:
    logs = 1e-4 * np.arange(301)
    assert shifted_variance(logs, 30) == pytest.approx((30e-4) ** 2 / 30 * 300)

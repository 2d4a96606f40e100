"""Plots put their numbers where the axes say, and cope with few of them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from backtest.plots import attribution, breakdown_name, differences, drawings, equity, markouts, periods, reasons_shown
from backtest.report import Markout, Paired, Uptime
from tests.backtest.report_builders import estimate, study, whole_study


def labels_of(axes: Axes) -> list[str]:
    """The words at the left of a plot, from top to bottom."""
    return [label.get_text() for label in axes.get_yticklabels()]


def test_every_axis_has_a_label_with_its_unit() -> None:
    units = ("($)", "(%)", "$/share", "shares", "periods", "fill", "UTC")
    for name, drawing in drawings(whole_study()).items():
        shown = [axes.get_xlabel() + axes.get_ylabel() for axes in drawing.figure.axes]
        assert any(unit in text for text in shown for unit in units), name
        assert "96 period" in drawing.caption or name == "optimizer"


def test_the_waterfall_ends_at_the_total() -> None:
    parts = whole_study().attribution
    assert parts is not None
    left, right = attribution(parts).axes
    *steps, total = [patch.get_y() + patch.get_height() for patch in left.patches]
    assert steps[-1] == pytest.approx(parts.total.mean)
    assert total == pytest.approx(parts.total.mean)
    taken_back, realized = [patch.get_y() + patch.get_height() for patch in right.patches][1:]
    assert taken_back == pytest.approx(parts.realized.mean)
    assert realized == pytest.approx(parts.realized.mean)


def test_without_intervals_the_bars_leave_room_for_their_numbers() -> None:
    parts = whole_study(periods=1).attribution
    assert parts is not None
    left = attribution(parts).axes[0]
    assert left.get_ylim()[1] > parts.spread_capture.mean


def test_equity_begins_at_zero_and_ends_where_the_frame_does() -> None:
    whole = whole_study()
    assert whole.equity is not None
    upper, lower = equity(whole.equity, whole.queues, "probabilistic").axes
    curve = next(line for line in upper.lines if str(line.get_label()).startswith("probabilistic"))
    heights = np.asarray(curve.get_ydata(), np.float64)
    assert heights[0] == 0.0
    assert heights[-1] == whole.equity["probabilistic"].iloc[-1]
    fall = np.asarray(lower.lines[1].get_ydata(), np.float64)
    assert -fall.min() == pytest.approx(whole.headline.max_drawdown_usd)


def test_a_gap_in_the_recording_is_marked() -> None:
    whole = whole_study()
    assert whole.equity is not None
    dotted = [
        line for line in equity(whole.equity, ("optimistic",), "optimistic").axes[0].lines if len(line.get_xdata()) == 2
    ]
    at = [float(np.asarray(line.get_xdata())[0]) for line in dotted if line.get_linestyle() == ":"]
    assert at == [len(whole.equity) / 2 + 0.5]


def test_a_distribution_needs_more_than_a_few_periods() -> None:
    for number, panels in ((1, 1), (7, 1), (8, 2)):
        some = whole_study(periods=number)
        assert some.periods is not None
        assert len(periods(some.periods, some.headline).axes) == panels


def test_the_greatest_difference_is_on_top_and_filled_only_when_clear_of_zero() -> None:
    rows = [Paired("small", None, estimate(0.1, 0.3)), Paired("large", None, estimate(0.9, 0.3))]
    (axes,) = differences(rows, "ours less it").axes
    assert labels_of(axes) == ["large", "small"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    large, small = [line for line in axes.lines if line.get_marker() == "o"]
    assert large.get_markerfacecolor() == large.get_color()
    assert small.get_markerfacecolor() != small.get_color()


def test_one_markout_without_an_interval_is_drawn() -> None:
    (axes,) = markouts((Markout(None, estimate(0.01, periods=1), 1),)).axes
    assert axes.get_xticklabels()[0].get_text() == "settlement\n1 fill"


def test_reasons_are_those_that_held_the_longest_first() -> None:
    uptime = Uptime(100.0, 0.0, 0.0, 0.0, {}, {"a": 1.0, "b": 0.0, "c": 7.0})
    assert reasons_shown(uptime) == [("c", 7.0), ("a", 1.0)]
    assert reasons_shown(uptime._replace(observed_s=0.0)) == []


def test_few_periods_and_absent_parts_draw_no_empty_plot() -> None:
    assert drawings(study()) == {}
    assert "No intervals from 1 period." in drawings(whole_study(periods=1))["bracket"].caption


def test_a_plot_of_any_breakdown_has_a_safe_name() -> None:
    assert breakdown_name("time left") == "breakdown-time-left"
    assert breakdown_name("../<b>") == "breakdown-b"

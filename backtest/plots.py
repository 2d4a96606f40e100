"""The plots of a backtest's report: each a pure function of a part of the study, returning a matplotlib figure.

Colors are those of Okabe and Ito, told apart by the color-blind; what they say is said a second time by a shape, a sign
or a word. `drawings` makes all that a study has something for, with their captions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple, ParamSpec

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from backtest.fair_value.scoring import Estimate
from backtest.report import (
    EQUITY_TIME,
    Attribution,
    BracketRow,
    Comparison,
    Ending,
    Fold,
    Headline,
    Markout,
    Paired,
    Slice,
    Study,
    Uptime,
)
from backtest.report_words import (
    count,
    digits_of,
    horizon,
    interval,
    mean_and_interval,
    reason_action,
    share,
    side_of_zero,
    usd,
)
from shared.exchange import QueueName
from shared.market import NS_PER_S

Floats = NDArray[np.float64]
Arguments = ParamSpec("Arguments")

COLORS = {  # by name, so that a page can give each another shade on a dark ground
    "ink": "#1b1b1b",
    "grid": "#d9d9d9",
    "paper": "#fefefe",
    "gain": "#0072b2",
    "loss": "#d55e00",
    "other": "#009e73",
    "unsure": "#7a7a7a",
}
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": COLORS["grid"],
    "grid.linewidth": 0.6,
    "text.color": COLORS["ink"],
    "axes.edgecolor": COLORS["ink"],
    "axes.labelcolor": COLORS["ink"],
    "xtick.color": COLORS["ink"],
    "ytick.color": COLORS["ink"],
    "axes.facecolor": COLORS["paper"],
    "figure.facecolor": COLORS["paper"],
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "text.parse_math": False,  # a dollar is a dollar
    "svg.fonttype": "none",
    "svg.hashsalt": "backtest",
    "figure.dpi": 100.0,
}
REASONS_SHOWN = 14
PERIODS_FOR_HISTOGRAM = 8
_PAGE_IN = 10.4
_ROW_IN = 0.36
_TIMES_SHOWN = 7
_GAPS_SHOWN = 30
_LONG_GAP = 3.0  # times the usual step between two periods
_NARROW_BAR, _BAR = 0.5, 0.68
_WORDS = {
    "PULL_QUOTES": ("pulls the quotes", "loss"),
    "WIDEN_SPREADS": ("widens the spread", "gain"),
    "QUOTE_BID_ONLY": ("one side only", "other"),
    "QUOTE_ASK_ONLY": ("one side only", "other"),
}
_LINES = {"pessimistic": ":", "probabilistic": "-", "optimistic": "--"}


class Drawing(NamedTuple):
    """A figure and what it shows, in words."""

    figure: Figure
    caption: str


def _styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Draw in the style of the page, whatever the caller's is."""

    @wraps(draw)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapped


def drawings(study: Study) -> dict[str, Drawing]:
    """Every plot that the study has something for, by name: a section's, or `breakdown_name`."""
    found: dict[str, Drawing] = {}
    ran = count(study.headline.pnl_usd.periods, "period")
    has_interval = study.headline.pnl_usd.low is not None
    bars = f"Bars: 95 % intervals clustered by period, {ran}." if has_interval else f"No intervals from {ran}."

    def add(name: str, figure: Figure, caption: str) -> None:
        found[name] = Drawing(figure, caption)

    if study.has("bracket"):
        add("bracket", bracket(study.bracket), f"P&L of a period under each queue model. {bars} Filled: clear of zero.")
    if study.equity is not None and study.has("equity") and study.queues:
        add(
            "equity",
            equity(study.equity, study.queues, study.model.queue),
            f"Cumulative P&L, {ran} in order of time at equal steps, and how far it is below its peak. The band spans "
            "the queue models; vertical dots: a gap in the recording.",
        )
    if study.periods is not None and study.has("periods"):
        add(
            "periods",
            periods(study.periods, study.headline),
            f"P&L of each period, {ran}.{' Shaded: 95 % interval of the mean.' if has_interval else ''}",
        )
    if study.attribution is not None:
        add("attribution", attribution(study.attribution), f"Parts of the P&L of a period, adding up. {bars}")
    if study.has("markouts"):
        add(
            "markouts",
            markouts(study.markouts),
            f"What a filled share was worth later, against its price; above zero is good for us. {bars}",
        )
    if study.has("win_lose"):
        add("win_lose", win_lose(study.win_lose), f"Fills by whether the bought token paid $1, {ran}.")
    for by, slices in study.breakdowns.items():
        if slices:
            add(
                breakdown_name(by),
                breakdown(by, slices),
                f"Fills by {by}, {ran}. Bars at the right: 95 %.",
            )
    if study.uptime is not None and reasons_shown(study.uptime):
        add(
            "uptime",
            reasons(study.uptime),
            f"Time under each reason, of {study.uptime.observed_s:,.0f} s observed in {ran}; reasons overlap.",
        )
    if study.has("ablation"):
        add("ablation", differences(study.ablation, "all on less without it"), f"Paired by period. {bars}")
    if study.has("baselines"):
        add("baselines", differences(study.baselines, "ours less the baseline"), f"Paired by period. {bars}")
    if study.optimizer is not None and study.optimizer.folds:
        add(
            "optimizer",
            folds(study.optimizer.folds),
            f"{count(len(study.optimizer.folds), 'fold')}: the choice where it was chosen, and later. {bars}",
        )
    if study.comparison is not None:
        add("comparison", comparison(study.comparison), f"Both runs on the same periods. {bars}")
    return found


@_styled
def bracket(rows: Sequence[BracketRow]) -> Figure:
    """P&L of a period under each queue model."""
    figure, axes = _forest(
        [f"{row.queue}\n{count(row.fills, 'fill')}" for row in rows], [row.pnl_usd for row in rows], row_in=0.5
    )
    axes.set_xlabel("P&L of a period ($)")
    axes.set_title(f"Queue models, {count(rows[0].pnl_usd.periods, 'period')}")
    return figure


@_styled
def equity(frame: pd.DataFrame, queues: Sequence[QueueName], headline: QueueName) -> Figure:
    """Cumulative P&L of each queue model, the band between them, and the drawdown of the headline's."""
    figure = Figure(figsize=(_PAGE_IN, 4.9), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.0, 1.0))
    at = np.arange(len(frame) + 1)
    curves = {queue: np.concatenate(([0.0], frame[queue].to_numpy(np.float64))) for queue in queues}
    if len(curves) > 1:
        stacked = np.vstack(list(curves.values()))
        upper.fill_between(
            at, stacked.min(axis=0), stacked.max(axis=0), color=COLORS["gain"], alpha=0.13, linewidth=0.0
        )
    for queue, curve in curves.items():
        is_headline = queue == headline
        upper.plot(
            at,
            curve,
            color=COLORS["gain"] if is_headline else COLORS["unsure"],
            linestyle=_LINES[queue],
            linewidth=1.8 if is_headline else 1.1,
            marker="o" if len(frame) < PERIODS_FOR_HISTOGRAM else None,
            markersize=4.0,
            label=f"{queue}{' (headline)' if is_headline else ''}: {usd(float(curve[-1]))}",
        )
    for axes in (upper, lower):
        axes.axhline(0.0, color=COLORS["ink"], linewidth=0.8)
    upper.set_ylabel("cumulative P&L ($)")
    upper.set_title(f"Equity, {count(len(frame), 'period')}")
    upper.legend(loc="best")
    if headline in curves:
        fall = curves[headline] - np.maximum.accumulate(curves[headline])
        lower.fill_between(at, fall, 0.0, color=COLORS["loss"], alpha=0.35, linewidth=0.0)
        lower.plot(at, fall, color=COLORS["loss"], linewidth=1.0)
        if not fall.any():
            lower.set_ylim(-1.0, 0.1)
    lower.yaxis.set_major_locator(MaxNLocator(3))
    lower.set_ylabel("below peak ($)")
    lower.set_xlabel("end of the period (UTC), equal steps")
    _time_axis(lower, frame[EQUITY_TIME].to_numpy(np.int64), first=1)
    for axes in (upper, lower):
        _mark_gaps(axes, frame[EQUITY_TIME].to_numpy(np.int64))
    return figure


@_styled
def periods(frame: pd.DataFrame, headline: Headline) -> Figure:
    """P&L of each period in order of time, and how it is distributed when there are enough."""
    pnl_usd = frame["pnl_usd"].to_numpy(np.float64)
    has_histogram = len(pnl_usd) >= PERIODS_FOR_HISTOGRAM
    figure = Figure(figsize=(_PAGE_IN, 3.6), layout="constrained")
    panels = figure.subplots(
        1, 2 if has_histogram else 1, squeeze=False, sharey=True, width_ratios=(3.2, 1.0)[: 1 + has_histogram]
    )[0]
    left = panels[0]
    left.bar(
        np.arange(len(pnl_usd)),
        pnl_usd,
        width=0.85 if len(pnl_usd) <= 150 else 1.0,
        color=[COLORS["gain"] if each >= 0.0 else COLORS["loss"] for each in pnl_usd],
        linewidth=0.0,
    )
    if len(pnl_usd) < PERIODS_FOR_HISTOGRAM:
        left.set_xlim(-2.0, len(pnl_usd) + 1.0)
    estimate = headline.pnl_usd
    digits = digits_of([estimate])
    for axes in panels:
        axes.axhline(0.0, color=COLORS["ink"], linewidth=0.8)
        axes.axhline(estimate.mean, color=COLORS["other"], linewidth=1.3, linestyle="--")
        if estimate.low is not None and estimate.high is not None:
            axes.axhspan(estimate.low, estimate.high, color=COLORS["other"], alpha=0.2, linewidth=0.0)
    left.set_ylabel("P&L of the period ($)")
    left.set_xlabel("start of the period (UTC), equal steps")
    left.set_title(f"Mean {mean_and_interval(estimate, digits)} (dashed), {count(len(pnl_usd), 'period')}")
    _time_axis(left, frame["start_ns"].to_numpy(np.int64), first=0)
    if has_histogram:
        bins = min(40, max(8, round(2.0 * math.sqrt(len(pnl_usd)))))
        panels[1].hist(
            pnl_usd,
            bins=bins,
            orientation="horizontal",
            color=COLORS["unsure"],
            edgecolor=COLORS["paper"],
            linewidth=0.5,
        )
        panels[1].set_xlabel("periods")
        panels[1].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    return figure


@_styled
def attribution(parts: Attribution) -> Figure:
    """The parts of the P&L as a waterfall, and beside it what became of the captured spread."""
    figure = Figure(figsize=(_PAGE_IN, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(6.0, 2.7))
    digits = digits_of([parts.total, parts.spread_capture])
    flow = {
        "spread\ncaptured": parts.spread_capture,
        "inventory": parts.inventory,
        "settlement": parts.settlement,
        "fees": parts.fees,
        "rebates": parts.rebates,
    }
    _waterfall(left, flow, ("total", parts.total), digits)
    after = f"{parts.horizon_s:g} s"
    taken_back = {"spread\ncaptured": parts.spread_capture, f"taken back\nin {after}": _less(parts.adverse)}
    _waterfall(right, taken_back, (f"left after\n{after}", parts.realized), digits)
    left.set_ylabel("P&L of a period ($)")
    left.set_title(f"Parts of the P&L, {count(parts.total.periods, 'period')}")
    right.set_title("Of the spread captured")
    return figure


@_styled
def markouts(rows: Sequence[Markout]) -> Figure:
    """Mean markout by horizon, with intervals."""
    figure = Figure(figsize=(_PAGE_IN, 3.7), layout="constrained")
    axes = figure.subplots()
    for at, row in enumerate(rows):
        _point(axes, row.per_share_usd, at, is_vertical=True)
        estimate = row.per_share_usd
        top = max(estimate.mean, estimate.mean if estimate.high is None else estimate.high)
        axes.annotate(
            usd(estimate.mean, 4), (at, top), xytext=(0.0, 6.0), textcoords="offset points", ha="center", fontsize=8.0
        )
    timed = [at for at, row in enumerate(rows) if row.horizon_s is not None]
    axes.plot(timed, [rows[at].per_share_usd.mean for at in timed], color=COLORS["gain"], linewidth=1.0, zorder=1)
    axes.axhline(0.0, color=COLORS["ink"], linewidth=0.8)
    axes.set_xticks(range(len(rows)), [f"{horizon(row.horizon_s)}\n{count(row.fills, 'fill')}" for row in rows])
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.margins(y=0.12)
    axes.set_xlabel("time after the fill")
    axes.set_ylabel("markout ($/share)")
    axes.set_title(f"Markouts, {count(max(row.per_share_usd.periods for row in rows), 'period')}")
    return figure


@_styled
def win_lose(rows: Sequence[Ending]) -> Figure:
    """Shares and P&L of fills whose bought token won, and whose lost."""
    figure = Figure(figsize=(_PAGE_IN, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = [f"{ending_name(row.won)}\n{count(row.fills, 'fill')}" for row in rows]
    total = math.fsum(row.shares for row in rows)
    colors = [COLORS["unsure"] if row.won is None else COLORS["gain" if row.won else "loss"] for row in rows]
    sizes = left.bar(names, [row.shares for row in rows], width=_NARROW_BAR, color=colors, linewidth=0.0)
    left.bar_label(
        sizes,
        [f"{row.shares:,.0f}\n{share(row.shares / total if total else None)}" for row in rows],
        fontsize=8.0,
        padding=2,
    )
    left.set_ylabel("shares bought")
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    left.set_title("Shares, by how the bought token ended")
    results = right.bar(names, [row.pnl_usd for row in rows], width=_NARROW_BAR, color=colors, linewidth=0.0)
    right.bar_label(results, [usd(row.pnl_usd) for row in rows], fontsize=8.0, padding=2)
    right.axhline(0.0, color=COLORS["ink"], linewidth=0.8)
    right.set_ylabel("P&L ($)")
    right.set_title(f"P&L; together {usd(math.fsum(row.pnl_usd for row in rows))}")
    for axes in (left, right):
        axes.margins(x=0.25, y=0.2)
        axes.grid(visible=False, axis="x")
    return figure


@_styled
def breakdown(by: str, slices: Sequence[Slice]) -> Figure:
    """P&L of the slices, and what a share earned with its interval."""
    figure = Figure(figsize=(_PAGE_IN, 1.3 + 0.46 * len(slices)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    at = np.arange(len(slices))
    bars = left.barh(
        at,
        [each.pnl_usd for each in slices],
        height=0.6,
        color=[COLORS["gain" if each.pnl_usd >= 0.0 else "loss"] for each in slices],
        linewidth=0.0,
    )
    left.bar_label(bars, [usd(each.pnl_usd) for each in slices], fontsize=8.0, padding=3)
    left.set_yticks(at, [f"{each.name}\n{count(each.fills, 'fill')}" for each in slices])
    left.set_xlabel("P&L ($)")
    left.set_title(f"P&L by {by}")
    left.margins(x=0.2)
    for place, each in enumerate(slices):
        if each.per_share_usd is not None:
            _point(right, each.per_share_usd, place, is_vertical=False)
    right.set_xlabel("P&L of a share ($/share), filled: clear of zero")
    right.set_title(f"Earned on a share, by {by}")
    right.xaxis.set_major_locator(MaxNLocator(6))
    left.invert_yaxis()
    for axes in (left, right):
        axes.axvline(0.0, color=COLORS["ink"], linewidth=0.8)
        axes.grid(visible=False, axis="y")
    return figure


def reasons_shown(uptime: Uptime) -> list[tuple[str, float]]:
    """The reasons that held longest and for how many seconds, longest first; none when nothing was observed."""
    if uptime.observed_s <= 0.0:
        return []
    held = [(label, held_s) for label, held_s in uptime.reason_s.items() if held_s > 0.0]
    return sorted(held, key=lambda each: -each[1])[:REASONS_SHOWN]


@_styled
def reasons(uptime: Uptime) -> Figure:
    """How much of the time each reason held, colored by what it asks for."""
    shown = reasons_shown(uptime)
    figure = Figure(figsize=(_PAGE_IN, 1.2 + 0.3 * len(shown)), layout="constrained")
    axes = figure.subplots()
    labeled: set[str] = set()
    for place, (label, held_s) in enumerate(shown):
        words, color = _WORDS.get(reason_action(label), ("another reason", "unsure"))
        percent = 100.0 * held_s / uptime.observed_s
        bar = axes.barh(
            place, percent, height=0.68, color=COLORS[color], linewidth=0.0, label=None if words in labeled else words
        )
        axes.bar_label(bar, [share(held_s / uptime.observed_s)], fontsize=8.0, padding=3)
        labeled.add(words)
    axes.set_yticks(range(len(shown)), [label for label, _ in shown])
    axes.invert_yaxis()
    axes.set_xlabel("share of the time observed (%)")
    axes.set_title(f"Reasons, {len(shown)} that held longest" if len(shown) == REASONS_SHOWN else "Reasons")
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.1)
    axes.legend(loc="lower right")
    return figure


@_styled
def differences(rows: Sequence[Paired], what: str) -> Figure:
    """Paired differences of the P&L of a period, the greatest first."""
    ordered = sorted(rows, key=lambda row: -row.difference_usd.mean)
    figure, axes = _forest([row.name for row in ordered], [row.difference_usd for row in ordered])
    axes.set_xlabel(f"{what}, P&L of a period ($)")
    axes.set_title(f"Right of zero: ours is better. {count(rows[0].difference_usd.periods, 'period')}")
    return figure


@_styled
def folds(rows: Sequence[Fold]) -> Figure:
    """The choice in sample and out of sample, and the default there, fold by fold."""
    figure = Figure(figsize=(_PAGE_IN, 3.7), layout="constrained")
    axes = figure.subplots()
    for at, fold in enumerate(rows):
        axes.plot(
            at - 0.2,
            fold.trained_usd.mean,
            "D",
            color=COLORS["unsure"],
            markersize=6.0,
            markerfacecolor=COLORS["paper"],
            label="chosen, training periods" if at == 0 else None,
        )
        _bar_and_marker(axes, fold.tested_usd, at, "gain", "o", "chosen, test periods" if at == 0 else None)
        if fold.default_usd is not None:
            _bar_and_marker(axes, fold.default_usd, at + 0.2, "loss", "s", "default, test periods" if at == 0 else None)
    axes.axhline(0.0, color=COLORS["ink"], linewidth=0.8)
    axes.set_xticks(
        range(len(rows)), [f"{fold.tested_on}\n{count(fold.tested_usd.periods, 'period')}" for fold in rows]
    )
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("tested on")
    axes.set_ylabel("P&L of a period ($)")
    axes.set_title(f"Walk forward, {count(len(rows), 'fold')}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@_styled
def comparison(found: Comparison) -> Figure:
    """Two runs and their paired difference."""
    figure, axes = _forest(
        [f"A: {found.a}", f"B: {found.b}", "A less B, paired"], [found.a_usd, found.b_usd, found.difference_usd]
    )
    axes.axhline(1.5, color=COLORS["grid"], linewidth=1.2)
    axes.set_xlabel("P&L of a period ($)")
    axes.set_title(f"A against B, {count(found.difference_usd.periods, 'period')}")
    return figure


def breakdown_name(by: str) -> str:
    """The name of a breakdown's plot: letters, digits and dashes, safe as a file's name and as an id."""
    return "breakdown-" + re.sub(r"[^A-Za-z0-9]+", "-", by).strip("-").lower()


def ending_name(won: bool | None) -> str:
    """How a bought token ended."""
    return "not known" if won is None else "won" if won else "lost"


# -- parts of plots ----------------------------------------------------------------------------------------------------


def _forest(names: Sequence[str], estimates: Sequence[Estimate], *, row_in: float = _ROW_IN) -> tuple[Figure, Axes]:
    """Estimates one below the other, the first on top, their numbers at the right."""
    figure = Figure(figsize=(_PAGE_IN, 1.05 + row_in * len(names)), layout="constrained")
    axes = figure.subplots()
    digits = digits_of(estimates)
    for place, estimate in enumerate(estimates):
        _point(axes, estimate, place, is_vertical=False)
        axes.annotate(
            f"{usd(estimate.mean, digits)}  {interval(estimate, digits)}",
            (1.0, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(8.0, 0.0),
            textcoords="offset points",
            va="center",
            fontsize=8.0,
            annotation_clip=False,
        )
    axes.axvline(0.0, color=COLORS["ink"], linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.06)
    return figure, axes


def _point(axes: Axes, estimate: Estimate, place: float, *, is_vertical: bool) -> None:
    """A mean with its interval: filled and colored when it is clear of zero, hollow and gray when it is not."""
    side = side_of_zero(estimate)
    color = COLORS[("loss", "unsure", "gain")[side + 1]]
    low = estimate.mean if estimate.low is None else estimate.low
    high = estimate.mean if estimate.high is None else estimate.high
    span, at = ((place, place), (low, high)) if is_vertical else ((low, high), (place, place))
    axes.plot(span, at, color=color, linewidth=1.8, solid_capstyle="butt")
    axes.plot(
        *((place, estimate.mean) if is_vertical else (estimate.mean, place)),
        marker="o",
        markersize=6.5,
        color=color,
        markerfacecolor=color if side else COLORS["paper"],
        markeredgewidth=1.4,
        linestyle="none",
        zorder=3,
    )


def _bar_and_marker(axes: Axes, estimate: Estimate, at: float, color: str, marker: str, label: str | None) -> None:
    if estimate.low is not None and estimate.high is not None:
        axes.plot((at, at), (estimate.low, estimate.high), color=COLORS[color], linewidth=1.6)
    axes.plot(at, estimate.mean, marker, color=COLORS[color], markersize=6.0, label=label)


def _waterfall(axes: Axes, flow: dict[str, Estimate], last: tuple[str, Estimate], digits: int) -> None:
    """Bars each from where the one before ended, the last (gray) from zero; intervals stand at each bar's end."""
    axes.use_sticky_edges = False  # else bars without intervals end at the edge, with no room for their numbers
    before = 0.0
    steps = [(name, part, None) for name, part in flow.items()] + [(last[0], last[1], 0.0)]
    for place, (_, part, start) in enumerate(steps):
        bottom = before if start is None else start
        end = bottom + part.mean
        color = "unsure" if start is not None else "gain" if part.mean >= 0.0 else "loss"
        axes.bar(place, part.mean, bottom=bottom, width=_BAR, color=COLORS[color], linewidth=0.0)
        top = max(bottom, end)
        if part.low is not None and part.high is not None:
            axes.plot((place, place), (bottom + part.low, bottom + part.high), color=COLORS["ink"], linewidth=1.1)
            top = max(top, bottom + part.high)
        axes.annotate(
            usd(part.mean, digits),
            (place, top),
            xytext=(0.0, 3.0),
            textcoords="offset points",
            ha="center",
            fontsize=8.0,
        )
        if place + 1 < len(steps):
            axes.plot((place, place + 1), (end, end), color=COLORS["unsure"], linewidth=0.7, zorder=0)
        before = end
    axes.axhline(0.0, color=COLORS["ink"], linewidth=0.8)
    axes.set_xticks(range(len(steps)), [name for name, _, _ in steps])
    axes.margins(y=0.12)
    axes.grid(visible=False, axis="x")


def _less(estimate: Estimate) -> Estimate:
    """The estimate with the other sign."""
    low, high = estimate.low, estimate.high
    return estimate._replace(
        mean=-estimate.mean, low=None if high is None else -high, high=None if low is None else -low
    )


def _time_axis(axes: Axes, times_ns: NDArray[np.int64], *, first: int) -> None:
    """Labels of a few of the times; the first of them lies at `first`, the others follow in steps of one."""
    if not len(times_ns):
        return
    labels = pd.to_datetime(times_ns).strftime("%m-%d\n%H:%M")
    axes.xaxis.set_major_locator(MaxNLocator(_TIMES_SHOWN, integer=True))

    def label_at(position: float, _: int | None = None) -> str:
        place = round(position) - first
        if place < 0:
            return "start" if place == -1 and first else ""
        return str(labels[place]) if place < len(labels) else ""

    axes.xaxis.set_major_formatter(FuncFormatter(label_at))


def _mark_gaps(axes: Axes, times_ns: NDArray[np.int64]) -> None:
    """Dots where much more time passed between two periods than usual; none when that happens all the time."""
    if len(times_ns) < 3:
        return
    steps_s: Floats = np.diff(times_ns) / NS_PER_S
    gaps = np.flatnonzero(steps_s > _LONG_GAP * np.median(steps_s))
    if len(gaps) <= _GAPS_SHOWN:
        for place in gaps.tolist():
            axes.axvline(place + 1.5, color=COLORS["unsure"], linewidth=0.8, linestyle=":")

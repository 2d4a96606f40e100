"""The plots of the page, as matplotlib figures. Colors are those of Okabe and Ito, told apart by the color-blind."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backtest.fair_value.oracle_mean import OffsetFit
from backtest.fair_value.recordings_io import ARNAVBHATIA, LIGENGXIN
from backtest.fair_value.report import BLEND, NAMES, GroupReport, Report, Scores
from backtest.fair_value.scoring import PERIODS_TO_DECIDE, Estimate
from backtest.fair_value.volatility_check import FAST, OURS, REFERENCE_STEP_S, Measured

COLORS = {
    "ours": "#0072B2",
    "own_print": "#56B4E9",
    "fast_sigma": "#009E73",
    "point": "#E69F00",
    "naive": "#D55E00",
    "first_print": "#999999",
    "mid": "#000000",
    BLEND: "#CC79A7",
}
MARKERS = {
    "ours": "o",
    "own_print": "p",
    "fast_sigma": "s",
    "point": "^",
    "naive": "D",
    "first_print": "x",
    "mid": "P",
    BLEND: "*",
}
_WITH_BAND = ("ours", "fast_sigma", "naive")  # more bands than these cannot be told apart
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "svg.hashsalt": "fair value",
    "figure.dpi": 100.0,
}


def _panels(count: int, *, height: float = 3.6, panel: float = 4.2, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    with rc_context(STYLE):
        figure = Figure(figsize=(panel * count, height), layout="constrained")
        axes = figure.subplots(1, count, squeeze=False, sharey=share_y)[0]
    return figure, list(axes)


def _legend_below(figure: Figure, axes: Axes, *, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.0)


def _tau_axis(axes: Axes, taus_s: Sequence[int]) -> dict[int, int]:
    """Seconds left, the end of the window on the right, in equal steps."""
    order = sorted(taus_s, reverse=True)
    axes.set_xticks(range(len(order)), [str(each) for each in order])
    axes.set_xlabel("time left (s)")
    return {tau_s: place for place, tau_s in enumerate(order)}


def _curve(axes: Axes, group: GroupReport, competitor: str, number: Callable[[Scores], Estimate | None]) -> None:
    places = _tau_axis(axes, list(group.by_tau))
    points = []
    for tau_s, scores in group.by_tau.items():
        found = next((each for each in scores if each.competitor == competitor), None)
        estimate = None if found is None else number(found)
        if estimate is not None:
            points.append((places[tau_s], estimate))
    if not points:
        return
    points.sort(key=lambda point: point[0])
    at = [place for place, _ in points]
    axes.plot(
        at,
        [estimate.mean for _, estimate in points],
        color=COLORS[competitor],
        marker=MARKERS[competitor],
        markersize=4.5,
        linewidth=1.4,
        label=NAMES[competitor],
    )
    low = [math.nan if each.low is None else each.low for _, each in points]
    high = [math.nan if each.high is None else each.high for _, each in points]
    if competitor in _WITH_BAND:
        axes.fill_between(at, low, high, color=COLORS[competitor], alpha=0.13, linewidth=0.0)


def losses(groups: Sequence[GroupReport]) -> Figure:
    """Log-loss by time left, with 95 % bands over periods."""
    figure, panels = _panels(len(groups), height=4.2)
    widest = max(range(len(groups)), key=lambda place: len(groups[place].overall))
    for axes, group in zip(panels, groups, strict=True):
        for scores in group.overall:
            _curve(axes, group, scores.competitor, lambda each: each.log_loss)
        axes.set_title(f"{group.title}\n{group.periods} periods")
        axes.set_ylim(bottom=0.0)
    panels[0].set_ylabel("log-loss (nats), 95 % band")
    _legend_below(figure, panels[widest], columns=5)
    return figure


def differences(groups: Sequence[GroupReport]) -> Figure:
    """Ours less each other's log-loss by time left: below zero ours is better."""
    figure, panels = _panels(len(groups), height=4.2)
    widest = max(range(len(groups)), key=lambda place: len(groups[place].overall))
    for axes, group in zip(panels, groups, strict=True):
        places = _tau_axis(axes, list(group.by_tau))
        others = [each.competitor for each in group.overall if each.competitor != "ours"]
        for number, competitor in enumerate(others):
            shift = 0.5 * ((number + 0.5) / len(others) - 0.5)
            for tau_s, scores in group.by_tau.items():
                found = next(each for each in scores if each.competitor == competitor).log_loss_difference
                low = found.mean if found.low is None else found.low
                high = found.mean if found.high is None else found.high
                axes.errorbar(
                    places[tau_s] + shift,
                    found.mean,
                    yerr=[[max(found.mean - low, 0.0)], [max(high - found.mean, 0.0)]],
                    color=COLORS[competitor],
                    marker=MARKERS[competitor],
                    markersize=4.5,
                    linewidth=1.2,
                    linestyle="none",
                    label=NAMES[competitor] if tau_s == max(group.by_tau) else None,
                )
        axes.axhline(0.0, color="black", linewidth=0.8)
        axes.set_title(f"{group.title}\n{group.periods} periods")
    panels[0].set_ylabel("ours − other, log-loss (nats)\nbelow 0: ours is better")
    _legend_below(figure, panels[widest], columns=4)
    return figure


def slopes(groups: Sequence[GroupReport]) -> Figure:
    """Calibration slope by time left."""
    figure, panels = _panels(len(groups), height=4.2, share_y=True)
    chosen = ("ours", "fast_sigma", "point", "naive")
    for axes, group in zip(panels, groups, strict=True):
        for competitor in chosen:
            if group.find(competitor) is not None:
                _curve(axes, group, competitor, lambda each: each.slope)
        axes.axhline(1.0, color="black", linewidth=0.8)
        axes.set_ylim(0.0, 3.0)
        axes.set_title(f"{group.title}\n{group.periods} periods")
    panels[0].set_ylabel("calibration slope b (1: calibrated)")
    _legend_below(figure, panels[-1], columns=4)
    return figure


def reliabilities(pairs: Sequence[tuple[GroupReport, str]]) -> Figure:
    """What was said against how often it came, with Wilson's 95 % intervals (n: periods in the step)."""
    figure, panels = _panels(len(pairs), height=3.7, panel=3.5, share_y=True)
    for axes, (group, competitor) in zip(panels, pairs, strict=True):
        diagram = group.reliability[competitor]
        axes.plot([0.0, 1.0], [0.0, 1.0], color="black", linewidth=0.8)
        said = [each.mean_said for each in diagram]
        came = [each.frequency for each in diagram]
        below = [max(each.frequency - each.low, 0.0) for each in diagram]
        above = [max(each.high - each.frequency, 0.0) for each in diagram]
        axes.errorbar(
            said,
            came,
            yerr=[below, above],
            color=COLORS[competitor],
            marker=MARKERS[competitor],
            markersize=4.5,
            linewidth=1.2,
            linestyle="-" if group.periods >= PERIODS_TO_DECIDE else "none",
            elinewidth=1.2,
        )
        for each in diagram:
            axes.annotate(
                str(each.periods), (each.mean_said, -0.035), fontsize=6.5, ha="center", va="top", annotation_clip=False
            )
        axes.set_xlim(-0.06, 1.06)
        axes.set_ylim(-0.12, 1.02)
        axes.set_title(f"{NAMES[competitor]}\n{group.title}", fontsize=9.0)
        axes.set_xlabel("probability of Up that was said")
    panels[0].set_ylabel("share of Up that came\n(small numbers: periods in the step)")
    return figure


def small_group(group: GroupReport) -> Figure:
    """Log-loss of each window of a group too small for intervals."""
    figure, (axes,) = _panels(1, height=3.9, panel=8.6)
    slugs = list(next(iter(group.per_period.values())))
    for number, (competitor, by_slug) in enumerate(group.per_period.items()):
        shift = 0.5 * ((number + 0.5) / len(group.per_period) - 0.5)
        axes.plot(
            [place + shift for place in range(len(slugs))],
            [by_slug[slug] for slug in slugs],
            color=COLORS[competitor],
            marker=MARKERS[competitor],
            markersize=7.0,
            linestyle="none",
            label=NAMES[competitor],
        )
    axes.set_xticks(range(len(slugs)), [slug.replace("-updown-", "\n") for slug in slugs])
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("mean log-loss of the window (nats)")
    axes.set_title(f"{group.title}: {group.periods} windows, each a single outcome")
    _legend_below(figure, axes, columns=5)
    return figure


def offsets(fit: OffsetFit) -> Figure:
    """Error of the recomputed average by sampling offset."""
    figure, (axes,) = _panels(1, height=3.7, panel=6.4)
    random = np.random.default_rng(1)
    for offset_s, errors in zip(fit.offsets_s, fit.errors_usd, strict=True):
        jitter = random.uniform(-0.14, 0.14, len(errors))
        axes.plot(
            offset_s + jitter,
            errors,
            color="#56B4E9",
            marker=".",
            markersize=5.0,
            linestyle="none",
            label="one official tick" if offset_s == fit.offsets_s[0] else None,
        )
    axes.plot(fit.offsets_s, fit.medians_usd, color="#0072B2", marker="o", linewidth=1.4, label="median")
    axes.set_xticks(fit.offsets_s)
    axes.set_xlabel("offset of the last print before the tick's stamp (s)")
    axes.set_ylabel("|mean of 60 prints − official| (USD)")
    axes.set_title(f"Sampling offset of the official 60 s average, {fit.ticks} ticks")
    axes.set_ylim(bottom=0.0)
    axes.legend(loc="upper center", frameon=False, fontsize=8.0)
    return figure


def volatility_ratios(report: Report) -> Figure:
    """Forecast over realized volatility at each window's start, and volatility by step."""
    figure, (left, right) = _panels(2, height=3.9, panel=5.6)
    if report.measured:
        sizes = Counter(each.group for each in report.measured)
        chosen = [each for each in report.measured if each.group == sizes.most_common(1)[0][0]]
        hours = [_hour(each) for each in chosen]
        left.plot(
            hours,
            [each.ratio for each in chosen],
            color=COLORS["ours"],
            marker=".",
            linestyle="none",
            label=OURS,
        )
        fast = [
            (hour, each.fast_ratio) for hour, each in zip(hours, chosen, strict=True) if each.fast_ratio is not None
        ]
        if fast:
            left.plot(
                [hour for hour, _ in fast],
                [ratio for _, ratio in fast],
                color=COLORS["fast_sigma"],
                marker="s",
                markersize=3.0,
                linestyle="none",
                label=FAST,
                alpha=0.7,
            )
        left.axhline(1.0, color="black", linewidth=0.8)
        left.set_yscale("log")
        ticks = (0.25, 0.5, 1.0, 2.0, 4.0)
        left.set_yticks(ticks, [f"{each:g}" for each in ticks])
        left.minorticks_off()
        left.set_title(f"Forecast at the start over realized ({REFERENCE_STEP_S} s steps), {len(chosen)} windows")
        left.legend(loc="upper left", ncols=2, frameon=False, fontsize=8.0)
    left.set_xlabel("start of the window (hour of the day, UTC)")
    left.set_ylabel("σ forecast / σ realized (log scale)")
    colors = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
    for color, marker, (name, curve) in zip(colors, "osD^vP", report.signatures.items(), strict=False):
        right.plot(
            list(curve),
            [100.0 * each for each in curve.values()],
            color=color,
            marker=marker,
            markersize=4.5,
            linewidth=1.3,
            label=name,
        )
    right.set_xscale("log")
    steps = sorted({step for curve in report.signatures.values() for step in curve})
    right.set_xticks(steps, [str(each) for each in steps])
    right.minorticks_off()
    right.set_ylim(bottom=0.0)
    right.set_xlabel("step of the returns (s, log scale)")
    right.set_ylabel("volatility (% a year)")
    right.set_title("Volatility by the step it is measured at")
    if report.signatures:
        right.legend(loc="lower right", frameon=False, fontsize=7.5)
    return figure


def _hour(measured: Measured) -> float:
    return measured.start_s % 86_400 / 3600.0


def jump_shares(report: Report) -> Figure:
    """Realized and jump-robust variance of each window."""
    figure, (left, right) = _panels(2, height=3.7, panel=5.6)
    for group, color, marker in ((LIGENGXIN, "#0072B2", "."), (ARNAVBHATIA, "#D55E00", "D")):
        chosen = [each for each in report.measured if each.group == group]
        if not chosen:
            continue
        left.plot(
            [_hour(each) for each in chosen],
            [each.realized / each.median for each in chosen],
            color=color,
            marker=marker,
            linestyle="none",
            label=f"{group.split('_')[0]} ({len(chosen)} windows)",
        )
    left.axhline(1.0, color="black", linewidth=0.8)
    left.set_xlabel("start of the window (hour of the day, UTC)")
    left.set_ylabel("RV / MedRV")
    left.set_title("Realized over jump-robust variance")
    shares = [100.0 * each.jump_share for each in report.measured]
    if shares:
        left.legend(loc="upper right", frameon=False, fontsize=8.0)
        right.hist(shares, bins=[5.0 * step for step in range(21)], color="#56B4E9", edgecolor="white")
    right.set_xlabel("jump share of the variance, 1 − MedRV/RV (%)")
    right.set_ylabel("windows")
    right.set_title(f"Jump share, {len(shares)} windows")
    return figure

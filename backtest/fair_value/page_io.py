"""The report as one self-contained HTML page, and its numbers as JSON."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib import rc_context
from matplotlib.figure import Figure

from backtest.fair_value import figures, scoring
from backtest.fair_value.pricing import BOOK_LABEL_TAU_S, FAST_STEPS, LIVE_STEPS, SECONDS_PER_YEAR
from backtest.fair_value.recordings_io import ARNAVBHATIA, LIGENGXIN, RESOLVEDKIT, THEVALERKA, WEIUOU
from backtest.fair_value.report import (
    AT_LEAST_PRINTS,
    BOOKS,
    DAY_GROUPS,
    GROUP_TITLES,
    LATE_S,
    NAMES,
    GroupReport,
    Report,
)
from backtest.fair_value.scoring import Estimate
from backtest.fair_value.volatility_check import FAST, OURS, REFERENCE_STEP_S, SURE_JUMP, SURE_LARGEST_JUMP, Measured

_TEMPLATE = "page.html.j2"
_DIGITS = 3


def figures_of(report: Report) -> dict[str, Figure]:
    """The figures this report has something to show in, by name."""
    groups = report.groups
    large = [groups[name] for name in DAY_GROUPS if name in groups]
    drawn: dict[str, Figure] = {}
    if large:
        drawn["losses"] = figures.losses(large)
        drawn["differences"] = figures.differences(large)
        drawn["slopes"] = figures.slopes(large)
        pairs = [(group, each) for group in large[:2] for each in ("ours", "fast_sigma") if group.find(each)]
        drawn["reliability"] = figures.reliabilities(pairs)
    if BOOKS in groups and groups[BOOKS].per_period:
        drawn["books"] = figures.small_group(groups[BOOKS])
    mids = [(groups[name], "mid") for name in (RESOLVEDKIT, THEVALERKA, BOOKS) if name in groups]
    if mids:
        drawn["mids"] = figures.reliabilities(mids)
    if report.offset is not None:
        drawn["offsets"] = figures.offsets(report.offset)
    if report.measured or report.signatures:
        drawn["volatility"] = figures.volatility_ratios(report)
    if report.measured:
        drawn["jumps"] = figures.jump_shares(report)
    return drawn


def write_report(report: Report, out: Path, *, generated: str) -> Path:
    """Write `index.html` and `figures.json` into the folder; returns the path of the page."""
    out.mkdir(parents=True, exist_ok=True)
    images = {name: _embedded(figure) for name, figure in figures_of(report).items()}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number_text
    environment.filters["interval"] = interval_text
    environment.filters["estimate"] = estimate_text
    page = environment.get_template(_TEMPLATE).render(
        report=report,
        groups=list(report.groups.values()),
        large=[each for each in report.groups.values() if each.periods >= scoring.PERIODS_TO_DECIDE],
        images=images,
        names=NAMES,
        titles=GROUP_TITLES,
        drops=_drops_by_group(report),
        volatility=_volatility_table(report),
        floor=scoring.FLOOR,
        resamples=scoring.RESAMPLES,
        periods_for_interval=scoring.PERIODS_FOR_INTERVAL,
        periods_to_decide=scoring.PERIODS_TO_DECIDE,
        at_least_prints=AT_LEAST_PRINTS,
        book_label_tau_s=BOOK_LABEL_TAU_S,
        late_s=LATE_S,
        books=report.groups.get(BOOKS),
        day=report.groups.get(LIGENGXIN),
        exact_share=_exact_share(report),
        smoothing=_smoothing(report),
        uncalibrated=_uncalibrated([each for each in report.groups.values() if each.name in DAY_GROUPS]),
        live_step_s=round(LIVE_STEPS.sample_s),
        fast_step_s=round(FAST_STEPS.sample_s),
        reference_step_s=REFERENCE_STEP_S,
        sources=(ARNAVBHATIA, LIGENGXIN, WEIUOU, THEVALERKA, RESOLVEDKIT),
        generated=generated,
    )
    path = out / "index.html"
    path.write_text(page, encoding="utf-8")
    numbers = {"generated": generated, **plain(report)}
    (out / "figures.json").write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def number_text(number: float | None, digits: int = _DIGITS) -> str:
    """A number with a true minus sign; a dash for none."""
    if number is None:
        return "–"
    text = f"{number:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0.0 else text.replace("-", "−")


def interval_text(estimate: Estimate | None, digits: int = _DIGITS) -> str:
    """The interval alone; says so when there is none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return "no interval"
    return f"[{number_text(estimate.low, digits)}, {number_text(estimate.high, digits)}]"


def estimate_text(estimate: Estimate | None, digits: int = _DIGITS) -> str:
    """Mean and interval; a dash where there is no answer."""
    return "–" if estimate is None else f"{number_text(estimate.mean, digits)} {interval_text(estimate, digits)}"


def plain(thing: Any) -> Any:
    """Dataclasses and named tuples as objects, the keys of mappings as text: what JSON can hold."""
    if is_dataclass(thing) and not isinstance(thing, type):
        return {each.name: plain(getattr(thing, each.name)) for each in fields(thing)}
    if isinstance(thing, tuple) and hasattr(thing, "_asdict"):
        return {name: plain(each) for name, each in thing._asdict().items()}
    if isinstance(thing, dict):
        return {": ".join(key) if isinstance(key, tuple) else str(key): plain(each) for key, each in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [plain(each) for each in thing]
    return thing


def _embedded(figure: Figure) -> str:
    """A figure as a data address: an image of its own, so that no name in it meets another figure's."""
    with rc_context(figures.STYLE), io.BytesIO() as file:
        figure.savefig(file, format="svg", metadata={"Date": None})
        return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def _drops_by_group(report: Report) -> dict[str, list[tuple[str, int]]]:
    """Reasons and counts of each group that was priced, most frequent first."""
    table: dict[str, Counter[str]] = {group: Counter() for group in report.scored}
    for (group, reason), count in report.drops.items():
        table.setdefault(group, Counter())[reason] += count
    return {group: counts.most_common() for group, counts in table.items()}


def _exact_share(report: Report) -> float | None:
    """The share of ticks that the best offset reproduces to a cent."""
    fit = report.offset
    if fit is None:
        return None
    errors = fit.errors_usd[fit.offsets_s.index(fit.best_offset_s)]
    return sum(each < 0.01 for each in errors) / len(errors)


def _smoothing(report: Report) -> tuple[str, dict[int, float]] | None:
    """The first stream whose 1 s steps understate its volatility by a tenth: name, volatility a year by step."""
    for name, curve in report.signatures.items():
        if curve[1] < 0.9 * curve[60]:
            return name, curve
    return None


def _uncalibrated(groups: Sequence[GroupReport]) -> list[tuple[str, int, Estimate]]:
    """Where the interval of our slope leaves out 1: title of the group, seconds left (most first), the slope."""
    return [
        (group.title, tau_s, each.slope)
        for group in groups
        for tau_s, table in sorted(group.by_tau.items(), reverse=True)
        for each in table
        if each.competitor == "ours" and each.slope is not None
        if each.slope.low is not None and each.slope.high is not None
        if not each.slope.low <= 1.0 <= each.slope.high
    ]


def _volatility_table(report: Report) -> list[dict[str, Any]]:
    """Medians over windows of every estimator, by group, and how often the jump tests fire."""
    table = []
    for group in (LIGENGXIN, ARNAVBHATIA):
        chosen = [each for each in report.measured if each.group == group]
        if not chosen:
            continue
        table.append(
            {
                "title": GROUP_TITLES[group],
                "windows": len(chosen),
                "rows": [
                    ("RV (1 s steps)", _annual(chosen, [each.realized for each in chosen])),
                    (
                        f"reference: RV ({REFERENCE_STEP_S} s steps, all shifts)",
                        _annual(chosen, [each.realized_reference for each in chosen]),
                    ),
                    ("BPV", _annual(chosen, [each.bipower for each in chosen])),
                    ("MinRV", _annual(chosen, [each.minimum for each in chosen])),
                    ("MedRV", _annual(chosen, [each.median for each in chosen])),
                    ("TPQ (fourth root)", _annual(chosen, [each.quarticity**0.5 for each in chosen])),
                    ("TSRV (K = 30)", _annual(chosen, [each.two_scale for each in chosen])),
                    ("pre-averaging", _annual(chosen, [each.pre_averaged for each in chosen])),
                    (f"forecast {OURS}", _median([_percent_a_year(each.sigma) for each in chosen])),
                    (
                        f"forecast {FAST}",
                        _median([_percent_a_year(each.fast_sigma) for each in chosen if each.fast_sigma is not None]),
                    ),
                ],
                "noise_bps": _median([1e4 * each.noise**0.5 for each in chosen]),
                "ratio": _median([each.ratio for each in chosen]),
                "fast_ratio": _median([each.fast_ratio for each in chosen if each.fast_ratio is not None]),
                "rv_over_medrv": _median([each.realized / each.median for each in chosen]),
                "jump_share": _median([100.0 * each.jump_share for each in chosen]),
                "sure_jumps": sum(each.jump_z > SURE_JUMP for each in chosen),
                "largest_jumps": sum(
                    each.largest is not None and each.largest.standardized > SURE_LARGEST_JUMP for each in chosen
                ),
                "qlike": report.qlike[group],
            }
        )
    return table


def _annual(chosen: Sequence[Measured], variances: Sequence[float | None]) -> float | None:
    """Median volatility in percent a year of window variances; those without an answer, or not positive, left out."""
    return _median(
        [
            _percent_a_year((variance / each.length_s) ** 0.5)
            for each, variance in zip(chosen, variances, strict=True)
            if variance is not None and variance > 0.0
        ]
    )


def _percent_a_year(per_sqrt_s: float) -> float:
    return float(100.0 * per_sqrt_s * SECONDS_PER_YEAR**0.5)


def _median(numbers: Sequence[float]) -> float | None:
    return float(np.median(numbers)) if numbers else None

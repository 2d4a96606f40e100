"""The report of a backtest as one self-contained HTML page, its numbers as JSON, and its plots as single pictures."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib import rc_context

from backtest import report_words as words
from backtest.fair_value.scoring import PERIODS_TO_DECIDE
from backtest.plots import COLORS, STYLE, Drawing, breakdown_name, drawings, ending_name, reasons_shown
from backtest.report import SECTIONS, Study

PAGE, NUMBERS, PLOTS = "index.html", "report.json", "plots"
_TEMPLATE = "report_page.html.j2"
_DARK = {
    "ink": "#e6e8ea",
    "grid": "#3a3f46",
    "paper": "#16191d",
    "gain": "#56b4e9",
    "loss": "#f0894a",
    "other": "#35c79c",
    "unsure": "#a2a6ac",
}
_PICTURE_DPI = 140


def write_report(study: Study, folder: Path) -> Path:
    """Write `index.html`, `report.json` and `plots/*.png` into the folder; returns the path of the page.

    The pictures of an earlier report in the folder are removed. OSError when it cannot be written; ValueError for a
    number that is infinite.
    """
    numbers = json.dumps(numbers_of(study), indent=1, allow_nan=False)
    drawn = drawings(study)
    with rc_context(STYLE):
        for drawing in drawn.values():  # laid out once, for the page and the picture
            drawing.figure.draw_without_rendering()
            drawing.figure.set_layout_engine("none")
    page = _page(study, drawn)
    pictures = folder / PLOTS
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.png"):
        old.unlink()
    with rc_context(STYLE):
        for name, drawing in drawn.items():
            drawing.figure.savefig(pictures / f"{name}.png", dpi=_PICTURE_DPI)
    (folder / NUMBERS).write_text(numbers + "\n", encoding="utf-8")
    path = folder / PAGE
    path.write_text(page, encoding="utf-8")
    return path


def numbers_of(study: Study) -> dict[str, Any]:
    """Everything on the page as plain JSON: the study, and under `words` what was composed from it."""
    parts = study.attribution
    return {
        **_plain(study),
        "words": {
            "verdict": list(words.verdict(study)),
            "absent": {each: words.why_absent(study, each) for each in SECTIONS if not study.has(each)},
            "share_won": words.share_won(study),
            "break_even_share": words.break_even_share(study),
            "unexplained_usd": None if parts is None else parts.unexplained_usd,
        },
    }


def _plain(thing: Any) -> Any:
    """Dataclasses and named tuples as objects, frames as lists of rows, NaN as null."""
    if is_dataclass(thing) and not isinstance(thing, type):
        return {each.name: _plain(getattr(thing, each.name)) for each in fields(thing)}
    if isinstance(thing, tuple) and hasattr(thing, "_asdict"):
        return {name: _plain(each) for name, each in thing._asdict().items()}
    if isinstance(thing, pd.DataFrame):
        return [_plain(row) for row in thing.to_dict(orient="records")]
    if isinstance(thing, Mapping):
        return {str(key): _plain(each) for key, each in thing.items()}
    if isinstance(thing, list | tuple):
        return [_plain(each) for each in thing]
    if isinstance(thing, np.generic):
        return _plain(thing.item())
    if isinstance(thing, float) and math.isnan(thing):
        return None
    return thing


def _page(study: Study, drawn: Mapping[str, Drawing]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        usd=words.usd,
        interval=words.interval,
        estimate=words.mean_and_interval,
        share=words.share,
        count=words.count,
        chance=words.chance,
        horizon=words.horizon,
        why_absent=words.why_absent,
        model_line=words.model_line,
        deflation=words.deflation,
        overfitting=words.overfitting,
        reason_meaning=words.reason_meaning,
        reason_action=words.reason_action,
        technique_off=words.technique_off,
        ending_name=ending_name,
        breakdown_name=breakdown_name,
        unbroken=_unbroken,
    )
    return environment.get_template(_TEMPLATE).render(
        study=study,
        sections=SECTIONS,
        verdict=words.verdict(study),
        tone=("loss", "unsure", "gain")[words.side_of_zero(study.headline.pnl_usd) + 1],
        digits=words.study_digits(study),
        periods_to_decide=PERIODS_TO_DECIDE,
        images={name: _inline(name, drawing) for name, drawing in drawn.items()},
        captions={name: drawing.caption for name, drawing in drawn.items()},
        rows=_period_rows(study),
        spread_left=words.spread_left(study),
        endings=words.endings(study),
        reasons=[] if study.uptime is None else reasons_shown(study.uptime),
        ablation_words=words.clear_ones(study.ablation),
        baselines_words=words.clear_ones(study.baselines),
        comparison_words=words.comparison_answer(study),
        light=COLORS,
        dark=_DARK,
    )


def _period_rows(study: Study) -> list[dict[Hashable, Any]]:
    """The rows of periods with their start in words."""
    if study.periods is None:
        return []
    starts = pd.to_datetime(study.periods["start_ns"]).dt.strftime("%Y-%m-%d %H:%M")
    return study.periods.assign(start=starts).to_dict(orient="records")


def _unbroken(sentence: str) -> Markup:
    """A sentence whose intervals and negative amounts stay on one line."""
    pattern = r"(?:−?\$[\d,.]*\d )?\[[^\]]*\]|−\$?[\d,.]*\d"
    return Markup(re.sub(pattern, r'<span class="whole">\g<0></span>', str(escape(sentence))))


def _inline(name: str, drawing: Drawing) -> Markup:
    """A figure as an SVG element: its colors are the page's, which has light and dark ones; its ids are its own."""
    with rc_context(STYLE), io.BytesIO() as file:
        drawing.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        text = file.getvalue().decode()
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace(' id="', f' id="{name}-').replace("url(#", f"url(#{name}-")
    svg = svg.replace('xlink:href="#', f'href="#{name}-')
    for color, shade in COLORS.items():
        svg = svg.replace(shade, f"var(--{color})")
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape(drawing.caption)}"', 1))

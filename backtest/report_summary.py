"""The report of a backtest on a console: the answer, the headline, and the parts that explain it."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backtest import report_words as words
from backtest.plots import reasons_shown
from backtest.report import SECTIONS, Paired, Study

_REASONS = 5
_STYLES = {-1: "red", 0: "", 1: "green"}


def print_summary(study: Study, console: Console) -> None:
    """Print the answer and the numbers behind it; sections with nothing to show are named in one line."""
    console.print(Text(study.title, "bold"))
    console.print(
        Text(f"{study.source.name}; {study.config_name} ({study.config_hash}); {words.model_line(study)}", "dim")
    )
    first, *others = words.verdict(study)
    style = _STYLES[words.side_of_zero(study.headline.pnl_usd)]
    console.print(Text(first, f"bold {style}".strip()))
    for sentence in others:
        console.print(Text(sentence))
    console.print(_headline(study))
    if study.bracket:
        console.print(_bracket(study))
    if study.attribution is not None:
        console.print(_attribution(study))
    if study.markouts:
        console.print(_markouts(study))
    if study.uptime is not None and reasons_shown(study.uptime):
        console.print(_reasons(study))
    for rows, title in ((study.ablation, "technique off"), (study.baselines, "baseline")):
        if rows:
            console.print(_paired(study, rows, title))
    if study.optimizer is not None:
        console.print(Text(f"Optimizer: {study.optimizer.answer}"))
    answer = words.comparison_answer(study)
    if answer is not None:
        console.print(Text(answer))
    absent = [SECTIONS[each] for each in SECTIONS if not study.has(each)]
    if absent:
        console.print(Text(f"Nothing to show for: {'; '.join(absent)}.", "dim"))


def _table(title: str, *columns: str) -> Table:
    """Names at the left, numbers at the right."""
    has_header = any(columns)
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD if has_header else box.SIMPLE,
        show_header=has_header,
    )
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    return table


def _add(table: Table, *texts: str, style: str = "") -> None:
    """A row of plain texts: an interval's brackets are no markup."""
    table.add_row(*(Text(text) for text in texts), style=style)


def _headline(study: Study) -> Table:
    headline = study.headline
    table = _table("Headline", "", "")
    digits = words.study_digits(study)
    ran = headline.pnl_usd.periods
    for name, text in (
        ("P&L of a period", words.mean_and_interval(headline.pnl_usd, digits)),
        ("P&L in all", words.usd(headline.total_usd)),
        ("periods won, lost, at zero", f"{headline.won}, {headline.lost}, {ran - headline.won - headline.lost}"),
        ("fills, shares", f"{headline.fills:,}, {headline.shares:,.0f}"),
        ("deepest drawdown", words.usd(headline.max_drawdown_usd)),
        ("quotes on both sides", words.share(headline.two_sided_share)),
    ):
        _add(table, name, text)
    return table


def _bracket(study: Study) -> Table:
    table = _table("Queue models", "", "P&L of a period", "in all", "fills", "shares")
    digits = words.study_digits(study)
    for row in study.bracket:
        numbers = (words.mean_and_interval(row.pnl_usd, digits), words.usd(row.total_usd))
        _add(table, row.queue, *numbers, f"{row.fills:,}", f"{row.shares:,.0f}")
    return table


def _attribution(study: Study) -> Table:
    parts = study.attribution
    assert parts is not None
    after = f"{parts.horizon_s:g} s"
    table = _table("Parts of the P&L", "", "P&L of a period")
    digits = words.study_digits(study)
    for name, part in (
        ("spread captured", parts.spread_capture),
        (f"  left after {after}", parts.realized),
        (f"  taken back in {after}", parts.adverse),
        ("inventory", parts.inventory),
        ("settlement", parts.settlement),
        ("fees", parts.fees),
        ("rebates", parts.rebates),
        ("total", parts.total),
    ):
        _add(table, name, words.mean_and_interval(part, digits))
    return table


def _markouts(study: Study) -> Table:
    table = _table("Markouts", "after", "$/share", "fills")
    for row in study.markouts:
        _add(table, words.horizon(row.horizon_s), words.mean_and_interval(row.per_share_usd, 4), f"{row.fills:,}")
    return table


def _reasons(study: Study) -> Table:
    uptime = study.uptime
    assert uptime is not None
    table = _table("Reasons that held longest", "", "of the time", "asks for")
    for label, held_s in reasons_shown(uptime)[:_REASONS]:
        _add(table, label, words.share(held_s / uptime.observed_s), words.reason_action(label))
    return table


def _paired(study: Study, rows: Sequence[Paired], title: str) -> Table:
    table = _table(
        "Techniques" if rows is study.ablation else "Baselines", title, "its P&L of a period", "ours less it", "p"
    )
    digits = words.study_digits(study)
    for row in sorted(rows, key=lambda each: -each.difference_usd.mean):
        numbers = (words.mean_and_interval(row.pnl_usd, digits), words.mean_and_interval(row.difference_usd, digits))
        _add(table, row.name, *numbers, words.chance(row.p), style=_STYLES[words.side_of_zero(row.difference_usd)])
    return table

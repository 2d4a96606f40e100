"""The console says what the page says, shorter."""

from __future__ import annotations

import io

from rich.console import Console

from backtest.report import Markout, Paired, Study
from backtest.report_summary import print_summary
from backtest.report_words import verdict
from tests.backtest.report_builders import estimate, headline, study, whole_study


def printed(some: Study) -> str:
    """What a wide console without colors shows, on one line."""
    console = Console(file=io.StringIO(), width=200)
    print_summary(some, console)
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def test_the_answer_comes_with_the_numbers_behind_it() -> None:
    some = whole_study()
    text = printed(some)
    for sentence in verdict(some):
        assert sentence in text
    assert "deepest drawdown $18.13" in text
    assert "pessimistic $0.175 [−$0.360, $0.710] $16.77 831 20,770" in text
    assert "30 s $0.0031 [$0.0012, $0.0050] 1,337" in text
    assert "final_phase 6.7 % PULL_QUOTES" in text
    assert "oracle_projection" in text
    assert "Nothing to show" not in text


def test_sections_without_anything_are_named() -> None:
    text = printed(study(markouts=(Markout(None, estimate(0.1), 3),)))
    assert "Nothing to show for: Three queue models; Equity;" in text
    assert "settlement $0.1000 no interval 3" in text


def test_a_name_in_brackets_is_no_markup() -> None:
    assert "[red]mid[/red]" in printed(study(baselines=(Paired("[red]mid[/red]", None, estimate(0.1, 0.2)),)))


def test_a_run_without_fills_is_summarized() -> None:
    assert "It did not trade" in printed(study(headline=headline(estimate(0.0), fills=0, won=0, lost=0)))

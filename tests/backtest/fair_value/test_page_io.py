"""The page says what its numbers say, and says nothing it has no numbers for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from backtest.fair_value.page_io import write_report
from backtest.fair_value.recordings_io import LIGENGXIN
from backtest.fair_value.report import Report, score_group
from backtest.fair_value.scoring import expit, logit
from tests.backtest.fair_value.test_report import rows

SMOOTHED = {1: 0.30, 2: 0.35, 5: 0.40, 10: 0.45, 20: 0.48, 30: 0.49, 60: 0.50}


def page_of(report: Report, out: Path) -> str:
    """The text of the page, on one line."""
    return " ".join(write_report(report, out, generated="now").read_text().split())


def test_smoothed_prints_are_told_with_their_figures_and_what_the_live_step_still_misses(tmp_path: Path) -> None:
    page = page_of(Report(signatures={"some prints": SMOOTHED}), tmp_path)
    assert "returns over 1 s give a volatility of 30 % a year, returns over 60 s 50 %" in page
    assert "the live estimator takes prices 5 s apart" in page
    assert "returns over 5 s still see only 80 % of the volatility over 60 s" in page
    assert "no independent test" not in page  # the day on which the step was chosen is not here


def test_the_day_on_which_the_step_was_chosen_is_called_no_test_of_it(tmp_path: Path) -> None:
    day = score_group(LIGENGXIN, rows(LIGENGXIN, 40, mid=False))
    page = page_of(Report(groups={LIGENGXIN: day}, signatures={"some prints": SMOOTHED}), tmp_path)
    assert f"the groups of that day ({day.title}) are no independent test of it" in page


def test_slopes_that_are_surely_not_one_are_named_and_no_others(tmp_path: Path) -> None:
    def unsure(logit_factor: float) -> Report:
        """The outcomes of a truth, told with its logit times a factor: the slope is the factor's inverse."""
        some = rows(LIGENGXIN, 400, mid=False)
        told = [expit(logit_factor * logit(np.array([row.said["ours"]])))[0] for row in some]
        changed = [replace(row, said={**row.said, "ours": float(p)}) for row, p in zip(some, told, strict=True)]
        return Report(groups={LIGENGXIN: score_group(LIGENGXIN, changed)})

    assert "No interval of our slope leaves out 1." in page_of(unsure(1.0), tmp_path)
    page = page_of(unsure(0.4), tmp_path)
    assert "leaves out 1 here: ligengxin96: BTC 5 m, spot, official, 240 s left: 2." in page
    assert "official, 10 s left: 2." in page


def test_prints_that_are_not_smoothed_are_not_called_so(tmp_path: Path) -> None:
    page = page_of(Report(signatures={"a walk": dict.fromkeys(SMOOTHED, 0.5)}), tmp_path)
    assert "What to watch" not in page

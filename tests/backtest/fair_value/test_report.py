"""Groups are scored over the competitors that spoke everywhere, and questions are answered only when asked."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from backtest.fair_value.pricing import Competitor, Row
from backtest.fair_value.recordings_io import ARNAVBHATIA, LIGENGXIN, WEIUOU
from backtest.fair_value.report import BLEND, BOOKS, LATE_S, GroupReport, score_group, targets_of


def rows(group: str, periods: int, *, mid: bool, seed: int = 1) -> list[Row]:
    """Ours knows the truth, the naive one half of it, the mid a little more than half."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(periods):
        logit = random.normal(0.0, 2.0)
        is_up = bool(random.random() < 1.0 / (1.0 + np.exp(-logit)))
        for tau_s in (240, 60, 10):
            said: dict[Competitor, float] = {
                "ours": 1.0 / (1.0 + np.exp(-logit)),
                "naive": 1.0 / (1.0 + np.exp(-0.2 * logit)),
            }
            if mid:
                said["mid"] = 1.0 / (1.0 + np.exp(-0.6 * logit))
            made.append(Row(group, f"btc-updown-5m-{300 * number}", tau_s, is_up, said))
    return made


@cache
def without_mid() -> GroupReport:
    return score_group(LIGENGXIN, rows(LIGENGXIN, 300, mid=False))


def test_differences_are_ours_minus_theirs_and_paired() -> None:
    group = without_mid()
    ours, naive = group.find("ours"), group.find("naive")
    assert ours is not None
    assert naive is not None
    assert ours.log_loss_difference.mean == 0.0
    assert naive.log_loss_difference.mean == pytest.approx(ours.log_loss.mean - naive.log_loss.mean)
    assert naive.log_loss_difference.high is not None
    assert naive.log_loss_difference.high < 0.0
    assert group.periods == 300
    assert group.rows == 900
    assert set(group.by_tau) == {240, 60, 10}
    assert group.per_period == {}


def test_a_competitor_missing_anywhere_is_not_scored_and_small_groups_show_each_window() -> None:
    some = rows(ARNAVBHATIA, 4, mid=True)
    some[0] = replace(some[0], said={name: p for name, p in some[0].said.items() if name != "naive"})
    group = score_group(ARNAVBHATIA, some)
    assert group.find("naive") is None
    assert set(group.per_period) == {"ours", "mid", BLEND}
    assert len(group.per_period["ours"]) == 4
    assert len(group.blend_weights) == 4


def test_the_late_scores_are_of_the_last_two_minutes_only() -> None:
    some = rows(LIGENGXIN, 40, mid=False)
    spoilt = [replace(row, said={**row.said, "naive": 0.5}) if row.tau_s > LATE_S else row for row in some]
    before, after = score_group(LIGENGXIN, some), score_group(LIGENGXIN, spoilt)
    assert before.find("naive", late=True) == after.find("naive", late=True)
    assert before.find("naive") != after.find("naive")


@cache
def groups(periods: int) -> dict[str, GroupReport]:
    books = rows(ARNAVBHATIA, periods, mid=True) + rows(WEIUOU, periods, mid=True, seed=2)
    return {
        BOOKS: score_group(BOOKS, books),
        ARNAVBHATIA: score_group(ARNAVBHATIA, rows(ARNAVBHATIA, periods, mid=True)),
        LIGENGXIN: without_mid(),
    }


def test_a_handful_of_windows_decides_nothing_and_many_can() -> None:
    few = targets_of(groups(3))
    assert {target.verdict for target in few if target.difference.periods < 30} == {"cannot decide"}
    many = {(target.question, target.difference.periods): target.verdict for target in targets_of(groups(200))}
    assert many["Our fair value is not worse than the book mid, overall", 400] == "holds"
    assert many["The blend is at least as good as book mid", 400] == "holds"
    assert many[f"Our fair value beats the naive digital in the last {LATE_S} s", 300] == "holds"


def test_the_step_of_the_volatility_is_asked_on_the_day_it_was_chosen_and_is_called_no_proof() -> None:
    def with_fast(group: str) -> GroupReport:
        some = rows(group, 200, mid=group == WEIUOU)
        return score_group(group, [replace(row, said={**row.said, "fast_sigma": 0.5}) for row in some])

    asked = targets_of({name: with_fast(name) for name in (LIGENGXIN, WEIUOU)})
    found = [target for target in asked if "steps" in target.question]
    assert [(target.question, target.group) for target in found] == [
        (
            "5 s steps are better than 1 s steps, overall (chosen on this very day: no proof)",
            "ligengxin96: BTC 5 m, spot, official",
        )
    ]
    assert found[0].verdict == "holds"  # one half for all that comes is worse than the truth
    assert found[0].difference.mean < 0.0


def test_members_of_the_pooled_group_are_not_asked_twice() -> None:
    asked = [target.group for target in targets_of(groups(3))]
    assert not any("arnavbhatia1" in group for group in asked)
    assert any("book" in group for group in asked)

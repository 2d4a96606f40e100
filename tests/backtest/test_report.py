"""A study refuses to contradict itself, and knows which of its sections have something to show."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from backtest.report import SECTIONS, Markout, Study
from tests.backtest.report_builders import estimate, headline, study, whole_study


def test_every_section_is_a_field_of_the_study() -> None:
    assert set(SECTIONS) <= {each.name for each in dataclasses.fields(Study)}


def test_a_whole_study_has_every_section_and_the_least_has_none() -> None:
    assert all(whole_study().has(each) for each in SECTIONS)
    assert not any(study().has(each) for each in SECTIONS)


def test_empty_parts_are_absent() -> None:
    empty = study(markouts=(), breakdowns={"phase": ()}, equity=pd.DataFrame({"end_ns": []}))
    assert not empty.has("markouts")
    assert not empty.has("breakdowns")
    assert not empty.has("equity")
    assert not study(equity=pd.DataFrame({"end_ns": [1]})).has("equity")
    assert study(equity=pd.DataFrame({"end_ns": [1], "optimistic": [0.5]})).has("equity")
    assert study(markouts=(Markout(1.0, estimate(0.01), 3),)).has("markouts")


def test_a_section_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no section of a report"):
        study(absent={"markuots": "lost"})
    with pytest.raises(KeyError):
        study().has("markuots")


def test_rows_that_do_not_sum_to_the_headline_are_refused() -> None:
    whole = whole_study()
    assert whole.periods is not None
    with pytest.raises(ValueError, match="the headline says"):
        dataclasses.replace(whole, periods=whole.periods.assign(pnl_usd=whole.periods["pnl_usd"] + 0.01))
    with pytest.raises(ValueError, match="95 rows of periods"):
        dataclasses.replace(whole, periods=whole.periods.iloc[1:])
    with pytest.raises(ValueError, match=r"winner"):
        dataclasses.replace(whole, periods=whole.periods.drop(columns="winner"))
    with pytest.raises(ValueError, match="end_ns"):
        study(equity=pd.DataFrame({"probabilistic": [1.0]}))


def test_what_the_parts_of_the_pnl_do_not_explain_is_the_rest() -> None:
    parts = whole_study().attribution
    assert parts is not None
    assert parts.unexplained_usd == pytest.approx(0.0, abs=1e-9)
    lost = parts._replace(fees=parts.fees._replace(mean=parts.fees.mean - 0.25))
    assert lost.unexplained_usd == pytest.approx(0.25)
    assert parts.realized.mean + parts.adverse.mean == pytest.approx(parts.spread_capture.mean)


def test_the_builder_of_a_headline_agrees_with_its_mean() -> None:
    assert headline(estimate(0.5, 0.1, periods=10)).total_usd == 5.0

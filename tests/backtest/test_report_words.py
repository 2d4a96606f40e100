"""The sentences say what the numbers say, and no more."""

from __future__ import annotations

import math

import pytest

from backtest.fair_value.scoring import Estimate
from backtest.report import (
    SECTIONS,
    BracketRow,
    Comparison,
    Deflated,
    Ending,
    Markout,
    Model,
    Paired,
)
from backtest.report_words import (
    break_even_share,
    chance,
    clear_ones,
    clearness,
    comparison_answer,
    deflation,
    digits_of,
    endings,
    interval,
    model_line,
    overfitting,
    reason_action,
    reason_meaning,
    share,
    share_won,
    side_of_zero,
    spread_left,
    technique_off,
    usd,
    verdict,
    why_absent,
)
from services.quoter.action import RULES
from shared.config import Techniques
from shared.exchange import QueueName
from tests.backtest.report_builders import estimate, headline, study, whole_study


def row(queue: QueueName, pnl_usd: Estimate) -> BracketRow:
    """A queue model's result."""
    return BracketRow(queue, pnl_usd, pnl_usd.mean * pnl_usd.periods, 10, 200.0)


def text(pnl_usd: Estimate, *bracket: BracketRow) -> str:
    """The verdict on this P&L of a period."""
    return " ".join(verdict(study(headline=headline(pnl_usd), bracket=bracket)))


@pytest.mark.parametrize(
    ("number", "digits", "written"),
    [
        (1234.5, 2, "$1,234.50"),
        (-0.12, 2, "−$0.12"),
        (-0.001, 2, "$0.00"),
        (None, 2, "–"),
        (math.nan, 2, "–"),
        (0.00123, 4, "$0.0012"),
    ],
)
def test_dollars_are_written_with_a_true_minus_and_no_negative_zero(
    number: float | None, digits: int, written: str
) -> None:
    assert usd(number, digits) == written


def test_there_are_enough_decimals_for_three_figures_and_for_bounds_near_zero() -> None:
    assert digits_of([]) == 2
    assert digits_of([None, estimate(12.0, 3.0)]) == 2
    assert digits_of([estimate(0.034, 0.01)]) == 4
    assert digits_of([estimate(0.486, 0.4864)]) == 4
    assert digits_of([estimate(1.0, 1.0000001)]) == 5


def test_a_profit_clear_of_zero_is_told_with_its_queue_model_and_interval() -> None:
    told = text(estimate(0.5, 0.2))
    assert told.startswith(
        "It made $0.500 a period over 96 periods, $48.00 in all, under the probabilistic queue model."
    )
    assert "The 95 % interval [$0.300, $0.700] is above zero." in told
    assert "cannot say" not in told


def test_a_loss_is_called_a_loss() -> None:
    told = text(estimate(-0.5, 0.2))
    assert told.startswith("It lost $0.500 a period over 96 periods, $48.00 in all")
    assert "[−$0.700, −$0.300] is below zero" in told


def test_an_interval_that_includes_zero_cannot_say() -> None:
    assert "[−$0.200, $0.400] includes zero: this data cannot say." in text(estimate(0.1, 0.3))


def test_a_handful_of_periods_cannot_say_however_good_it_looks() -> None:
    told = text(estimate(0.5, 0.1, periods=29))
    assert "above zero, but with fewer than 30 periods" in told
    assert "cannot say" in told
    assert "cannot say" not in text(estimate(0.5, 0.1, periods=30))
    assert "1 period cannot give an interval: this data cannot say." in text(estimate(0.5, periods=1))


def test_a_run_without_fills_did_not_trade() -> None:
    told = " ".join(verdict(study(headline=headline(estimate(0.0), fills=0))))
    assert "It did not trade: no order was filled in 96 periods" in told
    assert "interval" not in told


def test_even_is_neither_made_nor_lost() -> None:
    assert text(estimate(0.0, 1.0)).startswith("It came out even")


def test_the_bracket_says_whether_the_queue_decides() -> None:
    good, bad, unsure = estimate(0.5, 0.2), estimate(-0.5, 0.2), estimate(0.1, 0.4)
    assert "on the side of profit" in text(good, row("pessimistic", good), row("probabilistic", good))
    assert "on the side of loss" in text(bad, row("pessimistic", bad), row("probabilistic", bad))
    told = text(good, row("pessimistic", bad), row("probabilistic", good))
    assert "Other queue models: pessimistic −$0.500 [−$0.700, −$0.300]." in told
    assert "Profit or loss hangs on the queue model." in told
    assert "not all are clear of zero" in text(good, row("pessimistic", unsure), row("probabilistic", good))
    assert "No other queue model was run" in text(good)


def test_the_first_caveat_ends_the_verdict() -> None:
    assert verdict(study(caveats=("One day.", "One asset.")))[-1] == "The first caveat: One day."
    assert "nobody reacts" in verdict(study())[-1]


def test_a_deflated_sharpe_ratio_is_luck_below_95_percent() -> None:
    assert "91.0 %: it may be luck" in deflation(Deflated(0.2, 40.0, 0.1, 0.91))
    assert "it is hardly luck" in deflation(Deflated(0.2, 1.0, 0.0, 0.95))
    judged = study(headline=headline(estimate(0.5, 0.2), deflated=Deflated(0.2, 40.0, 0.1, 0.91)))
    assert any("the best of 40 configurations" in each for each in verdict(judged))
    assert "too much" in overfitting(0.21)
    assert "acceptable" in overfitting(0.2)


def test_a_side_of_zero_needs_the_whole_interval_and_enough_periods() -> None:
    assert side_of_zero(estimate(0.5, 0.4)) == 1
    assert side_of_zero(estimate(-0.5, 0.4)) == -1
    assert side_of_zero(estimate(0.5, 0.5)) == 0
    assert side_of_zero(estimate(0.5)) == 0
    assert side_of_zero(estimate(0.5, 0.4, periods=29)) == 0
    assert "includes zero" in clearness(estimate(0.5, 0.5))


def test_bought_tokens_are_held_against_their_prices() -> None:
    some = study(
        win_lose=(Ending(True, 2, 40.0, 20.0, 0.5), Ending(False, 3, 60.0, -27.0, 0.45), Ending(None, 1, 9.0, 0.0, 0.9))
    )
    assert share_won(some) == pytest.approx(0.4)
    assert break_even_share(some) == pytest.approx(0.47)
    told = endings(some)
    assert told is not None
    assert "40.0 % of the bought shares" in told
    assert "less often than" in told
    assert endings(study()) is None
    assert endings(study(win_lose=(Ending(True, 2, 40.0, 20.0, math.nan),))) is None


def test_what_the_market_took_back_is_told() -> None:
    whole = whole_study()
    assert whole.attribution is not None
    told = spread_left(whole)
    assert told is not None
    assert "was left of it" in told
    worse = study(attribution=whole.attribution._replace(realized=estimate(-0.2)))
    assert "took back more than the spread" in str(spread_left(worse))
    assert spread_left(study()) is None


def test_differences_clear_of_zero_are_named_with_how_many_luck_gives() -> None:
    rows = [
        Paired("regime", None, estimate(0.5, 0.2)),
        Paired("tiers", None, estimate(-0.5, 0.2)),
        Paired("fees", None, estimate(0.0, 0.2)),
    ]
    assert clear_ones(rows) == (
        "Clear of zero, ours better: regime. Clear of zero, ours worse: tiers. "
        "Of 3 intervals of 95 % about 0.15 would leave out zero by luck alone."
    )
    assert clear_ones(rows[2:]) == "No difference is clear of zero: this data cannot tell them apart."


def test_the_better_of_two_runs_is_named_only_when_it_is_clear() -> None:
    def answer(difference_usd: Estimate) -> str | None:
        return comparison_answer(
            study(comparison=Comparison("new", "old", estimate(1.0), estimate(0.5), difference_usd))
        )

    assert str(answer(estimate(0.5, 0.2))).startswith("A (new) is better")
    assert "A less B: $0.500 [$0.300, $0.700] a period." in str(answer(estimate(0.5, 0.2)))
    assert str(answer(estimate(-0.5, 0.2))).startswith("B (old) is better")
    assert str(answer(estimate(0.5, 0.6))).startswith("This data cannot tell")
    assert comparison_answer(study()) is None


def test_every_absent_section_has_a_reason() -> None:
    assert all(why_absent(study(), each).endswith(".") for each in SECTIONS)
    assert why_absent(study(absent={"equity": "The disk was full."}), "equity") == "The disk was full."
    unfilled = study(headline=headline(estimate(0.0), fills=0))
    assert why_absent(unfilled, "markouts") == "No order was filled, so “markouts” has nothing to show."
    assert "No order was filled" not in why_absent(unfilled, "ablation")
    assert "No order was filled" not in why_absent(study(), "markouts")


def test_figures_that_are_not_known_are_dashes() -> None:
    assert share(None) == chance(None) == usd(None) == "–"
    assert share(0.643) == "64.3 %"
    assert chance(0.0004) == "< 0.001"
    assert interval(estimate(1.0)) == "no interval"
    assert model_line(study(model=Model("optimistic"))) == "Queue model optimistic; latencies: none"
    assert model_line(study(model=Model("optimistic", {"feed": 42.5}))).endswith("latencies: feed 42.5 ms")


def test_rules_and_techniques_are_explained_in_their_own_words() -> None:
    assert reason_meaning(RULES[0].label) == RULES[0].meaning
    assert reason_action("final_phase") == "PULL_QUOTES"
    assert reason_meaning("of another version") == reason_action("of another version") == ""
    assert technique_off("tiers") == "one layer a side"
    assert all(technique_off(each) and "`" not in technique_off(each) for each in Techniques.model_fields)
    assert technique_off("of another version") == ""


def test_a_markout_of_another_horizon_changes_no_word_of_the_verdict() -> None:
    assert verdict(study(markouts=(Markout(1.0, estimate(0.1), 3),))) == verdict(study())

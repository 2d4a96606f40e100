from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from backtest import report
from backtest.attribution import PARTS
from backtest.engine import LatencyModel
from backtest.result import PERIODS_TO_SAY, BacktestResult
from backtest.study import estimate, make_study, paired, settings_that_differ
from shared.config import MMConfig
from shared.money import to_micro
from tests.backtest.test_result import result_of_profits, tape_of, two_periods

NOW = datetime(2026, 10, 6, 12, 30, tzinfo=UTC)


def study_of(result: BacktestResult, **fields: Any) -> report.Study:
    known: dict[str, Any] = {
        "title": "a test",
        "source": report.Source("made by hand"),
        "config_name": "default",
        "latencies_ms": {"order": 100.0},
        "ablation": {},
        "baselines": {},
        "now": NOW,
    }
    return make_study({"pessimistic": result}, "pessimistic", **(known | fields))


def test_the_headline_and_the_bracket_are_the_results_own_numbers() -> None:
    result = two_periods()
    study, summary = study_of(result), result.summary()
    headline = study.headline
    assert headline.pnl_usd.mean == pytest.approx(summary["pnl_per_period_usd"])
    assert (headline.total_usd, headline.fills, headline.shares) == (summary["pnl_usd"], 3, 25.0)
    assert (headline.won, headline.lost, headline.two_sided_share) == (1, 1, 0.5)
    assert headline.max_drawdown_usd == summary["max_drawdown_usd"] == pytest.approx(5.22)
    (row,) = study.bracket
    assert (row.queue, row.total_usd, row.fills, row.shares) == ("pessimistic", summary["pnl_usd"], 3, 25.0)
    assert (study.created, study.model.latencies_ms) == ("2026-10-06 12:30 UTC", {"order": 100.0})


def test_periods_and_equity_are_in_order_of_time_for_every_queue() -> None:
    one, other = two_periods(), two_periods()
    study = make_study(
        {"optimistic": other, "pessimistic": one},
        "pessimistic",
        title="a test",
        source=report.Source("made by hand"),
        config_name="default",
        latencies_ms={},
        ablation={},
        baselines={},
    )
    assert [row.queue for row in study.bracket] == ["pessimistic", "optimistic"]
    assert study.equity is not None
    assert study.equity["pessimistic"].tolist() == study.equity["optimistic"].tolist() == [3.11, -2.11]
    assert study.periods is not None
    assert study.periods["pnl_usd"].tolist() == [3.11, -5.22]


def test_the_attribution_is_the_mean_of_the_periods_and_leaves_nothing_unexplained() -> None:
    result = two_periods()
    parts, table = study_of(result).attribution, result.periods_df()
    assert parts is not None
    means = {name: table[name.replace("_micro", "_usd")].mean() for name in PARTS}
    unknown = means["unattributed_micro"]
    assert unknown != 0.0  # a fill without a mid
    assert parts.realized.mean == pytest.approx(means["realised_micro"])
    assert parts.adverse.mean == pytest.approx(means["adverse_micro"])
    assert parts.spread_capture.mean == pytest.approx(means["realised_micro"] + means["adverse_micro"] + unknown)
    assert parts.settlement.mean == pytest.approx(means["settlement_micro"])
    assert parts.fees.mean == pytest.approx(-0.01)
    assert parts.rebates.mean == pytest.approx(0.005)
    assert parts.total.mean == pytest.approx(-1.055)
    assert parts.unexplained_usd == pytest.approx(0.0, abs=1e-12)


def test_what_the_fills_turned_into_is_counted_by_the_token_that_was_bought() -> None:
    won, lost = study_of(two_periods()).win_lose
    assert (won.won, won.fills, won.shares, won.pnl_usd) == (True, 1, 10.0, 5.11)
    assert won.price_usd == pytest.approx(0.49)
    assert (lost.won, lost.fills, lost.shares) == (False, 2, 15.0)
    assert lost.pnl_usd == pytest.approx(-7.22)
    assert lost.price_usd == pytest.approx((5 * 0.40 + 10 * 0.52) / 15)
    (unknown,) = study_of(result_of_profits(0.1, 0.2)).win_lose
    assert (unknown.won, unknown.fills) == (None, 2)


def test_slices_and_markouts_hold_every_fill() -> None:
    study = study_of(two_periods())
    for name in ("phase", "time left", "regime", "layer", "side"):
        cut = study.breakdowns[name]
        assert sum(each.fills for each in cut) == 3
        assert sum(each.pnl_usd for each in cut) == pytest.approx(-2.11)
    assert {each.horizon_s for each in study.markouts} >= {None, 5.0}
    settlement = next(each for each in study.markouts if each.horizon_s is None)
    assert settlement.fills == 3


def test_fewer_than_six_periods_have_no_interval_anywhere() -> None:
    few = result_of_profits(*[0.1, 0.3] * 2)
    study = study_of(few, baselines={"bands": np.zeros(4)})
    assert study.attribution is not None
    told = [study.headline.pnl_usd, study.bracket[0].pnl_usd, study.baselines[0].difference_usd]
    told += [study.attribution.total, *(each.per_share_usd for each in study.markouts)]
    assert len(told) > 5
    assert all((each.low, each.high) == (None, None) for each in told)
    assert study.baselines[0].p is None


def test_enough_periods_have_one_that_holds_the_mean() -> None:
    many = study_of(result_of_profits(*[0.1, 0.3] * (PERIODS_TO_SAY // 2))).headline.pnl_usd
    assert many.low is not None
    assert many.high is not None
    assert many.low < many.mean < many.high


def test_a_difference_is_ours_less_theirs_on_the_same_periods() -> None:
    ours = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.5])
    told = paired("bands", ours, ours - np.array([0.4, 0.5, 0.6, 0.4, 0.5, 0.6]))
    assert told.difference_usd.mean == pytest.approx(0.5)
    assert told.difference_usd.low is not None
    assert told.difference_usd.low > 0.0  # paired: the spread of the periods is not in it
    assert told.p is not None
    assert told.p < 0.1
    assert told.pnl_usd == estimate(ours - np.array([0.4, 0.5, 0.6, 0.4, 0.5, 0.6]))


def test_no_period_has_a_mean_of_nothing() -> None:
    assert estimate(np.zeros(0)) == (0.0, None, None, 0)


def test_unknown_outcomes_are_a_caveat() -> None:
    (caveat,) = [each for each in study_of(result_of_profits(0.1, 0.2)).caveats if "outcome" in each]
    assert caveat.startswith("2 of 2 periods have no known outcome")
    assert study_of(two_periods(), caveats=["ours"]).caveats[0] == "ours"


def test_a_share_of_the_volume_that_a_market_would_notice_is_a_caveat() -> None:
    assert any("20% of the public volume" in each for each in study_of(two_periods()).caveats)
    small = result_of_profits(0.1, 0.2, winner=0, public_units=to_micro(100.0))
    assert small.summary()["share_of_public_volume"] == 0.1
    assert study_of(small).caveats == ()


def test_a_run_without_a_fill_leaves_its_sections_out() -> None:
    result = result_of_profits(0.1, 0.2)
    result.run.periods["pnl_micro"] = 0
    silent = BacktestResult(result.run._replace(fills=result.run.fills[:0]), [_tape(result, place) for place in (0, 1)])
    study = study_of(silent)
    absent = [name for name in ("attribution", "markouts", "win_lose", "breakdowns") if not study.has(name)]
    assert absent == ["attribution", "markouts", "win_lose", "breakdowns"]
    assert study.headline.pnl_usd.mean == 0.0


def _tape(result: BacktestResult, place: int) -> Any:
    return tape_of(place, result.mids[place])


def test_uptime_names_the_reasons_that_held() -> None:
    result = two_periods()
    result.run.periods["reason_s"][0, 0] = 12.5
    uptime = study_of(result).uptime
    assert uptime is not None
    assert (uptime.observed_s, uptime.bid_s, uptime.ask_s, uptime.both_s) == (400.0, 200.0, 180.0, 200.0)
    assert list(uptime.reason_s.values()) == [12.5]


def test_settings_that_differ_are_named_with_both_values() -> None:
    changed = MMConfig.model_validate({"base_spread": 0.03, "limits": {"book_s": 1.0}})
    told = {each.name: each for each in settings_that_differ(changed)}
    assert set(told) == {"base_spread", "limits.book_s"}
    assert told["base_spread"].chosen == "0.03"
    assert told["base_spread"].usual == str(MMConfig().base_spread)
    assert settings_that_differ(changed, changed) == ()


@pytest.mark.parametrize(
    ("assumed", "remarks"),
    [
        ({}, []),
        ({"buys_opposite": False}, ["asks are placed only when CALL is held to sell"]),
        ({"requote_s": 0.1}, ["at least 100 ms between two requotes, where live there are none"]),
        (
            {"order": LatencyModel(0.1, 0.02), "cancel": LatencyModel(0.2, 0.005), "seed": 7},
            [
                "the latency of orders spreads by 20 ms, drawn with seed 7",
                "the latency of cancels spreads by 5 ms, drawn with seed 7",
            ],
        ),
    ],
)
def test_what_a_run_assumes_otherwise_than_live_is_remarked(assumed: dict[str, Any], remarks: list[str]) -> None:
    result = two_periods()
    options = result.run.options._replace(**assumed)
    other = BacktestResult(result.run._replace(options=options), [_tape(result, place) for place in (0, 1)])
    first, *others = study_of(other).model.remarks
    assert first == "our orders do not move the market, and nobody reacts to them"
    assert others == remarks

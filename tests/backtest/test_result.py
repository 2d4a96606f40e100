from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest.attribution import PARTS, Rows
from backtest.engine import Run, RunOptions, run
from backtest.records import ACTIONS, QUOTE_ROW, UNKNOWN
from backtest.result import PERIODS_TO_SAY, BacktestResult, max_drawdown
from backtest.tape import BOOK_ROW, STEP, TRADE_ROW, Tape
from shared.config import MMConfig, config_hash, load_config
from shared.messages import Period
from shared.money import MICRO, to_micro
from tests.backtest.builders import CALL, LENGTH_S, PUT, at, fill, mids, period, periods_of, rows_of
from tests.backtest.small_sample import small_tapes
from tests.builders import build

MARKET = "btc-5m"


def tape_of(place: int, path: Rows) -> Tape:
    """A tape of which only the period and the mids matter."""
    whole = build(
        Period,
        market=MARKET,
        slug=f"btc-updown-5m-{place}",
        start_ns=at(0, period=place),
        end_ns=at(LENGTH_S, period=place),
    )
    return Tape(
        whole, np.zeros(0, STEP), np.zeros(0, np.uint16), np.zeros(0, np.uint64), np.zeros(0, BOOK_ROW),
        np.zeros(0, np.int32), np.zeros(0), np.zeros(0, TRADE_ROW), path, None,
    )  # fmt: skip


def result_of(periods: Rows, fills: Rows, paths: list[Rows], quotes: Rows | None = None) -> BacktestResult:
    options = RunOptions(queue="pessimistic", keeps_quotes=quotes is not None)
    kept = np.zeros(0, QUOTE_ROW) if quotes is None else quotes
    tapes = [tape_of(place, path) for place, path in enumerate(paths)]
    return BacktestResult(Run(MMConfig(), options, periods, fills, kept, 0), tapes)


def two_periods() -> BacktestResult:
    """The first wins $3.11 with two fills, the second loses $5.22 with one."""
    fills = rows_of(
        [
            fill(at_s=100.0, price=0.49, mid=0.50, shares=10.0, rebate=0.01, layer=1, ahead_units=to_micro(3.0)),
            fill(at_s=200.0, outcome=PUT, price=0.40, mid=0.55, shares=5.0, layer=2, fair_value=math.nan),
            fill(period=1, at_s=50.0, price=0.52, mid=None, shares=10.0, fee=0.02, is_maker=0),
        ]
    )
    first = period(
        fills, winner=CALL, last_mid=0.6, traded_units=to_micro(15.0), public_units=to_micro(100.0),
        observed_s=300.0, bid_s=200.0, ask_s=180.0, both_s=150.0, orders=7, cancels=4, rejects=1,
        max_inventory_units=to_micro(10.0), events=1000,
    )  # fmt: skip
    second = period(
        fills, place=1, winner=PUT, last_mid=0.3, traded_units=to_micro(10.0), public_units=to_micro(25.0),
        observed_s=100.0, both_s=50.0, orders=2, max_inventory_units=to_micro(12.0), events=500,
    )  # fmt: skip
    first["fills"], second["fills"] = 2, 1
    paths = [mids((0.0, 0.5), (103.0, 0.47), (150.0, 0.55), (290.0, 0.6)), mids((0.0, 0.4), (200.0, 0.3), place=1)]
    return result_of(periods_of([first, second]), fills, paths)


def result_of_profits(*profits_usd: float, **fields: Any) -> BacktestResult:
    """One period each, in which a bought CALL comes to so much."""
    fills = [fill(period=place, price=0.5 - usd / 10.0, shares=10.0) for place, usd in enumerate(profits_usd)]
    fields = {"winner": UNKNOWN, "last_mid": 0.5, "traded_units": to_micro(10.0)} | fields
    rows = [period(each, place=place, **fields) for place, each in enumerate(fills)]
    paths = [mids((0.0, 0.5), place=place) for place in range(len(fills))]
    return result_of(periods_of(rows), rows_of(fills), paths)


def test_every_fill_is_a_row_in_dollars_shares_and_utc() -> None:
    table = two_periods().fills_df()
    assert table["time"].tolist() == [pd.Timestamp(ns, tz="UTC") for ns in (at(100), at(200), at(50, period=1))]
    assert table["slug"].tolist() == ["btc-updown-5m-0", "btc-updown-5m-0", "btc-updown-5m-1"]
    assert table["outcome"].tolist() == ["CALL", "PUT", "CALL"]
    assert set(table["side"]) == {"buy"}
    assert table["price"].tolist() == [0.49, 0.40, 0.52]
    assert table["shares"].tolist() == [10.0, 5.0, 10.0]
    assert table["is_maker"].tolist() == [True, True, False]
    assert table["layer"].tolist() == [1, 2, 0]
    assert table["ahead_shares"].tolist() == [3.0, 0.0, 0.0]
    assert table["time_left_s"].tolist() == [200.0, 100.0, 250.0]
    assert table["call_mid"].tolist()[:2] == [0.50, 0.55]
    assert math.isnan(table["call_mid"][2])
    assert set(table["phase"]) == {"mid"}
    first = table.iloc[0]
    assert first["realised_usd"] == pytest.approx(10 * (0.47 - 0.49))
    assert first["adverse_usd"] == pytest.approx(10 * (0.50 - 0.47))
    assert first["inventory_usd"] == pytest.approx(10 * (0.60 - 0.50))
    assert first["settlement_usd"] == pytest.approx(10 * (1.0 - 0.60))
    assert (first["rebate_usd"], first["pnl_usd"]) == (0.01, 5.11)
    assert table["pnl_usd"].tolist() == [5.11, -2.0, -5.22]


def test_a_sale_is_called_one() -> None:
    fills = rows_of([fill(side=-1)])
    assert result_of(periods_of([period(fills)]), fills, [mids((0.0, 0.5))]).fills_df()["side"].tolist() == ["sell"]


def test_every_period_is_a_row_whose_money_adds_up() -> None:
    table = two_periods().periods_df()
    assert table["slug"].tolist() == ["btc-updown-5m-0", "btc-updown-5m-1"]
    assert table["market"].tolist() == [MARKET, MARKET]
    assert table["winner"].tolist() == ["CALL", "PUT"]
    assert table["cash_usd"].tolist() == [-6.9, -5.2]
    assert table["payout_usd"].tolist() == [10.0, 0.0]
    assert table["fees_usd"].tolist() == [0.0, 0.02]
    assert table["rebates_usd"].tolist() == [0.01, 0.0]
    assert table["pnl_usd"].tolist() == [3.11, -5.22]
    assert (table["call_shares"].tolist(), table["put_shares"].tolist()) == ([10.0, 10.0], [5.0, 0.0])
    assert (table["shares"].tolist(), table["public_shares"].tolist()) == ([15.0, 10.0], [100.0, 25.0])
    assert table["two_sided_s"].tolist() == [150.0, 50.0]
    assert table["realised_usd"][0] == pytest.approx(10 * (0.47 - 0.49) + 5 * (0.45 - 0.40))


@pytest.mark.parametrize("is_real", [False, True])
def test_the_parts_of_the_fills_are_the_profit_of_their_period_to_the_micro_dollar(is_real: bool) -> None:
    result = two_periods()
    if is_real:
        tapes = small_tapes()
        result = BacktestResult(run(tapes, load_config(), RunOptions(queue="optimistic")), tapes)
    fills, periods = result.fills_df(), result.periods_df().set_index("slug")
    assert len(fills) > 2
    names = [name.replace("_micro", "_usd") for name in PARTS]
    signed = fills[names].sum(axis=1) - fills["fee_usd"] + fills["rebate_usd"]
    assert np.rint(MICRO * signed).tolist() == np.rint(MICRO * fills["pnl_usd"]).tolist()
    by_period = fills.groupby("slug")["pnl_usd"].sum().reindex(periods.index, fill_value=0.0)
    assert np.rint(MICRO * by_period).tolist() == np.rint(MICRO * periods["pnl_usd"]).tolist()
    of_periods = periods[names].sum(axis=1) - periods["fees_usd"] + periods["rebates_usd"]
    assert np.rint(MICRO * of_periods).tolist() == np.rint(MICRO * periods["pnl_usd"]).tolist()


def test_equity_is_cumulative_by_end_and_drawdown_is_below_the_peak() -> None:
    table = two_periods().equity_df()
    assert table["equity_usd"].tolist() == [3.11, -2.11]
    assert table["drawdown_usd"].tolist() == pytest.approx([0.0, 5.22])
    assert table["end_ns"].tolist() == [at(LENGTH_S), at(LENGTH_S, period=1)]


def test_periods_that_were_run_out_of_order_have_their_equity_and_drawdown_in_order_of_time() -> None:
    result = result_of_profits(2.0, -1.0, 1.0)
    result.run.periods["end_ns"] = [at(900), at(300), at(600)]
    assert result.equity_df()["pnl_usd"].tolist() == [-1.0, 1.0, 2.0]
    assert result.equity_df()["equity_usd"].tolist() == [-1.0, 0.0, 2.0]
    assert result.summary()["max_drawdown_usd"] == 1.0


def test_a_drawdown_counts_from_nothing_won_yet() -> None:
    assert max_drawdown(np.array([-1.0, -2.0, 5.0, -1.0])) == 3.0
    assert max_drawdown(np.array([1.0, 2.0])) == 0.0
    assert max_drawdown(np.zeros(0)) == 0.0


def test_the_summary_holds_the_numbers_one_looks_at_first() -> None:
    summary = two_periods().summary()
    assert summary.pop("sharpe_per_period") == pytest.approx(-1.055 / np.std([3.11, -5.22], ddof=1))
    assert summary.pop("pnl_usd") == pytest.approx(-2.11)
    assert summary.pop("pnl_per_period_usd") == pytest.approx(-1.055)
    assert summary.pop("max_drawdown_usd") == pytest.approx(5.22)
    assert summary == {
        "config_hash": config_hash(MMConfig()),
        "queue": "pessimistic",
        "strategy": "engine",
        "periods": 2,
        "pnl_per_period_low_usd": None,
        "pnl_per_period_high_usd": None,
        "won": 1,
        "lost": 1,
        "fills": 3,
        "shares": 25.0,
        "share_of_public_volume": 0.2,
        "fees_usd": 0.02,
        "rebates_usd": 0.01,
        "orders": 9,
        "cancels": 4,
        "rejects": 1,
        "max_inventory_shares": 12.0,
        "observed_s": 400.0,
        "two_sided_share": 0.5,
        "unknown_outcomes": 0,
        "events": 1500,
    }


def test_an_interval_needs_enough_periods_and_holds_the_mean() -> None:
    few = result_of_profits(*[0.1, 0.3] * 3)
    assert len(few.pnl_usd) == PERIODS_TO_SAY
    summary = few.summary()
    assert summary["pnl_per_period_low_usd"] < summary["pnl_per_period_usd"] < summary["pnl_per_period_high_usd"]
    assert summary == few.summary()  # the resampling has a seed
    assert result_of_profits(0.1, 0.3, 0.1, 0.3, 0.2).summary()["pnl_per_period_low_usd"] is None


def test_a_run_without_a_fill_has_empty_tables_and_no_made_up_shares() -> None:
    result = result_of(periods_of([period()]), rows_of([]), [mids()])
    assert len(result.fills_df()) == 0
    assert result.periods_df()["pnl_usd"].tolist() == [0.0]
    summary = result.summary()
    assert (summary["share_of_public_volume"], summary["two_sided_share"]) == (None, None)
    assert summary["sharpe_per_period"] is None


def test_an_unknown_outcome_is_counted_and_named_none() -> None:
    result = result_of_profits(0.1, 0.2)
    assert result.summary()["unknown_outcomes"] == 2
    assert result.periods_df()["winner"].tolist() == [None, None]


def test_quotes_are_prices_where_a_layer_stands_and_nothing_where_none_does() -> None:
    quotes = np.zeros(1, QUOTE_ROW)
    quotes["ts_ns"], quotes["action"], quotes["tick_micro"] = at(7), ACTIONS.index("QUOTE_BID_ONLY"), 10_000
    quotes["mid_micro"], quotes["inventory_units"] = UNKNOWN, to_micro(-4.0)
    quotes["bid_ticks"][0, :2], quotes["bid_shares"][0, :2] = (48, 46), (5.0, 10.0)
    row = result_of(periods_of([period()]), rows_of([]), [mids()], quotes).quotes_df().iloc[0]
    assert (row["action"], row["slug"], row["time"]) == (
        "QUOTE_BID_ONLY", "btc-updown-5m-0", pd.Timestamp(at(7), tz="UTC"),
    )  # fmt: skip
    assert (row["bid_0"], row["bid_1"], row["bid_1_shares"]) == (pytest.approx(0.48), pytest.approx(0.46), 10.0)
    assert math.isnan(row["bid_2"])
    assert math.isnan(row["ask_0"])
    assert math.isnan(row["call_mid"])
    assert row["inventory_shares"] == -4.0


def test_quotes_that_were_not_kept_are_asked_for_by_name() -> None:
    with pytest.raises(ValueError, match="keeps_quotes=True"):
        two_periods().quotes_df()


def test_tapes_of_another_run_are_refused() -> None:
    with pytest.raises(ValueError, match="2 periods and 1 tapes"):
        BacktestResult(two_periods().run, [tape_of(0, mids())])


def test_the_plot_shows_the_equity() -> None:
    (axes, *_) = two_periods().plot().axes
    drawn = [line.get_ydata()[-1] for line in axes.get_lines() if len(line.get_ydata())]
    assert any(last == pytest.approx(-2.11) for last in drawn)

"""Every table adds up to the run, and rows that had nothing are there with zeros."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest.attribution import attribute_fills, attribute_periods
from backtest.breakdowns import (
    by_layer,
    by_phase,
    by_regime,
    by_side,
    by_time_left,
    by_token,
    not_quoting,
    uptime,
)
from backtest.records import ACTIONS
from services.quoter.action import RULES
from services.quoter.records import PHASES, REGIMES
from tests.backtest.builders import CALL, PUT, fill, mids, period, periods_of, rows_of

EARLY, LATE = PHASES.index("early"), PHASES.index("late")
QUIET, VOLATILE = REGIMES.index("quiet"), REGIMES.index("volatile")


def a_run() -> tuple[Any, pd.DataFrame, Any]:
    fills = rows_of(
        [
            fill(at_s=20.0, price=0.49, shares=10.0, phase=EARLY, regime=QUIET, layer=0, rebate=0.02),
            fill(at_s=260.0, price=0.40, shares=5.0, phase=LATE, regime=VOLATILE, layer=2, side=-1, fee=0.01),
            fill(at_s=290.0, price=0.30, shares=20.0, phase=LATE, regime=VOLATILE, layer=0, outcome=PUT),
            fill(period=1, at_s=30.0, price=0.70, shares=8.0, phase=EARLY, regime=QUIET, layer=1, outcome=PUT, side=-1),
            fill(period=1, at_s=301.0, price=0.20, shares=1.0, phase=LATE, regime=QUIET, layer=0, mid=None),
        ]
    )
    whole = periods_of(
        [
            period(
                fills,
                place=place,
                winner=winner,
                observed_s=300.0,
                bid_s=200.0 + place,
                ask_s=100.0,
                both_s=90.0,
                phase_s=np.arange(len(PHASES)),
                regime_s=2.0 * np.arange(len(REGIMES)),
                action_s=10.0 * np.arange(len(ACTIONS)),
                reason_s=np.where([rule.label in ("oracle_stale", "momentum_up") for rule in RULES], 5.0 + place, 0.0)
                + np.where([rule.label == "spot_stale" for rule in RULES], 50.0, 0.0),
            )
            for place, winner in enumerate((CALL, PUT))
        ]
    )
    paths = [mids((0.0, 0.5), (24.0, 0.52), (262.0, 0.55), place=place) for place in range(2)]
    return fills, attribute_fills(fills, whole, paths), whole


def test_every_table_adds_up_to_the_run() -> None:
    fills, parts, whole = a_run()
    tables = [
        by_phase(fills, parts, whole),
        by_regime(fills, parts, whole),
        by_time_left(fills, parts),
        by_layer(fills, parts),
        by_side(fills, parts, whole),
        by_token(fills, parts),
    ]
    run = attribute_periods(parts, whole).sum() / 1e6
    for table in tables:
        assert table["fills"].sum() == 5
        assert table["shares"].sum() == pytest.approx(44.0)
        for name in ("realised", "adverse", "inventory", "settlement", "unattributed", "fee", "rebate", "pnl"):
            assert table[f"{name}_usd"].sum() == pytest.approx(run[f"{name}_micro"])
        assert np.allclose(table["spread_capture_usd"], table["realised_usd"] + table["adverse_usd"])
        gross = table[["spread_capture_usd", "inventory_usd", "settlement_usd", "unattributed_usd", "rebate_usd"]].sum(
            axis=1
        )
        assert np.allclose(gross - table["fee_usd"], table["pnl_usd"])


def test_phases_and_regimes_are_all_there_with_the_seconds_quoted() -> None:
    fills, parts, whole = a_run()
    phases = by_phase(fills, parts, whole)
    assert list(phases.index) == list(PHASES)
    assert phases.loc["early", "fills"] == 2
    assert phases.loc["late", "fills"] == 3
    assert phases["quoted_s"].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert phases.loc["mid", "pnl_usd"] == 0.0
    regimes = by_regime(fills, parts, whole)
    assert list(regimes.index) == list(REGIMES)
    assert regimes.loc["volatile", "shares"] == pytest.approx(25.0)
    assert regimes.loc["volatile", "quoted_s"] == 20.0


def test_a_markout_counts_only_fills_whose_split_is_known() -> None:
    fills, parts, whole = a_run()
    table = by_layer(fills, parts)
    # 10 shares at 0.49, the mid 0.52 later; 20 PUT at 0.30, CALL 0.55 later; one share unknown
    assert table.loc[0, "markout_usd_per_share"] == pytest.approx((10 * 0.03 + 20 * 0.15) / 30)
    assert table.loc[0, "fills"] == 3
    assert math.isnan(by_phase(fills, parts, whole).loc["final", "markout_usd_per_share"])


def test_time_left_includes_the_lower_edge_and_names_what_came_after_the_end() -> None:
    fills, parts, _ = a_run()
    table = by_time_left(fills, parts, edges_s=[10.0, 40.0, 275.0])
    assert list(table.index) == ["ended", "0-10 s", "10-40 s", "40-275 s", "275 s and more"]
    assert table["fills"].tolist() == [1, 0, 1, 2, 1]  # 10 s left is in 10-40 s, 40 s left in 40-275 s
    with pytest.raises(ValueError, match="ascending"):
        by_time_left(fills, parts, edges_s=[10.0, 5.0])
    with pytest.raises(ValueError, match="above 0"):
        by_time_left(fills, parts, edges_s=[0.0])


def test_sides_are_those_of_the_ladder_and_tokens_those_of_the_trade() -> None:
    fills, parts, whole = a_run()
    sides = by_side(fills, parts, whole)
    assert sides["fills"].to_dict() == {"bid": 3, "ask": 2}
    assert sides["shares"].to_dict() == pytest.approx({"bid": 10.0 + 8.0 + 1.0, "ask": 5.0 + 20.0})
    assert sides["quoted_s"].to_dict() == {"bid": 401.0, "ask": 200.0}
    assert by_token(fills, parts)["fills"].to_dict() == {"buy CALL": 2, "sell CALL": 1, "buy PUT": 1, "sell PUT": 1}


def test_uptime_and_reasons_are_shares_of_what_was_observed() -> None:
    _, _, whole = a_run()
    up = uptime(whole)
    assert up.loc["observed", "seconds"] == 600.0
    assert up.loc["bid", "share_of_observed"] == pytest.approx(401.0 / 600.0)
    assert up.loc["both", "seconds"] == 180.0
    assert up.loc["QUOTE_BOTH", "seconds"] == 80.0
    reasons = not_quoting(whole)
    assert list(reasons.index) == ["spot_stale", "oracle_stale", "momentum_up"]
    assert reasons["seconds"].tolist() == [100.0, 11.0, 11.0]
    assert reasons.loc["momentum_up", "action"] == "QUOTE_BID_ONLY"
    assert reasons.loc["spot_stale", "share_of_observed"] == pytest.approx(1.0 / 6.0)


def test_an_empty_run_has_empty_tables() -> None:
    nothing = rows_of([])
    whole = periods_of([period()])
    parts = attribute_fills(nothing, whole, [mids()])
    assert len(by_layer(nothing, parts)) == 0
    assert by_phase(nothing, parts, whole)["fills"].tolist() == [0] * len(PHASES)
    assert math.isnan(uptime(whole).loc["bid", "share_of_observed"])
    assert len(not_quoting(whole)) == 0


def test_parts_of_other_fills_are_refused() -> None:
    fills, parts, _ = a_run()
    with pytest.raises(ValueError, match="parts of these fills"):
        by_layer(fills[:2], parts)

"""Every micro-dollar of a fill and of a period has a place, and what is not known is named and not guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.attribution import PARTS, attribute_fills, attribute_periods, booked_micro
from backtest.records import UNKNOWN
from shared.money import MICRO, product_micro
from tests.backtest.builders import CALL, LENGTH_S, PUT, fill, mids, period, periods_of, rows_of
from tests.shared.test_digital import vectors

PRICES = st.integers(1, MICRO - 1)
MIDS = st.one_of(st.none(), PRICES)


def parts_of(row: Any, path: Any, *, horizon_s: float = 5.0, **ends: Any) -> dict[str, int]:
    table = attribute_fills(row, period(row, **ends), [path], horizon_s=horizon_s)
    return {str(name): int(part) for name, part in table.iloc[0].items()}


def dollars(parts: dict[str, int], name: str) -> float:
    return parts[name] / MICRO


def test_a_bought_call_is_split_into_what_it_captured_what_then_moved_and_what_the_outcome_brought() -> None:
    row = fill(price=0.49, mid=0.50, shares=10.0, at_s=100.0, fee=0.02, rebate=0.01)
    parts = parts_of(row, mids((0.0, 0.5), (103.0, 0.47), (106.0, 0.9)), last_mid=0.6, winner=CALL)
    assert dollars(parts, "realised_micro") == pytest.approx(-0.2)  # 0.47 - 0.49
    assert dollars(parts, "adverse_micro") == pytest.approx(0.3)  # 0.50 - 0.47
    assert dollars(parts, "inventory_micro") == pytest.approx(1.0)  # 0.60 - 0.50
    assert dollars(parts, "settlement_micro") == pytest.approx(4.0)  # 1 - 0.60
    assert parts["unattributed_micro"] == 0
    assert dollars(parts, "pnl_micro") == pytest.approx(5.1 - 0.02 + 0.01)


def test_buying_put_is_selling_call_at_one_minus_the_price() -> None:
    path = mids((0.0, 0.52), (104.0, 0.55))
    bought = parts_of(fill(outcome=PUT, side=1, price=0.47, mid=0.52), path)
    sold = parts_of(fill(outcome=CALL, side=-1, price=0.53, mid=0.52), path)
    assert bought == sold
    assert dollars(bought, "realised_micro") == pytest.approx(-0.2)


def test_the_published_ledger_is_attributed_to_the_cent() -> None:
    case = vectors("backtest_stats.json")["attribution"]
    rows, path, fair = [], [], 0.0
    for number, event in enumerate(case["ledger"]):
        at_s = 10.0 * (number + 1)
        if event[0] == "fair":
            fair = event[1]
            path.append((at_s, fair))
        elif event[0] == "fill":
            _, shares, price, fee, rebate = event
            # the ledger books fees and rebates a share
            amount = abs(shares)
            side = 1 if shares > 0 else -1
            rows.append(
                fill(
                    at_s=at_s, side=side, price=price, shares=amount, mid=fair, fee=fee * amount, rebate=rebate * amount
                )
            )
    fills = rows_of(rows)
    whole = periods_of([period(fills, winner=CALL, last_mid=fair)])
    parts = attribute_periods(attribute_fills(fills, whole, [mids(*path)], horizon_s=15.0), whole).iloc[0]
    assert parts["realised_micro"] + parts["adverse_micro"] == round(case["spread_capture"] * MICRO)
    assert parts["inventory_micro"] == round(case["inventory"] * MICRO)
    assert parts["settlement_micro"] == round(case["settlement"] * MICRO)
    assert -parts["fee_micro"] == round(case["fees"] * MICRO)
    assert parts["rebate_micro"] == round(case["rebates"] * MICRO)
    assert parts["unattributed_micro"] == 0
    assert parts["pnl_micro"] == round(case["total"] * MICRO)


def test_effective_realised_and_adverse_agree_with_the_hand_checked_fills() -> None:
    for case in vectors("toxicity.json")["markouts"]:
        row = fill(
            outcome=PUT if case["side"].endswith("down") else CALL,
            side=1 if "buy" in case["side"] else -1,
            price=case["token_price"],
            shares=case["size"],
            mid=case["fair_up_at_fill"],
        )
        winner = CALL if case["payoff_up"] else PUT
        parts = parts_of(row, mids((0.0, 0.5), (102.0, case["fair_up_at_h"])), winner=winner)
        assert dollars(parts, "realised_micro") == pytest.approx(case["markout_usd"])
        assert dollars(parts, "adverse_micro") == pytest.approx(case["adverse_selection"] * case["size"])
        assert dollars(parts, "pnl_micro") == pytest.approx(case["settlement_pnl"])


def test_a_horizon_beyond_the_end_is_cut_at_the_last_mid() -> None:
    row = fill(at_s=LENGTH_S - 2.0, price=0.49, mid=0.50)
    parts = parts_of(row, mids((0.0, 0.5)), last_mid=0.53)
    assert dollars(parts, "realised_micro") == pytest.approx(0.4)
    assert dollars(parts, "adverse_micro") == pytest.approx(-0.3)


def test_an_unknown_mid_leaves_the_capture_unattributed() -> None:
    path = mids((0.0, 0.5), (102.0, None))
    no_later = parts_of(fill(price=0.49, mid=0.5), path)
    assert no_later["realised_micro"] == no_later["adverse_micro"] == no_later["is_split"] == 0
    assert dollars(no_later, "unattributed_micro") == pytest.approx(0.1)
    assert dollars(no_later, "inventory_micro") == pytest.approx(1.0)
    no_before = parts_of(fill(price=0.49, mid=None), mids((0.0, 0.5)))
    assert no_before["realised_micro"] == no_before["inventory_micro"] == 0
    assert dollars(no_before, "unattributed_micro") == pytest.approx(1.1)
    assert dollars(no_before, "settlement_micro") == pytest.approx(4.0)


def test_without_a_winner_shares_count_at_the_last_mid_and_nothing_settles() -> None:
    parts = parts_of(fill(price=0.49, mid=0.5), mids((0.0, 0.5)), winner=UNKNOWN, last_mid=0.6)
    assert parts["settlement_micro"] == 0
    assert dollars(parts, "pnl_micro") == pytest.approx(1.1)


def test_shares_that_nobody_can_value_leave_their_cash_unattributed() -> None:
    row = fill(price=0.49, mid=None, fee=0.01)
    whole = period(row, winner=UNKNOWN, last_mid=None)
    parts = attribute_fills(row, whole, [mids()])
    assert parts["unattributed_micro"][0] == -4_900_000
    assert attribute_periods(parts, whole)["pnl_micro"][0] == -4_910_000


@st.composite
def runs(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    places = draw(st.integers(1, 3))
    rows = [
        fill(
            period=draw(st.integers(0, places - 1)),
            at_s=draw(st.floats(0.0, LENGTH_S - 0.001)),
            outcome=draw(st.sampled_from([CALL, PUT])),
            side=draw(st.sampled_from([1, -1])),
            price_micro=draw(PRICES),
            units=draw(st.integers(1, 10**12)),
            mid_micro=draw(st.one_of(st.just(UNKNOWN), PRICES)),
            fee_micro=draw(st.integers(0, 10**6)),
            rebate_micro=draw(st.integers(0, 10**6)),
        )
        for _ in range(draw(st.integers(0, 12)))
    ]
    fills = rows_of(rows)
    ends = [
        {
            "winner": draw(st.sampled_from([CALL, PUT, UNKNOWN])),
            "last_mid": None if (mid := draw(MIDS)) is None else mid / MICRO,
        }
        for _ in range(places)
    ]
    whole = periods_of([period(fills, place=place, **end) for place, end in enumerate(ends)])
    paths = [
        mids(
            *(
                (30.0 * step, None if (mid := draw(MIDS)) is None else mid / MICRO)
                for step in range(draw(st.integers(0, 8)))
            ),
            place=place,
        )
        for place in range(places)
    ]
    return fills, whole, paths


@given(run=runs(), horizon_s=st.sampled_from([0.5, 5.0, 60.0, 1000.0]))
def test_the_parts_add_up_to_cash_plus_payout_less_fee_plus_rebate_to_the_unit(run: Any, horizon_s: float) -> None:
    fills, whole, paths = run
    parts = attribute_fills(fills, whole, paths, horizon_s=horizon_s)
    for row, each in zip(parts.itertuples(), fills, strict=True):
        side, units, outcome = int(each["side"]), int(each["units"]), int(each["outcome"])
        end = whole[each["period"]]
        last = int(end["last_mid_micro"])
        cash = -side * product_micro(int(each["price_micro"]), units)
        if end["winner"] != UNKNOWN:
            payout = side * units * int(end["winner"] == outcome)
        elif last != UNKNOWN:
            payout = side * product_micro(last if outcome == CALL else MICRO - last, units)
        else:
            payout = 0
        assert row.pnl_micro == cash + payout - each["fee_micro"] + each["rebate_micro"]
        if each["mid_micro"] != UNKNOWN and last != UNKNOWN and row.is_split:
            assert row.unattributed_micro == 0
    add_up(parts)
    sums = attribute_periods(parts, whole)
    add_up(sums)
    booked = whole["cash_micro"] + whole["payout_micro"] - whole["fee_micro"] + whole["rebate_micro"]
    assert np.array_equal(sums["pnl_micro"], booked)


def add_up(table: pd.DataFrame) -> None:
    total = table[list(PARTS)].sum(axis=1) - table["fee_micro"] + table["rebate_micro"]
    assert np.array_equal(total, table["pnl_micro"])


@given(price=PRICES, units=st.integers(0, 10**12))
def test_amounts_are_booked_as_the_ledger_books_them(price: int, units: int) -> None:
    assert booked_micro(np.array([price]), np.array([units]))[0] == product_micro(price, units)


def test_ties_are_booked_to_even() -> None:
    assert booked_micro(np.array([500_000] * 3), np.array([1, 3, 5])).tolist() == [0, 2, 2]


def test_a_period_that_booked_something_else_is_refused() -> None:
    row = fill()
    whole = period(row)
    whole["pnl_micro"] += 1
    with pytest.raises(ValueError, match="not its fills"):
        attribute_periods(attribute_fills(row, whole, [mids()]), whole)


def test_what_does_not_fit_together_is_refused() -> None:
    row, whole = fill(), period()
    with pytest.raises(ValueError, match="horizon"):
        attribute_fills(row, whole, [mids()], horizon_s=0.0)
    with pytest.raises(ValueError, match="one for each"):
        attribute_fills(row, whole, [])
    with pytest.raises(ValueError, match="there are 1"):
        attribute_fills(fill(period=1), whole, [mids()])


def test_a_run_without_fills_has_periods_of_zeros() -> None:
    whole = periods_of([period(), period(place=1)])
    parts = attribute_fills(rows_of([]), whole, [mids(), mids()])
    assert len(parts) == 0
    assert attribute_periods(parts, whole)["pnl_micro"].tolist() == [0, 0]

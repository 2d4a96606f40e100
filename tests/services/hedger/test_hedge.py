"""The analysis knows parity, never sells what is not there, and recommends what is worth most."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.hedger.hedge import HedgeAnalyzer, answer_hedge
from services.hedger.hedge_inputs import (
    Fees,
    HedgeBook,
    HedgeError,
    HedgePosition,
    HedgePrices,
    OtherPosition,
)
from services.hedger.hedge_report import Alternative, HedgeReport, group_rows
from shared.fees import FEE_STEP_MICRO
from shared.messages import OutcomeBook, Period
from shared.money import MICRO, from_micro
from shared.requests import Answer, decode_answer, encode_answer
from tests.builders import NS, START_S, build
from tests.services.hedger.test_hedge_inputs import CRYPTO, vectors
from tests.services.hedger.test_pnl import order as open_order

Pairs = tuple[tuple[float, float], ...]
BIDS: Pairs = ((0.55, 30), (0.54, 60), (0.52, 100))
ASKS: Pairs = ((0.57, 50), (0.58, 80))
TRADES = ("hold", "close_now", "buy_opposite", "buy_opposite_and_merge", "merge_pairs", "reduce")


def mirrored(pairs: Pairs) -> Pairs:
    return tuple((round(1 - price, 6), shares) for price, shares in pairs)


def prices(bids: Pairs = BIDS, asks: Pairs = ASKS, **fields: Any) -> HedgePrices:
    """A market whose two books mirror exactly."""
    given_fields = {
        "fair": 0.56,
        "time_left_s": 600.0,
        "call": HedgeBook(outcome="CALL", bids=bids, asks=asks),
        "put": HedgeBook(outcome="PUT", bids=mirrored(asks), asks=mirrored(bids)),
    }
    return HedgePrices(**(given_fields | fields))


def analyze(
    call: float = 100.0,
    put: float = 0.0,
    *,
    market: HedgePrices | None = None,
    gamma: float = 0.01,
    fees: Fees = CRYPTO,
    **fields: Any,
) -> HedgeReport:
    position = HedgePosition(
        call_shares=call, put_shares=put, call_average_price=0.52, put_average_price=0.45, **fields
    )
    return HedgeAnalyzer(gamma_per_usd=gamma, fees=fees).analyze(position, market or prices())


def worth(alternative: Alternative) -> float:
    assert alternative.certainty_equivalent_usd is not None
    return alternative.certainty_equivalent_usd


def test_the_reduction_of_the_reference_is_recommended() -> None:
    for case in vectors("fees_hedging.json")["optimal_reduce"]:
        report = analyze(case["N"], market=prices(fair=case["p"]), gamma=case["gamma"])
        reduced = report.alternative("reduce")
        assert from_micro(reduced.orders[0].units) == case["result"]["sold"]
        assert reduced.cash_micro == pytest.approx(case["result"]["net_cash"] * MICRO, abs=3 * FEE_STEP_MICRO / 2)
        assert report.alternative(report.recommendation.name).result == reduced.result


def test_pairs_are_cash_and_only_the_rest_is_at_risk() -> None:
    for case in vectors("pairs_merge.json")["cases"]:
        position = HedgePosition(
            call_shares=case["up"],
            put_shares=case["down"],
            call_average_price=case["avg_up"],
            put_average_price=case["avg_down"],
        )
        report = HedgeAnalyzer(gamma_per_usd=0.0, fees=CRYPTO).analyze(position, prices(fair=case["p"]))
        hold = report.alternative("hold")
        assert hold.expected_usd == pytest.approx(case["fair_pnl"], abs=1e-9)
        assert hold.worst_case_usd == pytest.approx(case["worst_case"], abs=1e-9)
        assert hold.deviation_usd == pytest.approx(case["var"] ** 0.5, abs=1e-9)
        merged = report.alternative("merge_pairs")
        if case["mergeable"]:
            assert merged.cash_micro == case["mergeable"] * MICRO
            assert merged.result == (case["net_up"] * MICRO, hold.result[1])
            assert worth(merged) == worth(hold)
        else:
            assert merged.why_not == "no pairs are held"


sizes = st.integers(1, 400).map(lambda hundredths: hundredths / 4)
sides = st.lists(st.tuples(st.integers(1, 49), sizes), max_size=5)


def book_pairs(steps: list[tuple[int, float]], *, is_bid: bool) -> Pairs:
    return tuple(((step if is_bid else 100 - step) / 100, shares) for step, shares in steps)


@given(
    held=sizes,
    put=st.booleans(),
    bids=sides,
    asks=sides,
    fair=st.floats(0.01, 0.99),
    gamma=st.sampled_from([0.0, 0.001, 0.01, 0.1]),
    rate=st.sampled_from([0.0, 0.03, 0.07]),
)
@settings(max_examples=150, deadline=None)
def test_in_mirrored_books_selling_is_buying_the_opposite_and_merging_to_the_micro_dollar(
    held: float,
    put: bool,
    bids: list[tuple[int, float]],
    asks: list[tuple[int, float]],
    fair: float,
    gamma: float,
    rate: float,
) -> None:
    market = prices(book_pairs(bids, is_bid=True), book_pairs(asks, is_bid=False), fair=fair)
    report = analyze(0 if put else held, held if put else 0, market=market, gamma=gamma, fees=Fees(rate=rate))
    sell, merge = report.alternative("close_now"), report.alternative("buy_opposite_and_merge")
    assert report.parity.mirrors
    assert sell.status == merge.status
    if sell.status == "possible":
        assert (sell.cash_micro, sell.fee_micro, sell.result) == (merge.cash_micro, merge.fee_micro, merge.result)
        assert report.parity.sell_net_usd == report.parity.opposite_net_usd
        assert "the same trade" in report.parity.text


@given(
    call=sizes,
    put=sizes,
    sides_of=st.tuples(sides, sides, sides, sides),
    fair=st.floats(0.01, 0.99),
    gamma=st.sampled_from([0.0, 0.003, 0.03]),
)
@settings(max_examples=200, deadline=None)
def test_no_way_out_beats_the_optimum_or_sells_more_than_is_held_or_bid_and_nothing_is_certain_to_beat_its_mean(
    call: float, put: float, sides_of: tuple[list[tuple[int, float]], ...], fair: float, gamma: float
) -> None:
    call_book = HedgeBook(
        outcome="CALL", bids=book_pairs(sides_of[0], is_bid=True), asks=book_pairs(sides_of[1], is_bid=False)
    )
    put_book = HedgeBook(
        outcome="PUT", bids=book_pairs(sides_of[2], is_bid=True), asks=book_pairs(sides_of[3], is_bid=False)
    )
    report = analyze(call, put, market=prices(call=call_book, put=put_book, fair=fair), gamma=gamma)
    best = worth(report.alternative(report.recommendation.name))
    held = {"CALL": report.position.call_units, "PUT": report.position.put_units}
    books = {"CALL": call_book, "PUT": put_book}
    for each in report.alternatives:
        if each.expected_usd is not None and each.worst_case_usd is not None:
            assert each.worst_case_usd <= each.expected_usd + 1e-9
        for order in each.orders:
            assert order.units >= 5 * MICRO
            if order.side == "sell":
                assert order.units <= held[order.outcome]
            if not order.is_maker:
                offered = books[order.outcome].bid_levels if order.side == "sell" else books[order.outcome].ask_levels
                assert order.units <= sum(level.units for level in offered)
        if each.status != "possible":
            continue
        assert worth(each) <= best + 1e-6
        if report.alternative("reduce").status == "possible":
            assert worth(each) <= worth(report.alternative("reduce")) + 1e-6
        assert each.expected_usd is not None
        assert worth(each) <= each.expected_usd + 1e-9
        assert each.call_units_left is not None
        assert each.put_units_left is not None
        assert min(each.call_units_left, each.put_units_left) >= 0


whole_sizes = st.integers(5, 100).map(float)
whole_sides = st.lists(st.tuples(st.integers(1, 49), whole_sizes), min_size=1, max_size=4)


@given(
    held=st.integers(5, 200),
    bids=whole_sides,
    asks=whole_sides,
    more=st.tuples(st.integers(1, 49), whole_sizes),
    in_put=st.booleans(),
    fair=st.floats(0.01, 0.99),
)
@settings(max_examples=150, deadline=None)
def test_more_depth_never_hurts(
    held: int,
    bids: list[tuple[int, float]],
    asks: list[tuple[int, float]],
    more: tuple[int, float],
    in_put: bool,
    fair: float,
) -> None:
    def best(bids: list[tuple[int, float]], asks: list[tuple[int, float]]) -> float:
        market = prices(
            call=HedgeBook(outcome="CALL", bids=book_pairs(bids, is_bid=True)),
            put=HedgeBook(outcome="PUT", asks=book_pairs(asks, is_bid=False)),
            fair=fair,
            min_size_shares=0.0,  # below it an order is impossible, whatever the depth
        )
        return worth(analyze(held, market=market).alternative("reduce"))

    deeper = best(bids if in_put else [*bids, more], [*asks, more] if in_put else asks)
    assert deeper >= best(bids, asks) - 2e-6  # each level's fee is rounded


def test_without_fees_or_aversion_closing_at_the_fair_value_is_a_matter_of_taste() -> None:
    market = prices(((0.55, 1000.0),), ((0.57, 1000.0),), fair=0.55)
    report = analyze(market=market, gamma=0.0, fees=Fees(rate=0.0))
    assert worth(report.alternative("close_now")) == pytest.approx(worth(report.alternative("hold")), abs=1e-9)
    assert analyze(market=market, gamma=0.001, fees=Fees(rate=0.0)).recommendation.name == "close_now"


def test_a_tie_changes_no_alternative_without_an_unpaired_share() -> None:
    """Who wins a tie is in the fair value; what is paired or closed does not depend on it."""
    low, high = (analyze(80.0, 80.0, market=prices(fair=fair)).alternative("hold") for fair in (0.49, 0.51))
    assert low == high
    closed = [analyze(market=prices(fair=fair)).alternative("close_now") for fair in (0.49, 0.51)]
    assert closed[0] == closed[1]


def test_where_the_books_differ_the_cheaper_way_is_named_with_the_difference() -> None:
    put = HedgeBook(outcome="PUT", bids=((0.42, 10.0),), asks=((0.44, 40.0), (0.45, 80.0)))
    report = analyze(market=prices(put=put))
    assert report.parity.mirrors is False
    assert (report.parity.sell_net_usd, report.parity.opposite_net_usd) == (52.36225, 53.67058)
    assert "buying PUT and merging brings $1.31 more for 100 shares" in report.parity.text
    assert report.alternative("reduce").orders[0].side == "buy"


def test_the_optimum_takes_the_cheaper_way_at_each_step() -> None:
    call = HedgeBook(outcome="CALL", bids=((0.55, 10.0), (0.53, 100.0)))
    put = HedgeBook(outcome="PUT", asks=((0.46, 20.0), (0.60, 50.0)))
    report = analyze(40.0, market=prices(call=call, put=put, fair=0.3))
    reduced = report.alternative("reduce")
    assert [str(each) for each in reduced.orders] == ["sell 20 CALL at ≥0.53", "buy 20 PUT at ≤0.46"]
    assert reduced.merge_units == 20 * MICRO
    assert reduced.cash_micro == sum(
        round(each * MICRO)
        for each in (10 * 0.55, 10 * 0.53, 20 * 0.54, -10 * 0.07 * 0.2475, -10 * 0.07 * 0.2491, -20 * 0.07 * 0.2484)
    )
    assert worth(reduced) > worth(report.alternative("close_now"))


def test_dust_is_held_by_necessity() -> None:
    report = analyze(4.0)
    assert report.recommendation.name == "hold"
    for name in ("close_now", "buy_opposite", "buy_opposite_and_merge", "reduce", "close_passively"):
        assert "dust, held by necessity" in report.alternative(name).why_not  # type: ignore[arg-type]
    left = analyze(market=prices(((0.55, 97.0),), fair=0.2)).alternative("close_now")
    assert left.unfilled_units == 3 * MICRO
    assert "3 CALL left are below the smallest order: held by necessity" in left.notes


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"call": None}, "no CALL book is known"),
        ({"call": HedgeBook(outcome="CALL", bids=BIDS, age_s=5.1)}, "5.1 s old, at most 5 s"),
        ({"call": HedgeBook(outcome="CALL")}, "no depth"),
        ({"call": HedgeBook(outcome="CALL", bids=((0.5, 4.0),))}, "only 4 CALL in the bids, the smallest order is 5"),
    ],
)
def test_what_is_impossible_says_why_and_the_other_way_stays_open(fields: dict[str, Any], why: str) -> None:
    report = analyze(market=prices(**fields))
    assert report.alternative("close_now").status == "impossible"
    assert why in report.alternative("close_now").why_not
    assert report.alternative("close_now").expected_usd is None
    assert report.alternative("buy_opposite_and_merge").status == "possible"


def test_depth_that_runs_out_leaves_a_remainder() -> None:
    closed = analyze(250.0).alternative("close_now")
    assert (closed.unfilled_units, closed.call_units_left) == (60 * MICRO, 60 * MICRO)
    assert closed.deviation_usd == pytest.approx(60 * (0.56 * 0.44) ** 0.5)


def test_gamma_decides_between_risk_and_price() -> None:
    cheap = prices(fair=0.57)
    assert analyze(market=cheap, gamma=0.0).recommendation.name == "hold"
    assert "expected profit" in analyze(market=cheap, gamma=0.0).recommendation.sentence
    nervous = analyze(market=cheap, gamma=1.0)
    assert nervous.alternative("reduce").result[0] < 5 * MICRO


def test_the_runner_up_is_another_trade_and_its_distance_is_right() -> None:
    report = analyze()
    chosen = report.recommendation
    assert (chosen.name, chosen.runner_up) == ("reduce", "close_now")
    assert chosen.difference_usd == pytest.approx(
        worth(report.alternative("reduce")) - worth(report.alternative("close_now"))
    )
    assert f"${chosen.difference_usd:.2f} more than the runner-up" in chosen.sentence


def test_the_same_trade_in_the_other_book_is_no_runner_up() -> None:
    report = analyze(market=prices(fair=0.4))
    assert report.recommendation.name == "close_now"
    assert report.alternative("buy_opposite_and_merge").result == report.alternative("close_now").result
    assert report.recommendation.runner_up == "hold"


def test_pairs_held_are_merged_with_every_way_out_but_keeping_both() -> None:
    report = analyze(120.0, 20.0)
    merged = {each.name: from_micro(each.merge_units) for each in report.alternatives}
    assert merged["buy_opposite_and_merge"] == 120.0
    assert merged["close_now"] == merged["merge_pairs"] == 20.0
    assert merged["buy_opposite"] == merged["hold"] == 0.0


def test_a_split_that_would_need_an_order_below_the_smallest_is_not_made() -> None:
    call = HedgeBook(outcome="CALL", bids=((0.55, 50.0),))
    put = HedgeBook(outcome="PUT", asks=((0.40, 4.0), (0.70, 100.0)))
    report = analyze(40.0, market=prices(call=call, put=put, fair=0.3))
    assert [str(each) for each in report.alternative("reduce").orders] == ["sell 40 CALL at ≥0.55"]


def test_the_ends_of_the_fair_values_range_have_their_own_advice() -> None:
    report = analyze(market=prices(fair_low=0.40, fair_high=0.85))
    assert report.recommendation.at_fair_low.startswith("close now: sell 100 CALL")
    assert report.recommendation.at_fair_high.startswith("hold to expiry")


def test_resting_saves_the_fee_earns_the_rebate_and_promises_nothing() -> None:
    passive = analyze().alternative("close_passively")
    assert passive.status == "conditional"
    (order,) = passive.orders
    assert (order.price_micro, order.is_maker) == (560_000, True)
    assert passive.fee_micro == 0
    assert passive.rebate_micro == round(0.2 * 0.07 * 0.56 * 0.44 * 100 * MICRO)
    assert passive.certainty_equivalent_usd is None
    assert passive.worst_case_usd == analyze().alternative("hold").worst_case_usd
    assert any("break-even: CALL falls 3.98 c before the fill" in note for note in passive.notes)
    assert any("buy PUT resting at 0.44" in note for note in passive.notes)
    both_pay = analyze(fees=Fees(rate=0.07, is_taker_only=False)).alternative("close_passively")
    assert both_pay.fee_micro == round(0.07 * 0.56 * 0.44 * 100 * MICRO)


def test_resting_joins_the_ask_when_there_is_no_room_inside_and_never_crosses_the_other_book() -> None:
    tight = analyze(market=prices(BIDS, ((0.56, 10.0),))).alternative("close_passively")
    assert tight.orders[0].price_micro == 560_000
    put = HedgeBook(outcome="PUT", bids=((0.43, 10.0),), asks=((0.44, 10.0),))
    beside = analyze(market=prices(call=HedgeBook(outcome="CALL", bids=BIDS, asks=((0.60, 9.0),)), put=put))
    assert beside.alternative("close_passively").orders[0].price_micro == 570_000
    crossed = HedgeBook(outcome="PUT", asks=((0.40, 10.0),))
    assert "cross" in analyze(market=prices(put=crossed)).alternative("close_passively").why_not


def test_pairs_below_a_dollar_are_reported_with_size_and_profit() -> None:
    put = HedgeBook(outcome="PUT", bids=(), asks=((0.35, 20.0),))
    report = analyze(market=prices(put=put))
    (found,) = report.arbitrages
    assert (found.side, found.units) == ("buy", 20 * MICRO)
    fee_a_pair = 0.07 * (0.57 * 0.43 + 0.35 * 0.65)
    assert found.profit_micro == pytest.approx(20 * (1 - 0.57 - 0.35 - fee_a_pair) * MICRO, abs=2)
    assert analyze().arbitrages == ()
    assert analyze(market=prices(put=replace(put, asks=((0.35, 4.0),)))).arbitrages == ()  # below the smallest order
    stale = replace(put, age_s=60.0)
    assert analyze(market=prices(put=stale)).arbitrages == ()


def test_a_perpetual_is_weighed_against_the_risk_it_removes() -> None:
    dear = analyze(market=prices(sigma_per_sqrt_s=9e-5), gamma=0.003)
    assert dear.perpetual is not None
    assert dear.perpetual.notional_usd == pytest.approx(18_519.29, abs=0.01)
    assert any("costs more than all the risk is worth" in note for note in dear.alternative("perpetual").notes)
    averse = analyze(market=prices(sigma_per_sqrt_s=9e-5), gamma=0.02)
    assert any("closing everything costs $3.64" in note for note in averse.alternative("perpetual").notes)
    cheap = replace(HedgeAnalyzer(gamma_per_usd=0.02, fees=CRYPTO), round_trip_bps=0.1)
    found = cheap.analyze(averse.position, averse.prices).alternative("perpetual")
    assert any("worth a look" in note for note in found.notes)
    assert "--sigma" in analyze().alternative("perpetual").why_not


def test_a_trade_that_unbalances_the_other_windows_is_pointed_out() -> None:
    others = (OtherPosition(market="btc-5m", usd_per_bp=-1.85),)
    report = analyze(market=prices(sigma_per_sqrt_s=9e-5, market="btc-15m", others=others))
    assert report.netting is not None
    assert report.netting.net_usd_per_bp == pytest.approx(0.0, abs=0.01)
    assert any("takes the net delta of all windows" in each for each in report.warnings)
    blind = analyze(market=prices(market="btc-15m", others=others))
    assert blind.netting is None
    assert any("nothing can be netted" in each for each in blind.warnings)
    unknown = analyze(market=prices(market="btc-15m", others_without_value=("btc-5m",)))
    assert "btc-5m is held too and has no fair value now: not netted" in unknown.warnings


def test_resting_orders_worsen_the_worst_case_of_every_alternative() -> None:
    with_order, without = analyze(resting=(open_order("PUT", "buy", 0.4, 50.0),)), analyze()
    for name in ("hold", "close_now"):
        harmed, free = with_order.alternative(name).worst_case_usd, without.alternative(name).worst_case_usd  # type: ignore[arg-type]
        assert harmed is not None
        assert free is not None
        assert harmed <= free
    closed = with_order.alternative("close_now").worst_case_usd
    assert closed == pytest.approx(52.36225 - 52 - 0.4 * 50, abs=1e-9)


def test_an_empty_position_holds_nothing() -> None:
    report = HedgeAnalyzer(gamma_per_usd=0.01, fees=CRYPTO).analyze(HedgePosition(), prices())
    assert report.recommendation.name == "hold"
    assert report.alternative("hold").worst_case_usd == 0.0
    assert report.recommendation.runner_up is None


@pytest.mark.parametrize("fields", [{"gamma_per_usd": -1.0}, {"max_age_s": float("nan")}, {"correlation": 2.0}])
def test_an_impossible_setting_of_the_analyzer_is_named(fields: dict[str, float]) -> None:
    with pytest.raises(HedgeError, match=next(iter(fields))):
        HedgeAnalyzer(**({"gamma_per_usd": 0.01, "fees": CRYPTO} | fields))  # type: ignore[arg-type]


def test_the_dictionary_is_json_in_dollars_that_add_up() -> None:
    others = (OtherPosition(market="eth-5m", usd_per_bp=1.0),)
    report = analyze(120.0, 20.0, market=prices(sigma_per_sqrt_s=9e-5, market="btc-15m", others=others))
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    closed = next(each for each in found["alternatives"] if each["name"] == "close_now")
    gross = 30 * 0.55 + 60 * 0.54 + 10 * 0.52
    assert closed["cash_now_usd"] == pytest.approx(20 + gross - closed["fees_usd"], abs=1e-12)
    assert closed["orders"] == [{"token": "CALL", "side": "sell", "price": 0.52, "shares": 100.0, "is_maker": False}]
    assert closed["merge_shares"] == 20.0
    assert found["netting"]["left_usd_per_bp"].keys() >= {"hold", "reduce"}
    assert found["perpetual"]["round_trip_bps"] == 4.0


def ask(**fields: Any) -> tuple[dict[str, Any], ...]:
    now_ns = (START_S + 300) * NS
    book = {"bid_ticks": (55, 54), "bid_sizes": (30.0, 60.0), "ask_ticks": (57,), "ask_sizes": (50.0,)}
    asked: dict[str, Any] = {
        "period": build(Period),
        "now_ns": now_ns,
        "call_units": 100 * MICRO,
        "put_units": 0,
        "cost_micro": 52 * MICRO,
        "call_book": build(OutcomeBook, ts_recv_ns=now_ns, **book),
        "put_book": None,
        "fair": 0.56,
        "gamma_per_usd": 0.01,
    }
    return answer_hedge(**(asked | fields))


def test_the_hedgers_answer_travels_and_says_the_same_as_the_analyzer() -> None:
    answer = decode_answer(encode_answer(Answer(rows=ask())))
    report = group_rows(answer.rows)
    assert report["position"]["time_left_s"] == 600.0
    (closed,) = (each for each in report["alternatives"] if each["name"] == "close_now")
    expected = analyze(market=prices(bids=BIDS[:2], asks=((0.57, 50),), put=None)).alternative("close_now").to_dict()
    assert closed == expected


def test_the_hedger_has_no_answer_without_a_fair_value_or_after_the_end_and_ignores_another_periods_book() -> None:
    with pytest.raises(HedgeError, match="no fair value"):
        ask(fair=None)
    with pytest.raises(HedgeError, match="is over"):
        ask(now_ns=(START_S + 900) * NS)
    with pytest.raises(HedgeError, match="unknown_fee_form"):
        ask(period=build(Period, refusal="unknown_fee_form"))
    elsewhere = msgspec.structs.replace(build(OutcomeBook), slug="btc-updown-15m-1")
    report = group_rows(ask(call_book=elsewhere))
    (closed,) = (each for each in report["alternatives"] if each["name"] == "close_now")
    assert closed["why_not"].startswith("no CALL book is known")


def test_the_reduction_says_what_the_next_share_brings_and_what_it_is_worth() -> None:
    reduced = analyze().alternative("reduce")
    assert reduced.notes == ("0.5262 a share net of fees; the next share would bring 0.5226 and is worth 0.5240",)
    held_back = analyze(market=prices(fair=0.9)).alternative("reduce")
    assert held_back.orders == ()
    assert held_back.notes == ("the best price is 0.5327 net, the last share is worth 0.7689: sell none",)


def test_a_put_is_treated_as_a_call_in_the_mirror() -> None:
    market = prices(fair=0.56, fair_low=0.5, fair_high=0.6)
    assert market.call is not None
    assert market.put is not None
    mirror = prices(
        fair=0.44,
        call=HedgeBook(outcome="CALL", bids=market.put.bids, asks=market.put.asks),
        put=HedgeBook(outcome="PUT", bids=market.call.bids, asks=market.call.asks),
    )
    position = HedgePosition(put_shares=100.0, put_average_price=0.52)
    ours = HedgeAnalyzer(gamma_per_usd=0.01, fees=CRYPTO).analyze(position, mirror)
    for each in analyze(market=market).alternatives:
        other = ours.alternative(each.name)
        assert (other.status, other.cash_micro, other.fee_micro) == (each.status, each.cash_micro, each.fee_micro)
        assert (other.call_units_left, other.put_units_left) == (each.put_units_left, each.call_units_left)
        if each.certainty_equivalent_usd is not None:
            assert worth(other) == pytest.approx(worth(each), abs=1e-9)
    assert "sell 85 PUT" in ours.recommendation.sentence

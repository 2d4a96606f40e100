"""The rules of a period are read, cross-checked and refused by name; nothing is guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feeds.polymarket.gamma import (
    ClobFacts,
    PeriodRules,
    differences,
    parse_clob_market,
    parse_event,
    parse_listing,
    parse_market,
)
from services.feeds.polymarket.wire import Refused
from tests.services.feeds.polymarket import frames as make

SPOT_START_S = 1_776_325_800


def rules(start_s: int = make.START_S, **more: Any) -> PeriodRules:
    market = make.gamma_market(start_s, **more)
    found = parse_market(make.body(market), market["slug"])
    assert not isinstance(found, Refused)
    return found


def clob(**more: Any) -> ClobFacts:
    found = parse_clob_market(make.body(make.clob_market(**more)))
    assert not isinstance(found, Refused)
    return found


def test_a_twap_market_is_read() -> None:
    found = rules()
    assert found.refusal is None
    assert (found.settlement, found.twap_lookback_s, found.call_token, found.put_token) == (
        "twap",
        60,
        make.CALL,
        make.PUT,
    )
    assert (found.start_s, found.end_s, found.tick_units) == (make.START_S, make.START_S + 900, 100)


def test_tokens_follow_the_names_of_the_outcomes_not_their_places() -> None:
    found = rules(outcomes='["Down", "Up"]')
    assert (found.call_token, found.put_token) == (make.PUT, make.CALL)


def test_lists_may_be_real_arrays() -> None:
    assert rules(outcomes=["Up", "Down"], clobTokenIds=[make.CALL, make.PUT]).refusal is None


def test_a_market_before_august_settles_by_spot() -> None:
    found = rules(SPOT_START_S, resolutionSource=make.SPOT_SOURCE, cryptoMarketConfig=None)
    assert (found.refusal, found.settlement, found.twap_lookback_s) == (None, "spot", 0)


def test_a_version_two_market_has_position_ids_derived_from_its_condition() -> None:
    condition = "0x017791f201d5a788e0039e511fc1900e5f" + "0" * 30
    number = int(condition, 16)
    found = rules(version="v2", clobTokenIds=None, conditionId=condition, positionIds=[str(number), str(number + 1)])
    assert (found.refusal, found.version, found.call_token) == (None, "v2", str(number))
    other = rules(version="v2", clobTokenIds=None, conditionId=condition, positionIds=["5", "6"])
    assert other.refusal == "position_ids_not_of_condition"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"resolutionSource": "https://example.org"}, "unknown_settlement_rule"),
        ({"resolutionSource": None}, "unknown_settlement_rule"),
        ({"resolutionSource": "https://www.binance.com/en/trade/BTC_USDT"}, "candle_market"),
        ({"resolutionSource": make.TWAP_SOURCE.replace("btc", "eth")}, "settlement_of_another_asset"),
        ({"resolutionSource": make.SPOT_SOURCE}, "settlement_sources_differ"),
        ({"resolutionSource": make.SPOT_SOURCE, "cryptoMarketConfig": None}, "settlement_rule_contradicts_history"),
        ({"cryptoMarketConfig": {"twapEnabled": True, "twapLookbackSeconds": 30}}, "settlement_sources_differ"),
        ({"cryptoMarketConfig": {"twapEnabled": False}}, "settlement_sources_differ"),
        (
            {"cryptoMarketConfig": {"duration": "5m", "twapEnabled": True, "twapLookbackSeconds": 60}},
            "settlement_of_another_series",
        ),
        (
            {
                "resolutionSource": make.TWAP_SOURCE.replace("60s", "30s"),
                "cryptoMarketConfig": {"twapEnabled": True, "twapLookbackSeconds": 30},
            },
            "unsupported_twap_lookback",
        ),
        ({"feeSchedule": None}, "unknown_fee_form"),
        ({"feeSchedule": {"exponent": 2, "rate": 0.25, "takerOnly": True, "rebateRate": 0.2}}, "unknown_fee_form"),
        ({"feeSchedule": {"exponent": 1, "rate": 0.07, "takerOnly": False, "rebateRate": 0.2}}, "unknown_fee_form"),
        ({"feeSchedule": {"exponent": 1, "rate": "x", "takerOnly": True, "rebateRate": 0.2}}, "unknown_fee_form"),
        ({"version": "v3"}, "unknown_version"),
        ({"conditionId": "0x12"}, "no_condition_id"),
        ({"clobTokenIds": "[]"}, "no_token_ids"),
        ({"clobTokenIds": "not json"}, "no_token_ids"),
        ({"clobTokenIds": '["1", "1"]'}, "unknown_outcomes"),
        ({"outcomes": '["Yes", "No"]'}, "unknown_outcomes"),
        ({"orderPriceMinTickSize": 0.03}, "unknown_tick_size"),
        ({"orderMinSize": 0}, "unknown_minimum_size"),
        ({"endDate": "2026-10-05T23:20:00Z"}, "period_times_differ"),
        ({"eventStartTime": None}, "period_times_differ"),
        ({"negRisk": True}, "negative_risk_market"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(change: dict[str, Any], refusal: str) -> None:
    assert rules(**change).refusal == refusal


@pytest.mark.parametrize(
    ("size", "cents", "expected"),
    [
        (50, 4.5, (50.0, 0.045)),
        ("50", "1.5", (50.0, 0.015)),
        (0, 0, (None, None)),
        (None, None, (None, None)),
        (50, 100, (50.0, None)),
        (-5, "x", (None, None)),
    ],
)
def test_the_rewards_are_shares_and_dollars_and_none_when_there_are_none(
    size: object, cents: object, expected: tuple[float | None, float | None]
) -> None:
    found = rules(rewardsMinSize=size, rewardsMaxSpread=cents)
    assert found.refusal is None
    assert (found.rewards_min_shares, found.rewards_max_spread) == expected


def test_a_market_that_says_nothing_of_rewards_has_none() -> None:
    market = make.gamma_market()
    del market["rewardsMinSize"], market["rewardsMaxSpread"]
    found = parse_market(make.body(market), market["slug"])
    assert not isinstance(found, Refused)
    assert (found.rewards_min_shares, found.rewards_max_spread) == (None, None)


@pytest.mark.parametrize("slug", ["bitcoin-up-or-down-october-5-2026-7pm-et", "bitcoin-up-or-down-on-october-5-2026"])
def test_hourly_and_daily_candle_markets_are_refused(slug: str) -> None:
    found = parse_market(make.body(make.gamma_market() | {"slug": slug}), slug)
    assert not isinstance(found, Refused)
    assert found.refusal == "candle_market"


def test_the_order_books_own_record_confirms_the_rules() -> None:
    assert differences(rules(), clob()) is None
    assert differences(rules(), clob(mts=0.001)) is None


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"c": "0x00"}, "mismatched_condition_id"),
        ({"t": [{"t": make.PUT, "o": "Up"}, {"t": make.CALL, "o": "Down"}]}, "mismatched_tokens"),
        ({"v": "v2"}, "mismatched_version"),
        ({"fd": {"r": 0.1, "e": 1, "to": True}}, "mismatched_fees"),
        ({"fd": {"r": 0.07, "e": 1, "to": False}}, "unknown_fee_form"),
        ({"mos": 15}, "mismatched_minimum_size"),
    ],
)
def test_records_that_contradict_each_other_are_named(change: dict[str, Any], difference: str) -> None:
    assert differences(rules(), clob(**change)) == difference


def test_an_answer_about_another_slug_is_refused() -> None:
    found = parse_event(make.body(make.gamma_event()), "btc-updown-15m-1791242100")
    assert isinstance(found, Refused)
    assert found.reason == "wrong_slug"


def test_only_a_closed_market_has_an_outcome() -> None:
    for closed, official in ((True, "PUT"), (False, None)):
        event = make.gamma_event(closed=closed, outcomePrices='["0", "1"]')
        found = parse_event(make.body(event), make.SLUG)
        assert not isinstance(found, Refused)
        assert found.official == official


def test_both_forms_of_the_listing_are_read() -> None:
    events = [{"slug": "a"}, {"slug": "b"}]
    assert parse_listing(make.body(events)) == ["a", "b"]
    assert parse_listing(make.body({"events": events, "next_cursor": "x"})) == ["a", "b"]


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(make.gamma_market())), junk)
def test_no_mutation_of_a_market_raises(field: str, junk_field: object) -> None:
    event = make.gamma_event()
    event["markets"][0][field] = junk_field
    parse_event(json.dumps(event).encode(), make.SLUG)
    parse_event(json.dumps(event | {"eventMetadata": junk_field}).encode(), make.SLUG)


@given(st.sampled_from(sorted(make.clob_market())), junk)
def test_no_mutation_of_a_clob_market_raises(field: str, junk_field: object) -> None:
    parse_clob_market(json.dumps(make.clob_market() | {field: junk_field}).encode())


@given(st.binary(max_size=200))
def test_no_bytes_raise(body: bytes) -> None:
    assert isinstance(parse_event(body, make.SLUG), Refused)
    assert isinstance(parse_clob_market(body), Refused)
    parse_listing(body)

"""A period is quoted under its true rules, however it was first announced."""

from __future__ import annotations

from typing import Any

import pytest

from shared.config import MMConfig
from tests.services.quoter.scene import MARKET, SLUG, STRIKE, Scene, book, moneyness

# What the market feed says of a period whose rules are not confirmed yet.
PLACEHOLDER: dict[str, Any] = {
    "settlement": "spot",
    "twap_lookback_s": 0,
    "strike": None,
    "strike_state": "PENDING",
    "call_token": "",
    "put_token": "",
    "tick_size": 0.0,
    "refusal": "rules_not_known",
}
FINAL = MMConfig(quote_final_phase=True)


def refused(**state: Any) -> Scene:
    scene = Scene(FINAL, period=PLACEHOLDER, **state)
    assert "period_refused" in scene.latest().reasons
    return scene


def tell_the_truth(scene: Scene, **rules: Any) -> None:
    scene.period = {"strike": STRIKE, **rules}
    scene.say(scene.period_message())


def test_a_period_first_refused_is_quoted_at_once_when_its_true_rules_are_known() -> None:
    scene = refused()
    tell_the_truth(scene)
    quotes, control = scene.latest(), Scene(FINAL).latest()
    assert (quotes.action, quotes.reasons, quotes.tick_size) == ("QUOTE_BOTH", (), 0.01)
    assert (quotes.call, quotes.put) == (control.call, control.put)


def test_the_settlement_window_of_the_true_rules_holds_the_prints_that_came_before() -> None:
    state: dict[str, Any] = {"at_s": 858.0, "spot": moneyness(4.0), "book": (88, 90)}
    scene = refused(**state)
    tell_the_truth(scene)
    true = Scene(FINAL, **state)
    true.latest()
    quotes, control = scene.latest().breakdown, true.latest().breakdown
    for part in ("missing_prints", "effective_tau_s", "spot_weight", "model_value", "half_spread"):
        assert quotes[part] == pytest.approx(control[part], rel=1e-9), part


def test_signals_and_position_hold_under_the_true_rules() -> None:
    state: dict[str, Any] = {"position": {"call_shares": 200.0}, "flow": {"toxicity": 0.3}}
    scene = refused(**state)
    tell_the_truth(scene)
    assert scene.latest().call == Scene(FINAL, **state).latest().call


def test_books_that_came_before_the_true_rules_are_kept_however_quiet_they_are() -> None:
    scene = refused()
    scene.silent = {"OutcomeBook"}
    tell_the_truth(scene)
    scene.run(2.0)
    assert scene.latest().action == "QUOTE_BOTH"


def test_books_of_other_tokens_are_not_kept() -> None:
    scene = Scene(silent={"OutcomeBook"})
    for each in scene.books():
        scene.say(each)
    assert scene.latest().action == "QUOTE_BOTH"
    tell_the_truth(scene, call_token="3", put_token="4")
    assert "book_missing" in scene.latest().reasons


def test_a_book_lost_before_the_true_rules_is_still_lost() -> None:
    scene = refused()
    scene.silent = {"OutcomeBook"}
    scene.lose(f"OutcomeBook.{MARKET}.CALL")
    tell_the_truth(scene)
    assert "book_gap" in scene.latest().reasons


def test_books_that_came_before_the_period_wait_for_its_true_rules() -> None:
    scene = Scene(silent={"Period", "OutcomeBook"})
    for each in scene.books():
        scene.say(each)
    scene.say(scene.period_message(**PLACEHOLDER))
    scene.say(scene.period_message())
    assert scene.core.markets[MARKET].pending_books == {}
    assert scene.latest().action == "QUOTE_BOTH"


def test_a_period_that_is_refused_again_is_pulled_and_comes_back_with_its_books() -> None:
    scene = Scene()
    tell_the_truth(scene, refusal="tokens_changed")
    assert scene.latest().reasons == ("period_refused",)
    tell_the_truth(scene)
    assert scene.latest().reasons == ()


def test_true_rules_that_come_after_the_end_open_nothing() -> None:
    scene = Scene(at_s=899.0, period=PLACEHOLDER)
    scene.tick(2.0)
    tell_the_truth(scene)
    assert {"period_ended", "period_refused"} <= set(scene.latest().reasons)
    assert list(scene.core.markets[MARKET].periods) == [SLUG]


def test_a_book_in_doubt_is_nothing_to_disagree_with() -> None:
    scene = Scene()
    scene.say(book("CALL", bid=51, ask=51))
    period = scene.core.markets[MARKET].active
    assert period is not None
    assert (period.book_fault, period.market["book_mid"][0]) == ("book_crossed", 0.0)
    scene.run(1.0)
    assert period.market["book_mid"][0] == 0.5


def test_what_the_venue_charges_and_pays_reaches_the_quotes() -> None:
    scene = Scene(FINAL, period={"rewards_min_shares": 50.0, "rewards_max_spread": 0.045})
    story = scene.latest().breakdown
    assert story["taker_fee"] == pytest.approx(0.0175, rel=1e-3)
    assert story["rebate"] == pytest.approx(0.0035, rel=1e-3)
    assert story["reward_score"] > 0.0
    assert Scene(FINAL).latest().breakdown["reward_score"] == 0.0


def test_a_fill_curve_and_an_impact_reach_the_quotes_once_they_are_known() -> None:
    unknown = Scene(flow={"impact": None}).latest().breakdown
    assert (unknown["tiers_fitted"], unknown["floor_adverse"]) == (0.0, 0.0)
    assert "half_spread_4" not in unknown
    curve: dict[str, Any] = {"fill_rate_per_s": 0.2, "fill_decay_per_usd": 80.0}
    known = Scene(flow={"impact": 0.02, "own_markout": -0.001, **curve}).latest().breakdown
    assert known["tiers_fitted"] == 1.0
    assert (known["fill_rate_per_s"], known["fill_decay_per_usd"]) == (0.2, 80.0)
    assert known["tier_base"] == pytest.approx(1.0 / 80.0 + 0.02 - known["rebate"])
    assert known["floor_adverse"] == pytest.approx(0.02 - known["rebate"] + 0.001)
    step = (known["half_spread_1"] - known["half_spread"]) * known["tier_base"] / known["half_spread"]
    assert step == pytest.approx(1.0 / 80.0)

"""A strike is PENDING until it can be defended, and stops being PROVEN when something contradicts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feeds.polymarket.strike import STEPS, IllegalStepError, Strike, View, next_state

START_S = 1_791_241_200
PRICE = 86_434.33744369619


def strike(settlement: str = "twap") -> Strike:
    return Strike(settlement=settlement, start_s=START_S)  # type: ignore[arg-type]


def test_a_new_strike_is_pending_and_has_no_price() -> None:
    assert strike().view == ("PENDING", None, "not_started")


def test_our_own_twap_tick_stamped_at_the_start_proves_it() -> None:
    one = strike()
    assert one.on_oracle("twap60", START_S, PRICE)
    assert one.view == ("PROVEN", PRICE, "own_twap60_tick")


@pytest.mark.parametrize(("kind", "second"), [("spot", START_S), ("twap60", START_S - 1), ("twap60", START_S + 1)])
def test_another_stream_or_a_neighbouring_second_proves_nothing(kind: str, second: int) -> None:
    one = strike()
    assert not one.on_oracle(kind, second, PRICE)  # type: ignore[arg-type]
    assert one.view.state == "PENDING"


def test_a_spot_market_is_proven_by_the_spot_tick() -> None:
    one = strike("spot")
    assert not one.on_oracle("twap60", START_S, PRICE)
    one.on_oracle("spot", START_S, PRICE)
    assert one.view.state == "PROVEN"


def test_two_independent_published_values_that_agree_prove_it() -> None:
    one = strike()
    one.on_published("website", PRICE)
    assert (one.view.state, one.view.reason) == ("PENDING", "only_website")
    assert one.on_published("gamma_previous_final", PRICE)
    proven = one.view
    assert proven == View("PROVEN", PRICE, "gamma_previous_final+website")


def test_two_values_of_one_origin_prove_nothing() -> None:
    one = strike()
    one.on_published("gamma_previous_final", PRICE)
    one.on_published("gamma_price_to_beat", PRICE)
    assert one.view == ("PENDING", None, "one_origin_only")


def test_values_that_disagree_leave_it_pending_with_the_reason() -> None:
    one = strike()
    one.on_published("website", PRICE + 9.0)
    one.on_published("gamma_previous_final", PRICE)
    assert one.view.state == "PENDING"
    assert one.view.reason.startswith("disagreement: website")


def test_a_later_contradiction_takes_the_proof_away() -> None:
    one = strike()
    one.on_oracle("twap60", START_S, PRICE)
    assert one.on_published("website", PRICE + 9.0)
    assert one.view.state == "PENDING"
    assert one.view.price is None
    assert one.view.reason.startswith("contradicted: own_tick")


def test_a_corrected_source_restores_the_proof() -> None:
    one = strike()
    one.on_oracle("twap60", START_S, PRICE)
    one.on_published("website", PRICE + 9.0)
    one.on_published("website", PRICE)
    assert one.view.state == "PROVEN"


def test_a_second_own_tick_of_another_price_is_a_contradiction_for_good() -> None:
    one = strike()
    one.on_oracle("twap60", START_S, PRICE)
    one.on_oracle("twap60", START_S, PRICE + 1.0)
    one.on_published("website", PRICE)
    assert one.view.reason == "contradicted: own ticks differ"


def test_the_same_tick_again_changes_nothing() -> None:
    one = strike()
    assert one.on_oracle("twap60", START_S, PRICE)
    assert not one.on_oracle("twap60", START_S, PRICE)


def test_rounding_of_a_publication_is_agreement() -> None:
    one = strike()
    one.on_oracle("twap60", START_S, PRICE)
    one.on_published("website", round(PRICE, 3))
    assert one.view.state == "PROVEN"


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_price_raises_and_changes_nothing(price: float) -> None:
    one = strike()
    one.on_oracle("twap60", START_S, PRICE)
    before = one.view
    with pytest.raises(IllegalStepError):
        one.on_published("website", price)
    assert one.view == before


def test_an_illegal_step_raises_and_changes_nothing() -> None:
    one = strike()
    one.on_oracle("twap60", START_S, PRICE)
    before = one.view
    with pytest.raises(IllegalStepError):
        one.step("prove", price=PRICE + 1.0, reason="twice")
    with pytest.raises(IllegalStepError):
        next_state("PROVEN", "wait")
    assert one.view == before


def test_the_table_leads_only_to_states_it_knows() -> None:
    assert {state for state, _ in STEPS} == {"PENDING", "PROVEN"} == set(STEPS.values())


evidence = st.lists(
    st.tuples(
        st.sampled_from(["own", "website", "gamma_previous_final", "gamma_price_to_beat"]),
        st.sampled_from([PRICE, PRICE + 1e-6, PRICE + 9.0, PRICE - 40.0]),
    ),
    max_size=12,
)


@given(evidence)
def test_a_proven_strike_always_agrees_with_all_the_latest_evidence(steps: list[tuple[str, float]]) -> None:
    one = strike()
    latest: dict[str, float] = {}
    for source, price in steps:
        if source == "own":
            one.on_oracle("twap60", START_S, price)
            latest.setdefault("own", price)
        else:
            one.on_published(source, price)  # type: ignore[arg-type]
            latest[source] = price
        view = one.view
        assert (view.price is not None) == (view.state == "PROVEN")
        if view.price is not None:
            assert all(abs(price - view.price) < 0.1 for price in latest.values())


def with_prints(one: Strike, *, missing: frozenset[int] = frozenset(), mean: float = PRICE) -> Strike:
    """The 60 spot prints of the minute, half of them above their mean and half below."""
    for index, second in enumerate(range(START_S - 62, START_S - 2)):
        if second not in missing:
            one.on_oracle("spot", second, mean + (10.0 if index % 2 else -10.0))
    return one


def test_an_own_tick_that_is_the_mean_of_our_spot_prints_proves_it() -> None:
    one = with_prints(strike())
    one.on_oracle("twap60", START_S, PRICE * 1.0004)
    assert one.view.state == "PROVEN"


@pytest.mark.parametrize("missing", [frozenset(), frozenset(range(START_S - 62, START_S - 2, 2))])
def test_an_own_tick_far_from_the_mean_of_our_spot_prints_proves_nothing(missing: frozenset[int]) -> None:
    one = with_prints(strike(), missing=missing)
    one.on_oracle("twap60", START_S, PRICE * 1.0008)
    assert one.view == ("PENDING", None, "own_tick_implausible")


def test_prints_that_come_after_the_own_tick_take_its_proof_away() -> None:
    one = strike()
    one.on_oracle("twap60", START_S, PRICE * 1.002)
    assert one.view.state == "PROVEN"
    assert with_prints(one).view == ("PENDING", None, "own_tick_implausible")


def test_too_few_or_one_sided_prints_judge_nothing() -> None:
    half = frozenset(range(START_S - 62, START_S - 32))
    one = with_prints(strike(), missing=half)
    one.on_oracle("twap60", START_S, PRICE * 1.0008)
    assert one.view.state == "PROVEN"


@pytest.mark.parametrize("offset_s", [-3, -1, 1, 3])
def test_without_prints_an_own_tick_must_fit_its_neighbors(offset_s: int) -> None:
    one = strike()
    one.on_oracle("twap60", START_S + offset_s, PRICE)
    one.on_oracle("twap60", START_S, PRICE * 1.0008)
    assert one.view == ("PENDING", None, "own_tick_implausible")
    fits = strike()
    fits.on_oracle("twap60", START_S + offset_s, PRICE)
    fits.on_oracle("twap60", START_S, PRICE * 1.0003)
    assert fits.view.state == "PROVEN"


def test_one_published_source_that_agrees_with_an_implausible_own_tick_proves_it() -> None:
    one = with_prints(strike())
    one.on_oracle("twap60", START_S, PRICE * 1.001)
    assert one.on_published("website", PRICE * 1.001)
    assert one.view == ("PROVEN", PRICE * 1.001, "own_twap60_tick")


def test_two_published_sources_prove_it_against_an_implausible_own_tick() -> None:
    one = with_prints(strike())
    one.on_oracle("twap60", START_S, PRICE * 1.001)
    one.on_published("website", PRICE)
    assert one.view.reason == "own_tick_implausible"
    one.on_published("gamma_previous_final", PRICE)
    assert one.view == View("PROVEN", PRICE, "gamma_previous_final+website")


def test_the_mean_is_of_the_prints_the_rule_names_and_no_others() -> None:
    one = with_prints(strike())
    for second in (START_S - 63, START_S - 2, START_S - 1, START_S):
        one.on_oracle("spot", second, 2.0 * PRICE)
    one.on_oracle("twap60", START_S, PRICE)
    assert one.view.state == "PROVEN"

from __future__ import annotations

import numpy as np
import pytest

from services.quoter.action import PULLS, RULES, decide
from services.quoter.reasons import all_reasons, bits_of, decision_of, is_pull
from services.quoter.records import PHASES, QUOTE, settings_of
from shared.config import MMConfig
from shared.projection import Config as ProjectionConfig


def reasons(
    *,
    judged: tuple[str, ...] = (),
    is_defined: bool = True,
    has_venue: bool = True,
    pulls_final: bool = True,
    config: MMConfig | None = None,
    **answers: float,
) -> tuple[str, ...]:
    quote = np.zeros(1, QUOTE)
    quote["bid_layers"] = quote["ask_layers"] = quote["is_projected"] = 1.0
    for name, number in answers.items():
        quote[name] = number
    settings = settings_of(config or MMConfig(), ProjectionConfig())
    return decision_of(all_reasons(quote, settings, bits_of(judged), is_defined, has_venue, pulls_final))[1]


def test_an_answer_without_objections_adds_nothing() -> None:
    assert reasons() == ()
    assert reasons(judged=("flow_missing",)) == ("flow_missing",)


@pytest.mark.parametrize(
    ("field", "label"),
    [
        ("in_gamma_danger", "gamma_danger"),
        ("is_too_uncertain", "fair_value_uncertain"),
        ("disagrees", "model_market_disagreement"),
        ("bid_barred_by_limit", "inventory_limit_long"),
        ("ask_barred_by_limit", "inventory_limit_short"),
    ],
)
def test_each_objection_of_the_answer_is_a_reason_of_its_own(field: str, label: str) -> None:
    assert reasons(**{field: 1.0}) == (label,)


def test_a_projection_that_is_wanted_and_not_there_is_a_reason() -> None:
    off = MMConfig.model_validate({"techniques": {"oracle_projection": False}})
    assert reasons(is_projected=0.0) == ("projection_missing",)
    assert reasons(is_projected=0.0, has_venue=False) == ()  # the venue's own fault is named instead
    assert reasons(is_projected=0.0, config=off) == ()


def test_the_final_phase_pulls_unless_it_is_to_be_quoted() -> None:
    final = float(PHASES.index("final"))
    assert reasons(phase=final) == ("final_phase",)
    assert reasons(phase=final, pulls_final=False) == ()


def test_no_number_is_named_only_when_nothing_else_pulls() -> None:
    assert reasons(is_defined=False) == ("fair_value_undefined",)
    assert reasons(is_defined=False, judged=("oracle_stale",)) == ("oracle_stale",)


def test_no_layer_left_is_a_reason_unless_quotes_are_pulled_anyway() -> None:
    assert reasons(bid_layers=0.0, ask_layers=0.0) == ("no_room",)
    assert reasons(bid_layers=0.0, ask_layers=0.0, judged=("mirror_broken",)) == ("mirror_broken",)


def test_bits_and_labels_say_the_same() -> None:
    every = [rule.label for rule in RULES]
    for labels in ([], *([label] for label in every), every[3:9], every):
        assert decision_of(bits_of(labels)) == decide(labels)
        assert is_pull(bits_of(labels)) == (not PULLS.isdisjoint(labels))

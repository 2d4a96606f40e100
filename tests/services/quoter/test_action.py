"""The worst reason wins, and all of them are told."""

from __future__ import annotations

import itertools

import pytest

from services.quoter.action import ACTION_OF, RANK, RULES, decide

BADNESS = {"PULL_QUOTES": 0, "WIDEN_SPREADS": 1, "QUOTE_BID_ONLY": 2, "QUOTE_ASK_ONLY": 2, "QUOTE_BOTH": 3}


def test_nothing_to_object_to_means_quoting_both_sides() -> None:
    assert decide([]) == ("QUOTE_BOTH", ())


def test_the_worst_reason_wins_whatever_the_order() -> None:
    for one, other in itertools.combinations(RANK, 2):
        action, reasons = decide([other, one])
        assert (action, reasons) == decide([one, other])
        assert set(reasons) == {one, other}
        assert BADNESS[action] == min(BADNESS[ACTION_OF[one]], BADNESS[ACTION_OF[other]])


def test_the_table_is_ordered_from_worst_to_mildest() -> None:
    badness = [BADNESS[rule.action] for rule in RULES]
    assert badness == sorted(badness)
    assert len(RANK) == len(RULES)


def test_every_reason_is_a_label_with_a_meaning() -> None:
    for rule in RULES:
        assert rule.label == rule.label.lower()
        assert rule.label.replace("_", "").isalpha()
        assert rule.meaning


def test_a_label_that_is_not_in_the_table_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        decide(["mood"])

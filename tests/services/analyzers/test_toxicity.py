from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.toxicity import Config, toxicity

CONFIG = Config()
NAN = math.nan
signed = st.floats(-1.0, 1.0)
share = st.floats(0.0, 1.0)


def test_no_evidence_is_no_toxicity() -> None:
    assert toxicity(CONFIG, 0.0, 0.0, NAN, NAN, NAN, NAN) == 0.0
    assert toxicity(CONFIG, 0.0, 0.9, 0.3, 0.35, -0.01, 0.002) == 0.0


def test_each_kind_of_evidence_alone_reaches_its_weight() -> None:
    assert math.isclose(toxicity(CONFIG, 0.0, 0.0, 1.0, 0.4, NAN, NAN), CONFIG.vpin_weight)
    assert math.isclose(toxicity(CONFIG, 1.0, 0.0, NAN, NAN, NAN, NAN), CONFIG.imbalance_weight)
    assert math.isclose(toxicity(CONFIG, 0.0, 0.0, NAN, NAN, 0.05, 0.001), CONFIG.markout_weight)


def test_takers_who_follow_the_leading_venue_are_more_toxic_than_those_against_it() -> None:
    assert toxicity(CONFIG, 0.6, 0.6, NAN, NAN, NAN, NAN) > toxicity(CONFIG, 0.6, -0.6, NAN, NAN, NAN, NAN)


@given(signed, signed, share, share, st.floats(-0.5, 0.5), st.floats(0.0, 0.5))
def test_it_is_a_share_and_symmetric_in_direction(
    imbalance: float, lead: float, vpin: float, null: float, markout: float, error: float
) -> None:
    found = toxicity(CONFIG, imbalance, lead, vpin, null, markout, error)
    assert 0.0 <= found <= 1.0
    assert found == toxicity(CONFIG, -imbalance, -lead, vpin, null, markout, error)


@given(signed, share, share, st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_better_takers_are_never_less_toxic(
    imbalance: float, vpin: float, null: float, markout: float, more: float
) -> None:
    assert toxicity(CONFIG, imbalance, 0.2, vpin, null, markout + more, 0.01) >= toxicity(
        CONFIG, imbalance, 0.2, vpin, null, markout, 0.01
    )

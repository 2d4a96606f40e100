"""The projected oracle follows the leader, learns the basis, and doubts when it should."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared import projection
from shared.digital import normal_cdf
from shared.kernel import State
from shared.projection import (
    Config,
    averaging_oracle_law,
    lagged_point_probability,
    log_mid_at,
    new_venue,
    observe_mid,
    observe_oracle,
    observe_return,
    opinion_of_print,
    steady_gain,
)

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"
SECOND = 1_000_000_000
START = 1_000_000 * SECOND
CONFIG = Config()


def project_oracle(venue: State, config: Config, now_ns: int, lead_s: float) -> tuple[float, float, bool]:
    return projection.project_oracle(venue, config.drift_per_sqrt_s, config.prints_to_warm, now_ns, lead_s)


def vectors(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no vectors at {path}: this machine has only the repository")
    return json.loads(path.read_text())


def run(*, seconds: int, basis: float = 2e-4, lead_s: float = 1.5, noise: float = 3e-5, seed: int = 1) -> State:
    """A venue at 10 Hz and an oracle at 1 Hz that follows it `lead_s` later."""
    rng = np.random.default_rng(seed)
    mids = np.cumsum(rng.normal(0.0, 2e-5, seconds * 10)) + 11.0
    venue = new_venue()
    for step, mid in enumerate(mids):
        observe_mid(venue, START + step * SECOND // 10, float(mid))
        if step % 10 == 0 and step >= 20:
            led = mids[step - round(lead_s * 10)]
            price = float(led) + basis + float(rng.normal(0.0, noise))
            observe_oracle(venue, CONFIG, START + step * SECOND // 10, price, lead_s)
    return venue


def test_the_vectors_of_a_lagging_oracle_agree() -> None:
    for case in vectors("oracle_projection.json")["cases"]:
        excess = (case["exch_minus_strike_bp"] + case["basis_bp"]) * 1e-4
        probability = lagged_point_probability(
            excess, case["sigma_sec"], float(case["tau_s"]), float(case["lag_s"]), case["residual_sd_bp"] * 1e-4
        )
        assert probability == pytest.approx(case["p_up"], abs=1e-12)


def test_the_vectors_of_an_averaging_oracle_agree() -> None:
    for case in vectors("oracle_projection.json")["ewma_oracle"]:
        mean, variance_s = averaging_oracle_law(
            case["oracle_minus_strike_bp"] * 1e-4,
            case["exch_minus_strike_bp"] * 1e-4,
            float(case["tau_s"]),
            float(case["theta_s"]),
        )
        deviation = case["sigma_sec"] * math.sqrt(variance_s)
        assert mean * 1e4 == pytest.approx(case["mean_bp"], abs=1e-9)
        assert deviation * 1e4 == pytest.approx(case["sd_bp"], abs=1e-9)
        assert normal_cdf(mean / deviation) == pytest.approx(case["p_up"], abs=1e-12)


@pytest.mark.parametrize(("ratio", "gain"), [(1e-4, 0.009950124999218761), (1e-3, 0.03112672920173694)])
def test_the_filter_settles_at_the_published_gain(ratio: float, gain: float) -> None:
    assert steady_gain(ratio) == pytest.approx(gain, abs=1e-12)
    config = Config(drift_per_sqrt_s=math.sqrt(ratio) * 5e-5, residual_half_life=0.0)
    venue = new_venue()
    observe_mid(venue, START, 11.0)
    for second in range(2000):
        observe_oracle(venue, config, START + second * SECOND, 11.0, 0.0)
    before = float(venue[0]["basis"])
    observe_oracle(venue, config, START + 2000 * SECOND, 11.0 + 1e-4, 0.0)
    assert (float(venue[0]["basis"]) - before) / 1e-4 == pytest.approx(gain, rel=1e-6)


def test_the_basis_and_the_residual_are_found() -> None:
    venue = run(seconds=400)
    assert float(venue[0]["basis"]) == pytest.approx(2e-4, abs=2e-5)
    assert math.sqrt(float(venue[0]["residual_variance"])) == pytest.approx(3e-5, rel=0.5)


def test_the_projection_is_the_mid_plus_the_basis_and_is_believed_when_warm() -> None:
    venue = run(seconds=100)
    log_oracle, deviation, believed = project_oracle(venue, CONFIG, int(venue[0]["ts_ns"]), 1.5)
    assert believed
    assert log_oracle == float(venue[0]["log_mid"]) + float(venue[0]["basis"])
    assert 1e-6 < deviation < 1e-4
    assert not project_oracle(run(seconds=4), CONFIG, START + 4 * SECOND, 1.5)[2]


def test_the_projection_is_wider_when_the_oracle_is_silent() -> None:
    venue = run(seconds=100)
    now = int(venue[0]["ts_ns"])
    assert project_oracle(venue, CONFIG, now + 60 * SECOND, 1.5)[1] > project_oracle(venue, CONFIG, now, 1.5)[1]


def test_a_wild_print_is_refused_and_a_moved_level_is_learned() -> None:
    venue = run(seconds=100)
    basis = float(venue[0]["basis"])
    now = int(venue[0]["ts_ns"])
    mid = float(venue[0]["log_mid"])
    assert not observe_oracle(venue, CONFIG, now + SECOND, mid + basis + 0.01, 0.0)
    assert float(venue[0]["basis"]) == basis
    assert not project_oracle(venue, CONFIG, now + SECOND, 1.5)[2]
    for second in range(2, 12):
        observe_oracle(venue, CONFIG, now + second * SECOND, mid + basis + 0.01, 0.0)
    assert float(venue[0]["basis"]) == pytest.approx(basis + 0.01, abs=1e-5)
    assert project_oracle(venue, CONFIG, now + 12 * SECOND, 1.5)[2]


def test_the_past_is_looked_up_and_out_of_order_quotes_are_ignored() -> None:
    venue = new_venue()
    for step in range(1000):
        observe_mid(venue, START + step * SECOND // 10, float(step))
    assert log_mid_at(venue, START + 50 * SECOND + 1) == 500.0
    assert log_mid_at(venue, START + 500 * SECOND) == 999.0
    assert math.isnan(log_mid_at(venue, START + 10 * SECOND))
    assert not observe_mid(venue, START, 7.0)
    assert float(venue[0]["log_mid"]) == 999.0


def test_a_print_without_a_quote_to_match_teaches_nothing() -> None:
    venue = new_venue()
    assert not observe_oracle(venue, CONFIG, START, 11.0, 1.0)
    assert int(venue[0]["updates"]) == 0


def test_the_return_over_a_horizon_is_against_the_mid_that_stood_then() -> None:
    venue = new_venue()
    assert math.isnan(observe_return(venue, START, 11.0, SECOND))
    assert math.isnan(observe_return(venue, START + SECOND // 2, 11.1, SECOND))
    assert observe_return(venue, START + SECOND, 11.3, SECOND) == pytest.approx(0.3)
    assert observe_return(venue, START + SECOND * 3 // 2, 11.3, SECOND) == pytest.approx(0.2)
    assert venue["log_mid"][0] == 11.3


def test_the_opinion_of_a_print_is_the_gates_own_and_changes_nothing() -> None:
    venue = run(seconds=100)
    now, basis, mid = int(venue[0]["ts_ns"]), float(venue[0]["basis"]), float(venue[0]["log_mid"])
    before = venue.tobytes()
    assert opinion_of_print(venue, CONFIG, now, mid + basis + 0.01, 0.0) == -1
    assert opinion_of_print(venue, CONFIG, now, mid + basis, 0.0) == 1
    assert opinion_of_print(venue, CONFIG, now - 60 * SECOND, mid + basis + 0.01, 0.0) == 0
    assert opinion_of_print(run(seconds=4), CONFIG, now, mid + basis + 0.01, 0.0) == 0
    assert venue.tobytes() == before

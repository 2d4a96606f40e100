"""The batch estimators agree with independent numbers and see what they are made to see."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.realized_volatility import (
    bipower_variance,
    jump_score,
    largest_jump,
    median_variance,
    min_variance,
    noise_variance,
    pre_averaged_variance,
    realized_variance,
    tripower_quarticity,
    two_scale_variance,
)

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"
ESTIMATORS = {
    "RV": realized_variance,
    "BPV": bipower_variance,
    "MedRV": median_variance,
    "MinRV": min_variance,
    "TPQ": tripower_quarticity,
    "TSRV_K30": two_scale_variance,
    "preavg": pre_averaged_variance,
    "noise_var_hat": noise_variance,
    "BNS_ratio_z": jump_score,
}


def vectors() -> Any:
    path = VECTORS / "realised_vol.json"
    if not path.exists():
        pytest.skip(f"no vectors at {path}: this machine has only the repository")
    return json.loads(path.read_text())


def diffusion(seconds: int, *, seed: int, sigma: float = 1e-4) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.random.default_rng(seed).normal(0.0, sigma, seconds))])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_agrees_with_the_reference(name: str) -> None:
    reference = vectors()
    for case in reference["cases"]:
        logs = np.array(reference["logprice_" + case["series"]])
        assert ESTIMATORS[name](logs) == pytest.approx(case["expected"][name], rel=1e-9)


def test_the_largest_jump_agrees_with_the_reference() -> None:
    reference = vectors()
    for case in reference["cases"]:
        expected = case["expected"]
        found = largest_jump(np.array(reference["logprice_" + case["series"]]), memory=expected["LM_K"])
        assert found is not None
        assert found.place == expected["LM_max_index"]
        assert found.score == pytest.approx(expected["LM_max_L"], rel=1e-9)
        assert found.standardized == pytest.approx(expected["LM_standardised"], rel=1e-8)
        is_sure = found.standardized > reference["lm_critical"]["1pct"]
        assert is_sure is expected["LM_reject_1pct"]


@pytest.mark.parametrize("name", ["RV", "BPV", "MedRV", "MinRV", "TSRV_K30", "preavg"])
def test_every_variance_finds_that_of_a_long_diffusion(name: str) -> None:
    logs = diffusion(20_000, seed=3)
    tolerance = 0.2 if name in ("TSRV_K30", "preavg") else 0.05
    assert ESTIMATORS[name](logs) == pytest.approx(20_000 * 1e-8, rel=tolerance)


def test_a_jump_moves_realized_variance_and_leaves_the_robust_ones() -> None:
    logs = diffusion(900, seed=1)
    jumped = logs + 12e-4 * (np.arange(901) > 450)
    assert realized_variance(jumped) > 1.1 * realized_variance(logs)
    for robust in (bipower_variance, median_variance, min_variance):
        assert robust(jumped) == pytest.approx(robust(logs), rel=0.07)
    assert jump_score(jumped) > 4.0 > abs(jump_score(logs))
    found = largest_jump(jumped)
    assert found is not None
    assert found.place == 450


def test_estimators_do_not_depend_on_the_level_and_scale_with_the_square() -> None:
    logs = diffusion(900, seed=2)
    for name, estimator in ESTIMATORS.items():
        power = {"TPQ": 4, "BNS_ratio_z": 0}.get(name, 2)
        assert estimator(3.0 * logs + 7.0) == pytest.approx(3.0**power * estimator(logs), rel=1e-6)


def test_a_window_too_short_or_still_has_no_answer() -> None:
    one = np.array([1.0])
    assert all(estimator(one) is None for estimator in ESTIMATORS.values())
    assert largest_jump(diffusion(120, seed=1)) is None
    still = np.zeros(500)
    assert jump_score(still) is None
    assert largest_jump(still) is None
    assert realized_variance(still) == 0.0
    assert math.isfinite(two_scale_variance(still))

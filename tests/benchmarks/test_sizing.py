from __future__ import annotations

import os

import pytest

from benchmarks.sizing import SCENES, Scene, cpu_s, fit
from shared.market import Series


def scenes() -> list[Scene]:
    counts = [(len({Series.parse(each).asset for each in markets}), len(markets)) for markets in SCENES]
    return [Scene(assets, markets, 0.0, 0.0, {}) for assets, markets in counts]


def test_what_grows_with_assets_is_told_from_what_grows_with_markets() -> None:
    needs = [0.1 + 0.02 * each.assets + 0.005 * each.markets for each in scenes()]
    found = fit(scenes(), needs)
    assert found == pytest.approx((0.1, 0.02, 0.005))
    assert found.at(assets=25, markets=100) == pytest.approx(1.1)


def test_noise_never_makes_a_larger_system_need_less() -> None:
    found = fit(scenes(), [0.30, 0.29, 0.27, 0.24])
    assert min(found) >= 0.0
    assert found.at(assets=25, markets=100) >= found.fixed


def test_cpu_seconds_are_those_of_the_process() -> None:
    begin_s, own = cpu_s(os.getpid()), os.times()
    assert begin_s == pytest.approx(own.user + own.system, abs=0.1)

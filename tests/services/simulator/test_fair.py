from __future__ import annotations

import pytest

from services.simulator.fair import up_probability
from tests.services.simulator.builders import PERIOD_S, make_world


def test_the_probability_follows_the_price_and_sharpens_towards_the_end() -> None:
    world = make_world()
    oracle = world.oracles["BTC"]
    strike = oracle.twap(PERIOD_S)
    assert strike is not None

    def fair(price_usd: float, now_ms: int) -> float:
        return up_probability(
            oracle, start_s=PERIOD_S, end_s=PERIOD_S + 900, now_ms=now_ms, price_usd=price_usd, sigma_annual=0.5
        )

    start_ms = world.start_ms
    assert fair(strike, start_ms) == pytest.approx(0.5, abs=1e-9)
    assert fair(strike - 50, start_ms) < 0.5 < fair(strike + 50, start_ms)
    assert fair(strike + 50, start_ms) < fair(strike + 50, start_ms + 300_000)


def test_a_decided_period_is_worth_zero_or_one() -> None:
    world = make_world()
    oracle = world.oracles["BTC"]
    first, last = oracle.twap(PERIOD_S - 900), oracle.twap(PERIOD_S)
    assert first is not None
    assert last is not None
    fair = up_probability(
        oracle, start_s=PERIOD_S - 900, end_s=PERIOD_S, now_ms=world.now_ms, price_usd=first, sigma_annual=0.5
    )
    assert fair == (1.0 if last >= first else 0.0)

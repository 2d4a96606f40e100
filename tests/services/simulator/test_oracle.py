from __future__ import annotations

import pytest

from services.simulator.events import OracleTick
from services.simulator.wire import binary_e18, e18_text, exact_e18
from tests.services.simulator.builders import PERIOD_S, make_world, play


def ticks_of(seconds: float, kind: str, **config: float) -> list[OracleTick]:
    world = make_world(**config)
    return [event for event in play(world, seconds) if isinstance(event, OracleTick) and event.kind == kind]


def test_the_twap_is_the_mean_of_sixty_spot_values_stamped_two_to_sixty_two_seconds_before() -> None:
    world = make_world()
    events = [event for event in play(world, 80.0) if isinstance(event, OracleTick)]
    spot = {event.stamp_s: event.number for event in events if event.kind == "spot"}
    checked = 0
    for event in events:
        stamps = range(event.stamp_s - 62, event.stamp_s - 2)
        if event.kind == "twap" and all(second in spot for second in stamps):
            assert event.number == pytest.approx(sum(spot[second] for second in stamps) / 60.0, abs=1e-6)
            checked += 1
    assert checked > 10


def test_values_arrive_after_their_stamp_by_the_recorded_lag() -> None:
    for kind, mean_ms in (("spot", 1_650), ("twap", 1_780)):
        lags = [tick.ts_ms - tick.stamp_s * 1000 for tick in ticks_of(120.0, kind)]
        assert min(lags) > 1_100
        assert max(lags) < 3_500
        assert sum(lags) / len(lags) == pytest.approx(mean_ms, rel=0.08)


def test_the_relay_loses_the_configured_share_of_seconds() -> None:
    stamps = {tick.stamp_s for tick in ticks_of(250.0, "spot", missing_share=0.2)}
    assert 0.11 < 1.0 - len(stamps) / (max(stamps) - min(stamps) + 1) < 0.29


def test_the_history_before_the_start_holds_the_strikes_of_this_and_the_previous_period() -> None:
    world = make_world()
    oracle = world.oracles["BTC"]
    assert oracle.twap(PERIOD_S) is not None
    assert oracle.twap(PERIOD_S - 900) is not None
    assert oracle.twap(PERIOD_S + 900) is None


def test_a_snapshot_holds_only_what_was_delivered() -> None:
    world = make_world()
    play(world, 5.0)
    ticks = world.oracles["BTC"].snapshot("twap", now_ms=world.now_ms, seconds=120)
    assert all(tick.ts_ms <= world.now_ms for tick in ticks)
    assert 115 <= len(ticks) <= 121


def test_values_carry_eighteen_decimals() -> None:
    assert exact_e18(79696.94817428796) == 79696948174287960000000
    assert e18_text(exact_e18(79696.94817428796)) == "79696.948174287960000000"
    assert binary_e18(79697.57531747443) == 79697575317474428059648  # as recorded on 2026-09-05

from __future__ import annotations

from typing import Any

import pytest

from services.simulator.settings import SimulatorSettings, WorldKnobs
from services.simulator.world import WorldConfig

OTHER: dict[str, Any] = {
    "leader": "coinbase",
    "lead_ms": 77,
    "informed_share": 0.5,
    "maker_lag_ms": 60,
    "sigma_scale": 2.0,
    "jump_scale": 3.0,
    "missing_share": 0.1,
    "book_rate": 4.0,
    "quote_rate": 5.0,
}


def test_every_knob_reaches_the_world_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OTHER.keys() == WorldKnobs.model_fields.keys()
    for name, knob in OTHER.items():
        monkeypatch.setenv(f"MM_SIM_{name.upper()}", str(knob))
    assert SimulatorSettings(seed=7, series="btc-90s, eth-5m", protocol_version="v2").world_config() == WorldConfig(
        seed=7, series=("btc-90s", "eth-5m"), version="v2", **OTHER
    )


def test_without_settings_the_world_is_the_usual_one() -> None:
    assert SimulatorSettings(series="btc-15m").world_config() == WorldConfig()


@pytest.mark.parametrize(("name", "knob"), [("informed_share", 1.5), ("leader", "kraken"), ("series", "pepe-5m")])
def test_what_no_world_can_be_is_refused_by_name(name: str, knob: object) -> None:
    with pytest.raises(ValueError, match=name):
        SimulatorSettings.model_validate({name: knob})

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shared.config import MMConfig
from shared.settings import ServiceSettings


def test_the_environment_sets_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_MARKETS", "eth-5m, btc-15m,eth-5m")
    assert [each.name for each in ServiceSettings().series()] == ["eth-5m", "btc-15m"]


def test_a_misspelt_variable_stops_the_start_and_names_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_MARKET", "btc-15m")
    with pytest.raises(ValidationError, match="MM_MARKET is not a setting; did you mean MM_MARKETS"):
        ServiceSettings()


def test_a_variable_of_another_part_is_not_misspelt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_SIM_SEED", "1")
    ServiceSettings()


@pytest.mark.parametrize("markets", ["btc", " , ", "btc-15m,eth"])
def test_markets_that_are_no_series_are_refused(monkeypatch: pytest.MonkeyPatch, markets: str) -> None:
    monkeypatch.setenv("MM_MARKETS", markets)
    with pytest.raises(ValidationError, match="btc-15m"):
        ServiceSettings()


def test_a_misspelt_strategy_variable_stops_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_CONFIG_BAS_SPREAD", "0.03")
    for settings in ({}, {"config_json": "{}"}):
        with pytest.raises(ValidationError, match="did you mean MM_CONFIG_BASE_SPREAD"):
            ServiceSettings(**settings)


def test_a_misspelt_prefix_of_a_strategy_variable_is_seen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_CONFG_BASE_SPREAD", "0.03")
    with pytest.raises(ValidationError, match="did you mean MM_CONFIG_BASE_SPREAD"):
        ServiceSettings()


def test_a_part_started_alone_reads_the_strategy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ServiceSettings().config_json == ""
    monkeypatch.setenv("MM_CONFIG_BASE_SPREAD", "0.03")
    assert MMConfig.model_validate_json(ServiceSettings().config_json).base_spread == 0.03


def test_what_the_supervisor_passes_on_is_not_changed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    passed_on = MMConfig(base_spread=0.05).model_dump_json()  # a flag won over the variable
    monkeypatch.setenv("MM_CONFIG_BASE_SPREAD", "0.03")
    monkeypatch.setenv("MM_CONFIG_JSON", passed_on)
    assert ServiceSettings().config_json == passed_on

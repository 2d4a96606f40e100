from __future__ import annotations

import pytest
from pydantic import ValidationError

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

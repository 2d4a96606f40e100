"""The configuration refuses what it cannot use, and says what to write instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from shared.config import (
    PRESETS,
    ConfigError,
    Limits,
    MMConfig,
    PerPhase,
    RegimeFactors,
    Techniques,
    config_hash,
    load_config,
)


def test_the_defaults_are_the_users() -> None:
    config = MMConfig()
    assert (config.base_spread, config.min_spread, config.max_spread) == (0.02, 0.01, 0.10)
    assert (config.max_position_size, config.max_inventory_imbalance) == (1000.0, 500.0)
    assert (config.inventory_skew_factor, config.momentum_skew_factor) == (0.001, 0.005)
    assert (config.vol_spike_threshold, config.vol_pullback_seconds) == (0.002, 5.0)
    assert config.tier_sizes == (50, 100, 200, 500)
    assert config.tier_spreads == (0.01, 0.02, 0.03, 0.05)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_its_own(preset: str) -> None:
    config = load_config(preset)
    assert (config == MMConfig()) == (preset == "default")


def test_overrides_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "mm.toml"
    file.write_text('base_spread = 0.03\nmax_spread = 0.2\nprojection_venues = ["bybit"]\n[limits]\nbook_s = 7\n')
    config = load_config("aggressive", file=file, overrides=["max_spread=0.3", "techniques.inventory_skew=false"])
    assert (config.base_spread, config.max_spread, config.limits.book_s) == (0.03, 0.3, 7.0)
    assert config.max_position_size == 2000.0
    assert config.projection_venues == ("bybit",)
    assert not config.techniques.inventory_skew
    assert config.techniques.momentum_skew


def test_a_json_file_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "mm.json"
    file.write_text(json.dumps({"tier_sizes": [10], "tier_spreads": [0.02]}))
    assert load_config(file=file).tier_sizes == (10.0,)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("base_spred=0.03", r"unknown setting 'base_spred': did you mean base_spread\?"),
        ("techniques.momentum=false", r"did you mean techniques.momentum_skew\?"),
        ("limits.books=3", r"did you mean limits.book_s\?"),
        ("base_spread=0.2", "raise max_spread"),
        ("base_spread=wide", "base_spread = 'wide'"),
        ("base_spread=NaN", "base_spread"),
        ("tier_spreads=[0.03,0.02,0.01,0.005]", "must ascend"),
        ("tier_spreads=[0.01,0.02,0.02,0.05]", "two layers cannot stand at one distance"),
        ("tier_mode=optimal", "tier_mode"),
        ("techniques.fee=false", r"did you mean techniques.fees\?"),
        ("reward_credit=0.06", "tightens a half-spread"),
        ("pin_risk_z=11", "pin_risk_z"),
        ("tier_sizes=[50,100]", "one of each per tier"),
        ("tier_sizes=[0,1,2,3]", "tier_sizes"),
        ("tier_sizes=[4,50,100,200]", "no order under 5 shares"),
        ("max_inventory_imbalance=5000", "must not exceed max_position_size"),
        ("gamma_zone_limit=0.2", "half-spread"),
        ("base_spread", "must be written key=value"),
    ],
)
def test_a_wrong_override_is_refused_with_the_remedy(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(overrides=[override])


def test_layers_may_be_of_one_size() -> None:
    assert load_config(overrides=["tier_sizes=[50,50,50,50]"]).tier_sizes == (50.0,) * 4


@pytest.mark.parametrize("model", [MMConfig, Techniques, Limits, PerPhase, RegimeFactors])
def test_every_setting_says_what_it_is(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize("preset", PRESETS)
def test_fees_are_known_and_tiers_fitted_unless_told_otherwise(preset: str) -> None:
    config = load_config(preset)
    assert (config.techniques.fees, config.tier_mode, config.reward_credit) == (True, "fitted", 0.0)


def test_an_unknown_preset_and_a_bad_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean aggressive"):
        load_config("agressive")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(file=tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("base_spread = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(file=tmp_path / "bad.toml")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ConfigError, match="must hold an object"):
        load_config(file=tmp_path / "list.json")


def test_a_configuration_does_not_change_and_its_hash_tells_it_from_another() -> None:
    config = MMConfig()
    with pytest.raises(ValidationError):
        config.base_spread = 0.5
    assert config_hash(config) == config_hash(load_config())
    assert config_hash(config) != config_hash(load_config("scalping"))


def test_a_misspelt_setting_in_python_is_told_the_right_one_too() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'base_sprad': did you mean base_spread"):
        MMConfig(base_sprad=0.02)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="base_spread = 5"):
        MMConfig(base_spread=5)

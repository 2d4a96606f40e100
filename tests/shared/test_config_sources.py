"""Where a setting comes from: defaults < preset < file < environment < --set, and every mistake names its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.config import ConfigError, MMConfig, environment_names, load_config, load_with_origins


def test_each_source_wins_over_those_before_it(tmp_path: Path) -> None:
    file = tmp_path / "mm.toml"
    file.write_text("base_spread = 0.03\nmin_spread = 0.011\nlease_s = 2\n")
    environment = {"MM_CONFIG_BASE_SPREAD": "0.04", "MM_CONFIG_MIN_SPREAD": "0.012", "HOME": "elsewhere"}
    loaded = load_with_origins("aggressive", file=file, environment=environment, overrides=["base_spread=0.05"])
    config = loaded.config
    assert (config.base_spread, config.min_spread, config.lease_s) == (0.05, 0.012, 2.0)
    assert config.uncertainty_weight == 0.25
    assert loaded.origins["base_spread"] == "--set"
    assert loaded.origins["min_spread"] == "MM_CONFIG_MIN_SPREAD"
    assert loaded.origins["lease_s"] == str(file)
    assert loaded.origins["uncertainty_weight"] == "preset aggressive"
    assert "max_spread" not in loaded.origins


def test_a_variable_is_read_as_an_override_is() -> None:
    config = load_config(
        environment={
            "MM_CONFIG_TECHNIQUES__LEAD_LAG": "false",
            "MM_CONFIG_PROJECTION_VENUES": '["bybit"]',
            "MM_CONFIG_INVENTORY_SKEW_MODE": "linear",
            "MM_CONFIG_LIMITS": '{"book_s": 7, "oracle_s": 6}',
            "MM_CONFIG_LIMITS__BOOK_S": "8",
            "MM_CONFIG_BASE_SPREAD": "",
        }
    )
    assert not config.techniques.lead_lag
    assert config.techniques.regime
    assert (config.projection_venues, config.inventory_skew_mode) == (("bybit",), "linear")
    assert (config.limits.book_s, config.limits.oracle_s) == (8.0, 6.0)
    assert config.base_spread == MMConfig().base_spread


def test_every_setting_has_a_variable() -> None:
    names = environment_names()
    assert names["MM_CONFIG_BASE_SPREAD"] == "base_spread"
    assert names["MM_CONFIG_TECHNIQUES__LEAD_LAG"] == "techniques.lead_lag"
    assert set(MMConfig.model_fields) <= set(names.values())


def test_one_number_of_a_table_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    usual = MMConfig().phase_spread_factors
    file = tmp_path / "mm.toml"
    file.write_text("[phase_spread_factors]\nfinal = 2.5\n")
    for changed in (load_config(file=file), load_config(overrides=["phase_spread_factors.final=2.5"])):
        assert changed.phase_spread_factors == usual.model_copy(update={"final": 2.5})
    assert usual.late != 1.0  # the default of the table differs from that of a phase


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("MM_CONFIG_BAS_SPREAD", "0.03", "MM_CONFIG_BAS_SPREAD is not a setting: did you mean MM_CONFIG_BASE_SPREAD?"),
        ("MM_CONFIG_TECHNIQUES_LEAD_LAG", "false", "did you mean MM_CONFIG_TECHNIQUES__LEAD_LAG?"),
        ("MM_CONFIG_LIMITS__BOOKS", "3", "did you mean MM_CONFIG_LIMITS__BOOK_S?"),
        ("MM_CONFIG_BAS_SPREAD", "", "did you mean MM_CONFIG_BASE_SPREAD?"),
        ("MM_CONFIG_XYZ", "1", "--show-config lists the settings"),
        ("MM_CONFIG_BASE_SPREAD", "wide", "MM_CONFIG_BASE_SPREAD: base_spread = 'wide'"),
        (
            "MM_CONFIG_LIMITS",
            '{"books": 3}',
            "MM_CONFIG_LIMITS: unknown setting 'limits.books': did you mean limits.book_s",
        ),
        (
            "MM_CONFIG_BASE_SPREAD",
            "0.5",
            "raise max_spread or lower min_spread (base_spread from MM_CONFIG_BASE_SPREAD)",
        ),
    ],
)
def test_a_wrong_variable_is_refused_with_the_remedy(variable: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config(environment={variable: text})


def test_a_mistake_in_a_file_names_the_file_and_one_far_from_any_name_where_to_look(tmp_path: Path) -> None:
    file = tmp_path / "mm.toml"
    file.write_text("[techniqes]\nlead_lag = false\n")
    with pytest.raises(
        ConfigError, match=rf"{re.escape(str(file))}: unknown setting 'techniqes': did you mean techniques"
    ):
        load_config(file=file)
    with pytest.raises(ConfigError, match=r"--set: unknown setting 'zzz'; mm_bot.py --show-config lists"):
        load_config(overrides=["zzz=1"])

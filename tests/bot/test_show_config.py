"""What --show-config prints is the configuration: given back, it is the same one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from bot.show_config import show_config
from shared.config import PRESETS, LoadedConfig, MMConfig, config_hash, load_config, load_with_origins


def line_of(text: str, name: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(f"{name} = ")]
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_printed_is_the_same_configuration_when_given_back(preset: str, tmp_path: Path) -> None:
    loaded = load_with_origins(preset)
    file = tmp_path / "shown.toml"
    file.write_text(show_config(loaded))
    given_back = load_config(file=file)
    assert given_back == loaded.config
    assert config_hash(given_back) == config_hash(loaded.config)
    for other in PRESETS:
        assert load_config(other, file=file) == loaded.config  # it is complete: nothing of a preset shows through


def test_numbers_texts_and_switches_of_every_form_come_back(tmp_path: Path) -> None:
    overrides = [
        "reference_sigma_per_sqrt_s=1.2345678901234567e-05",
        "fill_decay_per_usd=123456789012345680000",
        'projection_venues=["quo\\"te","back\\\\slash","tab\\t","\\u007f","\u00fc"]',
        "techniques.pin_risk=false",
        "mirror_tolerance_ticks=3",
        "inventory_skew_mode=linear",
    ]
    loaded = load_with_origins(overrides=overrides)
    file = tmp_path / "shown.toml"
    file.write_text(show_config(loaded))
    assert load_config(file=file) == loaded.config


def test_the_whole_configuration_is_printed() -> None:
    shown = tomllib.loads(show_config(load_with_origins()))

    def names(model: type[BaseModel]) -> dict[str, object]:
        return {
            name: names(field.annotation)
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            else None
            for name, field in model.model_fields.items()
        }

    def keys(table: dict[str, object]) -> dict[str, object]:
        return {name: keys(held) if isinstance(held, dict) else None for name, held in table.items()}

    assert keys(shown) == names(MMConfig)


def test_a_setting_says_what_it_is_and_where_it_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("lease_s = 2.0\n")
    environment = {"MM_CONFIG_TECHNIQUES__LEAD_LAG": "false"}
    loaded = load_with_origins("aggressive", file=file, environment=environment, overrides=["max_spread=0.2"])
    text = show_config(loaded)
    described = MMConfig.model_fields["max_spread"].description
    assert line_of(text, "max_spread").endswith(f"# --set (default {MMConfig().max_spread}): {described}")
    assert "# preset aggressive (default 0.02): dollars; full spread" in line_of(text, "base_spread")
    assert f"# {file} (default 1.5)" in line_of(text, "lease_s")
    assert "# MM_CONFIG_TECHNIQUES__LEAD_LAG (default true)" in line_of(text, "lead_lag")
    assert "default" not in line_of(text, "min_spread")
    assert text.startswith(f"# The effective configuration, hash {config_hash(loaded.config)}.")


def test_what_toml_has_no_form_for_is_refused() -> None:
    class Odd(MMConfig):
        odd: object = None

    with pytest.raises(TypeError, match="set has no form"):
        show_config(LoadedConfig(Odd(odd={1}), {"odd": "--set"}))
    assert "# odd is not set" in show_config(LoadedConfig(Odd(), {}))

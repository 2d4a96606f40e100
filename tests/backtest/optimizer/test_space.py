from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution

from backtest.optimizer.space import TABLE, Choice, Setting, Space, SpaceError, space_around
from services.quoter.records import SETTINGS
from shared.config import PRESETS, MMConfig, Techniques

LADDER = ("tier_sizes", "tier_spreads")


def space_of(*names: str, base: MMConfig | None = None) -> Space:
    whole = space_around(base or MMConfig())
    return Space(whole.base, tuple(row for row in whole.rows if row.name in names))


def written(folder: Path, text: str) -> Path:
    file = folder / "space.toml"
    file.write_text(text)
    return file


def point_of(space: Space, shares: list[float]) -> dict[str, Choice]:
    """The point this far (0 to 1) along each row."""
    point: dict[str, Choice] = {}
    for row, share in zip(space.rows, shares, strict=True):
        if row.kind == "choice":
            point[row.name] = row.choices[min(int(share * len(row.choices)), len(row.choices) - 1)]
        else:
            point[row.name] = row.nearest(row.low + share * (row.high - row.low))
    return point


def test_the_default_is_a_point_of_the_space() -> None:
    space = space_around(MMConfig())
    assert space.config(space.nearest(MMConfig())) == MMConfig()


def test_a_preset_is_its_own_point_where_the_space_is_built_around_it() -> None:
    for name, preset in PRESETS.items():
        space = space_around(MMConfig(**preset))
        rebuilt = space.config(space.nearest(space.base))
        assert rebuilt.tier_spreads == pytest.approx(space.base.tier_spreads), name
        assert rebuilt.tier_sizes == pytest.approx(space.base.tier_sizes), name
        assert rebuilt.model_copy(update={each: getattr(space.base, each) for each in LADDER}) == space.base, name


@settings(max_examples=200)
@given(st.lists(st.floats(0.0, 1.0), min_size=len(TABLE), max_size=len(TABLE)))
def test_every_point_is_a_valid_configuration(shares: list[float]) -> None:
    space = space_around(MMConfig(reward_credit=0.02))
    config = space.config(point_of(space, shares))
    assert config.min_spread <= config.base_spread <= config.max_spread
    assert MMConfig(**config.model_dump()) == config


def test_the_corners_of_the_space_are_valid_configurations() -> None:
    rng = np.random.default_rng(1)
    space = space_around(MMConfig())
    for _ in range(200):
        space.config(point_of(space, [float(each) for each in rng.integers(0, 2, len(space.rows))]))


def test_a_point_changes_only_the_settings_that_the_tape_does_not_hold() -> None:
    read_by_requote = {*(SETTINGS.names or ()), "tier_mode"}
    for row in TABLE:
        if not row.name.startswith("ladder."):
            assert row.name.split(".")[0] in read_by_requote, row.name
    space = space_around(MMConfig())
    before, after = MMConfig().model_dump(), space.config(point_of(space, [1.0] * len(space.rows))).model_dump()
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= read_by_requote
    assert len(changed) > 15


def test_settings_that_a_switched_off_technique_would_read_are_not_searched() -> None:
    names = {row.name for row in space_around(MMConfig(techniques=Techniques(toxicity=False, tiers=False))).rows}
    assert "toxicity_weight" not in names
    assert "ladder.tiers" not in names
    assert {"base_spread", "ladder.inner_half_spread"} <= names


def test_a_base_spread_above_the_largest_allowed_raises_it() -> None:
    config = space_of("base_spread", base=MMConfig(max_spread=0.05, gamma_zone_limit=0.02)).config(
        {"base_spread": 0.06}
    )
    assert config.base_spread == config.max_spread == 0.06


def test_a_base_spread_below_the_smallest_allowed_lowers_it() -> None:
    config = space_of("base_spread").config({"base_spread": 0.006})
    assert config.base_spread == config.min_spread == 0.006


def test_a_smallest_spread_that_leaves_no_room_for_the_reward_raises_the_largest() -> None:
    space = space_of(
        "min_spread", "max_spread", base=MMConfig(base_spread=0.03, reward_credit=0.02, gamma_zone_limit=0.02)
    )
    assert space.config({"min_spread": 0.03, "max_spread": 0.06}).max_spread == pytest.approx(0.07)


def test_the_ladder_runs_from_the_inner_layer_to_its_ratio() -> None:
    config = space_of("ladder.tiers", "ladder.inner_half_spread", "ladder.half_spread_ratio").config(
        {"ladder.tiers": 3, "ladder.inner_half_spread": 0.01, "ladder.half_spread_ratio": 4.0}
    )
    assert len(config.tier_spreads) == len(config.tier_sizes) == 3
    assert config.tier_spreads[0] == 0.01
    assert config.tier_spreads[2] == pytest.approx(0.04)
    assert (config.tier_sizes[0], config.tier_sizes[2]) == (50.0, 500.0)


def test_a_wider_ladder_keeps_the_shape_of_the_base() -> None:
    base = MMConfig(tier_spreads=(0.01, 0.015, 0.03), tier_sizes=(10.0, 20.0, 30.0))
    config = space_of("ladder.half_spread_ratio", base=base).config({"ladder.half_spread_ratio": 9.0})
    assert config.tier_spreads == pytest.approx((0.01, 0.0225, 0.09))  # each distance from the inner layer squared
    assert config.tier_sizes == base.tier_sizes


def test_numbers_come_with_as_many_digits_as_anyone_would_set() -> None:
    config = space_of("base_spread", "toxicity_weight").config(
        {"base_spread": 0.0271828182, "toxicity_weight": 1.2000000000000002}
    )
    assert (config.base_spread, config.toxicity_weight) == (0.02718, 1.2)


def test_a_trial_proposes_the_configuration_of_its_point() -> None:
    space = space_of("base_spread", "tier_mode", "ladder.tiers")
    trial = optuna.trial.FixedTrial({"base_spread": 0.03, "tier_mode": "preset", "ladder.tiers": 2})
    config = space.suggest(trial)
    assert (config.base_spread, config.tier_mode, len(config.tier_sizes)) == (0.03, "preset", 2)


def test_nearest_moves_a_configuration_onto_the_space() -> None:
    space = Space(MMConfig(), (Setting("base_spread", "float", 0.03, 0.05), TABLE[3]))
    point = space.nearest(MMConfig(time_sensitivity=0.52))
    assert point["base_spread"] == 0.03
    assert point["time_sensitivity"] == pytest.approx(0.5)


def test_a_file_narrows_a_range(tmp_path: Path) -> None:
    space = space_around(MMConfig(), file=written(tmp_path, "base_spread = [0.01, 0.04]\ntier_mode = ['preset']"))
    row = next(row for row in space.rows if row.name == "base_spread")
    assert (row.low, row.high, row.log) == (0.01, 0.04, True)
    assert next(row for row in space.rows if row.name == "tier_mode").choices == ("preset",)
    assert len(space.rows) == len(TABLE)


def test_a_file_leaves_a_setting_as_it_is_in_the_base(tmp_path: Path) -> None:
    space = space_around(MMConfig(), file=written(tmp_path, "phase_spread_factors.late = false"))
    assert "phase_spread_factors.late" not in space.distributions()
    assert len(space.rows) == len(TABLE) - 1


def test_a_file_may_list_the_only_settings_to_search(tmp_path: Path) -> None:
    text = "only = ['base_spread', 'ladder.tiers']\n[ladder]\ntiers = [2, 3]"
    space = space_around(MMConfig(), file=written(tmp_path, text))
    assert [(row.name, row.high) for row in space.rows] == [("base_spread", 0.06), ("ladder.tiers", 3)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("base_sprad = [0.01, 0.02]", "did you mean base_spread"),
        ("lease_s = false", "is not searched"),
        ("base_spread = [0.04, 0.01]", "must lie in 0.005 to 0.06"),
        ("base_spread = [0.01, 0.5]", "must lie in 0.005 to 0.06"),
        ("base_spread = 0.01", "lowest, highest"),
        ("tier_mode = ['sometimes']", "fitted, preset"),
        ("only = 'base_spread'", "must be a list"),
        ("only = []", "at least one"),
        ("base_spread = [", "cannot read"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=complaint):
        space_around(MMConfig(), file=written(tmp_path, text))


def test_a_narrowed_range_ends_on_a_step() -> None:
    row = TABLE[3]
    assert row.name == "time_sensitivity"
    distribution = row._replace(low=0.1, high=0.3).distribution()
    assert isinstance(distribution, FloatDistribution)
    assert distribution.step == 0.05


def test_the_description_is_json_and_the_digest_follows_it() -> None:
    space = space_around(MMConfig())
    assert json.loads(json.dumps(space.describe()))[0] == {
        "setting": "base_spread",
        "kind": "float",
        "low": 0.005,
        "high": 0.06,
        "log": True,
        "step": None,
    }
    assert space.digest == space_around(MMConfig()).digest
    assert space.digest != space_around(MMConfig(lease_s=2.0)).digest
    assert space.digest != space_of("base_spread").digest

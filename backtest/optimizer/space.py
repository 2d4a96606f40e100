"""What the optimizer may vary: a table of settings with their ranges, and configurations built from points of it.

Only settings that `requote` alone reads are in the table: they change nothing on a tape (ADR 0014). Left out are limits
of position (how much to risk is the user's word), facts that are measured (latencies, fill curve) and the model of the
fair value (profit is not what a probability is fitted to).

The ladder is described by five numbers, whose other shape is the base configuration's own:

    half-spread i = inner_half_spread x half_spread_ratio ^ s_i        ratio: outermost over innermost
    shares i      = inner_shares x shares_ratio ^ s_i                  s: from 0 to 1, as in the base's ladder, on a
                                                                       logarithmic scale; other counts in between

so that the base itself is a point of the space. A point is never refused: where settings bound each other, the bound
that was searched gives way (`config`).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial

from shared.config import MAX_TIERS, MIN_ORDER_SHARES, MMConfig, config_hash

Choice = float | int | str
Settings = Mapping[str, Choice]  # a point of the space: dotted setting, or part of the ladder, and its number or word

_SPREAD_DIGITS = 5  # decimals of a dollar
_SHARE_DIGITS = 2
_FIGURES = 4  # significant, of what is searched on a logarithmic scale
_ONLY = "only"  # the word of a file that lists the settings to search


class SpaceError(ValueError):
    """A narrowing of the space that cannot be used; the text names the setting and the remedy."""


class Setting(NamedTuple):
    """One row: a number between `low` and `high` (both may be reached), or one of `choices`."""

    name: str  # dotted, as in MMConfig, or `ladder.` and one of the five numbers of the ladder
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[str, ...] = ()
    technique: str | None = None  # without this technique of MMConfig the setting has no effect

    def distribution(self) -> BaseDistribution:
        """The row as Optuna knows it."""
        if self.kind == "choice":
            return CategoricalDistribution(self.choices)
        if self.kind == "int":
            return IntDistribution(int(self.low), int(self.high))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def nearest(self, number: Choice) -> Choice:
        """The point of this row's range that is nearest to a setting."""
        if isinstance(number, str):
            return number if number in self.choices else self.choices[0]
        bounded = min(max(number, self.low), self.high)
        if self.kind == "int":
            return round(bounded)
        if self.step is None:
            return float(bounded)
        steps = round((bounded - self.low) / self.step)
        return self.low + min(steps, math.floor((self.high - self.low) / self.step + 1e-9)) * self.step

    def tidy(self, number: Choice) -> Choice:
        """A number with as many digits as anyone would set, still within the range."""
        if self.kind != "float" or isinstance(number, str):
            return number
        rounded = float(f"{number:.{_FIGURES}g}") if self.step is None else round(number, 6)
        return min(max(rounded, self.low), self.high)


TABLE: tuple[Setting, ...] = (
    # spread
    Setting("base_spread", "float", 0.005, 0.06, log=True),
    Setting("min_spread", "float", 0.002, 0.03, log=True),
    Setting("max_spread", "float", 0.06, 0.2, log=True),
    Setting("time_sensitivity", "float", 0.0, 1.0, step=0.05),
    Setting("time_factor_max", "float", 1.0, 4.0, step=0.1),
    Setting("volatility_factor_max", "float", 1.0, 4.0, step=0.1, technique="volatility"),
    Setting("regime_factors.volatile", "float", 1.0, 3.0, step=0.1, technique="regime"),
    Setting("toxicity_weight", "float", 0.0, 4.0, step=0.1, technique="toxicity"),
    Setting("missing_input_factor", "float", 1.0, 2.0, step=0.05),
    Setting("uncertainty_weight", "float", 0.0, 1.5, step=0.05),
    Setting("phase_spread_factors.early", "float", 0.6, 2.0, step=0.05, technique="phases"),
    Setting("phase_spread_factors.mid", "float", 0.6, 2.0, step=0.05, technique="phases"),
    Setting("phase_spread_factors.late", "float", 0.6, 3.0, step=0.05, technique="phases"),
    # size
    Setting("phase_size_factors.early", "float", 0.1, 1.0, step=0.05, technique="phases"),
    Setting("phase_size_factors.mid", "float", 0.1, 1.0, step=0.05, technique="phases"),
    Setting("phase_size_factors.late", "float", 0.1, 1.0, step=0.05, technique="phases"),
    # ladder
    Setting("tier_mode", "choice", choices=("fitted", "preset")),
    Setting("ladder.tiers", "int", 1, 6, technique="tiers"),
    Setting("ladder.inner_half_spread", "float", 0.002, 0.03, log=True),
    Setting("ladder.half_spread_ratio", "float", 1.5, 10.0, log=True, technique="tiers"),
    Setting("ladder.inner_shares", "float", 5.0, 200.0, log=True),
    Setting("ladder.shares_ratio", "float", 1.0, 20.0, log=True, technique="tiers"),
    # skews
    Setting("inventory_skew_factor", "float", 1e-4, 2e-2, log=True, technique="inventory_skew"),
    Setting("max_inventory_skew", "float", 0.02, 0.3, log=True, technique="inventory_skew"),
    Setting("momentum_skew_factor", "float", 0.0, 0.02, step=0.001, technique="momentum_skew"),
    Setting("momentum_shrinkage", "float", 0.0, 0.5, step=0.02, technique="momentum_skew"),
    # guards
    Setting("pin_risk_z", "float", 0.0, 2.5, step=0.05, technique="pin_risk"),
    Setting("gamma_zone_limit", "float", 0.01, 0.08, log=True, technique="pin_risk"),
    Setting("max_delta_per_bp", "float", 0.03, 0.5, log=True, technique="pin_risk"),
    Setting("max_model_mid_disagreement", "float", 0.02, 0.2, log=True),
    Setting("disagreement_patience_s", "float", 0.5, 20.0, log=True),
)
_LADDER: tuple[str, ...] = tuple(row.name for row in TABLE if row.name.startswith("ladder."))


@dataclass(frozen=True)
class Space:
    """The rows that are searched, around a base configuration that keeps every other setting."""

    base: MMConfig
    rows: tuple[Setting, ...]

    def distributions(self) -> dict[str, BaseDistribution]:
        """The rows as Optuna knows them, by name."""
        return {row.name: row.distribution() for row in self.rows}

    def suggest(self, trial: BaseTrial) -> MMConfig:
        """The configuration that a trial proposes."""
        return self.config({row.name: _suggested(trial, row) for row in self.rows})

    def config(self, settings: Settings) -> MMConfig:
        """The configuration at a point; what the point leaves out is as in the base.

        Where two settings bound each other, `min_spread` is lowered and `max_spread` raised until they agree.
        """
        rows = {row.name: row for row in self.rows}
        chosen = {name: rows[name].tidy(number) for name, number in settings.items() if name in rows}
        dump: dict[str, Any] = self.base.model_dump()
        for name, number in chosen.items():
            if name not in _LADDER:
                *tables, last = name.split(".")
                table = dump
                for each in tables:
                    table = table[each]
                table[last] = number
        if any(name in chosen for name in _LADDER):
            dump["tier_spreads"], dump["tier_sizes"] = _ladder(self.base, _ladder_settings(self.base) | chosen)
        dump["min_spread"] = min(dump["min_spread"], dump["base_spread"])
        dump["max_spread"] = max(
            dump["max_spread"],
            dump["base_spread"],
            2.0 * dump["gamma_zone_limit"],
            dump["min_spread"] + 2.0 * dump["reward_credit"],
        )
        return MMConfig(**dump)

    def nearest(self, config: MMConfig) -> dict[str, Choice]:
        """The point whose configuration is nearest to one that may lie outside of the space."""
        ladder = _ladder_settings(config)
        return {row.name: row.nearest(ladder.get(row.name, _setting(config, row.name))) for row in self.rows}

    def describe(self) -> list[dict[str, Any]]:
        """The rows for a report: what JSON can hold."""
        return [
            {"setting": row.name, "kind": row.kind}
            | (
                {"choices": list(row.choices)}
                if row.kind == "choice"
                else {"low": row.low, "high": row.high, "log": row.log, "step": row.step}
            )
            for row in self.rows
        ]

    @property
    def digest(self) -> str:
        """A short identity of the rows and the base."""
        canonical = json.dumps([config_hash(self.base), self.describe()], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def space_around(base: MMConfig, *, file: Path | None = None) -> Space:
    """The space around a configuration: rows that its techniques give an effect, narrowed by a TOML file.

        only = ["base_spread", "ladder.tiers"]          # search nothing else
        base_spread = [0.01, 0.04]                      # lowest and highest
        tier_mode = ["fitted"]                          # the words to choose from
        phase_spread_factors.late = false               # as in the base

    Raises SpaceError for a file that cannot be read, a name that is no row, or a range that is not within the row's.
    """
    rows = tuple(row for row in TABLE if row.technique is None or getattr(base.techniques, row.technique))
    if file is not None:
        rows = _narrowed(rows, _read(file), str(file))
    if not rows:
        raise SpaceError("the space is empty: search at least one setting")
    return Space(base, rows)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SpaceError(f"cannot read the search space {file}: {error}") from error


def _narrowed(rows: Sequence[Setting], wishes: Mapping[str, Any], source: str) -> tuple[Setting, ...]:
    known = {row.name: row for row in rows}
    listed = wishes.get(_ONLY, list(known))
    if not isinstance(listed, list):
        raise SpaceError(f"{source}: {_ONLY} must be a list of settings, not {listed!r}")
    flat = _flat({name: wish for name, wish in wishes.items() if name != _ONLY})
    for name in (*listed, *flat):
        if name not in known:
            close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
            remedy = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise SpaceError(f"{source}: {name} is not searched: {remedy}")
    kept = (row for row in rows if row.name in listed and flat.get(row.name) is not False)
    return tuple(_narrow(row, flat[row.name], source) if row.name in flat else row for row in kept)


def _narrow(row: Setting, wish: object, source: str) -> Setting:
    if row.kind == "choice":
        if not isinstance(wish, list) or not wish or not set(wish) <= set(row.choices):
            raise SpaceError(f"{source}: {row.name} = {wish!r}: give a list of words out of {', '.join(row.choices)}")
        return row._replace(choices=tuple(wish))
    is_pair = isinstance(wish, list) and len(wish) == 2 and all(type(each) in (int, float) for each in wish)
    if not is_pair:
        raise SpaceError(f"{source}: {row.name} = {wish!r}: give [lowest, highest], or false to keep the base's")
    assert isinstance(wish, list)
    low, high = wish
    if not row.low <= low <= high <= row.high:
        raise SpaceError(f"{source}: {row.name} = {wish!r}: lowest and highest must lie in {row.low:g} to {row.high:g}")
    if row.step is not None:
        high = low + math.floor((high - low) / row.step + 1e-9) * row.step  # the last step that is reached
    return row._replace(low=low, high=high)


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Tables within tables as dotted names."""
    flat: dict[str, Any] = {}
    for name, wish in nested.items():
        flat |= _flat(wish, f"{prefix}{name}.") if isinstance(wish, Mapping) else {prefix + name: wish}
    return flat


def _suggested(trial: BaseTrial, row: Setting) -> Choice:
    if row.kind == "choice":
        return str(trial.suggest_categorical(row.name, row.choices))
    if row.kind == "int":
        return trial.suggest_int(row.name, int(row.low), int(row.high))
    return trial.suggest_float(row.name, row.low, row.high, log=row.log, step=row.step)


def _setting(config: MMConfig, name: str) -> Any:
    found: Any = config
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _ladder_settings(config: MMConfig) -> dict[str, Choice]:
    """The five numbers of a configuration's ladder."""
    spreads, sizes = config.tier_spreads, config.tier_sizes
    return {
        "ladder.tiers": len(sizes),
        "ladder.inner_half_spread": spreads[0],
        "ladder.half_spread_ratio": spreads[-1] / spreads[0],
        "ladder.inner_shares": sizes[0],
        "ladder.shares_ratio": sizes[-1] / sizes[0],
    }


def _ladder(base: MMConfig, ladder: Settings) -> tuple[list[float], list[float]]:
    """Half-spreads and shares of the layers."""
    tiers = min(int(ladder["ladder.tiers"]), MAX_TIERS)
    spreads = _spaced(
        base.tier_spreads, tiers, float(ladder["ladder.inner_half_spread"]), float(ladder["ladder.half_spread_ratio"])
    )
    sizes = _spaced(base.tier_sizes, tiers, float(ladder["ladder.inner_shares"]), float(ladder["ladder.shares_ratio"]))
    return (
        [round(each, _SPREAD_DIGITS) for each in spreads],
        [max(round(each, _SHARE_DIGITS), MIN_ORDER_SHARES) for each in sizes],
    )


def _spaced(shape: Sequence[float], tiers: int, inner: float, ratio: float) -> list[float]:
    """`tiers` numbers from `inner` to `inner` x `ratio`, spaced on a logarithmic scale as `shape` is."""
    at = np.linspace(0.0, 1.0, tiers) if tiers > 1 else np.zeros(1)
    if shape[-1] > shape[0]:
        logs = np.log(np.asarray(shape) / shape[0])
        at = np.interp(at, np.linspace(0.0, 1.0, len(shape)), logs / logs[-1])
    return [float(inner * ratio**each) for each in at]

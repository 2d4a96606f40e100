"""MMConfig: every number of the market maker that a user may set, its bounds, and the presets.

Dollars are per share unless a name says otherwise; spreads are full (bid to ask), `tier_spreads` are half-spreads.
Order of precedence: defaults, preset, file, environment, overrides. An unknown name stops the start and suggests the
right one.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

MAX_TIERS = 8
MIN_ORDER_SHARES = 5.0  # the least that the venue takes; a period that asks for more says so

Dollars = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
Shares = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.0, le=3600.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0.0, le=20.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class ConfigError(ValueError):
    """A configuration that cannot be used; the text names the field and the remedy."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _switch(off: str) -> bool:
    """A technique that is on unless it is switched off; `off` says what then happens."""
    switch: bool = Field(default=True, description=f"off: {off}")
    return switch


class Techniques(_Model):
    """One switch a technique, for ablation. Technique 7, the skews, has one for each half."""

    settlement_twap: bool = _switch("the value of the point digital, whatever the rule")
    oracle_projection: bool = _switch("the oracle's own last print")
    volatility: bool = _switch("realized only, no spike pull, no volatility factor")
    lead_lag: bool = _switch("the first usable venue of `projection_venues`, `default_lead_s`")
    regime: bool = _switch("no regime factor, no volatile widening")
    toxicity: bool = _switch(
        "no toxicity factor, pull or one-sided quoting; what fills lose afterwards is not asked for"
    )
    inventory_skew: bool = _switch("what is held does not lean the quotes; the limits stay")
    momentum_skew: bool = _switch("momentum does not lean the quotes")
    pin_risk: bool = _switch("no pin-risk floor and no gamma danger pull")
    tiers: bool = _switch("one layer a side")
    phases: bool = _switch("no phase factor or size cap, and the final phase is quoted")
    fees: bool = _switch("no taker fee in the pin-risk floor, no rebate, no liquidity rewards")


class PerPhase(_Model):
    """A factor for each phase of a period."""

    early: NotNegative = Field(default=1.0, description="factor while more than 3/5 of the period is left")
    mid: NotNegative = Field(default=1.0, description="factor in the phase after early")
    late: NotNegative = Field(default=1.0, description="factor in the phase after mid")
    final: NotNegative = Field(default=1.0, description="factor in the last phase")


class RegimeFactors(_Model):
    """What a regime of the underlying does to the spread."""

    unknown: Factor = Field(default=1.25, description="factor while the regime is not known")
    quiet: Factor = Field(default=0.9, description="factor in a quiet regime")
    mean_reverting: Factor = Field(default=0.95, description="factor when moves revert")
    trending_up: Factor = Field(default=1.15, description="factor in an upward trend")
    trending_down: Factor = Field(default=1.15, description="factor in a downward trend")
    volatile: Factor = Field(default=1.5, description="factor in a volatile regime")


class Limits(_Model):
    """How old an input may be before it is not used, in seconds since we received it."""

    book_s: Seconds = Field(default=30.0, description="seconds; an outcome's book")
    oracle_s: Seconds = Field(default=5.0, description="seconds; the oracle's print (its own stamp: twice this)")
    spot_s: Seconds = Field(default=5.0, description="seconds; an exchange's quote")
    feed_status_s: Seconds = Field(default=3.0, description="seconds; what a feed says of its stream")
    position_s: Seconds = Field(default=1.5, description="seconds; the hedger's word on what we hold")
    volatility_s: Seconds = Field(default=5.0, description="seconds; the volatility signal")
    regime_s: Seconds = Field(default=10.0, description="seconds; the regime signal")
    flow_s: Seconds = Field(default=10.0, description="seconds; the flow signal")
    lead_lag_s: Seconds = Field(default=60.0, description="seconds; the lead-lag signal")


class MMConfig(_Model):
    """The market maker's configuration. Frozen; hash it with `config_hash`."""

    # spread
    base_spread: Dollars = Field(default=0.02, gt=0.0, description="dollars; full spread when every factor is 1")
    min_spread: Dollars = Field(
        default=0.01, gt=0.0, description="dollars; the product of the factors never goes below this spread"
    )
    max_spread: Dollars = Field(
        default=0.10, gt=0.0, description="dollars; nor above this one; floors beyond it pull the quotes"
    )
    time_sensitivity: Share = Field(
        default=0.5, description="exponent on the speed of the fair value relative to the open"
    )
    time_factor_min: Factor = Field(default=0.8, description="least time factor")
    time_factor_max: Factor = Field(default=2.5, description="greatest time factor")
    reference_sigma_per_sqrt_s: Positive = Field(
        default=8.9e-5, description="volatility per square-root second at which its factor is 1 (50 % a year)"
    )
    volatility_factor_min: Factor = Field(default=0.8, description="least volatility factor")
    volatility_factor_max: Factor = Field(default=2.0, description="greatest volatility factor")
    regime_factors: RegimeFactors = Field(default=RegimeFactors(), description="spread factor of each regime")
    toxicity_weight: NotNegative = Field(default=1.0, description="toxicity factor is 1 + weight x toxicity")
    phase_spread_factors: PerPhase = Field(
        default=PerPhase(late=1.2, final=1.5), description="spread factor of each phase"
    )
    missing_input_factor: Factor = Field(
        default=1.25, ge=1.0, description="spread factor for each optional input that is missing"
    )
    uncertainty_weight: NotNegative = Field(
        default=0.5, description="half-spread floor in standard deviations of the fair value"
    )

    # size and limits
    max_position_size: Shares = Field(default=1000.0, description="shares of one outcome, all layers filled")
    max_inventory_imbalance: Shares = Field(default=500.0, description="|CALL - PUT| shares, all layers filled")
    tier_sizes: tuple[Positive, ...] = Field(
        default=(50.0, 100.0, 200.0, 500.0), description="shares of each layer, innermost first, not descending"
    )
    tier_spreads: tuple[Dollars, ...] = Field(
        default=(0.01, 0.02, 0.03, 0.05),
        description="dollars; half-spread of each layer when every factor is 1, ascending; until a curve is fitted",
    )
    tier_mode: Literal["fitted", "preset"] = Field(
        default="fitted",
        description="fitted: layers stand where resting orders earn most, once a fill curve is fitted; "
        "preset: always at tier_spreads",
    )
    reward_credit: Dollars = Field(
        default=0.0,
        description="dollars; how far layer 0 may be tightened to stand within the market's rewards distance of the "
        "book's mid; 0 never",
    )
    phase_size_factors: PerPhase = Field(
        default=PerPhase(late=0.5, final=0.25), description="factor on tier_sizes in each phase"
    )

    # skews
    inventory_skew_factor: NotNegative = Field(
        default=0.001, description="risk aversion per dollar (logit), or dollars a share of inventory (linear)"
    )
    inventory_skew_mode: Literal["logit", "linear"] = Field(
        default="logit", description="logit: by the risk that inventory bears; linear: a fixed lean a share"
    )
    max_inventory_skew: Dollars = Field(default=0.10, description="dollars; the most inventory may lean the quotes")
    fill_rate_per_s: Positive = Field(
        default=0.05, description="fills a second at the fair value, until a fill curve is fitted"
    )
    fill_decay_per_usd: Positive = Field(
        default=60.0, description="per dollar of distance: how fast the fill rate decays, until a fill curve is fitted"
    )
    momentum_skew_factor: Dollars = Field(
        default=0.005, description="dollars; the most the momentum may lean the quotes"
    )
    momentum_shrinkage: Share = Field(default=0.1, description="share of the measured drift that is believed")
    momentum_decay_per_s: Positive = Field(default=0.05, description="per second: how fast a drift fades")

    # volatility spike
    vol_spike_threshold: Positive = Field(
        default=0.002, le=1.0, description="|log return| of the leader in 1 s that pulls quotes"
    )
    vol_pullback_seconds: Seconds = Field(default=5.0, description="seconds that quotes stay pulled after a spike")

    max_volatility_ratio: Factor = Field(
        default=1.7, ge=1.0, description="implied over realized (or its inverse) that widens"
    )

    # toxicity and direction
    medium_toxicity: Share = Field(default=0.4, description="toxicity from which momentum bars the side it runs over")
    high_toxicity: Share = Field(default=0.7, description="toxicity from which quotes are called widened")
    extreme_toxicity: Share = Field(default=0.9, description="toxicity from which quotes are pulled")
    directional_momentum_z: Positive = Field(
        default=1.5, description="standard score of momentum that, with medium toxicity, bars a side"
    )
    extreme_momentum_z: Positive = Field(default=3.0, description="standard score of momentum that widens")

    # pin risk
    cancel_latency_s: Seconds = Field(
        default=0.3, description="seconds from deciding a cancel to its effect at the venue"
    )
    feed_lag_s: Seconds = Field(default=0.1, description="seconds; age of the leader's price when we see it")
    min_information_lag_s: Seconds = Field(
        default=0.05, gt=0.0, description="seconds; least lag the pin-risk formula may use"
    )
    pin_risk_z: NotNegative = Field(
        default=0.75,
        le=10.0,
        description="half-spread for being picked off, in standard deviations of the value over the lag, is 0.4 + this",
    )
    gamma_zone_limit: Dollars = Field(
        default=0.04,
        gt=0.0,
        description="dollars; pin-risk half-spread, before the fee, beyond which quotes are pulled",
    )
    max_delta_per_bp: Positive = Field(
        default=0.15, description="dollars of fair value a basis point beyond which they are pulled"
    )
    quote_final_phase: bool = Field(
        default=False, description="quote the final phase too, guarded by the pin-risk limits"
    )

    # fair value
    window_offset_s: Seconds = Field(
        default=3.0, le=30.0, description="seconds from the last sample of a TWAP window to its end (calibrated)"
    )
    tail_kurtosis: NotNegative = Field(default=6.0, description="excess kurtosis of 1 s returns; 0 is Gaussian")
    tail_below_s: Seconds = Field(default=30.0, description="effective seconds below which fat tails are used")
    band_sigmas: Positive = Field(
        default=2.0, description="fair_low and fair_high are this many standard deviations from the fair value"
    )
    projection_venues: tuple[str, ...] = Field(
        default=("coinbase", "bybit"),
        min_length=1,
        description="exchanges to project through without a leader, best first",
    )
    default_lead_s: Seconds = Field(
        default=1.5, le=10.0, description="seconds by which an exchange leads the oracle when it was not measured"
    )

    # defences
    max_model_mid_disagreement: Dollars = Field(
        default=0.05, gt=0.0, description="dollars; fair value from the book's mid beyond which one of them is wrong"
    )
    disagreement_patience_s: Seconds = Field(
        default=2.0, description="seconds of disagreement after which quotes are pulled"
    )
    spot_move_sigmas: Positive = Field(
        default=2.5, description="standard deviations; a spot move this large excuses a disagreement with the book"
    )
    placeholder_spread: Dollars = Field(
        default=0.5, gt=0.0, description="dollars; a book at least this wide is nobody's opinion"
    )
    mirror_tolerance_ticks: int = Field(
        default=0, ge=0, le=20, description="ticks by which the PUT book may differ from the mirrored CALL book"
    )
    mirror_patience_s: Seconds = Field(
        default=1.0, description="seconds that the books may fail to mirror each other before quotes are pulled"
    )
    limits: Limits = Field(default=Limits(), description="how old each input may be")

    # the lease
    lease_s: float = Field(default=1.5, ge=0.2, le=10.0, description="seconds that a published quote may stand")
    max_value_updates_per_s: Positive = Field(
        default=5.0, description="sets a second published only because the value moved"
    )

    techniques: Techniques = Field(default=Techniques(), description="one switch a technique")

    def __init__(self, **settings: Any) -> None:
        """The defaults with these settings. ConfigError names the field, and the right name if it is misspelt."""
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(detail, {}) for detail in error.errors())) from error

    @field_validator("tier_sizes", "tier_spreads")
    @classmethod
    def _a_few_tiers(cls, tiers: tuple[float, ...]) -> tuple[float, ...]:
        if not 1 <= len(tiers) <= MAX_TIERS:
            raise ValueError(f"give 1 to {MAX_TIERS} tiers, not {len(tiers)}")
        if any(tier <= 0.0 for tier in tiers):
            raise ValueError("every tier must be above 0")
        if any(later < earlier for earlier, later in itertools.pairwise(tiers)):
            raise ValueError(f"tiers must ascend, innermost first: {sorted(tiers)}")
        return tiers

    @field_validator("tier_sizes")
    @classmethod
    def _tradable_tiers(cls, tiers: tuple[float, ...]) -> tuple[float, ...]:
        if min(tiers) < MIN_ORDER_SHARES:
            raise ValueError(f"the venue takes no order under {MIN_ORDER_SHARES:g} shares: raise every tier to that")
        return tiers

    @field_validator("tier_spreads")
    @classmethod
    def _distinct_tiers(cls, tiers: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(tiers)) < len(tiers):
            raise ValueError(f"two layers cannot stand at one distance: {tiers}; give each tier its own")
        return tiers

    @model_validator(mode="after")
    def _fields_agree(self) -> MMConfig:
        if not self.min_spread <= self.base_spread <= self.max_spread:
            raise ValueError(
                f"min_spread <= base_spread <= max_spread must hold, not {self.min_spread}, {self.base_spread}, "
                f"{self.max_spread}: raise max_spread or lower min_spread"
            )
        if len(self.tier_sizes) != len(self.tier_spreads):
            raise ValueError(
                f"tier_sizes has {len(self.tier_sizes)} entries and tier_spreads {len(self.tier_spreads)}: "
                "give one of each per tier"
            )
        if 2.0 * self.reward_credit > self.max_spread - self.min_spread:
            raise ValueError(
                f"reward_credit ({self.reward_credit}) tightens a half-spread: twice it must fit between min_spread "
                f"({self.min_spread}) and max_spread ({self.max_spread}); lower it"
            )
        if not self.medium_toxicity <= self.high_toxicity <= self.extreme_toxicity:
            raise ValueError("medium_toxicity <= high_toxicity <= extreme_toxicity must hold")
        if self.directional_momentum_z > self.extreme_momentum_z:
            raise ValueError("directional_momentum_z must not exceed extreme_momentum_z")
        if self.max_inventory_imbalance > self.max_position_size:
            raise ValueError(
                f"max_inventory_imbalance ({self.max_inventory_imbalance}) must not exceed max_position_size "
                f"({self.max_position_size}): lower the first or raise the second"
            )
        for low, high in (("time_factor_min", "time_factor_max"), ("volatility_factor_min", "volatility_factor_max")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} must not exceed {high}")
        if 2.0 * self.gamma_zone_limit > self.max_spread:
            raise ValueError(
                f"gamma_zone_limit ({self.gamma_zone_limit}) is a half-spread: twice it must fit into max_spread "
                f"({self.max_spread}); lower it or raise max_spread"
            )
        return self


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "aggressive": {
        "base_spread": 0.01,
        "tier_sizes": [100, 200, 300, 500],
        "tier_spreads": [0.005, 0.01, 0.02, 0.03],
        "max_position_size": 2000.0,
        "max_inventory_imbalance": 1000.0,
        "inventory_skew_factor": 0.0005,
        "vol_pullback_seconds": 3.0,
        "uncertainty_weight": 0.25,
        "quote_final_phase": True,
    },
    "conservative": {
        "base_spread": 0.04,
        "min_spread": 0.02,
        "max_spread": 0.15,
        "tier_sizes": [25, 50, 75, 100],
        "tier_spreads": [0.02, 0.03, 0.045, 0.07],
        "max_position_size": 300.0,
        "max_inventory_imbalance": 150.0,
        "inventory_skew_factor": 0.003,
        "vol_spike_threshold": 0.001,
        "vol_pullback_seconds": 15.0,
        "high_toxicity": 0.6,
        "extreme_toxicity": 0.8,
        "gamma_zone_limit": 0.025,
        "max_delta_per_bp": 0.10,
        "uncertainty_weight": 1.0,
    },
    "scalping": {
        "base_spread": 0.01,
        "max_spread": 0.08,
        "tier_sizes": [50, 50],
        "tier_spreads": [0.005, 0.015],
        "max_position_size": 400.0,
        "max_inventory_imbalance": 200.0,
        "inventory_skew_factor": 0.004,
        "vol_pullback_seconds": 3.0,
        "uncertainty_weight": 0.25,
        "quote_final_phase": True,
    },
}


class LoadedConfig(NamedTuple):
    """The effective configuration, and the source that last set each setting (dotted names; defaults are absent)."""

    config: MMConfig
    origins: dict[str, str]


def load_config(
    preset: str = "default",
    *,
    file: Path | str | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> MMConfig:
    """The effective configuration: a preset, then a TOML or JSON file, then variables such as MM_CONFIG_BASE_SPREAD or
    MM_CONFIG_LIMITS__BOOK_S, then `key=value` overrides (dotted keys). What none of them names keeps its default.

    Raises ConfigError naming the source, the field and the remedy.
    """
    return load_with_origins(preset, file=file, environment=environment, overrides=overrides).config


def load_with_origins(
    preset: str = "default",
    *,
    file: Path | str | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> LoadedConfig:
    """As `load_config`, with where each setting came from."""
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}{_suggestion(preset, PRESETS)}; there are {', '.join(PRESETS)}")
    layers: list[tuple[str, dict[str, Any]]] = [(f"preset {preset}", PRESETS[preset])]
    if file is not None:
        layers.append((str(file), _read_file(Path(file))))
    for variable, (name, text) in environment_settings(environment or {}).items():
        layers.append((variable, _nested(name, text)))
    layers += [("--set", _parse_override(override)) for override in overrides]
    merged: dict[str, Any] = MMConfig().model_dump()  # one number of a table changes that number alone
    origins: dict[str, str] = {}
    for origin, layer in layers:
        merged = _merge(merged, layer)
        origins |= dict.fromkeys(_leaves(layer), origin)
    try:
        return LoadedConfig(MMConfig(**merged), origins)
    except ConfigError as error:
        refused = error.__cause__
        if not isinstance(refused, ValidationError):
            raise
        raise ConfigError("\n".join(_explain(detail, origins) for detail in refused.errors())) from refused


def config_hash(config: MMConfig) -> str:
    """A short identity of the effective configuration."""
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error}") from error
    try:
        loaded = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"{path} is not valid {kind}: {error}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} must hold an object of settings, not {type(loaded).__name__}")
    return loaded


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not key:
        raise ConfigError(f"override {override!r} must be written key=value, such as base_spread=0.03")
    return _nested(key, text)


def _nested(name: str, text: str) -> dict[str, Any]:
    """A dotted name and its text (JSON, else a string) as nested tables."""
    try:
        nested: Any = json.loads(text)
    except ValueError:
        nested = text.strip()
    for part in reversed(name.split(".")):
        nested = {part: nested}
    return dict(nested)


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, incoming in over.items():
        standing = merged.get(key)
        both = isinstance(standing, Mapping) and isinstance(incoming, Mapping)
        merged[key] = _merge(standing, incoming) if both else incoming  # type: ignore[arg-type]
    return merged


def _leaves(layer: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of the settings in a layer."""
    for key, held in layer.items():
        if isinstance(held, Mapping):
            yield from _leaves(held, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _explain(detail: ErrorDetails, origins: Mapping[str, str]) -> str:
    location = [part for part in detail["loc"] if isinstance(part, str)]
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = _fields_of(location[:-1])
        prefix = "".join(f"{part}." for part in location[:-1])
        remedy = _suggestion(location[-1], known, prefix=prefix) or "; mm_bot.py --show-config lists the settings"
        return f"{_source(name, origins)}unknown setting {name!r}{remedy}"
    message = detail["msg"].removeprefix("Value error, ")
    if not name:
        sources = [
            f"{each} from {where}" for each, where in origins.items() if re.search(rf"\b{re.escape(each)}\b", message)
        ]
        return f"{message} ({', '.join(sources)})" if sources else message
    given = detail.get("input")
    return f"{_source('.'.join(location), origins)}{name} = {given!r}: {message[0].lower()}{message[1:]}"


def _source(name: str, origins: Mapping[str, str]) -> str:
    """Which source set this setting, or something in this table, as a prefix of a message."""
    found = (origin for each, origin in origins.items() if each == name or each.startswith(f"{name}."))
    origin = next(found, "")
    return f"{origin}: " if origin else ""


def _fields_of(location: Sequence[str]) -> Sequence[str]:
    model: type[BaseModel] = MMConfig
    for part in location:
        annotation = model.model_fields[part].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    return tuple(model.model_fields)


def _suggestion(name: str, known: Sequence[str] | Mapping[str, Any], *, prefix: str = "") -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f": did you mean {prefix}{close[0]}?" if close else ""


# -- the environment -------------------------------------------------------------------------------------------------

ENVIRONMENT_PREFIX = "MM_CONFIG_"
PASSED_ON = "MM_CONFIG_JSON"  # the whole effective configuration, which mm_bot.py hands to its parts; not a setting


def environment_names() -> dict[str, str]:
    """Every variable that changes a setting or a whole table of them, and its dotted name."""
    return {ENVIRONMENT_PREFIX + name.upper().replace(".", "__"): name for name in _names(MMConfig)}


def environment_settings(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The variables that change the configuration: dotted name and text of each, tables before what is in them.

    Empty ones are as good as unset. Raises ConfigError for a variable with the prefix that is no setting.
    """
    known = environment_names()
    found: dict[str, tuple[str, str]] = {}
    for variable, text in sorted(environment.items()):
        name = variable.upper()
        if not name.startswith(ENVIRONMENT_PREFIX) or name == PASSED_ON:
            continue
        if name not in known:
            bare = [each.removeprefix(ENVIRONMENT_PREFIX) for each in known]
            near = _suggestion(name.removeprefix(ENVIRONMENT_PREFIX), bare, prefix=ENVIRONMENT_PREFIX)
            remedy = near or "; mm_bot.py --show-config lists the settings"
            raise ConfigError(f"environment variable {variable} is not a setting{remedy}")
        if text.strip():
            found[variable] = (known[name], text)
    return found


def _names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, f"{prefix}{name}.")

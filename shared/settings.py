"""Environment settings that refuse misspelt variables.

Every settings class owns a prefix. A variable with that prefix that the class does not know stops the start, with the
name that was probably meant. `.env.example` lists them all.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.bus import Endpoints
from shared.bus_keys_io import read_keys
from shared.config import ENVIRONMENT_PREFIX, environment_names, environment_settings, load_config
from shared.market import Series

# Prefixes owned by single parts; everything else that starts with MM_ belongs to `ServiceSettings`.
PART_PREFIXES = ("MM_EXECUTOR_", "MM_FEED_", "MM_HEDGER_", "MM_POLYBOLT_", "MM_SIM_", ENVIRONMENT_PREFIX)


class StrictSettings(BaseSettings):
    """Settings from the environment under one prefix; raises ValueError for a variable nobody knows."""

    model_config = SettingsConfigDict(env_prefix="MM_", frozen=True, extra="forbid", env_ignore_empty=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: Any) -> Any:
        prefix = cls.model_config.get("env_prefix", "")
        known = {
            (field.validation_alias if isinstance(field.validation_alias, str) else prefix + name).upper()
            for name, field in cls.model_fields.items()
        }
        for variable in os.environ:
            name = variable.upper()
            if not name.startswith(prefix) or name in known:
                continue
            if any(name.startswith(other) for other in PART_PREFIXES if other != prefix and len(other) > len(prefix)):
                continue
            near = known | environment_names().keys() if prefix == "MM_" else known
            meant = difflib.get_close_matches(name, near, n=1)
            remedy = f"did you mean {meant[0]}?" if meant else f"known: {', '.join(sorted(known))}"
            raise ValueError(f"environment variable {variable} is not a setting; {remedy}")
        return values


class ServiceSettings(StrictSettings):
    """What every process needs to know. Variables are `MM_<NAME>`."""

    bus: str = Field(
        default_factory=lambda: f"ipc://{Path(tempfile.gettempdir()) / f'mm-bus-{os.getuid()}'}",
        description="Bus address: ipc://<path prefix> on one machine, tcp://<host>:<first port> across machines.",
    )
    bus_keys: Path | None = Field(
        default=None, description="Folder of this machine's keys for a bus over TCP, from mm_bot.py --generate-keys."
    )
    bus_allow_plain: bool = Field(default=False, description="Let the bus leave this machine without keys.")
    markets: str = Field(default="btc-15m", description="Series to serve, separated by commas.")
    instance: str = Field(default="", description="Name of this process, no other's; empty: <service>-<host>-<pid>.")
    metrics_host: str = Field(default="127.0.0.1", description="Address the Prometheus endpoint binds to.")
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the Prometheus endpoint; 0: any free one."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    supervisor_pid: int = Field(
        default=0, ge=0, description="Stop when this process is no longer the parent; 0: never."
    )
    hung_s: float = Field(
        default=25.0, ge=0, description="End the process when its loop stands still for so long; 0: never (debuggers)."
    )
    out: Path = Field(default=Path("out"), description="Folder of the output files.")
    record: Path | None = Field(default=None, description="Folder of recordings; unset: nothing is recorded.")
    record_keep_h: float | None = Field(
        default=None, gt=0, description="Hours that recordings are kept; unset: until somebody removes them."
    )
    config_json: str = Field(
        default="",
        description="The effective MMConfig as JSON, set by mm_bot.py; empty: MM_CONFIG_ variables on the defaults.",
    )
    heartbeat_ms: int = Field(default=100, ge=10, le=10_000, description="How often the output files are refreshed.")

    @model_validator(mode="before")
    @classmethod
    def _take_configuration(cls, values: Any) -> Any:
        """What mm_bot.py passed on has the MM_CONFIG_ variables in it; a part started alone reads them here."""
        if environment_settings(os.environ) and not values.get("config_json"):
            return values | {"config_json": cls.configuration_json()}
        return values

    @classmethod
    def configuration_json(cls) -> str:
        """The configuration that the environment alone makes. Raises ConfigError."""
        return load_config(environment=os.environ).model_dump_json()

    @model_validator(mode="after")
    def _parse_markets(self) -> Self:
        self.series()
        return self

    @property
    def record_keep_s(self) -> float | None:
        """Seconds that recordings are kept; None: for good."""
        return None if self.record_keep_h is None else self.record_keep_h * 3600.0

    def endpoints(self, bus: str = "") -> Endpoints:
        """The addresses of the bus (another than `MM_BUS`), with the keys that TCP takes. Raises ValueError."""
        address = bus or self.bus
        is_locked = address.startswith("tcp:") and self.bus_keys is not None
        keys = read_keys(self.bus_keys) if is_locked and self.bus_keys is not None else None
        return Endpoints.of(address, keys, is_plain_allowed=self.bus_allow_plain)

    def series(self) -> tuple[Series, ...]:
        """The series in `markets`, in order, each once."""
        names = [name for name in self.markets.split(",") if name.strip()]
        if not names:
            raise ValueError("MM_MARKETS is empty: name at least one series, such as btc-15m")
        return tuple(dict.fromkeys(Series.parse(name) for name in names))

"""Settings of the simulator: variables `MM_SIM_<NAME>`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import SettingsConfigDict

from services.simulator.params import ASSETS
from services.simulator.world import WorldConfig
from shared.market import Series
from shared.settings import StrictSettings


class WorldKnobs(BaseModel):
    """What the simulated world is like, for the simulator and for the samples of a backtest."""

    leader: Literal["bybit", "coinbase"] = Field(default="bybit", description="The spot venue that moves first.")
    lead_ms: int = Field(default=400, ge=0, le=3_000, description="How long the other spot venue lags behind it.")
    informed_share: float = Field(
        default=0.25, ge=0.0, le=1.0, description="Share of takers who know the leader's price."
    )
    maker_lag_ms: int = Field(default=500, ge=0, le=3_000, description="How late other makers see the leader's price.")
    sigma_scale: float = Field(default=1.0, gt=0.0, le=20.0, description="Factor on every coin's volatility.")
    jump_scale: float = Field(default=1.0, ge=0.0, le=1_000.0, description="Factor on the rate of price jumps.")
    missing_share: float = Field(default=0.02, ge=0.0, lt=1.0, description="Share of oracle seconds the relay loses.")
    book_rate: float = Field(default=1.0, gt=0.0, le=50.0, description="Factor on the rate of book updates and trades.")
    quote_rate: float = Field(default=1.0, gt=0.0, le=20.0, description="Factor on the rate of spot quotes and trades.")

    def knobs(self) -> dict[str, Any]:
        """These settings alone, by the names that `WorldConfig` has for them."""
        return {name: getattr(self, name) for name in WorldKnobs.model_fields}


class SimulatorSettings(StrictSettings, WorldKnobs):
    """What to simulate and where to listen."""

    model_config = SettingsConfigDict(env_prefix="MM_SIM_", frozen=True, extra="forbid", env_ignore_empty=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=8790, ge=0, le=65535, description="Port of every venue; 0: any free one, printed at start."
    )
    seed: int = Field(default=1, ge=0, description="The same seed gives the same world relative to its start.")
    series: str = Field(default="btc-15m,eth-15m", description="Series to list, separated by commas: btc-15m, btc-90s.")
    burst_per_s: float = Field(default=0.0, ge=0.0, le=2_000.0, description="Book updates a second at a market's open.")
    burst_s: float = Field(default=5.0, ge=0.0, le=60.0, description="Length of that burst.")
    protocol_version: Literal["v1", "v2"] = Field(default="v1", description="Protocol version of the markets.")
    step_ms: int = Field(default=10, ge=1, le=200, description="How often the world is moved forward.")

    @field_validator("series")
    @classmethod
    def _known_coins(cls, text: str) -> str:
        for name in text.split(","):
            asset = Series.parse(name).asset
            if asset not in ASSETS:
                raise ValueError(f"no simulated coin {asset}: known are {', '.join(ASSETS)}")
        return text

    def world_config(self) -> WorldConfig:
        """The part of the settings the pure world knows."""
        return WorldConfig(
            seed=self.seed,
            series=tuple(name.strip() for name in self.series.split(",")),
            burst_per_s=self.burst_per_s,
            burst_s=self.burst_s,
            version=self.protocol_version,
            **self.knobs(),
        )

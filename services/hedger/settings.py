"""Settings of the hedger: where its ledger is, and where others may drop bookings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from shared.settings import StrictSettings

LEDGER_FILE = "ledger.sqlite"


class HedgerSettings(StrictSettings):
    """Variables are `MM_HEDGER_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="MM_HEDGER_", frozen=True, extra="forbid", env_ignore_empty=True)

    ledger: str = Field(
        default="", description="sqlite:///<file> or postgresql://...; empty: ledger.sqlite in the output folder."
    )
    drop: Path | None = Field(default=None, description="Folder watched for files mm_hedge*.json; unset: none.")

    @field_validator("ledger")
    @classmethod
    def _check_ledger(cls, url: str) -> str:
        if url and not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("a ledger is sqlite:///<file> or postgresql://<user>@<host>/<name>")
        return url

    def ledger_url(self, out: Path) -> str:
        """The URL, or that of the default file in the output folder."""
        return self.ledger or f"sqlite:///{out / LEDGER_FILE}"

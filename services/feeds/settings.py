"""Settings of the feeds: where the venues are (`MM_FEED_...`), and credentials (`MM_POLYBOLT_...`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.feeds.chainlink.oracle_stream import HISTORY_S
from services.feeds.chainlink.polybolt import Credentials
from services.feeds.files import FileAssumptions
from services.feeds.polymarket.urls import Urls
from shared.settings import StrictSettings

SECRETS = Path("/run/secrets")  # where a container finds what must not be in its environment

OracleRelay = Literal["polybolt", "rtds", "auto"]


class FeedSettings(StrictSettings):
    """Where each venue is, and what is assumed where a venue is silent. The defaults are the real venues."""

    model_config = SettingsConfigDict(env_prefix="MM_FEED_", frozen=True, extra="forbid", env_ignore_empty=True)

    bybit_url: str = "wss://stream.bybit.com/v5/public/spot"
    coinbase_url: str = "wss://ws-feed.exchange.coinbase.com"
    coinbase_rest_url: str = "https://api.exchange.coinbase.com"
    polybolt_url: str = "wss://ws-live-v2.polymarket.com/ws"
    rtds_url: str = "wss://ws-live-data.polymarket.com"
    gamma_url: str = "https://gamma-api.polymarket.com"
    clob_url: str = "https://clob.polymarket.com"
    website_url: str = "https://polymarket.com"
    market_url: str = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    oracle_stream: OracleRelay = Field(
        default="auto",
        description="Relay of the settlement source; auto: polybolt with credentials (rtds when they are refused), "
        "else rtds.",
    )
    oracle_history_s: int = Field(
        default=HISTORY_S, ge=180, le=7200, description="How much of the oracle's past is kept for late joiners."
    )
    files_dir: Path = Field(default=Path("feeds"), description="Folder of the JSON files of other collectors.")
    files_size: float = Field(default=1.0, gt=0.0, description="Size assumed for every price in those files.")
    files_settlement: Literal["twap", "spot"] | None = Field(
        default=None,
        description="Rule that the market of those files settles by; unset: twap, and markets of an hour or a day,"
        " which settle by an exchange's candle, are refused.",
    )
    files_trust_strike: bool = Field(
        default=False,
        description="Whether the strike that stands in chainlink.json at our start is of the present period. Otherwise "
        "it is proven when it changes, or when it is within 5 bp of the price we saw at the start of the period.",
    )

    def polymarket_urls(self) -> Urls:
        """The endpoints of the market feed."""
        return Urls(
            gamma=self.gamma_url.rstrip("/"),
            clob=self.clob_url.rstrip("/"),
            website=self.website_url.rstrip("/"),
            market_channel=self.market_url,
        )

    def file_assumptions(self) -> FileAssumptions:
        """What the files do not say."""
        return FileAssumptions(
            size=self.files_size, settlement=self.files_settlement, trust_strike=self.files_trust_strike
        )


class PolyBoltSettings(StrictSettings):
    """CLOB API credentials, which PolyBolt asks for even to read.

    From the environment, or from files in `/run/secrets` that are named as the variables, in lower case.
    """

    model_config = SettingsConfigDict(
        env_prefix="MM_POLYBOLT_",
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
    )

    api_key: SecretStr = SecretStr("")
    secret: SecretStr = SecretStr("")
    passphrase: SecretStr = SecretStr("")

    def credentials(self) -> Credentials | None:
        """The credentials; None unless all three are set."""
        texts = [each.get_secret_value() for each in (self.api_key, self.secret, self.passphrase)]
        return Credentials(*texts) if all(texts) else None

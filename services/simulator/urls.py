"""Where each simulated venue listens."""

from __future__ import annotations

from typing import NamedTuple

BYBIT_PATH = "/v5/public/spot"
COINBASE_PATH = "/coinbase"
MARKET_PATH = "/ws/market"
POLYBOLT_PATH = "/polybolt/ws"
RTDS_PATH = "/rtds"
CRYPTO_PRICE_PATH = "/api/crypto/crypto-price"


class VenueUrls(NamedTuple):
    """The base URL of every venue, without a trailing slash."""

    bybit_ws: str
    coinbase_ws: str
    coinbase_rest: str
    gamma: str
    clob: str
    website: str
    crypto_price: str
    market_ws: str
    polybolt_ws: str
    rtds_ws: str
    truth: str
    fault: str


def urls(port: int, host: str = "127.0.0.1") -> VenueUrls:
    """URLs of a simulator on that port; `coinbase_rest`, `gamma`, `clob` and `website` are bases."""
    http, ws = f"http://{host}:{port}", f"ws://{host}:{port}"
    return VenueUrls(
        bybit_ws=ws + BYBIT_PATH,
        coinbase_ws=ws + COINBASE_PATH,
        coinbase_rest=http,
        gamma=http,
        clob=http,
        website=http,
        crypto_price=http + CRYPTO_PRICE_PATH,
        market_ws=ws + MARKET_PATH,
        polybolt_ws=ws + POLYBOLT_PATH,
        rtds_ws=ws + RTDS_PATH,
        truth=http + "/sim/truth",
        fault=http + "/sim/fault",
    )

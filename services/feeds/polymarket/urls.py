"""Where the venue's endpoints are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, urlencode

from shared.market import NS_PER_S, Series

# The website names the lengths of its periods; a length it does not know is asked for by its own name.
_VARIANTS = {300: "fiveminute", 900: "fifteen", 14_400: "fourhour"}


class Urls(NamedTuple):
    """Bases of the endpoints, without a trailing slash. The defaults are the real venue."""

    gamma: str = "https://gamma-api.polymarket.com"
    clob: str = "https://clob.polymarket.com"
    website: str = "https://polymarket.com"
    market_channel: str = "wss://ws-subscriptions-clob.polymarket.com/ws/market"


def event_url(urls: Urls, slug: str) -> str:
    """Gamma's event of a slug."""
    return f"{urls.gamma}/events/slug/{quote(slug, safe='')}"


def listing_url(urls: Urls, ts_ns: int, *, ahead_s: int) -> str:
    """Gamma's open Up or Down events that end between now and `ahead_s` seconds later."""
    now_s = ts_ns // NS_PER_S
    terms = {
        "tag_slug": "up-or-down",
        "closed": "false",
        "end_date_min": iso(now_s),
        "end_date_max": iso(now_s + ahead_s),
        "limit": "100",
    }
    return f"{urls.gamma}/events?{urlencode(terms, safe=':')}"


def clob_market_url(urls: Urls, condition_id: str) -> str:
    """The order book's own view of a market."""
    return f"{urls.clob}/clob-markets/{quote(condition_id, safe='')}"


def book_url(urls: Urls, token: str) -> str:
    """The whole book of one token."""
    return f"{urls.clob}/book?token_id={quote(token, safe='')}"


def crypto_price_url(urls: Urls, series: Series, *, start_s: int, end_s: int, lookback_s: int) -> str:
    """The website's open and close price of a period; without the TWAP terms it would answer with spot."""
    terms = {
        "symbol": series.asset,
        "eventStartTime": iso(start_s),
        "variant": _VARIANTS.get(series.length_s, series.length_text),
        "endDate": iso(end_s),
    }
    if lookback_s:
        terms |= {"twapEnabled": "true", "twapLookbackSeconds": str(lookback_s)}
    return f"{urls.website}/api/crypto/crypto-price?{urlencode(terms, safe=':')}"


def iso(second: int) -> str:
    """A Unix second as the venue writes it: `2026-10-05T23:00:00Z`."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""Prices and sizes of the venue's strings, exactly.

A price is an integer number of *units* of $0.0001, the finest tick the venue knows; every legal tick (0.1, 0.01,
0.005, 0.0025, 0.001, 0.0001) is a whole number of units, so a change of tick size changes no stored price.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

UNITS_PER_USD = 10_000
LEGAL_TICK_UNITS = frozenset({1_000, 100, 50, 25, 10, 1})
MAX_SIZE_SHARES = 1e12

_PRICE = re.compile(r"(?a:(\d?)(?:\.(\d{1,12}))?)")


@lru_cache(maxsize=32_768)
def price_units(text: str) -> int | None:
    """Units in a price string such as `0.86` or `.86`; None unless an exact number of units in [0, 1] dollars."""
    found = _PRICE.fullmatch(text)
    if found is None or not text or text == ".":
        return None
    whole, fraction = found[1], found[2] or ""
    if not whole and not fraction:
        return None
    kept, rest = fraction[:4].ljust(4, "0"), fraction[4:]
    if rest.strip("0"):
        return None
    units = int(whole or "0") * UNITS_PER_USD + int(kept)
    return units if units <= UNITS_PER_USD else None


@lru_cache(maxsize=1_024)
def tick_units(text: str) -> int | None:
    """Units in a tick size such as `0.01`; None when it is not a legal tick."""
    units = price_units(text)
    return units if units in LEGAL_TICK_UNITS else None


@lru_cache(maxsize=8_192)
def size_shares(text: str) -> float | None:
    """Shares in a size string; None when negative, not finite, absurd, or not a plain decimal."""
    if len(text) > 32 or not text.isascii() or not text.replace(".", "", 1).isdigit():
        return None
    shares = float(text)
    return shares if shares <= MAX_SIZE_SHARES else None


def milliseconds(text: str) -> int | None:
    """Unix milliseconds in a timestamp string; None when it is not a plain positive integer of at most 15 digits."""
    if len(text) > 15 or not text.isascii() or not text.isdigit():
        return None
    return int(text)


def positive(number: object) -> float | None:
    """A finite positive number, given as a JSON number or as a plain decimal string; else None."""
    if isinstance(number, bool) or not isinstance(number, int | float | str):
        return None
    if isinstance(number, str) and not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,24})?", number):
        return None
    try:
        price = float(number)
    except OverflowError:
        return None
    return price if math.isfinite(price) and price > 0.0 else None

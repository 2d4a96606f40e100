"""How the venues write JSON: separators, decimal texts, times."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any


def compact(message: Any) -> str:
    """JSON without spaces, as Go and most venues write it."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def spaced(message: Any) -> str:
    """JSON with a space after each comma and none after a colon, as part of the market channel writes it."""
    return json.dumps(message, separators=(", ", ":"), ensure_ascii=False)


def iso(ts_ms: int, *, digits: int = 0) -> str:
    """`2026-10-05T23:00:00Z`, with `digits` (0, 3 or 6) decimals of a second."""
    moment = datetime.fromtimestamp(ts_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{ts_ms % 1000:03d}{'0' * (digits - 3)}" if digits else ""
    return f"{moment}{fraction}Z"


def parse_iso_s(text: str) -> int:
    """Unix seconds of an ISO time; raises ValueError."""
    moment = datetime.fromisoformat(text.replace(" ", "+"))
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def exact_e18(number: float) -> int:
    """The shortest decimal of a float times 10^18, as Chainlink spot values look."""
    return int(Decimal(repr(number)) * 10**18)


def binary_e18(number: float) -> int:
    """A float times 10^18 in binary arithmetic, with its tail of digits, as the TWAP values look."""
    return int(number * 1e18)


def e18_text(e18: int) -> str:
    """An E18 integer as a plain decimal with 18 places."""
    whole, part = divmod(e18, 10**18)
    return f"{whole}.{part:018d}"


def trim(text: str) -> str:
    """A decimal without trailing zeros: `0.30` is `0.3`, `5.00` is `5`."""
    return text.rstrip("0").rstrip(".") if "." in text else text

"""One market: its names, its times, its book and what became of it."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

import numpy as np

from services.simulator import params
from services.simulator.outcome_book import OutcomeBook
from shared.market import Series

_EASTERN = ZoneInfo("America/New_York")
_GAMMA_SERIES = {"btc-5m": "10684", "eth-5m": "10683", "btc-15m": "10192", "eth-15m": "10191"}


def gamma_series_id(series: Series) -> str:
    """The venue's numeric id where it is known, a stable invented one elsewhere."""
    known = _GAMMA_SERIES.get(series.name)
    return known or str(90_000 + int.from_bytes(sha256(series.name.encode()).digest()[:2], "big"))


def gamma_series_slug(series: Series) -> str:
    return f"{series.asset.lower()}-up-or-down-{series.length_text}"


def _digest(*parts: object) -> bytes:
    return sha256("|".join(str(part) for part in parts).encode()).digest()


def _eastern_range(start_s: int, end_s: int) -> str:
    first, last = (datetime.fromtimestamp(second, UTC).astimezone(_EASTERN) for second in (start_s, end_s))

    def clock(moment: datetime) -> str:
        seconds = f":{moment.second:02d}" if moment.second else ""
        return f"{moment.hour % 12 or 12}:{moment.minute:02d}{seconds}{moment:%p}"

    return f"{first:%B} {first.day}, {clock(first)}-{clock(last)} ET"


class Period:
    """A market from its creation to a while after its resolution. Times in Unix seconds or ms as named."""

    def __init__(self, series: Series, start_s: int, *, seed: int, version: str, rng: np.random.Generator) -> None:
        self.series = series
        self.start_s = start_s
        self.end_s = start_s + series.length_s
        self.slug = series.slug(start_s)
        self.version = version
        self.rng = rng
        name = _digest(seed, self.slug)
        self.market_id = str(5_000_000 + int.from_bytes(name[:3], "big") % 1_000_000)
        self.event_id = str(1_000_000 + int.from_bytes(name[3:6], "big") % 1_000_000)
        self.question_id = "0x" + _digest(seed, self.slug, "question").hex()
        if version == "v2":
            self.condition_id = "0x01" + name[:16].hex() + "00" * 15
            first = int(self.condition_id, 16)
            self.tokens = (str(first), str(first + 1))
        else:
            self.condition_id = "0x" + name.hex()
            up, down = (int.from_bytes(_digest(seed, self.slug, side), "big") for side in ("up", "down"))
            self.tokens = (str(up), str(down))
        asset = params.ASSETS[series.asset]
        self.question = f"{asset.title} Up or Down - {_eastern_range(self.start_s, self.end_s)}"
        self.created_ms = (self.start_s - params.CREATED_AHEAD_S) * 1000 + int(rng.integers(60_000, 600_000))
        late = rng.random() < params.LATE_RESOLVE_SHARE
        delay_s = rng.uniform(*(params.LATE_RESOLVE_S if late else params.RESOLVE_DELAY_S))
        self.resolve_ms = self.end_s * 1000 + int(delay_s * 1000.0)
        self.metadata_ms = self.end_s * 1000 + int(rng.uniform(*params.METADATA_DELAY_S) * 1000.0)
        self.book = OutcomeBook()
        self.strike: float | None = None
        self.final: float | None = None
        self.resolved = False
        self.trades = 0
        self.informed_trades = 0
        self.micro_usdc_traded = 0

    @property
    def up_won(self) -> bool | None:
        """Whether Up won (a tie is Up); None while the final value is unknown."""
        return None if self.final is None or self.strike is None else self.final >= self.strike

    def outcome_index(self, token: str) -> int:
        """0 for Up, 1 for Down; raises ValueError for a token of another market."""
        return self.tokens.index(token)

    def book_hash(self, outcome_index: int, ts_ms: int) -> str:
        return self.book.hash(
            market=self.condition_id,
            asset_id=self.tokens[outcome_index],
            ts_ms=ts_ms,
            outcome_index=outcome_index,
            version=self.version,
        )

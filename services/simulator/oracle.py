"""The settlement oracle: a 1 Hz spot value and its 60 s time-weighted average, with the relay's lags and gaps.

Spot stamped s is the mean of the latent price over a box of 1.2 s centered 0.85 s before s. TWAP60 stamped t is the
plain arithmetic mean of the 60 spot values stamped t-62 .. t-3. Both exist for every second; the relay drops a share
of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.simulator import params
from services.simulator.events import OracleTick
from services.simulator.price_path import PricePath
from services.simulator.wire import binary_e18, exact_e18

_KINDS = ("spot", "twap")


class LagShape(NamedTuple):
    """Normal lag, clipped; all in ms."""

    mean_ms: float
    sd_ms: float
    min_ms: float
    max_ms: float

    def draw(self, rng: np.random.Generator) -> int:
        return int(min(max(rng.normal(self.mean_ms, self.sd_ms), self.min_ms), self.max_ms))


class Oracle:
    """Values of one asset. `stamp(second)` must be called for every second in order once its box of prices exists."""

    def __init__(
        self, asset: str, *, path: PricePath, start_s: int, rng: np.random.Generator, missing_share: float
    ) -> None:
        self.asset = asset
        self._path = path
        self._rng = rng
        self._missing_share = missing_share
        self._base_s = path.history_start_s + 1
        coarse = np.array(path.coarse[asset])
        ahead = params.ORACLE_CENTER_MS / 1000.0
        smooth = ahead * coarse[:-1] + (1.0 - ahead) * coarse[1:]
        noise = 1.0 + params.ORACLE_NOISE * rng.standard_normal(len(smooth))
        self._spot: list[float] = [round(number, 11) for number in (smooth * noise).tolist()]
        self._spot_lag = LagShape(*params.SPOT_LAG_MS)
        self._twap_lag = LagShape(*params.TWAP_LAG_MS)
        self._last_delivery_ms = {kind: 0 for kind in _KINDS}
        self.relayed: dict[str, dict[int, OracleTick]] = {kind: {} for kind in _KINDS}
        for second in range(start_s - params.SNAPSHOT_SECONDS - 5, self.newest_s + 1):
            self._relay(second)

    @property
    def newest_s(self) -> int:
        """The newest stamp that exists."""
        return self._base_s + len(self._spot) - 1

    def spot(self, stamp_s: int) -> float | None:
        """The spot value of that second; None outside what is kept."""
        at = stamp_s - self._base_s
        return self._spot[at] if 0 <= at < len(self._spot) else None

    def twap(self, stamp_s: int) -> float | None:
        """TWAP60 of that second; None when one of its 60 values is not kept or not yet there."""
        first = stamp_s - params.TWAP_FIRST - self._base_s
        last = stamp_s - params.TWAP_LAST - self._base_s
        if first < 0 or last >= len(self._spot):
            return None
        return sum(self._spot[first : last + 1]) / params.TWAP_SECONDS

    def known_part(self, stamp_s: int) -> tuple[float, int]:
        """Sum and count of the values of TWAP60(stamp_s) that exist already."""
        first = max(0, stamp_s - params.TWAP_FIRST - self._base_s)
        last = min(len(self._spot), stamp_s - params.TWAP_LAST - self._base_s + 1)
        return (sum(self._spot[first:last]), last - first) if last > first else (0.0, 0)

    def stamp(self, second: int) -> list[OracleTick]:
        """Form the values of a second; returns the ticks the relay will deliver, each at its `ts_ms`."""
        center, half = second * 1000 - params.ORACLE_CENTER_MS, params.ORACLE_BOX_MS // 2
        mean = self._path.box_mean_usd(self.asset, from_ms=center - half, to_ms=center + half)
        noisy = mean * (1.0 + params.ORACLE_NOISE * float(self._rng.standard_normal()))
        self._spot.append(round(noisy, 11))
        return self._relay(second)

    def _relay(self, second: int) -> list[OracleTick]:
        ticks = []
        for kind, lag in (("spot", self._spot_lag), ("twap", self._twap_lag)):
            dropped = self._rng.random() < self._missing_share
            delivery_ms = max(second * 1000 + lag.draw(self._rng), self._last_delivery_ms[kind] + 1)
            number = self.spot(second) if kind == "spot" else self.twap(second)
            if dropped or number is None:
                continue
            self._last_delivery_ms[kind] = delivery_ms
            e18 = exact_e18(number) if kind == "spot" else binary_e18(number)
            tick = OracleTick(delivery_ms, self.asset, "spot" if kind == "spot" else "twap", second, number, e18)
            self.relayed[kind][second] = tick
            ticks.append(tick)
        for kept in self.relayed.values():
            for old in [s for s in kept if s < second - params.SNAPSHOT_SECONDS - 10]:
                del kept[old]
        return ticks

    def snapshot(self, kind: str, *, now_ms: int, seconds: int) -> list[OracleTick]:
        """Ticks delivered by now, stamped within the latest seconds, oldest first."""
        since = now_ms // 1000 - seconds
        return [tick for s, tick in self.relayed[kind].items() if s >= since and tick.ts_ms <= now_ms]

    def prune(self, *, keep_seconds: int) -> None:
        """Forget values older than that, in chunks."""
        surplus = len(self._spot) - keep_seconds
        if surplus > keep_seconds // 2:
            del self._spot[:surplus]
            self._base_s += surplus

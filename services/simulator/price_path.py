"""The latent USD price of each coin: two-factor stochastic volatility, jumps and a common factor.

`log sigma = log sigma_bar + fast + slow` (two Ornstein-Uhlenbeck factors, updated each second), returns are Gaussian
on a 20 ms grid within a second, jumps arrive as a Poisson stream, coins share a factor with correlation
FACTOR_CORRELATION. The USDT basis is a slow Ornstein-Uhlenbeck process in dollars. Everything is drawn one second at
a time from the path's own generator, so the path does not depend on who looks at it, or when.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from services.simulator import params
from services.simulator.params import AssetParams

STEPS_PER_S = 1000 // params.STEP_MS
_FINE_SECONDS_KEPT = 12


class Jump(NamedTuple):
    ts_ms: int
    asset: str
    log_return: float


class _Coin:
    def __init__(self, asset: AssetParams, start_price_usd: float) -> None:
        self.asset = asset
        self.log_price = math.log(start_price_usd)
        self.fast = 0.0
        self.slow = 0.0
        self.basis_usd = asset.basis_mean_usd
        self.fine: dict[int, list[float]] = {}  # second -> prices on the grid
        self.sigmas: list[float] = []  # annualized, one each second since the history's start


class PricePath:
    """Prices from `history_start_s` on; `extend_to(second)` makes the path exist up to the end of that second.

    Before `fine_from_s` the path is only known once a second (`coarse`), which is what makes a long history cheap.
    """

    def __init__(
        self,
        assets: tuple[AssetParams, ...],
        *,
        history_start_s: int,
        fine_from_s: int,
        rng: np.random.Generator,
        sigma_scale: float = 1.0,
        jump_scale: float = 1.0,
    ) -> None:
        self.history_start_s = history_start_s
        self.jumps: list[Jump] = []
        self._rng = rng
        self._sigma_scale = sigma_scale
        self._jump_rate = params.JUMP_RATE_PER_S * jump_scale
        self._coins = {a.name: _Coin(a, a.start_price_usd * math.exp(rng.normal(0.0, 0.02))) for a in assets}
        self._next_s = fine_from_s
        self.coarse: dict[str, list[float]] = self._history(fine_from_s - history_start_s)

    def _history(self, seconds: int) -> dict[str, list[float]]:
        """One price at the start of each second of the history."""
        rho = params.FACTOR_CORRELATION
        common = self._rng.standard_normal(seconds)
        series: dict[str, list[float]] = {}
        for name, coin in self._coins.items():
            shocks = self._rng.standard_normal((3, seconds))
            own = math.sqrt(rho) * common + math.sqrt(1.0 - rho) * self._rng.standard_normal(seconds)
            sigmas = np.array([self._next_sigma(coin, f, s, b) for f, s, b in shocks.T.tolist()])
            hits = self._rng.random(seconds) < self._jump_rate
            jumps = hits * self._rng.normal(0.0, params.JUMP_SD, seconds)
            self.jumps += [
                Jump((self.history_start_s + int(i)) * 1000, name, float(jumps[i])) for i in np.flatnonzero(hits)
            ]
            steps = sigmas / math.sqrt(params.SECONDS_PER_YEAR) * own + jumps
            logs = coin.log_price + np.concatenate(([0.0], np.cumsum(steps)))
            coin.log_price = float(logs[-1])
            coin.sigmas = sigmas.tolist()
            series[name] = np.exp(logs[:-1]).tolist()
            for back in (1, 2):  # the oracle's box reaches a little behind the first fine second
                line = np.linspace(logs[-1 - back], logs[-back], STEPS_PER_S, endpoint=False)
                coin.fine[self._next_s - back] = np.exp(line).tolist()
        return series

    def _next_sigma(self, coin: _Coin, fast: float, slow: float, basis: float) -> float:
        """Move the volatility factors and the basis by a second; the annualized volatility of that second."""
        keep = 0.5 ** (1.0 / params.VOL_FAST_HALF_LIFE_S)
        coin.fast = keep * coin.fast + params.VOL_FAST_SD * math.sqrt(1.0 - keep * keep) * fast
        keep = 0.5 ** (1.0 / params.VOL_SLOW_HALF_LIFE_S)
        coin.slow = keep * coin.slow + params.VOL_SLOW_SD * math.sqrt(1.0 - keep * keep) * slow
        keep = 0.5 ** (1.0 / params.BASIS_HALF_LIFE_S)
        asset = coin.asset
        coin.basis_usd = (
            asset.basis_mean_usd
            + keep * (coin.basis_usd - asset.basis_mean_usd)
            + asset.basis_sd_usd * math.sqrt(1.0 - keep * keep) * basis
        )
        return self._sigma_scale * asset.sigma_annual * math.exp(coin.fast + coin.slow)

    def extend_to(self, second: int) -> None:
        """Draw every missing second up to and including this one."""
        rho = params.FACTOR_CORRELATION
        while self._next_s <= second:
            common = self._rng.standard_normal(STEPS_PER_S)
            for name, coin in self._coins.items():
                fast, slow, basis = self._rng.standard_normal(3).tolist()
                sigma = self._next_sigma(coin, fast, slow, basis)
                own = math.sqrt(rho) * common + math.sqrt(1.0 - rho) * self._rng.standard_normal(STEPS_PER_S)
                steps = sigma / math.sqrt(params.SECONDS_PER_YEAR * STEPS_PER_S) * own
                if self._rng.random() < self._jump_rate:
                    at = int(self._rng.integers(STEPS_PER_S))
                    jump = float(self._rng.normal(0.0, params.JUMP_SD))
                    steps[at] += jump
                    self.jumps.append(Jump(self._next_s * 1000 + at * params.STEP_MS, name, jump))
                logs = coin.log_price + np.cumsum(steps)
                coin.log_price = float(logs[-1])
                coin.sigmas.append(sigma)
                coin.fine[self._next_s] = np.exp(logs).tolist()
                coin.fine.pop(self._next_s - _FINE_SECONDS_KEPT, None)
            self._next_s += 1

    def price_usd(self, asset: str, ts_ms: int) -> float:
        """The latent price at an instant of the last seconds; raises KeyError outside the fine grid."""
        return self._coins[asset].fine[ts_ms // 1000][ts_ms % 1000 // params.STEP_MS]

    def box_mean_usd(self, asset: str, *, from_ms: int, to_ms: int) -> float:
        """Mean price over an interval on the fine grid."""
        stamps = range(from_ms, to_ms, 2 * params.STEP_MS)
        return sum(self.price_usd(asset, ts_ms) for ts_ms in stamps) / len(stamps)

    def basis_usd(self, asset: str) -> float:
        """USDT price minus USD price now."""
        return self._coins[asset].basis_usd

    def sigma_annual(self, asset: str) -> float:
        """Volatility of the newest second."""
        return self._coins[asset].sigmas[-1]

    def sigma_path(self, asset: str, seconds: int) -> list[float]:
        """Annualized volatility of the newest seconds, oldest first."""
        return self._coins[asset].sigmas[-seconds:]

    def prune(self, *, keep_seconds: int, keep_jumps: int = 200) -> None:
        """Forget old volatilities, jumps and the history at start, so that memory stays flat."""
        for coin in self._coins.values():
            del coin.sigmas[: max(0, len(coin.sigmas) - keep_seconds)]
        del self.jumps[: max(0, len(self.jumps) - keep_jumps)]
        self.coarse.clear()

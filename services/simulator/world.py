"""The simulated world: prices, venues, oracle, markets and everybody who trades in them.

Pure and deterministic: a discrete-event simulation with its own schedule. `advance(until_ms, sink)` plays every event
up to an instant, in order, and hands each to `sink` while the world is in the state right after it; how the time is
sliced changes nothing. The state is there to be read at any time (books, oracle values, periods). All times are Unix
ms unless named.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import numpy as np

from services.simulator import params
from services.simulator.events import Event, MarketCreated, OracleTick, RelayTick
from services.simulator.fair import up_probability
from services.simulator.market_life import MarketLife
from services.simulator.oracle import LagShape, Oracle
from services.simulator.period import Period
from services.simulator.price_path import PricePath
from services.simulator.schedule import Schedule
from services.simulator.spot_streams import start_bybit, start_coinbase
from services.simulator.spot_venue import Bybit, Coinbase
from shared.market import Series

Sink = Callable[[Event], None]
_WARM_S = 8  # fine price path before the start
_SIGMA_SECONDS = 60  # what traders take for the volatility: the root mean square of the latest minute


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """What the world is like; see `settings.py` for the meaning of each."""

    seed: int = 1
    series: tuple[str, ...] = ("btc-15m",)
    leader: Literal["bybit", "coinbase"] = "bybit"
    lead_ms: int = 400
    informed_share: float = 0.25
    maker_lag_ms: int = 500
    sigma_scale: float = 1.0
    jump_scale: float = 1.0
    missing_share: float = 0.02
    book_rate: float = 1.0
    burst_per_s: float = 0.0
    burst_s: float = 5.0
    quote_rate: float = 1.0
    version: str = "v1"


class World:
    """Everything from `start_ms` on, with enough history before it for a client to find the venues in full swing.

    Raises ValueError for a series of an unknown coin.
    """

    def __init__(self, config: WorldConfig, *, start_ms: int) -> None:
        self.config = config
        self.start_ms = start_ms
        self.now_ms = start_ms
        self.series = tuple(Series.parse(name) for name in config.series)
        names = tuple(dict.fromkeys(series.asset for series in self.series))
        for name in names:
            if name not in params.ASSETS:
                raise ValueError(f"no simulated coin {name}: known are {', '.join(params.ASSETS)}")
        self.assets = tuple(params.ASSETS[name] for name in names)
        self.schedule = Schedule()
        self._sink: Sink = lambda _event: None
        start_s = start_ms // 1000
        self._keep_s = 2 * max(series.length_s for series in self.series) + 400
        self.path = PricePath(
            self.assets,
            history_start_s=start_s - self._keep_s,
            fine_from_s=start_s - _WARM_S,
            rng=self._generator("path"),
            sigma_scale=config.sigma_scale,
            jump_scale=config.jump_scale,
        )
        self.path.extend_to(start_s)
        self.oracles: dict[str, Oracle] = {}
        self.bybit: dict[str, Bybit] = {}
        self.coinbase: dict[str, Coinbase] = {}
        self.relay: dict[str, dict[int, RelayTick]] = {name: {} for name in names}
        for name in names:
            self._start_oracle(name)
            self._start_spot(name)
        self.periods: dict[str, Period] = {}  # by slug
        self._lives: dict[str, MarketLife] = {}  # by slug
        self._by_token: dict[str, Period] = {}
        self._by_condition: dict[str, Period] = {}
        for series in self.series:
            current_s = series.start_of(start_ms * 1_000_000)
            for step in range(-1, params.PERIODS_AHEAD + 1):
                self._create(series, current_s + step * series.length_s)
        self.schedule.at((start_s + 1) * 1000, self._second)

    def _generator(self, *parts: object) -> np.random.Generator:
        """An independent generator for one part of the world, the same for the same seed and name."""
        name = sha256("|".join(str(part) for part in parts).encode()).digest()
        return np.random.default_rng([self.config.seed, int.from_bytes(name[:8], "big")])

    def _emit(self, event: Event) -> None:
        self._sink(event)

    def advance(self, until_ms: int, sink: Sink) -> None:
        """Play everything up to and including an instant."""
        self._sink = sink
        while (due := self.schedule.pop(until_ms)) is not None:
            self.now_ms = due.ts_ms
            self.path.extend_to(due.ts_ms // 1000)  # never further: nobody may see a volatility of the future
            due.act(due.ts_ms)
        self.now_ms = max(self.now_ms, until_ms)
        self.path.extend_to(self.now_ms // 1000)

    # --- prices ----------------------------------------

    def delay_ms(self, venue: str) -> int:
        """How late a spot venue shows the latent price."""
        return 0 if venue == self.config.leader else self.config.lead_ms

    def _start_spot(self, name: str) -> None:
        asset, path, start_ms, rate = params.ASSETS[name], self.path, self.start_ms, self.config.quote_rate
        bybit_ms, coinbase_ms = self.delay_ms("bybit"), self.delay_ms("coinbase")
        bybit = self.bybit[name] = Bybit(
            asset,
            mid_at=lambda ts_ms: path.price_usd(name, ts_ms - bybit_ms) + path.basis_usd(name),
            rng=self._generator("bybit", name),
            start_ms=start_ms,
        )
        coinbase = self.coinbase[name] = Coinbase(
            asset,
            mid_at=lambda ts_ms: path.price_usd(name, ts_ms - coinbase_ms),
            rng=self._generator("coinbase", name),
            start_ms=start_ms,
        )
        start_bybit(bybit, schedule=self.schedule, sink=self._emit, start_ms=start_ms, rate=rate)
        start_coinbase(coinbase, schedule=self.schedule, sink=self._emit, start_ms=start_ms, rate=rate)

    def _start_oracle(self, name: str) -> None:
        start_s = self.start_ms // 1000
        oracle = self.oracles[name] = Oracle(
            name,
            path=self.path,
            start_s=start_s,
            rng=self._generator("oracle", name),
            missing_share=self.config.missing_share,
        )
        for second in range(oracle.newest_s + 1, start_s + 1):
            oracle.stamp(second)
        for kept in oracle.relayed.values():
            for tick in kept.values():
                if tick.ts_ms > self.start_ms:
                    self._deliver(tick)

    def _deliver(self, tick: OracleTick | RelayTick) -> None:
        self.schedule.at(tick.ts_ms, lambda _ts_ms: self._sink(tick))

    def _second(self, ts_ms: int) -> None:
        """What happens at every whole second: oracle values, strikes and finals, rollover, pruning."""
        second = ts_ms // 1000
        for name, oracle in self.oracles.items():
            for tick in oracle.stamp(second):
                self._deliver(tick)
            lag_ms = LagShape(*params.RELAY_LAG_MS).draw(self.bybit[name].rng)
            number = round(self.path.price_usd(name, ts_ms) + self.path.basis_usd(name), 2)
            relay = self.relay[name][second] = RelayTick(ts_ms + lag_ms, name, second, number)
            self.relay[name].pop(second - params.SNAPSHOT_SECONDS - 10, None)
            self._deliver(relay)
        for series in self.series:
            if second % series.length_s == 0:
                self._roll(series, second)
        if second % 60 == 0:
            for oracle in self.oracles.values():
                oracle.prune(keep_seconds=self._keep_s)
            self.path.prune(keep_seconds=self._keep_s)
        self.schedule.at(ts_ms + 1000, self._second)

    # --- markets ----------------------------------------

    def _create(self, series: Series, start_s: int) -> Period:
        first_s = series.start_of(self.start_ms * 1_000_000)
        rng = self._generator("period", series.name, (start_s - first_s) // series.length_s)
        period = Period(series, start_s, seed=self.config.seed, version=self.config.version, rng=rng)
        oracle = self.oracles[series.asset]
        period.strike, period.final = oracle.twap(period.start_s), oracle.twap(period.end_s)
        self.periods[period.slug] = self._by_condition[period.condition_id] = period
        for token in period.tokens:
            self._by_token[token] = period
        life = self._lives[period.slug] = MarketLife(
            period,
            schedule=self.schedule,
            sink=self._emit,
            fair=lambda ts_ms, informed: self.fair_value(period, ts_ms, informed=informed),
            informed_share=self.config.informed_share,
            rate=self.config.book_rate,
            burst_per_s=self.config.burst_per_s,
            burst_s=self.config.burst_s,
        )
        life.start(self.now_ms)
        return period

    def _roll(self, series: Series, second: int) -> None:
        """At a boundary: fix the strike and the final, list a new market, forget the oldest."""
        boundary = self.oracles[series.asset].twap(second)
        for period in [p for p in self.periods.values() if p.series.name == series.name]:
            if period.start_s == second:
                period.strike = boundary
            if period.end_s == second:
                period.final = boundary
            if period.resolved and period.end_s < second - params.PERIODS_KEPT * series.length_s:
                self._forget(period)
        new = self._create(series, second + params.PERIODS_AHEAD * series.length_s)
        self._sink(MarketCreated(self.now_ms, new))

    def _forget(self, period: Period) -> None:
        del self.periods[period.slug], self._lives[period.slug], self._by_condition[period.condition_id]
        for token in period.tokens:
            del self._by_token[token]

    def period_of_token(self, token: str) -> Period | None:
        return self._by_token.get(token)

    def period_of_condition(self, condition_id: str) -> Period | None:
        return self._by_condition.get(condition_id)

    def current_period(self, series: Series) -> Period:
        """The period of a series that runs now."""
        return self.periods[series.slug(series.start_of(self.now_ms * 1_000_000))]

    def change_tick(self, period: Period) -> None:
        """Switch a market to the fine tick now, as the fault of that name wants."""
        self._lives[period.slug].change_tick(self.now_ms)

    def fair_value(self, period: Period, ts_ms: int, *, informed: bool) -> float:
        """P(Up) to somebody who sees the leader now (informed) or as late as the makers do."""
        name = period.series.asset
        sigmas = self.path.sigma_path(name, _SIGMA_SECONDS)
        seen_ms = ts_ms if informed else ts_ms - self.config.maker_lag_ms
        return up_probability(
            self.oracles[name],
            start_s=period.start_s,
            end_s=period.end_s,
            now_ms=ts_ms,
            price_usd=self.path.price_usd(name, seen_ms),
            sigma_annual=math.sqrt(sum(s * s for s in sigmas) / len(sigmas)),
        )

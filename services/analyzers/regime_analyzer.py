"""`Regime` of one market: the state of the underlying and its momentum, from the leading venue's mid."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.analyzers import momentum, regime, spot_source
from services.analyzers.answers import answer
from services.analyzers.config_record import config_record
from services.analyzers.reaction import CHANGED, NOTHING, URGENT, Reaction
from shared.core import Delivery
from shared.kernel import State, kernel
from shared.messages import LeadLag, OracleHistory, Regime, SpotQuote

STATE = np.dtype(
    [
        ("source", spot_source.STATE),
        ("regime", regime.STATE),
        ("momentum", momentum.STATE),
        ("rebase", "i8"),  # the momentum stands on the oracle's prices
    ],
    align=True,
)


class Settings(NamedTuple):
    """The estimators' settings."""

    source: spot_source.Config = spot_source.Config()
    regime: regime.Config = regime.Config()
    momentum: momentum.Config = momentum.Config()


@kernel
def on_quote(states: State, configs: State, index: int, ts_event_ns: int, ts_recv_ns: int, log_mid: float) -> int:
    """Take one quote; -1 not used, 0 used, 1 when a sample was counted, 2 when the regime changed."""
    state = states[0]
    settings = configs[0]
    ts_event_ns = spot_source.event_time(state.source, settings.source, index, ts_event_ns, ts_recv_ns)
    verdict = spot_source.admit(state.source, settings.source, index, ts_event_ns, ts_recv_ns)
    if verdict <= 0:
        return -1
    before = state.regime.regime
    counted = False
    if verdict == 2:
        regime.anchor(state.regime, ts_event_ns, log_mid)
    else:
        counted = regime.update(state.regime, settings.regime, ts_event_ns, log_mid)
    if (verdict == 2 or state.rebase > 0) and state.momentum.last_ns > 0:
        if (ts_event_ns - state.momentum.last_ns) * 1e-9 <= settings.momentum.max_gap_s:
            momentum.rebase(state.momentum, ts_event_ns, log_mid)
        else:
            momentum.restart(state.momentum, ts_event_ns, log_mid)
    else:
        counted = momentum.update(state.momentum, settings.momentum, ts_event_ns, log_mid) or counted
    state.rebase = 0
    if state.regime.regime != before:
        return 2
    return 1 if counted else 0


@kernel
def on_history(states: State, configs: State, seconds: NDArray[np.int64], prices: NDArray[np.float64]) -> bool:
    """Take a history of spot prints while cold; True when it was used."""
    state = states[0]
    settings = configs[0]
    if not regime.replace_with_history(state.regime, settings.regime, seconds, prices):
        return False
    state.momentum.last_ns = 0
    for i in range(len(seconds)):
        if prices[i] > 0.0:
            momentum.update(state.momentum, settings.momentum, seconds[i] * 1_000_000_000, math.log(prices[i]))
    state.rebase = 1
    return True


@kernel
def read(states: State, configs: State, now_ns: int) -> tuple[int, bool, float, float, float, float, float]:
    """(regime code, warm, variance ratio, efficiency ratio, P(volatile), drift per second, momentum score)."""
    state = states[0]
    settings = configs[0]
    drift, score = momentum.read(state.momentum, settings.momentum, state.regime.sigma)
    if not regime.is_warm(state.regime, settings.regime, now_ns):
        return 0, False, math.nan, math.nan, math.nan, drift, 0.0
    return (
        state.regime.regime,
        True,
        state.regime.variance_ratio,
        state.regime.efficiency_ratio,
        state.regime.loud,
        drift,
        score,
    )


class RegimeAnalyzer:
    """Takes `SpotQuote`, `OracleHistory` spot (to start warm) and `LeadLag` (to prefer the leading venue)."""

    STATE = STATE

    def __init__(self, market: str, settings: Settings | None = None) -> None:
        self.market = market
        self.record: State = np.zeros(1, STATE)
        self.settings = settings or Settings()
        self._config = config_record(self.settings)
        self._state = self.record[0]
        self._venues = spot_source.Venues(self.record["source"][0])
        self._inputs: dict[str, int] = {}

    def reload(self) -> None:
        """The record was replaced: read what is kept beside it again."""
        self._venues.reload()
        self._inputs.clear()

    def observe(self, delivery: Delivery) -> Reaction:
        """Take one message."""
        message = delivery.message
        reaction = NOTHING
        if isinstance(message, SpotQuote):
            index = self._venues.index_of(message.venue)
            log_price = spot_source.log_mid(message)
            if index is None or log_price is None:
                return NOTHING
            outcome = on_quote(self.record, self._config, index, message.ts_event_ns, message.ts_recv_ns, log_price)
            if outcome < 0:
                return NOTHING
            self._inputs[delivery.topic] = delivery.seq
            return URGENT if outcome == 2 else (CHANGED if outcome == 1 else NOTHING)
        if isinstance(message, OracleHistory):
            if message.kind == "spot" and len(message.seconds) == len(message.prices):
                seconds = np.array(message.seconds, np.int64)
                prices = np.array(message.prices, np.float64)
                reaction = CHANGED if on_history(self.record, self._config, seconds, prices) else NOTHING
        elif isinstance(message, LeadLag) and message.market == self.market:
            self._venues.lead(message.leader if message.warm else None)
            reaction = CHANGED
        if reaction != NOTHING:
            self._inputs[delivery.topic] = delivery.seq
        return reaction

    def observe_gap(self, topic: str) -> None:
        """Prices are levels: the next sample's return is right however many were lost; long silences re-anchor."""

    def observe_time(self, ts_ns: int) -> Reaction:  # noqa: ARG002
        """Silence changes nothing here."""
        return NOTHING

    def signal(self, ts_event_ns: int, ts_recv_ns: int) -> Regime:
        """The signal as of now."""
        code, warm, ratio, efficiency, loud, drift, score = read(self.record, self._config, ts_recv_ns)
        return Regime(
            ts_event_ns=ts_event_ns,
            ts_recv_ns=ts_recv_ns,
            market=self.market,
            warm=warm,
            regime=regime.NAMES[code],
            variance_ratio=answer(ratio),
            efficiency_ratio=answer(efficiency),
            volatile_probability=answer(loud),
            drift_per_s=drift,
            momentum_z=score,
            inputs=dict(self._inputs),
        )

"""`LeadLag` of one market: spot venues and oracle prints into streams, the judged pairs into a signal."""

from __future__ import annotations

import numpy as np

from services.analyzers import lead_lag, spot_source
from services.analyzers.answers import answer
from services.analyzers.config_record import config_record
from services.analyzers.reaction import CHANGED, NOTHING, Reaction
from shared.core import Delivery
from shared.kernel import State, kernel
from shared.messages import LeadLag, OraclePrice, SpotQuote

MAX_CLOCK_ERROR_NS = 10_000_000_000

STATE = np.dtype([("venues", spot_source.STATE), ("lead_lag", lead_lag.STATE)], align=True)


@kernel
def on_tick(states: State, configs: State, stream: int, ts_ns: int, log_price: float) -> bool:
    """Take one tick of a stream; True when an evaluation ran."""
    return lead_lag.update(states[0].lead_lag, configs[0], stream, ts_ns, log_price)


@kernel
def read(states: State, configs: State, now_ns: int) -> tuple[int, float, float, float, bool]:
    """(leader stream or 0, its lag in seconds or NaN, rho, threshold, warm)."""
    return lead_lag.read(states[0].lead_lag, configs[0], now_ns)


class LeadLagAnalyzer:
    """Takes `SpotQuote` of up to three venues and `OraclePrice` spot; a stamp 10 s off our clock is refused."""

    STATE = STATE

    def __init__(self, market: str, config: lead_lag.Config | None = None) -> None:
        self.market = market
        self.record: State = np.zeros(1, STATE)
        self._config = config_record(config or lead_lag.Config())
        self._lead_lag = self.record["lead_lag"][0]
        self._venues = spot_source.Venues(self.record["venues"][0])
        self._inputs: dict[str, int] = {}

    def reload(self) -> None:
        """The record was replaced: read what is kept beside it again."""
        self._venues.reload()
        self._inputs.clear()

    def observe(self, delivery: Delivery) -> Reaction:
        """Take one message."""
        message = delivery.message
        if isinstance(message, SpotQuote):
            index = self._venues.index_of(message.venue)
            log_price = spot_source.log_mid(message)
            if index is None or index + 1 >= lead_lag.STREAMS or log_price is None:
                return NOTHING
            stream = index + 1
        elif isinstance(message, OraclePrice) and message.kind == "spot" and message.price > 0.0:
            stream = lead_lag.ORACLE
            log_price = float(np.log(message.price))
        else:
            return NOTHING
        if abs(message.ts_event_ns - message.ts_recv_ns) > MAX_CLOCK_ERROR_NS:
            return NOTHING
        self._inputs[delivery.topic] = delivery.seq
        ts_ns = min(message.ts_event_ns, message.ts_recv_ns)  # a stamp ahead of us would silence those after it
        evaluated = on_tick(self.record, self._config, stream, ts_ns, log_price)
        return CHANGED if evaluated else NOTHING

    def observe_gap(self, topic: str) -> None:
        """Messages were lost: the next increment of that stream is not taken."""
        kind, _, rest = topic.partition(".")
        source = rest.partition(".")[2]
        if kind == "OraclePrice" and source == "spot":
            lead_lag.mark_gap(self._lead_lag, lead_lag.ORACLE)
        elif kind == "SpotQuote":
            index = self._venues.index_of(source)
            if index is not None and index + 1 < lead_lag.STREAMS:
                lead_lag.mark_gap(self._lead_lag, index + 1)

    def observe_time(self, ts_ns: int) -> Reaction:  # noqa: ARG002
        """Silence changes nothing here: estimates age with the ticks."""
        return NOTHING

    def signal(self, ts_event_ns: int, ts_recv_ns: int) -> LeadLag:
        """The signal as of now."""
        leader, lead_s, rho, threshold, warm = read(self.record, self._config, ts_recv_ns)
        return LeadLag(
            ts_event_ns=ts_event_ns,
            ts_recv_ns=ts_recv_ns,
            market=self.market,
            warm=warm,
            leader=self._venues.name(leader - 1) if leader > 0 else None,
            lead_s=answer(lead_s),
            correlation=rho,
            threshold=threshold,
            inputs=dict(self._inputs),
        )

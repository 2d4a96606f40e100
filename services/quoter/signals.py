"""What the other parts say of one market: the analyzers' signals, the hedger's position, the health of its books."""

from __future__ import annotations

from typing import Any

from services.quoter.inputs import Input
from shared.market import NS_PER_S
from shared.messages import FeedStatus, Flow, LeadLag, Position, Regime, RegimeName, Volatility

Signal = Volatility | Regime | Flow | LeadLag | Position


class Signals:
    """The last word of each."""

    def __init__(self) -> None:
        self.volatility: Input[Volatility] = Input()
        self.regime: Input[Regime] = Input()
        self.flow: Input[Flow] = Input()
        self.lead_lag: Input[LeadLag] = Input()
        self.position: Input[Position] = Input()
        self.call_status: Input[FeedStatus] = Input()
        self.put_status: Input[FeedStatus] = Input()

    def take(self, signal: Signal, now_ns: int) -> None:
        """Take one signal."""
        match signal:
            case Volatility():
                self.volatility.take(signal, now_ns)
            case Regime():
                self.regime.take(signal, now_ns)
            case Flow():
                self.flow.take(signal, now_ns)
            case LeadLag():
                self.lead_lag.take(signal, now_ns)
            case Position():
                self.position.take(signal, now_ns)

    def forget(self) -> None:
        """As if nothing had been received."""
        for held in (self.volatility, self.regime, self.flow, self.lead_lag, self.position):
            held.forget()
        self.call_status.forget()
        self.put_status.forget()

    def ages_s(self, now_ns: int) -> dict[str, float]:
        """Seconds since the data behind each signal, by its name; what was never said is left out."""
        held = {
            "volatility": self.volatility.message,
            "regime": self.regime.message,
            "flow": self.flow.message,
            "lead_lag": self.lead_lag.message,
        }
        return {name: (now_ns - signal.ts_event_ns) / NS_PER_S for name, signal in held.items() if signal is not None}

    def take_status(self, status: FeedStatus, part: str, now_ns: int) -> bool:
        """Take the health of one outcome's book stream; False when it is another stream."""
        held = self._status_of(part) if status.channel == "OutcomeBook" else None
        if held is None:
            return False
        held.take(status, now_ns)
        return True

    def lose(self, name: str, source: str) -> bool:
        """Messages `name` were lost: stale that input until its next one. False: it is not one of these."""
        held: Input[Any] | None
        match name:
            case "Volatility":
                held = self.volatility
            case "Regime":
                held = self.regime
            case "Flow":
                held = self.flow
            case "LeadLag":
                held = self.lead_lag
            case "Position":
                held = self.position
            case "FeedStatus":
                part, _, stream = source.partition(".")
                held = self._status_of(part) if stream.endswith(".OutcomeBook") else None
            case _:
                held = None
        if held is None:
            return False
        held.has_gap = True
        return True

    def regime_name(self, now_ns: int, limit_ns: int) -> RegimeName:
        """The regime, as far as it is known."""
        regime = self.regime.message
        if regime is None or not regime.warm or not self.regime.is_usable(now_ns, limit_ns):
            return "unknown"
        return regime.regime

    def _status_of(self, part: str) -> Input[FeedStatus] | None:
        return {"CALL": self.call_status, "PUT": self.put_status}.get(part)

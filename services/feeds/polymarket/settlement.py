"""How a period ended: the venue's word beside our own recomputation."""

from __future__ import annotations

from shared.messages import FinalSource, OracleKind, Outcome, SettlementRule


def outcome_of(*, strike: float, final_price: float) -> Outcome:
    """Up (CALL) when the final price matches or beats the strike: a tie is Up."""
    return "CALL" if final_price >= strike else "PUT"


class SettlementAudit:
    """Collects what decides one period: our tick stamped exactly at the end, and what the venue says."""

    def __init__(self, *, settlement: SettlementRule, end_s: int) -> None:
        self._kind: OracleKind = "twap60" if settlement == "twap" else "spot"
        self._end_s = end_s
        self.own_final: float | None = None
        self.published_final: float | None = None
        self.official: Outcome | None = None

    def on_oracle(self, kind: OracleKind, second: int, price: float) -> bool:
        """A tick of the oracle; only the first one stamped at the end counts. True when it does."""
        if kind != self._kind or second != self._end_s or self.own_final is not None or not 0.0 < price < float("inf"):
            return False
        self.own_final = price
        return True

    def on_published_final(self, price: float) -> bool:
        """The venue's final price. True when it is news."""
        news = price != self.published_final
        self.published_final = price
        return news

    def on_official(self, outcome: Outcome) -> bool:
        """The venue's outcome. True when it is news."""
        news = outcome != self.official
        self.official = outcome
        return news

    def final_source(self) -> FinalSource:
        """Where `final_price` is from: our own tick when it came, else the venue's figure."""
        if self.own_final is not None:
            return "own_tick"
        return "published" if self.published_final is not None else ""

    def final_price(self) -> float | None:
        """Our own final tick, else the published one."""
        return self.own_final if self.own_final is not None else self.published_final

    def recomputed(self, strike: float | None) -> Outcome | None:
        """The outcome by the rule; None without a final price or without a proven strike."""
        final_price = self.final_price()
        if strike is None or final_price is None:
            return None
        return outcome_of(strike=strike, final_price=final_price)

    def agrees(self, strike: float | None) -> bool | None:
        """Whether our outcome is the venue's; None until both are known."""
        ours = self.recomputed(strike)
        return None if ours is None or self.official is None else ours == self.official

"""What the engine answers with: quotes, and the decision behind them in words."""

from __future__ import annotations

import msgspec

from services.quoter.action import RULES
from shared.messages import Action, Execution, Layer, Outcome, PhaseName, RegimeName, Side, VolatilityBasis

INPUT_UNUSABLE = "input_unusable"  # the library's own
MEANING: dict[str, str] = {rule.label: rule.meaning for rule in RULES} | {
    "oracle_missing": "there is no price of the settlement source; see problems",
    "spot_missing": "there is no exchange's quote; see problems",
    "book_missing": "there is no book of this period for CALL, PUT or both; see problems",
}


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """One resting order to place: buy (`bid`) or sell (`ask`) `size` shares of `outcome` at `price` dollars.

    `ticks` is the price in ticks, `layer` 0 the innermost. `execution` says how to place it: `buy`; `sell`, as far as
    the shares held reach; or `buy_opposite`: buy the other outcome at `execution_price` instead.
    """

    outcome: Outcome
    side: Side
    price: float
    size: float
    layer: int
    ticks: int
    execution: Execution
    execution_price: float

    @classmethod
    def of(cls, outcome: Outcome, layer: Layer) -> Quote:
        """A layer of a quote set."""
        return cls(
            outcome=outcome,
            side=layer.side,
            price=layer.price,
            size=layer.size,
            layer=layer.layer,
            ticks=layer.ticks,
            execution=layer.execution,
            execution_price=layer.execution_price,
        )


Quotes = dict[Outcome, list[Quote]]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last quotes are what they are.

    `reasons` maps each reason for the action to its meaning, worst first; `input_unusable` is the library's own, the
    others are those of `services.quoter.action`. `problems` names what is wrong with the input, and what is required
    and not there. `breakdown` is the additive story of the number (see `services/quoter/records.py`). `fair_value` and
    its band are None when there is none, as without a strike. `volatility_basis` says what
    the volatility rests on (None: nothing was said of it), `volatility_note` says it in words.
    """

    market: str
    slug: str
    now_ns: int
    action: Action
    reasons: dict[str, str]
    fair_value: float | None
    fair_low: float | None
    fair_high: float | None
    phase: PhaseName
    regime: RegimeName
    time_to_expiry_s: float
    volatility_basis: VolatilityBasis | None
    volatility_note: str
    breakdown: dict[str, float]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        fair = "no fair value" if self.fair_value is None else f"fair value {self.fair_value:.4f}"
        lines = [f"{self.slug or self.market}: {self.action}, {fair}, {self.time_to_expiry_s:.1f} s left"]
        lines.extend(f"  {label}: {meaning}" for label, meaning in self.reasons.items())
        lines.extend(f"  {problem}" for problem in self.problems)
        lines.append(f"  volatility: {self.volatility_note}")
        return "\n".join(lines)

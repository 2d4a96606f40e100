"""The strike of a period: PENDING until it can be defended, PROVEN with its source, doubted when contradicted.

Proof is either the settlement stream's own tick stamped exactly at the start (the 60 s TWAP, or spot in markets that
settle by spot), or two independent published values that agree: the website's open price, and Gamma's word (final
price of the period before, or price to beat of this one: the same origin). A neighbouring tick proves nothing. Any
value that contradicts the others takes the proof away, until the contradiction itself goes away.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from shared.messages import OracleKind, SettlementRule, StrikeState

Source = Literal["website", "gamma_previous_final", "gamma_price_to_beat"]
Step = Literal["prove", "wait", "contradict"]

# Two publications of one value differ by rounding only; a spot value in place of the TWAP differs by about 1e-4.
AGREEMENT = 1e-7

_ORIGIN: dict[str, str] = {
    "website": "website",
    "gamma_previous_final": "gamma",
    "gamma_price_to_beat": "gamma",
}

STEPS: dict[tuple[StrikeState, Step], StrikeState] = {
    ("PENDING", "wait"): "PENDING",
    ("PENDING", "prove"): "PROVEN",
    ("PROVEN", "contradict"): "PENDING",
    ("PENDING", "contradict"): "PENDING",
}


class IllegalStepError(RuntimeError):
    """Our own mistake: a step the state does not allow, or evidence that is no price."""


class View(NamedTuple):
    """What the strike is now. `price` is None unless PROVEN; `reason` names the proof, or what is missing."""

    state: StrikeState
    price: float | None
    reason: str


def next_state(state: StrikeState, step: Step) -> StrikeState:
    """The state after a step; raises `IllegalStepError`."""
    following = STEPS.get((state, step))
    if following is None:
        raise IllegalStepError(f"a {state} strike cannot {step}")
    return following


class Strike:
    """The evidence for one period's strike."""

    def __init__(self, *, settlement: SettlementRule, start_s: int, agreement: float = AGREEMENT) -> None:
        self._kind: OracleKind = "twap60" if settlement == "twap" else "spot"
        self._start_s = start_s
        self._agreement = agreement
        self._own: list[float] = []
        self._published: dict[Source, float] = {}
        self._view = View("PENDING", None, "not_started")

    @property
    def view(self) -> View:
        """State, price and reason."""
        return self._view

    @property
    def own(self) -> float | None:
        """Our own tick at the start, if seen."""
        return self._own[0] if self._own else None

    def on_oracle(self, kind: OracleKind, second: int, price: float) -> bool:
        """A tick of the oracle. Ticks of another stream or second prove nothing. True when the view changed."""
        if kind != self._kind or second != self._start_s:
            return False
        _require_price(price)
        if any(self._agree(price, known) for known in self._own):
            return False
        self._own.append(price)
        return self._weigh()

    def on_published(self, source: Source, price: float) -> bool:
        """A published value; a newer one of the same source replaces it. True when the view changed."""
        _require_price(price)
        self._published[source] = price
        return self._weigh()

    def step(self, step: Step, *, price: float | None, reason: str) -> None:
        """Take one step of the table; raises `IllegalStepError` and changes nothing when it is not there."""
        state = next_state(self._view.state, step)
        if (state == "PROVEN") != (price is not None):
            raise IllegalStepError(f"a {state} strike with price {price}")
        self._view = View(state, price, reason)

    def _weigh(self) -> bool:
        before = self._view
        reason = self._dissent()
        if reason is not None:
            was_proven = before.state == "PROVEN" or before.reason.startswith("contradicted")
            self.step(
                "contradict", price=None, reason=f"contradicted: {reason}" if was_proven else f"disagreement: {reason}"
            )
            return self._view != before
        proof = self._proof()
        if proof is not None:
            if before.state == "PENDING":
                price, source = proof
                self.step("prove", price=price, reason=source)
        elif before.state == "PENDING":
            self.step("wait", price=None, reason=self._missing())
        else:
            self.step("contradict", price=None, reason="contradicted: proof withdrawn")
        return self._view != before

    def _dissent(self) -> str | None:
        if len(self._own) > 1:
            return "own ticks differ"
        named = [("own_tick", price) for price in self._own] + [*self._published.items()]
        for index, (name, price) in enumerate(named):
            for other_name, other in named[index + 1 :]:
                if not self._agree(price, other):
                    return f"{name} {price!r} against {other_name} {other!r}"
        return None

    def _proof(self) -> tuple[float, str] | None:
        if self._own:
            return self._own[0], f"own_{self._kind}_tick"
        origins = {_ORIGIN[source] for source in self._published}
        if len(origins) < 2:
            return None
        # The most precise source gives the number: Gamma publishes every digit.
        order: tuple[Source, ...] = ("gamma_price_to_beat", "gamma_previous_final", "website")
        price = next(self._published[source] for source in order if source in self._published)
        return price, "+".join(sorted(self._published))

    def _missing(self) -> str:
        return f"only_{next(iter(self._published))}" if len(self._published) == 1 else "one_origin_only"

    def _agree(self, price: float, other: float) -> bool:
        return abs(price - other) <= self._agreement * max(price, other)


def _require_price(price: float) -> None:
    if not (math.isfinite(price) and price > 0.0):
        raise IllegalStepError(f"{price!r} is no price")

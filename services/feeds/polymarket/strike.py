"""The strike of a period: PENDING until it can be defended, PROVEN with its source, doubted when contradicted.

Proof is either the settlement stream's own tick stamped exactly at the start (the 60 s TWAP, or spot in markets that
settle by spot), or two independent published values that agree: the website's open price, and Gamma's word (final
price of the period before, or price to beat of this one: the same origin). A neighbouring tick proves nothing. Any
value that contradicts the others takes the proof away, until the contradiction itself goes away.

Our own TWAP tick must also fit what else the oracle said: TWAP60 at t is the mean of the spot prints stamped
t-62 .. t-3, so it must be within 5 bp of the mean of those we hold; when we hold too few, within 5 bp of the TWAP ticks
up to 3 s around it. One that does not fit neither proves nor contradicts by itself (`own_tick_implausible`): it counts
when a published value agrees with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Literal, NamedTuple

from shared.messages import OracleKind, SettlementRule, StrikeState

Source = Literal["website", "gamma_previous_final", "gamma_price_to_beat"]
Step = Literal["prove", "wait", "contradict"]

# Two publications of one value differ by rounding only; a spot value in place of the TWAP differs by about 1e-4.
AGREEMENT = 1e-7

PLAUSIBLE = 5e-4  # of the price
TWAP_FIRST_S, TWAP_LAST_S = -62, -3  # stamps of the spot prints that make TWAP60, relative to its own
FEWEST_PRINTS = 30
LONGEST_HOLE_S = 5  # missing prints in a row that leave the mean a mean of the whole minute
NEIGHBORS_S = 3

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


def bears_on(*, second: int, start_s: int) -> bool:
    """Whether a tick of this second says anything of the strike: by itself, or about its plausibility."""
    return start_s + TWAP_FIRST_S <= second <= start_s + NEIGHBORS_S


def is_twap_plausible(price: float, *, second: int, spots: Mapping[int, float], twaps: Mapping[int, float]) -> bool:
    """Whether a TWAP60 tick fits the spot prints it is the mean of, else its neighbors; True when nothing is known."""
    window = range(second + TWAP_FIRST_S, second + TWAP_LAST_S + 1)
    stamps = [stamp for stamp in window if stamp in spots]
    if len(stamps) >= FEWEST_PRINTS:
        edges = [window.start - 1, *stamps, window.stop]
        if all(later - earlier - 1 <= LONGEST_HOLE_S for earlier, later in pairwise(edges)):
            mean = math.fsum(spots[stamp] for stamp in stamps) / len(stamps)
            return abs(price - mean) <= PLAUSIBLE * mean
    around = range(second - NEIGHBORS_S, second + NEIGHBORS_S + 1)
    return all(abs(price - twaps[stamp]) <= PLAUSIBLE * price for stamp in around if stamp != second and stamp in twaps)


class Strike:
    """The evidence for one period's strike."""

    def __init__(self, *, settlement: SettlementRule, start_s: int, agreement: float = AGREEMENT) -> None:
        self._kind: OracleKind = "twap60" if settlement == "twap" else "spot"
        self._start_s = start_s
        self._agreement = agreement
        self._own: list[float] = []
        self._spots: dict[int, float] = {}
        self._twaps: dict[int, float] = {}
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
        """A tick of the oracle. Ticks of another stream or second prove nothing, but may make our own implausible.

        True when the view changed.
        """
        if not bears_on(second=second, start_s=self._start_s):
            return False
        _require_price(price)
        (self._spots if kind == "spot" else self._twaps)[second] = price
        if kind != self._kind or second != self._start_s:
            return bool(self._own) and self._weigh()
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
            price, source = proof
            if before.state == "PROVEN" and before.price is not None and not self._agree(before.price, price):
                self.step("contradict", price=None, reason="contradicted: proof withdrawn")
                before = self._view
            if self._view.state == "PENDING":
                self.step("prove", price=price, reason=source)
        elif before.state == "PENDING":
            self.step("wait", price=None, reason=self._missing())
        else:
            self.step("contradict", price=None, reason=self._missing())
        return self._view != before

    def _counted(self) -> list[float]:
        """Our own ticks at the start that are plausible, or that a published value agrees with."""
        return [
            price
            for price in self._own
            if self._is_plausible(price) or any(self._agree(price, other) for other in self._published.values())
        ]

    def _is_plausible(self, price: float) -> bool:
        if self._kind == "spot":
            return True
        return is_twap_plausible(price, second=self._start_s, spots=self._spots, twaps=self._twaps)

    def _dissent(self) -> str | None:
        counted = self._counted()
        if len(counted) > 1:
            return "own ticks differ"
        named = [("own_tick", price) for price in counted] + [*self._published.items()]
        for index, (name, price) in enumerate(named):
            for other_name, other in named[index + 1 :]:
                if not self._agree(price, other):
                    return f"{name} {price!r} against {other_name} {other!r}"
        return None

    def _proof(self) -> tuple[float, str] | None:
        counted = self._counted()
        if counted:
            return counted[0], f"own_{self._kind}_tick"
        origins = {_ORIGIN[source] for source in self._published}
        if len(origins) < 2:
            return None
        # The most precise source gives the number: Gamma publishes every digit.
        order: tuple[Source, ...] = ("gamma_price_to_beat", "gamma_previous_final", "website")
        price = next(self._published[source] for source in order if source in self._published)
        return price, "+".join(sorted(self._published))

    def _missing(self) -> str:
        if self._own:
            return "own_tick_implausible"
        return f"only_{next(iter(self._published))}" if len(self._published) == 1 else "one_origin_only"

    def _agree(self, price: float, other: float) -> bool:
        return abs(price - other) <= self._agreement * max(price, other)


def _require_price(price: float) -> None:
    if not (math.isfinite(price) and price > 0.0):
        raise IllegalStepError(f"{price!r} is no price")

"""From what the inputs allow and what `requote` objects to, to all reasons of an instant, as bits (compiled, pure).

Bit n is the n-th rule of `action.RULES`, worst first: the lowest bit set decides the action.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.quoter.action import ACTION_OF, PULLS, RANK, RULES, decide
from services.quoter.records import PHASES
from shared.kernel import State, kernel
from shared.messages import Action


def bits_of(labels: Iterable[str]) -> int:
    """Reasons as bits. KeyError for a label that is not in the table."""
    bits = 0
    for label in labels:
        bits |= 1 << RANK[label]
    return bits


_PULL_BITS = bits_of(PULLS)
_UNDEFINED = bits_of(["fair_value_undefined"])
_GAMMA_DANGER = bits_of(["gamma_danger"])
_UNCERTAIN = bits_of(["fair_value_uncertain"])
_DISAGREEMENT = bits_of(["model_market_disagreement"])
_LIMIT_LONG, _LIMIT_SHORT = bits_of(["inventory_limit_long"]), bits_of(["inventory_limit_short"])
_PROJECTION_MISSING = bits_of(["projection_missing"])
_FINAL_PHASE = bits_of(["final_phase"])
_NO_ROOM = bits_of(["no_room"])
_FINAL = PHASES.index("final")


@kernel
def is_pull(bits: int) -> bool:
    """Whether these reasons forbid every quote."""
    return bits & _PULL_BITS != 0


@kernel
def all_reasons(
    quote_state: State, settings: State, judged: int, is_defined: bool, has_venue: bool, pulls_final: bool
) -> int:
    """The reasons `judged` from the inputs and those of the answer of `requote`.

    `is_defined`: the answer is a number that may be used. `pulls_final`: the final phase is not to be quoted.
    """
    quote, config = quote_state[0], settings[0]
    bits = judged
    if not is_defined:
        if not is_pull(bits):
            bits |= _UNDEFINED
    else:
        if quote["in_gamma_danger"] == 1.0:
            bits |= _GAMMA_DANGER
        if quote["is_too_uncertain"] == 1.0:
            bits |= _UNCERTAIN
        if quote["disagrees"] == 1.0:
            bits |= _DISAGREEMENT
        if quote["bid_barred_by_limit"] == 1.0:
            bits |= _LIMIT_LONG
        if quote["ask_barred_by_limit"] == 1.0:
            bits |= _LIMIT_SHORT
        if has_venue and quote["is_projected"] == 0.0 and config["use_oracle_projection"] == 1:
            bits |= _PROJECTION_MISSING
        if pulls_final and quote["phase"] == _FINAL:
            bits |= _FINAL_PHASE
    if not is_pull(bits) and quote["bid_layers"] + quote["ask_layers"] == 0.0:
        bits |= _NO_ROOM
    return bits


_known: dict[int, tuple[Action, tuple[str, ...]]] = {0: decide(())}


def decision_of(bits: int) -> tuple[Action, tuple[str, ...]]:
    """The action that these reasons ask for, and the reasons, worst first."""
    known = _known.get(bits)
    if known is None:
        labels = tuple(rule.label for rank, rule in enumerate(RULES) if bits >> rank & 1)
        known = _known[bits] = ACTION_OF[labels[0]], labels
    return known

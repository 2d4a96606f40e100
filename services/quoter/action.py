"""What to do with the quotes, and why: one table, worst first.

A reason is a stable snake_case label (it appears in files, metrics and tests) that asks for an action. The worst action
asked for wins; all reasons are kept, worst first. One-sided reasons keep their side barred even when a worse action
(widening) is the one named. Nothing to object to: `QUOTE_BOTH` without reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shared.messages import Action


class Rule(NamedTuple):
    """A reason: its label, the action it asks for, and what it means in words."""

    label: str
    action: Action
    meaning: str


_PULL: Action = "PULL_QUOTES"
_WIDEN: Action = "WIDEN_SPREADS"
_BID: Action = "QUOTE_BID_ONLY"
_ASK: Action = "QUOTE_ASK_ONLY"

RULES: tuple[Rule, ...] = (
    Rule(
        "input_unusable", _PULL, "the library's caller named something that cannot be read, or is stale; see problems"
    ),
    Rule("no_period", _PULL, "no period of this market is known"),
    Rule("period_refused", _PULL, "the period's rules are unknown or not supported"),
    Rule("period_ended", _PULL, "the period is over"),
    Rule("period_not_open", _PULL, "the period has not started"),
    Rule("strike_not_proven", _PULL, "the strike is not proven"),
    Rule("oracle_missing", _PULL, "no price of the settlement source was seen"),
    Rule("oracle_feed_not_live", _PULL, "the oracle's feed is not live, or silent about it"),
    Rule("oracle_gap", _PULL, "oracle messages were lost; waiting for the next"),
    Rule("oracle_stale", _PULL, "the last oracle price is too old"),
    Rule("oracle_doubted", _PULL, "the last oracle price is far from what the exchanges allow; waiting for the next"),
    Rule("spot_missing", _PULL, "no exchange's quote was seen"),
    Rule("spot_feed_not_live", _PULL, "no exchange feed is live"),
    Rule("spot_gap", _PULL, "exchange quotes were lost; waiting for the next"),
    Rule("spot_stale", _PULL, "every exchange's quote is too old"),
    Rule("book_missing", _PULL, "a book of this period was not seen"),
    Rule("book_feed_not_live", _PULL, "the market's feed is not live, or silent about it"),
    Rule("book_gap", _PULL, "book messages were lost; waiting for the next snapshot"),
    Rule("book_stale", _PULL, "a book is too old"),
    Rule("book_crossed", _PULL, "a book's best bid is not below its best ask, or off the grid"),
    Rule("book_one_sided", _PULL, "a book has no bid or no ask"),
    Rule("book_placeholder", _PULL, "a book is so wide that it is nobody's opinion"),
    Rule("mirror_broken", _PULL, "the PUT book has not mirrored the CALL book for a while"),
    Rule("position_unknown", _PULL, "the hedger has not said what we hold"),
    Rule("volatility_missing", _PULL, "no volatility was received"),
    Rule("volatility_stale", _PULL, "the volatility is too old"),
    Rule("volatility_cold", _PULL, "the volatility estimate is not warm"),
    Rule("volatility_spike", _PULL, "the underlying jumped; cooling down"),
    Rule("fair_value_undefined", _PULL, "the inputs do not give a number"),
    Rule("extreme_toxicity", _PULL, "the order flow is extremely informed"),
    Rule("gamma_danger", _PULL, "the fair value moves faster than quotes can be cancelled"),
    Rule("fair_value_uncertain", _PULL, "the spread that the uncertainty asks for exceeds the largest allowed"),
    Rule("model_market_disagreement", _PULL, "model and book have disagreed for too long"),
    Rule("final_phase", _PULL, "the final phase is not quoted"),
    Rule("no_room", _PULL, "limits and grid leave no layer standing"),
    Rule("volatile_regime", _WIDEN, "the regime is volatile"),
    Rule("high_toxicity", _WIDEN, "the order flow is informed"),
    Rule("extreme_momentum", _WIDEN, "the momentum is extreme"),
    Rule("volatility_disagreement", _WIDEN, "implied and realized volatility are far apart"),
    Rule(
        "volatility_assumed",
        _WIDEN,
        "no estimate of the volatility yet; the option's own price or the prior stands in",
    ),
    Rule("projection_missing", _WIDEN, "the oracle is not projected: no believed basis to a usable venue"),
    Rule("no_leader", _WIDEN, "no exchange leads the oracle significantly; default venue and lead are used"),
    Rule("leader_unusable", _WIDEN, "the leading exchange's quote cannot be used"),
    Rule("lead_lag_missing", _WIDEN, "no fresh lead-lag signal; default venue and lead are used"),
    Rule("regime_missing", _WIDEN, "no fresh regime signal"),
    Rule("flow_missing", _WIDEN, "no fresh flow signal"),
    Rule("inventory_limit_short", _BID, "the inventory limit bars selling CALL"),
    Rule("momentum_up", _BID, "upward momentum with medium toxicity"),
    Rule("inventory_limit_long", _ASK, "the inventory limit bars buying CALL"),
    Rule("momentum_down", _ASK, "downward momentum with medium toxicity"),
)

RANK: dict[str, int] = {rule.label: rank for rank, rule in enumerate(RULES)}
ACTION_OF: dict[str, Action] = {rule.label: rule.action for rule in RULES}
PULLS: frozenset[str] = frozenset(rule.label for rule in RULES if rule.action == _PULL)
BARS_ASK: frozenset[str] = frozenset(rule.label for rule in RULES if rule.action == _BID)
BARS_BID: frozenset[str] = frozenset(rule.label for rule in RULES if rule.action == _ASK)


def decide(labels: Sequence[str]) -> tuple[Action, tuple[str, ...]]:
    """The action of the worst reason, and all reasons worst first. KeyError for a label that is not in the table."""
    if not labels:
        return "QUOTE_BOTH", ()
    reasons = tuple(sorted(set(labels), key=RANK.__getitem__))
    return ACTION_OF[reasons[0]], reasons

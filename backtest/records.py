"""What a run of the backtest writes down, as NumPy records: fills, periods, quotes, and the mids they are judged by.

Money and sizes are whole millionths of a dollar (`micro`) and of a share (`units`), as in the ledger; a price is
micro-dollars a share. `side` +1 buys the token named by `outcome` (0 CALL, 1 PUT), -1 sells it.
"""

from __future__ import annotations

import numpy as np

from services.quoter.action import RULES
from services.quoter.records import PHASES, REGIMES
from shared.config import MAX_TIERS
from shared.messages import Action

ACTIONS: tuple[Action, ...] = ("PULL_QUOTES", "WIDEN_SPREADS", "QUOTE_BID_ONLY", "QUOTE_ASK_ONLY", "QUOTE_BOTH")
UNKNOWN = -1  # a mid, a winner

FILL = np.dtype(
    [
        ("period", "i8"),  # place in the run's periods
        ("order_id", "i8"),
        ("ts_ns", "i8"),  # the trade's stamp
        ("known_ns", "i8"),  # when we learned of it
        ("placed_ns", "i8"),  # when we decided to place the order
        ("outcome", "i8"),
        ("side", "i8"),
        ("price_micro", "i8"),
        ("units", "i8"),
        ("is_maker", "i8"),
        ("fee_micro", "i8"),
        ("rebate_micro", "i8"),
        ("layer", "i8"),  # of the ladder that asked for the order; 0 innermost
        ("phase", "i8"),  # place in PHASES, at the fill
        ("regime", "i8"),  # place in REGIMES
        ("mid_micro", "i8"),  # of CALL just before the trade; UNKNOWN
        ("fair_value", "f8"),  # of CALL as we last saw it; NaN
        ("ahead_units", "f8"),  # before the order in the queue
        ("tau_s", "f8"),  # left until the end
    ]
)
PERIOD = np.dtype(
    [
        ("start_ns", "i8"),
        ("end_ns", "i8"),
        ("first_ns", "i8"),  # what was seen of it: our clock at the first and last event inside it
        ("last_ns", "i8"),
        ("events", "i8"),
        ("winner", "i8"),  # place in OUTCOMES, or UNKNOWN: then shares count at `last_mid_micro`
        ("last_mid_micro", "i8"),  # of CALL, the last one before the end; UNKNOWN
        ("fills", "i8"),
        ("traded_units", "i8"),
        ("public_units", "i8"),  # that takers traded in the tokens
        ("call_units", "i8"),  # held at the end
        ("put_units", "i8"),
        ("cash_micro", "i8"),  # received less paid for shares
        ("payout_micro", "i8"),
        ("fee_micro", "i8"),
        ("rebate_micro", "i8"),
        ("pnl_micro", "i8"),  # cash + payout - fee + rebate
        ("orders", "i8"),  # placed
        ("cancels", "i8"),
        ("rejects", "i8"),  # by the venue: they would have taken
        ("max_inventory_units", "i8"),  # greatest |CALL - PUT|
        ("observed_s", "f8"),
        ("bid_s", "f8"),  # with a bid wanted, with an ask wanted, with both
        ("ask_s", "f8"),
        ("both_s", "f8"),
        ("action_s", "f8", (len(ACTIONS),)),
        ("reason_s", "f8", (len(RULES),)),  # each reason while it held, whatever the action
        ("phase_s", "f8", (len(PHASES),)),  # with a quote on both sides
        ("regime_s", "f8", (len(REGIMES),)),
    ]
)
QUOTE_ROW = np.dtype(  # one for each change of the ladder or the action
    [
        ("period", "i8"),
        ("ts_ns", "i8"),
        ("action", "i8"),  # place in ACTIONS
        ("fair_value", "f8"),  # NaN when there is none
        ("reservation", "f8"),
        ("half_spread", "f8"),
        ("mid_micro", "i8"),
        ("inventory_units", "i8"),
        ("tick_micro", "i8"),
        ("bid_ticks", "i4", (MAX_TIERS,)),  # of CALL; 0: no layer
        ("ask_ticks", "i4", (MAX_TIERS,)),
        ("bid_shares", "f8", (MAX_TIERS,)),
        ("ask_shares", "f8", (MAX_TIERS,)),
    ]
)
MID = np.dtype(
    [("ts_ns", "i8"), ("mid_micro", "i8")]
)  # of CALL, from this stamp of the venue on; UNKNOWN: no two sides

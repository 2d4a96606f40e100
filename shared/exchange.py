"""A model of the exchange: our resting orders of one period against the one logical book (compiled).

Prices are whole micro-dollars of CALL, sizes whole micro-shares. Buying PUT at q is selling CALL at 1 - q, so an order
on PUT is mirrored when it comes in, and there is one queue at each price. A price is no number of ticks, so a change
of the tick size moves no order and no level. Our orders are not in the real book: what stands there is ahead of us or
behind us.

Time is the venue's. An order does nothing before it arrives, and can fill until its cancel arrives. Nothing fills
without a public trade, all our fills of one trade together never exceed it, and what others have ahead comes first:

    trade better than our price (it went through us)    filled, whatever the queue
    trade at our price                                  filled with what trades beyond the queue ahead
    the book touches or crosses our price               nothing: no trade, no fill

Queue models (nkaz001/hftbacktest, `queue.rs`); front is the size ahead of us, level what stood at the price before:

    pessimistic    a trade of s: front - s; a level that shrinks to n: min(front, n)
    probabilistic  the same, and of c shares that left without a trade some were ahead: with b = level - front behind
                   us and p = 1 - (front / (front + b))^3:  front - (1 - p) c + min(b - p c, 0)
    optimistic     front is 0 from the arrival on

The venue's tape lags its book: in recorded frames a trade is mostly stamped 7 to 28 ms after the change of the book
that it caused. So shares that left a level less than `PRINT_LAG_NS` before a trade there are taken to be that trade's:
what they moved the front is given back before the trade is applied. For the same reason a trade counts as matched
`PRINT_LAG_NS` before its stamp, for orders that arrive and for cancels: an order is part of the trades that matched
from its arrival on and before its cancel's. Such a trade may still be on its way when the cancel arrives, so a canceled
order stays, and counts as one that can fill, until its cancel is `PRINT_LAG_NS` old; only then is it reported, with the
time at which it arrived. Each match is on the tape once, on the token that the taker named.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.kernel import Record, State, kernel, layout_of, pack_state, unpack_state
from shared.messages import Aggressor, Outcome, TradeSide
from shared.money import MICRO

ORDERS = 64  # orders at a time
LEVELS = 1_024  # levels a side: more than a tick of $0.001 has
PRINT_LAG_NS = 50_000_000
NEVER_NS = np.iinfo(np.int64).max

FREE, PENDING, RESTING = 0, 1, 2
BUY, SELL = 1, -1
PESSIMISTIC, PROBABILISTIC, OPTIMISTIC = 0, 1, 2
PLACED, SELF_CROSS, NO_ROOM = 0, 1, 2
RESTS, FILL, POST_ONLY, NO_BOOK, CANCELED = 1, 2, 3, 4, 5

QueueName = Literal["pessimistic", "probabilistic", "optimistic"]
Refusal = Literal["self_cross", "too_many_orders"]
ReportKind = Literal["rests", "fill", "post_only", "no_book", "canceled"]

QUEUES: dict[QueueName, int] = {
    "pessimistic": PESSIMISTIC,
    "probabilistic": PROBABILISTIC,
    "optimistic": OPTIMISTIC,
}
_REFUSALS: dict[int, Refusal] = {SELF_CROSS: "self_cross", NO_ROOM: "too_many_orders"}
_KINDS: dict[int, ReportKind] = {
    RESTS: "rests",
    FILL: "fill",
    POST_ONLY: "post_only",
    NO_BOOK: "no_book",
    CANCELED: "canceled",
}
_OUTCOMES: tuple[Outcome, Outcome] = ("CALL", "PUT")

STATE = np.dtype(
    [
        ("clock_ns", "i8"),
        ("due_ns", "i8"),  # nothing arrives and nothing goes before
        ("slots", "i8"),  # those from here on are free
        ("queue_model", "i8"),
        ("arrivals", "i8"),
        ("has_book", "i8"),
        ("bids", "i8"),
        ("asks", "i8"),
        ("bid_micro", "i8", (LEVELS,)),
        ("bid_units", "f8", (LEVELS,)),
        ("ask_micro", "i8", (LEVELS,)),
        ("ask_units", "f8", (LEVELS,)),
        ("stage", "i8", (ORDERS,)),
        ("order_id", "i8", (ORDERS,)),
        ("outcome", "i8", (ORDERS,)),  # as it was placed: 0 CALL, 1 PUT
        ("side", "i8", (ORDERS,)),  # in CALL: +1 buys, -1 sells
        ("price_micro", "i8", (ORDERS,)),
        ("left", "i8", (ORDERS,)),
        ("is_taker", "i8", (ORDERS,)),
        ("arrives_ns", "i8", (ORDERS,)),
        ("cancel_ns", "i8", (ORDERS,)),  # 0: nobody cancels it
        ("rested_ns", "i8", (ORDERS,)),
        ("rank", "i8", (ORDERS,)),  # time priority among our own
        ("front", "f8", (ORDERS,)),
        ("level", "f8", (ORDERS,)),
        ("traded", "f8", (ORDERS,)),  # trades at the price that the level does not show yet
        ("shrink", "f8", (ORDERS,)),  # shares that left lately without a trade
        ("advance", "f8", (ORDERS,)),  # how far they moved the front
        ("shrink_ns", "i8", (ORDERS,)),
    ],
    align=True,
)

REPORT = np.dtype(
    [
        ("kind", "i8"),
        ("order_id", "i8"),
        ("outcome", "i8"),
        ("side", "i8"),
        ("price_micro", "i8"),
        ("units", "i8"),
        ("left", "i8"),
        ("is_maker", "i8"),
        ("ts_ns", "i8"),
        ("front", "f8"),
    ],
    align=True,
)
# The most that can happen at once: takers empty the book, and each order rests and is canceled, or takes a part of a
# level and leaves a rest.
REPORTS = 2 * LEVELS + 2 * ORDERS


@kernel
def front_after_leaving(front: float, level: float, change: float) -> float:
    """Size ahead after `change` of the `level` left without a trade: the probabilistic model, see the module.

    front - (1 - p) c + min(b - p c, 0) with b = level - front and p = 1 - (front / level)^3. Needs level > 0.
    """
    share = front / level
    behind = 1.0 - share * share * share
    ahead = front - (1.0 - behind) * change + min(level - front - behind * change, 0.0)
    return float(ahead)


@kernel
def see_level(state: Record, i: int, units: float, at_ns: int) -> None:
    """Take the new size of the level at which order i rests."""
    if units == state["level"][i]:
        return
    level, front = state["level"][i], state["front"][i]
    change = level - units - state["traded"][i]
    state["traded"][i] = 0.0
    state["level"][i] = units
    if change <= 0.0:
        state["front"][i] = min(front, units)
        return
    after = front
    if state["queue_model"] == PROBABILISTIC:
        after = front_after_leaving(front, level, change)
    after = min(after, units)
    if at_ns - state["shrink_ns"][i] > PRINT_LAG_NS:
        state["shrink"][i] = 0.0
        state["advance"][i] = 0.0
    state["front"][i] = after
    state["shrink"][i] += change
    state["advance"][i] += front - after
    state["shrink_ns"][i] = at_ns


@kernel
def see_trade(state: Record, i: int, units: float, ts_ns: int) -> float:
    """Apply a trade of `units` at the price of order i; returns how much of it reaches the order."""
    explained = 0.0
    if ts_ns - state["shrink_ns"][i] <= PRINT_LAG_NS and state["shrink"][i] > 0.0:
        explained = min(units, state["shrink"][i])
        given_back = state["advance"][i] * explained / state["shrink"][i]
        state["front"][i] += given_back
        state["advance"][i] -= given_back
        state["shrink"][i] -= explained
    state["traded"][i] += units - explained
    front = state["front"][i] - units
    if front >= 0.0:
        state["front"][i] = front
        return 0.0
    state["front"][i] = 0.0  # whoever is filled has nobody ahead
    state["advance"][i] = 0.0
    return float(-front)


@kernel
def level_size(state: Record, side: int, price_micro: int) -> float:
    """What stands at this price on this side of the real book; 0 when nothing does."""
    if side == BUY:
        for k in range(state["bids"]):
            if state["bid_micro"][k] <= price_micro:
                return float(state["bid_units"][k]) if state["bid_micro"][k] == price_micro else 0.0
        return 0.0
    for k in range(state["asks"]):
        if state["ask_micro"][k] >= price_micro:
            return float(state["ask_units"][k]) if state["ask_micro"][k] == price_micro else 0.0
    return 0.0


@kernel
def crosses(state: Record, side: int, price_micro: int) -> bool:
    """Whether an order of this side would meet the other side of the book now."""
    if side == BUY:
        return bool(state["asks"] > 0 and price_micro >= state["ask_micro"][0])
    return bool(state["bids"] > 0 and price_micro <= state["bid_micro"][0])


@kernel
def report(
    state: Record,
    i: int,
    kind: int,
    price_micro: int,
    units: int,
    front: float,
    ts_ns: int,
    reports: NDArray[Any],
    n: int,
) -> int:
    """Write one report in place n; returns the next place."""
    line = reports[n]
    line["kind"] = kind
    line["order_id"] = state["order_id"][i]
    line["outcome"] = state["outcome"][i]
    line["side"] = state["side"][i]
    line["price_micro"] = price_micro
    line["units"] = units
    line["left"] = state["left"][i]
    line["is_maker"] = 1 - state["is_taker"][i]
    line["ts_ns"] = ts_ns
    line["front"] = front
    return n + 1


@kernel
def place(
    states: State,
    order_id: int,
    outcome: int,
    side: int,
    price_micro: int,
    units: int,
    arrives_ns: int,
    is_taker: bool,
) -> int:
    """Send an order; it is pending until it arrives. Returns PLACED, SELF_CROSS or NO_ROOM.

    `outcome` 0 CALL, 1 PUT; `side` +1 buys, -1 sells that token at `price_micro`. Grid, minimum size and balance are
    the caller's to check. An order that could meet one of our own, of either token, is refused: it would trade with
    ourselves.
    """
    state = states[0]
    if outcome == 1:
        side, price_micro = -side, MICRO - price_micro
    slots = state["slots"]
    slot = slots
    for i in range(slots):
        if state["stage"][i] == FREE:
            slot = min(slot, i)
        elif state["side"][i] != side and (state["price_micro"][i] - price_micro) * side <= 0:
            return SELF_CROSS
    if slot == ORDERS:
        return NO_ROOM
    state["slots"] = max(slots, slot + 1)
    state["stage"][slot] = PENDING
    state["order_id"][slot] = order_id
    state["outcome"][slot] = outcome
    state["side"][slot] = side
    state["price_micro"][slot] = price_micro
    state["left"][slot] = units
    state["is_taker"][slot] = is_taker
    state["arrives_ns"][slot] = max(arrives_ns, state["clock_ns"])
    state["due_ns"] = min(state["due_ns"], state["arrives_ns"][slot])
    state["cancel_ns"][slot] = 0
    state["rested_ns"][slot] = 0
    state["rank"][slot] = 0
    state["front"][slot] = 0.0
    state["level"][slot] = 0.0
    state["traded"][slot] = 0.0
    state["shrink"][slot] = 0.0
    state["advance"][slot] = 0.0
    state["shrink_ns"][slot] = 0
    return PLACED


@kernel
def cancel(states: State, order_id: int, arrives_ns: int) -> bool:
    """Send a cancel; what matches before it arrives fills the order. False: no such order, or a taker's.

    The cancel of a pending order arrives after it, never before.
    """
    state = states[0]
    for i in range(state["slots"]):
        if state["stage"][i] != FREE and state["order_id"][i] == order_id and state["is_taker"][i] == 0:
            if state["cancel_ns"][i] == 0:
                state["cancel_ns"][i] = max(arrives_ns, state["clock_ns"], state["arrives_ns"][i])
                state["due_ns"] = min(state["due_ns"], state["cancel_ns"][i] + PRINT_LAG_NS)
            return True
    return False


@kernel
def walk(state: Record, i: int, at_ns: int, reports: NDArray[Any], n: int) -> int:
    """Fill our taker order i from the book that stands, best level first; what is left of it is canceled.

    What it takes is gone until the next snapshot. Returns the next place in `reports`.
    """
    limit = state["price_micro"][i]
    count = state["asks"] if state["side"][i] == BUY else state["bids"]
    for k in range(count):
        if state["left"][i] == 0:
            break
        price = state["ask_micro"][k] if state["side"][i] == BUY else state["bid_micro"][k]
        if (price - limit) * state["side"][i] > 0:
            break
        standing = state["ask_units"][k] if state["side"][i] == BUY else state["bid_units"][k]
        units = min(int(state["left"][i]), math.floor(standing))
        if units <= 0:
            continue
        if state["side"][i] == BUY:
            state["ask_units"][k] -= units
        else:
            state["bid_units"][k] -= units
        state["left"][i] -= units
        n = report(state, i, FILL, price, units, 0.0, at_ns, reports, n)
    if state["left"][i] > 0:
        n = report(state, i, CANCELED if state["has_book"] else NO_BOOK, limit, 0, 0.0, at_ns, reports, n)
    state["stage"][i] = FREE
    return n


@kernel
def arrive(state: Record, i: int, reports: NDArray[Any], n: int) -> int:
    """Order i reaches the venue: it rests at the back of its level, is rejected, or takes. Returns the next place."""
    at_ns = state["arrives_ns"][i]
    if state["is_taker"][i]:
        return walk(state, i, at_ns, reports, n)
    price = state["price_micro"][i]
    if not state["has_book"] or crosses(state, state["side"][i], price):
        state["stage"][i] = FREE
        return report(state, i, POST_ONLY if state["has_book"] else NO_BOOK, price, 0, 0.0, at_ns, reports, n)
    state["stage"][i] = RESTING
    state["rested_ns"][i] = at_ns
    state["arrivals"] += 1
    state["rank"][i] = state["arrivals"]
    state["level"][i] = level_size(state, state["side"][i], price)
    state["front"][i] = 0.0 if state["queue_model"] == OPTIMISTIC else state["level"][i]
    return report(state, i, RESTS, price, 0, state["front"][i], at_ns, reports, n)


@kernel
def advance(states: State, to_ns: int, reports: NDArray[Any]) -> int:
    """Let orders arrive that are due until `to_ns`, and let canceled ones go, in the order of their times.

    A canceled order goes `PRINT_LAG_NS` after its cancel arrived: any later trade matched after it. Returns the reports
    written, at most REPORTS.
    """
    state = states[0]
    n = 0
    if to_ns < state["due_ns"]:
        state["clock_ns"] = max(state["clock_ns"], to_ns)
        return n
    while True:
        first, first_ns, next_ns, slots = -1, to_ns, NEVER_NS, 0
        for i in range(state["slots"]):
            if state["stage"][i] != FREE:
                slots = i + 1
            if state["stage"][i] == PENDING:
                due_ns = state["arrives_ns"][i]
            elif state["stage"][i] == RESTING and state["cancel_ns"][i] > 0:
                due_ns = state["cancel_ns"][i] + PRINT_LAG_NS
            else:
                continue
            next_ns = min(next_ns, due_ns)
            if due_ns > first_ns:
                continue
            if first < 0 or due_ns < first_ns or state["order_id"][i] < state["order_id"][first]:
                first, first_ns = i, due_ns
        if first < 0:
            state["due_ns"], state["slots"] = next_ns, slots
            state["clock_ns"] = max(state["clock_ns"], to_ns)
            return n
        state["clock_ns"] = max(state["clock_ns"], first_ns)
        if state["stage"][first] == PENDING:
            n = arrive(state, first, reports, n)
        else:
            state["stage"][first] = FREE
            price, front, cancel_ns = state["price_micro"][first], state["front"][first], state["cancel_ns"][first]
            n = report(state, first, CANCELED, price, 0, front, cancel_ns, reports, n)


@kernel
def take_book(
    states: State,
    at_ns: int,
    bid_micro: NDArray[Any],
    bid_units: NDArray[Any],
    ask_micro: NDArray[Any],
    ask_units: NDArray[Any],
) -> None:
    """Take a whole book, best level first (at most LEVELS a side), after `advance(at_ns)`. It fills nothing."""
    state = states[0]
    state["has_book"] = 1
    state["bids"] = len(bid_micro)
    state["asks"] = len(ask_micro)
    for k in range(len(bid_micro)):
        state["bid_micro"][k] = bid_micro[k]
        state["bid_units"][k] = bid_units[k]
    for k in range(len(ask_micro)):
        state["ask_micro"][k] = ask_micro[k]
        state["ask_units"][k] = ask_units[k]
    end_change(states, at_ns)


@kernel
def change_level(states: State, side: int, price_micro: int, units: float) -> bool:
    """Set what stands at one price of one side; 0 removes the level. False, nothing changed: LEVELS stand already.

    For a book that is told by its changes: `advance` first, then all changes of one instant, then `end_change`.
    """
    state = states[0]
    state["has_book"] = 1
    if side == BUY:
        count, prices, sizes = state["bids"], state["bid_micro"], state["bid_units"]
    else:
        count, prices, sizes = state["asks"], state["ask_micro"], state["ask_units"]
    place = 0
    while place < count and (prices[place] - price_micro) * side > 0:
        place += 1
    if place < count and prices[place] == price_micro:
        if units > 0.0:
            sizes[place] = units
            return True
        count -= 1
        for k in range(place, count):
            prices[k] = prices[k + 1]
            sizes[k] = sizes[k + 1]
    elif units > 0.0:
        if count >= LEVELS:
            return False
        for k in range(count, place, -1):
            prices[k] = prices[k - 1]
            sizes[k] = sizes[k - 1]
        prices[place] = price_micro
        sizes[place] = units
        count += 1
    if side == BUY:
        state["bids"] = count
    else:
        state["asks"] = count
    return True


@kernel
def end_change(states: State, at_ns: int) -> None:
    """The book's changes of one instant are all there: our resting orders see their levels."""
    state = states[0]
    for i in range(state["slots"]):
        if state["stage"][i] == RESTING:
            see_level(state, i, level_size(state, state["side"][i], state["price_micro"][i]), at_ns)


@kernel
def take_trade(states: State, ts_ns: int, taker_side: int, price_micro: int, units: int, reports: NDArray[Any]) -> int:
    """Take a public trade in CALL units (`taker_side` +1 buys CALL), after `advance(ts_ns - PRINT_LAG_NS)`.

    Our orders it could reach come in the order of price, then time. Returns the reports written, at most ORDERS.
    """
    state = states[0]
    side = -taker_side
    matched_ns = ts_ns - PRINT_LAG_NS
    n = 0
    left = units
    last_price, last_rank = price_micro, -1
    is_first = True
    while left > 0:
        chosen = -1
        for i in range(state["slots"]):
            if state["stage"][i] != RESTING or state["side"][i] != side:
                continue
            if state["rested_ns"][i] > matched_ns:  # it came after the match
                continue
            if 0 < state["cancel_ns"][i] <= matched_ns:  # its cancel came before the match
                continue
            price, rank = state["price_micro"][i], state["rank"][i]
            if (price - price_micro) * side < 0:
                continue
            behind_last = (price - last_price) * side < 0 or (price == last_price and rank > last_rank)
            if not is_first and not behind_last:
                continue
            ahead = 0
            if chosen >= 0:
                ahead = (price - state["price_micro"][chosen]) * side
            if chosen < 0 or ahead > 0 or (ahead == 0 and rank < state["rank"][chosen]):
                chosen = i
        if chosen < 0:
            break
        is_first = False
        last_price, last_rank = state["price_micro"][chosen], state["rank"][chosen]
        front = state["front"][chosen]
        if last_price == price_micro:
            reached = math.floor(see_trade(state, chosen, float(left), ts_ns) + 1e-6)
        else:  # the trade went through our price: nobody is ahead there any more
            state["front"][chosen] = 0.0
            state["shrink"][chosen] = 0.0
            state["advance"][chosen] = 0.0
            reached = left
        filled = min(reached, int(state["left"][chosen]))
        if filled <= 0:
            continue
        left -= filled
        state["left"][chosen] -= filled
        n = report(state, chosen, FILL, last_price, filled, front, ts_ns, reports, n)
        if state["left"][chosen] == 0:
            state["stage"][chosen] = FREE
    return n


class Report(NamedTuple):
    """What happened to an order: it rests, filled, was rejected (`post_only`, `no_book`) or was canceled.

    `ts_ns` is when it happened; reports come as things become known, and that of a cancel comes late.

    `side` and `price_micro` are of the outcome it was placed on. `left_units` are left after it; `ahead_units` were
    before the order in the queue.
    """

    kind: ReportKind
    order_id: int
    outcome: Outcome
    side: TradeSide
    price_micro: int
    units: int
    left_units: int
    is_maker: bool
    ts_ns: int
    ahead_units: float


class Exchange:
    """The kernels with names for numbers: the orders of one period. All times are the venue's, in nanoseconds."""

    def __init__(self, queue: QueueName) -> None:
        self.record: State = np.zeros(1, STATE)
        self.record["queue_model"] = QUEUES[queue]
        self._reports: State = np.zeros(REPORTS, REPORT)

    @property
    def clock_ns(self) -> int:
        """Until when everything has happened."""
        return int(self.record["clock_ns"][0])

    def place(
        self,
        order_id: int,
        *,
        outcome: Outcome,
        side: TradeSide,
        price_micro: int,
        units: int,
        arrives_ns: int,
        is_taker: bool = False,
    ) -> Refusal | None:
        """Send an order that reaches the venue at `arrives_ns`; None, or why it was not sent.

        Post-only, unless `is_taker`: then it takes what the book offers up to its price and never rests; count the
        venue's taker delay into its arrival. Raises ValueError for a price outside (0, 1) dollars or no size.
        """
        if not 0 < price_micro < MICRO or units <= 0:
            raise ValueError(f"{units} micro-shares at {price_micro} micro-dollars is no order")
        sign = BUY if side == "buy" else SELL
        number = 0 if outcome == "CALL" else 1
        code = place(self.record, order_id, number, sign, price_micro, units, arrives_ns, is_taker)
        return _REFUSALS.get(code)

    def cancel(self, order_id: int, arrives_ns: int) -> bool:
        """Send a cancel; False when there is nothing to cancel. Until it is reported the order can fill."""
        return cancel(self.record, order_id, arrives_ns)

    def advance(self, to_ns: int) -> list[Report]:
        """Let everything arrive that is due until then, and let go what was canceled `PRINT_LAG_NS` before."""
        return self._read(advance(self.record, to_ns, self._reports))

    def take_book(
        self,
        at_ns: int,
        *,
        bid_micro: NDArray[np.int64],
        bid_units: NDArray[np.float64],
        ask_micro: NDArray[np.int64],
        ask_units: NDArray[np.float64],
    ) -> list[Report]:
        """Take the whole CALL book, best level first. Raises ValueError when it has more than LEVELS levels a side."""
        if max(len(bid_micro), len(ask_micro)) > LEVELS:
            raise ValueError(f"a book of {max(len(bid_micro), len(ask_micro))} levels a side; at most {LEVELS} fit")
        found = self.advance(at_ns)
        take_book(self.record, at_ns, bid_micro, bid_units, ask_micro, ask_units)
        return found

    def take_trade(
        self, ts_ns: int, *, outcome: Outcome, aggressor: Aggressor, price_micro: int, units: int
    ) -> list[Report]:
        """Take a public trade of either token, stamped `ts_ns`."""
        found = self.advance(ts_ns - PRINT_LAG_NS)
        sign = BUY if aggressor == "buy" else SELL
        if outcome == "PUT":
            sign, price_micro = -sign, MICRO - price_micro
        return found + self._read(take_trade(self.record, ts_ns, sign, price_micro, units, self._reports))

    def ahead_units(self, order_id: int) -> float | None:
        """Micro-shares believed to be before an order; None while it does not rest."""
        state = self.record[0]
        places = np.flatnonzero((state["stage"] == RESTING) & (state["order_id"] == order_id))
        return float(state["front"][places[0]]) if len(places) else None

    def checkpoint(self) -> tuple[str, bytes]:
        """Layout and bytes of everything the exchange knows."""
        return layout_of(STATE), pack_state(self.record)

    def restore(self, layout: str, encoded: bytes) -> None:
        """Continue from a checkpoint. Raises ValueError when it is of another layout."""
        self.record = unpack_state(encoded, dtype=STATE, layout=layout)

    def _read(self, count: int) -> list[Report]:
        return [_named(line) for line in self._reports[:count].tolist()] if count else []


def _named(line: tuple[Any, ...]) -> Report:
    kind, order_id, outcome, side, price_micro, units, left, is_maker, ts_ns, front = line
    if outcome == 1:
        side, price_micro = -side, MICRO - price_micro
    name: TradeSide = "buy" if side == BUY else "sell"
    return Report(
        _KINDS[kind], order_id, _OUTCOMES[outcome], name, price_micro, units, left, is_maker == 1, ts_ns, front
    )

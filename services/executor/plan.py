"""What to send so that our orders are the wanted ones (compiled, pure): the paper executor and the backtest ask this.

    orders that serve what is wanted stay  ->  the others are canceled  ->  what is missing is placed, if it may be

Orders at a wanted price serve it, oldest first, as long as all of them together are not more than wanted; else the
nearest one a little further from the market: its place in the queue is worth more than `patience_micro`. What is left
of an order below the venue's minimum serves nothing: it would keep a whole order from being placed.

An order is placed only if no limit could be broken with everything that can still fill filled, and only if it could
not meet one of our own. Prices are CALL micro-dollars and sides CALL's, as in `shared.exchange`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shared.config import MAX_TIERS
from shared.exchange import FREE, ORDERS
from shared.kernel import Record, State, kernel
from shared.money import MICRO

MOST_WANTED = 2 * MAX_TIERS
STEPS = ORDERS + MOST_WANTED  # at most: every order canceled, everything wanted placed or skipped

CANCEL, PLACE, SKIP = 1, 2, 3
NO_FAULT, OFF_GRID, BELOW_MINIMUM, MAX_POSITION, MAX_IMBALANCE, NOT_HELD, SELF_CROSS, NO_ROOM = range(8)
FaultName = Literal[
    "off_grid",
    "below_minimum_size",
    "max_position_size",
    "max_inventory_imbalance",
    "not_held",
    "self_cross",
    "too_many_orders",
]
FAULTS: dict[int, FaultName] = {
    OFF_GRID: "off_grid",
    BELOW_MINIMUM: "below_minimum_size",
    MAX_POSITION: "max_position_size",
    MAX_IMBALANCE: "max_inventory_imbalance",
    NOT_HELD: "not_held",
    SELF_CROSS: "self_cross",
    NO_ROOM: "too_many_orders",
}

WANTED = np.dtype(
    [
        ("outcome", "i8"),  # of the order: 0 CALL, 1 PUT
        ("side", "i8"),  # in CALL: buying PUT is -1
        ("price_micro", "i8"),  # in CALL
        ("units", "i8"),
        ("layer", "i8"),
        ("is_rejected", "i8"),  # 1: the venue refused it since this was wanted; not sent again
    ],
    align=True,
)
STEP = np.dtype([("kind", "i8"), ("order_id", "i8"), ("wanted", "i8"), ("fault", "i8")], align=True)
LIMITS = np.dtype(
    [
        ("tick_micro", "i8"),
        ("least_units", "i8"),  # the venue's minimum size
        ("patience_micro", "i8"),
        ("max_position_units", "i8"),
        ("max_imbalance_units", "i8"),
        ("call_least", "i8"),  # held, as far as is known: what is unsure counts in the bound that binds sooner
        ("call_most", "i8"),
        ("put_most", "i8"),
        ("inventory_least", "i8"),  # CALL less PUT
        ("inventory_most", "i8"),
    ],
    align=True,
)
WORK = np.dtype(  # scratch
    [
        ("live", "i8", (ORDERS,)),  # slots of orders that can fill, oldest first
        ("is_spare", "i8", (ORDERS,)),
        ("budget", "i8", (MOST_WANTED,)),
        ("is_served", "i8", (MOST_WANTED,)),
        ("call_buys", "i8"),  # everything that can still fill
        ("call_sells", "i8"),
        ("put_buys", "i8"),
    ],
    align=True,
)


@kernel
def find_live(state: Record, work: Record) -> int:
    """Note the orders that can fill, oldest first, and what they expose us to; returns how many there are."""
    live = 0
    work["call_buys"] = 0
    work["call_sells"] = 0
    work["put_buys"] = 0
    for slot in range(ORDERS):
        if state["stage"][slot] == FREE:
            continue
        place = live
        while place > 0 and state["order_id"][work["live"][place - 1]] > state["order_id"][slot]:
            work["live"][place] = work["live"][place - 1]
            place -= 1
        work["live"][place] = slot
        live += 1
        expose(work, state["outcome"][slot], state["side"][slot], state["left"][slot])
    return live


@kernel
def expose(work: Record, outcome: int, side: int, units: int) -> None:
    """Count an order among those that can still fill."""
    if outcome == 1:
        work["put_buys"] += units
    elif side > 0:
        work["call_buys"] += units
    else:
        work["call_sells"] += units


@kernel
def serve(state: Record, work: Record, live: int, wanted: NDArray[Any], count: int, limits: Record) -> None:
    """Decide which orders serve what is wanted; the others become spare."""
    least = limits["least_units"]
    for k in range(count):
        work["budget"][k] = wanted[k]["units"]
        work["is_served"][k] = 0
    for j in range(live):
        slot = work["live"][j]
        work["is_spare"][j] = 0
        if state["cancel_ns"][slot] > 0:
            continue
        left = state["left"][slot]
        work["is_spare"][j] = 1
        for k in range(count):
            if (
                wanted[k]["price_micro"] == state["price_micro"][slot]
                and wanted[k]["side"] == state["side"][slot]
                and wanted[k]["outcome"] == state["outcome"][slot]
            ):
                if least <= left <= work["budget"][k]:
                    work["is_served"][k] = 1
                    work["is_spare"][j] = 0
                    work["budget"][k] -= left
                break
    for k in range(count):
        if work["is_served"][k] == 1:
            continue
        nearest, nearest_behind = -1, limits["patience_micro"]
        for j in range(live):
            slot = work["live"][j]
            if work["is_spare"][j] == 0 or state["side"][slot] != wanted[k]["side"]:
                continue
            left = state["left"][slot]
            if state["outcome"][slot] != wanted[k]["outcome"] or left < least or left > work["budget"][k]:
                continue
            behind = (wanted[k]["price_micro"] - state["price_micro"][slot]) * wanted[k]["side"]
            if 0 < behind <= nearest_behind and (nearest < 0 or behind < nearest_behind):
                nearest, nearest_behind = j, behind
        if nearest >= 0:
            work["is_spare"][nearest] = 0
            work["is_served"][k] = 1


@kernel
def fault_of(
    state: Record, work: Record, live: int, wanted: NDArray[Any], k: int, limits: Record, steps: NDArray[Any], n: int
) -> int:
    """Why the k-th wanted order must not be sent; NO_FAULT. Steps before `n` are those already planned."""
    line = wanted[k]
    outcome, side, price, units = line["outcome"], line["side"], line["price_micro"], line["units"]
    tick = limits["tick_micro"]
    if price % tick != 0 or price < tick or price > MICRO - tick:
        return OFF_GRID
    if units < limits["least_units"]:
        return BELOW_MINIMUM
    if outcome == 0 and side > 0:
        if limits["call_most"] + work["call_buys"] + units > limits["max_position_units"]:
            return MAX_POSITION
        if limits["inventory_most"] + work["call_buys"] + units > limits["max_imbalance_units"]:
            return MAX_IMBALANCE
    else:
        if outcome == 0 and work["call_sells"] + units > limits["call_least"]:
            return NOT_HELD
        if outcome == 1 and limits["put_most"] + work["put_buys"] + units > limits["max_position_units"]:
            return MAX_POSITION
        if work["put_buys"] + work["call_sells"] + units - limits["inventory_least"] > limits["max_imbalance_units"]:
            return MAX_IMBALANCE
    placed = 0
    for j in range(live):
        slot = work["live"][j]
        if state["side"][slot] != side and (state["price_micro"][slot] - price) * side <= 0:
            return SELF_CROSS
    for j in range(n):
        if steps[j]["kind"] == PLACE:
            placed += 1
            other = wanted[steps[j]["wanted"]]
            if other["side"] != side and (other["price_micro"] - price) * side <= 0:
                return SELF_CROSS
    return NO_ROOM if live + placed >= ORDERS else NO_FAULT


@kernel
def plan(
    states: State,
    works: State,
    wanted: NDArray[Any],
    count: int,
    limits_state: State,
    may_place: bool,
    steps: NDArray[Any],
) -> int:
    """Write what to send into `steps`, cancels first; returns how many (at most STEPS).

    `states` is the exchange's record; `wanted` the first `count` rows, in the order in which they are placed. A skipped
    one is written with its fault. Nothing is placed unless `may_place`.
    """
    state, work, limits = states[0], works[0], limits_state[0]
    live = find_live(state, work)
    serve(state, work, live, wanted, count, limits)
    n = 0
    for j in range(live):
        if work["is_spare"][j] == 1:
            steps[n]["kind"] = CANCEL
            steps[n]["order_id"] = state["order_id"][work["live"][j]]
            n += 1
    if not may_place:
        return n
    for k in range(count):
        if work["is_served"][k] == 1 or wanted[k]["is_rejected"] == 1:
            continue
        fault = fault_of(state, work, live, wanted, k, limits, steps, n)
        steps[n]["kind"] = PLACE if fault == NO_FAULT else SKIP
        steps[n]["wanted"] = k
        steps[n]["fault"] = fault
        n += 1
        if fault == NO_FAULT:
            expose(work, wanted[k]["outcome"], wanted[k]["side"], wanted[k]["units"])
    return n

"""Oracle prints that the spot venue contradicts: kept aside, in no window until confirmed.

A print that was refused live comes again with every history; what is in here with the same price is not news. The ring
holds the last `SLOTS` of them.
"""

from __future__ import annotations

import numpy as np

from shared.kernel import Record, kernel

SLOTS = 64

STATE = np.dtype(
    [
        ("stamp_ns", "i8", (SLOTS,)),  # the oracle's; 0: empty
        ("log_price", "f8", (SLOTS,)),
        ("count", "i8"),
    ],
    align=True,
)


@kernel
def clear(state: Record, stamp_ns: int) -> None:
    """This stamp has a value that is believed now."""
    for j in range(len(state.stamp_ns)):
        if state.stamp_ns[j] == stamp_ns:
            state.stamp_ns[j] = 0


@kernel
def doubt(state: Record, stamp_ns: int, log_price: float) -> None:
    """Keep a print aside, in the place of an earlier one of its stamp."""
    clear(state, stamp_ns)
    place = state.count % len(state.stamp_ns)
    state.stamp_ns[place] = stamp_ns
    state.log_price[place] = log_price
    state.count += 1


@kernel
def is_doubted(state: Record, stamp_ns: int, log_price: float) -> bool:
    """Whether exactly this print is kept aside."""
    found = False
    for j in range(len(state.stamp_ns)):
        found = found or (state.stamp_ns[j] == stamp_ns and state.log_price[j] == log_price)
    return found

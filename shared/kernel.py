"""How trading logic is compiled: pure functions over records, cached on disk.

`@kernel` functions do no I/O, read no clock, draw no random numbers and allocate nothing. With
`NUMBA_DISABLE_JIT=1` they run as plain Python, which is how to step through them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Record = Any  # a numpy.void / numba Record: one row of a STATE dtype
State = NDArray[np.void]  # shape (1,): an owned, checkpointable state record


def kernel(function: Function) -> Function:
    """Compile a pure function with Numba, into the on-disk cache, releasing the GIL."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def layout_of(dtype: np.dtype[Any]) -> str:
    """A short identity of a record layout (names, types, offsets): equal exactly when bytes can be exchanged."""
    return hashlib.sha256(repr(dtype.descr).encode()).hexdigest()[:12]


def pack_state(state: State) -> bytes:
    """The record as bytes, for a checkpoint."""
    return state.tobytes()


def unpack_state(encoded: bytes, *, dtype: np.dtype[Any], layout: str) -> State:
    """The record in these bytes. Raises ValueError when the layout or the length is another."""
    if layout != layout_of(dtype):
        raise ValueError(f"checkpoint has layout {layout}, this version expects {layout_of(dtype)}: start cold")
    if len(encoded) != dtype.itemsize:
        raise ValueError(f"checkpoint has {len(encoded)} bytes, expected {dtype.itemsize}: start cold")
    return np.frombuffer(bytearray(encoded), dtype=dtype)

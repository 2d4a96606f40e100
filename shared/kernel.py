"""How trading logic is compiled: pure functions over records, cached on disk.

`@kernel` functions do no I/O, read no clock, draw no random numbers and allocate nothing. With
`NUMBA_DISABLE_JIT=1` they run as plain Python, which is how to step through them.

Numba notices a change of the file a kernel is in, but not of the kernels and record layouts that file imports. So the
cache lies in a folder named by the text of every file that has a kernel: another text, another cache.

Numba passes over a cache that it cannot write, such as that of the Docker image. Here it is read all the same; a kernel
that is missing in it is compiled by each process for itself.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import event
from numba.core.caching import UserProvidedCacheLocator
from numpy.typing import NDArray

from shared.watchdog import watchdog

_ROOT = Path(__file__).parents[1]
CACHES = _ROOT / ".kernels"


def _sources_hash() -> str:
    found = hashlib.sha256(numba.__version__.encode())
    for folder in ("shared", "services", "backtest"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            text = path.read_bytes()
            if b"shared.kernel" in text:
                found.update(path.relative_to(_ROOT).as_posix().encode() + text)
    return found.hexdigest()[:16]


CACHE = CACHES / _sources_hash()
if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(CACHE)  # type: ignore[attr-defined]


class ShippedLocator(UserProvidedCacheLocator):
    """Finds the cache in its folder without asking whether it can be written."""

    @classmethod
    def from_function(cls, function: Callable[..., Any], source: str) -> ShippedLocator:
        """The locator of one function's cache."""
        return cls(function, source)


_IS_SHIPPED = CACHE.is_dir() and not os.access(CACHE, os.W_OK)
if _IS_SHIPPED:
    numba.config.CACHE_LOCATOR_CLASSES = f"{__name__}.{ShippedLocator.__name__}"  # type: ignore[attr-defined]


class _Compiling(event.Listener):
    """A process that compiles is busy, not hung."""

    def on_start(self, _event: event.Event) -> None:
        watchdog.be_patient()

    def on_end(self, _event: event.Event) -> None:
        """The next heartbeat watches as before."""


event.register("numba:compile", _Compiling())  # type: ignore[no-untyped-call]

Function = TypeVar("Function", bound=Callable[..., Any])
Record = Any  # a numpy.void / numba Record: one row of a STATE dtype
State = NDArray[np.void]  # shape (1,): an owned, checkpointable state record


def kernel(function: Function) -> Function:
    """Compile a pure function with Numba, into the on-disk cache, releasing the GIL."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return cast(Function, _with_named_fields(function))
    compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    if _IS_SHIPPED:
        compiled._cache.save_overload = _not_saved
    return cast(Function, compiled)


def _not_saved(_signature: Any, _compiled: Any) -> None:
    """Numba saves what it had to compile, and fails where it cannot."""


def _with_named_fields(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function on views of its records that have their fields as attributes, as Numba's have."""

    def named(argument: Any) -> Any:
        if type(argument) is np.ndarray and argument.dtype.names is not None:
            return argument.view(np.recarray)
        if type(argument) is np.void:
            return argument.view((np.record, argument.dtype))
        return argument

    @functools.wraps(function)
    def plain(*arguments: Any) -> Any:
        return function(*map(named, arguments))

    return plain


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

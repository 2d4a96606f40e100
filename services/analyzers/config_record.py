"""A `Config` (a NamedTuple of numbers, nested or not) as one NumPy record with the same attribute names.

Kernels read either form alike. At the border between Python and a kernel, an array of one record costs a tenth of a
microsecond; unpacking fifty numbers of a tuple costs ten, and so does a bare record (its layout is compared each time).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shared.kernel import State


def dtype_of(config: Any) -> np.dtype[Any]:
    """The record layout of a config."""
    fields: list[tuple[str, Any]] = []
    for name, number in config._asdict().items():
        if isinstance(number, tuple):
            fields.append((name, dtype_of(number)))
        else:
            fields.append((name, "i8" if isinstance(number, int) else "f8"))
    return np.dtype(fields, align=True)


def config_record(config: Any) -> State:
    """The config as one record, shape (1,). Raises ValueError on something that is not a number."""
    return np.array([config], dtype_of(config))

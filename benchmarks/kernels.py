"""Cost of every kernel that Python calls: compiled, and as the plain Python it is written in.

A few virtual minutes run through the cores while each call from Python into a kernel is sampled with its arguments. The
same samples are then called again in this process (compiled) and in one with `NUMBA_DISABLE_JIT=1` (uncompiled).
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np

from backtest.warm import run_through
from benchmarks.report import Row

Sample = tuple[Any, ...]
SAMPLES = 64  # of each kernel; what changes its arguments is called on copies of them
ROUNDS = 9


def measure() -> list[Row]:
    """One row a kernel, the dearest first."""
    run_through()  # everything is compiled
    samples = _sample()
    compiled = _cost_all(samples)
    plain = _cost_uncompiled(samples)
    rows = []
    for name in sorted(compiled, key=compiled.__getitem__, reverse=True):
        ratio = plain[name] / compiled[name]
        rows.append(Row(name, f"{compiled[name]:.2f} µs", f"{plain[name]:.1f} µs uncompiled", f"1:{ratio:.0f}"))
    return rows


def _copied(arguments: Sample) -> Sample:
    """The arguments with records of their own, of the very same layout object: Numba knows that one at a glance."""
    return tuple(each.copy() if isinstance(each, np.ndarray) else each for each in arguments)


def _modules() -> list[ModuleType]:
    ours = ("services.", "shared.", "backtest.")
    return [module for name, module in sorted(sys.modules.items()) if name.startswith(ours)]


def _sample() -> dict[str, list[Sample]]:
    """Arguments of calls from Python into kernels, by the kernel's full name."""
    samples: dict[str, list[Sample]] = {}
    seen: dict[str, int] = {}
    replaced: list[tuple[ModuleType, str, Any]] = []

    def sampling(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            seen[name] = count = seen.get(name, 0) + 1
            if count % 7 == 1:  # spread over the scenario; the latest replace the earliest
                kept = samples.setdefault(name, [])
                kept.append(_copied(arguments))
                del kept[:-SAMPLES]
            return kernel(*arguments)

        return call

    for module in _modules():
        for attribute, found in list(vars(module).items()):
            if isinstance(found, numba.core.registry.CPUDispatcher):
                owner = f"{found.py_func.__module__}.{found.py_func.__name__}"
                replaced.append((module, attribute, found))
                setattr(module, attribute, sampling(owner, found))
    try:
        run_through()
    finally:
        for module, attribute, original in replaced:
            setattr(module, attribute, original)
    return samples


def _cost_all(samples: dict[str, list[Sample]]) -> dict[str, float]:
    """Microseconds a call of each kernel: the median over rounds of the mean over its samples."""
    costs = {}
    for name, calls in samples.items():
        module, _, attribute = name.rpartition(".")
        kernel = getattr(importlib.import_module(module), attribute)
        rounds = []
        for _ in range(ROUNDS + 1):
            fresh = [_copied(arguments) for arguments in calls]
            begin = time.perf_counter_ns()
            for arguments in fresh:
                kernel(*arguments)
            rounds.append((time.perf_counter_ns() - begin) / len(fresh) / 1e3)
        costs[name] = float(np.median(rounds[1:]))
    return costs


def _cost_uncompiled(samples: dict[str, list[Sample]]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.pickle"
        path.write_bytes(pickle.dumps(samples))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.kernels", str(path)],
            env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise RuntimeError(f"the uncompiled kernels failed:\n{done.stderr[-2_000:]}")
    costs: dict[str, float] = json.loads(done.stdout)
    return costs


if __name__ == "__main__":
    print(json.dumps(_cost_all(pickle.loads(Path(sys.argv[1]).read_bytes()))))

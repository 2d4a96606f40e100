"""After a rehearsal nothing is loaded any more: each kind in a process of its own, that has loaded nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import get_args

import pytest

from services.analyzers.core import Kind
from tests.processes import ROOT

PROGRAM = """
import gc
import sys
from numba.core.dispatcher import Dispatcher
from services.analyzers.rehearsal import rehearse
from shared.config import MMConfig

def loaded():
    kernels = [each for each in gc.get_objects() if isinstance(each, Dispatcher)]
    return sorted((each.py_func.__qualname__, str(signature)) for each in kernels for signature in each.signatures)

kind = sys.argv[1]
assert not loaded()
rehearse(kind, MMConfig())
before = loaded()
assert before
rehearse(kind, MMConfig(), steps=10 * 310)  # a whole period, and its rollover
new = set(loaded()) - set(before)
assert not new, new
"""


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="kernels are not compiled")
@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_rehearsal_loads_every_kernel_that_a_period_calls(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr

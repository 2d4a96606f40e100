"""How a door starts: with this Python, or with the one that `make setup` prepared. Standard library alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def prepared_python() -> Iterator[None]:
    """Around a door's imports: where a package is missing, the process begins anew with the prepared Python.

    Where that is not there either, or is this one, it exits with a sentence that says what to do.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        prepared = ROOT / ".venv" / "bin" / "python"
        if not prepared.exists() or Path(sys.prefix) == prepared.parents[1]:
            sys.exit(f"{Path(sys.argv[0]).name}: {error}: run `make setup` once")
        os.execv(prepared, [str(prepared), *sys.argv])

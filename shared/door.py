"""How a door starts: with this Python, or with the one that `make setup` prepared. Standard library alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main_of(module: str) -> Callable[[list[str]], int]:
    """`main` of the module that does the work.

    Where a package is missing, the process begins anew with the prepared Python. Where that is not there either, or is
    this one, it exits with a sentence that says what to do.
    """
    try:
        main: Callable[[list[str]], int] = import_module(module).main
    except ModuleNotFoundError as error:
        prepared = ROOT / ".venv" / "bin" / "python"
        if not prepared.exists() or Path(sys.prefix) == prepared.parents[1]:
            sys.exit(f"{Path(sys.argv[0]).name}: {error}: run `make setup` once")
        os.execv(prepared, [str(prepared), *sys.argv])
    return main

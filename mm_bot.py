"""Starts the whole market maker on this machine: `python3 mm_bot.py --help`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VENV_PYTHON = Path(__file__).resolve().parent / ".venv" / "bin" / "python"

if __name__ == "__main__":
    try:
        from bot.main import main
    except ModuleNotFoundError as error:  # another Python than the one `make setup` prepared
        if not VENV_PYTHON.exists() or Path(sys.prefix) == VENV_PYTHON.parents[1]:
            sys.exit(f"mm_bot.py: {error}: run `make setup` once")
        os.execv(VENV_PYTHON, [str(VENV_PYTHON), *sys.argv])
    sys.exit(main(sys.argv[1:]))

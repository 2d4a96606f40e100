"""Close, hedge with the opposite outcome, merge, or hold? `python3 hedge_analyzer.py --help`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VENV_PYTHON = Path(__file__).resolve().parent / ".venv" / "bin" / "python"

if __name__ == "__main__":
    try:
        from services.hedger.hedge_cli import main
    except ModuleNotFoundError as error:  # another Python than the one `make setup` prepared
        if not VENV_PYTHON.exists() or Path(sys.prefix) == VENV_PYTHON.parents[1]:
            sys.exit(f"hedge_analyzer.py: {error}: run `make setup` once")
        os.execv(VENV_PYTHON, [str(VENV_PYTHON), *sys.argv])
    sys.exit(main(sys.argv[1:]))

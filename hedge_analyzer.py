"""Close, hedge with the opposite outcome, merge, or hold? `python3 hedge_analyzer.py --help`."""

from __future__ import annotations

import sys

from shared.door import main_of

if __name__ == "__main__":
    sys.exit(main_of("services.hedger.hedge_cli")(sys.argv[1:]))

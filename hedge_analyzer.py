"""Close, hedge with the opposite outcome, merge, or hold? `python3 hedge_analyzer.py --help`."""

from __future__ import annotations

import sys

from shared.door import prepared_python

if __name__ == "__main__":
    with prepared_python():
        from services.hedger.hedge_cli import main
    sys.exit(main(sys.argv[1:]))

"""`python -m services.analyzers <lead_lag|regime|volatility|flow>`"""

from __future__ import annotations

import sys

from services.analyzers.core import KINDS, AnalyzerCore
from shared.service import EXIT_CONFIGURATION, run


def main(arguments: list[str]) -> None:
    """Serve one kind of analyzer until stopped."""
    chosen = [kind for kind in KINDS if arguments == [kind]]
    if not chosen:
        print(f"usage: python -m services.analyzers {{{'|'.join(KINDS)}}}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION)
    run(chosen[0], lambda runtime: AnalyzerCore(chosen[0], [each.name for each in runtime.series]))


if __name__ == "__main__":
    main(sys.argv[1:])

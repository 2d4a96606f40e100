"""`python -m services.analyzers <lead_lag|regime|volatility|flow>`"""

from __future__ import annotations

import sys

from services.analyzers.core import KINDS, AnalyzerCore
from shared.config import MMConfig
from shared.service import EXIT_CONFIGURATION, Runtime, run


def main(arguments: list[str]) -> None:
    """Serve one kind of analyzer until stopped."""
    chosen = [kind for kind in KINDS if arguments == [kind]]
    if not chosen:
        print(f"usage: python -m services.analyzers {{{'|'.join(KINDS)}}}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION)

    def make(runtime: Runtime) -> AnalyzerCore:
        text = runtime.settings.config_json
        config = MMConfig.model_validate_json(text) if text else MMConfig()
        return AnalyzerCore(chosen[0], [each.name for each in runtime.series], config)

    run(chosen[0], make)


if __name__ == "__main__":
    main(sys.argv[1:])

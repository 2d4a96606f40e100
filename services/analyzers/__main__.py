"""`python -m services.analyzers <lead_lag|regime|volatility|flow>`"""

from __future__ import annotations

import sys

from prometheus_client import REGISTRY, Gauge

from services.analyzers.core import KINDS
from services.analyzers.metrics_io import SignalCollector
from services.analyzers.rehearsal import rehearse
from services.analyzers.share import Share
from shared.config import MMConfig
from shared.service import EXIT_CONFIGURATION, Runtime, run

_OWNED = Gauge("analyzer_owned_markets", "Markets that this instance analyzes: its share.", ["kind"])


def main(arguments: list[str]) -> None:
    """Serve one kind of analyzer until stopped."""
    chosen = [kind for kind in KINDS if arguments == [kind]]
    if not chosen:
        print(f"usage: python -m services.analyzers {{{'|'.join(KINDS)}}}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION)

    def make(runtime: Runtime) -> Share:
        text = runtime.settings.config_json
        config = MMConfig.model_validate_json(text) if text else MMConfig()
        markets = [each.name for each in runtime.series]
        rehearse(chosen[0], config)  # whoever beats can serve
        share = Share(chosen[0], markets, config, instance=runtime.instance, started_ns=runtime.started_ns)
        _OWNED.labels(chosen[0]).set_function(lambda: len(share.owned))
        return share

    metrics = SignalCollector()
    REGISTRY.register(metrics)
    run(chosen[0], make, on_published=metrics.take, last_words=Share.last_words)


if __name__ == "__main__":
    main(sys.argv[1:])

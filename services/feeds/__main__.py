"""One feed process: `python -m services.feeds <venue>`."""

from __future__ import annotations

import argparse
import asyncio
import sys

from services.feeds.settings import FeedSettings, PolyBoltSettings
from services.feeds.venues_io import VENUES, Feed
from shared.bus import BusTimeoutError
from shared.service import EXIT_CONFIGURATION, Runtime, load_settings
from shared.settings import ServiceSettings


def main() -> int:
    """Run one feed until SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.feeds", description=__doc__)
    parser.add_argument("venue", choices=VENUES)
    venue: str = parser.parse_args().venue
    service_settings, settings = load_settings(ServiceSettings), load_settings(FeedSettings)
    credentials = load_settings(PolyBoltSettings).credentials() if venue == "chainlink" else None
    if venue == "chainlink" and settings.oracle_stream == "polybolt" and credentials is None:
        print(
            "configuration: MM_FEED_ORACLE_STREAM=polybolt needs MM_POLYBOLT_API_KEY, _SECRET, _PASSPHRASE",
            file=sys.stderr,
        )
        return EXIT_CONFIGURATION
    with Runtime(venue, service_settings) as runtime:
        try:
            runtime.wait_for_broker()
        except BusTimeoutError as error:
            if runtime.stopping:
                return 0
            runtime.log.error("no bus", error=str(error))
            return 1
        asyncio.run(Feed(runtime, settings, credentials).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())

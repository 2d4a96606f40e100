"""`python -m services.simulator`: serve the venues until Ctrl-C or SIGTERM; the first line names every URL."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from pydantic import ValidationError

from services.simulator.server_io import Simulator
from services.simulator.settings import SimulatorSettings


async def serve(settings: SimulatorSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with Simulator(settings) as simulator:
        print(json.dumps({"port": simulator.port, **simulator.urls._asdict()}), flush=True)
        await simulator.run(stop)


def main() -> int:
    try:
        asyncio.run(serve(SimulatorSettings()))
    except (ValidationError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

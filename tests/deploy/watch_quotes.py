"""Runs in a container beside the sink: reads the quotes as a trader's program does, and tells what it saw.

`watch_quotes.py <folder> <market>...`; prints a JSON line for each quote that it found long past its lease, and on
SIGTERM how often it read and the worst it saw. A file that says PULL_QUOTES, or is missing, is no quote.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

EACH_S = 0.02
# The sink pulls within 10 ms; a machine that builds, starts and stops containers meanwhile may keep it waiting.
SLACK_MS = 2_000.0


def overdue_ms(quotes: dict[str, object], *, now_ms: float) -> float:
    """How long quotes stand in the file past their lease; 0 when none do."""
    valid_until = quotes.get("valid_until")
    if quotes["action"] == "PULL_QUOTES":
        return 0.0
    return max(now_ms - valid_until, 0.0) if isinstance(valid_until, int) else float("inf")


def main(folder: Path, markets: list[str]) -> None:
    """Read until SIGTERM."""
    reads = quoting = 0
    worst_ms = 0.0
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    while not stopping:
        for market in markets:
            now_ms = time.time() * 1000.0
            try:
                quotes = json.loads((folder / f"mm_quotes.{market}.json").read_bytes())
            except FileNotFoundError:
                continue
            reads += 1
            quoting += quotes["action"] != "PULL_QUOTES"
            late_ms = overdue_ms(quotes, now_ms=now_ms)
            worst_ms = max(worst_ms, late_ms)
            if late_ms > SLACK_MS:
                print(json.dumps({"stale": market, "late_ms": late_ms}), flush=True)
        time.sleep(EACH_S)
    print(json.dumps({"reads": reads, "quoting": quoting, "worst_ms": worst_ms}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

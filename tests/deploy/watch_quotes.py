"""Runs in a container beside the sink: reads the quotes as a trader's program does, and tells what it saw.

`watch_quotes.py <folder> <market>...`; prints a JSON line for each quote that it found long past its lease, and on
SIGTERM how often it read, the worst it saw, and for each market its longest gaps. A file that says PULL_QUOTES, or is
missing, is no quote.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

EACH_S = 0.02
# The sink pulls within 10 ms; a machine that builds, starts and stops containers meanwhile may keep it waiting.
SLACK_MS = 2_000.0


def overdue_ms(quotes: dict[str, Any], *, now_ms: float) -> float:
    """How long quotes stand in the file past their lease; 0 when none do."""
    valid_until = quotes.get("valid_until")
    if quotes["action"] == "PULL_QUOTES":
        return 0.0
    return max(now_ms - valid_until, 0.0) if isinstance(valid_until, int) else float("inf")


class Watch:
    """One market's file.

    `silent_ms` is the longest time between two sets that the quoter published (their own `quoted_at`), whatever they
    said; `unquoted_ms` the longest time without a quote that stood; `reasons` all that were given for a pull.
    """

    def __init__(self) -> None:
        self.silent_ms = 0
        self.unquoted_ms = 0.0
        self.reasons: set[str] = set()
        self._published_ms: int | None = None
        self._stood_ms: float | None = None

    def take(self, quotes: dict[str, Any], *, now_ms: float) -> float:
        """Take what the file says now; returns for how long its quotes are past their lease, 0 when none are."""
        published_ms = quotes.get("quoted_at")
        if published_ms is not None:
            if self._published_ms is not None:
                self.silent_ms = max(self.silent_ms, published_ms - self._published_ms)
            self._published_ms = published_ms
        if quotes["action"] == "PULL_QUOTES":
            self.reasons |= {each for each in quotes["reasons"] if not each.startswith("silent:")}  # which are names
        late_ms = overdue_ms(quotes, now_ms=now_ms)
        if self._stood_ms is not None:
            self.unquoted_ms = max(self.unquoted_ms, now_ms - self._stood_ms)
        if quotes["action"] != "PULL_QUOTES" and not late_ms:
            self._stood_ms = now_ms
        return late_ms

    def summary(self) -> dict[str, Any]:
        """What was seen."""
        return {"silent_ms": self.silent_ms, "unquoted_ms": round(self.unquoted_ms), "reasons": sorted(self.reasons)}


def main(folder: Path, markets: list[str]) -> None:
    """Read until SIGTERM."""
    watches = {market: Watch() for market in markets}
    reads = quoting = 0
    worst_ms = 0.0
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    while not stopping:
        for market, watch in watches.items():
            now_ms = time.time() * 1000.0
            try:
                quotes = json.loads((folder / f"mm_quotes.{market}.json").read_bytes())
            except FileNotFoundError:
                continue
            reads += 1
            quoting += quotes["action"] != "PULL_QUOTES"
            late_ms = watch.take(quotes, now_ms=now_ms)
            worst_ms = max(worst_ms, late_ms)
            if late_ms > SLACK_MS:
                print(json.dumps({"stale": market, "late_ms": late_ms}), flush=True)
        time.sleep(EACH_S)
    seen = {market: watch.summary() for market, watch in watches.items()}
    print(json.dumps({"reads": reads, "quoting": quoting, "worst_ms": worst_ms, "markets": seen}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

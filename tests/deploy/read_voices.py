"""Runs in a container beside the recorder: who spoke about each market, and when the voice changed.

`read_voices.py <folder> <kind> <since, Unix seconds>`; prints as JSON for each market how long nobody spoke at each
change of voice, for how long two spoke (from a newcomer's first message to the last of the one before it), and how
long nobody spoke at worst.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from shared.codec import decode
from shared.segments_io import read_segments


def voices(messages: list[tuple[int, int]]) -> dict[str, Any]:
    """Of (time published, publisher's run) in any order."""
    messages = sorted(messages)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for ts_ns, run in messages:
        first.setdefault(run, ts_ns)
        last[run] = ts_ns
    order = sorted(first, key=lambda run: first[run])
    both_ns = max((last[old] - first[new] for old, new in pairwise(order)), default=0)
    silent_ns = max((later[0] - earlier[0] for earlier, later in pairwise(messages)), default=0)
    return {
        "changes_ms": [round((first[new] - last[old]) / 1e6) for old, new in pairwise(order)],
        "both_ms": max(both_ns, 0) / 1e6,
        "silent_ms": silent_ns / 1e6,
    }


def main(folder: Path, kind: str, since_s: float) -> None:
    """Read and print."""
    spoken: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for record in read_segments(folder):
        if record.source.startswith(f"{kind}.") and record.ts_recv_ns > since_s * 1e9:
            assert isinstance(record.payload, bytes)
            envelope = decode(record.payload)
            spoken[record.source.partition(".")[2]].append((envelope.ts_pub_ns, envelope.epoch))
    print(json.dumps({market: voices(messages) for market, messages in spoken.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))

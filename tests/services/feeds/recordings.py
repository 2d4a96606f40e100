"""Where the recordings of other people are, and how to read their frames."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data"

needs_recordings = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recordings at {FOLDER}")


def frames_in_list(path: str) -> list[str]:
    """A file that is one JSON array of frames."""
    return [json.dumps(each, separators=(",", ":")) for each in json.loads((FOLDER / path).read_text())]


def jonah_frames(source: str) -> Iterator[tuple[int, str]]:
    """(receive time in ns, frame) of one source in the multi-venue log, sessions in the order of time."""
    rows: list[dict[str, Any]] = []
    for path in (FOLDER / "jonahgrigoryan_raw_multi").glob("*/raw_messages.jsonl.gz"):
        with gzip.open(path, "rt") as lines:
            rows.extend(json.loads(line) for line in lines)
    for row in sorted(rows, key=lambda each: (each["recv_wall_ts"], each["ingest_seq"])):
        if row["source"] == source:
            yield int(row["recv_wall_ts"]) * 1_000_000, row["payload"]


def cryptofeed_coinbase_frames() -> Iterator[tuple[int, str]]:
    """(receive time in ns, frame) of the Coinbase session, venue to client only."""
    for line in (FOLDER / "cryptofeed_raw_ws/COINBASE.ws.28.0").read_text().splitlines():
        stamp, found, frame = line.partition(": ")
        if found and stamp.replace(".", "").isdigit():
            yield int(float(stamp) * 1e9), frame

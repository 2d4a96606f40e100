"""Recorded frames, where the folder `../shared/data` exists."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4].parent / "shared" / "data"


def need(path: str) -> Path:
    """A path below the recordings; skips the test, with a message, where it is absent."""
    found = ROOT / path
    if not found.exists():
        pytest.skip(f"the recording {path} is not on this machine ({ROOT})")
    return found


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            yield json.loads(line)

"""Runs in a container beside the stopped sink: prints the action that stands in the file of each market."""

from __future__ import annotations

import json
import sys
from pathlib import Path

for market in sys.argv[1:]:
    print(json.loads(Path(f"/mm/out/mm_quotes.{market}.json").read_text())["action"])

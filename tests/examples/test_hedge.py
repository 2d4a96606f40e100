"""The example runs as it is printed in the documents."""

from __future__ import annotations

import subprocess
import sys

from tests.processes import ROOT


def test_the_hedge_example_recommends_the_cheaper_way_out() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "examples.hedge"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "Reduce (optimum): buy 85 PUT at ≤0.46, merge 85 pairs" in ended.stdout
    assert "the books differ: buying PUT and merging brings" in ended.stdout
    assert ended.stderr == ""

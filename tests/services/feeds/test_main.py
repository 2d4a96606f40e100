from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["nasdaq"], {}, "invalid choice"),
        (["chainlink"], {"MM_FEED_ORACLE_STREAM": "polybolt"}, "MM_POLYBOLT_API_KEY"),
        (["bybit"], {"MM_FEED_BYBIT_ULR": "ws://x"}, "MM_FEED_BYBIT_URL"),
        (["bybit"], {"MM_MARKETS": "bitcoin"}, "btc-15m"),
    ],
)
def test_a_wrong_configuration_ends_the_process_with_two_and_the_remedy(
    arguments: list[str], variables: dict[str, str], says: str
) -> None:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("MM_")}
    ended = subprocess.run(
        [sys.executable, "-m", "services.feeds", *arguments],
        cwd=ROOT,
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert says in ended.stderr

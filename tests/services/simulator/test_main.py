from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_simulator_starts_quickly_names_its_urls_and_stops_cleanly(stop: signal.Signals) -> None:
    environment = {**os.environ, "MM_SIM_PORT": "0", "MM_SIM_SERIES": "btc-90s,eth-15m,sol-5m,xrp-4h"}
    started_s = time.monotonic()
    running = subprocess.Popen(
        [sys.executable, "-m", "services.simulator"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        urls = json.loads(running.stdout.readline())
        elapsed_s = time.monotonic() - started_s
        with urlopen(f"{urls['truth']}", timeout=5.0) as reply:
            assert set(json.loads(reply.read())["markets"]) == {"btc-90s", "eth-15m", "sol-5m", "xrp-4h"}
        assert elapsed_s < 5.0  # measured: about one second on an idle core
        running.send_signal(stop)
        assert running.wait(timeout=5.0) == 0
    finally:
        running.kill()
        running.wait(timeout=5.0)
        if running.stdout is not None:
            running.stdout.close()


def test_an_unknown_setting_stops_the_start_with_the_name_that_was_meant() -> None:
    environment = {**os.environ, "MM_SIM_PORTT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "services.simulator"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=20.0,
        check=False,
    )
    assert done.returncode == 2
    assert "MM_SIM_PORT" in done.stderr

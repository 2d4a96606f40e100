"""The containers as they run: built, started, scaled, killed, rolled under load. `make test-deploy` runs these.

One story told in order on one project. The load is the simulator's; the executor's paper fills must all reach the
ledger, and nobody may ever read a quote past its lease.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.engine import IMAGE, System, compose_command, run
from tests.processes import ROOT

HERE = Path(__file__).parent
MARKETS = ("btc-15m", "eth-15m")
ANALYZERS = ("analyzer-lead-lag", "analyzer-regime", "analyzer-volatility", "analyzer-flow")
FEEDS = ("feed-bybit", "feed-coinbase", "feed-chainlink", "feed-polymarket")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".kernels", "out", "__pycache__", ".*_cache", ".hypothesis", ".env")
READ_QUOTES = """
import json, pathlib, sys
for market in sys.argv[1:]:
    print(pathlib.Path(f'/mm/out/mm_quotes.{market}.json').read_text().replace(chr(10), ''))
"""
OWNED = """
import urllib.request
page = urllib.request.urlopen('http://127.0.0.1:9100/metrics').read().decode()
print(next(line.split()[-1] for line in page.splitlines() if line.startswith('analyzer_owned_markets')))
"""
FILLS = """
import json, sqlite3
rows = sqlite3.connect('/mm/outbox/paper-sim/executor_outbox.sqlite3').execute('select fill_id, state from fills')
print(json.dumps(dict(rows.fetchall())))
"""

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif("TEST_DEPLOY" not in os.environ, reason="takes minutes: `make test-deploy` runs it"),
]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    compose = compose_command()
    if compose is None:
        pytest.skip("no Docker engine with Compose answers (`docker info`): start one to test the containers")
    tree = tmp_path_factory.mktemp("deploy") / "tree"
    shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
    started = System(compose, tree, name=f"mm-test-{os.getpid()}")
    try:
        yield started
    finally:
        started.compose("down", "--volumes", "--timeout", "20")
        left = run("docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={started.name}")
    assert left == ""


def quotes(system: System) -> dict[str, dict[str, Any]]:
    """What stands in the file of each market."""
    lines = system.python("sink", READ_QUOTES, *MARKETS).splitlines()
    return {market: json.loads(line) for market, line in zip(MARKETS, lines, strict=True)}


def wait_for_quotes(system: System, *, within_s: float = 420.0) -> None:
    """Both markets are quoted. Near the end of a period they may rightly not be: then the next one is."""
    deadline = time.monotonic() + within_s
    while True:
        pulled = {name: each["reasons"] for name, each in quotes(system).items() if each["action"] == "PULL_QUOTES"}
        if not pulled:
            return
        assert time.monotonic() < deadline, pulled
        time.sleep(1.0)


@contextmanager
def no_stale_quote(system: System) -> Iterator[None]:
    """A trader's program reads the files all the while, and must never find a quote past its lease."""
    command = system.beside(HERE / "watch_quotes.py", "/mm/out", *MARKETS, volumes=["out"])
    named = (*command[:2], "--name", f"{system.name}-watch", *command[2:])
    watch = subprocess.Popen(named, stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        run("docker", "stop", "--time", "10", f"{system.name}-watch")
        said, _ = watch.communicate(timeout=60)
    *stale, summary = (json.loads(line) for line in said.splitlines())
    assert stale == []
    assert summary["quoting"] > 100, summary
    print(f"reads of the quotes: {summary}")


def fills(system: System) -> dict[str, str]:
    """Every fill that the executor ever wrote down, and what the ledger said to it."""
    return dict(json.loads(system.python("executor", FILLS)))


def entries(system: System) -> dict[str, int]:
    """How often each fill stands in the ledger."""
    program = (
        "import json, sqlite3\n"
        "rows = sqlite3.connect('/mm/ledger/paper-sim.sqlite').execute(\n"
        "    \"select entry_id, count(*) from entries where kind = 'fill' group by entry_id\")\n"
        "print(json.dumps(dict(rows.fetchall())))"
    )
    return dict(json.loads(system.python("hedger", program)))


def test_the_image_is_built_and_has_its_kernels_but_no_tools(system: System) -> None:
    system.compose("build")
    found = json.loads(run(*system.beside(HERE / "check_image.py")).splitlines()[-1])
    assert found["user"] == 10001
    assert found["quote_sets"] > 0
    assert not found["writable"]
    assert found["found_in_cache"] > 20
    assert found["compiled"] == []
    assert found["compilers"] == found["development"] == []
    size_mb = int(run("docker", "image", "inspect", "--format", "{{.Size}}", IMAGE)) / 1e6
    print(f"image: {size_mb:.0f} MB")


def test_two_markets_are_quoted_and_everybody_is_healthy(system: System) -> None:
    begin = time.monotonic()
    system.compose("up", "-d", *system.services())
    wait_for_quotes(system)
    print(f"quotes {time.monotonic() - begin:.0f} s after `up -d`")
    system.wait_until_healthy()
    print(run("docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"))


def test_every_process_is_scraped(system: System) -> None:
    deadline = time.monotonic() + 60.0
    url = f"http://127.0.0.1:{system.prometheus_port}/api/v1/targets?state=active"
    wanted = set(system.services()) - {"keys", "simulator", "prometheus"}
    while True:
        with urllib.request.urlopen(url, timeout=20) as answer:
            targets = json.load(answer)["data"]["activeTargets"]
        up = {each["labels"].get("service") for each in targets if each["health"] == "up"}
        if wanted <= up:
            return
        assert time.monotonic() < deadline, wanted - up
        time.sleep(1.0)


def test_scaled_analyzers_share_the_markets(system: System) -> None:
    system.compose("up", "-d", "--no-recreate", "--scale", "analyzer-volatility=3", *system.services())
    system.wait_until_healthy("analyzer-volatility")
    names = list(system.containers("analyzer-volatility"))
    assert len(names) == 3
    deadline = time.monotonic() + 60.0
    while True:
        owned = [float(run("docker", "exec", name, "python", "-c", OWNED)) for name in names]
        if sum(owned) == len(MARKETS):
            break
        assert time.monotonic() < deadline, owned
        time.sleep(1.0)
    wait_for_quotes(system)


@pytest.mark.parametrize("service", ["quoter", "broker", "executor", "hedger", "feed-polymarket"])
def test_a_killed_process_comes_back_and_no_quote_outlives_its_lease(system: System, service: str) -> None:
    with no_stale_quote(system):
        system.kill(service)
        system.wait_until_healthy()
        wait_for_quotes(system)


def test_everything_is_rolled_under_load_and_no_fill_is_lost(system: System) -> None:
    with no_stale_quote(system):
        for service in ("broker", *FEEDS, *ANALYZERS, "hedger", "quoter", "executor", "sink", "recorder"):
            system.compose("up", "-d", "--no-deps", "--force-recreate", service)
            system.wait_until_healthy(service)
        wait_for_quotes(system)
    system.wait_until_healthy()
    system.compose("stop", "--timeout", "10", "quoter")  # what is on its way arrives
    deadline = time.monotonic() + 60.0
    while "waiting" in (written := fills(system)).values():
        assert time.monotonic() < deadline, written
        time.sleep(1.0)
    assert len(written) > 10
    booked = {fill_id for fill_id, state in written.items() if state == "booked"}
    assert booked == set(written), "the ledger refused a fill"
    assert entries(system) == dict.fromkeys(written, 1)


def test_a_clean_stop_ends_with_pulled_quotes(system: System) -> None:
    system.compose("stop", "sink")
    command = system.beside(HERE / "last_word.py", *MARKETS, volumes=["out"])
    assert run(*command).split() == ["PULL_QUOTES"] * len(MARKETS)

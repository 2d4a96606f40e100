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

from shared.config import MMConfig
from shared.service import HEARTBEAT_S
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
LEASE_MS = MMConfig().lease_s * 1000.0
MOVED_WITHIN_MS = 10_000.0  # a volatility may be 5 s old; the quotes are then absent for less than their lease
AWAY = {"volatility_missing", "volatility_stale", "volatility_cold"}  # said of an analyzer that is away, or began anew
HEARTBEAT_MS = HEARTBEAT_S * 1000.0
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
def no_stale_quote(system: System) -> Iterator[dict[str, dict[str, Any]]]:
    """A trader's program reads the files all the while, and must never find a quote past its lease.

    What it saw of each market is in the yielded dict afterwards.
    """
    seen: dict[str, dict[str, Any]] = {}
    command = system.beside(HERE / "watch_quotes.py", "/mm/out", *MARKETS, volumes=["out"])
    named = (*command[:2], "--name", f"{system.name}-watch", *command[2:])
    watch = subprocess.Popen(named, stdout=subprocess.PIPE, text=True)
    try:
        yield seen
    finally:
        run("docker", "stop", "--time", "10", f"{system.name}-watch")
        said, _ = watch.communicate(timeout=60)
    *stale, summary = (json.loads(line) for line in said.splitlines())
    assert stale == []
    assert summary["quoting"] > 100, summary
    seen |= summary["markets"]
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
    wanted = set(system.services()) - {"keys"}
    while True:
        with urllib.request.urlopen(url, timeout=20) as answer:
            targets = json.load(answer)["data"]["activeTargets"]
        up = {each["labels"].get("service") for each in targets if each["health"] == "up"}
        if wanted <= up:
            return
        assert time.monotonic() < deadline, wanted - up
        time.sleep(1.0)


def scale(system: System, instances: int) -> None:
    """That many volatility analyzers; everybody else stays as it is."""
    system.compose("up", "-d", "--no-recreate", "--scale", f"analyzer-volatility={instances}", *system.services())
    system.wait_until_healthy("analyzer-volatility")
    assert len(system.containers("analyzer-volatility")) == instances


def shares(system: System) -> dict[str, float]:
    """How many markets each volatility analyzer has, once all are somebody's."""
    deadline = time.monotonic() + 60.0
    while True:
        names = system.containers("analyzer-volatility")
        owned = {name: float(run("docker", "exec", name, "python", "-c", OWNED)) for name in names}
        if sum(owned.values()) == len(MARKETS):
            return owned
        assert time.monotonic() < deadline, owned
        time.sleep(1.0)


@contextmanager
def handed_over(system: System, *, is_owner_gone: bool = False) -> Iterator[None]:
    """Markets go to other analyzers: quote sets go on within the lease; no market has two voices, or none, for long.

    Who owns what follows from the names of the containers, so only the end of an owner is sure to move a market.
    """
    begin_s = time.time()
    with no_stale_quote(system) as seen:
        yield
        shares(system)
        wait_for_quotes(system)
    arguments = ("/mm/records/sim/bus", "Volatility", str(begin_s))
    heard = json.loads(run(*system.beside(HERE / "read_voices.py", *arguments, volumes=["records"])))
    print(f"voices of the volatility analyzers: {heard}")
    assert set(seen) == set(heard) == set(MARKETS)
    assert any(each["changes_ms"] for each in heard.values()) or not is_owner_gone
    assert max(each["both_ms"] for each in heard.values()) < HEARTBEAT_MS
    assert max(each["silent_ms"] for each in heard.values()) < MOVED_WITHIN_MS
    assert max(each["silent_ms"] for each in seen.values()) < LEASE_MS
    for each in seen.values():  # a market that is pulled for another reason is none of the analyzers' business
        assert each["unquoted_ms"] < LEASE_MS or not AWAY.intersection(each["reasons"]), seen


def test_scaled_analyzers_share_the_markets(system: System) -> None:
    with handed_over(system):
        scale(system, 3)


def owner_of_most(system: System) -> str:
    """The container of the volatility analyzer that has the most markets."""
    owned = shares(system)
    return max(owned, key=lambda name: owned[name])


def test_a_removed_analyzer_is_not_missed(system: System) -> None:
    with handed_over(system):
        scale(system, 2)


def test_markets_of_a_stopped_analyzer_go_to_the_others(system: System) -> None:
    owner = owner_of_most(system)
    with handed_over(system, is_owner_gone=True):
        run("docker", "stop", owner)
        run("docker", "start", owner)
        system.wait_until_healthy("analyzer-volatility")


def test_markets_of_a_killed_analyzer_go_to_the_others(system: System) -> None:
    owner = owner_of_most(system)
    with handed_over(system, is_owner_gone=True):
        system.kill("analyzer-volatility", owner)
        system.wait_until_healthy("analyzer-volatility")


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

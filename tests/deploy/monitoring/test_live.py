"""A real Prometheus beside the running system: every query of every panel has data, and nobody is paged."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.dashboards import OR_NONE, all_dashboards, as_json
from shared.wiring import PART
from tests.deploy.monitoring.test_rules import PROMETHEUS, service_name
from tests.processes import ROOT
from tests.test_mm_bot import content, environment

pytestmark = [
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
    pytest.mark.timeout(300),
]

MARKETS = ("btc-5m", "eth-15m")
LOOK_S = 0.5
PATIENCE_S = 150.0  # usually a few seconds; a fill may take longer, and the last seconds of a period are not quoted
ENTIRE_S = "5m"  # longer than the test


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition; the test's own time limit is the deadline."""
    while not condition():
        time.sleep(LOOK_S)


@contextmanager
def ended_after(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def simulator_port(out: Path) -> int | None:
    try:
        lines = (out / "logs" / "simulator.log").read_text().splitlines()
    except FileNotFoundError:
        return None
    return next((json.loads(line)["port"] for line in lines if line.startswith('{"port"')), None)


def metrics_ports(out: Path) -> dict[str, int]:
    """Where each service serves its metrics, by its name in a deployment."""
    parts = content(out / "mm_status.json").get("parts", {})
    ports = {service_name(PART[name].room, name): int(each["metrics_port"]) for name, each in parts.items()}
    simulator = simulator_port(out)
    return ports if simulator is None else ports | {"simulator": simulator}


def configuration(ports: dict[str, int], folder: Path) -> Path:
    """Our own configuration, with the addresses that DNS would have found, once a second."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / "rules" / "*.yml")]
    del config["alerting"]
    (job,) = [each for each in config["scrape_configs"] if "dns_sd_configs" in each]
    del job["dns_sd_configs"]
    job["static_configs"] = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"__meta_dns_name": service}} for service, port in ports.items()
    ]
    config["scrape_configs"] = [job]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


class Answers:
    """What a Prometheus says."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._base}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def samples(self, query: str) -> list[dict[str, Any]]:
        """The samples that are numbers."""
        asked = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"{self._base}/api/v1/query?{asked}", timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success", (query, found)
        return [each for each in found["data"]["result"] if math.isfinite(float(each["value"][1]))]


@contextmanager
def prometheus(config: Path, folder: Path) -> Iterator[Answers]:
    port = free_port()
    arguments = ["--web.listen-address", f"127.0.0.1:{port}", "--storage.tsdb.path", str(folder / "tsdb")]
    server = subprocess.Popen(
        ["prometheus", "--config.file", str(config), *arguments, "--log.level", "error"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with ended_after(server):
        answers = Answers(port)
        wait_until(answers.is_ready)
        yield answers


@contextmanager
def system(out: Path, records: Path) -> Iterator[None]:
    """The whole bot on simulated venues, on paper, with a recorder."""
    arguments = [
        "--dry-run",
        "--aggressive",
        "--markets",
        ",".join(MARKETS),
        "--seed",
        "7",
        "--out",
        str(out),
        "--record",
        str(records),
    ]
    bot = subprocess.Popen(
        [sys.executable, "mm_bot.py", *arguments],
        cwd=ROOT,
        env=environment({"MM_EXECUTOR_QUEUE": "optimistic"}),  # fills come sooner
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with ended_after(bot):
        yield


def every_query() -> list[tuple[str, str]]:
    """(dashboard: panel, query) with the variables replaced: each market alone, and everything at once."""
    found = []
    for name, made in all_dashboards().items():
        for panel in json.loads(as_json(made))["panels"]:
            for target in panel.get("targets", ()):
                expr = target["expr"].removesuffix(OR_NONE)  # here every part runs
                expr = expr.replace("$__rate_interval", "20s").replace("$__range", ENTIRE_S)
                expr = expr.replace("$instance", ".+")
                needs_fill = "hedger_average_price" in expr  # of each market that is asked for
                chosen = ("",) if "$market" not in expr else (".+",) if needs_fill else (".+", *MARKETS)
                found += [(f"{name}: {panel['title']}", expr.replace("$market", each)) for each in chosen]
    return list(dict.fromkeys(found))


def test_every_query_of_every_panel_has_data_and_nobody_is_paged(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with system(out, tmp_path / "records"):
        expected = {service_name(PART[name].room, name) for name in PART if name != "files"} | {"simulator"}
        wait_until(lambda: set(metrics_ports(out)) == expected)
        ports = metrics_ports(out)
        with prometheus(configuration(ports, tmp_path), tmp_path) as answers:
            wait_until(lambda: len(answers.samples('up{job="market-maker"} == 1')) == len(expected))
            labels = {each["metric"]["service"]: each["metric"]["instance"] for each in answers.samples("up")}
            assert labels == {service: f"{service}@127.0.0.1:{port}" for service, port in ports.items()}

            missing = every_query()
            assert len(missing) > 150

            deadline_s = time.monotonic() + PATIENCE_S

            def is_settled() -> bool:
                missing[:] = [(panel, query) for panel, query in missing if not answers.samples(query)]
                return not missing or time.monotonic() > deadline_s

            wait_until(is_settled)
            assert missing == []
            assert answers.samples('ALERTS{alertname="DeadManSwitch",alertstate="firing"}')
            assert answers.samples('ALERTS{alertstate="firing",severity="page"}') == []

"""The compose file and the image's lock, read without an engine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.feeds.settings import FeedSettings, PolyBoltSettings
from services.simulator.urls import urls
from shared.wiring import PARTS
from tests.processes import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if "MARKET_MAKER_IMAGE" in each["image"]}
SERVING = {name: each for name, each in SERVICES.items() if name != "keys"}
# Imported where a wheel of another name is installed.
WHEELS = {"zmq": "pyzmq", "prometheus_client": "prometheus-client", "pydantic_settings": "pydantic-settings"}
NOT_IN_CONTAINERS = {"files"}  # JSON files of a collector on this machine
LOCKED = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


def test_every_part_is_a_service_of_its_own() -> None:
    started = [tuple(each["command"]) for name, each in OURS.items() if name not in ("keys", "simulator")]
    assert sorted(started) == sorted(("-m", part.module, *part.arguments) for part in PARTS if part.name != "files")
    assert set(SERVICES) - set(OURS) == {"prometheus", "alertmanager", "grafana"}


@pytest.mark.parametrize("name", SERVING)
def test_every_service_is_confined_checked_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"]["max-size"]
    assert service["mem_limit"]
    assert service["healthcheck"]["test"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    assert re.search(r":v?\d+\.\d+\.\d+}?$", SERVICES[name]["image"])


def test_only_broker_and_hedger_see_the_servers_key() -> None:
    seeing = {name for name, each in SERVING.items() if "keys-server" in str(each.get("volumes"))}
    assert seeing == {"broker", "hedger"}


def test_every_mounted_volume_is_declared() -> None:
    named = {each.partition(":")[0] for service in SERVICES.values() for each in service.get("volumes", ())}
    assert {each for each in named if not each.startswith("./")} == set(COMPOSE["volumes"])


def test_venues_are_named_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = {name: each for name, each in SERVICES.items() if name.startswith("feed-")}
    assert {each["env_file"][-1] for each in feeds.values()} == {"venues/${VENUES:-sim}.env"}
    assert {tuple(each["profiles"]) for each in feeds.values()} == {("sim", "live")}
    assert SERVICES["simulator"]["profiles"] == ["sim"]
    lines = (DEPLOY / "venues" / "sim.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for variable, text in variables.items():
        monkeypatch.setenv(variable, text)
    settings, venues = FeedSettings(), urls(8790, "simulator")
    found = (settings.bybit_url, settings.coinbase_url, settings.polybolt_url, settings.rtds_url, settings.market_url)
    assert found == (venues.bybit_ws, venues.coinbase_ws, venues.polybolt_ws, venues.rtds_ws, venues.market_ws)
    rest = (settings.coinbase_rest_url, settings.gamma_url, settings.clob_url, settings.website_url)
    assert rest == (venues.coinbase_rest, venues.gamma, venues.clob, venues.website)
    assert PolyBoltSettings().credentials() is not None  # never the user's own


def test_the_live_venues_are_the_defaults() -> None:
    lines = (DEPLOY / "venues" / "live.env").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


def example() -> dict[str, str]:
    """What a user begins with in .env."""
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def first_step(**variables: str) -> subprocess.CompletedProcess[str]:
    """What `keys` does before it touches the keys."""
    (script,) = SERVICES["keys"]["command"]
    check, found, _ = script.replace("$$", "$").partition("cd /mm/keys")
    assert found
    return subprocess.run(["sh", "-euc", check], env=variables, capture_output=True, text=True, check=False)


def test_the_example_starts_the_simulation() -> None:
    assert example()["VENUES"] == example()["COMPOSE_PROFILES"] == "sim"
    assert SERVICES["keys"]["environment"] == {"VENUES": "${VENUES:-sim}", "PROFILES": "${COMPOSE_PROFILES:-}"}


@pytest.mark.parametrize(("venues", "profiles"), [("sim", "sim"), ("live", "live"), ("sim", "sim,alerts")])
def test_venues_with_their_profile_start(venues: str, profiles: str) -> None:
    assert first_step(VENUES=venues, PROFILES=profiles).returncode == 0


@pytest.mark.parametrize(
    ("venues", "profiles"), [("live", "sim"), ("sim", "live,alerts"), ("sim", ""), ("sim", "simulated")]
)
def test_venues_without_their_profile_start_nothing(venues: str, profiles: str) -> None:
    refused = first_step(VENUES=venues, PROFILES=profiles)
    assert refused.returncode == 1
    assert f"VENUES={venues}, but COMPOSE_PROFILES={profiles} does not name it" in refused.stderr


def test_alertmanager_is_optional_and_reads_its_addresses_from_secrets() -> None:
    service = SERVICES["alertmanager"]
    assert service["profiles"] == ["alerts"]
    assert not [name for name, each in SERVICES.items() if "alertmanager" in each.get("depends_on", ())]
    assert "./secrets/alerts:/run/secrets:ro" in service["volumes"]
    receivers = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())["receivers"]
    files = {each["url_file"] for receiver in receivers for each in receiver["webhook_configs"]}
    assert files == {"/run/secrets/webhook_url", "/run/secrets/dead_man_url"}
    alerting = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["alerting"]
    (lookup,) = alerting["alertmanagers"][0]["dns_sd_configs"]
    assert lookup == {"names": ["alertmanager"], "type": "A", "port": 9093}  # a name that is not there is no error


def test_recordings_are_not_kept_for_ever() -> None:
    assert float(example()["MM_RECORD_KEEP_H"]) > 0


def imported(path: Path) -> set[str]:
    """The packages of others that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    ours = {each.name.removesuffix(".py") for each in ROOT.iterdir()}
    return {WHEELS.get(name, name) for name in found - set(sys.stdlib_module_names) - ours}


def test_the_image_has_what_the_live_system_imports_and_little_else() -> None:
    files = [path for folder in ("shared", "services", "bot", "engine") for path in (ROOT / folder).rglob("*.py")]
    wanted = set().union(*map(imported, files))
    listed = set(re.findall(r"^[a-z0-9-]+", (DEPLOY / "requirements.in").read_text(), re.MULTILINE))
    # These two have no import statement: a driver of SQLAlchemy's, and the time zones of the standard library.
    assert listed - {"psycopg", "tzdata"} == wanted - {"pydantic_core"}


def test_the_image_has_the_versions_that_are_tested() -> None:
    tested = dict(LOCKED.findall((ROOT / "requirements.lock").read_text()))
    shipped = dict(LOCKED.findall((DEPLOY / "requirements.lock").read_text()))
    assert len(shipped) > 20
    assert {name: tested.get(name) for name in shipped} == shipped
    assert not shipped.keys() & {"pytest", "hftbacktest", "polars", "mypy", "ruff"}

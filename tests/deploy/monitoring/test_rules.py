"""Rules and their promtool tests: each alert fires in a test, says what to do, and is told in the documents."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.wiring import PARTS
from tests.processes import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"


def loaded(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def groups(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = loaded(PROMETHEUS / "rules" / f"{name}.yml")["groups"]
    return found


def alerts() -> list[dict[str, Any]]:
    return [rule for group in groups("alerts") for rule in group["rules"]]


def told(program: str, *arguments: str) -> str:
    """What a checking program says; it must find no fault."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    ended = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_configuration_and_the_rules_are_sound() -> None:
    assert "SUCCESS" in told("promtool", "check", "config", str(PROMETHEUS / "prometheus.yml"))


def test_alertmanagers_configuration_is_sound(tmp_path: Path) -> None:
    version = re.search(r"version (\d+)\.(\d+)", told("amtool", "--version"))
    assert version is not None
    text = ALERTMANAGER.read_text()
    if (int(version[1]), int(version[2])) < (0, 26):  # knows no `url_file` yet; all else is the same
        text = text.replace("url_file: /run/secrets/", "url: http://receiver/")
    path = tmp_path / "alertmanager.yml"
    path.write_text(text)
    assert "SUCCESS" in told("amtool", "check-config", str(path))


def test_the_rules_pass_their_own_tests() -> None:
    files = sorted(map(str, (PROMETHEUS / "tests").glob("*.yml")))
    assert files
    assert "SUCCESS" in told("promtool", "test", "rules", *files)


def test_the_tests_evaluate_the_groups_in_the_order_of_the_rules() -> None:
    named = [group["name"] for name in ("recording", "alerts") for group in groups(name)]
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        assert loaded(path)["group_eval_order"] == named


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires: set[str] = set()
    rests: set[str] = set()
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        for group in loaded(path)["tests"]:
            for case in group.get("alert_rule_test", ()):
                (fires if case.get("exp_alerts") else rests).add(case["alertname"])
    names = {each["alert"] for each in alerts()}
    assert fires == names
    assert rests == names - {"DeadManSwitch"}  # which never rests


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_and_where_to_read_what_to_do(alert: dict[str, Any]) -> None:
    notes = alert["annotations"]
    assert notes["summary"]
    assert notes["description"]
    assert alert["labels"]["severity"] in ("page", "ticket", "heartbeat")
    assert notes["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert alert["alert"] in headings


def test_every_part_is_discovered_by_the_name_of_its_service() -> None:
    (job,) = [each for each in loaded(PROMETHEUS / "prometheus.yml")["scrape_configs"] if "dns_sd_configs" in each]
    names = {name for discovery in job["dns_sd_configs"] for name in discovery["names"]}
    assert names == {service_name(part.room, part.name) for part in PARTS} | {"simulator"}


def service_name(room: str, part: str) -> str:
    """The name of a part's service in a deployment: `feed-bybit`, `analyzer-lead-lag`, `quoter`."""
    kinds = {"feeds": "feed-", "analyzers": "analyzer-"}
    return kinds.get(room, "") + part.replace("_", "-")

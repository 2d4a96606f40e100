"""The dashboards as they are written: complete, committed, and what Grafana's own models read back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.dashboards import FOLDER, all_dashboards, as_json

BOARDS = {name: json.loads(as_json(made)) for name, made in all_dashboards().items()}
GRAFANA_OWN = {"__rate_interval", "__range"}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel that shows something."""
    return (each for each in board["panels"] if each["type"] != "row")


EVERY_PANEL = [pytest.param(each, id=f"{name}: {each['title']}") for name in BOARDS for each in panels(BOARDS[name])]


def test_the_committed_json_is_what_the_code_gives() -> None:
    committed = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert committed == {name: as_json(made) for name, made in all_dashboards().items()}, "run `make dashboards`"


def test_there_is_a_dashboard_for_each_view_that_is_asked_for() -> None:
    assert set(BOARDS) >= {"overview.json", "feeds.json", "analyzers.json", "latency.json", "positions.json"}
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_grafanas_own_models_read_every_field_back(name: str) -> None:
    plugins.register_default_plugins()
    again = Dashboard.from_json(BOARDS[name])
    assert json.loads(json.dumps(again, cls=JSONEncoder)) == BOARDS[name]


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_a_panel_has_title_text_unit_thresholds_and_a_named_query(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"][0]["value"] is None
    assert panel["targets"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
    for target in panel["targets"]:
        assert target["expr"]
        assert target["legendFormat"]


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_is_used_and_every_one_used_is_declared(name: str) -> None:
    declared = {each["name"] for each in BOARDS[name]["templating"]["list"]}
    queries = [target["expr"] for panel in panels(BOARDS[name]) for target in panel["targets"]]
    used = set(re.findall(r"\$(\w+)", " ".join(queries))) - GRAFANA_OWN
    assert used == declared


def test_a_market_and_an_instance_can_be_chosen() -> None:
    declared = {each["name"] for board in BOARDS.values() for each in board["templating"]["list"]}
    assert declared == {"market", "instance"}


@pytest.mark.parametrize("name", BOARDS)
def test_panels_fill_their_rows_and_none_covers_another(name: str) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells, panel["title"]
        cells |= own
    bottom = max(y for _, y in cells)
    assert len(cells) == 24 * (bottom + 1)  # no hole

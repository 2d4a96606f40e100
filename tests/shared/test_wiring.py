from __future__ import annotations

import ast
from pathlib import Path

import pytest

from shared.market import Series
from shared.messages import AnyMessage, topic_of
from shared.wiring import PART, PARTS, TOPIC_END, prefix, printed, subscriptions
from tests.builders import EVERY_KIND, build

ROOT = Path(__file__).parents[2]
SERIES = (Series.parse("btc-15m"), Series.parse("eth-5m"))


def test_every_subscription_has_a_publisher() -> None:
    published = {message for part in PARTS for message in part.publishes} | {PART["broker"].publishes[0]}
    for part in PARTS:
        assert set(part.subscribes) <= published, part.name


def test_every_message_is_published_by_somebody_and_read_by_somebody() -> None:
    for kind in EVERY_KIND:
        assert any(kind in part.publishes for part in PARTS), kind
        assert any(kind in part.subscribes for part in PARTS), kind


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: kind.__name__)
def test_a_subscription_matches_its_own_market_and_no_other(kind: type[AnyMessage]) -> None:
    message = build(kind)
    fields = {name for name in ("asset", "market", "subject", "service") if hasattr(message, name)}
    subject = str(getattr(message, fields.pop()))
    wanted = prefix(kind, subject)
    assert (topic_of(message) + TOPIC_END).startswith(wanted)
    longer = {name: subject + "x" for name in ("asset", "market", "subject", "service") if hasattr(message, name)}
    assert not (topic_of(build(kind, **longer)) + TOPIC_END).startswith(wanted)


def test_an_analyzer_reads_checkpoints_of_its_own_kind_only() -> None:
    wanted = [each for each in subscriptions(PART["flow"], SERIES) if each.startswith("Checkpoint")]
    assert wanted == ["Checkpoint.btc-15m.flow\0", "Checkpoint.eth-5m.flow\0"]


def test_an_analyzer_hears_the_heartbeats_of_its_own_kind_and_the_sink_all() -> None:
    heard = {name: [each for each in subscriptions(PART[name], SERIES) if "Heartbeat" in each] for name in PART}
    assert (heard["flow"], heard["sink"]) == (["Heartbeat.flow."], ["Heartbeat."])


def test_a_part_subscribes_only_to_its_series() -> None:
    quoter = subscriptions(PART["quoter"], SERIES)
    assert "OutcomeBook.btc-15m." in quoter
    assert "SpotQuote.ETH." in quoter
    assert not any("sol" in each.lower() for each in quoter)


def test_the_diagram_in_the_documents_is_the_wiring_table() -> None:
    assert printed() in (ROOT / "docs" / "architecture.md").read_text(), "stale: run `make docs`"


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def _sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def test_shared_knows_no_service() -> None:
    for path in _sources("shared"):
        above = {name for name in _imports(path) if name.split(".")[0] in ("services", "bot", "backtest")}
        assert not above, path


def test_no_service_imports_another() -> None:
    for path in _sources("services"):
        own = path.relative_to(ROOT / "services").parts[0]
        others = {name for name in _imports(path) if name.startswith("services.") and name.split(".")[1] != own}
        assert not others, path


def test_only_the_bus_touches_zeromq() -> None:
    for folder in ("shared", "services", "bot", "backtest"):
        for path in _sources(folder):
            if path != ROOT / "shared" / "bus.py":
                assert "zmq" not in {name.split(".")[0] for name in _imports(path)}, path


WORLD = {
    "socket",
    "asyncio",
    "aiohttp",
    "watchfiles",
    "subprocess",
    "time",
    "threading",
    "random",
    "structlog",
    "prometheus_client",
}
AT_THE_EDGE = {"shared/bus.py", "shared/service.py", "shared/settings.py"}


def test_only_files_at_the_edge_touch_sockets_clocks_and_processes() -> None:
    for folder in ("shared", "services"):
        for path in _sources(folder):
            relative = path.relative_to(ROOT).as_posix()
            if relative in AT_THE_EDGE or path.stem.endswith("_io") or path.name in ("__main__.py", "settings.py"):
                continue
            assert not {name.split(".")[0] for name in _imports(path)} & WORLD, relative

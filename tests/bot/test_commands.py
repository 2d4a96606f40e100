from __future__ import annotations

from pathlib import Path

import pytest

from bot.cli import Options, parse
from bot.commands import Command, commands, stop_groups
from services.feeds.settings import FeedSettings
from services.hedger.settings import HedgerSettings
from shared.settings import ServiceSettings


def started(*arguments: str) -> dict[str, Command]:
    options: Options = parse(arguments, ServiceSettings(markets="btc-15m"))
    return {each.name: each for each in commands(options, bus="ipc:///x", config_json="{}", simulator_port=8790)}


def test_the_simulated_venues_start_with_their_feeds_and_nothing_is_recorded() -> None:
    parts = started()
    assert list(parts)[:2] == ["broker", "simulator"]
    assert {"bybit", "coinbase", "chainlink", "polymarket", "quoter", "sink", "hedger"} < parts.keys()
    assert not {"files", "recorder"} & parts.keys()
    assert parts["volatility"].arguments == ("-m", "services.analyzers", "volatility")


def test_every_part_is_handed_the_same_effective_configuration() -> None:
    assert {part.environment.get("MM_CONFIG_JSON") for part in started("--record", "x").values()} == {"{}"}


def test_every_feed_is_led_to_the_simulator_and_to_nowhere_else() -> None:
    variables = {name.lower().removeprefix("mm_feed_"): text for name, text in started()["bybit"].environment.items()}
    urls = [name for name in FeedSettings.model_fields if name.endswith("_url")]
    assert len(urls) == 9
    for name in urls:
        assert "://127.0.0.1:8790" in variables[name]


def test_live_feeds_keep_the_addresses_of_the_real_venues() -> None:
    parts = started("--venues", "live")
    assert "simulator" not in parts
    assert not any(name.startswith(("MM_FEED_", "MM_POLYBOLT_")) for name in parts["polymarket"].environment)


def test_files_replace_the_four_venues(tmp_path: Path) -> None:
    parts = started("--files", str(tmp_path))
    assert "files" in parts
    assert not {"bybit", "coinbase", "chainlink", "polymarket", "simulator"} & parts.keys()
    assert parts["files"].environment["MM_FEED_FILES_DIR"] == str(tmp_path)


def test_recording_adds_the_recorder_and_tells_the_feeds(tmp_path: Path) -> None:
    parts = started("--record", str(tmp_path))
    assert parts["recorder"].environment["MM_RECORD"] == str(tmp_path)
    assert parts["bybit"].environment["MM_RECORD"] == str(tmp_path)


def test_the_seed_and_the_markets_reach_the_simulator() -> None:
    environment = started("--seed", "7", "--markets", "btc-15m,eth-5m")["simulator"].environment
    assert (environment["MM_SIM_SEED"], environment["MM_SIM_SERIES"]) == ("7", "btc-15m,eth-5m")


def test_the_quoter_stops_first_then_feeds_then_orders_then_the_ledger_then_sink_then_broker() -> None:
    groups = stop_groups(started("--record", "x", "--dry-run"))
    assert groups[0] == ("quoter",)
    assert {"bybit", "volatility"} < set(groups[1])
    assert groups[2:] == [("executor",), ("hedger", "simulator", "recorder"), ("sink",), ("broker",)]


def test_paper_execution_runs_only_when_asked_for() -> None:
    assert "executor" not in started()
    assert started("--dry-run")["executor"].arguments == ("-m", "services.executor")


def test_without_paper_execution_the_ledger_is_where_the_environment_says() -> None:
    parts = started()
    assert "hedger" in parts
    assert "MM_HEDGER_LEDGER" not in parts["hedger"].environment


def test_paper_execution_never_books_the_files_of_real_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_HEDGER_DROP", "real")
    for arguments, drop in (((), Path("real")), (("--dry-run",), None)):
        with monkeypatch.context() as process:
            for name, text in started(*arguments)["hedger"].environment.items():
                process.setenv(name, text)
            assert HedgerSettings().drop == drop

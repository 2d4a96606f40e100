from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bot import exit_codes
from bot.cli import BotSettings, ExplainRequest, KeysRequest, Options, parse
from shared.config import PRESETS
from shared.settings import ServiceSettings


def options(*arguments: str, defaults: ServiceSettings | None = None) -> Options:
    return parse(arguments, defaults or ServiceSettings(markets="btc-15m", out=Path("out")))


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        options(*arguments)
    assert stop.value.code == exit_codes.CONFIGURATION
    return capsys.readouterr().err


def test_without_arguments_the_simulated_venues_are_quoted_with_the_default_preset() -> None:
    given = options()
    assert (given.venues, given.preset, given.markets, given.interval_ms) == ("sim", "default", ("btc-15m",), 100)
    assert (given.dry_run, given.duration_s, given.seed, given.record, given.replay) == (False, None, None, None, None)


def test_every_preset_with_a_flag_of_its_own_exists() -> None:
    for name in ("aggressive", "conservative", "scalping"):
        assert options(f"--{name}").preset == name
        assert name in PRESETS
    assert options("--preset", "scalping").preset == "scalping"


def test_the_environment_is_the_default_and_flags_win() -> None:
    defaults = ServiceSettings(markets="eth-5m", out=Path("elsewhere"), heartbeat_ms=250)
    given = options(defaults=defaults)
    assert (given.markets, given.out, given.interval_ms) == (("eth-5m",), Path("elsewhere"), 250)
    given = options("--markets", "btc-15m,ETH-5m", "--out", "here", "--interval", "50", defaults=defaults)
    assert (given.markets, given.out, given.interval_ms) == (("btc-15m", "eth-5m"), Path("here"), 50)


def test_settings_can_be_given_several_at_once_or_one_by_one() -> None:
    assert options("--set", "base_spread=0.03", "lease_s=2", "--set", "pin_risk_z=1").overrides == (
        "base_spread=0.03",
        "lease_s=2",
        "pin_risk_z=1",
    )


def test_a_folder_of_files_implies_its_venue(tmp_path: Path) -> None:
    assert options("--files", str(tmp_path)).venues == "files"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--markets", "bitcoin"), "btc-15m"),
        (("--markets", ","), "at least one"),
        (("--interval", "5"), "10 to 10000"),
        (("--duration", "-1"), "positive"),
        (("--duration", "nan"), "positive"),
        (("--seed", "-1"), "zero or more"),
        (("--venues", "files"), "--files DIR"),
        (("--venues", "paper"), "sim"),
        (("--files", "/nowhere"), "not a folder"),
        (("--replay", "/nowhere"), "not found"),
        (("--config", "/nowhere"), "not found"),
        (("--aggressive", "--scalping"), "not allowed"),
        (("--agressive",), "--agressive"),
        (("--preset", "reckless"), "conservative"),
        (("--venues", "live", "--seed", "7"), "only simulated venues have a seed"),
        (("--files", ".", "--seed", "7"), "only simulated venues have a seed"),
        (("--files", ".", "--markets", "btc-15m,eth-15m"), "one market"),
        (("--replay", ".", "--duration", "5", "--seed", "1"), "--duration, --seed would do nothing"),
        (("--replay", ".", "--record", "there", "--dry-run"), "--dry-run, --record would do nothing"),
        (("--replay", ".", "--interval", "50", "--venues", "sim"), "--interval, --venues would do nothing"),
        (("--replay", ".", "--files", "."), "--files would do nothing"),
        (("--explain", "rec"), "--at last"),
        (("--at", "last"), "goes with --explain"),
        (("--explain", "rec", "--at", "yesterday"), "'yesterday' is not a time: write 2026-"),
        (("--explain", "rec", "--at", "last", "--set", "base_spread=1"), "--set would do nothing"),
        (("--explain", "rec", "--at", "last", "--scalping", "--out", "x"), "--preset, --out would do nothing"),
        (("--explain", "rec", "--at", "last", "--duration", "5"), "--duration would do nothing"),
        (("--explain", "rec", "--at", "last", "--markets", "btc"), "btc-15m"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], named: str
) -> None:
    assert named in complaint(capsys, *arguments)


def test_a_time_of_a_journal_is_asked_for_all_its_markets_or_for_the_named() -> None:
    assert options("--explain", "rec", "--at", "last").explain == ExplainRequest(Path("rec"), None, ())
    asked = options("--explain", "rec", "--at", "1795417750340000000", "--markets", "doge-5m,ETH-15m").explain
    assert asked == ExplainRequest(Path("rec"), 1795417750340000000, ("doge-5m", "eth-15m"))
    assert options().explain is None


def test_the_configuration_is_shown_beside_any_other_flag() -> None:
    given = options("--show-config", "--venues", "live", "--conservative", "--set", "lease_s=2")
    assert (given.show_config, given.preset, given.overrides) == (True, "conservative", ("lease_s=2",))
    assert not options().show_config


def test_the_bot_itself_leaves_strategy_variables_for_after_the_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_CONFIG_BASE_SPREAD", "0.12")  # above the default largest spread: only --set makes it fit
    assert BotSettings().config_json == ""
    monkeypatch.setenv("MM_CONFIG_BAS_SPREAD", "0.12")
    with pytest.raises(ValidationError, match="did you mean MM_CONFIG_BASE_SPREAD"):
        BotSettings()


def test_the_help_names_every_flag_file_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        options("--help")
    assert stop.value.code == exit_codes.CLEAN
    text = capsys.readouterr().out
    flags = (
        "dry-run aggressive conservative scalping preset interval markets venues files replay out duration seed record"
    )
    for flag in (*flags.split(), "config", "set", "show-config", "explain", "at"):
        assert f"--{flag}" in text
    variables = ("MM_CONFIG_BASE_SPREAD=", "MM_CONFIG_TECHNIQUES__LEAD_LAG=")
    for name in (
        "mm_quotes.json",
        "mm_status.json",
        "mm_bot.json",
        "ledger.sqlite",
        "paper-<venues>/",
        "MM_HEDGER_LEDGER",
        *variables,
        *exit_codes.MEANINGS.values(),
    ):
        assert name in text


def test_keys_are_made_for_one_client_or_for_those_that_are_named() -> None:
    assert options().keys is None
    assert options("--generate-keys", "keys").keys == KeysRequest(Path("keys"), ("client",))
    given = options("--generate-keys", "keys", "--clients", "feeds,host-2,feeds")
    assert given.keys == KeysRequest(Path("keys"), ("feeds", "host-2"))


@pytest.mark.parametrize("names", ["server", "", "a,,b", "../feeds", "Feeds", "a b", "-a"])
def test_a_clients_name_is_a_plain_folder_name_and_not_the_servers(
    names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "lower-case letters" in complaint(capsys, "--generate-keys", "keys", f"--clients={names}")


def test_clients_without_keys_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "goes with --generate-keys DIR" in complaint(capsys, "--clients", "feeds")

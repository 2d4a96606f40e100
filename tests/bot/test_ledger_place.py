from __future__ import annotations

from pathlib import Path

import pytest

from bot.cli import parse
from bot.commands import commands
from bot.ledger_place import LedgerPlace, ledger_place
from services.hedger.ledger_io import open_ledger
from shared.settings import ServiceSettings


def place(out: Path, *arguments: str) -> LedgerPlace:
    return ledger_place(parse(("--out", str(out), *arguments), ServiceSettings(markets="btc-15m")))


def test_a_paper_run_and_real_fills_never_share_a_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_HEDGER_LEDGER", "sqlite:////elsewhere/real.sqlite")
    assert place(tmp_path).shown == "/elsewhere/real.sqlite"
    assert place(tmp_path, "--dry-run").shown == str(tmp_path / "paper-sim" / "ledger.sqlite")
    monkeypatch.delenv("MM_HEDGER_LEDGER")
    assert place(tmp_path).url == f"sqlite:///{tmp_path}/ledger.sqlite"


def test_a_simulated_period_is_none_of_the_real_venue(tmp_path: Path) -> None:
    assert place(tmp_path, "--dry-run").url != place(tmp_path, "--dry-run", "--venues", "live").url


def test_a_second_start_says_that_it_goes_on_with_the_ledger(tmp_path: Path) -> None:
    first = place(tmp_path, "--dry-run")
    with open_ledger(first.url):
        pass
    second = place(tmp_path, "--dry-run")
    assert (first.is_continued, second.is_continued, first.url) == (False, True, second.url)
    assert first.notice == f"dry run: paper execution is on, ledger: {first.shown}"
    assert second.notice == f"dry run: paper execution is on, ledger continued: {first.shown}"


def test_the_password_of_a_ledger_server_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_HEDGER_LEDGER", "postgresql://desk:hunter2@db/ledger")
    found = place(tmp_path)
    assert "hunter2" in found.url
    assert "hunter2" not in found.notice + found.shown
    assert "no execution: fills made elsewhere are booked, ledger: postgresql://desk:***@db/ledger" in found.notice


def test_an_impossible_ledger_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MM_HEDGER_LEDGER", "real.sqlite")
    with pytest.raises(SystemExit) as ended:
        place(tmp_path)
    assert ended.value.code == 2
    assert "a ledger is sqlite:///" in capsys.readouterr().err


def test_the_outbox_of_paper_fills_lies_beside_their_ledger(tmp_path: Path) -> None:
    options = parse(("--out", str(tmp_path), "--dry-run"), ServiceSettings(markets="btc-15m"))
    parts = {each.name: each for each in commands(options, bus="ipc:///x", config_json="{}", simulator_port=1)}
    folder = Path(parts["executor"].environment["MM_OUT"])
    assert parts["hedger"].environment["MM_HEDGER_LEDGER"] == f"sqlite:///{folder}/ledger.sqlite"
    assert parts["sink"].environment["MM_OUT"] == parts["hedger"].environment["MM_OUT"] == str(tmp_path)

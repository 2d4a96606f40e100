from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.folder_io import BOT_FILE, BotFile, FolderUnusableError, is_running, lock_folder, overdue_s, pull_quotes

BOT = BotFile(pid=1, bus="ipc:///nowhere", markets=("btc-15m",), venues="sim")


def show(folder: Path, action: str, *, valid_until_s: float, name: str = "mm_quotes.json") -> None:
    (folder / name).write_text(json.dumps({"action": action, "valid_until": round(valid_until_s * 1000), "x": []}))


def test_quotes_past_their_lease_are_overdue_from_then_on(tmp_path: Path) -> None:
    show(tmp_path, "QUOTE_BOTH", valid_until_s=time.time() - 2)
    assert 1.9 < overdue_s(tmp_path, ["btc-15m"]) < 60.0
    show(tmp_path, "QUOTE_BOTH", valid_until_s=time.time() + 60)
    assert overdue_s(tmp_path, ["btc-15m"]) == 0.0


def test_the_worst_of_several_markets_counts(tmp_path: Path) -> None:
    show(tmp_path, "PULL_QUOTES", valid_until_s=1, name="mm_quotes.btc-15m.json")
    show(tmp_path, "WIDEN_SPREADS", valid_until_s=time.time() - 2, name="mm_quotes.eth-15m.json")
    assert 1.9 < overdue_s(tmp_path, ["btc-15m", "eth-15m"]) < 60.0


def test_pulled_missing_or_unreadable_files_are_not_overdue(tmp_path: Path) -> None:
    assert overdue_s(tmp_path, ["btc-15m"]) == 0.0
    (tmp_path / "mm_quotes.json").write_bytes(b"{")
    assert overdue_s(tmp_path, ["btc-15m"]) == 0.0
    assert pull_quotes(tmp_path, ["btc-15m"], "sink_silent") is None
    assert overdue_s(tmp_path, ["btc-15m"]) == 0.0


def test_a_pull_that_the_disk_refuses_removes_the_file_and_returns_the_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    show(tmp_path, "QUOTE_BOTH", valid_until_s=time.time() + 60)
    monkeypatch.setattr(Path, "write_bytes", full)
    fault = pull_quotes(tmp_path, ["btc-15m"], "sink_down")
    assert fault is not None
    assert fault.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnusableError, match="file/out: Not a directory"), lock_folder(tmp_path / "file/out", BOT):
        pass


def test_a_bot_runs_while_its_folder_says_so_and_it_lives(tmp_path: Path) -> None:
    ours = BotFile(pid=os.getpid(), bus="ipc:///x", markets=("btc-15m",), venues="sim")
    assert not is_running(tmp_path, ours.pid)
    with lock_folder(tmp_path, ours):
        assert is_running(tmp_path, ours.pid)
        assert not is_running(tmp_path, ours.pid + 1)  # another one took the folder over
    assert not is_running(tmp_path, ours.pid)


def test_a_bot_that_was_killed_does_not_run_whatever_its_folder_says(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as short:
        short.wait()
    (tmp_path / BOT_FILE).write_bytes(msgspec.json.encode(msgspec.structs.replace(BOT, pid=short.pid)))
    assert not is_running(tmp_path, short.pid)

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from backtest.cli import DONE, MEANINGS, NO_DATA
from tests.backtest.small_sample import sample_folder
from tests.processes import ROOT


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MM_")}
    return subprocess.run(
        [sys.executable, "mm_backtest.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_help_is_there() -> None:
    ended = run("--help")
    assert (ended.returncode, ended.stderr) == (DONE, "")
    assert all(meaning in " ".join(ended.stdout.split()) for meaning in MEANINGS.values())


def test_folders_of_events_are_judged_by_several_processes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = run(
        "--data", str(sample_folder()), "--out", str(out), "--workers", "2", "--no-ablation", "--json", "--no-progress",
    )  # fmt: skip
    assert ended.returncode == DONE
    assert len(json.loads(ended.stdout)["periods"]) == 2
    assert " ".join(ended.stderr.split()) == f"report: {out / 'index.html'}"
    assert (out / "index.html").exists()


def test_missing_data_ends_with_its_own_code_and_no_traceback(tmp_path: Path) -> None:
    ended = run("--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"))
    assert (ended.returncode, ended.stdout) == (NO_DATA, "")
    assert "not found" in ended.stderr
    assert "Traceback" not in ended.stderr

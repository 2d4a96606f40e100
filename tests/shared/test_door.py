"""A door opens with the Python that has the packages."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

from shared import door


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a prepared Python that is not this one."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(door, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["mm_bot.py", "--dry-run"])
    return python


def open_door() -> None:
    with door.prepared_python():
        import_module("a_package_that_is_not_here")


def test_without_a_package_the_prepared_python_begins_anew(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def replaced(path: Path, arguments: list[str]) -> None:
        begun.append((path, arguments))
        raise SystemExit(0)  # nothing of this process goes on

    monkeypatch.setattr(os, "execv", replaced)
    with pytest.raises(SystemExit):
        open_door()
    assert begun == [(prepared, [str(prepared), "mm_bot.py", "--dry-run"])]


def test_without_a_prepared_python_it_says_how_to_make_one(prepared: Path) -> None:
    prepared.unlink()
    with pytest.raises(SystemExit, match=r"mm_bot\.py: No module named 'a_package.*': run `make setup` once"):
        open_door()


def test_the_prepared_python_never_begins_itself_anew(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(prepared.parents[1]))
    with pytest.raises(SystemExit, match="run `make setup` once"):
        open_door()

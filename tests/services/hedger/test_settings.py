from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.hedger.settings import HedgerSettings
from shared.settings import ServiceSettings


def test_the_ledger_is_a_file_in_the_output_folder_unless_said() -> None:
    assert HedgerSettings().ledger_url(Path("out")) == "sqlite:///out/ledger.sqlite"
    assert HedgerSettings().ledger_url(Path("/a")) == "sqlite:////a/ledger.sqlite"


def test_the_environment_names_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_HEDGER_LEDGER", "postgresql://mm@db/mm")
    monkeypatch.setenv("MM_HEDGER_DROP", "drop")
    assert HedgerSettings().ledger_url(Path("out")) == "postgresql://mm@db/mm"
    assert HedgerSettings().drop == Path("drop")
    ServiceSettings()  # no variable of its own is misspelt


def test_what_is_no_ledger_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_HEDGER_LEDGER", "ledger.sqlite")
    with pytest.raises(ValidationError, match="sqlite:///<file>"):
        HedgerSettings()

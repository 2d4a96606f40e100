"""Where the fills of a run are kept: a paper run never writes into the ledger of real fills.

`--dry-run` has a folder of its own, `<out>/paper-<venues>/`, with the ledger and the executor's outbox; real fills go
where `MM_HEDGER_LEDGER` says, by default to `<out>/ledger.sqlite`. A later start goes on with what it finds there.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sql

from bot.cli import Options
from services.hedger.settings import LEDGER_FILE, HedgerSettings
from shared.service import load_settings


class LedgerPlace(NamedTuple):
    """The ledger of one run. `url` may hold a password; `shown` never does.

    `is_continued`: the file is there already, with what was booked before. Of a server nobody knows until it is asked.
    """

    url: str
    is_paper: bool
    is_continued: bool

    @property
    def shown(self) -> str:
        """The file, or the server without its password."""
        url = sql.make_url(self.url)
        is_file = url.drivername.startswith("sqlite")
        return str(url.database) if is_file else url.render_as_string(hide_password=True)

    @property
    def notice(self) -> str:
        """What a person must know about this run's fills, in a line."""
        purpose = "dry run: paper execution is on" if self.is_paper else "no execution: fills made elsewhere are booked"
        return f"{purpose}, ledger{' continued' if self.is_continued else ''}: {self.shown}"


def paper_folder(options: Options) -> Path:
    """Where paper fills live. One for each kind of venue: a period of the simulator is none of the real venue."""
    return options.out / f"paper-{options.venues}"


def ledger_place(options: Options) -> LedgerPlace:
    """The ledger that this run books into. Exits with 2 when the environment names an impossible one."""
    if options.dry_run:
        return _place(f"sqlite:///{paper_folder(options) / LEDGER_FILE}", is_paper=True)
    return _place(load_settings(HedgerSettings).ledger_url(options.out), is_paper=False)


def _place(url: str, *, is_paper: bool) -> LedgerPlace:
    parsed = sql.make_url(url)
    is_file = parsed.drivername.startswith("sqlite")
    return LedgerPlace(url=url, is_paper=is_paper, is_continued=is_file and Path(str(parsed.database)).is_file())

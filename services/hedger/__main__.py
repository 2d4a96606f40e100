"""`python -m services.hedger`, and `--verify` for its ledger.

Exit codes: 0 stopped; 1 the ledger's server does not answer (try again); 2 the configuration is wrong, the ledger is
damaged, or another hedger writes it (do not try again). Those of `--verify` are in `verify_io.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from prometheus_client import REGISTRY, Counter

from services.hedger.core import HedgerCore
from services.hedger.drops_io import DropFolder
from services.hedger.journal import JournalError
from services.hedger.ledger_io import Ledger, LedgerDamagedError, LedgerError, open_ledger, shown
from services.hedger.metrics_io import HedgerCollector
from services.hedger.settings import HedgerSettings
from services.hedger.verify_io import REMEDY, verify
from shared.bus import Responder
from shared.config import MMConfig
from shared.requests import Answer, decode_answer
from shared.service import EXIT_CONFIGURATION, Runtime, load_settings, run
from shared.settings import ServiceSettings

TIMER_S = 0.005  # how long the first request may wait for us
TURN_S = 0.02  # how long a stream of requests may keep us from the bus
NEXT_REQUEST_MS = 2  # who was answered asks again at once
DROP_S = 0.5

_ANSWERED = Counter("hedger_queries", "Queries answered.")


class Hedger(HedgerCore):
    """The core with its ledger, its request socket and its drop folder."""

    def __init__(self, runtime: Runtime, ledger: Ledger, drop: DropFolder | None) -> None:
        begin = time.monotonic()
        text = runtime.settings.config_json
        config = MMConfig.model_validate_json(text) if text else MMConfig()
        super().__init__([each.name for each in runtime.series], ledger, config)
        self._runtime = runtime
        self._drop = drop
        self._next_drop = 0.0
        self._responder = Responder(runtime.endpoints.hedger)
        REGISTRY.register(HedgerCollector(self))
        runtime.log.info(
            "ledger read",
            entries=ledger.place.sequence,
            last_hash=ledger.place.link.hex(),
            took_s=round(time.monotonic() - begin, 3),
        )

    def serve_waiting(self) -> None:
        """Answer the requests that wait, and those that follow at once; take dropped files; say what changed."""
        until = time.monotonic() + TURN_S
        served = wait_ms = 0
        while together := self._responder.serve_together(self._answer_now, wait_ms=wait_ms):
            served += together
            self._speak()
            if time.monotonic() >= until:
                break
            wait_ms = NEXT_REQUEST_MS
        if served:
            _ANSWERED.inc(served)
        if self._drop is not None and time.monotonic() >= self._next_drop:
            self._next_drop = time.monotonic() + DROP_S
            self.notices += self._drop.take(self._answer_files, now_s=time.time())
        self._speak()

    def _answer_now(self, questions: list[bytes]) -> list[bytes]:
        return self.answer_all(questions, now_ns=time.time_ns())

    def _answer_files(self, questions: list[bytes]) -> list[Answer]:
        return [decode_answer(each) for each in self._answer_now(questions)]

    def _speak(self) -> None:
        for message in self.take_messages():
            self._runtime.publisher.publish(message)
        for notice in self.notices:
            self._runtime.log.warning(notice)
        self.notices.clear()
        self._runtime.counters |= {
            "entries": self.books.sequence,
            "fills": self.booked["fill"],
            "refused_bookings": self.refused.total(),
            "ledger_errors": self.ledger_errors,
        }


def serve(url: str, drop: Path | None) -> int:
    """Run until stopped; returns the exit code."""
    try:
        folder = None if drop is None else DropFolder(drop)
    except OSError as error:
        print(f"configuration: MM_HEDGER_DROP: {drop}: {error.strerror}", file=sys.stderr)
        return EXIT_CONFIGURATION
    try:
        with open_ledger(url) as ledger:
            ledger.quick_check()
            run(
                "hedger",
                lambda runtime: Hedger(runtime, ledger, folder),
                timer_s=TIMER_S,
                each_turn=Hedger.serve_waiting,
            )
    except LedgerDamagedError as error:
        print(f"ledger: {shown(url)}: {error}; {REMEDY}", file=sys.stderr)
        return EXIT_CONFIGURATION
    except LedgerError as error:
        print(f"ledger: {error}", file=sys.stderr)
        return EXIT_CONFIGURATION
    except JournalError as error:
        print(f"ledger: {shown(url)} does not answer: {error}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Serve, or verify."""
    parser = argparse.ArgumentParser(
        prog="python -m services.hedger", description="The hedger, or a check of its ledger."
    )
    parser.add_argument(
        "--ledger", metavar="URL", help="sqlite:///<file> or postgresql://...; wins over MM_HEDGER_LEDGER"
    )
    parser.add_argument("--verify", action="store_true", help="check every entry of the ledger, and end")
    parser.add_argument(
        "--recover", type=Path, metavar="FILE", help="with --verify: copy the intact entries to this file"
    )
    chosen = parser.parse_args()
    if chosen.recover is not None and not chosen.verify:
        parser.error("--recover goes with --verify")
    out = load_settings(ServiceSettings).out
    settings = load_settings(HedgerSettings)
    url = chosen.ledger or settings.ledger_url(out)
    return verify(url, recover=chosen.recover) if chosen.verify else serve(url, settings.drop)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m services.sink`"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import REGISTRY, Counter, Histogram

from services.sink.clock_io import Clock
from services.sink.core import OutputFile, SinkCore, pulled_files
from services.sink.files_io import replace_files
from services.sink.metrics_io import SinkCollector
from services.sink.view import standing
from shared.core import Delivery, Event, Timer
from shared.messages import AnyMessage, QuoteSet, Settlement
from shared.service import Runtime, load_settings, run
from shared.settings import ServiceSettings

TURN_S = 0.01  # how long an expired lease may stand in the file

_WRITTEN = Counter("sink_files_written", "Files replaced.")
_FAILED = Counter("sink_write_errors", "Times that an output file could not be replaced, and was removed.")
_WRITE = Histogram("sink_write_seconds", "Making and replacing the files that were due.")


class Sink(SinkCore):
    """The core with its folder."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime.series, heartbeat_ms=runtime.settings.heartbeat_ms)
        self._runtime = runtime
        self._folder = runtime.settings.out
        self._failing = False
        self._clock = Clock()
        self._metrics = SinkCollector(self.lease_expiries, tuple(self.view.markets))
        REGISTRY.register(self._metrics)

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; the time is our own clock's, read anew for what a lease begins with."""
        is_timer = isinstance(event, Timer)
        is_quotes = isinstance(event, Delivery) and type(event.message) is QuoteSet
        if isinstance(event, Delivery) and type(event.message) is Settlement:
            self._metrics.count_settlement(event.message)
        if is_timer or is_quotes or not self.view.now_ns:
            for ts_ns in self._clock.read():
                super().update(Timer(ts_ns))
        return () if is_timer else super().update(event)

    def write_due(self) -> None:
        """Replace what is due; a folder that refuses is named in the log once, and tried again at each heartbeat."""
        self.update(Timer(time.time_ns()))
        files = self.due()
        if not files:
            return
        with _WRITE.time():
            self._write(files)
        expiries = self.lease_expiries
        for name, market in self.view.markets.items():
            self._metrics.note(
                name,
                standing(self.view, market),
                tuple(market.books.values()),
                now_ns=self.view.now_ns,
                lease_expiries=expiries[name],
            )
        self._runtime.counters["lease_expiries"] = sum(expiries.values())

    def _write(self, files: list[OutputFile]) -> None:
        try:
            replace_files(self._folder, files)
        except OSError as error:
            _FAILED.inc()
            self._runtime.counters["write_errors"] = self._runtime.counters.get("write_errors", 0.0) + 1
            if not self._failing:
                self._failing = True
                with contextlib.suppress(OSError):  # the log may be on the same disk
                    self._runtime.log.error(
                        "cannot write the output files: removed", folder=str(self._folder), error=str(error)
                    )
        else:
            _WRITTEN.inc(len(files))
            self._runtime.counters["files_written"] = self._runtime.counters.get("files_written", 0.0) + len(files)
            if self._failing:
                self._failing = False
                with contextlib.suppress(OSError):
                    self._runtime.log.info("the output files are written again")


def main() -> None:
    """Serve until stopped; the last word is PULL_QUOTES."""
    settings = load_settings(ServiceSettings)
    markets = [each.name for each in settings.series()]
    settings.out.mkdir(parents=True, exist_ok=True)
    _pull(settings.out, markets, "starting")
    last_word = "sink_crashed"
    try:
        run("sink", Sink, timer_s=TURN_S, each_turn=Sink.write_due)
        last_word = "stopped"
    finally:
        _pull(settings.out, markets, last_word)


def _pull(folder: Path, markets: Sequence[str], reason: str) -> None:
    """A disk that refuses has no old ladder left: that is as good a last word, and no reason to die."""
    with contextlib.suppress(OSError):
        replace_files(folder, pulled_files(markets, time.time_ns(), reason))


if __name__ == "__main__":
    main()

"""`python -m services.sink`"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from services.sink.clock_io import Clock
from services.sink.core import OutputFile, SinkCore, pulled_files
from services.sink.files_io import replace_files
from services.sink.view import standing
from shared.core import Delivery, Event, Timer
from shared.market import NS_PER_S
from shared.messages import AnyMessage, QuoteSet
from shared.service import Runtime, load_settings, run
from shared.settings import ServiceSettings

TURN_S = 0.01  # how long an expired lease may stand in the file

_WRITTEN = Counter("sink_files_written", "Files replaced.")
_FAILED = Counter("sink_write_errors", "Times that an output file could not be replaced, and was removed.")
_WRITE = Histogram("sink_write_seconds", "Making and replacing the files that were due.")
_AGE = Gauge("sink_quotes_age_seconds", "Age of the last quote set.", ["market"])
_ACTION = Gauge("sink_action", "1 for the action that stands in the file.", ["market", "action"])


class LeaseCollector(Collector):
    """Lease expiries, read from the core."""

    def __init__(self, core: SinkCore) -> None:
        self._core = core

    def collect(self) -> list[CounterMetricFamily]:
        """The counter."""
        family = CounterMetricFamily("sink_lease_expiries", "Quote sets whose lease ran out.", labels=["market"])
        for market, count in self._core.lease_expiries.items():
            family.add_metric([market], count)
        return [family]


class Sink(SinkCore):
    """The core with its folder."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime.series, heartbeat_ms=runtime.settings.heartbeat_ms)
        self._runtime = runtime
        self._folder = runtime.settings.out
        self._actions: dict[str, str] = {}
        self._failing = False
        self._clock = Clock()
        REGISTRY.register(LeaseCollector(self))

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; the time is our own clock's, read anew for what a lease begins with."""
        is_timer = isinstance(event, Timer)
        is_quotes = isinstance(event, Delivery) and type(event.message) is QuoteSet
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
        for name, market in self.view.markets.items():
            action = standing(self.view, market).action
            if self._actions.get(name) != action:
                if name in self._actions:
                    _ACTION.labels(name, self._actions[name]).set(0)
                self._actions[name] = action
                _ACTION.labels(name, action).set(1)
            if market.quotes is not None:
                _AGE.labels(name).set((self.view.now_ns - market.quotes.ts_recv_ns) / NS_PER_S)
        self._runtime.counters["lease_expiries"] = sum(self.lease_expiries.values())

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

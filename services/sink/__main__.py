"""`python -m services.sink`"""

from __future__ import annotations

import time

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from services.sink.core import OutputFile, SinkCore, pulled_files
from services.sink.files_io import replace_files
from services.sink.view import standing
from shared.core import Timer
from shared.market import NS_PER_S
from shared.service import Runtime, load_settings, run
from shared.settings import ServiceSettings

TURN_S = 0.01  # how long an expired lease may stand in the file

_WRITTEN = Counter("sink_files_written", "Files replaced.")
_FAILED = Counter("sink_write_failures", "Turns in which a file could not be replaced.")
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
        REGISTRY.register(LeaseCollector(self))

    def write_due(self) -> None:
        """Replace what is due; a folder that refuses is named in the log once, and tried again each turn."""
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
            if not self._failing:
                self._runtime.log.error("cannot write the output files", folder=str(self._folder), error=str(error))
            self._failing = True
        else:
            _WRITTEN.inc(len(files))
            if self._failing:
                self._runtime.log.info("the output files are written again")
            self._failing = False


def main() -> None:
    """Serve until stopped; the last word is PULL_QUOTES."""
    settings = load_settings(ServiceSettings)
    markets = [each.name for each in settings.series()]
    settings.out.mkdir(parents=True, exist_ok=True)
    replace_files(settings.out, pulled_files(markets, time.time_ns(), "starting"))
    last_word = "sink_crashed"
    try:
        run("sink", Sink, timer_s=TURN_S, each_turn=Sink.write_due)
        last_word = "stopped"
    finally:
        replace_files(settings.out, pulled_files(markets, time.time_ns(), last_word))


if __name__ == "__main__":
    main()

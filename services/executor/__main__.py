"""`python -m services.executor`"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from prometheus_client import REGISTRY, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from services.executor.core import ExecutorCore
from services.executor.courier_io import Courier
from services.executor.outbox_io import OUTBOX_FILE, Outbox, OutboxTakenError
from services.executor.settings import ExecutorSettings
from shared.config import MMConfig
from shared.core import Event
from shared.market import NS_PER_S, parse_slug
from shared.messages import AnyMessage
from shared.money import from_micro
from shared.requests import BookFill
from shared.service import EXIT_CONFIGURATION, Runtime, load_settings, run

_BOOKING = Histogram(
    "executor_booking_seconds",
    "From handing a fill over to the ledger's answer.",
    buckets=(1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0),
)
_EARLIER_S = 2 * 86_400  # longer than any period
# What will happen sooner or later is a zero from the start, so that its first time is an increase.
_NEVER = {(what, outcome): 0 for what in ("filled", "filled_units") for outcome in ("CALL", "PUT")} | {
    ("placed", ""): 0
}


class Executor(ExecutorCore):
    """The core with its outbox: a fill is on disk before anything that follows from it leaves the process."""

    def __init__(self, runtime: Runtime) -> None:
        text = runtime.settings.config_json
        config = MMConfig.model_validate_json(text) if text else MMConfig()
        self._runtime = runtime
        try:
            self._outbox = Outbox(runtime.settings.out / OUTBOX_FILE)
        except OutboxTakenError as error:
            runtime.log.error("outbox taken", error=str(error))
            raise SystemExit(EXIT_CONFIGURATION) from error
        now_ns = time.time_ns()
        super().__init__(
            config,
            load_settings(ExecutorSettings),
            [each.name for each in runtime.series],
            session=f"{now_ns:x}",
        )
        self._courier = Courier(runtime.endpoints.hedger)
        runtime.on_stop.append(self._courier.close)
        earlier = [*self._booked_in_running_periods(now_ns), *self._outbox.waiting()]
        self.await_confirmation(earlier)
        for fill in earlier:
            self._courier.bring(fill)
        REGISTRY.register(ExecutorCollector(self))

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; fills are written down before its messages are published."""
        try:
            messages = super().update(event)
            fills = self.take_fills()
            if fills:
                self._outbox.append(fills)
        except BaseException:  # its socket must be closed before the crash closes all of them
            self._courier.close()
            raise
        for fill in fills:
            self._courier.bring(fill)
        return messages

    def _booked_in_running_periods(self, now_ns: int) -> list[BookFill]:
        """Of our markets, in order: the ledger is asked again, for its answer says which entries they are."""
        booked = self._outbox.booked_since(now_ns - _EARLIER_S * NS_PER_S)
        return [each for each in booked if each.market in self.markets and _end_ns(each.slug) > now_ns]

    def take_answers(self) -> None:
        """Take what the ledger answered."""
        for answer in self._courier.answers():
            self._outbox.settle(answer.fill_id, "refused" if answer.entry is None else "booked", answer.detail)
            self.confirm(answer.fill_id, entry=answer.entry)
            _BOOKING.observe(answer.waited_s)
            if answer.entry is None:
                self._runtime.log.error("the ledger refuses a fill", fill_id=answer.fill_id, detail=answer.detail)
        for put_off in self._courier.put_offs():
            self._runtime.log.warning(
                "the ledger cannot book a fill as it was started; the fill waits in the outbox",
                fill_id=put_off.fill_id,
                detail=put_off.detail,
            )
        self._runtime.counters["outbox"] = self._outbox.waiting_count

    def waiting_count(self) -> int:
        """Fills that the ledger has not answered yet."""
        return self._outbox.waiting_count


def _end_ns(slug: str) -> int:
    series, start_s = parse_slug(slug)
    return (start_s + series.length_s) * NS_PER_S


class ExecutorCollector(Collector):
    """The executor's counts, read when Prometheus asks."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The metric families."""
        labels = ["market", "what", "reason"]
        orders = CounterMetricFamily("executor_orders", "What happened to orders, and why.", labels=labels)
        shares = CounterMetricFamily("executor_filled_shares", "Shares filled.", labels=["market", "outcome"])
        live = GaugeMetricFamily("executor_live_orders", "Orders that can still fill.", labels=["market"])
        for name, market in self._executor.markets.items():
            counts = _NEVER | market.counts
            for (what, reason), count in counts.items():
                if what == "filled_units":
                    shares.add_metric([name, reason], from_micro(count))
                else:
                    orders.add_metric([name, what, reason], count)
            live.add_metric([name], sum(len(each.live) for each in tuple(market.periods.values())))
        waiting = GaugeMetricFamily("executor_outbox_fills", "Fills that the ledger has not answered yet.")
        waiting.add_metric([], self._executor.waiting_count())
        yield from (orders, shares, live, waiting)


if __name__ == "__main__":
    run("executor", Executor, timer_s=0.05, each_turn=Executor.take_answers)

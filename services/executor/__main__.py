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
from shared.market import NS_PER_S
from shared.messages import AnyMessage
from shared.money import from_micro
from shared.service import EXIT_CONFIGURATION, Runtime, load_settings, run

_BOOKING = Histogram(
    "executor_booking_seconds",
    "From handing a fill over to the ledger's answer.",
    buckets=(1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0),
)
_EARLIER_S = 2 * 86_400  # longer than any period


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
            earlier=self._outbox.since(now_ns - _EARLIER_S * NS_PER_S),
        )
        self._courier = Courier(runtime.endpoints.hedger)
        runtime.on_stop.append(self._courier.close)
        waiting = self._outbox.waiting()
        self.await_confirmation(waiting)
        for fill in waiting:
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

    def take_answers(self) -> None:
        """Take what the ledger answered."""
        for answer in self._courier.answers():
            self._outbox.settle(answer.fill_id, "booked" if answer.is_booked else "refused", answer.detail)
            self.confirm(answer.fill_id, is_booked=answer.is_booked)
            _BOOKING.observe(answer.waited_s)
            if not answer.is_booked:
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
            for (what, reason), count in tuple(market.counts.items()):
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

"""All cores of the system in one process: a bus without sockets, in event time.

The same core objects that the live processes run, wired by the same table. Messages are delivered in the order in which
they were published; whatever a core publishes is delivered before the next outside event.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from services.analyzers.core import KINDS, AnalyzerCore
from services.hedger.core import HedgerCore
from services.quoter.core import QuoterCore
from shared.config import MMConfig
from shared.core import Core, Delivery, Timer
from shared.market import Series
from shared.messages import AnyMessage, topic_of
from shared.wiring import PART, TOPIC_END, subscriptions

Listener = Callable[[AnyMessage], None]


class Session:
    """Cores that hear each other. `listeners` hear every message after the cores did."""

    def __init__(self, cores: Mapping[str, Core], series: Iterable[Series]) -> None:
        markets = tuple(series)
        self._cores = dict(cores)
        self._prefixes = {name: subscriptions(PART[name], markets) for name in cores if name in PART}
        self._routes: dict[str, tuple[Core, ...]] = {}
        self._seq: Counter[str] = Counter()
        self._queue: deque[AnyMessage] = deque()
        self.listeners: list[Listener] = []

    def add(self, name: str, core: Core, prefixes: tuple[str, ...]) -> None:
        """Let one more core hear (and publish), under its own subscriptions."""
        self._cores[name] = core
        self._prefixes[name] = prefixes
        self._routes.clear()

    def publish(self, message: AnyMessage) -> None:
        """Deliver a message, and everything that follows from it."""
        self._queue.append(message)
        while self._queue:
            self._deliver(self._queue.popleft())

    def timer(self, ts_ns: int) -> None:
        """Tell every core that time passed."""
        event = Timer(ts_ns)
        for core in self._cores.values():
            self._queue.extend(core.update(event))
        while self._queue:
            self._deliver(self._queue.popleft())

    def _deliver(self, message: AnyMessage) -> None:
        topic = topic_of(message)
        self._seq[topic] += 1
        delivery = Delivery(topic, 1, self._seq[topic], message)
        for core in self._route(topic):
            self._queue.extend(core.update(delivery))
        for listener in self.listeners:
            listener(message)

    def _route(self, topic: str) -> tuple[Core, ...]:
        route = self._routes.get(topic)
        if route is None:
            ended = topic + TOPIC_END
            route = tuple(core for name, core in self._cores.items() if ended.startswith(self._prefixes[name]))
            self._routes[topic] = route
        return route


def trading_cores(config: MMConfig, series: Iterable[Series]) -> dict[str, Core]:
    """The analyzers, the hedger and the quoter for these series, as the live processes build them."""
    markets = [each.name for each in series]
    cores: dict[str, Core] = {kind: AnalyzerCore(kind, markets, config) for kind in KINDS}
    cores["hedger"] = HedgerCore(markets)
    cores["quoter"] = QuoterCore(config, markets)
    return cores

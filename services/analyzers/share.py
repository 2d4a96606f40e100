"""One instance among others of its kind: an `AnalyzerCore` for its share of the markets.

It hears the inputs of all markets it can serve and keeps the last value of each topic, as the broker does, and the last
checkpoint; so it takes a market over as it would after joining the bus: on from the checkpoint, and up to date. A
market that goes to another instance leaves with a checkpoint. Before its first Timer it only listens: the last values
of the bus say who else lives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.analyzers.core import AnalyzerCore, Kind
from services.analyzers.ownership import Ownership
from shared.config import MMConfig
from shared.core import Delivery, Event, Timer
from shared.market import NS_PER_S
from shared.messages import AnyMessage, Checkpoint, Heartbeat
from shared.wiring import NOT_CACHED

OLD_NS = 10 * NS_PER_S  # a last heartbeat that old is a dead one's; clocks agree better than that


class Share:
    """Implements `shared.core.Core` for the instance `instance`, begun at `started_ns`, that can serve `markets`."""

    def __init__(
        self,
        kind: Kind,
        markets: Iterable[str],
        config: MMConfig | None = None,
        *,
        instance: str,
        started_ns: int,
    ) -> None:
        self._core = AnalyzerCore(kind, (), config)
        self._ownership = Ownership(instance, started_ns, markets)
        self._now_ns = 0
        self._joining: list[Delivery] = []
        self._last: dict[str, Delivery] = {}
        self._checkpoints: dict[str, Checkpoint] = {}

    @property
    def owned(self) -> tuple[str, ...]:
        """The markets that are analyzed here."""
        return self._core.markets

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; the signals and checkpoints of our markets that are due."""
        if isinstance(event, Timer):
            messages = self._begin(event.ts_ns) if self._now_ns == 0 else []
            self._now_ns = event.ts_ns
            return [*messages, *self._core.update(event)]
        if isinstance(event, Delivery):
            if self._now_ns == 0:
                self._joining.append(event)
                return ()
            if isinstance(event.message, Heartbeat):
                return self._divide() if self._ownership.hear(event.message) else ()
            self._remember(event)
        return self._core.update(event)

    def last_words(self) -> Sequence[AnyMessage]:
        """What whoever takes our markets goes on from."""
        return self._core.checkpoints(self._now_ns)

    def _begin(self, now_ns: int) -> Sequence[AnyMessage]:
        for each in self._joining:
            if not isinstance(each.message, Heartbeat):
                self._remember(each)
            elif now_ns - each.message.ts_event_ns < OLD_NS:
                self._ownership.hear(each.message)
        self._joining.clear()
        return self._divide()

    def _remember(self, delivery: Delivery) -> None:
        message = delivery.message
        if isinstance(message, Checkpoint):
            self._checkpoints[message.market] = message
        elif type(message) not in NOT_CACHED:
            self._last[delivery.topic] = delivery

    def _divide(self) -> Sequence[AnyMessage]:
        """Let go of what is another's now, and take what is ours."""
        owned, before = self._ownership.owned(), self._core.markets
        leaving = [each for each in self._core.checkpoints(self._now_ns) if each.market not in owned]
        for each in leaving:
            self._core.drop(each.market)
        for market in owned:
            if market not in before:
                self._core.take(market, self._checkpoints.get(market), self._last.values())
        return leaving

"""The analyzers' core: one kind of signal, any number of markets.

A checkpoint on the bus (the last owner's) is taken over by a market that has not yet published one itself; one of
another layout is passed over, and the market starts cold. Routes each event to the analyzers of its asset or market,
publishes their signals at a bounded rate (at once when
urgent), and a `Checkpoint` of each every few seconds. Deterministic: the same events give the same messages, also
across a restart from a checkpoint (`inputs` then names what was used since the restart).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Literal, get_args

import numpy as np

from services.analyzers.flow_analyzer import FlowAnalyzer
from services.analyzers.lead_lag_analyzer import LeadLagAnalyzer
from services.analyzers.reaction import NOTHING, URGENT, Analyzer, Reaction
from services.analyzers.regime_analyzer import RegimeAnalyzer
from services.analyzers.volatility_analyzer import VolatilityAnalyzer, settings_of
from shared.config import MMConfig
from shared.core import Delivery, Event, Gap, Timer
from shared.kernel import layout_of, pack_state, unpack_state
from shared.market import Series
from shared.messages import AnyMessage, Checkpoint, Period

Kind = Literal["lead_lag", "regime", "volatility", "flow"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SIGNAL_NS = 200_000_000  # signals that changed, at most this often
REPEAT_NS = 1_000_000_000  # unchanged signals again, on timers
CHECKPOINT_NS = 5_000_000_000
LOST_NS = 1_000_000_000  # a checkpoint may hold what was received so shortly after the instant it is stamped with

_MAKERS: dict[Kind, Callable[[str, MMConfig | None], Analyzer]] = {
    "lead_lag": lambda market, _: LeadLagAnalyzer(market),
    "regime": lambda market, _: RegimeAnalyzer(market),
    "volatility": lambda market, config: VolatilityAnalyzer(market, settings_of(config) if config else None),
    "flow": lambda market, _: FlowAnalyzer(market),
}


class _Desk:
    """One market's analyzer and its publishing schedule."""

    def __init__(self, kind: Kind, market: str, config: MMConfig | None) -> None:
        self.kind = kind
        self.series = Series.parse(market)
        self.analyzer = _MAKERS[kind](market, config)
        self.dtype: np.dtype[Any] = np.dtype(
            [
                ("signal_ns", "i8"),
                ("checkpoint_ns", "i8"),
                ("event_ns", "i8"),
                ("changed", "i8"),
                ("analyzer", self.analyzer.STATE),
            ],
            align=True,
        )
        self._layout = layout_of(self.dtype)
        self._signal_ns = 0
        self._event_ns = 0  # of the newest input: the time of what a signal says
        self._checkpoint_ns = 0
        self._changed = False
        self._period: Delivery | None = None
        self.has_checkpoint = False  # one of our own is out: another's comes too late

    def observe(self, delivery: Delivery) -> Reaction:
        """Take one message."""
        if isinstance(delivery.message, Period) and delivery.message.role == "current":
            self._period = delivery
        return self.analyzer.observe(delivery)

    def catch_up(self, last_values: Iterable[Delivery], *, restored_to_ns: int | None) -> None:
        """Take the last value of each topic, unpublished; what came between a restored checkpoint and it is lost."""
        for delivery in last_values:
            message = delivery.message
            if restored_to_ns is not None and message.ts_recv_ns > restored_to_ns + LOST_NS:
                self.analyzer.observe_gap(delivery.topic)
            if self.observe(delivery) != NOTHING:
                self._event_ns = max(self._event_ns, min(message.ts_event_ns, message.ts_recv_ns))
        self._signal_ns = 0  # the next Timer says where we are

    def publish(self, reaction: Reaction, *, ts_event_ns: int, now_ns: int, repeat: bool) -> Sequence[AnyMessage]:
        """What is due now."""
        if reaction != NOTHING:
            self._changed = True
            if not repeat:
                self._event_ns = max(self._event_ns, min(ts_event_ns, now_ns))
        waited_ns = abs(now_ns - self._signal_ns)
        due = (self._changed and waited_ns >= SIGNAL_NS) or (repeat and waited_ns >= REPEAT_NS) or reaction == URGENT
        if not due and self._checkpoint_ns > 0 and abs(now_ns - self._checkpoint_ns) < CHECKPOINT_NS:
            return ()
        messages: list[AnyMessage] = []
        if due:
            messages.append(self.analyzer.signal(self._event_ns or ts_event_ns, now_ns))
            self._signal_ns = now_ns
            self._changed = False
        if self._checkpoint_ns == 0:
            self._checkpoint_ns = now_ns
        elif abs(now_ns - self._checkpoint_ns) >= CHECKPOINT_NS:
            self._checkpoint_ns = now_ns
            self.has_checkpoint = True
            messages.append(self.checkpoint(now_ns))
        return messages

    def checkpoint(self, now_ns: int) -> Checkpoint:
        """Everything remembered, as bytes."""
        whole = np.zeros(1, self.dtype)
        whole["signal_ns"] = self._signal_ns
        whole["checkpoint_ns"] = self._checkpoint_ns
        whole["event_ns"] = self._event_ns
        whole["changed"] = self._changed
        whole["analyzer"] = self.analyzer.record
        return Checkpoint(
            ts_event_ns=now_ns,
            ts_recv_ns=now_ns,
            market=self.series.name,
            kind=self.kind,
            layout=self._layout,
            state=pack_state(whole),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from these bytes; raises ValueError when they are of another layout and changes nothing."""
        whole = unpack_state(checkpoint.state, dtype=self.dtype, layout=checkpoint.layout)
        self._signal_ns = int(whole["signal_ns"][0])
        self._checkpoint_ns = int(whole["checkpoint_ns"][0])
        self._event_ns = int(whole["event_ns"][0])
        self._changed = bool(whole["changed"][0])
        self.analyzer.record[:] = whole["analyzer"]
        self.analyzer.reload()
        if self._period is not None:
            self.analyzer.observe(self._period)  # it may be newer than the checkpoint, and comes but rarely


class AnalyzerCore:
    """One kind of analyzer for the given markets; a `shared.core.Core`.

    `config`: the market maker's, for the settings that both must share; None: the analyzers' own defaults.
    """

    def __init__(self, kind: Kind, markets: Iterable[str], config: MMConfig | None = None) -> None:
        self.kind = kind
        self._config = config
        self._desks: dict[str, _Desk] = {}
        self._by_asset: dict[str, list[_Desk]] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        for market in markets:
            self.adopt(market)

    @property
    def markets(self) -> tuple[str, ...]:
        """The markets that are analyzed here."""
        return tuple(self._desks)

    def adopt(self, market: str) -> None:
        """Analyze this market too, from cold (or `restore` its last checkpoint next). Raises ValueError on a name
        that is not a series."""
        desk = _Desk(self.kind, market, self._config)
        self._desks.setdefault(desk.series.name, desk)
        self._index()

    def drop(self, market: str) -> None:
        """Analyze this market no more."""
        self._desks.pop(market, None)
        self._index()

    def take(self, market: str, checkpoint: Checkpoint | None, last_values: Iterable[Delivery]) -> None:
        """Analyze this market too: on from the last owner's checkpoint (cold when there is none, or of another layout),
        and from what was last said since."""
        self.adopt(market)
        restored_to_ns = None
        if checkpoint is not None:
            with suppress(ValueError):  # of another version: the market starts cold
                self.restore(checkpoint)
                restored_to_ns = checkpoint.ts_recv_ns
        wanted = [each for each in last_values if self._desks[market] in self._interested(_subject(each.topic))]
        self._desks[market].catch_up(wanted, restored_to_ns=restored_to_ns)
        self._seen |= {each.topic: (each.epoch, each.seq) for each in wanted}

    def checkpoints(self, now_ns: int) -> list[Checkpoint]:
        """All that is remembered of each market."""
        return [desk.checkpoint(now_ns) for desk in self._desks.values()]

    def _index(self) -> None:
        by_asset: defaultdict[str, list[_Desk]] = defaultdict(list)
        for desk in self._desks.values():
            by_asset[desk.series.asset].append(desk)
        self._by_asset = dict(by_asset)

    def _interested(self, subject: str) -> list[_Desk]:
        desk = self._desks.get(subject)
        return [desk] if desk is not None else self._by_asset.get(subject, [])

    def restore(self, checkpoint: Checkpoint) -> bool:
        """Continue a market from its checkpoint; False when it is not one of ours.

        Raises ValueError on another layout: the market then stays cold.
        """
        desk = self._desks.get(checkpoint.market)
        if desk is None or checkpoint.kind != self.kind:
            return False
        desk.restore(checkpoint)
        return True

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; return the signals and checkpoints that are due."""
        if isinstance(event, Delivery):
            return self._update_delivery(event)
        if isinstance(event, Gap):
            for desk in self._interested(_subject(event.topic)):
                desk.analyzer.observe_gap(event.topic)
            return ()
        return self._update_timer(event)

    def _update_delivery(self, delivery: Delivery) -> Sequence[AnyMessage]:
        desks = self._interested(_subject(delivery.topic))
        if not desks:
            return ()
        if isinstance(delivery.message, Checkpoint):
            self._take_over(delivery.message)
            return ()
        seen = self._seen.get(delivery.topic)
        if seen is not None and seen[0] == delivery.epoch and delivery.seq <= seen[1]:
            return ()
        self._seen[delivery.topic] = (delivery.epoch, delivery.seq)
        messages: list[AnyMessage] = []
        message = delivery.message
        for desk in desks:
            reaction = desk.observe(delivery)
            messages += desk.publish(reaction, ts_event_ns=message.ts_event_ns, now_ns=message.ts_recv_ns, repeat=False)
        return messages

    def _take_over(self, checkpoint: Checkpoint) -> None:
        desk = self._desks.get(checkpoint.market)
        if desk is None or desk.has_checkpoint:
            return
        with suppress(ValueError):  # of another version: the market starts cold
            self.restore(checkpoint)

    def _update_timer(self, timer: Timer) -> Sequence[AnyMessage]:
        messages: list[AnyMessage] = []
        for desk in self._desks.values():
            reaction = desk.analyzer.observe_time(timer.ts_ns)
            messages += desk.publish(reaction, ts_event_ns=timer.ts_ns, now_ns=timer.ts_ns, repeat=True)
        return messages


def _subject(topic: str) -> str:
    """The market or asset in a topic `<Message>.<subject>[.<source>]`."""
    return topic.split(".", 2)[1]

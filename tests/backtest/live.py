"""The live cores with paper execution and the ledger in one process, for comparison with a backtest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from backtest.session import Session, trading_cores
from backtest.tape import TIMER_NS
from services.executor.core import ExecutorCore
from services.executor.settings import ExecutorSettings
from services.hedger.core import HedgerCore
from shared.config import MMConfig
from shared.exchange import QueueName
from shared.market import Series
from shared.messages import AnyMessage
from shared.requests import BookFill, decode_answer, encode_question
from shared.wiring import PART, subscriptions


class LiveFill(NamedTuple):
    """A booked fill, and when we learned of it."""

    known_ns: int
    fill: BookFill


class LivePaper:
    """What `mm_bot.py --dry-run` runs, without sockets: every fill is booked at once."""

    def __init__(self, config: MMConfig, market: str, *, queue: QueueName) -> None:
        series = [Series.parse(market)]
        cores = trading_cores(config, series)
        hedger = cores["hedger"]
        assert isinstance(hedger, HedgerCore)
        self.hedger = hedger
        self.executor = ExecutorCore(config, ExecutorSettings(queue=queue), [market], session="live")
        self.session = Session(cores, series)
        self.session.add("executor", self.executor, subscriptions(PART["executor"], series))
        self.fills: list[LiveFill] = []

    def play(self, messages: Iterable[AnyMessage]) -> None:
        """Play messages in order of receipt, with the timers between them."""
        now_ns = 0
        for message in messages:
            at_ns = message.ts_recv_ns
            now_ns = now_ns or at_ns - at_ns % TIMER_NS
            while now_ns + TIMER_NS <= at_ns:
                now_ns += TIMER_NS
                self.session.timer(now_ns)
                self._book()
            self.session.publish(message)
            self._book()

    def _book(self) -> None:
        while fills := self.executor.take_fills():
            for fill in fills:
                self.fills.append(LiveFill(self.executor.now_ns, fill))
                answer = decode_answer(self.hedger.answer(encode_question(fill)))
                self.executor.confirm(fill.fill_id, entry=answer.entry if answer.status == "ok" else None)
            for message in self.hedger.take_messages():
                self.session.publish(message)

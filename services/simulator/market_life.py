"""The life of one market: asleep before its start, traded, decided, cleared, resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.simulator import params
from services.simulator.crowd import Crowd
from services.simulator.events import (
    BookRefresh,
    BookUpdate,
    Event,
    LevelChange,
    MarketResolved,
    OutcomeTrade,
    Side,
    TickSizeChange,
)
from services.simulator.period import Period
from services.simulator.schedule import Schedule, poisson_ms

Sink = Callable[[Event], None]
Fair = Callable[[int, bool], float]  # (Unix ms, whether informed) -> P(Up)
_CLEAR_BEFORE_RESOLVED_MS = 29  # as recorded
_DECIDED_MS = 3_000  # after its end nobody learns anything new


class MarketLife:
    """Makers who requote, makers who change sizes, and takers, of one market. `start` plans its whole life."""

    def __init__(
        self,
        period: Period,
        *,
        schedule: Schedule,
        sink: Sink,
        fair: Fair,
        informed_share: float,
        rate: float,
        burst_per_s: float,
        burst_s: float,
    ) -> None:
        self._period = period
        self._crowd = Crowd(period.book, period.rng)
        self._schedule = schedule
        self._sink = sink
        self._fair = fair
        self._informed_share = informed_share
        self._rate = rate
        self._burst_per_s = burst_per_s
        self._start_ms, self._end_ms = period.start_s * 1000, period.end_s * 1000
        self._burst_until_ms = self._start_ms + int(burst_s * 1000.0)
        self._clear_ms = period.resolve_ms - _CLEAR_BEFORE_RESOLVED_MS

    def start(self, now_ms: int) -> None:
        """Open the book and plan what follows; a market of the past is resolved at once."""
        period = self._period
        if period.resolve_ms <= now_ms:
            period.resolved = True
            period.book.tick_mills = 1
            period.book.last_trade_texts = ("0.999", "0.001") if period.up_won else ("0.001", "0.999")
            period.book.last_change_ms = period.resolve_ms
            return
        fair = self._fair(now_ms, False)
        self._crowd.open_book(fair, now_ms)
        self._requote(fair, now_ms)
        for act, within_ms in ((self._refresh, 1_000), (self._churn, 500), (self._take, 1_500)):
            self._schedule.at(now_ms + 1 + int(period.rng.integers(within_ms)), act)
        if self._start_ms > now_ms:  # awake at the start, whatever the sleepy clock before it had planned
            self._schedule.at(self._start_ms, self._churn)
        self._schedule.at(self._clear_ms, self._clear)
        self._schedule.at(period.resolve_ms, self._resolve)

    def change_tick(self, ts_ms: int) -> None:
        """Switch to the fine tick; it never goes back."""
        book = self._period.book
        if book.tick_mills != 1:
            old, book.tick_mills = book.tick_mills, 1
            self._sink(TickSizeChange(ts_ms, self._period, old, 1))

    def _stage(self, ts_ms: int) -> int:
        """0 running (or just over), 1 next, 2 later."""
        wait_ms = self._start_ms - ts_ms
        return 0 if wait_ms <= 0 else 1 if wait_ms <= self._period.series.length_s * 1000 else 2

    def _publish(self, ts_ms: int, changes: Iterable[LevelChange], *, clearing: bool = False) -> None:
        for change in changes:
            self._sink(BookUpdate(ts_ms, self._period, change, clearing))

    def _requote(self, fair: float, ts_ms: int) -> None:
        if self._stage(ts_ms) == 0 and max(fair, 1.0 - fair) >= params.FINE_TICK_FROM:
            self.change_tick(ts_ms)
        self._publish(ts_ms, self._crowd.requote(fair, ts_ms))

    def _refresh(self, ts_ms: int) -> None:
        if ts_ms >= self._clear_ms:
            return
        busy = self._start_ms <= ts_ms <= self._end_ms + _DECIDED_MS
        step_ms = params.FAIR_REFRESH_MS if busy else params.NEXT_FAIR_REFRESH_MS
        self._requote(self._crowd.perceived(self._fair(ts_ms, False), elapsed_s=step_ms / 1000.0), ts_ms)
        self._schedule.at(ts_ms + step_ms, self._refresh)

    def _churn(self, ts_ms: int) -> None:
        if ts_ms >= self._clear_ms:
            return
        change = self._crowd.churn(ts_ms)
        if change is not None:
            self._publish(ts_ms, [change])
        stage = self._stage(ts_ms)
        rate = (params.CHURN_PER_S, params.NEXT_CHURN_PER_S, params.LATER_CHURN_PER_S)[stage] * self._rate
        if self._start_ms <= ts_ms < self._burst_until_ms:
            rate = max(rate, self._burst_per_s)
        due_ms = poisson_ms(self._period.rng, ts_ms, rate)
        if not ts_ms < self._start_ms <= due_ms:  # the start has its own event and goes on from there
            self._schedule.at(due_ms, self._churn)

    def _take(self, ts_ms: int) -> None:
        if ts_ms >= self._clear_ms:
            return
        rng, running = self._period.rng, self._stage(ts_ms) == 0
        mid = self._period.book.mid()
        if ts_ms < self._end_ms and mid is not None:
            informed = running and bool(rng.random() < self._informed_share)
            buys_up = self._fair(ts_ms, True) > mid if informed else bool(rng.random() < 0.5)
            self._trade(ts_ms, buys_up=buys_up, informed=informed)
        rate = (params.TRADES_PER_S if running else params.NEXT_TRADES_PER_S) * self._rate
        due_ms = poisson_ms(rng, ts_ms, rate)
        if ts_ms < self._start_ms < due_ms:
            due_ms = self._start_ms + int(rng.integers(1, 1000))
        self._schedule.at(due_ms, self._take)

    def _trade(self, ts_ms: int, *, buys_up: bool, informed: bool) -> None:
        """One market order: its levels, its prints in the token it named, and both books again."""
        period, fills = self._period, []
        for fill in self._crowd.take(self._crowd.taker_size(), ts_ms, buys_up=buys_up):
            fills.append(fill)
            self._sink(BookUpdate(ts_ms, period, LevelChange(fill.mills, not buys_up), clearing=False))
        if not fills:
            return
        period.trades += 1
        period.informed_trades += informed
        buys_token = period.rng.random() < params.BUY_SHARE
        outcome_index = 0 if buys_up == buys_token else 1
        side: Side = "buy" if buys_token else "sell"
        transaction = "0x" + period.rng.bytes(32).hex()
        for fill in fills:
            mills, size = fill.mills if outcome_index == 0 else 1000 - fill.mills, fill.micro_shares
            period.micro_usdc_traded += size * mills // 1000
            self._sink(OutcomeTrade(ts_ms, period, outcome_index, mills, size, side, transaction, informed))
        self._sink(BookRefresh(ts_ms, period))

    def _clear(self, ts_ms: int) -> None:
        self._publish(ts_ms, self._crowd.clear(ts_ms), clearing=True)

    def _resolve(self, ts_ms: int) -> None:
        self._period.resolved = True
        self._sink(MarketResolved(ts_ms, self._period))

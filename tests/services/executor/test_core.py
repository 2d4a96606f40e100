from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from backtest.session import Session
from services.executor.core import ExecutorCore
from services.executor.settings import ExecutorSettings
from shared.config import MMConfig, load_config
from shared.core import Event, Gap, Timer
from shared.market import NS_PER_S, Series
from shared.messages import (
    AnyMessage,
    FeedStatus,
    OpenOrders,
    OutcomeBook,
    OutcomeTrade,
    Period,
    Position,
    QuoteSet,
)
from shared.money import from_micro, to_micro
from shared.requests import BookFill
from shared.wiring import PART, subscriptions
from tests.builders import NS, SLUG, START_S, build
from tests.services.executor.scene import MARKET, Scene, bid
from tests.services.executor.test_period_orders import fill_of
from tests.system.virtual import Virtual


def test_open_orders_are_said_on_change_and_each_second() -> None:
    scene = Scene()
    scene.heard.clear()
    scene.quote(bid(48))
    assert [len(each.orders) for each in scene.heard] == [1]
    scene.wait(0.2)
    assert [each.orders[0].state for each in scene.heard] == ["pending", "resting"]
    scene.heard.clear()
    scene.wait(3.0)
    assert [each.orders[0].state for each in scene.heard] == ["resting"] * 3
    assert all(each.ts_recv_ns <= scene.now_ns for each in scene.heard)


def test_an_empty_set_of_open_orders_is_said_too() -> None:
    scene = Scene()
    scene.heard.clear()
    scene.wait(2.0)
    assert [each.orders for each in scene.heard] == [(), ()]


def test_fills_are_handed_out_once_and_in_order() -> None:
    scene = Scene()
    scene.quote(bid(48), bid(47))
    scene.wait(0.5)
    scene.deliver(
        build(OutcomeTrade, ts_event_ns=scene.now_ns, ts_recv_ns=scene.now_ns, price=0.47, aggressor="sell", size=70.0)
    )
    assert [(each.price_micro, each.units) for each in scene.fills] == [(480_000, 50_000_000), (470_000, 20_000_000)]
    assert scene.core.take_fills() == []
    assert len({each.fill_id for each in scene.fills}) == 2


def test_fills_of_an_earlier_run_count_until_the_ledger_shows_them() -> None:
    earlier = [fill_of(number, units=100_000_000) for number in range(5)]
    scene = Scene()
    scene.core.await_confirmation(earlier)
    for number, each in enumerate(earlier):
        scene.core.confirm(each.fill_id, entry=10 + number)
    scene.quote(bid(48))
    assert scene.standing() == []
    assert scene.count("skipped", "max_inventory_imbalance") == 1
    scene.position = {"call_shares": 400.0, "sequence": 13}  # the last one is missing
    scene.refresh()
    assert scene.standing() == []
    scene.position = {"call_shares": 400.0, "sequence": 14}
    scene.refresh()
    assert len(scene.standing()) == 1


def test_nothing_is_placed_while_an_earlier_fill_waits_for_the_ledger() -> None:
    scene = Scene()
    scene.core.await_confirmation([fill_of(1)])
    scene.market.unconfirmed["f1"] = 0
    scene.quote(bid(48))
    assert (scene.orders(), scene.market.obstacle) == ([], "hedger_unreachable")
    scene.core.confirm("f1", entry=1)
    scene.core.confirm("f1", entry=1)
    scene.core.confirm("unheard of", entry=2)
    scene.wait(0.1)
    assert len(scene.orders()) == 1


def test_lost_trades_are_counted() -> None:
    scene = Scene()
    assert scene.core.update(Gap("OutcomeTrade.btc-15m.CALL", 3, scene.now_ns)) == ()
    assert scene.core.update(Gap("OutcomeBook.btc-15m.CALL", 3, scene.now_ns)) == ()
    assert scene.count("trades_lost") == 3


def test_messages_about_other_markets_are_nobodys() -> None:
    scene = Scene()
    scene.heard.clear()
    for kind in (QuoteSet, Position, OutcomeTrade):
        scene.say(kind, market="eth-15m")
    assert scene.heard == []


def test_a_receipt_from_the_future_does_not_move_time() -> None:
    scene = Scene()
    before = scene.core.now_ns
    scene.say(Position, ts_recv_ns=scene.now_ns + 60 * NS_PER_S)
    assert scene.core.now_ns == before


# -- in front of the simulated venues, with the quoter that the live system runs -------------------------------------


class Journal:
    """Books what the executor hands out and publishes the position, as the ledger does."""

    def __init__(self, market: str, executor: ExecutorCore) -> None:
        self.fills: list[BookFill] = []
        self._market = market
        self._executor = executor
        self._next_ns = 0

    def update(self, event: Event) -> Sequence[AnyMessage]:
        fills = self._executor.take_fills()
        for fill in fills:
            self.fills.append(fill)
            self._executor.confirm(fill.fill_id, entry=len(self.fills))
        if not isinstance(event, Timer) or (not fills and event.ts_ns < self._next_ns):
            return ()
        self._next_ns = event.ts_ns + NS_PER_S // 2
        slugs = [
            slug
            for slug, each in self._executor.markets[self._market].periods.items()
            if each.period.start_ns <= event.ts_ns < each.period.end_ns
        ]
        return [self._position(slug, event.ts_ns) for slug in slugs]

    def holdings(self, slug: str) -> list[tuple[float, float]]:
        """CALL and PUT shares held after each fill of a period, from none on."""
        held = Counter[str]()
        found = [(0.0, 0.0)]
        for fill in self.fills:
            if fill.slug == slug:
                held[fill.outcome] += fill.units if fill.side == "buy" else -fill.units
                found.append((from_micro(held["CALL"]), from_micro(held["PUT"])))
        return found

    def _position(self, slug: str, now_ns: int) -> Position:
        holdings = self.holdings(slug)
        call, put = holdings[-1]
        fields: dict[str, Any] = {"call_shares": call, "put_shares": put, "sequence": len(self.fills)}
        return build(Position, market=self._market, slug=slug, ts_event_ns=now_ns, ts_recv_ns=now_ns, **fields)


class Paper:
    """The simulated system with paper execution and a journal instead of the ledger, quoting tightly."""

    def __init__(self, seed: int) -> None:
        overrides = ["max_inventory_imbalance=120", "max_position_size=300", "base_spread=0.01", "uncertainty_weight=0"]
        self.config = load_config("scalping", overrides=overrides)
        self.system = Virtual(
            "btc-15m",
            start_s=30.0,
            seed=seed,
            config=self.config,
            parts=("quoter", "volatility", "regime", "flow", "lead_lag"),
            sigma_scale=0.3,
            quote_rate=0.1,
        )
        self.executor = ExecutorCore(self.config, ExecutorSettings(queue="optimistic"), ["btc-15m"], session="s1")
        self.journal = Journal("btc-15m", self.executor)
        self.tape: list[OutcomeTrade] = []
        self.open: list[OpenOrders] = []
        session = self.system.session
        session.add("executor", self.executor, subscriptions(PART["executor"], [self.system.series]))
        session.add("journal", self.journal, ("OpenOrders.",))
        session.listeners.append(self._hear)

    def _hear(self, message: AnyMessage) -> None:
        if isinstance(message, OutcomeTrade):
            self.tape.append(message)
        elif isinstance(message, OpenOrders):
            self.open.append(message)


def test_quotes_on_a_living_market_become_fills_within_the_limits_and_behind_the_tape() -> None:
    paper = Paper(5)
    paper.system.run(60.0)
    fills = paper.journal.fills
    assert len(fills) > 10
    assert {each.outcome for each in fills} == {"CALL", "PUT"}
    assert len({each.fill_id for each in fills}) == len(fills)
    assert all(each.is_maker and each.fee_micro == 0 and each.rebate_micro > 0 for each in fills)
    for call, put in paper.journal.holdings(fills[0].slug):
        assert abs(call - put) <= paper.config.max_inventory_imbalance
        assert 0.0 <= min(call, put) <= max(call, put) <= paper.config.max_position_size
    traded, spent, by_order = Counter[int](), Counter[int](), Counter[str]()
    for trade in paper.tape:
        traded[trade.ts_event_ns] += to_micro(trade.size)
    for fill in fills:
        spent[fill.ts_ns] += fill.units
        by_order[fill.order_id] += fill.units
        assert by_order[fill.order_id] <= fill.order_units
    assert all(units <= traded[ts_ns] for ts_ns, units in spent.items())


def test_the_same_world_gives_the_same_fills() -> None:
    first, second = Paper(6), Paper(6)
    for paper in (first, second):
        paper.system.run(45.0)
    assert first.journal.fills
    assert first.journal.fills == second.journal.fills
    assert first.open == second.open


def test_hand_made_quotes_and_trades_become_booked_fills_in_a_session() -> None:
    executor = ExecutorCore(MMConfig(), ExecutorSettings(queue="optimistic"), [MARKET], session="s1")
    journal = Journal(MARKET, executor)
    session = Session({"executor": executor}, [Series.parse(MARKET)])
    session.add("journal", journal, ("OpenOrders.",))

    def at(second: float, *messages: AnyMessage) -> None:
        session.timer(round((START_S + second) * NS))
        for message in messages:
            session.publish(message)

    streams = [
        build(FeedStatus, at_s=START_S + 300, venue="polymarket", channel="OutcomeBook", subject=f"{MARKET}.{outcome}")
        for outcome in ("CALL", "PUT")
    ]
    until = (START_S + 302) * NS
    at(300.0, *streams, build(Period), build(OutcomeBook), build(Position))
    at(300.1, build(QuoteSet, at_s=START_S + 300.1, call=(bid(48),), valid_until_ns=until))
    at(300.5, build(OutcomeTrade, at_s=START_S + 300.5, price=0.48, size=12.5, aggressor="sell"))
    assert executor.markets[MARKET].unconfirmed == {}
    assert [(each.slug, each.units, each.price_micro) for each in journal.fills] == [(SLUG, 12_500_000, 480_000)]
    assert journal.holdings(SLUG)[-1] == (12.5, 0.0)

"""The same orders on the same events fill at the same trades in hftbacktest as in our model of the exchange.

A simulated period is exported as hftbacktest reads it, and a fixed list of post-only orders, drawn with a seed, goes
through its NoPartialFillExchange with a constant latency and through `shared.exchange`: RiskAdverseQueueModel beside
our pessimistic queue, PowerProbQueueModel3(3) beside the probabilistic one. What the two model differently, and how it
is kept out of the comparison or counted:

whole orders    hftbacktest fills an order whole as soon as a trade goes beyond the queue, ours as far as the trade
                reaches, and no trade is spent twice: every order is the smallest one there is, a micro-share.
crossed book    hftbacktest fills an order when the book touches it from the other side, ours waits for a trade. Once
                the orders stand in a book that has their own side alone, and every one must end the same; once in the
                whole book, where those that it fills without a trade (almost half of them) are left out, and ours must
                not have filled before.
print lag       ours gives back what left a level up to 50 ms before a trade there, and takes a trade to have matched
                50 ms before its stamp: here each instant is 100 ms after the one before it, orders and cancels arrive
                30 ms after one, and a trade stands 50 ms earlier, before the change of the book that it caused.
one clock       events are seen when they happen: the latency of a feed is the quoter's affair, not the queue's.
same size       after a row that tells a level's size again, hftbacktest takes the trades before it to be in the book;
                ours still waits for them. Neither our export nor the drawn level has such rows.
own orders      ours refuses an order that could meet one of our own: bids and asks go through exchanges of their own.

The simulated takers would leave most queues standing: after a third of the book's changes another trade is drawn, up to
half of what stands at the touch, so that orders fill from within a queue. What a queue model does with shares that
leave without a trade is told apart in a single level that others join and leave all the time.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from backtest.events import Rows
from backtest.export_npz_io import BOTH, BUY, DEPTH, EVENT, SELL, TRADE_FLAG, hft_rows
from backtest.sample import SampleSettings, make_chunk
from shared import exchange
from shared.exchange import PRINT_LAG_NS, Exchange, QueueName, Report
from shared.messages import Aggressor
from shared.money import MICRO

MS = 1_000_000
SLOT_NS = 2 * PRINT_LAG_NS
SEND_NS, TRAVEL_NS, RESPONSE_NS = 20 * MS, 10 * MS, 5 * MS  # after an instant, to the venue, and back
ROWS, ORDERS = 5_000, 1_500
LONGEST = 300  # instants that an order stands
DRAWN_SHARE, MOST_DRAWN = 0.3, 0.5
NEVER = -1
QUEUES: tuple[QueueName, QueueName] = ("pessimistic", "probabilistic")


class Order(NamedTuple):
    """A post-only order of one micro-share of CALL, sent after one instant and canceled after another."""

    placed: int
    canceled: int
    side: int
    price_micro: int


class Outcome(NamedTuple):
    """What became of an order: `filled`, `canceled` or `post_only`, and the instant at which it filled."""

    kind: str
    instant: int = NEVER


class Market(NamedTuple):
    """Rows of hftbacktest on a clock of even instants: one after the other, or a trade, or the changes of a book."""

    rows: Rows
    tick_size: float
    instants: list[Rows]
    is_trade: NDArray[np.bool_]
    touch: list[tuple[int, int]]  # best bid and ask after each instant

    def half(self, side: int) -> Market:
        """The same trades with one side of the book."""
        kept = [rows[is_on(rows, side) | is_trade(rows)] for rows in self.instants]
        return self._replace(rows=np.concatenate(kept), instants=kept)


def is_trade(rows: Rows) -> NDArray[np.bool_]:
    return np.asarray(rows["ev"] & TRADE_FLAG != 0)


def is_on(rows: Rows, side: int) -> NDArray[np.bool_]:
    return np.asarray((rows["ev"] & BUY != 0) == (side > 0))


def micro(amount: float) -> int:
    return round(amount * MICRO)


def show(record: Any, rows: Rows, at_ns: int) -> None:
    """Bring the changes of a book into our exchange."""
    for row, buys in zip(rows, is_on(rows, 1), strict=True):
        side = exchange.BUY if buys else exchange.SELL
        assert exchange.change_level(record, side, micro(row["px"]), float(micro(row["qty"])))
    exchange.end_change(record, at_ns)


@pytest.fixture(scope="module")
def market() -> Market:
    events = make_chunk(SampleSettings(series="btc-5m", periods=1, warm_up_s=5, seed=3), 0)
    exported = hft_rows(events, events.labels[0].slug)
    rows = exported.rows[:ROWS].copy()
    rows["exch_ts"][is_trade(rows)] -= PRINT_LAG_NS
    rows = rows[np.argsort(rows["exch_ts"], kind="stable")]
    begins = np.ones(len(rows), np.bool_)  # a trade has an instant of its own
    begins[1:] = (np.diff(rows["exch_ts"]) > 0) | is_trade(rows)[1:] | is_trade(rows)[:-1]
    rng = np.random.default_rng(5)
    book = Exchange("pessimistic").record
    instants: list[Rows] = []
    touch: list[tuple[int, int]] = []
    for found in np.split(rows, np.flatnonzero(begins)[1:]):
        drawn = [found]
        if not is_trade(found)[0]:
            show(book, found, 0)
            if rng.random() < DRAWN_SHARE:
                drawn.append(drawn_trade(book[0], int(rng.choice((1, -1))), float(rng.uniform(0.0, MOST_DRAWN))))
        instants += drawn
        touch += [(int(book["bid_micro"][0, 0]), int(book["ask_micro"][0, 0]))] * len(drawn)
    for place, each in enumerate(instants):
        each["exch_ts"] = each["local_ts"] = (place + 1) * SLOT_NS
    traded = np.array([bool(is_trade(each)[0]) for each in instants])
    return Market(np.concatenate(instants), exported.tick_size, instants, traded, touch)


def drawn_trade(book: Any, side: int, share: float) -> Rows:
    """A taker of this side takes a share of what stands at the touch."""
    row = np.zeros(1, EVENT)
    standing = book["ask_micro"][0] if side > 0 else book["bid_micro"][0]
    units = book["ask_units"][0] if side > 0 else book["bid_units"][0]
    row["ev"] = TRADE_FLAG | BOTH | (BUY if side > 0 else SELL)
    row["px"], row["qty"] = standing / MICRO, np.ceil(share * units) / MICRO
    return row


@pytest.fixture(scope="module")
def orders(market: Market) -> list[Order]:
    """In the order in which they are sent: from a tick inside the touch to three behind it."""
    rng = np.random.default_rng(7)
    tick = max(micro(market.tick_size), 10_000)
    last = len(market.instants) - 2 * LONGEST
    drawn = []
    for placed in np.sort(rng.integers(1, last, ORDERS)).tolist():
        side = int(rng.choice((1, -1)))
        price_micro = market.touch[placed][0 if side > 0 else 1] - side * tick * int(rng.integers(-1, 4))
        if 0 < price_micro < MICRO:
            drawn.append(Order(placed, placed + int(rng.integers(1, LONGEST)), side, price_micro))
    return drawn


def outcomes_in_ours(market: Market, orders: list[Order], queue: QueueName) -> list[Outcome]:
    """What becomes of the orders in `shared.exchange`."""
    outcomes = [Outcome("canceled")] * len(orders)
    for report in reports_of(market, orders, queue):
        if report.kind == "fill":
            assert outcomes[report.order_id].kind == "canceled"
            outcomes[report.order_id] = Outcome("filled", report.ts_ns // SLOT_NS - 1)
        elif report.kind in ("post_only", "no_book"):
            outcomes[report.order_id] = Outcome(report.kind)
    return outcomes


def reports_of(market: Market, orders: list[Order], queue: QueueName) -> Iterator[Report]:
    """All that our exchange reports about the orders, whose ids are their places."""
    ours = Exchange(queue)
    sent: dict[int, list[tuple[int, bool]]] = defaultdict(list)
    for number, order in enumerate(orders):
        sent[order.placed].append((number, True))
        sent[order.canceled].append((number, False))
    for place, rows in enumerate(market.instants):
        at_ns = (place + 1) * SLOT_NS
        if market.is_trade[place]:
            aggressor: Aggressor = "buy" if is_on(rows, 1)[0] else "sell"
            price_micro, units = micro(rows["px"][0]), micro(rows["qty"][0])
            yield from ours.take_trade(at_ns, outcome="CALL", aggressor=aggressor, price_micro=price_micro, units=units)
        else:
            yield from ours.advance(at_ns)
            show(ours.record, rows, at_ns)
        arrives_ns = at_ns + SEND_NS + TRAVEL_NS
        for number, is_new in sent[place]:
            order = orders[number]
            if is_new:
                refusal = ours.place(
                    number,
                    outcome="CALL",
                    side="buy" if order.side > 0 else "sell",
                    price_micro=order.price_micro,
                    units=1,
                    arrives_ns=arrives_ns,
                )
                assert refusal is None
            else:
                ours.cancel(number, arrives_ns)


@cache
def strategy() -> Callable[..., int]:
    """Sends and cancels orders at their times and notes what became of each; returns how many were sent or canceled."""
    import hftbacktest as hft
    from numba import njit

    post_only, limit = hft.GTX, hft.LIMIT

    def follow(run, when_ns, which, is_new, sides, prices, shares, status, stamps_ns):  # type: ignore[no-untyped-def]
        run.elapse(1)  # the clock begins with the first event
        for k in range(len(when_ns)):
            if run.elapse(when_ns[k] - run.current_timestamp) != 0:
                return k
            number = which[k]
            if not is_new[k]:
                order = run.orders(0).get(number)
                if order is not None and order.cancellable:
                    run.cancel(0, number, False)
            elif sides[number] > 0:
                run.submit_buy_order(0, number, prices[number], shares, post_only, limit, False)
            else:
                run.submit_sell_order(0, number, prices[number], shares, post_only, limit, False)
        run.elapse(1_000_000_000)
        for number in range(len(sides)):
            order = run.orders(0).get(number)
            status[number], stamps_ns[number] = order.status, order.exch_timestamp
        return len(when_ns)

    compiled: Callable[..., int] = njit(follow)
    return compiled


def outcomes_in_hftbacktest(market: Market, orders: list[Order], queue: QueueName) -> list[Outcome]:
    """What becomes of the orders in hftbacktest."""
    import hftbacktest as hft

    asset = (
        hft.BacktestAsset()
        .data([market.rows])
        .linear_asset(1.0)
        .constant_order_latency(TRAVEL_NS, RESPONSE_NS)
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(market.tick_size)
        .lot_size(1 / MICRO)
    )
    asset = asset.risk_adverse_queue_model() if queue == "pessimistic" else asset.power_prob_queue_model3(3.0)
    steps = [(each.placed, number, True) for number, each in enumerate(orders)]
    steps += [(each.canceled, number, False) for number, each in enumerate(orders)]
    at, which, is_new = (np.array(column) for column in zip(*sorted(steps), strict=True))
    sides, prices = np.array([each.side for each in orders]), np.array([each.price_micro / MICRO for each in orders])
    status, stamps_ns = np.zeros(len(orders), np.int64), np.zeros(len(orders), np.int64)
    run = hft.HashMapMarketDepthBacktest([asset])
    try:
        when_ns = (at + 1) * SLOT_NS + SEND_NS
        done = strategy()(run, when_ns, which, is_new, sides, prices, 1 / MICRO, status, stamps_ns)
    finally:
        run.close()
    assert done == len(steps)
    kinds = {hft.FILLED: "filled", hft.CANCELED: "canceled", hft.EXPIRED: "post_only"}
    return [
        Outcome(kinds[each], stamp_ns // SLOT_NS - 1 if each == hft.FILLED else NEVER)
        for each, stamp_ns in zip(status.tolist(), stamps_ns.tolist(), strict=True)
    ]


@pytest.fixture(autouse=True)
def _hftbacktest_is_there() -> None:
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("hftbacktest runs compiled only")
    pytest.importorskip("hftbacktest", reason="hftbacktest is a development dependency")


def kinds_of(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(each.kind for each in outcomes)


@pytest.mark.parametrize("queue", QUEUES)
def test_in_a_book_of_one_side_every_order_ends_as_in_hftbacktest(
    market: Market, orders: list[Order], queue: QueueName
) -> None:
    for side in (1, -1):
        half, mine = market.half(side), [each for each in orders if each.side == side]
        ours = outcomes_in_ours(half, mine, queue)
        assert ours == outcomes_in_hftbacktest(half, mine, queue)
        assert min(kinds_of(ours)[kind] for kind in ("filled", "canceled")) > 100


@pytest.mark.parametrize("queue", QUEUES)
def test_in_the_whole_book_all_orders_but_those_it_crosses_end_as_in_hftbacktest(
    market: Market, orders: list[Order], queue: QueueName
) -> None:
    compared: list[Outcome] = []
    for side in (1, -1):
        mine = [each for each in orders if each.side == side]
        ours, theirs = outcomes_in_ours(market, mine, queue), outcomes_in_hftbacktest(market, mine, queue)
        for our, their in zip(ours, theirs, strict=True):
            if their.kind == "filled" and not market.is_trade[their.instant]:  # the book crossed it
                assert our.kind == "canceled" or (our.kind == "filled" and our.instant > their.instant)
            else:
                assert our == their
                compared.append(our)
    assert len(compared) > len(orders) / 2
    assert min(kinds_of(compared)[kind] for kind in ("filled", "canceled", "post_only")) > 100


def one_level() -> Market:
    """A bid that others join and leave again and again, and takers who sell to it a little at a time."""
    rng = np.random.default_rng(11)
    standing = 1000.0
    instants = []
    for place in range(4_000):
        row = np.zeros(1, EVENT)
        is_taken = place > 0 and rng.random() < 0.4
        if not is_taken:
            standing = round(float(rng.uniform(0.6, 1.6) * standing if 100.0 < standing < 5000.0 else 1000.0), 2)
        kind = TRADE_FLAG | SELL if is_taken else DEPTH | BUY
        row["ev"], row["px"] = kind | BOTH, 0.5
        row["qty"] = round(rng.uniform(1.0, 40.0), 2) if is_taken else standing
        row["exch_ts"] = row["local_ts"] = (place + 1) * SLOT_NS
        instants.append(row)
    rows = np.concatenate(instants)
    return Market(rows, 0.01, instants, is_trade(rows), [(500_000, MICRO)] * len(instants))


def test_in_a_queue_that_others_join_and_leave_every_order_ends_as_in_hftbacktest() -> None:
    market = one_level()
    rng = np.random.default_rng(13)
    placed = np.sort(rng.integers(1, len(market.instants) - 2 * LONGEST, 400)).tolist()
    orders = [Order(each, each + int(rng.integers(1, LONGEST)), 1, 500_000) for each in placed]
    found = {queue: outcomes_in_ours(market, orders, queue) for queue in QUEUES}
    for queue, ours in found.items():
        assert ours == outcomes_in_hftbacktest(market, orders, queue)
        assert kinds_of(ours)["filled"] > 100
    assert sum(one != other for one, other in zip(*found.values(), strict=True)) > 100  # the two queues differ

"""Cost of an event on the model of the exchange: eight resting orders, 45 levels a side. Microseconds a call."""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.report import Row, microseconds_a_call
from shared.exchange import FILL, REPORT, REPORTS, STATE, Exchange, advance, take_book, take_trade
from shared.kernel import State
from shared.money import MICRO

_ORDERS = 8
_LEVELS = 45
_STEP_NS = 1_000_000


def measure() -> list[Row]:
    """The kernels alone, as the backtester calls them, and a book through the class, as paper execution does."""
    exchange = _resting()
    record: State = exchange.record
    reports: State = np.zeros(REPORTS, REPORT)
    down, up, sizes = _book()
    others = sizes + MICRO
    clock = itertools.count(10**12, _STEP_NS)
    books = itertools.cycle((sizes, others))
    book = microseconds_a_call(lambda: take_book(record, next(clock), down, next(books), up, sizes))
    trade = microseconds_a_call(lambda: take_trade(record, next(clock), -1, 490_000, MICRO, reports))
    idle = microseconds_a_call(lambda: advance(record, next(clock), reports))
    if (reports["kind"] == FILL).any() or (record["stage"][0] > 0).sum() != _ORDERS:
        raise RuntimeError("an order of the benchmark filled or vanished: it no longer measures resting orders")
    whole = microseconds_a_call(
        lambda: exchange.take_book(next(clock), bid_micro=down, bid_units=next(books), ask_micro=up, ask_units=sizes)
    )
    return [
        Row(f"exchange: let time pass, {_ORDERS} orders rest", f"{idle:.2f} µs"),
        Row(f"exchange: one public trade, {_ORDERS} orders rest", f"{trade:.2f} µs"),
        Row(f"exchange: one book of {_LEVELS} levels a side, {_ORDERS} orders rest", f"{book:.2f} µs"),
        Row("exchange: the same book through the class", f"{whole:.2f} µs", f"{STATE.itemsize} bytes a period"),
    ]


def _book() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    down = np.arange(49, 49 - _LEVELS, -1, dtype=np.int64) * 10_000
    up = np.arange(51, 51 + _LEVELS, dtype=np.int64) * 10_000
    return down, up, np.full(_LEVELS, 1e9 * MICRO)


def _resting() -> Exchange:
    exchange = Exchange("probabilistic")
    down, up, sizes = _book()
    exchange.take_book(1, bid_micro=down, bid_units=sizes, ask_micro=up, ask_units=sizes)
    for number in range(_ORDERS):
        buys = number % 2 == 0
        price_micro = 490_000 - 10_000 * (number // 2)
        outcome = "CALL" if buys else "PUT"
        exchange.place(number, outcome=outcome, side="buy", price_micro=price_micro, units=50 * MICRO, arrives_ns=2)
    exchange.advance(3)
    return exchange

"""hftbacktest reads what is exported, and sees the same books and trades."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest import export_npz_io
from backtest.events import Events, Rows
from backtest.events_build import EventsBuilder
from backtest.events_io import EventsError
from backtest.export_npz_io import BOTH, BUY, DEPTH, EVENT, SELL, SNAPSHOT, TRADE_FLAG, export_npz, hft_rows
from shared.messages import Message, OutcomeBook, OutcomeTrade
from tests.builders import NS, SLUG, START_S, build


def events_of(*told: Message) -> Events:
    builder = EventsBuilder()
    for message in told:
        builder.take(message)  # type: ignore[arg-type]
    return builder.build("test")


def book(second: float, bids: dict[int, float], asks: dict[int, float], **fields: object) -> OutcomeBook:
    return build(
        OutcomeBook,
        at_s=START_S + second,
        bid_ticks=tuple(bids),
        bid_sizes=tuple(bids.values()),
        ask_ticks=tuple(asks),
        ask_sizes=tuple(asks.values()),
        **fields,
    )


def plain(rows: Rows) -> list[tuple[int, str, float, float]]:
    kinds = {DEPTH: "depth", TRADE_FLAG: "trade", SNAPSHOT: "snapshot"}
    return [
        (
            round((int(row["local_ts"]) - START_S * NS) / NS),
            kinds[int(row["ev"]) & 0xFF] + (" buy" if int(row["ev"]) & BUY else " sell"),
            float(row["px"]),
            float(row["qty"]),
        )
        for row in rows
    ]


def test_the_first_book_is_a_snapshot_and_the_next_ones_are_changes() -> None:
    exported = hft_rows(
        events_of(
            book(1, {49: 10.0, 48: 20.0}, {51: 30.0}),
            book(2, {49: 10.0}, {51: 35.0, 52: 5.0}),
            book(3, {49: 10.0}, {51: 35.0, 52: 5.0}),
        ),
        SLUG,
    )
    assert plain(exported.rows) == [
        (1, "snapshot buy", 0.48, 20.0),
        (1, "snapshot buy", 0.49, 10.0),
        (1, "snapshot sell", 0.51, 30.0),
        (2, "depth buy", 0.48, 0.0),
        (2, "depth sell", 0.51, 35.0),
        (2, "depth sell", 0.52, 5.0),
    ]
    assert exported.tick_size == 0.01
    assert all(int(row["ev"]) & BOTH == BOTH for row in exported.rows)


def test_put_is_call_seen_from_the_other_side() -> None:
    exported = hft_rows(
        events_of(
            book(1, {30: 7.0}, {35: 9.0}, outcome="PUT"),
            build(OutcomeTrade, at_s=START_S + 2, outcome="PUT", price=0.35, aggressor="buy"),
            build(OutcomeTrade, at_s=START_S + 3, outcome="PUT", price=0.3, aggressor="sell"),
            build(OutcomeTrade, at_s=START_S + 4, outcome="CALL", price=0.7, aggressor="buy"),
            book(5, {65: 9.0}, {70: 7.0}),
        ),
        SLUG,
    )
    assert plain(exported.rows) == [
        (1, "snapshot buy", 0.65, 9.0),
        (1, "snapshot sell", 0.7, 7.0),
        (2, "trade sell", 0.65, 10.0),
        (3, "trade buy", 0.7, 10.0),
        (4, "trade buy", 0.7, 10.0),
    ]


def test_a_period_whose_tick_changed_is_on_its_finest_grid() -> None:
    exported = hft_rows(
        events_of(book(1, {96: 1.0}, {98: 2.0}), book(2, {962: 1.0}, {980: 2.0}, tick_size=0.001)), SLUG
    )
    assert exported.tick_size == 0.001
    assert plain(exported.rows)[2:] == [(2, "depth buy", 0.96, 0.0), (2, "depth buy", 0.962, 1.0)]


def test_a_trade_stands_before_the_book_received_with_it() -> None:
    exported = hft_rows(events_of(book(1, {49: 1.0}, {51: 1.0}), build(OutcomeTrade, at_s=START_S + 1)), SLUG)
    assert [kind.split()[0] for _, kind, _, _ in plain(exported.rows)] == ["trade", "snapshot", "snapshot"]


def test_the_exchanges_clock_runs_forward_and_what_was_moved_is_counted() -> None:
    late = book(2, {49: 1.0}, {52: 1.0}, ts_event_ns=(START_S - 5) * NS)
    ahead = book(3, {49: 1.0}, {53: 1.0}, ts_event_ns=(START_S + 9) * NS)
    exported = hft_rows(events_of(book(1, {49: 1.0}, {51: 1.0}), late, ahead), SLUG)
    assert exported.stamps_moved == 4
    stamps = exported.rows["exch_ts"]
    assert np.all(np.diff(stamps) >= 0)
    assert np.all(stamps <= exported.rows["local_ts"])


def test_a_period_without_a_book_is_refused() -> None:
    with pytest.raises(EventsError, match="no book of it"):
        hft_rows(events_of(build(OutcomeTrade)), SLUG)
    with pytest.raises(EventsError, match="no book of it"):
        hft_rows(events_of(book(1, {49: 1.0}, {51: 1.0})), "another")


levels = st.dictionaries(st.integers(1, 49), st.floats(0.5, 1e6), max_size=5)


@settings(max_examples=50)
@given(st.lists(st.tuples(levels, levels, st.integers(-40, 40)), min_size=1, max_size=6), st.integers(1, 3))
def test_the_changes_lead_from_book_to_book_and_never_cross(
    drawn: list[tuple[dict[int, float], dict[int, float], int]], at_once: int
) -> None:
    told = []
    for below, above, shift in drawn:
        middle = 50 + shift
        bids = {middle - step: size for step, size in sorted(below.items()) if middle - step > 0}
        asks = {middle + step: size for step, size in sorted(above.items()) if middle + step < 100}
        told.append((bids, asks))
    events = events_of(*(book(second, bids, asks) for second, (bids, asks) in enumerate(told)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_npz_io, "CELLS_AT_ONCE", 200 * at_once)
        rows = hft_rows(events, SLUG).rows
    held: dict[int, dict[int, float]] = {BUY: {}, SELL: {}}
    at = 0
    for second, (bids, asks) in enumerate(told):
        while at < len(rows) and rows["local_ts"][at] == (START_S + second) * NS:
            side = BUY if int(rows["ev"][at]) & BUY else SELL
            ticks = round(float(rows["px"][at]) * 100)
            held[side][ticks] = float(rows["qty"][at])
            if not held[side][ticks]:
                del held[side][ticks]
            assert max(held[BUY], default=0) < min(held[SELL], default=100)
            at += 1
        assert held == {BUY: bids, SELL: asks}


def test_hftbacktest_walks_the_same_books_and_fills_an_order_on_them(tmp_path: Path) -> None:
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("hftbacktest runs compiled only")
    hft = pytest.importorskip("hftbacktest", reason="hftbacktest is a development dependency")
    from hftbacktest.types import BUY_EVENT, EXCH_EVENT, LOCAL_EVENT, SELL_EVENT, event_dtype

    assert event_dtype == EVENT
    assert (BUY_EVENT, SELL_EVENT, EXCH_EVENT | LOCAL_EVENT) == (BUY, SELL, BOTH)
    exported = export_npz(
        events_of(
            book(1, {49: 10.0}, {51: 30.0}),
            book(2, {47: 10.0}, {48: 30.0}),  # the ask falls below the bid that was
            book(3, {40: 7.0}, {48: 30.0, 60: 1.0}, outcome="PUT"),
            build(OutcomeTrade, at_s=START_S + 4, price=0.5, aggressor="sell", size=50.0),
            book(5, {49: 5.0}, {60: 7.0}),
        ),
        SLUG,
        tmp_path / "period.npz",
    )
    asset = (
        hft.BacktestAsset()
        .data([str(tmp_path / "period.npz")])
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(exported.tick_size)
        .lot_size(0.01)
        .last_trades_capacity(10)
    )
    run = hft.HashMapMarketDepthBacktest([asset])
    tops = []
    try:
        for step in range(4):
            assert run.elapse(1 if step == 0 else NS) == 0
            depth = run.depth(0)
            tops.append((depth.best_bid_tick, depth.best_ask_tick))
            if step == 2:
                run.submit_buy_order(0, 1, 0.5, 10.0, hft.GTX, hft.LIMIT, False)
        assert run.elapse(NS) == 1  # the end was reached
        position, trades = run.position(0), run.last_trades(0)["px"].tolist()
        depth = run.depth(0)
        last = (depth.best_bid_tick, depth.best_ask_tick)
    finally:
        run.close()
    assert tops[:3] == [(49, 51), (47, 48), (52, 60)]
    assert position == 10.0
    assert trades == [0.5]
    assert last == (49, 60)

"""Only levels that the other side reached are taken as traded, each once, at the price and size last seen."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.events import TRADE, Events
from backtest.importers import resolvedkit_io
from backtest.importers.inferred_trades import MOMENT_NS, with_inferred_trades
from shared.market import NS_PER_S
from tests.backtest.importers import made
from tests.backtest.importers.made import START_S, Shown, events_of

FOLDER = made.DATA / "resolvedkit_btc15m_books"
BIDS = [(0.50, 10.0), (0.49, 20.0), (0.48, 30.0)]
ASKS = [(0.52, 40.0), (0.53, 50.0), (0.54, 60.0)]


def _concluded(events: Events) -> list[tuple[float, int, int, float, float]]:
    """(seconds after the start, outcome, side, price, shares) of each trade."""
    return [
        (
            (int(trade["ts_recv_ns"]) - START_S * NS_PER_S) / NS_PER_S,
            int(trade["outcome"]),
            int(trade["side"]),
            round(float(trade["price"]), 6),
            float(trade["shares"]),
        )
        for trade in with_inferred_trades(events).trades
    ]


def test_an_ask_at_or_below_earlier_bids_sold_into_each_of_them() -> None:
    after = Shown(2.0, [(0.48, 5.0)], [(0.49, 7.0)])
    assert _concluded(events_of([Shown(1.0, BIDS, ASKS), after])) == [
        (2.0, 0, -1, 0.50, 10.0),
        (2.0, 0, -1, 0.49, 20.0),
    ]


def test_a_bid_at_or_above_earlier_asks_bought_each_of_them() -> None:
    after = Shown(2.0, [(0.53, 5.0)], [(0.55, 7.0)])
    assert _concluded(events_of([Shown(1.0, BIDS, ASKS), after])) == [
        (2.0, 0, 1, 0.52, 40.0),
        (2.0, 0, 1, 0.53, 50.0),
    ]


@pytest.mark.parametrize(
    "after",
    [
        Shown(2.0, BIDS, ASKS),
        Shown(2.0, [(0.48, 30.0)], ASKS),  # bids vanished, but nobody offered there
        Shown(2.0, [(0.50, 1.0), *BIDS[1:]], ASKS),  # a level shrank
        Shown(2.0, BIDS, [(0.51, 1.0), *ASKS]),  # the ask came nearer
        Shown(2.0, [], []),
    ],
)
def test_nothing_is_concluded_where_the_other_side_did_not_reach(after: Shown) -> None:
    assert _concluded(events_of([Shown(1.0, BIDS, ASKS), after])) == []


def test_an_empty_side_reaches_nothing() -> None:
    assert _concluded(events_of([Shown(1.0, BIDS, ASKS), Shown(2.0, [(0.40, 1.0)], [])])) == []
    assert _concluded(events_of([Shown(1.0, BIDS, ASKS), Shown(2.0, [], [(0.60, 1.0)])])) == []


def test_the_mirror_is_not_counted_twice() -> None:
    def mirror(shown: Shown) -> Shown:
        bids = [(1.0 - price, shares) for price, shares in shown.asks]
        return Shown(shown.at_s, bids, [(1.0 - price, shares) for price, shares in shown.bids], 1)

    call = [Shown(1.0, BIDS, ASKS), Shown(2.0, [(0.48, 5.0)], [(0.49, 7.0)])]
    put = [mirror(each) for each in call]
    both = [call[0], put[0], call[1], put[1]]
    assert _concluded(events_of(both)) == _concluded(events_of(call))
    assert _concluded(events_of(put)) == [(2.0, 1, 1, 0.50, 10.0), (2.0, 1, 1, 0.51, 20.0)]


def test_a_change_of_grid_compares_dollars() -> None:
    after = Shown(2.0, [(0.485, 5.0)], [(0.495, 7.0)], 0, 0.001)
    assert _concluded(events_of([Shown(1.0, BIDS, ASKS), after])) == [(2.0, 0, -1, 0.50, 10.0)]


def test_a_silence_and_the_time_before_the_start_conclude_nothing() -> None:
    late_s = 1.0 + MOMENT_NS / NS_PER_S + 0.001
    after = Shown(late_s, [(0.48, 5.0)], [(0.49, 7.0)])
    events = with_inferred_trades(events_of([Shown(1.0, BIDS, ASKS), after]))
    assert len(events.trades) == 0
    assert events.drops == {"sweep_over_a_silence": 1}
    before = [Shown(-20.0, BIDS, ASKS), Shown(-19.0, [(0.48, 5.0)], [(0.49, 7.0)])]
    assert _concluded(events_of(before)) == []


def test_two_periods_are_two_books() -> None:
    shown = [Shown(899.0, BIDS, ASKS), Shown(900.0, [(0.20, 5.0)], [(0.21, 7.0)])]
    assert _concluded(events_of(shown, periods=2)) == []


def test_concluded_trades_say_so_and_recorded_ones_are_left_alone() -> None:
    events = events_of([Shown(1.0, BIDS, ASKS), Shown(2.0, [(0.53, 5.0)], [(0.55, 7.0)])])
    trades = with_inferred_trades(events).trades
    assert trades["is_inferred"].tolist() == [1, 1]
    assert trades["number"].tolist() == [0, 0]
    assert (trades["ts_event_ns"] == trades["ts_recv_ns"]).all()
    assert any("upper bound" in note for note in with_inferred_trades(events).notes)
    with pytest.raises(ValueError, match="trades of its own"):
        with_inferred_trades(events._replace(trades=np.zeros(1, TRADE)))


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the recording is not beside this checkout: {FOLDER}")
def test_in_a_real_recording_every_concluded_trade_is_of_a_level_of_the_book_before() -> None:
    events = with_inferred_trades(resolvedkit_io.read(FOLDER, markets=["btc-updown-15m-1790586000"]))
    assert len(events.trades) > 100
    call = events.books[events.books["outcome"] == 0]
    for trade in events.trades[::20]:
        before = call[np.searchsorted(call["ts_recv_ns"], trade["ts_recv_ns"], side="left") - 1]
        levels = events.levels[before["first"] :][: before["bids"] + before["asks"]]
        dollars = levels["ticks"] * before["tick_size"]
        assert trade["shares"] in levels["shares"][np.abs(dollars - trade["price"]) < 1e-9]

"""Windows with everything at once: prices, books and trades, and a strike no earlier than its proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.events import ORACLE_KINDS, Events
from backtest.importers.columns import Books, top_side
from backtest.importers.windows_io import SOURCE, is_mine, read, taker_sides
from shared.market import NS_PER_S
from tests.backtest.importers import made
from tests.backtest.importers.made import DOWN, UP, write_windows

FOLDER = made.DATA / SOURCE
START = 1_787_236_800
STRIKE = 71_485.2


def _events() -> list[list[Any]]:
    return [
        [START - 380 + 0.4, "s", START - 380.0, 71_500.5],
        [START - 1 + 1.2, "l", START - 1.0, 71_490.25],
        [START + 0.3, "p", DOWN, "0.49", "15"],
        [START + 0.4, "p", UP, "0.52", "5.5"],
        [START + 1.4, "t", START - 1.0, STRIKE - 1],
        [START + 2.4, "t", float(START), STRIKE],
        [START + 210.0, "b", UP, "0.13", "0.14"],
        [START + 210.0, "b", DOWN, "0.86", "0.87"],
        [START + 210.1, "b", UP, "0.13", "0.14"],
        [START + 210.2, "b", UP, "0", "0.01"],
        [START + 210.3, "p", UP, "0.01", "40"],
        [START + 211.2, "b", UP, "0", "0.01"],
        [START + 212.0, "b", UP, "0.02", "0.01"],
        [START + 213.0, "b", "333", "0.02", "0.03"],
        [START + 214.0, "l", START + 213.0, 0.0],
        [START + 215.0, "z", 1.0, 2.0],
    ]


def _read(folder: Path, events: list[list[Any]] | None = None) -> Events:
    return read(write_windows(folder, events or _events(), start_s=START, is_up=False, strike=STRIKE))


def test_prices_keep_the_sources_stamp_and_our_receipt(tmp_path: Path) -> None:
    events = _read(tmp_path)
    (quote,) = events.spot
    assert (quote["bid"], quote["ask"], quote["bid_size"]) == (71_500.5, 71_500.5, 0.0)
    assert (quote["ts_event_ns"], quote["ts_recv_ns"]) == (
        (START - 380) * NS_PER_S,
        (START - 380) * NS_PER_S + 400_000_000,
    )
    assert (events.names[quote["asset"]], events.names[quote["venue"]]) == ("BTC", "binance")
    kinds = [(ORACLE_KINDS[row["kind"]], float(row["price"])) for row in events.oracle]
    assert kinds == [("spot", 71_490.25), ("twap60", STRIKE - 1), ("twap60", STRIKE)]


def test_the_strike_is_proven_by_the_receipt_of_the_average_of_the_start(tmp_path: Path) -> None:
    events = _read(tmp_path)
    known = [(period.role, period.strike, period.ts_recv_ns / NS_PER_S - START) for period in events.periods]
    assert known == [
        ("next2", None, pytest.approx(-379.6)),
        ("next", None, -300.0),
        ("current", None, 0.0),
        ("current", STRIKE, pytest.approx(2.4)),
    ]
    assert events.periods[-1].strike_source == SOURCE
    assert (events.periods[0].call_token, events.periods[0].put_token) == (UP, DOWN)
    assert (events.periods[0].settlement, events.periods[0].twap_lookback_s) == ("twap", 60)
    assert [(label.outcome, label.source) for label in events.labels] == [("PUT", "official")]


def test_a_strike_whose_average_was_not_received_is_proven_three_seconds_later(tmp_path: Path) -> None:
    without = [event for event in _events() if event[2] != float(START)]
    assert _read(tmp_path, without).periods[-1].ts_recv_ns == (START + 3) * NS_PER_S


def test_books_are_kept_when_they_change_or_a_second_has_passed(tmp_path: Path) -> None:
    events = _read(tmp_path)
    seen = [
        (int(row["outcome"]), round(row["ts_recv_ns"] / NS_PER_S - START, 1), made.levels_of(events, place))
        for place, row in enumerate(events.books)
    ]
    assert seen == [
        (0, 210.0, ([(13, 100.0)], [(14, 100.0)])),
        (1, 210.0, ([(86, 100.0)], [(87, 100.0)])),
        (0, 210.2, ([], [(1, 100.0)])),
        (0, 211.2, ([], [(1, 100.0)])),
    ]


def test_everything_refused_is_counted(tmp_path: Path) -> None:
    assert _read(tmp_path).drops == {
        "repeated_book": 1,
        "crossed_book": 1,
        "unknown_token": 1,
        "not_a_price": 1,
        "unknown_kind": 1,
    }


def test_trades_name_their_token_and_a_side_in_it(tmp_path: Path) -> None:
    trades = _read(tmp_path).trades
    assert trades["outcome"].tolist() == [1, 0, 0]
    assert trades["price"].tolist() == [0.49, 0.52, 0.01]
    assert trades["shares"].tolist() == [15.0, 5.5, 40.0]
    assert trades["side"].tolist() == [1, 1, 1]  # first: a buy of its token; then up in CALL; then at the ask
    assert trades["is_inferred"].tolist() == [0, 0, 0]


def test_a_takers_side_is_by_the_book_before_it_and_else_by_the_last_change() -> None:
    at_ns = np.array([10, 20], np.int64) * NS_PER_S
    bids = top_side(np.array([0.40, 0.45]), shares=1.0, absent=0.0)
    asks = top_side(np.array([0.42, 0.47]), shares=1.0, absent=1.0)
    call = Books(at_ns, at_ns, bids, asks)
    seconds = [1, 2, 3, 4, 11, 12, 13, 20, 21, 40]
    prices = [0.5, 0.5, 0.49, 0.49, 0.42, 0.40, 0.41, 0.42, 0.46, 0.47]
    sides = taker_sides(np.array(seconds, np.int64) * NS_PER_S, np.array(prices), call, first_side=1)
    #                          ask  bid  inside: up; at 20 the book of 10 s is old: up; inside: up; old: up
    assert sides.tolist() == [1, 1, -1, -1, 1, -1, 1, 1, 1, 1]
    assert taker_sides(at_ns[:1], np.array([0.5]), call.of(np.zeros(2, np.bool_)), first_side=-1).tolist() == [-1]


def test_a_file_is_mine_by_name_and_content(tmp_path: Path) -> None:
    folder = write_windows(tmp_path / "good", _events(), start_s=START, is_up=True, strike=STRIKE)
    assert is_mine(folder)
    assert is_mine(folder / "parity_windows.json.gz")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "parity_windows.json.gz").write_text("not compressed")
    for path in (broken, tmp_path, tmp_path / "absent"):
        assert not is_mine(path)
    with pytest.raises(ValueError, match="parity_windows"):
        read(broken)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the recording is not beside this checkout: {FOLDER}")
def test_the_recording_holds_what_its_readme_says() -> None:
    events = read(FOLDER)
    assert [label.outcome for label in events.labels] == ["PUT", "PUT"]
    assert len(events.trades) == 3588 + 3501
    assert len(events.oracle) == 711 + 710 + 718 + 717
    assert len(events.books) + events.drops["repeated_book"] == 113_918 + 118_918
    proven = [period for period in events.periods if period.strike_state == "PROVEN"]
    delays = [(period.ts_recv_ns - period.start_ns) / NS_PER_S for period in proven]
    assert delays == [pytest.approx(2.395), pytest.approx(1.522)]

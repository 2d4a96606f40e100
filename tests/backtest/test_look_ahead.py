"""What happens after an instant changes nothing that was seen, quoted or filled before it."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from backtest.engine import Run, RunOptions, run
from backtest.event_messages import messages
from backtest.tape import BOOK_STEP, TRADE_STEP, Tape, tapes_of
from shared.config import load_config
from shared.market import NS_PER_S
from shared.messages import AnyMessage, OraclePrice, OutcomeBook, OutcomeTrade, SpotQuote, SpotTrade
from tests.backtest.small_sample import MARKET, first_events

OPTIONS = RunOptions(queue="optimistic", keeps_quotes=True)


def another(message: AnyMessage) -> AnyMessage:
    """The same kind of message, at the same time, of a market in which prices are others."""
    change: dict[str, Any]
    match message:
        case SpotQuote():
            change = {"bid": 1.02 * message.bid, "ask": 1.02 * message.ask}
        case SpotTrade() | OraclePrice():
            change = {"price": 1.02 * message.price}
        case OutcomeBook():
            change = {"bid_sizes": tuple(3.0 * each for each in message.bid_sizes), "ask_ticks": (), "ask_sizes": ()}
        case OutcomeTrade():
            change = {"size": 7.0 * message.size, "aggressor": "buy" if message.aggressor == "sell" else "sell"}
        case _:
            return message
    return msgspec.structs.replace(message, **change)


def played(heard: list[AnyMessage]) -> tuple[Tape, Run]:
    (tape,) = tapes_of(heard, load_config(), [MARKET], {})
    return tape, run([tape], load_config(), OPTIONS)


@cache
def as_it_was() -> tuple[list[AnyMessage], Tape, Run]:
    heard = list(messages(first_events()))
    return heard, *played(heard)


def until(tape: Tape, cut_ns: int) -> list[bytes]:
    """All that a tape says up to an instant."""
    steps = tape.steps[tape.steps["now_ns"] <= cut_ns]
    words = int(steps["patch_end"][-1])
    books = tape.books[: int(((steps["kind"] & BOOK_STEP) > 0).sum())]
    changes = int(books["change_end"][-1])
    trades = tape.trades[: int(((steps["kind"] & TRADE_STEP) > 0).sum())]
    kept: list[Any] = [steps, tape.patch_at[:words], tape.patch_word[:words], books, trades]
    return [each.tobytes() for each in (*kept, tape.change_micro[:changes], tape.change_units[:changes])]


@pytest.mark.parametrize("seconds", [31.0, 60.25, 85.0])
def test_what_comes_later_changes_no_step_quote_or_fill_before_it(seconds: float) -> None:
    heard, tape, before = as_it_was()
    cut_ns = tape.period.start_ns + round(seconds * NS_PER_S)
    changed, after = played([each if each.ts_recv_ns <= cut_ns else another(each) for each in heard])
    assert until(changed, cut_ns) == until(tape, cut_ns)
    assert len(tape.steps[tape.steps["now_ns"] <= cut_ns]) > 1000
    for name, time_of in (("quotes", "ts_ns"), ("fills", "known_ns")):
        ours, theirs = (getattr(each, name)[getattr(each, name)[time_of] <= cut_ns] for each in (before, after))
        assert ours.tobytes() == theirs.tobytes()
        assert len(ours) > (100 if name == "quotes" else -1)
    end_ns = tape.period.end_ns
    assert until(changed, end_ns) != until(tape, end_ns)  # and afterwards it does


def test_there_are_fills_before_the_last_cut() -> None:
    _, tape, before = as_it_was()
    assert np.count_nonzero(before.fills["known_ns"] <= tape.period.start_ns + 85 * NS_PER_S) > 0

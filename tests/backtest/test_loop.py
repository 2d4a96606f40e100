from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from backtest import engine
from backtest.baselines import STRATEGIES
from backtest.engine import RunOptions
from backtest.loop import play
from backtest.records import ACTIONS
from backtest.tape import FLOW_STEP, REQUOTE, Tape, tapes_of
from services.quoter.records import MARKET as MARKET_RECORD
from shared.config import load_config
from shared.kernel import State
from shared.market import NS_PER_S
from shared.messages import AnyMessage, OutcomeBook, Period
from tests.backtest.warm_tapes import MARKET, heard, warm_tapes

FIRST_S, SILENT_S, BACK_S, REFUSED_S, LAST_S = 100, 140, 200, 210, 220  # of the period, of the tape below
STALE_S = load_config().limits.book_s


def from_the_middle() -> list[AnyMessage]:
    """Messages that begin within the period; the books are silent for a while, and at last its rules are unknown."""
    start_ns = warm_tapes()[0].period.start_ns
    found: list[AnyMessage] = []
    for each in heard():
        passed_s = (each.ts_recv_ns - start_ns) / NS_PER_S
        is_silent = isinstance(each, OutcomeBook) and SILENT_S <= passed_s < BACK_S
        if not FIRST_S <= passed_s < LAST_S or is_silent:
            continue
        if isinstance(each, Period) and passed_s >= REFUSED_S:
            each = replace(each, refusal="unknown settlement")
        found.append(each)
    return found


@pytest.fixture(scope="module")
def middle() -> Tape:
    (tape,) = tapes_of(from_the_middle(), load_config(), [MARKET], {})
    return tape


def with_flow_as(tape: Tape, kind: int) -> Tape:
    """The tape with steps of this kind where a flow signal came."""
    steps = tape.steps.copy()
    steps["kind"][steps["kind"] & FLOW_STEP != 0] = kind
    return tape._replace(steps=steps)


def last_markout(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> float:
    """The markout of our own fills that the quoter would read at the end of a run."""
    markets: list[State] = []

    def watched(*arguments: Any) -> int:
        markets.extend(each for each in arguments if getattr(each, "dtype", None) == MARKET_RECORD)
        return int(play(*arguments))

    with monkeypatch.context() as patched:
        patched.setattr(engine, "play", watched)
        found = engine.run([tape], load_config(), RunOptions(queue="optimistic"))
    assert len(found.fills) > 50
    return float(markets[-1]["own_markout"][0])


def test_own_markouts_are_read_when_a_flow_signal_comes_whether_or_not_a_requote_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tape = warm_tapes()[0]
    every = last_markout(tape, monkeypatch)
    assert np.isfinite(every)
    assert last_markout(with_flow_as(tape, FLOW_STEP), monkeypatch) == every  # others requote, these do not
    assert np.isnan(last_markout(with_flow_as(tape, REQUOTE), monkeypatch))


def test_time_before_the_first_event_is_not_observed(middle: Tape) -> None:
    row = engine.run([middle], load_config()).periods[0]
    last_s = (middle.steps["now_ns"][-1] - middle.period.start_ns) / NS_PER_S
    assert row["observed_s"] == pytest.approx(last_s - FIRST_S, abs=0.2)
    assert row["action_s"].sum() == pytest.approx(row["observed_s"])


def standing_at(quotes: NDArray[Any], ts_ns: int) -> Any:
    """The row of what stands at an instant."""
    return quotes[np.searchsorted(quotes["ts_ns"], ts_ns, side="right") - 1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_baseline_pulls_its_quotes_while_the_book_is_stale_or_the_period_refused(middle: Tape, strategy: str) -> None:
    quotes = engine.run([middle], load_config(), RunOptions(strategy=strategy, keeps_quotes=True)).quotes
    told = {}
    for second in (SILENT_S - 1, SILENT_S + STALE_S - 2, SILENT_S + STALE_S + 2, BACK_S - 1, BACK_S + 2, LAST_S - 1):
        row = standing_at(quotes, middle.period.start_ns + round(second * NS_PER_S))
        stands = row["bid_ticks"][0] > 0 or row["ask_ticks"][0] > 0
        assert (ACTIONS[row["action"]] == "PULL_QUOTES") is not stands
        told[second] = stands
    assert list(told.values()) == [True, True, False, False, True, False]

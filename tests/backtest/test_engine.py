from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from backtest import engine
from backtest.engine import LatencyModel, Run, RunOptions
from backtest.loop import DONE
from backtest.records import UNKNOWN
from backtest.tape import Tape, tapes_of
from services.quoter.action import RULES
from shared.config import MMConfig, load_config
from shared.exchange import QueueName
from shared.kernel import State
from shared.money import MICRO, to_micro
from tests.backtest.live import LivePaper
from tests.backtest.warm_tapes import MARKET, heard, warm_tapes

QUEUES: tuple[QueueName, ...] = ("pessimistic", "probabilistic", "optimistic")
RANK = {rule.label: rank for rank, rule in enumerate(RULES)}


@pytest.fixture(scope="module")
def config() -> MMConfig:
    return load_config()


@pytest.fixture(scope="module")
def tapes() -> tuple[Tape, ...]:
    return warm_tapes()


def told(run: Run) -> list[tuple[object, ...]]:
    """The fills of a run as the ledger would book them."""
    return [
        (
            int(row["known_ns"]),
            int(row["ts_ns"]),
            ("CALL", "PUT")[row["outcome"]],
            "buy" if row["side"] > 0 else "sell",
            int(row["price_micro"]),
            int(row["units"]),
            int(row["rebate_micro"]),
        )
        for row in run.fills
    ]


@pytest.mark.parametrize("queue", QUEUES)
def test_a_backtest_fills_what_the_live_cores_fill_on_the_same_events(
    config: MMConfig, tapes: Sequence[Tape], queue: QueueName
) -> None:
    live = LivePaper(config, MARKET, queue=queue)
    live.play(heard())
    booked = [
        (known_ns, fill.ts_ns, fill.outcome, fill.side, fill.price_micro, fill.units, fill.rebate_micro)
        for known_ns, fill in live.fills
    ]
    assert len(booked) > 50
    assert told(engine.run(tapes, config, RunOptions(queue=queue))) == booked


def test_the_same_run_comes_twice(config: MMConfig, tapes: Sequence[Tape]) -> None:
    options = RunOptions(order=LatencyModel(0.1, 0.05), cancel=LatencyModel(0.1, 0.05), seed=3)
    first, second = engine.run(tapes, config, options), engine.run(tapes, config, options)
    assert first.fills.tobytes() == second.fills.tobytes()
    assert first.periods.tobytes() == second.periods.tobytes()


def test_a_run_in_small_pieces_is_the_same_run(
    config: MMConfig, tapes: Sequence[Tape], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.run(tapes, config, RunOptions(keeps_quotes=True))
    monkeypatch.setattr(engine, "_FILLS_AT_FIRST", 130)
    monkeypatch.setattr(engine, "_QUOTES_AT_FIRST", 3)
    seen: list[int] = []
    pieces = engine.run(tapes, config, RunOptions(keeps_quotes=True), chunk=777, progress=seen.append)
    assert pieces.fills.tobytes() == whole.fills.tobytes()
    assert pieces.quotes.tobytes() == whole.quotes.tobytes()
    assert pieces.periods.tobytes() == whole.periods.tobytes()
    assert seen == sorted(seen)
    assert seen[-1] == whole.steps == sum(len(tape.steps) for tape in tapes)


def test_what_comes_later_changes_nothing_that_was_before(config: MMConfig, tapes: Sequence[Tape]) -> None:
    cut_ns = heard()[0].ts_recv_ns + 150_000_000_000
    early = tapes_of([each for each in heard() if each.ts_recv_ns <= cut_ns], config, [MARKET], {})
    whole, half = (engine.run(each, config) for each in (tapes, early))
    before = [each for each in told(whole) if int(str(each[0])) <= cut_ns]
    assert len(before) > 20
    assert [each for each in told(half) if int(str(each[0])) <= cut_ns] == before


def test_money_adds_up_to_the_micro_dollar(config: MMConfig, tapes: Sequence[Tape]) -> None:
    run = engine.run(tapes, config)
    for place, row in enumerate(run.periods):
        fills = run.fills[run.fills["period"] == place]
        gross = fills["side"] * fills["price_micro"] * fills["units"]
        assert row["cash_micro"] * MICRO == -gross.sum()  # whole shares at whole ticks: nothing is rounded
        for outcome, name in enumerate(("call_units", "put_units")):
            mine = fills[fills["outcome"] == outcome]
            assert row[name] == (mine["side"] * mine["units"]).sum() >= 0
        assert row["payout_micro"] == row["call_units"]
        assert row["pnl_micro"] == row["cash_micro"] + row["payout_micro"] - row["fee_micro"] + row["rebate_micro"]
        assert row["fee_micro"] == 0
        assert row["rebate_micro"] == fills["rebate_micro"].sum() > 0


def test_no_fill_without_a_trade_that_reaches_it(config: MMConfig, tapes: Sequence[Tape]) -> None:
    run = engine.run(tapes, config, RunOptions(queue="optimistic"))
    for place, tape in enumerate(tapes):
        fills = run.fills[run.fills["period"] == place]
        call_price = np.where(fills["outcome"] == 0, fills["price_micro"], MICRO - fills["price_micro"])
        call_side = np.where(fills["outcome"] == 0, fills["side"], -fills["side"])
        for trade_ns in np.unique(fills["ts_ns"]):
            mine = fills["ts_ns"] == trade_ns
            trades = tape.trades[tape.trades["ts_ns"] == trade_ns]
            assert fills["units"][mine].sum() <= trades["units"].sum()
            for price, side in zip(call_price[mine], call_side[mine], strict=True):
                reaching = trades[trades["side"] == -side]
                assert ((reaching["price_micro"] - price) * side <= 0).any()


def test_nothing_rests_before_it_arrives_and_latency_costs_fills(config: MMConfig, tapes: Sequence[Tape]) -> None:
    slow = engine.run(tapes, config, RunOptions(order=LatencyModel(2.0), cancel=LatencyModel(2.0)))
    assert (slow.fills["ts_ns"] - slow.fills["placed_ns"] >= 2_000_000_000).all()
    assert told(slow) != told(engine.run(tapes, config))


def test_requoting_less_often_quotes_later_and_still_answers_a_fill(config: MMConfig, tapes: Sequence[Tape]) -> None:
    slow = engine.run(tapes, config, RunOptions(requote_s=1.0, keeps_quotes=True))
    every = engine.run(tapes, config, RunOptions(keeps_quotes=True))
    assert 0 < len(slow.quotes) < len(every.quotes) / 2
    filled = set(slow.fills["known_ns"].tolist())
    for place in range(len(tapes)):
        times = slow.quotes["ts_ns"][slow.quotes["period"] == place]
        hurried = times[1:][np.diff(times) < 1_000_000_000]
        assert set(hurried.tolist()) <= filled


def test_an_unknown_outcome_counts_shares_at_the_last_mid(config: MMConfig, tapes: Sequence[Tape]) -> None:
    row = engine.run([tapes[0]._replace(winner=None)], config).periods[0]
    assert row["winner"] == UNKNOWN
    mid = int(row["last_mid_micro"])
    expected = (mid * int(row["call_units"]) + (MICRO - mid) * int(row["put_units"])) / MICRO
    assert row["payout_micro"] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("call", "put"), [(30, 20), (20, 30), (5, 0)])
def test_without_outcome_and_mid_only_pairs_are_worth_something(
    tapes: Sequence[Tape], monkeypatch: pytest.MonkeyPatch, config: MMConfig, call: int, put: int
) -> None:
    def holding(loop: State, _: State, periods: NDArray[Any], place: int, *__: Any) -> int:
        loop["call_units"], loop["put_units"] = to_micro(call), to_micro(put)
        assert periods[place]["last_mid_micro"] == UNKNOWN
        return DONE

    monkeypatch.setattr(engine, "play", holding)
    row = engine.run([tapes[0]._replace(winner=None)], config).periods[0]
    assert row["payout_micro"] == row["pnl_micro"] == to_micro(min(call, put))


def test_time_is_counted_under_what_stood(config: MMConfig, tapes: Sequence[Tape]) -> None:
    row = engine.run(tapes, config).periods[0]
    assert row["observed_s"] == pytest.approx(300.0, abs=0.5)
    assert row["action_s"].sum() == pytest.approx(row["observed_s"])
    assert 0.0 < row["both_s"] <= min(row["bid_s"], row["ask_s"])
    assert row["phase_s"].sum() == pytest.approx(row["both_s"]) == pytest.approx(row["regime_s"].sum())
    assert row["reason_s"][RANK["final_phase"]] == pytest.approx(20.0, abs=0.3)


def test_quotes_are_kept_when_asked_for(config: MMConfig, tapes: Sequence[Tape]) -> None:
    kept = engine.run(tapes, config, RunOptions(keeps_quotes=True)).quotes
    assert len(engine.run(tapes, config).quotes) == 0
    assert (np.diff(kept["ts_ns"][kept["period"] == 0]) >= 0).all()
    two_sided = kept[(kept["bid_ticks"][:, 0] > 0) & (kept["ask_ticks"][:, 0] > 0)]
    assert len(two_sided) > 100
    assert (two_sided["bid_ticks"][:, 0] < two_sided["ask_ticks"][:, 0]).all()


def test_a_baseline_trades_in_the_same_exchange(config: MMConfig, tapes: Sequence[Tape]) -> None:
    ours = engine.run(tapes, config)
    fixed = engine.run(tapes, config, RunOptions(strategy="fixed_spread"))
    assert len(fixed.fills) > 0
    assert told(fixed) != told(ours)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (RunOptions(queue="hopeful"), "queue model 'hopeful'"),  # type: ignore[arg-type]
        (RunOptions(strategy="magic"), "strategy 'magic'"),
        (RunOptions(order=LatencyModel(-1.0)), "latency of -1.0 s"),
        (RunOptions(cancel=LatencyModel(0.0, 0.01)), "0 s cannot spread by 0.01 s"),
        (RunOptions(requote_s=-1.0), "-1.0 s between two requotes"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    config: MMConfig, tapes: Sequence[Tape], options: RunOptions, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        engine.run(tapes, config, options)

"""The backtest on simulated periods: both passes, an optimizer's trial, memory, start-up; beside it hftbacktest.

hftbacktest (nkaz001/hftbacktest, in its faster form for a known range of prices) runs a strategy of the same kind on
the same periods, exported: four layers a side around the mid, orders canceled and sent anew when a layer's price
changes, the same latencies and queue model. It requotes after each row of book and trades; our loop also at what the
exchanges, the oracle and the analyzers say. So the two are compared by the time for the same stretch of market.

The events and their tapes are made once and kept in the folder for temporary files, under names that tell settings and
code. `python -m benchmarks.backtest first|tapes|stretch FOLDER` are the processes of their own that some figures need.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backtest.engine import LatencyModel, RunOptions, run
from backtest.evaluator import TapeEvaluatorFactory
from backtest.events import Events, Rows
from backtest.events_io import is_events_folder, read_events, write_events
from backtest.optimizer.compute import Compute, compute_on
from backtest.optimizer.evaluate import QUEUE_MODELS, evaluate
from backtest.sample import SampleSettings, generate, joined
from backtest.tape import Tape, tape_key
from backtest.tape_io import keep_tapes, read_tapes, tapes_from
from benchmarks.processes import ROOT
from benchmarks.report import Row
from shared.config import MMConfig, load_config

STEPS_TARGET = 1_000_000
START_TARGET_S = 3.0
LATENCY_S = 0.1
OPTIONS = RunOptions(queue="probabilistic", order=LatencyModel(LATENCY_S), cancel=LatencyModel(LATENCY_S))
SAMPLE = SampleSettings(series="btc-15m", periods=2, chunk_periods=2)
SHORT_SAMPLE = SampleSettings(series="btc-5m", periods=1)
ROUNDS = 7
STARTS = 3
TRIALS = 6
PLAIN_STEPS = 20_000  # into the quoting, behind the warm-up
_LAYERS, _SHARES, _TICK_USD = 4, 10.0, 0.01
_CACHE = Path(tempfile.gettempdir()) / "mm-benchmark"


def measure() -> list[Row]:
    """All of them."""
    config = load_config()
    events = _sample(SAMPLE)
    (folder,) = keep_tapes(events, [config], [SAMPLE.series], _CACHE / "tapes")
    tapes = read_tapes(folder)
    return [
        *_second_pass(events, tapes, config),
        _plain_python(folder),
        _first_pass(config),
        *_trials(folder, tapes, config),
        *_memory(events, tapes, folder),
        *_start(folder),
    ]


def _sample(settings: SampleSettings) -> Events:
    """The events of a sample, kept for the next time."""
    folder = _CACHE / settings.name
    if not is_events_folder(folder):
        write_events(joined(generate(settings, workers=1)), folder)
    return read_events(folder)


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _second_pass(events: Events, tapes: Sequence[Tape], config: MMConfig) -> Iterator[Row]:
    """Ours and hftbacktest in turns, so that what else the machine does meets both."""
    from backtest.export_npz_io import hft_rows

    steps = run(tapes, config, OPTIONS).steps  # compiled and warm
    exported = [hft_rows(events, tape.slug) for tape in tapes]
    theirs = _hftbacktest()
    sent = [theirs(each.rows, each.tick_size) for each in exported]
    if min(sent) < 100:
        raise RuntimeError(f"hftbacktest sent {min(sent)} orders in a period: its strategy does not requote")
    plain = OPTIONS._replace(strategy="fixed_spread")
    ours_s, plain_s, theirs_s = [], [], []
    for _ in range(ROUNDS):
        ours_s.append(_seconds(lambda: run(tapes, config, OPTIONS)))
        plain_s.append(_seconds(lambda: run(tapes, config, plain)))
        theirs_s.append(_seconds(lambda: [theirs(each.rows, each.tick_size) for each in exported]))
    rows = sum(len(each.rows) for each in exported)
    orders = int(run(tapes, config, OPTIONS).periods["orders"].sum())
    minutes = sum(tape.period.end_ns - tape.period.start_ns for tape in tapes) / 60e9
    rates = steps / np.array(ours_s)
    rate, their_rate = float(np.median(rates)), rows / float(np.median(theirs_s))
    yield Row(
        f"second pass, one core: steps a second, {orders} orders sent (median of {ROUNDS})",
        f"{rate:,.0f} /s",
        f"{rates.min():,.0f} to {rates.max():,.0f} /s",
        target=f"at least {STEPS_TARGET:,} /s",
        met=rate >= STEPS_TARGET,
    )
    plain_orders = int(run(tapes, config, plain).periods["orders"].sum())
    beside = (
        f"{np.median(theirs_s) * 1e3:.0f} ms hftbacktest: {rows:,} rows, {their_rate:,.0f} /s, {sum(sent)} orders sent"
    )
    for what, taken_s, target in (
        (f"a fixed spread in {_LAYERS} layers, {plain_orders} orders sent", plain_s, "not slower"),
        ("all techniques", ours_s, ""),
    ):
        ratio = float(np.median(np.array(taken_s) / np.array(theirs_s)))
        yield Row(
            f"second pass, {minutes:.0f} min of market, {what}",
            f"{np.median(taken_s) * 1e3:.0f} ms for {steps:,} steps",
            beside,
            f"{ratio:.2f}",
            target=target,
            met=ratio <= 1.0 if target else None,
        )


def _hftbacktest() -> Callable[[Rows, float], int]:
    """Runs its strategy over rows on a grid; the answer is how many orders it sent."""
    import hftbacktest as hft
    from numba import njit

    post_only, limit = hft.GTX, hft.LIMIT

    def follow(backtest: Any, layers: int, tick_usd: float, shares: float) -> int:
        wanted = np.zeros((2, layers), np.int64)  # ticks of CALL
        steps = round(1.0 / tick_usd)
        sent = 0
        while backtest.wait_next_feed(False, 10_000_000_000) in (2, 3):
            backtest.clear_inactive_orders(0)
            depth = backtest.depth(0)
            mid = 0.5 * (depth.best_bid + depth.best_ask)
            if not 0.0 < mid < 1.0:
                continue
            for layer in range(layers):
                wanted[0, layer] = int(np.floor(mid / tick_usd + 1e-9)) - 1 - layer
                wanted[1, layer] = int(np.ceil(mid / tick_usd - 1e-9)) + 1 + layer
            orders = backtest.orders(0)
            standing = orders.values()
            while standing.has_next():
                order = standing.get()
                is_ask = order.order_id % 2
                if order.cancellable and order.order_id // 2 not in wanted[is_ask]:
                    backtest.cancel(0, order.order_id, False)
            for is_ask in range(2):
                for layer in range(layers):
                    ticks = wanted[is_ask, layer]
                    if not 0 < ticks < steps or 2 * ticks + is_ask in orders:
                        continue
                    sent += 1
                    if is_ask == 1:
                        backtest.submit_sell_order(0, 2 * ticks + 1, ticks * tick_usd, shares, post_only, limit, False)
                    else:
                        backtest.submit_buy_order(0, 2 * ticks, ticks * tick_usd, shares, post_only, limit, False)
        return sent

    compiled = njit(follow)

    def over(rows: Rows, tick_size: float) -> int:
        asset = (
            hft.BacktestAsset()
            .data([rows])
            .linear_asset(1.0)
            .constant_order_latency(round(LATENCY_S * 1e9), 0)
            .power_prob_queue_model3(3.0)
            .no_partial_fill_exchange()
            .trading_value_fee_model(0.0, 0.0)
            .tick_size(tick_size)
            .lot_size(0.01)
            .roi_lb(0.0)
            .roi_ub(1.0)
            .last_trades_capacity(0)
        )
        backtest = hft.ROIVectorMarketDepthBacktest([asset])
        try:
            return int(compiled(backtest, _LAYERS, _TICK_USD, _SHARES))
        finally:
            backtest.close()

    return over


def _own_process(task: str, folder: Path, *, is_compiled: bool = True) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.backtest", task, str(folder)],
        cwd=ROOT,
        env=os.environ | ({} if is_compiled else {"NUMBA_DISABLE_JIT": "1"}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"benchmarks.backtest {task} failed:\n{done.stderr[-2_000:]}")
    said: dict[str, float] = json.loads(done.stdout)
    return said


def _plain_python(folder: Path) -> Row:
    """The same stretch of the first tape, compiled and not."""
    compiled = _own_process("stretch", folder)["steps_per_s"]
    plain = _own_process("stretch", folder, is_compiled=False)["steps_per_s"]
    return Row(
        f"second pass, {PLAIN_STEPS:,} steps of one period",
        f"{compiled:,.0f} steps/s",
        f"{plain:,.0f} steps/s as plain Python",
        f"1:{compiled / plain:.0f}",
    )


def _first_pass(config: MMConfig) -> Row:
    events = _sample(SHORT_SAMPLE)
    took_s = _seconds(lambda: tapes_from(events, [config], [SHORT_SAMPLE.series]))
    return Row(
        "first pass: events a second (once for all configurations of a search)",
        f"{events.total / took_s:,.0f} /s",
        f"{took_s:.1f} s for {events.total:,} events of 5 min",
    )


def _trials(folder: Path, tapes: Sequence[Tape], config: MMConfig) -> Iterator[Row]:
    """Periods a second of an optimizer's trials, in this process and in two."""
    factory = TapeEvaluatorFactory((folder,), OPTIONS, tape_key(config))
    with compute_on(workers=1) as one, compute_on(workers=2) as two:
        for compute in (one, two):
            _evaluate(compute, factory, config, 2 * compute.slots, len(tapes))  # all have their tapes and kernels
        took_s = np.array(
            [
                [_seconds(lambda c=each: _evaluate(c, factory, config, TRIALS, len(tapes))) for each in (one, two)]  # type: ignore[misc]
                for _ in range(3)
            ]
        )
    in_one, in_two = TRIALS * len(tapes) / np.median(took_s, axis=0)
    yield Row(
        f"optimizer: periods of 15 min a second under {len(QUEUE_MODELS)} queue models, two workers",
        f"{in_two:.1f} /s",
        f"{in_one:.1f} /s in one, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}",
        f"{np.median(took_s[:, 0] / took_s[:, 1]):.2f}",
    )


def _evaluate(compute: Compute, factory: TapeEvaluatorFactory, config: MMConfig, trials: int, periods: int) -> None:
    places = np.arange(periods)
    for future in [compute.executor.submit(evaluate, factory, config, places) for _ in range(trials)]:
        future.result()


def _memory(events: Events, tapes: Sequence[Tape], folder: Path) -> Iterator[Row]:
    held = sum(tape.memory_bytes for tape in tapes)
    source = sum(rows.nbytes for rows in (events.spot, events.oracle, events.books, events.levels, events.trades))
    yield Row(
        "memory of tapes for a million events",
        f"{held / events.total:,.0f} MB",
        f"{source / events.total:,.0f} MB the events themselves",
        f"{held / source:.2f}",
    )
    peak_mib = _own_process("tapes", folder)["peak_mib"]
    yield Row(f"peak memory of a process that plays {len(tapes)} tapes", f"{peak_mib:.0f} MiB resident")


def _start(folder: Path) -> Iterator[Row]:
    """From a cold process, kernels compiled before."""
    helps = [_seconds(lambda: _quiet([sys.executable, "mm_backtest.py", "--help"])) for _ in range(STARTS)]
    firsts = [_seconds(lambda: _own_process("first", folder)) for _ in range(STARTS)]
    for name, took_s in (
        ("start of mm_backtest.py --help", float(np.median(helps))),
        ("start of a process, tapes read, first step played", float(np.median(firsts))),
    ):
        yield Row(name, f"{took_s:.2f} s", target=f"under {START_TARGET_S:.0f} s", met=took_s < START_TARGET_S)


def _quiet(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def _cut(tape: Tape, steps: int) -> Tape:
    return tape._replace(steps=tape.steps[:steps])


def main(task: str, folder: Path) -> dict[str, float]:
    """What a process of its own measures."""
    config = load_config()
    tapes = read_tapes(folder)
    if task == "first":
        run([_cut(tapes[0], 1)], config, OPTIONS)
        return {}
    if task == "tapes":
        run(tapes, config, OPTIONS)
        return {"peak_mib": _peak_mib()}
    run([_cut(tapes[0], 1)], config, OPTIONS)
    stretch = _cut(tapes[0], PLAIN_STEPS)
    return {"steps_per_s": PLAIN_STEPS / _seconds(lambda: run([stretch], config, OPTIONS))}


def _peak_mib() -> float:
    """Of this process alone; `getrusage` starts from what its parent held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))

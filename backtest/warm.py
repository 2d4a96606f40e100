"""Compiles every kernel into the on-disk cache: `python -m backtest.warm`, once after installation.

A few virtual minutes of an invented market run through the analyzers and the quoter in this process, so that every
kernel is compiled for the records it is called with, and no live process compiles at its start.
"""

from __future__ import annotations

import shutil
from functools import partial

from rich.progress import track

from backtest.engine import Run, run
from backtest.session import Session, trading_cores
from backtest.tape import tapes_of
from shared.config import PRESETS, load_config
from shared.invented_market import SERIES, moment, time_of_step
from shared.kernel import CACHE, CACHES
from shared.messages import AnyMessage, QuoteSet

_STEPS = 10 * 310  # one period, and its rollover


def run_through(preset: str = "default", *, steps: int = _STEPS) -> list[QuoteSet]:
    """Run the invented market under a preset; the sets with quotes. RuntimeError when there are none."""
    session = Session(trading_cores(load_config(preset), [SERIES]), [SERIES])
    standing: list[QuoteSet] = []
    session.listeners.append(partial(_keep_standing, standing))
    for step in range(steps):
        for message in moment(step):
            session.publish(message)
        session.timer(time_of_step(step))
    if not standing:
        raise RuntimeError(f"preset {preset}: the invented market led to no quote, so not every kernel is compiled")
    return standing


def run_back(*, steps: int = _STEPS) -> Run:
    """Backtest the invented market, so that the loop is compiled."""
    config = load_config()
    messages = (message for step in range(steps) for message in moment(step))
    return run(tapes_of(messages, config, [SERIES.name], {}), config)


def main() -> None:
    """Compile everything: run under every preset, and forget the caches of other texts."""
    for old in CACHES.glob("*"):
        if old.is_dir() and old != CACHE:
            shutil.rmtree(old)
    for preset in track(tuple(PRESETS), description="compiling kernels", transient=True):
        run_through(preset)
    run_back()


def _keep_standing(into: list[QuoteSet], message: AnyMessage) -> None:
    if isinstance(message, QuoteSet) and message.call:
        into.append(message)


if __name__ == "__main__":
    main()

from __future__ import annotations

import os
import signal

import pytest

from backtest.optimizer.compute import compute_on


def name_of_process() -> int:
    return os.getpid()


def ignores_interrupts() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def fail() -> None:
    raise RuntimeError("as asked")


def test_one_worker_is_this_process() -> None:
    with compute_on() as compute:
        assert compute.slots == 1
        assert compute.executor.submit(name_of_process).result() == os.getpid()


def test_what_fails_in_this_process_fails_at_once() -> None:
    with compute_on() as compute, pytest.raises(RuntimeError, match="as asked"):
        compute.executor.submit(fail)


def test_more_workers_are_processes_that_leave_interrupts_to_the_parent() -> None:
    with compute_on(workers=2) as compute:
        assert compute.slots == 2
        assert compute.executor.submit(name_of_process).result() != os.getpid()
        assert compute.executor.submit(ignores_interrupts).result()


def test_no_worker_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"), compute_on(workers=0):
        pass

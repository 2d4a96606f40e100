"""Where evaluations run: in this process, in processes of this machine, or on a Dask cluster.

All three are `concurrent.futures` executors, so that the search is written once. Several machines may also run the same
search at once on one storage; they need nothing from here.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Compute(NamedTuple):
    """An executor and how many evaluations it takes at a time."""

    executor: Executor
    slots: int


class InThisProcess(Executor):
    """Runs what is submitted before it returns; what that raises, `submit` raises."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """A future that is done."""
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def compute_on(*, workers: int = 1, scheduler: str | None = None) -> Iterator[Compute]:
    """This process for one worker, else that many processes; with a `scheduler` ("tcp://host:8786") its cluster.

    On the way out nothing new is begun, and what is running is waited for. Raises ValueError for fewer than one worker,
    and OSError when no scheduler answers.
    """
    if workers < 1:
        raise ValueError(f"workers = {workers}: give at least 1")
    if scheduler is not None:
        with _cluster(scheduler) as compute:
            yield compute
    elif workers == 1:
        yield Compute(InThisProcess(), 1)
    else:
        # Spawned, not forked: the parent has threads (the progress bar, compiled kernels).
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts_to_the_parent)
        try:
            yield Compute(pool, workers)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _cluster(scheduler: str) -> Iterator[Compute]:
    try:
        from distributed import Client  # optional: the extra `cluster`
    except ImportError as error:
        raise ValueError("a Dask cluster needs the extra `cluster`: pip install '.[cluster]'") from error
    with Client(scheduler, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        threads = sum(client.nthreads().values())
        if not threads:
            raise ValueError(f"the cluster at {scheduler} has no workers: start some")
        with client.get_executor(pure=False) as executor:
            yield Compute(executor, threads)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""`python -m bot.bound_to_parent <module> ...`: runs a module that ends when the process that started it ends.

Services watch their supervisor themselves (`shared/service.py`); the simulator stands outside of that frame.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from threading import Thread
from time import sleep

CHECK_EACH_S = 0.5


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        sleep(CHECK_EACH_S)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the module named by the first argument, with the rest as its own."""
    parent = int(os.environ.get("MM_SUPERVISOR_PID") or os.getppid())
    Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

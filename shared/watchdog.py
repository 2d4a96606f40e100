"""Ends a process whose loop stands still, and says where it stood, so that whoever keeps it restarts it.

The timer runs outside of Python: a loop that hangs in C is noticed too. It does not run while a machine sleeps.
"""

from __future__ import annotations

import faulthandler

COMPILING_S = 600.0  # a kernel that no cache has takes its time


class Watchdog:
    """The process's own timer; there is one."""

    def __init__(self) -> None:
        self._is_watching = False

    def expect(self, within_s: float) -> None:
        """Unless called again within so long, end the process: exit code 1, every thread's stack on standard error."""
        self._is_watching = True
        faulthandler.dump_traceback_later(within_s, exit=True)

    def be_patient(self) -> None:
        """Work has begun that is known to take long: wait for the next `expect`, COMPILING_S at most."""
        if self._is_watching:
            faulthandler.dump_traceback_later(COMPILING_S, exit=True)

    def rest(self) -> None:
        """Watch no more."""
        self._is_watching = False
        faulthandler.cancel_dump_traceback_later()


watchdog = Watchdog()

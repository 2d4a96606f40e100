"""Start parts and do-nothing processes on private sockets, and stop them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextmanager
def started(
    commands: list[list[str]], variables: Mapping[str, str] | None = None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """`python -m <command>` for each, for the length of a block."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("MM_")}
    environment = own | {"PYTHONPATH": str(ROOT), "MM_SUPERVISOR_PID": str(os.getpid())} | dict(variables or {})
    children = [
        subprocess.Popen([sys.executable, "-m", *command], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        yield children
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(20)


def resident_mib(pid: int) -> float:
    """Resident memory of a process, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20

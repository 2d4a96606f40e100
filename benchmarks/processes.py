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


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident memory of a process in MiB, and its share of it: a page that n processes share counts 1/n."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) / 1024
    return sizes["Rss"], sizes["Pss"]

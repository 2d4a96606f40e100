"""Real processes for tests: start a part on a private bus, wait for what it says, stop it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
_OUT = tempfile.TemporaryDirectory(prefix="mm-tests-")  # removed when the tests end


def start(module: str, *arguments: str, bus: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """`python -m <module>` on this bus; its log lines come from `stderr`. Unless named, its folder is its own."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("MM_")}
    ours = {"MM_BUS": bus, "PYTHONPATH": str(ROOT), "MM_SUPERVISOR_PID": str(os.getpid())}
    ours["MM_OUT"] = tempfile.mkdtemp(dir=_OUT.name)
    environment = own | ours | dict(variables or {})
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], env=environment, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def free_tcp_bus(host: str = "127.0.0.1") -> str:
    """The address of a bus over TCP whose four ports nobody uses now."""
    while True:
        with ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind((host, 0))
            port = int(first.getsockname()[1])
            try:
                for offset in range(1, 4):
                    stack.enter_context(socket.socket()).bind((host, port + offset))
            except (OSError, OverflowError):
                continue
        return f"tcp://{host}:{port}"


def wait_for_line(process: subprocess.Popen[str], text: str) -> str:
    """Read the log until a line holds this text; the test's own time limit is the deadline."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(f"{text!r} never logged; the log was:\n{''.join(seen)}")


@contextmanager
def running(
    module: str, *arguments: str, bus: str, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A part that runs for the length of a block and must stop cleanly on SIGTERM."""
    process = start(module, *arguments, bus=bus, variables=variables)
    try:
        yield process
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=30)
    assert process.returncode == 0, rest

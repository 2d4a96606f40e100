from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

MODULE = "import os, sys, time; print(os.getpid(), *sys.argv[1:], flush=True); time.sleep(600)"
PARENT = """
import os, subprocess, sys
command = [sys.executable, "-m", "bot.bound_to_parent", "endless", "one", "two"]
subprocess.Popen(command, env=os.environ | {"MM_SUPERVISOR_PID": str(os.getpid())}).wait()
"""


def test_a_module_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(MODULE)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, *arguments = parent.stdout.readline().split()
    assert arguments == ["one", "two"]
    os.kill(parent.pid, signal.SIGKILL)
    assert parent.stdout.read() == ""  # the pipe ends when the orphan, its last holder, is gone
    parent.wait()
    parent.stdout.close()
    assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()

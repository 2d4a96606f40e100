"""Start of the whole bot to its first standing quote, and the memory of each process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.processes import ROOT, memory_mib
from benchmarks.report import Row

FIRST_QUOTE_TARGET_S = 10.0
MEMORY_TARGET_MIB = 1.2 * 1024
SETTLED_S = 30.0


def measure() -> list[Row]:
    """Start `mm_bot.py` on the simulator and watch its files."""
    with tempfile.TemporaryDirectory(prefix="mm") as folder:
        out = Path(folder) / "out"
        begin = time.monotonic()
        bot = subprocess.Popen(
            [sys.executable, "mm_bot.py", "--out", str(out), "--seed", "7"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            first_s = _first_quote(out / "mm_quotes.json", begin)
            while time.monotonic() < begin + first_s + SETTLED_S:
                time.sleep(1.0)
            memory = _memory(bot.pid)
        finally:
            bot.send_signal(signal.SIGINT)
            bot.wait(30)
    resident, shares = (sum(sizes) for sizes in zip(*memory.values(), strict=True))
    return [
        Row(
            "start to first quote",
            f"{first_s:.1f} s",
            target=f"at most {FIRST_QUOTE_TARGET_S:.0f} s",
            met=first_s <= FIRST_QUOTE_TARGET_S,
        ),
        *(
            Row(f"memory of {name}", f"{share:.0f} MiB", f"{rss:.0f} MiB resident, shared pages in full")
            for name, (rss, share) in memory.items()
        ),
        Row(
            "memory together, each page once",
            f"{shares:.0f} MiB",
            f"{resident:.0f} MiB resident added up",
            target=f"under {MEMORY_TARGET_MIB:.0f} MiB",
            met=shares < MEMORY_TARGET_MIB,
        ),
    ]


def _first_quote(file: Path, begin: float) -> float:
    while time.monotonic() < begin + 60:
        if file.exists() and json.loads(file.read_text())["quotes"]["CALL"]:
            return time.monotonic() - begin
        time.sleep(0.02)
    raise RuntimeError(f"no quote within 60 s: {file.read_text() if file.exists() else 'no file'}")


def _memory(bot_pid: int) -> dict[str, tuple[float, float]]:
    """Resident and proportional memory of the bot and each of its children."""
    children = Path(f"/proc/{bot_pid}/task/{bot_pid}/children").read_text().split()
    names = {bot_pid: "mm_bot (panel and supervisor)"}
    for child in children:
        arguments = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        names[int(child)] = " ".join(arguments[2:]).strip()
    return {name: memory_mib(pid) for pid, name in names.items() if os.path.exists(f"/proc/{pid}")}

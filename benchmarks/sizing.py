"""What each process needs for 1, 2, 4 and 8 markets on the simulator, and from that what more would need.

Cores are CPU seconds of the process a second, so that other work on the machine counts little; memory is the share of
it (a page that n processes share counts 1/n). A need is fitted as fixed + assets x a + markets x m by least squares, at
or above 0; the scenes tell the two apart because the last doubles the markets on the same assets. A market is busier
toward its end, so every scene is measured at the same time of its 5-minute periods: the section takes 20 minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from benchmarks.processes import ROOT, memory_mib
from benchmarks.report import Row
from shared.market import Series
from shared.wiring import PARTS

ASSETS = ("btc", "eth", "sol", "xrp")
SCENES = (
    ("btc-5m",),
    ("btc-5m", "eth-5m"),
    tuple(f"{asset}-5m" for asset in ASSETS),
    tuple(f"{asset}-{period}" for period in ("5m", "15m") for asset in ASSETS),
)
PERIOD_S = 300.0
FROM_S = 120.0  # of each period
LARGE = ((9, 34), (25, 100))  # assets, markets
STARTED_WITHIN_S = 90.0
SETTLED_S = 30.0
MEASURED_S = 60.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Need(NamedTuple):
    """What one process used: cores (CPU seconds a second), and MiB of memory at the end."""

    cores: float
    memory_mib: float


class Scene(NamedTuple):
    """One run: how much there was of each, messages a second through the broker, bytes recorded, each process."""

    assets: int
    markets: int
    messages_per_s: float
    recorded_mib_per_h: float
    needs: dict[str, Need]


class Fit(NamedTuple):
    """fixed + assets x by_asset + markets x by_market."""

    fixed: float
    by_asset: float
    by_market: float

    def at(self, *, assets: int, markets: int) -> float:
        """The need of so many."""
        return self.fixed + assets * self.by_asset + markets * self.by_market


def measure() -> list[Row]:
    """Run the whole bot with paper execution and recorder for each scene, one after the other."""
    scenes = [_run(markets) for markets in SCENES]
    counts = "/".join(str(each.markets) for each in scenes)
    rows = [
        _row(f"messages a second, {counts} markets", scenes, [each.messages_per_s for each in scenes], digits=0),
        _row("recorded, MiB an hour", scenes, [each.recorded_mib_per_h for each in scenes], digits=0),
    ]
    for name in (*scenes[0].needs, "all together"):
        needs = [_need(each.needs, name) for each in scenes]
        rows.append(_row(f"{name}: cores", scenes, [each.cores for each in needs], digits=3))
        rows.append(_row(f"{name}: MiB", scenes, [each.memory_mib for each in needs], digits=0))
    return rows


def _row(name: str, scenes: Sequence[Scene], figures: Sequence[float], *, digits: int) -> Row:
    found = fit(scenes, figures)
    large = ", ".join(
        f"{found.at(assets=assets, markets=markets):.{digits}f} for {markets} markets of {assets} assets"
        for assets, markets in LARGE
    )
    return Row(name, " / ".join(f"{each:.{digits}f}" for each in figures), f"extrapolated: {large}")


def fit(scenes: Sequence[Scene], needs: Sequence[float]) -> Fit:
    """The least-squares fit with no part below 0."""
    counts = np.array([(1.0, each.assets, each.markets) for each in scenes])
    found, _ = nnls(counts, np.array(needs))
    return Fit(*map(float, found))


def _need(needs: Mapping[str, Need], name: str) -> Need:
    """The need of one process, or of all that ran."""
    return needs[name] if name in needs else Need(*map(sum, zip(*needs.values(), strict=True)))


def _run(markets: Sequence[str]) -> Scene:
    with tempfile.TemporaryDirectory(prefix="mm") as folder:
        out, records = Path(folder) / "out", Path(folder) / "records"
        chosen = ["--markets", ",".join(markets), "--out", str(out), "--record", str(records)]
        bot = subprocess.Popen(
            [sys.executable, "mm_bot.py", "--dry-run", "--seed", "7", *chosen],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for_parts(out)
            time.sleep(_until_measured(time.time() + SETTLED_S))
            names = _names(bot.pid)
            begin_s, before = time.monotonic(), {pid: cpu_s(pid) for pid in names}
            forwarded, recorded = _forwarded(out), _bytes_in(records)
            time.sleep(MEASURED_S)
            took_s = time.monotonic() - begin_s
            used = {pid: cpu_s(pid) - before[pid] for pid in names}
            needs = {name: Need(used[pid] / took_s, memory_mib(pid)[1]) for pid, name in names.items()}
            return Scene(
                assets=len({Series.parse(each).asset for each in markets}),
                markets=len(markets),
                messages_per_s=(_forwarded(out) - forwarded) / took_s,
                recorded_mib_per_h=(_bytes_in(records) - recorded) / 2**20 * 3600 / took_s,
                needs=needs,
            )
        finally:
            bot.terminate()
            bot.wait(60)


def _until_measured(earliest_s: float) -> float:
    """Seconds from now to the first moment not before this one at which periods are FROM_S old."""
    return earliest_s + (FROM_S - earliest_s) % PERIOD_S - time.time()


def cpu_s(pid: int) -> float:
    """CPU seconds that a process used so far, all threads, in and out of the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _parts(out: Path) -> dict[str, Any]:
    """Each part that was heard, from the status file."""
    try:
        found: dict[str, Any] = json.loads((out / "mm_status.json").read_text())["parts"]
    except FileNotFoundError:
        return {}
    return found


def _wait_for_parts(out: Path) -> None:
    """All of them speak, the broker too; raises RuntimeError when they do not."""
    wanted = {part.name for part in PARTS} - {"files"}
    deadline_s = time.monotonic() + STARTED_WITHIN_S
    while not wanted <= _parts(out).keys():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"the bot did not start within {STARTED_WITHIN_S:.0f} s")
        time.sleep(0.1)


def _forwarded(out: Path) -> float:
    return float(_parts(out)["broker"]["counters"]["forwarded"])


def _bytes_in(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def _names(bot_pid: int) -> dict[int, str]:
    """The bot and its children by pid: `feeds bybit`, `quoter`, `simulator`."""
    names = {bot_pid: "mm_bot"}
    for child in Path(f"/proc/{bot_pid}/task/{bot_pid}/children").read_text().split():
        arguments = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        names[int(child)] = " ".join(arguments).partition("services.")[2].strip()
    return names

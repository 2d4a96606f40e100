"""`python -m benchmarks [section ...] [--json FILE]`; the sections are those of `SECTIONS`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import backtest, burst, compute, exchange, kernels, latency, ledger, sizing, startup, throughput
from benchmarks.report import as_records, print_table

SECTIONS = {
    "compute": compute.measure,
    "kernels": kernels.measure,
    "latency": latency.measure,
    "throughput": throughput.measure,
    "burst": burst.measure,
    "startup": startup.measure,
    "ledger": ledger.measure,
    "exchange": exchange.measure,
    "backtest": backtest.measure,
    "sizing": sizing.measure,
}


def main() -> int:
    """Measure the chosen sections; exit code 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed, as ratios measured in one run.")
    parser.add_argument("sections", nargs="*", metavar="section", help=f"one of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    chosen = parser.parse_args()
    unknown = set(chosen.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}: there are {', '.join(SECTIONS)}")
    console = Console(width=150)
    console.print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    figures = {}
    missed: list[str] = []
    for name in chosen.sections or SECTIONS:
        rows = SECTIONS[name]()
        print_table(name, rows, console)
        figures[name] = as_records(rows)
        missed += [f"{name}: {row.name}" for row in rows if row.met is False]
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1))
    for row in missed:
        console.print(f"[red]target missed[/] (load average {os.getloadavg()[0]:.1f}): {row}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())

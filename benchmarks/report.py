"""Measurements and the tables they are printed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One measured figure. `target` says what was asked for; `met` None where nothing was."""

    name: str
    figure: str
    beside: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


def print_table(title: str, rows: Sequence[Row], console: Console) -> None:
    """One section."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("measured", "figure", "beside it in the same run", "ratio", "target", "met"):
        table.add_column(heading)
    for row in rows:
        met = "" if row.met is None else ("[green]yes" if row.met else "[red]no")
        table.add_row(row.name, row.figure, row.beside, row.ratio, row.target, met)
    console.print(table)


def as_records(rows: Sequence[Row]) -> list[dict[str, object]]:
    """For `--json`."""
    return [asdict(row) for row in rows]


def microseconds_a_call(call: Callable[[], object], *, calls: int = 2000, rounds: int = 7) -> float:
    """Median over rounds of the mean cost of one call, after one warm round."""
    costs = []
    for _ in range(rounds + 1):
        begin = time.perf_counter_ns()
        for _ in range(calls):
            call()
        costs.append((time.perf_counter_ns() - begin) / calls / 1e3)
    return float(np.median(costs[1:]))

"""`python -m backtest.fair_value`: score the fair value on recordings, and write the page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import track

from backtest.fair_value.page_io import write_report
from backtest.fair_value.recordings_io import IMPORTERS, JONAHGRIGORYAN, jonahgrigoryan_overlaps, load_recordings
from backtest.fair_value.report import Builder
from shared.config import load_config

EXIT_WRITTEN, EXIT_USAGE = 0, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and its numbers; 0 written, 2 bad arguments or no recordings."""
    parser = argparse.ArgumentParser(prog="make report-fair-value", description=__doc__)
    parser.add_argument(
        "--recordings", type=Path, default=Path("../shared/data"), help="folder of the recordings (%(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path("out/fair_value"), help="where to write (%(default)s)")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        with console.status("reading recordings"):
            recordings = load_recordings(options.recordings)
            folder = options.recordings / JONAHGRIGORYAN
            overlaps = jonahgrigoryan_overlaps(folder) if folder.is_dir() else []
    except (OSError, ValueError, KeyError) as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    builder = Builder(recordings, load_config("default"))
    for _ in track(builder.price(), "pricing", total=builder.steps, console=console, update_period=0.5):
        pass
    with console.status("scoring"):
        report = builder.score()
        report.overlaps = overlaps
        report.absent = [name for name in IMPORTERS if not (options.recordings / name).is_dir()]
    try:
        path = write_report(report, options.out, generated=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    except OSError as error:
        print(f"cannot write the report into {options.out}: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(path)
    return EXIT_WRITTEN


if __name__ == "__main__":
    sys.exit(main())

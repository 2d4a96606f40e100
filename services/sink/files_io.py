"""Replacing a file so that a reader sees the old content or the new, never a part of either.

An output file that cannot be replaced is removed, which needs no space: on a full disk no old ladder stays behind.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from services.sink.core import OutputFile


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the file and rename over it (atomic within one folder). Raises OSError; the old file then stands."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def replace_files(folder: Path, files: Iterable[OutputFile]) -> None:
    """Replace several files of one folder, each on its own, or remove it: old content never stands.

    Raises OSError after having tried all of them.
    """
    fault: OSError | None = None
    for name, content in files:
        try:
            replace_file(folder / name, content)
        except OSError as error:
            fault = error
            with contextlib.suppress(OSError):
                (folder / name).unlink(missing_ok=True)
    if fault is not None:
        raise fault

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from bot.logs_io import cap_log, last_words, open_log, tail
from shared.lossy_io import LossyText


def test_a_log_that_grew_too_large_is_kept_once_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "quoter.log"
    log = open_log(path)
    try:
        os.write(log, b"x" * 100 + b"\n")
        assert not cap_log(path, max_bytes=200)
        assert cap_log(path, max_bytes=50)
        os.write(log, b"next\n")
    finally:
        os.close(log)
    assert path.read_text() == "next\n"
    assert path.with_name("quoter.log.1").read_text().startswith("xxx")


def test_the_tail_begins_at_this_run_and_survives_a_log_that_was_emptied(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("before\nnow\n\nlast\n")
    assert tail(path, since=7) == ["now", "last"]
    assert tail(path, since=1_000) == ["before", "now", "last"]
    assert tail(tmp_path / "none.log") == []


def test_the_last_words_are_the_last_complaint() -> None:
    lines = ['{"event": "crashed", "error": "KeyError", "level": "error"}', '{"event": "stopped", "level": "info"}']
    assert last_words(lines) == "crashed: KeyError"
    assert last_words([]) == ""


class _Faulty(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, _text: str) -> int:
        raise OSError(self._number, os.strerror(self._number))

    def flush(self) -> None:
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
def test_a_full_disk_or_a_reader_that_left_costs_the_line_and_nothing_else(number: int) -> None:
    lossy = LossyText(_Faulty(number))
    assert lossy.write("line") == 4
    lossy.flush()


def test_a_log_that_cannot_be_kept_is_emptied_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "quoter.log"
    path.write_bytes(b"x" * 100)
    path.with_name("quoter.log.1").mkdir()
    assert cap_log(path, max_bytes=50)
    assert path.read_bytes() == b""

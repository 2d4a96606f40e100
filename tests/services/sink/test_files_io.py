from __future__ import annotations

import errno
import json
import threading
from pathlib import Path

import pytest

from services.sink.core import OutputFile
from services.sink.files_io import replace_file, replace_files


def test_a_reader_sees_one_content_or_the_other_never_a_part(tmp_path: Path) -> None:
    path = tmp_path / "mm_quotes.json"
    contents = [json.dumps({"number": number, "ladder": [number] * 5_000}).encode() for number in range(2)]
    replace_file(path, contents[0])
    writes, reads = 400, 0
    done = threading.Event()

    def write() -> None:
        for number in range(writes):
            replace_file(path, contents[number % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set() or reads == 0:
        assert path.read_bytes() in contents
        reads += 1
    writer.join()
    assert [each.name for each in tmp_path.iterdir()] == ["mm_quotes.json"]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "mm_quotes.json"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(path, b"{}")
    assert list(tmp_path.iterdir()) == [path]


def test_one_file_that_fails_does_not_keep_the_others_back(tmp_path: Path) -> None:
    (tmp_path / "first.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_files(tmp_path, [OutputFile("first.json", b"1"), OutputFile("second.json", b"2")])
    assert (tmp_path / "second.json").read_bytes() == b"2"


def test_a_file_that_cannot_be_replaced_is_removed_for_it_may_hold_a_ladder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = OutputFile("mm_quotes.json", b"new")
    (tmp_path / file.name).write_bytes(b"old ladder")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            replace_files(tmp_path, [file])
    assert list(tmp_path.iterdir()) == []
    replace_files(tmp_path, [file])
    assert (tmp_path / file.name).read_bytes() == b"new"

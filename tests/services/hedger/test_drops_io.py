from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from services.hedger.core import HedgerCore
from services.hedger.drops_io import HALF_WRITTEN_S, MOST_FILES, DropFolder
from shared.requests import Answer, BookFill, decode_answer
from tests.builders import SLUG
from tests.services.hedger.scene import AT_NS, fill, hedger_in_a_period


class Folder:
    """A drop folder and the hedger behind it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.drop = DropFolder(path)
        self.hedger: HedgerCore = hedger_in_a_period()

    def write(self, name: str, booking: BookFill) -> None:
        (self.path / name).write_bytes(msgspec.json.encode(booking))

    def take(self, *, later_s: float = 0.0) -> list[str]:
        return self.drop.take(self._answers, now_s=time.time() + later_s)

    def _answers(self, questions: list[bytes]) -> list[Answer]:
        return [decode_answer(each) for each in self.hedger.answer_all(questions, now_ns=AT_NS)]

    def names(self) -> list[str]:
        return sorted(each.name for each in self.path.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "drop")


def test_a_dropped_fill_is_booked_and_renamed(folder: Folder) -> None:
    folder.write("mm_hedge_1.json", fill())
    folder.write("other.json", fill("f2"))
    assert folder.take() == []
    assert folder.names() == ["mm_hedge_1.json.booked", "other.json"]
    assert folder.hedger.books.accounts[SLUG].fills == 1


def test_a_file_booked_before_a_crash_counts_once(folder: Folder) -> None:
    for _ in range(2):
        folder.write("mm_hedge_1.json", fill())
        folder.take()
    assert folder.names() == ["mm_hedge_1.json.booked"]
    assert folder.hedger.books.sequence == 1


def test_a_refused_file_has_its_reason_beside_it(folder: Folder) -> None:
    folder.write("mm_hedge_1.json", fill(price_micro=0))
    (said,) = folder.take()
    assert "price" in said
    assert folder.names() == ["mm_hedge_1.json.reason", "mm_hedge_1.json.refused"]
    assert (folder.path / "mm_hedge_1.json.reason").read_text().startswith("price:")


@pytest.mark.parametrize("text", ['{"query": "book_fill", "fill_id": "f', "", '{"query": "positions"}', "\xff"])
def test_a_half_written_file_waits_and_what_stays_no_booking_is_refused(folder: Folder, text: str) -> None:
    (folder.path / "mm_hedge.json").write_text(text, encoding="latin-1")
    assert folder.take() == []
    assert folder.names() == ["mm_hedge.json"]
    (said,) = folder.take(later_s=HALF_WRITTEN_S + 1)
    assert "malformed" in said
    assert "mm_hedge.json.refused" in folder.names()


def test_a_half_written_file_is_booked_when_it_is_whole(folder: Folder) -> None:
    whole = msgspec.json.encode(fill())
    (folder.path / "mm_hedge.json").write_bytes(whole[:-20])
    folder.take()
    (folder.path / "mm_hedge.json").write_bytes(whole)
    folder.take()
    assert folder.names() == ["mm_hedge.json.booked"]


def test_a_sale_waits_for_its_purchase_and_is_said_once(folder: Folder) -> None:
    folder.write("mm_hedge_1.json", fill("s", side="sell"))
    assert [each.partition(":")[0] for each in folder.take()] == ["mm_hedge_1.json waits"]
    assert folder.take() == []
    folder.write("mm_hedge_2.json", fill())
    folder.take()
    folder.take()
    assert folder.names() == ["mm_hedge_1.json.booked", "mm_hedge_2.json.booked"]


def test_a_file_that_is_far_too_large_is_refused_unread(folder: Folder) -> None:
    (folder.path / "mm_hedge.json").write_bytes(b" " * (1 << 17))
    (said,) = folder.take()
    assert "larger" in said


def test_a_folder_that_vanished_is_said_and_is_no_crash(folder: Folder) -> None:
    os.rmdir(folder.path)
    folder.path.write_text("in its place")
    assert folder.take() == []
    os.unlink(folder.path)
    folder.path.mkdir()
    folder.write("mm_hedge_1.json", fill())
    folder.take()
    assert folder.names() == ["mm_hedge_1.json.booked"]


@pytest.mark.parametrize("kind", ["folder", "loop", "gone", "pipe"])
def test_a_name_that_cannot_be_read_is_said_once_and_keeps_no_other_from_being_booked(
    folder: Folder, kind: str
) -> None:
    unreadable = folder.path / "mm_hedge_a.json"
    if kind == "folder":
        unreadable.mkdir()
    elif kind == "pipe":
        os.mkfifo(unreadable)
    else:
        unreadable.symlink_to(unreadable if kind == "loop" else folder.path / "gone")
    folder.write("mm_hedge_b.json", fill())
    (said,) = folder.take()
    assert said.startswith("mm_hedge_a.json cannot be read: ")
    assert folder.names() == ["mm_hedge_a.json", "mm_hedge_b.json.booked"]
    folder.write("mm_hedge_c.json", fill("c"))
    assert folder.take() == []
    assert folder.hedger.books.sequence == 2


def test_a_file_that_cannot_be_renamed_is_said_once_and_the_others_are_renamed(folder: Folder) -> None:
    (folder.path / "mm_hedge_1.json.booked").mkdir()
    (folder.path / "mm_hedge_2.json.refused").mkdir()
    folder.write("mm_hedge_1.json", fill())
    folder.write("mm_hedge_2.json", fill("f2", price_micro=0))
    folder.write("mm_hedge_3.json", fill("f3"))
    said = folder.take()
    assert ["cannot be renamed" in each for each in said] == [True, True]
    assert "mm_hedge_3.json.booked" in folder.names()
    assert folder.take() == []
    assert folder.hedger.books.accounts[SLUG].fills == 2


def test_a_pass_takes_so_many_files_and_the_next_goes_on_behind_them(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_FILES == 500
    monkeypatch.setattr("services.hedger.drops_io.MOST_FILES", 3)
    for number in range(4):  # sales that wait for a purchase that never comes
        folder.write(f"mm_hedge_{number}.json", fill(f"s{number}", side="sell", outcome="PUT"))
    folder.write("mm_hedge_9.json", fill())
    assert len(folder.take()) == 3
    assert "mm_hedge_9.json" in folder.names()
    folder.take()
    assert "mm_hedge_9.json.booked" in folder.names()

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.executor.courier_io import Answered, Courier
from shared.requests import BookFill, Status
from tests.services.executor.ledger import FakeLedger
from tests.services.executor.test_period_orders import fill_of

Verdict = Callable[[BookFill, int], Status | bytes | None]


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/hedger"


@pytest.fixture
def courier(address: str) -> Iterator[Courier]:
    made = Courier(address, try_s=0.2)
    yield made
    made.close()


def collect(courier: Courier, count: int) -> list[Answered]:
    """Poll for this many answers; the test's own time limit is the deadline."""
    found: list[Answered] = []
    while len(found) < count:
        found += courier.answers()
        time.sleep(0.005)
    return found


def test_fills_are_booked_in_order_and_answered_once(courier: Courier, address: str) -> None:
    ledger = FakeLedger(address, lambda _fill, _times: "ok")
    fills = [fill_of(number) for number in range(20)]
    for fill in fills:
        courier.bring(fill)
    answers = collect(courier, 20)
    assert [(each.fill_id, each.entry) for each in answers] == [
        (each.fill_id, place) for place, each in enumerate(fills, 1)
    ]
    assert ledger.booked == fills
    assert courier.tries == 20
    ledger.close()


@pytest.mark.parametrize("lost", [None, "unavailable", b"junk", b"\x81\xa7version\x63"])
def test_what_is_no_answer_is_asked_again_before_the_next_fill(
    courier: Courier, address: str, lost: Status | bytes | None
) -> None:
    ledger = FakeLedger(address, lambda fill, times: lost if fill.fill_id == "f1" and times < 3 else "ok")
    for number in (1, 2):
        courier.bring(fill_of(number))
    answers = collect(courier, 2)
    assert [(each.fill_id, each.entry) for each in answers] == [("f1", 1), ("f2", 2)]
    assert sorted(set(ledger.asked), key=ledger.asked.index) == ["f1", "f2"]
    assert ledger.asked.count("f1") >= 3
    assert [each.fill_id for each in ledger.booked] == ["f1", "f2"]
    ledger.close()


def test_a_refusal_is_final_and_the_next_fill_goes_on(courier: Courier, address: str) -> None:
    ledger = FakeLedger(address, lambda fill, _times: "refused" if fill.fill_id == "f1" else "ok")
    for number in (1, 2):
        courier.bring(fill_of(number))
    answers = collect(courier, 2)
    assert [(each.fill_id, each.entry, each.detail) for each in answers] == [
        ("f1", None, "as told"),
        ("f2", 1, "ok"),
    ]
    ledger.close()


@pytest.mark.parametrize("status", ["unknown_market", "malformed", "unavailable"])
def test_a_fill_the_ledger_cannot_book_yet_holds_up_its_own_market_only(
    courier: Courier, address: str, status: Status
) -> None:
    served = {"btc-15m"}
    ledger = FakeLedger(address, lambda fill, _times: "ok" if fill.market in served else status)
    for number in (1, 2):
        courier.bring(fill_of(number, market="eth-15m"))
    for number in (3, 4):
        courier.bring(fill_of(number))
    assert [each.fill_id for each in collect(courier, 2)] == ["f3", "f4"]
    while ledger.asked.count("f1") < 3:
        time.sleep(0.005)
    assert courier.answers() == []
    assert "f2" not in ledger.asked
    said = courier.put_offs()
    assert [(each.fill_id, each.detail) for each in said] == (
        [] if status == "unavailable" else [("f1", f"{status}: as told")]
    )
    served.add("eth-15m")
    assert [(each.fill_id, each.entry) for each in collect(courier, 2)] == [("f1", 3), ("f2", 4)]
    assert [each.fill_id for each in ledger.booked] == ["f3", "f4", "f1", "f2"]
    ledger.close()


def test_nobody_there_is_no_hurry_and_no_hang(courier: Courier, address: str) -> None:
    courier.bring(fill_of(1))
    while courier.tries < 2:
        time.sleep(0.005)
    assert courier.answers() == []
    ledger = FakeLedger(address, lambda _fill, _times: "ok")
    assert [each.fill_id for each in collect(courier, 1)] == ["f1"]
    ledger.close()

from __future__ import annotations

import signal
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backtest import parts
from backtest.events import Events
from backtest.events_io import EventsError
from backtest.parts import EventsFolder, Part, Played, Recording, first_pass, parts_of, play_part, told
from backtest.tape_io import read_tapes
from shared.config import MMConfig, load_config
from tests.backtest.small_sample import MARKET, part_folders, sample_folder, small_tapes
from tests.backtest.test_tape import are_equal


class Interrupted(NamedTuple):
    """A part in which Ctrl-C comes."""

    name: str = "interrupted"

    def load(self) -> Events:
        raise KeyboardInterrupt


class Broken(NamedTuple):
    """A part that cannot be read."""

    name: str = "broken"

    def load(self) -> Events:
        raise EventsError("broken: as asked")


def two_parts() -> list[Part]:
    return parts_of([sample_folder()], [])


def tapes_in(played: Played) -> list[Any]:
    return [tape for place in played.tapes for tape in read_tapes(place)]


def test_a_folder_of_events_is_a_part_and_a_folder_of_such_folders_one_each(tmp_path: Path) -> None:
    first, second = part_folders()
    assert parts_of([first], []) == [EventsFolder(first)]
    assert parts_of([sample_folder(), first], []) == [EventsFolder(first), EventsFolder(second), EventsFolder(first)]
    assert parts_of([tmp_path], ["btc-15m"]) == [Recording(tmp_path, ("btc-15m",))]
    assert [each.name for each in parts_of([sample_folder(), tmp_path], [])] == [first.name, second.name, tmp_path.name]


def test_a_part_loads_what_lies_there_and_a_recording_of_no_make_is_refused(tmp_path: Path) -> None:
    assert {each.market for each in EventsFolder(part_folders()[0]).load().periods} == {MARKET}
    with pytest.raises(EventsError, match="not a recording of a known make"):
        Recording(tmp_path, ()).load()


def test_only_the_chosen_markets_are_played(tmp_path: Path) -> None:
    part = two_parts()[0]
    everything = play_part(part, [load_config()], [], tmp_path)
    chosen = play_part(part, [load_config()], [MARKET], tmp_path)
    other = play_part(part, [load_config()], ["btc-15m"], tmp_path)
    assert chosen == everything
    assert are_equal(tapes_in(chosen)[0], small_tapes()[0])
    assert tapes_in(other) == []
    assert 0 < other.events < chosen.events  # spot and oracle belong to every market of the coin


def test_two_configurations_played_together_give_the_tapes_of_each_played_alone(tmp_path: Path) -> None:
    part = two_parts()[0]
    configs = [load_config(), MMConfig.model_validate({"limits": {"book_s": 1.0}})]
    together = play_part(part, configs, [], tmp_path / "together")
    for place, config in zip(together.tapes, configs, strict=True):
        alone = play_part(part, [config], [], tmp_path / "alone")
        (one,), (other,) = read_tapes(place), tapes_in(alone)
        assert are_equal(one, other)
    assert together.tapes[0] != together.tapes[1]


def test_parts_come_in_the_order_given_from_one_process_and_from_several_and_so_does_what_is_wrong(
    tmp_path: Path,
) -> None:
    heard: list[str] = []
    there = two_parts()[::-1]
    one = list(first_pass(there, [load_config()], [], tmp_path / "one", finished=heard.append))
    assert heard == [each.name for each in there] == [each.name for each in one]
    several: list[Played] = []
    with pytest.raises(EventsError, match="broken: as asked"):
        several.extend(
            first_pass([*there, Broken()], [load_config()], [], tmp_path / "more", workers=2, finished=heard.append)
        )
    assert Counter(heard) == {each.name: 2 for each in there} | {"broken": 1}
    assert [each.name for each in several] == [each.name for each in there]
    for a, b in zip(one, several, strict=True):
        assert a._replace(tapes=()) == b._replace(tapes=())
        assert all(are_equal(x, y) for x, y in zip(tapes_in(a), tapes_in(b), strict=True))


def test_ctrl_c_in_this_process_keeps_the_parts_before_it(tmp_path: Path) -> None:
    first, second = two_parts()
    played = first_pass([first, Interrupted(), second], [load_config()], [], tmp_path)
    assert [each.name for each in played] == [first.name]


class FakePool:
    """Runs nothing until it is asked to: the first future is running, the others stand in line."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.futures: list[Future[Played]] = []
        self.is_shut_down = False

    def submit(self, *_: Any) -> Future[Played]:
        future: Future[Played] = Future()
        if not self.futures:
            future.set_running_or_notify_cancel()
        self.futures.append(future)
        return future

    def shutdown(self, *, cancel_futures: bool) -> None:
        self.is_shut_down = cancel_futures


def interrupt_waits(monkeypatch: pytest.MonkeyPatch, *, times: int) -> FakePool:
    """While the first of a fake pool's parts is played, Ctrl-C comes so many times; then it is done."""
    pool = FakePool()
    left = iter(range(times))

    def waiting(futures: set[Future[Played]], return_when: str) -> Any:
        assert return_when == FIRST_COMPLETED
        if next(left, None) is not None:
            raise KeyboardInterrupt
        pool.futures[0].set_result(Played("first", (), "fake", (), {}, 1))
        return wait(futures, return_when=FIRST_COMPLETED)

    monkeypatch.setattr(parts, "ProcessPoolExecutor", lambda *_, **__: pool)
    monkeypatch.setattr(parts, "wait", waiting)
    return pool


def test_ctrl_c_lets_running_parts_finish_and_begins_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = interrupt_waits(monkeypatch, times=1)
    heard: list[str] = []
    there: list[Part] = [Broken("first"), Broken("second"), Broken("third")]
    played = list(first_pass(there, [load_config()], [], tmp_path, workers=2, finished=heard.append))
    assert [each.name for each in played] == heard == ["first"]
    assert [each.cancelled() for each in pool.futures] == [False, True, True]
    assert pool.is_shut_down


def test_a_second_ctrl_c_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = interrupt_waits(monkeypatch, times=2)
    with pytest.raises(KeyboardInterrupt):
        list(first_pass([Broken("first"), Broken("second")], [load_config()], [], tmp_path, workers=2))
    assert pool.is_shut_down


def test_processes_leave_interrupts_to_the_parent() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        parts._leave_interrupts()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_sources_notes_and_drops_of_all_parts_are_told_once() -> None:
    one = Played("a", (), "wire", ("one clock",), {"bad_line": 2}, 5)
    other = Played("b", (), "simulated", ("one clock", "no trades"), {"bad_line": 1, "late": 4}, 6)
    expected = ("wire, simulated", ("one clock", "no trades"), {"bad_line": 3, "late": 4})
    assert told([one, one._replace(drops={}), other]) == expected

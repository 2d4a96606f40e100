from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from backtest import tape_io
from backtest.events import Events
from backtest.tape import Tape
from backtest.tape_io import (
    code_hash,
    engine_hash,
    events_hash,
    keep_tapes,
    read_tapes,
    tape_name,
    tapes_from,
    write_tapes,
)
from shared.config import MMConfig, load_config
from tests.backtest.small_sample import MARKET, first_events, small_tapes
from tests.backtest.test_tape import are_equal


@pytest.fixture
def events() -> Events:
    return first_events()


@pytest.fixture
def tapes() -> list[Tape]:
    return list(small_tapes())


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_tapes_come_back_as_they_were_written(tmp_path: Path, tapes: list[Tape]) -> None:
    unknown = tapes[0]._replace(winner=None)
    write_tapes([*tapes, unknown], tmp_path / "kept")
    found = read_tapes(tmp_path / "kept")
    assert len(found) == 3
    assert all(are_equal(a, b) for a, b in zip(found, [*tapes, unknown], strict=True))
    assert found[2].winner is None
    assert names(tmp_path) == ["kept"]


def test_tapes_on_disk_are_those_that_the_events_make(events: Events, tapes: list[Tape]) -> None:
    ((fresh,),) = tapes_from(events, [load_config()], [MARKET])
    assert are_equal(fresh, tapes[0])
    assert fresh.winner == events.labels[0].outcome


def test_an_event_a_setting_a_market_or_code_that_differs_gives_another_name(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = MMConfig()
    usual = tape_name(events, config, [MARKET])
    spot = events.spot.copy()
    spot["bid"][7] += 0.01
    relabeled = events._replace(labels=tuple(each._replace(outcome="PUT") for each in events.labels))
    if relabeled.labels == events.labels:
        relabeled = events._replace(labels=())
    assert events_hash(events._replace(spot=spot)) != events_hash(events)
    others = [
        tape_name(events._replace(spot=spot), config, [MARKET]),
        tape_name(relabeled, config, [MARKET]),
        tape_name(events, MMConfig.model_validate({"limits": {"book_s": 1.0}}), [MARKET]),
        tape_name(events, config, [MARKET, "btc-15m"]),
    ]
    monkeypatch.setattr(tape_io, "code_hash", lambda: "another text")
    others.append(tape_name(events, config, [MARKET]))
    assert len({usual, *others}) == 6


def test_the_order_of_markets_and_what_only_the_second_pass_reads_keep_the_name(events: Events) -> None:
    assert tape_name(events, MMConfig(base_spread=0.03), [MARKET]) == tape_name(events, MMConfig(), [MARKET])
    one, other = ([MARKET, "eth-5m"], ["eth-5m", MARKET])
    assert tape_name(events, MMConfig(), one) == tape_name(events, MMConfig(), other)


def code_tree(folder: Path) -> Path:
    """A tree of files that a hash reads, and one that it does not."""
    root = folder / "code"
    for name in ("shared", "services/analyzers", "services/quoter", "services/executor", "backtest"):
        (root / name).mkdir(parents=True)
    for name in ("tape", "session", "event_messages", "events", "records", "loop", "engine", "evaluator", "report"):
        (root / f"backtest/{name}.py").write_text("x = 1\n")
    return root


def test_the_hash_of_the_code_sees_every_text_that_writes_a_tape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = code_tree(tmp_path)
    monkeypatch.setattr(tape_io, "_ROOT", root)
    seen = [code_hash.__wrapped__()]
    for name in ("shared/new.py", "services/quoter/new.py", "services/analyzers/new.py", "backtest/tape.py"):
        (root / name).write_text("y = 2\n")
        seen.append(code_hash.__wrapped__())
    assert len(set(seen)) == 5
    (root / "backtest/report.py").write_text("y = 2\n")
    assert code_hash.__wrapped__() == seen[-1]


def test_the_hash_of_the_engine_sees_every_text_that_decides_a_fill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = code_tree(tmp_path)
    monkeypatch.setattr(tape_io, "_ROOT", root)
    whole = [engine_hash.__wrapped__()]
    for name in ("backtest/loop.py", "backtest/engine.py", "services/executor/plan.py", "backtest/tape.py"):
        (root / name).write_text("z = 3\n")
        whole.append(engine_hash.__wrapped__())
    assert len(set(whole)) == 5


def test_what_was_played_once_is_not_played_again(
    tmp_path: Path, events: Events, tapes: list[Tape], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config()
    write_tapes(tapes[:1], tmp_path / tape_name(events, config, [MARKET]))
    monkeypatch.setattr(tape_io, "tapes_from", None)  # to call it would fail
    (place,) = keep_tapes(events, [config], [MARKET], tmp_path)
    assert are_equal(read_tapes(place)[0], tapes[0])


def test_a_folder_that_was_not_finished_is_never_taken_for_whole(
    tmp_path: Path, tapes: list[Tape], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_one = np.savez

    def interrupted(path: Path, **arrays: np.ndarray) -> None:
        if "000001" in str(path):
            raise KeyboardInterrupt
        write_one(path, **arrays)

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_tapes(tapes, tmp_path / "kept")
    assert names(tmp_path) == []


def test_writers_at_the_same_time_leave_one_whole_folder(tmp_path: Path, tapes: list[Tape]) -> None:
    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(write_tapes, tapes, tmp_path / "kept") for _ in range(8)]:
            each.result()
    assert names(tmp_path) == ["kept"]
    assert all(are_equal(a, b) for a, b in zip(read_tapes(tmp_path / "kept"), tapes, strict=True))


def test_a_folder_that_cannot_be_written_is_an_error_and_not_no_tapes(tmp_path: Path, tapes: list[Tape]) -> None:
    (tmp_path / "kept").write_text("somebody's file")
    with pytest.raises(OSError, match="kept"):
        write_tapes(tapes[:1], tmp_path / "kept")
    assert names(tmp_path) == ["kept"]


def test_a_period_of_which_nothing_was_seen_has_no_tape(events: Events) -> None:
    blind = events._replace(books=events.books[:0], levels=events.levels[:0], trades=events.trades[:0])
    assert tapes_from(blind, [load_config()], [MARKET]) == [[]]


def test_configurations_with_other_analyzers_are_kept_each_by_itself(tmp_path: Path, events: Events) -> None:
    configs = [load_config(), MMConfig.model_validate({"techniques": {"regime": False}})]
    together = keep_tapes(events, configs, [MARKET], tmp_path / "together")
    alone = [keep_tapes(events, [each], [MARKET], tmp_path / "alone")[0] for each in configs]
    assert [each.name for each in together] == [each.name for each in alone]
    assert together[0] != together[1]
    for one, other in zip(together, alone, strict=True):
        assert are_equal(read_tapes(one)[0], read_tapes(other)[0])
    shutil.rmtree(together[0])
    assert keep_tapes(events, configs, [MARKET], tmp_path / "together") == together

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from bot.commands import Command
from bot.supervisor import Supervisor, configuration_message, death_reason

LIVES = "import time, sys; print('alive', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LIVES}"


def child(name: str, program: str) -> Command:
    return Command(name, ("-c", textwrap.dedent(program)), {})


def make_supervisor(tmp_path: Path, **options: object) -> Supervisor:
    options = {"first_wait_s": 0.01, "grace_s": 5.0} | options
    return Supervisor(logs=tmp_path / "logs", log=structlog.get_logger(), **options)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    """Poll a condition; the test's own time limit is the deadline."""
    while not condition():
        await asyncio.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def log_of(tmp_path: Path, name: str) -> str:
    path = tmp_path / "logs" / f"{name}.log"
    return path.read_text() if path.exists() else ""


def test_a_part_that_crashes_is_restarted_and_its_last_words_are_kept(tmp_path: Path) -> None:
    marker = tmp_path / "crashed once"
    program = f"""
        import pathlib, sys, time
        marker = pathlib.Path({str(marker)!r})
        if not marker.exists():
            marker.touch()
            print('{{"event": "crashed", "error": "out of cheese"}}', file=sys.stderr)
            sys.exit(1)
        print("second life", flush=True)
        time.sleep(600)
    """
    deaths: list[tuple[str, str]] = []

    async def scenario() -> None:
        supervisor = make_supervisor(tmp_path, on_death=lambda name, reason: deaths.append((name, reason)))
        supervisor.start([child("quoter", program)])
        await until(lambda: "second life" in log_of(tmp_path, "quoter"))
        part = supervisor.parts["quoter"]
        assert (part.phase, part.restarts, part.last_death) == ("running", 1, "exit 1: crashed: out of cheese")
        await supervisor.stop()
        assert part.phase == "stopped"

    asyncio.run(scenario())
    assert deaths == [("quoter", "exit 1: crashed: out of cheese")]


def test_a_part_that_is_killed_from_outside_comes_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        supervisor = make_supervisor(tmp_path)
        supervisor.start([child("sink", LIVES)])
        part = supervisor.parts["sink"]
        await until(lambda: part.pid is not None)
        first = part.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: part.pid not in (None, first))
        assert part.last_death == "killed by SIGKILL"
        await supervisor.stop()

    asyncio.run(scenario())


def test_a_part_that_hangs_can_be_killed_with_a_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        supervisor = make_supervisor(tmp_path)
        supervisor.start([child("sink", STUBBORN)])
        part = supervisor.parts["sink"]
        await until(lambda: part.pid is not None)
        supervisor.kill("sink", "hung: no heartbeat")
        await until(lambda: part.restarts == 1)
        assert part.last_death == "hung: no heartbeat"
        supervisor.kill_all()
        await supervisor.stop()

    asyncio.run(scenario())


def test_a_wrong_configuration_is_not_retried_and_its_message_is_passed_on(tmp_path: Path) -> None:
    program = "import sys; print('configuration: MM_MARKTS: did you mean MM_MARKETS?', file=sys.stderr); sys.exit(2)"

    async def scenario() -> None:
        supervisor = make_supervisor(tmp_path)
        supervisor.start([child("quoter", program), child("sink", LIVES)])
        await supervisor.failed.wait()
        assert supervisor.failure == (2, "configuration: MM_MARKTS: did you mean MM_MARKETS?")
        assert supervisor.parts["quoter"].restarts == 0
        await supervisor.stop()
        assert (supervisor.parts["quoter"].phase, supervisor.parts["sink"].phase) == ("failed", "stopped")

    asyncio.run(scenario())


def test_a_part_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        supervisor = make_supervisor(tmp_path, max_young_deaths=3)
        supervisor.start([child("quoter", "raise RuntimeError('no luck')")])
        await supervisor.failed.wait()
        assert supervisor.failure == (
            4,
            "quoter died 3 times in a row; the last time: exit 1: RuntimeError: no luck",
        )
        assert supervisor.parts["quoter"].restarts == 2
        await supervisor.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["recorder", "regime"])
def test_a_part_that_is_not_needed_to_quote_is_given_up_without_the_bot(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        supervisor = make_supervisor(tmp_path, max_young_deaths=2)
        supervisor.start([child(name, "raise RuntimeError('no luck')"), child("quoter", LIVES)])
        part = supervisor.parts[name]
        await until(lambda: part.phase == "failed")
        assert (supervisor.failure, supervisor.failed.is_set()) == (None, False)
        assert part.last_death == f"{name} died 2 times in a row; the last time: exit 1: RuntimeError: no luck"
        await until(lambda: supervisor.parts["quoter"].phase == "running")
        await supervisor.stop()
        assert (part.phase, supervisor.parts["quoter"].phase) == ("failed", "stopped")

    asyncio.run(scenario())


def test_stopping_goes_from_the_quoter_to_the_broker_and_leaves_nobody(tmp_path: Path) -> None:
    order = tmp_path / "order"

    def part(name: str) -> Command:
        return child(
            name,
            f"""
            import signal, sys, time
            def stop(*_):
                with open({str(order)!r}, "a") as file:
                    file.write("{name} ")
                sys.exit(0)
            signal.signal(signal.SIGTERM, stop)
            print("alive", flush=True)
            time.sleep(600)
            """,
        )

    names = ("broker", "sink", "bybit", "quoter")
    pids: list[int] = []

    async def scenario() -> None:
        supervisor = make_supervisor(tmp_path)
        supervisor.start(part(name) for name in names)
        await until(lambda: all("alive" in log_of(tmp_path, name) for name in names))
        pids.extend(each.pid for each in supervisor.parts.values() if each.pid is not None)
        await supervisor.stop()

    asyncio.run(scenario())
    assert order.read_text().split() == ["quoter", "bybit", "sink", "broker"]
    assert len(pids) == 4
    assert not any(is_alive(pid) for pid in pids)


def test_a_part_that_ignores_the_request_is_killed_after_the_grace_time(tmp_path: Path) -> None:
    async def scenario() -> int:
        supervisor = make_supervisor(tmp_path, grace_s=0.2)
        supervisor.start([child("bybit", STUBBORN)])
        await until(lambda: "alive" in log_of(tmp_path, "bybit"))
        pid = supervisor.parts["bybit"].pid
        assert pid is not None
        await supervisor.stop()
        return pid

    assert not is_alive(asyncio.run(scenario()))


def test_stopping_while_a_part_waits_to_be_restarted_does_not_start_it(tmp_path: Path) -> None:
    async def scenario() -> float:
        supervisor = make_supervisor(tmp_path, first_wait_s=60.0)
        supervisor.start([child("flow", "raise SystemExit(1)")])
        await until(lambda: supervisor.parts["flow"].phase == "waiting")
        begin_s = time.monotonic()
        await supervisor.stop()
        assert supervisor.parts["flow"].restarts == 0
        return time.monotonic() - begin_s

    assert asyncio.run(scenario()) < 5.0


def test_a_part_that_cannot_be_started_fails_the_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python here"))

    async def scenario() -> None:
        supervisor = make_supervisor(tmp_path)
        supervisor.start([child("quoter", LIVES)])
        await supervisor.failed.wait()
        assert supervisor.failure is not None
        assert supervisor.failure.exit_code == 4
        assert "no python here" in supervisor.failure.message
        await supervisor.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("exit_code", "lines", "reason"),
    [
        (
            1,
            ['{"event": "no bus", "error": "nobody answered"}', '{"event": "stopped", "level": "info"}'],
            "exit 1: no bus: nobody answered",
        ),
        (1, ["Traceback (most recent call last):", "ValueError: wrong"], "exit 1: ValueError: wrong"),
        (-11, [], "killed by SIGSEGV"),
        (-64, [], "killed by SIGRTMAX"),
        (0, [], "exit 0"),
    ],
)
def test_a_death_is_told_in_one_line(exit_code: int, lines: list[str], reason: str) -> None:
    assert death_reason(exit_code, lines) == reason


def test_a_configuration_message_leaves_out_the_log_lines() -> None:
    assert configuration_message("sink", ['{"event": "x"}', "configuration: wrong"]) == "configuration: wrong"
    assert "sink" in configuration_message("sink", [])


def test_a_taken_port_of_the_simulator_is_told_with_its_remedy() -> None:
    said = "simulator: [Errno 98] error while attempting to bind on address ('127.0.0.1', 80): address already in use"
    assert configuration_message("simulator", [said]).startswith(said)
    assert "start the bot again" in configuration_message("simulator", [said])

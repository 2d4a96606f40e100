"""Starts the parts, starts them again when they die, and stops them in order.

A part that ends unasked is restarted with capped, jittered back-off; the back-off begins anew once it lived for a
while. Exit code 2 means that its configuration is wrong: a restart would not help, so the whole bot stops. A part
that keeps dying young is given up, and the bot stops too, unless it can quote without that part.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from structlog.typing import FilteringBoundLogger
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from bot import exit_codes
from bot.commands import NOT_NEEDED_TO_QUOTE, SIMULATOR, Command, python, stop_groups
from bot.logs_io import cap_log, last_words, open_log, tail

FIRST_WAIT_S = 0.2
MAX_WAIT_S = 15.0
HEALTHY_AFTER_S = 30.0  # a part that lived this long died of something new
MAX_YOUNG_DEATHS = 10
GRACE_S = 5.0
SPAWN_LOOK_S = 0.005
CAP_LOGS_EACH_S = 5.0

PartPhase = Literal["starting", "running", "waiting", "stopped", "failed"]


class PartDiedError(Exception):
    """A part ended unasked; the text says how and what it said last."""


class Failure(NamedTuple):
    """Why the whole bot must stop."""

    exit_code: int
    message: str


@dataclass
class PartState:
    """One part: whether it runs, how often it had to be restarted, and why the last time."""

    command: Command
    phase: PartPhase = "starting"
    pid: int | None = None
    started_s: float = 0.0
    restarts: int = 0
    last_death: str = ""
    kill_reason: str = ""
    child: asyncio.subprocess.Process | None = field(default=None, repr=False)
    keeper: asyncio.Task[None] | None = field(default=None, repr=False)


class Supervisor:
    """Keeps the parts running until told to stop. Lives in one event loop.

    `on_death` is called with the part's name and the reason each time one ended unasked, before it is restarted.
    """

    def __init__(
        self,
        *,
        logs: Path,
        log: FilteringBoundLogger,
        on_death: Callable[[str, str], None] = lambda _name, _reason: None,
        first_wait_s: float = FIRST_WAIT_S,
        grace_s: float = GRACE_S,
        max_young_deaths: int = MAX_YOUNG_DEATHS,
    ) -> None:
        self.parts: dict[str, PartState] = {}
        self.failure: Failure | None = None
        self.failed = asyncio.Event()
        self._logs = logs
        self._log = log
        self._on_death = on_death
        self._wait = wait_exponential_jitter(multiplier=first_wait_s, max=MAX_WAIT_S, jitter=first_wait_s)
        self._grace_s = grace_s
        self._max_young_deaths = max_young_deaths
        self._stopping = False
        self._spawning: set[str] = set()
        self._capper: asyncio.Task[None] | None = None

    def start(self, commands: Iterable[Command]) -> None:
        """Start these parts and keep them running."""
        for command in commands:
            part = PartState(command)
            self.parts[command.name] = part
            part.keeper = asyncio.create_task(self._keep(part), name=f"keep {command.name}")
        if self._capper is None:
            self._capper = asyncio.create_task(self._cap_logs())

    def kill(self, name: str, reason: str) -> None:
        """End a part that hangs; it is restarted like any that dies."""
        part = self.parts[name]
        if part.child is not None and part.child.returncode is None:
            part.kill_reason = reason
            part.child.kill()

    async def stop(self) -> None:
        """Stop every part, group by group; what does not go within the grace time is killed. None is left."""
        self._stopping = True
        while self._spawning:  # a start that is interrupted halfway leaves a child that nobody waits for
            await asyncio.sleep(SPAWN_LOOK_S)
        for part in self.parts.values():
            if part.keeper is not None and part.child is None:
                part.keeper.cancel()
        for group in stop_groups(self.parts):
            await asyncio.gather(*(self._stop_part(self.parts[name]) for name in group))
        if self._capper is not None:
            self._capper.cancel()

    def kill_all(self) -> None:
        """End everything now, without order: the second Ctrl-C."""
        self._stopping = True
        for part in self.parts.values():
            if part.child is not None and part.child.returncode is None:
                part.child.kill()

    async def _stop_part(self, part: PartState) -> None:
        child = part.child
        asked_s = time.monotonic()
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            try:
                await asyncio.wait_for(child.wait(), self._grace_s)
            except TimeoutError:
                self._log.warning("killed: it did not stop", part=part.command.name, grace_s=self._grace_s)
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
            self._log.info("stopped", part=part.command.name, took_s=round(time.monotonic() - asked_s, 2))
        if part.keeper is not None:
            part.keeper.cancel()
            await asyncio.gather(part.keeper, return_exceptions=True)
        if part.phase != "failed":
            part.phase = "stopped"

    async def _keep(self, part: PartState) -> None:
        def note(retry: RetryCallState) -> None:
            part.phase = "waiting"
            wait_s = retry.upcoming_sleep
            self._log.warning("restarting", part=part.command.name, reason=part.last_death, wait_s=round(wait_s, 2))

        try:
            while not self._stopping:
                async for attempt in AsyncRetrying(
                    wait=self._wait,
                    stop=stop_after_attempt(self._max_young_deaths),
                    retry=retry_if_exception_type(PartDiedError),
                    before_sleep=note,
                    reraise=True,
                ):
                    with attempt:
                        await self._live_once(part)
        except PartDiedError as error:
            self._fail(
                part,
                exit_codes.PART_FAILED,
                f"{part.command.name} died {self._max_young_deaths} times in a row; the last time: {error}",
            )
        except OSError as error:
            self._fail(part, exit_codes.PART_FAILED, f"{part.command.name} cannot be started: {error}")

    def _fail(self, part: PartState, exit_code: int, message: str) -> None:
        part.phase = "failed"
        if exit_code == exit_codes.PART_FAILED and part.command.name in NOT_NEEDED_TO_QUOTE:
            part.last_death = message
            self._log.error("given up: the bot quotes without it", part=part.command.name, reason=message)
            return
        if self.failure is None:
            self.failure = Failure(exit_code, message)
            self.failed.set()

    async def _live_once(self, part: PartState) -> None:
        """One life of a part. Returns when a long one ended; raises PartDiedError after a short one."""
        log_path = self._logs / f"{part.command.name}.log"
        if part.last_death:
            part.restarts += 1
        log_fd = open_log(log_path)
        self._spawning.add(part.command.name)
        try:
            written_before = os.fstat(log_fd).st_size
            part.child = await asyncio.create_subprocess_exec(
                *python(part.command),
                env=os.environ | part.command.environment | {"MM_SUPERVISOR_PID": str(os.getpid())},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops the parts in order
            )
        finally:
            self._spawning.discard(part.command.name)
            os.close(log_fd)
        part.pid, part.started_s, part.phase = part.child.pid, time.monotonic(), "running"
        exit_code = await part.child.wait()
        lived_s = time.monotonic() - part.started_s
        part.child, part.pid = None, None
        if self._stopping:
            return
        lines = tail(log_path, written_before)
        part.last_death = death_reason(exit_code, lines, part.kill_reason)
        part.kill_reason = ""
        self._on_death(part.command.name, part.last_death)
        if exit_code == exit_codes.CONFIGURATION:
            self._fail(part, exit_codes.CONFIGURATION, configuration_message(part.command.name, lines))
            await asyncio.Event().wait()  # until the bot stops
        if lived_s < HEALTHY_AFTER_S:
            raise PartDiedError(part.last_death)
        self._log.warning("restarting", part=part.command.name, reason=part.last_death, lived_s=round(lived_s, 1))

    async def _cap_logs(self) -> None:
        while True:
            await asyncio.sleep(CAP_LOGS_EACH_S)
            for name in self.parts:
                cap_log(self._logs / f"{name}.log")


def death_reason(exit_code: int, lines: Sequence[str], kill_reason: str = "") -> str:
    """How a part ended and what it said last: `killed by SIGSEGV`, `exit 1: no bus: no broker answered`."""
    if kill_reason:
        return kill_reason
    if exit_code < 0:
        try:
            how = f"killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            how = f"killed by signal {-exit_code}"
    else:
        how = f"exit {exit_code}"
    said = last_words(list(lines))
    return f"{how}: {said}" if said else how


def configuration_message(name: str, lines: Sequence[str]) -> str:
    """What a part with a wrong configuration printed: its plain lines."""
    plain = [line.strip() for line in lines if not line.lstrip().startswith("{")]
    said = "\n".join(plain[-10:]) or f"{name}: exit 2 without a word: see its log"
    if name == SIMULATOR and "address already in use" in said:
        return f"{said}\nanother program took the port that was free a moment ago: start the bot again"
    return said

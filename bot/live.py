"""One run of the live system: lock the folder, start the parts, show them, stop them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator

import structlog
from structlog.typing import FilteringBoundLogger
from tenacity import AsyncRetrying, retry_if_exception_type, wait_fixed

from bot import exit_codes
from bot.bus_view import BusView
from bot.cli import BotSettings, Options
from bot.commands import FEEDS, NOT_NEEDED_TO_QUOTE, commands
from bot.folder_io import (
    BotFile,
    FolderTakenError,
    FolderUnusableError,
    lock_folder,
    overdue_s,
    pull_quotes,
    quotes_age_s,
)
from bot.ledger_place import LedgerPlace, ledger_place
from bot.lines import state_line
from bot.logs_io import cap_log
from bot.panel import Screen, show
from bot.supervisor import PartState, Supervisor
from services.sink.view import PartView, SystemView
from shared.bus import Endpoints
from shared.config import MMConfig
from shared.lossy_io import LossyText
from shared.market import NS_PER_S
from shared.service import configure_logging, load_settings, open_bus

LINE_EACH_S = 1.0
WATCH_EACH_S = 0.5
CHECK_LEASES_EACH_S = 0.25
OVERDUE_S = 0.5  # a living sink ends a lease within a hundredth of a second
STARTING_S = 15.0  # a part that starts may be silent
SINK_SILENT_S = 3.0  # a sink that lives and has not replaced its files for this long hangs
PART_SILENT_S = 30.0  # so does a part without a heartbeat


def run_live(options: Options, config: MMConfig) -> int:
    """Run until stopped; returns the exit code."""
    with _bus_address() as bus:
        endpoints = open_bus(load_settings(BotSettings), bus, serves=True)
        ledger = ledger_place(options)
        bot = BotFile(pid=os.getpid(), bus=bus, markets=options.markets, venues=options.venues, notice=ledger.notice)
        try:
            with lock_folder(options.out, bot), _logging(options) as log:
                try:
                    pull_quotes(options.out, options.markets, "starting")
                    return asyncio.run(_run(options, config, bus, endpoints, ledger, log))
                finally:
                    pull_quotes(options.out, options.markets, "stopped")
        except FolderTakenError as error:
            print(f"mm_bot.py: {error}", file=sys.stderr)
            return exit_codes.ALREADY_RUNNING
        except FolderUnusableError as error:
            print(f"mm_bot.py: {error}", file=sys.stderr)
            return exit_codes.CONFIGURATION


@contextlib.contextmanager
def _bus_address() -> Iterator[str]:
    given = os.environ.get("MM_BUS")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="mm-", ignore_cleanup_errors=True) as folder:
        yield f"ipc://{folder}/bus"


async def _run(
    options: Options, config: MMConfig, bus: str, endpoints: Endpoints, ledger: LedgerPlace, log: FilteringBoundLogger
) -> int:
    return await _Run(options, config, bus, endpoints, ledger, log).run()


class _Run:
    def __init__(
        self,
        options: Options,
        config: MMConfig,
        bus: str,
        endpoints: Endpoints,
        ledger: LedgerPlace,
        log: FilteringBoundLogger,
    ) -> None:
        self._options = options
        self._config = config
        self._bus = bus
        self._ledger = ledger
        self._log = log
        self._stop = asyncio.Event()
        self._supervisor = Supervisor(logs=options.out / "logs", log=log, on_death=self._on_death)
        self._bus_view = BusView(endpoints, options.series)
        self._began_s = time.monotonic()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        if self._options.duration_s is not None:
            loop.call_later(self._options.duration_s, self._stop.set)
        self._log.info(
            "paper execution" if self._ledger.is_paper else "no execution: fills made elsewhere are booked",
            ledger=self._ledger.shown,
            is_continued=self._ledger.is_continued,  # positions of the running period stand, and count
            bus=self._bus,
        )
        work = (
            self._start(),
            self._bus_view.follow(),
            self._bus_view.follow_results(),
            self._display(),
            self._watch_for_hangs(),
            self._enforce_leases(),
        )
        tasks = [asyncio.create_task(job) for job in work]
        events = (self._stop, self._supervisor.failed)
        ends = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait({*ends, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # they never end: this raises a fault of the bot itself
        finally:
            for each in (*tasks, *ends):
                each.cancel()
            await asyncio.gather(*tasks, *ends, return_exceptions=True)
            await self._supervisor.stop()
            self._bus_view.close()
        failure = self._supervisor.failure
        if failure is None:
            return exit_codes.CLEAN
        print(f"mm_bot.py: {failure.message}", file=sys.stderr)
        return failure.exit_code

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._supervisor.kill_all()
        self._stop.set()

    def _on_death(self, name: str, reason: str) -> None:
        if name == "sink":
            self._pull_quotes("sink_down", reason)

    def _pull_quotes(self, *reasons: str) -> None:
        fault = pull_quotes(self._options.out, self._options.markets, *reasons)
        if fault is not None:
            self._log.error("cannot write PULL_QUOTES: the quotes files are removed", error=str(fault))

    async def _start(self) -> None:
        port = _free_port()
        wanted = commands(self._options, bus=self._bus, config_json=self._config.model_dump_json(), simulator_port=port)
        # On few cores the imports of all parts take seconds: those without which nothing is quoted go first.
        feeds = [each for each in wanted if each.name in FEEDS]
        later = [each for each in wanted if each.name in NOT_NEEDED_TO_QUOTE]
        self._supervisor.start(each for each in wanted if each not in feeds and each not in later)
        if self._options.venues == "sim":
            await _wait_for_port(port)
        self._supervisor.start([*feeds, *later])
        await asyncio.Event().wait()

    async def _display(self) -> None:
        screen = Screen(
            title=f"{self._options.venues} venues · preset {self._options.preset}",
            notice=self._ledger.notice,
            out=str(self._options.out),
            began_s=self._began_s,
        )
        if sys.stdout.isatty():
            await show(screen, self._bus_view, self._supervisor.parts)
        while True:
            await asyncio.sleep(LINE_EACH_S)
            line = state_line(self._bus_view.view, self._supervisor.parts, self._bus_view.results)
            print(line, flush=True, file=LossyText(sys.stdout))

    async def _enforce_leases(self) -> None:
        """What a sink that hangs leaves undone."""
        while True:
            await asyncio.sleep(CHECK_LEASES_EACH_S)
            late_s = overdue_s(self._options.out, self._options.markets)
            if late_s > OVERDUE_S:
                self._log.warning("the sink is silent: quotes stood past their lease", late_s=round(late_s, 2))
                self._pull_quotes("sink_silent")

    async def _watch_for_hangs(self) -> None:
        suspicious = ""
        while True:
            await asyncio.sleep(WATCH_EACH_S)
            hung = self._hung_part()
            if hung is not None and hung == suspicious:  # twice in a row: a machine that slept is not a part that hangs
                name, reason = hung.split(": ", 1)
                self._supervisor.kill(name, reason)
                hung = None
            suspicious = hung or ""

    def _hung_part(self) -> str | None:
        """A part that lives and does nothing, as `name: reason`; None when there is none."""
        parts = self._supervisor.parts
        sink = parts.get("sink")
        age_s = quotes_age_s(self._options.out, self._options.markets)
        view = self._bus_view.view
        heard = view.parts.get("sink")
        is_mute = heard is None or (view.now_ns - heard.heard_ns) / NS_PER_S > SINK_SILENT_S  # else the disk refuses
        is_idle = age_s is None or age_s > SINK_SILENT_S
        if sink is not None and _lived_s(sink) > STARTING_S and is_idle and is_mute:
            return "sink: hung: it does not replace its files"
        silent = [name for name, part in parts.items() if name in view.parts and _is_hung(part, view.parts[name], view)]
        if not silent:
            return None
        name = "broker" if "broker" in silent else silent[0]  # without the broker nobody is heard
        return f"{name}: hung: no heartbeat for {PART_SILENT_S:g} s"


def _lived_s(part: PartState) -> float:
    return time.monotonic() - part.started_s if part.phase == "running" else 0.0


def _is_hung(part: PartState, seen: PartView, view: SystemView) -> bool:
    return _lived_s(part) > STARTING_S + PART_SILENT_S and (view.now_ns - seen.heard_ns) / NS_PER_S > PART_SILENT_S


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def _wait_for_port(port: int) -> None:
    """Until somebody listens there. However long that takes: a part that cannot is the supervisor's to report."""
    async for attempt in AsyncRetrying(wait=wait_fixed(0.05), retry=retry_if_exception_type(OSError)):
        with attempt:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()


@contextlib.contextmanager
def _logging(options: Options) -> Iterator[FilteringBoundLogger]:
    """Log lines go to standard error; while the panel has the terminal, to `logs/mm_bot.log`."""
    configure_logging("info")
    if not sys.stdout.isatty():
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=LossyText(sys.stderr)))  # type: ignore[arg-type]
        yield structlog.get_logger()
        return
    path = options.out / "logs" / "mm_bot.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    cap_log(path)
    file = path.open("a", encoding="utf-8")
    structlog.configure(
        logger_factory=structlog.WriteLoggerFactory(file=LossyText(file)),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    try:
        yield structlog.get_logger()
    finally:
        with contextlib.suppress(OSError):  # the last lines, on a full disk
            file.close()

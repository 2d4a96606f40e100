"""Which processes make up the system, and how each is started: the wiring table turned into command lines."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from bot.cli import Options
from bot.ledger_place import ledger_place, paper_folder
from services.simulator.urls import urls
from shared.wiring import PARTS

VENUE_FEEDS = ("bybit", "coinbase", "chainlink", "polymarket")
FEEDS = (*VENUE_FEEDS, "files")
SIMULATOR = "simulator"
HEDGER = "hedger"
EXECUTOR = "executor"  # on paper; only with --dry-run
# Quotes are wider without these, not absent.
NOT_NEEDED_TO_QUOTE = ("lead_lag", "regime", "flow", EXECUTOR, "recorder")
# Stopped group by group: nobody may publish quotes while the sink says its last word, fills must reach the ledger, and
# the bus goes last.
STOP_ORDER = (("quoter",), (EXECUTOR,), (HEDGER, SIMULATOR, "recorder"), ("sink",), ("broker",))


class Command(NamedTuple):
    """One process to start: `python <arguments>` with these variables on top of the environment."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]


def commands(options: Options, *, bus: str, config_json: str, simulator_port: int) -> list[Command]:
    """Every process that these options need, the broker first."""
    common = {
        "MM_BUS": bus,
        "MM_MARKETS": ",".join(options.markets),
        "MM_OUT": str(options.out),
        "MM_HEARTBEAT_MS": str(options.interval_ms),
        "MM_CONFIG_JSON": config_json,
    }
    if options.record is not None:
        common["MM_RECORD"] = str(options.record)
    feeds = _feed_environment(options, simulator_port)
    paper = _paper_environment(options)
    wanted: list[Command] = []
    for part in PARTS:
        if part.name in FEEDS and (part.name == "files") != (options.venues == "files"):
            continue
        if part.name == "recorder" and options.record is None:
            continue
        if part.name == EXECUTOR and not options.dry_run:
            continue
        own = feeds if part.name in FEEDS else paper.get(part.name, {})
        environment = common | {"MM_INSTANCE": part.name} | own
        wanted.append(Command(part.name, ("-m", part.module, *part.arguments), environment))
    if options.venues == "sim":
        environment = common | {"MM_INSTANCE": SIMULATOR} | _simulator_environment(options, simulator_port)
        wanted.insert(1, Command(SIMULATOR, ("-m", "bot.bound_to_parent", "services.simulator"), environment))
    return wanted


def _paper_environment(options: Options) -> dict[str, dict[str, str]]:
    """What keeps paper fills apart from real ones, by part: the ledger, and the executor's outbox beside it.

    The hedger watches no drop folder: what is dropped there was really executed. An empty variable counts as unset.
    """
    if not options.dry_run:
        return {}
    return {
        HEDGER: {"MM_HEDGER_LEDGER": ledger_place(options).url, "MM_HEDGER_DROP": ""},
        EXECUTOR: {"MM_OUT": str(paper_folder(options))},
    }


def _simulator_environment(options: Options, port: int) -> dict[str, str]:
    variables = {"MM_SIM_PORT": str(port), "MM_SIM_SERIES": ",".join(options.markets)}
    if options.seed is not None:
        variables["MM_SIM_SEED"] = str(options.seed)
    return variables


def _feed_environment(options: Options, simulator_port: int) -> dict[str, str]:
    if options.venues == "files":
        return {} if options.files is None else {"MM_FEED_FILES_DIR": str(options.files)}
    if options.venues == "live":
        return {}
    venue = urls(simulator_port)
    return {
        "MM_FEED_BYBIT_URL": venue.bybit_ws,
        "MM_FEED_COINBASE_URL": venue.coinbase_ws,
        "MM_FEED_COINBASE_REST_URL": venue.gamma,
        "MM_FEED_POLYBOLT_URL": venue.polybolt_ws,
        "MM_FEED_RTDS_URL": venue.rtds_ws,
        "MM_FEED_GAMMA_URL": venue.gamma,
        "MM_FEED_CLOB_URL": venue.clob,
        "MM_FEED_WEBSITE_URL": venue.gamma,
        "MM_FEED_MARKET_URL": venue.market_ws,
        # The simulator takes any; never the user's own.
        "MM_POLYBOLT_API_KEY": SIMULATOR,
        "MM_POLYBOLT_SECRET": SIMULATOR,
        "MM_POLYBOLT_PASSPHRASE": SIMULATOR,
    }


def stop_groups(names: Mapping[str, object]) -> list[tuple[str, ...]]:
    """The running parts in the order they are stopped, those that may go together in one group."""
    ordered = [name for group in STOP_ORDER for name in group]
    first, *later = STOP_ORDER
    rest = tuple(name for name in names if name not in ordered)
    groups = (first, rest, *later)
    return [found for group in groups if (found := tuple(name for name in group if name in names))]


def python(command: Command) -> tuple[str, ...]:
    """The argument vector."""
    return (sys.executable, *command.arguments)

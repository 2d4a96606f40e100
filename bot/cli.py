"""The command line of `mm_bot.py`."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from bot import exit_codes
from bot.times import LAST, parse_time
from services.simulator.params import ASSETS
from shared.config import PRESETS
from shared.market import Series
from shared.settings import ServiceSettings

Venues = Literal["sim", "live", "files"]

DEFAULT_PRESET = "default"
DEFAULT_CLIENT = "client"
SERVER = "server"  # the folder of the keys of the broker's machine
CLIENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_DESCRIPTION = """\
Starts the whole market maker on this machine: feeds, analyzers, quoter and the files they end in.
It recommends quotes (mm_quotes.json) and keeps the positions; it never places a real order."""


class BotSettings(ServiceSettings):
    """The environment of mm_bot.py itself."""

    @classmethod
    def configuration_json(cls) -> str:
        """None yet: the MM_CONFIG_ variables come between --config and --set, and make sense only with these."""
        return ""


class ExplainRequest(NamedTuple):
    """What to explain: the journal, the time (None: the last quotes), the markets (empty: all there are)."""

    journal: Path
    at_ns: int | None
    markets: tuple[str, ...]


class KeysRequest(NamedTuple):
    """Which keys to make, where: those of a server where there is none yet, and of each of these clients."""

    folder: Path
    clients: tuple[str, ...]


class Options(NamedTuple):
    """What was asked for, checked."""

    dry_run: bool
    preset: str
    interval_ms: int
    series: tuple[Series, ...]
    venues: Venues
    files: Path | None
    replay: Path | None
    out: Path
    duration_s: float | None
    seed: int | None
    record: Path | None
    config: Path | None
    overrides: tuple[str, ...]
    show_config: bool
    explain: ExplainRequest | None
    keys: KeysRequest | None

    @property
    def markets(self) -> tuple[str, ...]:
        """The names of the series."""
        return tuple(each.name for each in self.series)


def make_parser() -> argparse.ArgumentParser:
    """The parser; its help is complete."""
    codes = "\n".join(f"  {code}  {meaning}" for code, meaning in exit_codes.MEANINGS.items())
    presets = ", ".join(PRESETS)
    parser = argparse.ArgumentParser(
        prog="mm_bot.py",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog=f"""\
examples:
  python3 mm_bot.py                                       the built-in simulated venues, offline
  python3 mm_bot.py --markets btc-15m,eth-15m --seed 7    two markets, a world that repeats
  python3 mm_bot.py --venues live --record recordings     the real venues, recorded
  python3 mm_bot.py --files ../my-collector               JSON files that another program writes
  python3 mm_bot.py --conservative --set base_spread=0.05 a preset, and one setting changed
  python3 mm_bot.py --dry-run --markets btc-5m            paper execution: positions, fills, profit and loss
  .venv/bin/python -m bot.panel --out out                  watch a running bot from a second terminal
  python3 mm_bot.py --show-config --aggressive            the effective configuration, and where each setting is from
  python3 mm_bot.py --explain recordings --at last        why the last recorded quotes were what they were
  python3 mm_bot.py --generate-keys keys --clients feeds,analyzers   keys for a bus across machines

files in the output folder; mm_quotes and mm_status are replaced atomically at every heartbeat:
  mm_quotes.json            the quotes that stand, PULL_QUOTES with the reason when none do; a missing file, and
                            a valid_until in the past, mean PULL_QUOTES too; the position and open paper orders
  mm_quotes.<series>.json   the same for each market, when there are several
  mm_status.json            state and metrics of every part, positions, open paper orders, last fills
  mm_bot.json               while the bot runs: its pid, its bus, its ledger
  logs/<part>.log           one JSON object a line
  ledger.sqlite             fills made elsewhere (services.hedger.client book-fill); MM_HEDGER_LEDGER names another
  paper-<venues>/           with --dry-run: ledger.sqlite and the executor's outbox, never MM_HEDGER_LEDGER.
                            Both ledgers are kept: the next start goes on with them. Delete a folder of paper fills
                            to begin with nothing

strategy settings, the later wins: defaults, preset, --config FILE, MM_CONFIG_<SETTING> in the environment, --set.
A table's settings are written with a dot in --set, with two underscores in the environment:
  --set base_spread=0.03 techniques.lead_lag=false
  MM_CONFIG_BASE_SPREAD=0.03 MM_CONFIG_TECHNIQUES__LEAD_LAG=false
Other settings are read from the environment too (MM_*, see .env.example); flags win. A misspelt name stops the start.

exit codes:
{codes}""",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="paper execution: simulated orders follow the quotes and fill against the books and trades; without it "
        "nothing executes, and fills made elsewhere are still booked",
    )
    preset = parser.add_mutually_exclusive_group()
    for name in ("aggressive", "conservative", "scalping"):
        preset.add_argument(
            f"--{name}", dest="preset", action="store_const", const=name, help=f"the same as --preset {name}"
        )
    preset.add_argument("--preset", metavar="NAME", choices=tuple(PRESETS), help=f"one of {presets}")
    parser.add_argument(
        "--interval", metavar="MS", type=int, help="heartbeat of the output files, 10 to 10000 ms (default: 100)"
    )
    parser.add_argument("--markets", metavar="LIST", help="series, separated by commas (default: btc-15m)")
    parser.add_argument(
        "--venues",
        choices=("sim", "live", "files"),
        help="sim: simulated venues on this machine; live: the real ones; files: see --files (default: sim)",
    )
    parser.add_argument("--files", metavar="DIR", type=Path, help="folder of bybit.json, chainlink.json, call.json ...")
    parser.add_argument(
        "--replay", metavar="PATH", type=Path, help="drive a recording through the engine in event time, then exit"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="output folder (default: out)")
    parser.add_argument("--duration", metavar="S", type=float, help="stop cleanly after this many seconds")
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the simulated venues")
    parser.add_argument("--record", metavar="DIR", type=Path, help="record raw venue frames and bus messages there")
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings (TOML or JSON) on top of the preset")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="extend",
        nargs="+",
        default=[],
        help="change single strategy settings; wins over --config and MM_CONFIG_ variables",
    )
    parser.add_argument(
        "--show-config",
        action="store_true",
        help="print the effective configuration as TOML, with where each setting comes from, then exit",
    )
    parser.add_argument(
        "--explain",
        metavar="JOURNAL",
        type=Path,
        help="explain recorded quotes, then exit: a folder of --record, or a journal.jsonl of --replay; needs --at",
    )
    parser.add_argument(
        "--at",
        metavar="TIME",
        help=f"the time to explain: ISO 8601 (UTC unless it says), Unix seconds or milliseconds, or '{LAST}'",
    )
    parser.add_argument(
        "--generate-keys",
        metavar="DIR",
        type=Path,
        help="make the keys of a bus over TCP, a folder for the server and one for each client, then exit; "
        "with keys there already: only those of further clients. Nothing is replaced",
    )
    parser.add_argument(
        "--clients",
        metavar="LIST",
        help=f"with --generate-keys: one name for each machine or container (default: {DEFAULT_CLIENT})",
    )
    return parser


def parse(arguments: Sequence[str], defaults: ServiceSettings) -> Options:
    """The options in these arguments; what they leave out comes from `defaults`. Exits with 2 on a mistake."""
    parser = make_parser()
    given = parser.parse_args(arguments)
    try:
        markets = ServiceSettings.model_construct(markets=given.markets or defaults.markets).series()
    except ValueError as error:
        parser.error(f"--markets: {error}")
    interval_ms = defaults.heartbeat_ms if given.interval is None else given.interval
    if not 10 <= interval_ms <= 10_000:
        parser.error(f"--interval {interval_ms}: 10 to 10000 milliseconds")
    if given.duration is not None and not 0 < given.duration < float("inf"):
        parser.error(f"--duration {given.duration:g}: a positive number of seconds")
    if given.seed is not None and given.seed < 0:
        parser.error(f"--seed {given.seed}: zero or more")
    venues: Venues = given.venues or ("files" if given.files else "sim")
    explain = _request(parser, given, tuple(each.name for each in markets) if given.markets else ())
    if given.replay is not None:
        idle = [flag for flag, was_given in _without_effect_on_a_replay(given).items() if was_given]
        if idle:
            parser.error(f"--replay takes venues and time from the recording: {', '.join(idle)} would do nothing")
    unknown = [each.name for each in markets if each.asset not in ASSETS]
    if unknown and venues == "sim" and given.replay is None and explain is None:
        parser.error(f"--markets {', '.join(unknown)}: the simulated coins are {', '.join(ASSETS)}")
    if given.seed is not None and venues != "sim":
        parser.error(f"--seed {given.seed}: only simulated venues have a seed (--venues sim), not {venues}")
    if venues == "files" and given.files is None and not os.environ.get("MM_FEED_FILES_DIR"):
        parser.error("--venues files: name the folder with --files DIR")
    if given.files is not None and venues != "files":
        parser.error(f"--files goes with --venues files, not with {venues}")
    if venues == "files" and len(markets) > 1:
        names = ", ".join(each.name for each in markets)
        parser.error(f"--venues files: the folder holds the books of one market, not of {names}: choose with --markets")
    if given.files is not None and not given.files.is_dir():
        parser.error(f"--files {given.files}: not a folder")
    if given.replay is not None and not given.replay.exists():
        parser.error(f"--replay {given.replay}: not found")
    if given.config is not None and not given.config.is_file():
        parser.error(f"--config {given.config}: not found")
    return Options(
        dry_run=given.dry_run,
        preset=given.preset or DEFAULT_PRESET,
        interval_ms=interval_ms,
        series=markets,
        venues=venues,
        files=given.files,
        replay=given.replay,
        out=given.out or defaults.out,
        duration_s=given.duration,
        seed=given.seed,
        record=given.record or defaults.record,
        config=given.config,
        overrides=tuple(given.overrides),
        show_config=given.show_config,
        explain=explain,
        keys=_keys_request(parser, given),
    )


def _keys_request(parser: argparse.ArgumentParser, given: argparse.Namespace) -> KeysRequest | None:
    if given.generate_keys is None:
        if given.clients is not None:
            parser.error(f"--clients {given.clients}: goes with --generate-keys DIR")
        return None
    clients = tuple(dict.fromkeys((DEFAULT_CLIENT if given.clients is None else given.clients).split(",")))
    wrong = [name for name in clients if not CLIENT_NAME.fullmatch(name) or name == SERVER]
    if wrong:
        parser.error(f"--clients {given.clients}: lower-case letters, digits and -, and not '{SERVER}'")
    return KeysRequest(given.generate_keys, clients)


def _request(
    parser: argparse.ArgumentParser, given: argparse.Namespace, markets: tuple[str, ...]
) -> ExplainRequest | None:
    if given.explain is None:
        if given.at is not None:
            parser.error(f"--at {given.at}: goes with --explain JOURNAL")
        return None
    if given.at is None:
        parser.error(f"--explain {given.explain}: name the time with --at TIME, or --at {LAST}")
    elsewhere = {
        "--preset": given.preset is not None,
        "--out": given.out is not None,
        "--replay": given.replay is not None,
        "--config": given.config is not None,
        "--set": bool(given.overrides),
        "--show-config": given.show_config,
    }
    idle = [flag for flag, was_given in (_without_effect_on_a_replay(given) | elsewhere).items() if was_given]
    if idle:
        parser.error(f"--explain tells what was quoted then: {', '.join(idle)} would do nothing")
    try:
        return ExplainRequest(given.explain, parse_time(given.at), markets)
    except ValueError as error:
        parser.error(f"--at {error}")


def _without_effect_on_a_replay(given: argparse.Namespace) -> dict[str, bool]:
    return {
        "--dry-run": given.dry_run,
        "--interval": given.interval is not None,
        "--venues": given.venues is not None,
        "--files": given.files is not None,
        "--duration": given.duration is not None,
        "--seed": given.seed is not None,
        "--record": given.record is not None,
    }

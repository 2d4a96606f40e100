from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.codec import encode
from shared.messages import SCHEMA_VERSION, Envelope, QuoteSet, topic_of
from shared.segments_io import SegmentWriter
from tests.builders import build
from tests.processes import ROOT


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "mm_bot.py", *arguments],
        cwd=ROOT,
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
    )


def environment(variables: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("MM_")} | variables


@contextmanager
def bot_on_files(tmp_path: Path, *arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A whole bot on an empty folder of files: every process is real, and nothing is quoted."""
    out, files = tmp_path / "out", tmp_path / "files"
    files.mkdir(exist_ok=True)
    bot = subprocess.Popen(
        [sys.executable, "mm_bot.py", "--files", str(files), "--out", str(out), *arguments],
        cwd=ROOT,
        env=environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield bot, out
    finally:
        if bot.poll() is None:
            bot.terminate()
        bot.communicate(timeout=60)


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition; the test's own time limit is the deadline."""
    while not condition():
        time.sleep(0.02)


def content(path: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return loaded


def pids_of(out: Path) -> dict[str, int]:
    parts = content(out / "mm_status.json").get("parts", {})
    return {name: part["pid"] for name, part in parts.items()}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_misspelt_setting_stops_the_start_with_the_right_name() -> None:
    ended = run("--set", "bas_spread=0.05")
    assert (ended.returncode, "base_spread" in ended.stderr) == (2, True)
    ended = run(MM_MARKTS="btc-15m")
    assert (ended.returncode, "did you mean MM_MARKETS?" in ended.stderr) == (2, True)


def test_a_misspelt_strategy_variable_stops_the_start_with_the_right_name() -> None:
    for arguments in ((), ("--show-config",)):
        ended = run(*arguments, MM_CONFIG_BAS_SPREAD="0.05")
        assert (ended.returncode, "did you mean MM_CONFIG_BASE_SPREAD?" in ended.stderr) == (2, True)
    ended = run(MM_CONFIG_BASE_SPREAD="wide")
    assert (ended.returncode, "MM_CONFIG_BASE_SPREAD: base_spread = 'wide'" in ended.stderr) == (2, True)


def test_a_bus_that_leaves_the_machine_without_keys_stops_the_start_and_keys_are_made_meanwhile(tmp_path: Path) -> None:
    bus = {"MM_BUS": "tcp://10.1.2.3:5550", "MM_BUS_KEYS": str(tmp_path / "keys" / "server")}
    plain = run("--out", str(tmp_path / "out"), MM_BUS=bus["MM_BUS"])
    assert (plain.returncode, "MM_BUS_ALLOW_PLAIN" in plain.stderr) == (2, True)
    assert "Traceback" not in plain.stderr
    missing = run("--out", str(tmp_path / "out"), **bus)
    assert (missing.returncode, "secret.key is missing" in missing.stderr) == (2, True)
    made = run("--generate-keys", str(tmp_path / "keys"), "--clients", "feeds", **bus)
    assert (made.returncode, f"MM_BUS_KEYS={tmp_path}/keys/feeds" in made.stdout) == (0, True)
    client = run("--out", str(tmp_path / "out"), MM_BUS=bus["MM_BUS"], MM_BUS_KEYS=str(tmp_path / "keys" / "feeds"))
    assert (client.returncode, "names a client's folder" in client.stderr) == (2, True)


def test_the_effective_configuration_is_shown_and_can_be_given_back(tmp_path: Path) -> None:
    variables = {"MM_CONFIG_BASE_SPREAD": "0.12", "MM_CONFIG_TECHNIQUES__LEAD_LAG": "false"}
    shown = run("--show-config", "--conservative", "--set", "lease_s=2", **variables)
    assert (shown.returncode, shown.stderr) == (0, "")
    config = tomllib.loads(shown.stdout)
    assert (config["base_spread"], config["techniques"]["lead_lag"], config["lease_s"]) == (0.12, False, 2.0)
    (tmp_path / "shown.toml").write_text(shown.stdout)
    again = run("--show-config", "--config", str(tmp_path / "shown.toml"))
    assert tomllib.loads(again.stdout) == config
    assert again.stdout.splitlines()[0] == shown.stdout.splitlines()[0]  # the hash


def test_recorded_quotes_are_explained_by_the_command(tmp_path: Path) -> None:
    quotes = build(QuoteSet, action="PULL_QUOTES", reasons=("oracle_stale",), call=(), put=(), breakdown={})
    with SegmentWriter(tmp_path / "bus", "bus") as writer:
        payload = encode(Envelope(SCHEMA_VERSION, "", 1, 1, quotes.ts_recv_ns, quotes))
        writer.write(quotes.ts_recv_ns, payload, source=topic_of(quotes))
    told = run("--explain", str(tmp_path), "--at", "last")
    assert (told.returncode, told.stderr) == (0, "")
    assert "the last oracle price is too old" in told.stdout
    missing = run("--explain", str(tmp_path / "none"), "--at", "last")
    assert (missing.returncode, "not found" in missing.stderr) == (2, True)


def test_a_part_with_a_wrong_configuration_stops_the_bot_with_its_message(tmp_path: Path) -> None:
    with bot_on_files(tmp_path, MM_FEED_FILES_SIZ="3") as (bot, out):
        said, _ = bot.communicate(timeout=60)
    assert bot.returncode == 2
    assert "did you mean MM_FEED_FILES_SIZE?" in said
    assert content(out / "mm_quotes.json")["reasons"] == ["stopped"]


def test_a_second_bot_is_refused_a_dead_sink_pulls_and_returns_and_sigterm_leaves_nobody(tmp_path: Path) -> None:
    with bot_on_files(tmp_path) as (bot, out):
        everyone = {"broker", "files", "lead_lag", "regime", "volatility", "flow", "hedger", "quoter", "sink"}
        wait_until(lambda: set(pids_of(out)) == everyone)

        second = run("--out", str(out))
        assert second.returncode == 3
        assert f"pid {bot.pid}" in second.stderr

        pids = pids_of(out)
        os.kill(pids["sink"], signal.SIGKILL)
        wait_until(lambda: content(out / "mm_quotes.json")["reasons"] == ["sink_down", "killed by SIGKILL"])
        wait_until(lambda: pids_of(out).get("sink", pids["sink"]) != pids["sink"])

        pids = pids_of(out)
        assert set(pids) == everyone
        bot.terminate()
        said, _ = bot.communicate(timeout=60)
        assert bot.returncode == 0
        lines = [json.loads(line) for line in said.splitlines()]
        (restart,) = [line for line in lines if line["event"] == "restarting"]
        assert (restart["part"], restart["reason"]) == ("sink", "killed by SIGKILL")
        states = [line for line in lines if line["event"] == "state"]
        assert states[-1]["markets"]["btc-15m"]["action"] == "PULL_QUOTES"
    assert content(out / "mm_quotes.json")["reasons"] == ["stopped"]
    assert not [name for name, pid in pids.items() if is_alive(pid)]


def test_a_dry_run_keeps_its_own_ledger_and_the_next_one_goes_on_with_it(tmp_path: Path) -> None:
    ledger = tmp_path / "out" / "paper-files" / "ledger.sqlite"
    before: dict[str, int] = {}  # the status file outlives a bot
    for is_continued in (False, True):
        with bot_on_files(tmp_path, "--dry-run", MM_HEDGER_LEDGER=f"sqlite:///{tmp_path}/real.sqlite") as (bot, out):
            for part in ("executor", "hedger"):
                wait_until(lambda part=part, old=before: pids_of(out).get(part) not in (None, old.get(part)))  # type: ignore[misc]
            assert str(ledger) in content(out / "mm_bot.json")["notice"]
            before = pids_of(out)
            bot.terminate()
            said, _ = bot.communicate(timeout=60)
        lines = [json.loads(line) for line in said.splitlines()]
        (start,) = [line for line in lines if line["event"] == "paper execution"]
        assert (start["ledger"], start["is_continued"]) == (str(ledger), is_continued)
        stopped = [line["part"] for line in lines if line["event"] == "stopped"]
        assert stopped.index("executor") < stopped.index("hedger")
    assert not (out / "ledger.sqlite").exists()
    assert not (tmp_path / "real.sqlite").exists()


def test_a_sink_that_hangs_leaves_no_ladder_past_its_lease_and_a_full_disk_none_at_all(tmp_path: Path) -> None:
    with bot_on_files(tmp_path) as (bot, out):
        wait_until(lambda: "sink" in pids_of(out))
        sink = pids_of(out)["sink"]
        os.kill(sink, signal.SIGSTOP)
        try:
            time.sleep(0.1)  # a stop takes effect at once, but not on what another core runs
            ladder = content(out / "mm_quotes.json") | {"action": "QUOTE_BOTH", "valid_until": time.time_ns() // 10**6}
            (out / "mm_quotes.json").write_text(json.dumps(ladder))
            wait_until(lambda: content(out / "mm_quotes.json")["action"] == "PULL_QUOTES")
            assert content(out / "mm_quotes.json")["reasons"] == ["sink_silent"]
            assert 500 <= time.time_ns() // 10**6 - ladder["valid_until"] < 3000

            (out / "mm_quotes.json").write_text(json.dumps(ladder))
            _, hard = resource.prlimit(bot.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(bot.pid, resource.RLIMIT_FSIZE, (0, hard))  # every write of the bot fails
            wait_until(lambda: not (out / "mm_quotes.json").exists())
            resource.prlimit(bot.pid, resource.RLIMIT_FSIZE, (hard, hard))
            assert bot.poll() is None
        finally:
            os.kill(sink, signal.SIGCONT)
        bot.terminate()
        bot.communicate(timeout=60)
        assert bot.returncode == 0
    assert content(out / "mm_quotes.json")["reasons"] == ["stopped"]


def test_a_bot_that_is_killed_leaves_no_orphans_and_no_quotes(tmp_path: Path) -> None:
    with bot_on_files(tmp_path) as (bot, out):
        wait_until(lambda: len(pids_of(out)) == 9)
        pids = pids_of(out)
        bot.kill()
        bot.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in pids.values()))
        assert content(out / "mm_quotes.json")["action"] == "PULL_QUOTES"

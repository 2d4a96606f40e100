from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from bot.commands import Command
from bot.folder_io import BOT_FILE, BotFile, lock_folder
from bot.lines import state_line
from bot.panel import Dashboard, Screen, short_size
from bot.results_io import Results
from bot.supervisor import PartState
from services.sink.view import SystemView
from shared.core import Delivery, Timer
from shared.market import Series
from shared.messages import AnyMessage, FeedStatus, Heartbeat, OutcomeBook, Position, QuoteSet, topic_of
from shared.wiring import PART
from tests.builders import EVERY_KIND, NS, START_S, build
from tests.processes import ROOT, running

NOW = (START_S + 300) * NS


def view_of(*messages: AnyMessage, markets: tuple[str, ...] = ("btc-15m",)) -> SystemView:
    view = SystemView([Series.parse(each) for each in markets])
    view.update(Timer(NOW))
    for seq, message in enumerate(messages, 1):
        view.update(Delivery(topic_of(message), 1, seq, message))
    return view


def everything() -> list[AnyMessage]:
    return [build(kind) for kind in EVERY_KIND]  # type: ignore[misc]


def drawn(
    view: SystemView,
    parts: dict[str, PartState] | None = None,
    columns: int = 100,
    lines: int = 40,
    notice: str = "",
    results: dict[str, Results] | None = None,
) -> list[str]:
    console = Console(width=columns, height=lines, file=io.StringIO(), force_terminal=False)
    screen = Screen(title="sim venues", out="out", began_s=time.monotonic(), notice=notice)
    console.print(Dashboard(screen, view, parts or {}, results or {}))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def dead(name: str, reason: str) -> PartState:
    return PartState(Command(name, (), {}), phase="waiting", restarts=2, last_death=reason)


def test_the_panel_says_what_a_trader_looks_for() -> None:
    results = {"btc-15m": Results(periods=7, fills=30, total_usd=-12.5, open_periods=0)}
    text = "\n".join(drawn(view_of(*everything()), results=results))
    for words in (
        "QUOTE_BOTH",
        "10:00 left",
        "early",
        "0.5000 fair",
        "0.480–0.520",
        "strike 80,000.00 PROVEN",
        "bybit leads by 0.40 s",
        "quiet",
        "toxicity 0.00",
        "VPIN 0.20",
        "flat",
        "realized +0.00",
        "1 buy CALL 50",
        "bought 10 CALL@0.49",
        "7 periods -12.50",
        "audited: agrees",
        "bybit quote",
        "LIVE",
        "quoter",
    ):
        assert words in text


def test_the_panel_shows_why_nothing_is_quoted() -> None:
    view = view_of(build(QuoteSet, action="PULL_QUOTES", reasons=("strike_not_proven",)))
    assert any("PULL_QUOTES" in line and "strike_not_proven" in line for line in drawn(view))
    assert any("PULL_QUOTES" in line and "starting" in line for line in drawn(view_of()))


def test_the_panel_shows_who_died_and_how() -> None:
    lines = drawn(view_of(), {"flow": dead("flow", "exit 1: KeyError: 'source'")})
    assert any("flow (waiting): exit 1: KeyError: 'source'" in line for line in lines)
    assert any("flow ↻2" in line for line in lines)


@pytest.mark.parametrize("columns", [80, 100, 200])
@pytest.mark.parametrize(
    "markets", [("btc-15m",), ("btc-15m", "eth-15m"), ("btc-15m", "eth-15m", "sol-15m", "xrp-15m")]
)
def test_the_panel_fits_the_terminal(columns: int, markets: tuple[str, ...]) -> None:
    messages = [build(QuoteSet, market=each, reasons=("a_long_reason",) * 9) for each in markets]
    lines = drawn(view_of(*everything(), *messages, markets=markets), columns=columns, lines=40)
    assert max(len(line) for line in lines) <= columns
    if len(markets) < 4 or columns == 200:
        assert len(lines) <= 40


def test_the_panel_can_be_drawn_from_any_single_message() -> None:
    for message in everything():
        assert drawn(view_of(message))


def test_a_log_line_is_one_json_object_with_each_market_by_name() -> None:
    line = state_line(
        view_of(*everything(), build(FeedStatus, state="STALE")),
        {"flow": dead("flow", "killed by SIGKILL")},
        {"btc-15m": Results(periods=2, fills=9, total_usd=1.5, open_periods=1)},
    )
    assert "\n" not in line
    state = json.loads(line)
    market = state["markets"]["btc-15m"]
    assert (market["action"], market["fair_value"], market["call_book"]) == ("QUOTE_BOTH", 0.5, [0.49, 0.51])
    assert market["feeds"] == ["bybit/SpotQuote/BTC STALE"]
    assert (market["position"]["call_shares"], market["position"]["realized_pnl_usd"]) == (0.0, 0.0)
    assert (market["open_orders"], market["own_markout"]) == ({"CALL buy": [1, 50.0]}, None)
    assert market["ledger"] == {"periods": 2, "fills": 9, "total_usd": 1.5, "open_periods": 1}
    assert state["deaths"] == {"flow": "killed by SIGKILL"}
    assert (state["parts_running"], state["restarts"]) == ("0/1", 2)


def test_eighty_columns_and_twenty_four_lines_have_room_for_what_matters() -> None:
    book = build(OutcomeBook, bid_sizes=(12_345.0, 1_449.0), ask_sizes=(999.0, 100.0))
    notice = "dry run: paper execution is on, ledger continued: out/paper-sim/ledger.sqlite"
    view = view_of(*everything(), book)
    parts = {name: PartState(Command(name, (), {}), phase="running") for name in PART}
    lines = drawn(view, parts, columns=80, lines=24, notice=notice)
    assert (len(lines) <= 24, max(len(line) for line in lines) <= 80) == (True, True)
    text = "\n".join(lines)
    for words in (
        "ledger continued",
        "QUOTE_BOTH",
        "position",
        "P&L",
        "orders",
        "ledger",
        "last fills",
        "12k",
        "1.4k",
        "999",
    ):
        assert words in text
    assert f"{len(PART)} parts run" in text
    assert "…" not in text


def test_two_markets_on_a_low_terminal_both_show_their_position() -> None:
    markets = ("btc-15m", "eth-15m")
    held = (build(Position, market=each, call_shares=7.0, call_average_price=0.4) for each in markets)
    quotes = (build(QuoteSet, market=each) for each in markets)
    parts = {name: PartState(Command(name, (), {}), phase="running") for name in PART}
    lines = drawn(view_of(*held, *quotes, markets=markets), parts, columns=80, lines=24, notice="dry run")
    assert len(lines) <= 24
    assert sum("7 CALL@0.4000" in line for line in lines) == 2


def test_parts_that_are_not_well_are_named_on_a_low_terminal_too() -> None:
    parts = {"flow": dead("flow", "exit 1: KeyError: 'source'"), "sink": PartState(Command("sink", (), {}), "running")}
    text = "\n".join(drawn(view_of(), parts, columns=80, lines=24))
    for words in ("1 parts run", "flow ↻2", "flow (waiting): exit 1: KeyError: 'source'"):
        assert words in text


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0.4, "0"), (999, "999"), (999.6, "1.0k"), (8_432, "8.4k"), (9_960, "10k"), (999_400, "999k"), (999_600, "1.0M")],
)
def test_a_size_in_a_narrow_column_has_four_characters_at_most(size: float, shown: str) -> None:
    assert short_size(size) == shown


def test_an_attached_panel_says_when_the_bot_has_stopped_and_ends(tmp_path: Path) -> None:
    bus = f"ipc://{tmp_path}/bus"
    bot = BotFile(pid=os.getpid(), bus=bus, markets=("btc-15m",), venues="sim", notice="dry run")
    ours, theirs = pty.openpty()
    with running("services.broker", bus=bus), lock_folder(tmp_path, bot):
        panel = subprocess.Popen(
            [sys.executable, "-m", "bot.panel", "--out", str(tmp_path)],
            cwd=ROOT,
            env={name: text for name, text in os.environ.items() if not name.startswith("MM_")} | {"TERM": "xterm"},
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
        )
        drawn_so_far = b""
        while b"leaves" not in drawn_so_far:
            drawn_so_far += os.read(ours, 1 << 16)
        (tmp_path / BOT_FILE).unlink()  # what a bot that stops does
        while panel.poll() is None:  # a terminal that nobody reads would hold it
            if select.select([ours], [], [], 0.1)[0]:
                os.read(ours, 1 << 16)
        assert panel.stderr is not None
        said = panel.stderr.read()
        panel.stderr.close()
    os.close(ours)
    os.close(theirs)
    assert panel.returncode == 0
    assert f"the bot (pid {os.getpid()}) on {tmp_path} stopped at" in said


def test_a_log_line_says_unknown_while_neither_hedger_nor_executor_speaks() -> None:
    market = json.loads(state_line(view_of(), {}))["markets"]["btc-15m"]
    assert (market["position"], market["open_orders"], "ledger" in market) == (None, None, False)


def test_a_part_that_fell_silent_is_seen_without_a_supervisor() -> None:
    view = view_of(build(Heartbeat, instance="quoter"))
    view.update(Timer(NOW + 10 * NS))
    assert any("quoter" in line for line in drawn(view))

from __future__ import annotations

import io
import json
import time

import pytest
from rich.console import Console

from bot.commands import Command
from bot.lines import state_line
from bot.panel import Dashboard, Screen
from bot.supervisor import PartState
from services.sink.view import SystemView
from shared.core import Delivery, Timer
from shared.market import Series
from shared.messages import AnyMessage, FeedStatus, Heartbeat, QuoteSet, topic_of
from tests.builders import EVERY_KIND, NS, START_S, build

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
    view: SystemView, parts: dict[str, PartState] | None = None, columns: int = 100, lines: int = 40
) -> list[str]:
    console = Console(width=columns, height=lines, file=io.StringIO(), force_terminal=False)
    console.print(Dashboard(Screen(title="sim venues", out="out", began_s=time.monotonic()), view, parts or {}))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def dead(name: str, reason: str) -> PartState:
    return PartState(Command(name, (), {}), phase="waiting", restarts=2, last_death=reason)


def test_the_panel_says_what_a_trader_looks_for() -> None:
    text = "\n".join(drawn(view_of(*everything())))
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
        view_of(*everything(), build(FeedStatus, state="STALE")), {"flow": dead("flow", "killed by SIGKILL")}
    )
    assert "\n" not in line
    state = json.loads(line)
    market = state["markets"]["btc-15m"]
    assert (market["action"], market["fair_value"], market["call_book"]) == ("QUOTE_BOTH", 0.5, [0.49, 0.51])
    assert market["feeds"] == ["bybit/SpotQuote/BTC STALE"]
    assert state["deaths"] == {"flow": "killed by SIGKILL"}
    assert (state["parts_running"], state["restarts"]) == ("0/1", 2)


def test_a_part_that_fell_silent_is_seen_without_a_supervisor() -> None:
    view = view_of(build(Heartbeat, instance="quoter"))
    view.update(Timer(NOW + 10 * NS))
    assert any("quoter" in line for line in drawn(view))

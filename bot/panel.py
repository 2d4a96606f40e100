"""The live panel: the whole system at a glance, drawn from a `SystemView`.

`python -m bot.panel --out out` watches a running bot from another terminal; `--picture panel.svg` saves what it shows.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bot import exit_codes
from bot.bus_view import BusView
from bot.cli import BotSettings
from bot.folder_io import is_running, read_bot_file
from bot.ladder_view import LadderRow, ladder_rows
from bot.money_view import LABEL_COLUMNS, money_lines
from bot.results_io import Results
from bot.supervisor import PartState
from services.sink.core import seconds_left
from services.sink.view import MarketView, Standing, SystemView, standing
from shared.market import NS_PER_S, PHASE_SHARES, Series
from shared.messages import Action, FeedState, FeedStatus, Outcome, PhaseName, RegimeName
from shared.service import load_settings, open_bus

REFRESH_HZ = 4
SECONDS_PER_YEAR = 365 * 86_400
SIDE_BY_SIDE_COLUMNS = 180
WIDE_COLUMNS, NARROW_COLUMNS = 112, 92  # inside a market's frame: room to list orders; none for spaces
LOW_LINES = 36  # for each row of markets; with fewer, parts that are well are counted, not listed
LEAST_LADDER, MOST_LADDER = 4, 16  # rows
LEAST_BAR, MOST_BAR, BESIDE_BAR = 12, 44, 50  # of the time and of the fair value, and the words around it
MOST_PATH = 20  # characters of the output folder
WATCH_EACH_S = 0.5

_ACTION_STYLE: dict[Action, str] = {
    "PULL_QUOTES": "bold white on red3",
    "WIDEN_SPREADS": "bold grey0 on orange1",
    "QUOTE_BID_ONLY": "bold grey0 on cyan3",
    "QUOTE_ASK_ONLY": "bold grey0 on cyan3",
    "QUOTE_BOTH": "bold grey0 on green3",
}
_PHASE_STYLE: dict[PhaseName, str] = {
    "before": "grey50",
    "early": "green3",
    "mid": "cyan3",
    "late": "orange1",
    "final": "red3",
    "after": "grey50",
}
_REGIME_STYLE: dict[RegimeName, str] = {
    "unknown": "grey50",
    "quiet": "green3",
    "mean_reverting": "cyan3",
    "trending_up": "orange1",
    "trending_down": "orange1",
    "volatile": "red3",
}
_FEED_STYLE: dict[FeedState, str] = {"LIVE": "green3", "STALE": "orange1", "GAP": "orange1", "DOWN": "red3"}
_PART_STYLE = {"running": "green3", "starting": "grey50", "waiting": "red3", "stopped": "grey50", "failed": "red3"}
_CHANNEL = {
    "SpotQuote": "quote",
    "SpotTrade": "trade",
    "OraclePrice": "oracle",
    "OutcomeBook": "book",
    "OutcomeTrade": "trade",
    "Period": "periods",
}
_DIM = "grey58"


class Screen(NamedTuple):
    """What the panel says about the run itself."""

    title: str
    out: str
    began_s: float
    notice: str = ""
    leave: str = "stops"  # what Ctrl-C does


class Dashboard:
    """Draws the view as it is at the moment of drawing, to fit the terminal. `results` are the ledger's, by market."""

    def __init__(
        self,
        screen: Screen,
        view: SystemView,
        parts: Mapping[str, PartState],
        results: Mapping[str, Results] = MappingProxyType({}),
    ) -> None:
        self._screen = screen
        self._view = view
        self._parts = parts
        self._results = results

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        markets = list(self._view.markets.values())
        columns = 2 if len(markets) > 1 and options.max_width >= SIDE_BY_SIDE_COLUMNS else 1
        rows = -(-len(markets) // columns)
        is_low = height < LOW_LINES * rows
        parts = _parts_lines(self._view, self._parts, options.max_width, is_short=is_low)
        header_height = 2 if self._screen.notice else 1
        room = (height - 1 - header_height - len(parts)) // rows - 2  # inside each market's frame
        yield _header(self._screen)
        inside = options.max_width // columns - 4
        results = self._results.get
        panels = [_market_panel(self._view, each, results(each.series.name), room, inside) for each in markets]
        if columns == 1:
            yield Group(*panels)
        else:
            grid = Table.grid(expand=True)
            for _ in range(columns):
                grid.add_column(ratio=1)
            for first in range(0, len(panels), columns):
                grid.add_row(*panels[first : first + columns])
            yield grid
        yield Group(*parts)


async def show(screen: Screen, bus_view: BusView, parts: Mapping[str, PartState]) -> None:
    """Show the panel on this terminal until cancelled."""
    dashboard = Dashboard(screen, bus_view.view, parts, bus_view.results)
    with Live(dashboard, auto_refresh=False, screen=True) as live:
        while True:
            live.refresh()
            await asyncio.sleep(1 / REFRESH_HZ)


def _header(screen: Screen) -> RenderableType:
    left = Text.assemble((" ◆ ", "bold cyan3"), ("Polymarket market maker", "bold"), ("  " + screen.title, _DIM))
    right = Text.assemble(
        (f"{_short_path(screen.out)}/  up {_clock(time.monotonic() - screen.began_s)}  ", _DIM), ("Ctrl-C", "bold")
    )
    right.append(f" {screen.leave} ", _DIM)
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1, no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(left, right)
    if not screen.notice:
        return grid
    return Group(grid, Text(f" {screen.notice}", "orange1", no_wrap=True, overflow="ellipsis"))


def _short_path(path: str) -> str:
    return path if len(path) <= MOST_PATH else f"…{path[1 - MOST_PATH :]}"


def _market_panel(
    view: SystemView, market: MarketView, results: Results | None, room: int, inside: int
) -> RenderableType:
    stands = standing(view, market)
    period = market.periods.get("current")
    title = Text.assemble((f" {market.series.name} ", "bold white"))
    if period is not None:
        strike = "strike ?" if period.strike is None else f"strike {period.strike:,.2f}"
        proven = period.strike_state == "PROVEN"
        title.append(f" {period.slug}  {strike} ", _DIM)
        title.append(f"{period.strike_state} ", "green3" if proven else "bold red3")
        if period.refusal:
            title.append(f" refused: {period.refusal} ", "bold red3")
    action = _action_line(stands)
    bar = min(max(inside - BESIDE_BAR, LEAST_BAR), MOST_BAR)
    top = [action, _time_line(view, market, bar), _fair_line(stands, market, bar), _underlying(view, market)]
    top_height = len(top)
    money = money_lines(view, market, results, is_wide=inside >= WIDE_COLUMNS)
    below, below_height = _below(view, market), max(5, len(view.feeds_of(market.series)) + 1)
    least_ladder = LEAST_LADDER if room >= top_height + LEAST_LADDER + 3 else 1
    spare = room - top_height - least_ladder - 1
    if spare < len(money) + below_height:
        short = _short_below(view, market)
        shown = max(spare - len(short), 1)
        below = Group(*short[: max(spare - shown, 1)])
        below_height = min(len(short), max(spare - shown, 1))
        money = money[:shown]
    elif action.cell_len > inside:
        action.no_wrap = False
        top_height += action.cell_len // inside
    ladder_height = min(max(room - top_height - len(money) - below_height - 1, least_ladder), MOST_LADDER)
    return Panel(
        Group(*top, _ladders(stands, market, ladder_height, inside), *money, below),
        title=title,
        title_align="left",
        box=box.ROUNDED,
        border_style="red3" if stands.action == "PULL_QUOTES" else "grey42",
        padding=(0, 1),
    )


def _action_line(stands: Standing) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f" {stands.action} ", _ACTION_STYLE[stands.action])
    line.append("  " + (", ".join(stands.reasons) or "no objection"), _DIM if not stands.reasons else "")
    return line


def _time_line(view: SystemView, market: MarketView, length: int) -> Text:
    left_s = seconds_left(market, view.now_ns)
    phase = market.phase(view.now_ns)
    line = Text(no_wrap=True)
    if left_s is None or phase is None:
        return line.append("no period yet", _DIM)
    share_gone = 1 - min(left_s / market.series.length_s, 1.0)
    line.append(f"{_clock(left_s):>8} left  ", "bold")
    for cell in range(length):
        share_left = 1 - (cell + 0.5) / length
        style = _PHASE_STYLE[next((name for name, share in PHASE_SHARES if share_left > share), "final")]
        is_gone = (cell + 0.5) / length <= share_gone
        line.append("━" if is_gone else "─", style if is_gone else f"{style} dim")
    line.append(f"  {phase}", f"bold {_PHASE_STYLE[phase]}")
    return line


def _fair_line(stands: Standing, market: MarketView, length: int) -> Text:
    quotes = None if stands.off_lease else stands.quotes
    line = Text(no_wrap=True, overflow="ellipsis")
    if quotes is None or quotes.fair_value is None:
        return line.append("fair value: none that can be defended", _DIM)
    line.append(f"{quotes.fair_value:8.4f} fair  ", "bold")
    low, high = quotes.fair_low, quotes.fair_high
    for cell in range(length):
        lower, upper = cell / length, (cell + 1) / length
        if lower <= quotes.fair_value < upper:
            line.append("●", "bold cyan3")
        elif low is not None and high is not None and upper > low and lower < high:
            line.append("━", "cyan3")
        else:
            line.append("┈", "grey35")
    if low is not None and high is not None:
        line.append(f"  {low:.3f}–{high:.3f}", "cyan3")
    mid = _mid(market)
    if mid is not None:
        line.append(f"  book mid {mid:.3f}", _DIM)
    return line


def _mid(market: MarketView) -> float | None:
    book = market.books.get("CALL")
    if book is None or not book.bid_ticks or not book.ask_ticks:
        return None
    return (book.bid_ticks[0] + book.ask_ticks[0]) / 2 * book.tick_size


def _ladders(stands: Standing, market: MarketView, height: int, inside: int) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    is_narrow = inside < NARROW_COLUMNS
    both: tuple[Outcome, Outcome] = ("CALL", "PUT")
    grid.add_row(*(_ladder(each, stands, market, height, is_narrow=is_narrow) for each in both))
    return grid


def _ladder(outcome: Outcome, stands: Standing, market: MarketView, height: int, *, is_narrow: bool) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 0 if is_narrow else 1), header_style=_DIM, show_edge=False)
    name = Text(outcome if is_narrow else f"{outcome} ({'Up' if outcome == 'CALL' else 'Down'})", "bold")
    columns: tuple[RenderableType, ...] = ("our bid", "bids", name, "asks", "our ask")
    for header in columns:
        table.add_column(header, justify="center" if header is name else "right", no_wrap=True)
    layers = stands.call if outcome == "CALL" else stands.put
    rows = ladder_rows(market.books.get(outcome), layers, height)
    for row in rows:
        table.add_row(*_ladder_cells(row, is_narrow=is_narrow))
    if not rows:
        table.add_row("", "", Text("no book", _DIM), "", "")
    return table


def _ladder_cells(row: LadderRow, *, is_narrow: bool) -> tuple[Text, ...]:
    sizes = short_size if is_narrow else _full_size
    price_style = "green3" if row.bid_size else "red3" if row.ask_size else _DIM
    return (
        _ours(row.our_bid, "bold grey0 on green3"),
        Text(sizes(row.bid_size) if row.bid_size else "", "green3"),
        Text(f"{row.price:.{row.decimals}f}", f"bold {price_style}"),
        Text(sizes(row.ask_size) if row.ask_size else "", "red3"),
        _ours(row.our_ask, "bold grey0 on red3"),
    )


def _full_size(size: float) -> str:
    return f"{size:,.0f}"


def short_size(size: float) -> str:
    """At most four characters: 999, 8.4k, 12k, 1.2M."""
    for unit, name in ((1.0, ""), (1e3, "k"), (1e6, "M")):
        shown = f"{size / unit:.0f}" if unit == 1.0 or size / unit >= 9.95 else f"{size / unit:.1f}"
        if float(shown) < 1000:
            return shown + name
    return "huge"


def _ours(size: float | None, style: str) -> Text:
    """Our size, colored where it stands and nowhere else: a style of the whole text would fill the empty cell too."""
    return Text.assemble((f" {size:g} ", style)) if size else Text()


def _below(view: SystemView, market: MarketView) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(_facts(market), _feeds(view, market.series))
    return grid


def _short_below(view: SystemView, market: MarketView) -> list[Text]:
    """The feeds first: what is wrong with them must be seen; then what moves the quotes."""
    feeds = view.feeds_of(market.series)
    bad = [each for each in feeds if each.state != "LIVE"]
    health = Text(no_wrap=True, overflow="ellipsis")
    health.append(f"{'feeds':<{LABEL_COLUMNS}}", _DIM)
    if bad:
        health.append(", ".join(f"{each.venue} {_stream_name(each)} {each.state}" for each in bad), "orange1")
    else:
        health.append(f"{len(feeds)} live", "green3")
    signals = Text.assemble((f"{'signals':<{LABEL_COLUMNS}}", _DIM), no_wrap=True, overflow="ellipsis")
    return [health, signals.append_text(_regime(market)).append("  ").append_text(_volatility(market))]


def _facts(market: MarketView) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(style=_DIM, no_wrap=True, min_width=10)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_row("lead-lag", _lead_lag(market))
    table.add_row("regime", _regime(market))
    table.add_row("volatility", _volatility(market))
    table.add_row("flow", _flow(market))
    table.add_row("settlement", _settlement(market))
    return table


def _underlying(view: SystemView, market: MarketView) -> Text:
    asset = view.assets[market.series.asset]
    line = Text(no_wrap=True, overflow="ellipsis")
    for venue, quote in sorted(asset.spot.items()):
        line.append(f"{venue} ", _DIM)
        line.append(f"{(quote.bid + quote.ask) / 2:,.2f}  ")
    for kind, tick in sorted(asset.oracle.items()):
        line.append("oracle " if kind == "spot" else f"{kind} ", _DIM)
        line.append(f"{tick.price:,.2f}  ", "bold")
    return line if line.plain else line.append("no price of the underlying yet", _DIM)


def _waiting(text: str = "waiting") -> Text:
    return Text(text, _DIM)


def _lead_lag(market: MarketView) -> Text:
    signal = market.lead_lag
    if signal is None or not signal.warm:
        return _waiting("waiting" if signal is None else "warming up")
    if signal.leader is None or signal.lead_s is None:
        return Text(f"nobody leads (correlation {signal.correlation:.2f})")
    return Text.assemble(
        (signal.leader, "bold"), f" leads by {signal.lead_s:.2f} s, correlation {signal.correlation:.2f}"
    )


def _regime(market: MarketView) -> Text:
    signal = market.regime
    if signal is None:
        return _waiting()
    text = Text(signal.regime.replace("_", " "), _REGIME_STYLE[signal.regime])
    return text.append(f", momentum z {signal.momentum_z:+.1f}" if signal.warm else ", warming up", "default")


def _volatility(market: MarketView) -> Text:
    signal = market.volatility
    if signal is None or signal.sigma_per_sqrt_s is None:
        return _waiting("waiting" if signal is None else "warming up")
    text = Text(f"{_per_year(signal.sigma_per_sqrt_s)} a year")
    if signal.relative_error is not None:
        text.append(f" ± {signal.relative_error:.0%}")
    if signal.implied_per_sqrt_s is not None:
        text.append(f", implied {_per_year(signal.implied_per_sqrt_s)}")
    if signal.spike:
        text.append(" SPIKE ", "bold white on red3")
    return text


def _flow(market: MarketView) -> Text:
    signal = market.flow
    if signal is None or not signal.warm:
        return _waiting("waiting" if signal is None else "warming up")
    style = "red3" if signal.toxicity > 0.7 else "orange1" if signal.toxicity > 0.4 else "green3"
    text = Text.assemble("toxicity ", (f"{signal.toxicity:.2f}", style))
    if signal.vpin is not None:
        text.append(f", VPIN {signal.vpin:.2f}")
    return text.append(f", net {signal.imbalance:+.2f}")


def _settlement(market: MarketView) -> Text:
    ended = market.settlement
    if ended is None:
        return _waiting("none yet")
    official = ended.official or "?"
    verdict = {
        True: ("audited: agrees", "green3"),
        False: ("audited: DISAGREES", "bold red3"),
        None: ("not audited", _DIM),
    }
    return Text.assemble((official, "bold"), f" of {ended.slug.rpartition('-')[2]}, ", verdict[ended.agrees])


def _feeds(view: SystemView, series: Series) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style=_DIM, show_edge=False)
    table.add_column("feed", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("state", no_wrap=True, min_width=5)
    table.add_column("age", justify="right", no_wrap=True, min_width=6)
    table.add_column("rate", justify="right", no_wrap=True, min_width=6)
    table.add_column("↻", justify="right", no_wrap=True, min_width=1)
    for each in view.feeds_of(series):
        table.add_row(
            Text.assemble(each.venue, (f" {_stream_name(each)}", _DIM)),
            Text(each.state, _FEED_STYLE[each.state]),
            "–" if each.age_s is None else f"{each.age_s:.1f} s",
            f"{each.seen_rate_hz:.1f}/s",
            str(each.reconnects or ""),
        )
    return table


def _stream_name(status: FeedStatus) -> str:
    """`book CALL`, `oracle twap60`, `quote`: short, for a narrow column."""
    return f"{_CHANNEL.get(status.channel, status.channel)} {status.subject.partition('.')[2]}".rstrip()


def _parts_lines(view: SystemView, parts: Mapping[str, PartState], columns: int, *, is_short: bool) -> list[Text]:
    """Every part with its state, memory and restarts, then how the last ones died. Short: what is well is counted."""
    well = 0
    entries: list[Text] = []
    deaths: list[Text] = []
    for name in list(parts) or sorted(view.parts):
        part = parts.get(name)
        seen = view.parts.get(name)
        style = "green3" if part is None else _PART_STYLE[part.phase]
        if style == "green3" and seen is not None and seen.silent_s(view.now_ns) is not None:
            style = "orange1"
        entry = Text.assemble(("● ", style), name)
        if seen is not None:
            entry.append(f" {seen.heartbeat.resident_bytes / 1e6:.0f}M", _DIM)
        restarts = part.restarts if part is not None else 0 if seen is None else seen.restarts
        if restarts:
            entry.append(f" ↻{restarts}", "bold orange1")
        if is_short and style == "green3" and not restarts:
            well += 1
        else:
            entries.append(entry)
        if part is not None and part.last_death:
            waiting = "" if part.phase == "running" else f" ({part.phase})"
            death = Text(no_wrap=True, overflow="ellipsis").append(f" {name}{waiting}: ", "orange1")
            deaths.append(death.append(part.last_death))
    total = sum(each.heartbeat.resident_bytes for each in view.parts.values())
    if is_short:
        entries.insert(0, Text.assemble(("● ", "green3"), f"{well} parts run"))
    entries.append(Text(f"all {total / 1e6:,.0f} MB", _DIM))
    return [*_flowed(entries, columns), *deaths[-1 if is_short else -3 :]]


def _flowed(entries: list[Text], columns: int) -> list[Text]:
    """Entries side by side, broken into lines only between them."""
    lines = [Text(" ", no_wrap=True)]
    for entry in entries:
        if lines[-1].cell_len + entry.cell_len > columns and lines[-1].cell_len > 1:
            lines.append(Text(" ", no_wrap=True))
        lines[-1].append_text(entry).append("  ")
    return lines


def _per_year(sigma_per_sqrt_s: float) -> str:
    return f"{sigma_per_sqrt_s * SECONDS_PER_YEAR**0.5:.0%}"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"


async def watch(out: Path, picture: Path | None, *, seconds: float, columns: int, lines: int) -> int:
    """Show the panel of the bot that runs on this folder, or save it as a picture; returns an exit code."""
    bot = read_bot_file(out)
    if bot is None:
        print(f"bot.panel: no bot runs on {out}", file=sys.stderr)
        return exit_codes.CONFIGURATION
    bus_view = BusView(open_bus(load_settings(BotSettings), bot.bus), [Series.parse(each) for each in bot.markets])
    if not await bus_view.wait_for_parts(10.0):
        print(f"bot.panel: the bot (pid {bot.pid}) on {out} is not heard on {bot.bus}", file=sys.stderr)
        return exit_codes.CRASHED
    following = asyncio.create_task(bus_view.follow())
    oldest_ns = min((each.heartbeat.started_ns for each in bus_view.view.parts.values()), default=time.time_ns())
    began_s = time.monotonic() - (time.time_ns() - oldest_ns) / NS_PER_S
    screen = Screen(title=f"{bot.venues} venues", out=str(out), began_s=began_s, notice=bot.notice, leave="leaves")
    asking = asyncio.create_task(bus_view.follow_results())
    try:
        if picture is None:
            await _show_until_it_stops(screen, bus_view, out, bot.pid)
            print(
                f"bot.panel: the bot (pid {bot.pid}) on {out} stopped at {time.strftime('%H:%M:%S')}", file=sys.stderr
            )
        else:
            await asyncio.sleep(seconds)
            with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
                console = Console(record=True, width=columns, height=lines, force_terminal=True, file=nowhere)
                console.print(Dashboard(screen, bus_view.view, {}, bus_view.results))
            picture.write_text(_svg(console), encoding="utf-8")
    finally:
        for each in (following, asking):
            each.cancel()
        await asyncio.gather(following, asking, return_exceptions=True)
        bus_view.close()
    return exit_codes.CLEAN


async def _show_until_it_stops(screen: Screen, bus_view: BusView, out: Path, pid: int) -> None:
    showing = asyncio.create_task(show(screen, bus_view, {}))
    try:
        while is_running(out, pid) and not showing.done():
            await asyncio.sleep(WATCH_EACH_S)
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


def _svg(console: Console) -> str:
    """What was drawn. Without the attribute some programs (librsvg) drop the spaces that columns begin with."""
    return console.export_svg(title="python3 mm_bot.py").replace("<svg ", '<svg xml:space="preserve" ', 1)


def main() -> int:
    """`python -m bot.panel`"""
    parser = argparse.ArgumentParser(prog="python -m bot.panel", description="Watch a running bot.", allow_abbrev=False)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("out"), help="its output folder (default: out)")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="save an SVG picture instead")
    parser.add_argument("--seconds", metavar="S", type=float, default=2.0, help="look this long before the picture")
    parser.add_argument("--columns", type=int, default=100, help="columns of the picture")
    parser.add_argument("--lines", type=int, default=40, help="lines of the picture")
    given = parser.parse_args()
    try:
        return asyncio.run(
            watch(given.out, given.picture, seconds=given.seconds, columns=given.columns, lines=given.lines)
        )
    except KeyboardInterrupt:
        return exit_codes.CLEAN


if __name__ == "__main__":
    sys.exit(main())

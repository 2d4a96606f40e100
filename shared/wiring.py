"""The architecture as one table: who publishes and who subscribes to what.

The diagram in `docs/architecture.md` is printed from it, the supervisor starts what is in it, and each process takes
its subscriptions from it. A test fails when a subscription has no publisher.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from shared.market import Series
from shared.messages import (
    Checkpoint,
    FeedStatus,
    Fill,
    Flow,
    Heartbeat,
    LeadLag,
    Message,
    OpenOrders,
    OracleHistory,
    OraclePrice,
    OutcomeBook,
    OutcomeTrade,
    Period,
    Position,
    QuoteSet,
    Regime,
    Settlement,
    SpotQuote,
    SpotTrade,
    Volatility,
)

MessageType = type[Message]

# Subject of the topic: an asset, a market, or (Heartbeat) a service.
BY_ASSET: frozenset[MessageType] = frozenset({SpotQuote, SpotTrade, OraclePrice, OracleHistory})
BY_SERVICE: frozenset[MessageType] = frozenset({Heartbeat})
WITHOUT_SOURCE: frozenset[MessageType] = frozenset(
    {Settlement, LeadLag, Regime, Volatility, Flow, QuoteSet, Fill, OpenOrders, Position}
)
# Events that already happened: a late joiner must not take the last one for news.
NOT_CACHED: frozenset[MessageType] = frozenset({SpotTrade, OutcomeTrade, Fill})

# Each of these says all there is to say: with a newer one of the same topic at hand, nobody needs it.
SNAPSHOTS: frozenset[MessageType] = frozenset({SpotQuote, OutcomeBook, FeedStatus, QuoteSet, OpenOrders, Position})

TOPIC_END = "\0"


class Part(NamedTuple):
    """One process kind. `python -m <module> <arguments>` starts it; `room` is where it is drawn."""

    name: str
    room: str
    module: str
    arguments: tuple[str, ...]
    publishes: tuple[MessageType, ...]
    subscribes: tuple[MessageType, ...]
    summary: str
    latest_only: bool = True  # skip snapshots that are superseded already when they are received


SIGNALS: tuple[MessageType, ...] = (LeadLag, Regime, Volatility, Flow)
UNDERLYING: tuple[MessageType, ...] = (SpotQuote, SpotTrade, OraclePrice, OracleHistory, Period)

PARTS: tuple[Part, ...] = (
    Part(
        "broker",
        "bus",
        "services.broker",
        (),
        (Heartbeat,),
        (),
        "forwards every message; keeps the last value of each topic",
    ),
    Part("bybit", "feeds", "services.feeds", ("bybit",), (SpotQuote, SpotTrade, FeedStatus), (), "Bybit v5 spot"),
    Part(
        "coinbase",
        "feeds",
        "services.feeds",
        ("coinbase",),
        (SpotQuote, SpotTrade, FeedStatus),
        (),
        "Coinbase Exchange",
    ),
    Part(
        "chainlink",
        "feeds",
        "services.feeds",
        ("chainlink",),
        (OraclePrice, OracleHistory, FeedStatus),
        (),
        "Chainlink spot and 60 s TWAP (PolyBolt or RTDS)",
    ),
    Part(
        "polymarket",
        "feeds",
        "services.feeds",
        ("polymarket",),
        (OutcomeBook, OutcomeTrade, Period, Settlement, FeedStatus),
        (OraclePrice, OracleHistory),
        "periods, strikes, books, trades, settlements",
    ),
    Part(
        "files",
        "feeds",
        "services.feeds",
        ("files",),
        (SpotQuote, OraclePrice, OracleHistory, OutcomeBook, Period, FeedStatus),
        (),
        "JSON files written by other collectors",
    ),
    Part(
        "lead_lag",
        "analyzers",
        "services.analyzers",
        ("lead_lag",),
        (LeadLag, Checkpoint),
        (SpotQuote, OraclePrice, OracleHistory, Checkpoint, Heartbeat),
        "which venue leads the oracle, and by how much",
    ),
    Part(
        "regime",
        "analyzers",
        "services.analyzers",
        ("regime",),
        (Regime, Checkpoint),
        (SpotQuote, OraclePrice, OracleHistory, LeadLag, Checkpoint, Heartbeat),
        "trending, mean reverting, volatile or quiet; momentum",
    ),
    Part(
        "volatility",
        "analyzers",
        "services.analyzers",
        ("volatility",),
        (Volatility, Checkpoint),
        (SpotQuote, OraclePrice, OracleHistory, OutcomeBook, Period, LeadLag, Checkpoint, Heartbeat),
        "realized and implied volatility; the spike alarm",
    ),
    Part(
        "flow",
        "analyzers",
        "services.analyzers",
        ("flow",),
        (Flow, Checkpoint),
        (SpotQuote, SpotTrade, OutcomeBook, OutcomeTrade, Period, LeadLag, Fill, Checkpoint, Heartbeat),
        "how informed the order flow is",
    ),
    Part(
        "hedger",
        "hedger",
        "services.hedger",
        (),
        (Position, Fill),
        (Period, Settlement, OutcomeBook, QuoteSet, OpenOrders),
        "the ledger: owns the positions, takes fills, answers queries",
    ),
    Part(
        "quoter",
        "quoter",
        "services.quoter",
        (),
        (QuoteSet,),
        (SpotQuote, OraclePrice, OracleHistory, OutcomeBook, Period, FeedStatus, *SIGNALS, Position),
        "action, fair value, skews, spread, tiers",
    ),
    Part(
        "executor",
        "executor",
        "services.executor",
        (),
        (OpenOrders,),
        (QuoteSet, OutcomeBook, OutcomeTrade, Period, Position, FeedStatus),
        "paper execution: resting orders that follow the quotes and fill against the real book and trades",
        latest_only=False,
    ),
    Part(
        "sink",
        "outputs",
        "services.sink",
        (),
        (),
        (
            QuoteSet,
            Period,
            Settlement,
            FeedStatus,
            OutcomeBook,
            SpotQuote,
            OraclePrice,
            *SIGNALS,
            OpenOrders,
            Fill,
            Position,
            Heartbeat,
        ),
        "writes mm_quotes.json and mm_status.json; enforces the lease of a quote",
    ),
    Part(
        "recorder",
        "outputs",
        "services.recorder",
        (),
        (),
        (
            SpotQuote,
            SpotTrade,
            OraclePrice,
            OracleHistory,
            OutcomeBook,
            OutcomeTrade,
            Period,
            Settlement,
            FeedStatus,
            *SIGNALS,
            QuoteSet,
            Fill,
            OpenOrders,
            Position,
        ),
        "the bus onto disk",
        latest_only=False,
    ),
)

PART = {part.name: part for part in PARTS}


def prefix(message: MessageType, subject: str) -> str:
    """The subscription that yields exactly the messages of one class about one subject."""
    return f"{message.__name__}.{subject}" + (TOPIC_END if message in WITHOUT_SOURCE else ".")


def subscriptions(part: Part, series: Iterable[Series]) -> tuple[str, ...]:
    """The topic prefixes a part needs for these series."""
    markets = sorted({each.name for each in series})
    assets = sorted({each.asset for each in series})
    wanted: list[str] = []
    for message in part.subscribes:
        if message in BY_SERVICE:
            own_kind = f"{part.name}." if Checkpoint in part.publishes else ""  # these share the markets of one kind
            wanted.append(f"{message.__name__}.{own_kind}")
        elif message is Checkpoint:  # only of its own kind
            wanted.extend(f"{prefix(message, market)}{part.name}{TOPIC_END}" for market in markets)
        elif message is FeedStatus:
            wanted.extend(prefix(message, subject) for subject in (*markets, *assets))
        else:
            wanted.extend(prefix(message, subject) for subject in (assets if message in BY_ASSET else markets))
    return tuple(wanted)


def diagram() -> str:
    """The table as a Mermaid flow chart: the rooms, the parts in them, and what passes from room to room."""
    parts = [part for part in PARTS if part.name != "broker"]
    lines = ["flowchart LR"]
    for room in dict.fromkeys(part.room for part in parts):
        inside = [part.name for part in parts if part.room == room]
        if inside == [room]:
            lines.append(f"    {room}")
        else:
            lines.extend((f"    subgraph {room}", *(f"        {name}" for name in inside), "    end"))
    passed: dict[tuple[str, str], dict[str, None]] = {}
    for publisher in parts:
        for subscriber in parts:
            if publisher.room != subscriber.room:
                both = [each.__name__ for each in publisher.publishes if each in subscriber.subscribes]
                passed.setdefault((publisher.room, subscriber.room), {}).update(dict.fromkeys(both))
    for (source, target), names in passed.items():
        if names:
            label = "everything" if target == "outputs" and source != "quoter" else ", ".join(names)
            lines.append(f'    {source} -- "{label}" --> {target}')
    return "\n".join(lines)


def table() -> str:
    """The table as Markdown: each part, what it publishes and what it reads."""
    rows = ["| part | publishes | reads | what it does |", "|---|---|---|---|"]
    for part in PARTS:
        columns = (", ".join(each.__name__ for each in kinds) or "—" for kinds in (part.publishes, part.subscribes))
        rows.append(f"| {part.name} | {' | '.join(columns)} | {part.summary} |")
    return "\n".join(rows)


def print_into(document: Path) -> None:
    """Put diagram and table into a Markdown document, between its `<!-- wiring -->` marks."""
    before, mark, rest = document.read_text().partition(_MARK)
    _, closing, after = rest.partition(_MARK)
    if not mark or not closing:
        raise ValueError(f"{document} has no two {_MARK} marks")
    document.write_text(before + _MARK + printed() + _MARK + after)


_MARK = "<!-- wiring -->"


def printed() -> str:
    """What stands between the marks."""
    return f"\n```mermaid\n{diagram()}\n```\n\n{table()}\n"


if __name__ == "__main__":
    print_into(Path(__file__).parents[1] / "docs" / "architecture.md")

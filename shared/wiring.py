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
    Flow,
    Heartbeat,
    LeadLag,
    Message,
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
WITHOUT_SOURCE: frozenset[MessageType] = frozenset({Settlement, LeadLag, Regime, Volatility, Flow, QuoteSet, Position})
# Events that already happened: a late joiner must not take the last one for news.
NOT_CACHED: frozenset[MessageType] = frozenset({SpotTrade, OutcomeTrade})

TOPIC_END = "\0"


class Part(NamedTuple):
    """One process kind. `module` and `arguments` start it: `python -m <module> <arguments>`."""

    name: str
    module: str
    arguments: tuple[str, ...]
    publishes: tuple[MessageType, ...]
    subscribes: tuple[MessageType, ...]
    summary: str


SIGNALS: tuple[MessageType, ...] = (LeadLag, Regime, Volatility, Flow)
UNDERLYING: tuple[MessageType, ...] = (SpotQuote, SpotTrade, OraclePrice, OracleHistory, Period)

PARTS: tuple[Part, ...] = (
    Part(
        "broker", "services.broker", (), (Heartbeat,), (), "forwards every message; keeps the last value of each topic"
    ),
    Part("bybit", "services.feeds", ("bybit",), (SpotQuote, SpotTrade, FeedStatus), (), "Bybit v5 spot"),
    Part("coinbase", "services.feeds", ("coinbase",), (SpotQuote, SpotTrade, FeedStatus), (), "Coinbase Exchange"),
    Part(
        "chainlink",
        "services.feeds",
        ("chainlink",),
        (OraclePrice, OracleHistory, FeedStatus),
        (),
        "Chainlink spot and 60 s TWAP (PolyBolt or RTDS)",
    ),
    Part(
        "polymarket",
        "services.feeds",
        ("polymarket",),
        (OutcomeBook, OutcomeTrade, Period, Settlement, FeedStatus),
        (OraclePrice, OracleHistory),
        "periods, strikes, books, trades, settlements",
    ),
    Part(
        "files",
        "services.feeds",
        ("files",),
        (SpotQuote, OraclePrice, OracleHistory, OutcomeBook, Period, FeedStatus),
        (),
        "JSON files written by other collectors",
    ),
    Part(
        "lead_lag",
        "services.analyzers",
        ("lead_lag",),
        (LeadLag, Checkpoint),
        (SpotQuote, OraclePrice, OracleHistory, Checkpoint),
        "which venue leads the oracle, and by how much",
    ),
    Part(
        "regime",
        "services.analyzers",
        ("regime",),
        (Regime, Checkpoint),
        (SpotQuote, OraclePrice, OracleHistory, LeadLag, Checkpoint),
        "trending, mean reverting, volatile or quiet; momentum",
    ),
    Part(
        "volatility",
        "services.analyzers",
        ("volatility",),
        (Volatility, Checkpoint),
        (SpotQuote, OraclePrice, OracleHistory, OutcomeBook, Period, LeadLag, Checkpoint),
        "realized and implied volatility; the spike alarm",
    ),
    Part(
        "flow",
        "services.analyzers",
        ("flow",),
        (Flow, Checkpoint),
        (SpotQuote, SpotTrade, OutcomeBook, OutcomeTrade, Period, LeadLag, Checkpoint),
        "how informed the order flow is",
    ),
    Part("hedger", "services.hedger", (), (Position,), (Period,), "owns the positions and answers queries about them"),
    Part(
        "quoter",
        "services.quoter",
        (),
        (QuoteSet,),
        (SpotQuote, OraclePrice, OracleHistory, OutcomeBook, Period, FeedStatus, *SIGNALS, Position),
        "action, fair value, skews, spread, tiers",
    ),
    Part(
        "sink",
        "services.sink",
        (),
        (),
        (QuoteSet, Period, Settlement, FeedStatus, OutcomeBook, SpotQuote, OraclePrice, *SIGNALS, Position, Heartbeat),
        "writes mm_quotes.json and mm_status.json; enforces the lease of a quote",
    ),
    Part(
        "recorder",
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
            Position,
        ),
        "the bus onto disk",
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
            wanted.append(f"{message.__name__}.")
        elif message is FeedStatus:
            wanted.extend(prefix(message, subject) for subject in (*markets, *assets))
        else:
            wanted.extend(prefix(message, subject) for subject in (assets if message in BY_ASSET else markets))
    return tuple(wanted)


def write_diagram(document: Path) -> None:
    """Put the diagram into a Markdown document, in place of the one between its Mermaid fences."""
    before, fence, rest = document.read_text().partition("```mermaid\n")
    _, closing, after = rest.partition("\n```")
    if not fence or not closing:
        raise ValueError(f"{document} has no ```mermaid block")
    document.write_text(before + fence + diagram() + closing + after)


def diagram() -> str:
    """The table as a Mermaid flow chart: feeds, analyzers, deciders, files, and what passes between them."""
    lines = ["flowchart LR"]
    for part in PARTS:
        if part.name != "broker":
            lines.append(f'    {part.name}["<b>{part.name}</b><br/>{part.summary}"]')
    for publisher in PARTS:
        for subscriber in PARTS:
            if publisher.name == subscriber.name:
                continue
            passed = [each.__name__ for each in publisher.publishes if each in subscriber.subscribes]
            if passed and subscriber.name not in ("recorder", "sink"):
                lines.append(f"    {publisher.name} -- {', '.join(passed)} --> {subscriber.name}")
    lines.append("    quoter -- QuoteSet --> sink")
    lines.append('    every["every part"] -. everything .-> recorder')
    return "\n".join(lines)


if __name__ == "__main__":
    write_diagram(Path(__file__).parents[1] / "docs" / "architecture.md")

"""What is known about the running system: the last message of each kind, in one object a market, asset and part.

The sink writes its files from it, the panel draws it. `standing` is the one place that decides which quotes stand. It
takes no other clock's word for how long: a lease ends at the latest `MAX_LEASE_S` after we heard it, by our own time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from shared.core import Delivery, Event, Timer
from shared.market import NS_PER_S, Series, phase_at
from shared.messages import (
    Action,
    AnyMessage,
    FeedStatus,
    Fill,
    Flow,
    Heartbeat,
    Layer,
    LeadLag,
    OpenOrder,
    OpenOrders,
    OracleKind,
    OraclePrice,
    Outcome,
    OutcomeBook,
    Period,
    PeriodRole,
    PhaseName,
    Position,
    QuoteSet,
    Regime,
    Settlement,
    SpotQuote,
    Volatility,
)

SILENT_AFTER_S = 3.5  # parts say each second that they live; positions and open orders are repeated as often
LAST_FILLS = 8  # how many are kept for people to see; all of them are in the ledger
FORGET_AFTER_S = 600.0  # a part that moved away or was renamed leaves the picture
MAX_LEASE_S = 10.0  # the longest lease a quoter may ask for (`lease_s`)
CLOCK_STEP_S = 1.0  # a clock that goes back further voids what was heard before
LEASE_PARTS = ("quoter",)  # the parts without which no lease is renewed; always named when they never spoke


@dataclass
class PartView:
    """One process: its last heartbeat, when it came (our clock), and how often it began anew."""

    heartbeat: Heartbeat
    heard_ns: int
    restarts: int = 0

    def silent_s(self, now_ns: int) -> float | None:
        """Seconds since it was heard when that is too long; None while it speaks."""
        age_s = (now_ns - self.heard_ns) / NS_PER_S
        return age_s if age_s > SILENT_AFTER_S else None


@dataclass
class AssetView:
    """The underlying: best quotes by venue and the oracle's streams."""

    spot: dict[str, SpotQuote] = field(default_factory=dict)
    oracle: dict[OracleKind, OraclePrice] = field(default_factory=dict)


@dataclass
class MarketView:
    """One series: its period, signals, books, position, orders, and the quotes on lease."""

    series: Series
    periods: dict[PeriodRole, Period] = field(default_factory=dict)
    settlement: Settlement | None = None
    books: dict[Outcome, OutcomeBook] = field(default_factory=dict)
    lead_lag: LeadLag | None = None
    regime: Regime | None = None
    volatility: Volatility | None = None
    flow: Flow | None = None
    position: Position | None = None
    position_heard_ns: int = 0
    orders: dict[str, OpenOrders] = field(default_factory=dict)  # by period; only those that have any
    orders_heard_ns: int = 0
    fills: deque[Fill] = field(default_factory=lambda: deque(maxlen=LAST_FILLS))  # newest last
    quotes: QuoteSet | None = None
    lease_ends_ns: int = 0
    lease_fault: Literal["", "lease_implausible", "clock_stepped_back"] = ""

    def take_quotes(self, quotes: QuoteSet, now_ns: int) -> None:
        """A quote set heard now: its lease is what it asks for, if that is no longer than any lease may be."""
        longest_ns = now_ns + round(MAX_LEASE_S * NS_PER_S)
        self.quotes = quotes
        self.lease_ends_ns = min(quotes.valid_until_ns, longest_ns)
        self.lease_fault = "lease_implausible" if quotes.valid_until_ns > longest_ns else ""

    def step_clock_back(self, step_ns: int) -> None:
        """Our clock went back: the lease gains nothing by it, and after a large step there is none."""
        self.lease_ends_ns -= step_ns
        self.position_heard_ns -= step_ns
        self.orders_heard_ns -= step_ns
        if step_ns > CLOCK_STEP_S * NS_PER_S:
            self.lease_fault = "clock_stepped_back"

    def take_position(self, position: Position, now_ns: int) -> None:
        """What we hold, heard now; a last value from before our time at its own time."""
        is_first = self.position is None
        self.position = position
        self.position_heard_ns = min(position.ts_recv_ns, now_ns) if is_first else now_ns

    def take_orders(self, orders: OpenOrders, now_ns: int) -> None:
        """The open orders of one period, heard now; those of periods that are over are forgotten."""
        is_first = not self.orders_heard_ns
        self.orders_heard_ns = min(orders.ts_recv_ns, now_ns) if is_first else now_ns
        running = {each.slug for each in self.periods.values()} | {orders.slug}
        self.orders = {slug: each for slug, each in (self.orders | {orders.slug: orders}).items() if slug in running}

    def position_now(self, now_ns: int) -> Position | None:
        """What we hold; None when the ledger never spoke or fell silent: then nobody knows."""
        return None if _is_silent(self.position_heard_ns, now_ns) else self.position

    def orders_now(self, now_ns: int) -> tuple[OpenOrder, ...] | None:
        """Our orders that can still fill, of all periods; None when no executor speaks."""
        if _is_silent(self.orders_heard_ns, now_ns):
            return None
        return tuple(order for each in self.orders.values() for order in each.orders)

    def end_ns(self) -> int | None:
        """When the quoted period ends; None before anything is known about it."""
        if self.quotes is None:
            current = self.periods.get("current")
            return None if current is None else current.end_ns
        for period in self.periods.values():
            if period.slug == self.quotes.slug:
                return period.end_ns
        return self.quotes.ts_event_ns + round(self.quotes.time_to_expiry_s * NS_PER_S)

    def phase(self, now_ns: int) -> PhaseName | None:
        """The phase now, of the period that is quoted (or, before any quote, of the current one)."""
        slug = None if self.quotes is None else self.quotes.slug
        for period in self.periods.values():
            if period.slug == slug or (slug is None and period.role == "current"):
                return phase_at(now_ns, start_ns=period.start_ns, end_ns=period.end_ns)
        return None if self.quotes is None else self.quotes.phase


def _is_silent(heard_ns: int, now_ns: int) -> bool:
    return heard_ns <= 0 or now_ns - heard_ns > SILENT_AFTER_S * NS_PER_S


class SystemView:
    """Everything, kept current by `update`. One object a market, made at the start; memory does not grow."""

    def __init__(self, series: Iterable[Series]) -> None:
        self.now_ns = 0
        self.markets = {each.name: MarketView(each) for each in series}
        self.assets = {each.series.asset: AssetView() for each in self.markets.values()}
        self.feeds: dict[tuple[str, str, str], FeedStatus] = {}
        self.parts: dict[str, PartView] = {}

    def update(self, event: Event) -> None:
        """Take one event. Our clock comes with `Timer` alone: times in messages are other people's."""
        if isinstance(event, Timer):
            self._advance(event.ts_ns)
        elif isinstance(event, Delivery):
            self._take(event.message)

    def _advance(self, now_ns: int) -> None:
        if now_ns < self.now_ns:
            for market in self.markets.values():
                market.step_clock_back(self.now_ns - now_ns)
            for part in self.parts.values():
                part.heard_ns = min(part.heard_ns, now_ns)
        self.now_ns = now_ns
        forget_before = now_ns - round(FORGET_AFTER_S * NS_PER_S)
        if any(part.heard_ns < forget_before for part in self.parts.values()):
            self.parts = {name: part for name, part in self.parts.items() if part.heard_ns >= forget_before}

    def _take(self, message: AnyMessage) -> None:
        match message:
            case Heartbeat():
                self._take_heartbeat(message)
            case FeedStatus():
                self.feeds[message.subject, message.venue, message.channel] = message
            case SpotQuote() if message.asset in self.assets:
                self.assets[message.asset].spot[message.venue] = message
            case OraclePrice() if message.asset in self.assets:
                self.assets[message.asset].oracle[message.kind] = message
            case (
                QuoteSet()
                | Period()
                | Settlement()
                | OutcomeBook()
                | LeadLag()
                | Regime()
                | Volatility()
                | Flow()
                | Position()
                | OpenOrders()
                | Fill()
            ) if message.market in self.markets:
                self._take_market(self.markets[message.market], message)
            case _:
                pass

    def _take_heartbeat(self, message: Heartbeat) -> None:
        part = self.parts.get(message.instance)
        if part is None:
            # A last value from before our time may be old: it is heard at its own time, if that is no later than ours.
            self.parts[message.instance] = PartView(
                message, min(message.ts_event_ns, self.now_ns or message.ts_event_ns)
            )
            return
        part.restarts += message.started_ns != part.heartbeat.started_ns
        part.heartbeat = message
        part.heard_ns = self.now_ns

    def _take_market(
        self,
        market: MarketView,
        message: QuoteSet
        | Period
        | Settlement
        | OutcomeBook
        | LeadLag
        | Regime
        | Volatility
        | Flow
        | Position
        | OpenOrders
        | Fill,
    ) -> None:
        match message:
            case QuoteSet():
                market.take_quotes(message, self.now_ns)
            case Period():
                market.periods[message.role] = message
            case Settlement():
                market.settlement = message
            case OutcomeBook():
                market.books[message.outcome] = message
            case LeadLag():
                market.lead_lag = message
            case Regime():
                market.regime = message
            case Volatility():
                market.volatility = message
            case Flow():
                market.flow = message
            case Position():
                market.take_position(message, self.now_ns)
            case OpenOrders():
                market.take_orders(message, self.now_ns)
            case Fill():
                market.fills.append(message)

    def feeds_of(self, series: Series) -> list[FeedStatus]:
        """The streams this market lives on, worst first."""
        rank = {"DOWN": 0, "GAP": 1, "STALE": 2, "LIVE": 3}
        subjects = (series.name, series.asset)
        found = [each for each in self.feeds.values() if each.subject.partition(".")[0] in subjects]
        return sorted(found, key=lambda each: (rank[each.state], each.venue, each.channel, each.subject))

    def silent_parts(self) -> list[tuple[str, float | None]]:
        """Parts that stopped speaking, with for how many seconds; None for a needed part that never spoke."""
        silent: list[tuple[str, float | None]] = []
        for name, part in self.parts.items():
            silent_s = part.silent_s(self.now_ns)
            if silent_s is not None:
                silent.append((name, silent_s))
        spoken = {part.heartbeat.service for part in self.parts.values()}
        silent.extend((name, None) for name in LEASE_PARTS if name not in spoken)
        return silent


class Standing(NamedTuple):
    """What a reader of the quotes may rely on now. Ladders are empty whenever `action` is PULL_QUOTES."""

    action: Action
    reasons: tuple[str, ...]
    quotes: QuoteSet | None
    call: tuple[Layer, ...]
    put: tuple[Layer, ...]
    off_lease: bool = False  # the lease ran out, or was none: the quotes and their fair value are nobody's word now


def standing(view: SystemView, market: MarketView) -> Standing:
    """The quotes that stand now: those of the last quote set, while its lease lasts and its period runs."""
    quotes = market.quotes
    if quotes is None:
        return Standing("PULL_QUOTES", ("starting",), None, (), ())
    if market.lease_fault:
        return Standing("PULL_QUOTES", (market.lease_fault,), quotes, (), (), off_lease=True)
    if view.now_ns >= market.lease_ends_ns:
        reasons = ("lease_expired", silence_text(view))
        return Standing("PULL_QUOTES", reasons, quotes, (), (), off_lease=True)
    end_ns = market.end_ns()
    if end_ns is not None and view.now_ns >= end_ns and quotes.action != "PULL_QUOTES":
        return Standing("PULL_QUOTES", ("period_ended",), quotes, (), ())
    if quotes.action == "PULL_QUOTES":
        return Standing("PULL_QUOTES", quotes.reasons, quotes, (), ())
    return Standing(quotes.action, quotes.reasons, quotes, quotes.call, quotes.put)


def silence_text(view: SystemView) -> str:
    """Who is silent, in words: `silent: quoter 4 s, bybit 5 s`."""
    silent = view.silent_parts()
    if not silent:
        return "silent: no part; the quoter lives and sends no quotes"
    named = (f"{name} never spoke" if age_s is None else f"{name} {age_s:.0f} s" for name, age_s in silent)
    return "silent: " + ", ".join(named)

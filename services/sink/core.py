"""What the output files say, and when they are written anew.

`mm_quotes.json` states which quotes stand now; a reader that finds `valid_until` in the past must treat it as
PULL_QUOTES. The lease of a quote set ends here, whoever died: the sink needs nobody's help to say PULL_QUOTES.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from services.sink.view import MarketView, PartView, SystemView, standing
from shared.core import Delivery, Event
from shared.market import NS_PER_S, Series
from shared.messages import (
    Action,
    AnyMessage,
    Execution,
    Layer,
    OrderState,
    Outcome,
    PhaseName,
    QuoteSet,
    RegimeName,
    Side,
    TradeSide,
)

QUOTES_FILE = "mm_quotes.json"
STATUS_FILE = "mm_status.json"
COALESCE_NS = 10_000_000  # a burst of quote sets is one write: at most one each 10 ms and market
FILE_VERSION = 1

_NS_PER_MS = 1_000_000


class QuoteLine(msgspec.Struct, frozen=True, kw_only=True):
    """One order of the ladder. `execution` and `execution_price` say how to place it without inventory."""

    side: Side
    price: float
    size: float
    layer: int
    ticks: int
    execution: Execution
    execution_price: float


class HeldPosition(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says we hold in `slug`: the fields of `shared.messages.Position`, in shares and dollars."""

    slug: str
    call_shares: float
    put_shares: float
    call_average_price: float | None
    put_average_price: float | None
    mergeable_pairs: float
    realized_pnl_usd: float
    unrealized_pnl_usd: float | None
    liquidation_pnl_usd: float | None
    worst_case_usd: float
    fees_usd: float
    rebates_usd: float
    fills: int


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """One open paper order: what is left of it, and the shares believed to be ahead of it in the queue."""

    order_id: str
    outcome: Outcome
    side: TradeSide
    price: float
    left: float
    ahead: float | None
    state: OrderState


class QuotesFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `mm_quotes.json`. Times are Unix milliseconds; `None` means there is no answer.

    `position` is None while the ledger is silent, `open_orders` while nothing executes: unknown, not nothing.
    """

    timestamp: int
    time_to_expiry_seconds: float | None = None
    phase: PhaseName | None = None
    regime: RegimeName = "unknown"
    quotes: dict[Outcome, list[QuoteLine]]
    market: str
    slug: str | None = None
    action: Action
    reasons: tuple[str, ...]
    fair_value: float | None = None
    fair_low: float | None = None
    fair_high: float | None = None
    tick_size: float | None = None
    quoted_at: int | None = None
    valid_until: int
    position: HeldPosition | None = None
    open_orders: list[OrderLine] | None = None
    breakdown: dict[str, float] = {}
    inputs: dict[str, int] = {}
    version: int = FILE_VERSION


class PartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process in `mm_status.json`."""

    service: str
    state: Literal["LIVE", "SILENT"]
    heard_seconds_ago: float
    pid: int
    uptime_seconds: float
    restarts: int
    resident_bytes: int
    metrics_port: int
    markets: tuple[str, ...]
    counters: dict[str, float]


class MarketStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One market in `mm_status.json`: the last message of each kind, by field name.

    `position` and `open_orders` are those of the quotes file; `last_fills` are the last eight since the sink began, the
    newest last; `own_markout` is what our fills earned per share, positive is good for us.
    """

    action: Action
    reasons: tuple[str, ...]
    phase: PhaseName | None
    time_to_expiry_seconds: float | None
    fair_value: float | None
    quotes_age_seconds: float | None
    lease_expiries: int
    periods: dict[str, Any]
    settlement: dict[str, Any] | None
    signals: dict[str, Any]
    position: HeldPosition | None
    open_orders: list[OrderLine] | None
    last_fills: list[dict[str, Any]]
    own_markout: float | None
    spot: dict[str, Any]
    oracle: dict[str, Any]
    feeds: list[dict[str, Any]]


class StatusFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `mm_status.json`."""

    timestamp: int
    started: int
    markets: dict[str, MarketStatus]
    parts: dict[str, PartStatus]
    silent: list[str]
    version: int = FILE_VERSION


class OutputFile(NamedTuple):
    """A file to replace."""

    name: str
    content: bytes


class _Schedule:
    """When one market's file is due: at once when something changed, else each heartbeat."""

    __slots__ = ("changed", "lease_counted", "lease_expiries", "written_ns")

    def __init__(self) -> None:
        self.changed = True
        self.written_ns = 0
        self.lease_counted = False
        self.lease_expiries = 0


class SinkCore:
    """Takes every message about its markets; says which files are due and what they say.

    `update` takes one event (time comes with `Timer`); `due` returns the files to write now. It publishes nothing.
    """

    def __init__(self, series: Sequence[Series], *, heartbeat_ms: int) -> None:
        self.view = SystemView(series)
        self.started_ns = 0
        self._heartbeat_ns = heartbeat_ms * _NS_PER_MS
        self._schedules = {name: _Schedule() for name in self.view.markets}
        self._names = file_names([each.name for each in series])
        self._status_written_ns = 0

    @property
    def lease_expiries(self) -> dict[str, int]:
        """How many leases ran out, by market."""
        return {name: schedule.lease_expiries for name, schedule in self._schedules.items()}

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; returns no messages."""
        before_ns = self.view.now_ns
        self.view.update(event)
        self.started_ns = self.started_ns or self.view.now_ns
        if isinstance(event, Delivery):
            if type(event.message) is QuoteSet and event.message.market in self._schedules:
                schedule = self._schedules[event.message.market]
                schedule.changed = True
                schedule.lease_counted = False
            return ()
        if self.view.now_ns < before_ns:  # the clock went back: what was written when means nothing now
            self._status_written_ns = 0
            for schedule in self._schedules.values():
                schedule.written_ns, schedule.changed = 0, True
        for name, schedule in self._schedules.items():
            market = self.view.markets[name]
            if not schedule.lease_counted and "lease_expired" in standing(self.view, market).reasons:
                schedule.lease_counted = True
                schedule.lease_expiries += 1
                schedule.written_ns = 0  # due now, burst or not
        return ()

    def due(self) -> list[OutputFile]:
        """The files that must be replaced now."""
        now_ns = self.view.now_ns
        files: list[OutputFile] = []
        for name, schedule in self._schedules.items():
            age_ns = now_ns - schedule.written_ns
            if age_ns >= self._heartbeat_ns or (schedule.changed and age_ns >= COALESCE_NS):
                schedule.written_ns, schedule.changed = now_ns, False
                content = to_json(quotes_file(self.view, self.view.markets[name]))
                files.extend(OutputFile(each, content) for each in self._names[name])
        if now_ns - self._status_written_ns >= self._heartbeat_ns:
            self._status_written_ns = now_ns
            files.append(OutputFile(STATUS_FILE, to_json(self.status())))
        return files

    def status(self) -> StatusFile:
        """The state and metrics of every part."""
        return StatusFile(
            timestamp=self.view.now_ns // _NS_PER_MS,
            started=self.started_ns // _NS_PER_MS,
            markets={
                name: market_status(self.view, market, self._schedules[name].lease_expiries)
                for name, market in self.view.markets.items()
            },
            parts={name: _part_status(part, self.view) for name, part in sorted(self.view.parts.items())},
            silent=[name for name, _ in self.view.silent_parts()],
        )


def file_names(markets: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The names of each market's quotes file: one market, the plain name; several, the first under both."""
    if len(markets) == 1:
        return {markets[0]: (QUOTES_FILE,)}
    stem = QUOTES_FILE.removesuffix(".json")
    names: dict[str, tuple[str, ...]] = {each: (f"{stem}.{each}.json",) for each in markets}
    names[markets[0]] += (QUOTES_FILE,)
    return names


def to_json(content: QuotesFile | StatusFile) -> bytes:
    """Indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def quotes_file(view: SystemView, market: MarketView) -> QuotesFile:
    """The content of one market's quotes file, at the view's time."""
    stands = standing(view, market)
    now_ms = view.now_ns // _NS_PER_MS
    quotes = stands.quotes
    position, open_orders = held(view, market), order_lines(view, market)
    if quotes is None:
        return msgspec.structs.replace(
            pulled(market.series.name, now_ms, *stands.reasons), position=position, open_orders=open_orders
        )
    is_defended = not stands.off_lease
    return QuotesFile(
        timestamp=now_ms,
        time_to_expiry_seconds=seconds_left(market, view.now_ns),
        phase=market.phase(view.now_ns),
        regime=quotes.regime,
        quotes={"CALL": _lines(stands.call), "PUT": _lines(stands.put)},
        market=market.series.name,
        slug=quotes.slug,
        action=stands.action,
        reasons=stands.reasons,
        fair_value=quotes.fair_value if is_defended else None,
        fair_low=quotes.fair_low if is_defended else None,
        fair_high=quotes.fair_high if is_defended else None,
        tick_size=quotes.tick_size,
        quoted_at=quotes.ts_recv_ns // _NS_PER_MS,
        valid_until=market.lease_ends_ns // _NS_PER_MS,
        position=position,
        open_orders=open_orders,
        breakdown=quotes.breakdown,
        inputs=quotes.inputs,
    )


def pulled(market: str, now_ms: int, *reasons: str) -> QuotesFile:
    """The file of a market that nobody quotes: empty ladders, already past its `valid_until`."""
    return QuotesFile(
        timestamp=now_ms,
        quotes={"CALL": [], "PUT": []},
        market=market,
        action="PULL_QUOTES",
        reasons=reasons,
        valid_until=now_ms,
    )


def pulled_files(markets: Sequence[str], now_ns: int, *reasons: str) -> list[OutputFile]:
    """The quotes files of all markets, pulled: for the start, the stop, and the death of the sink."""
    return [
        OutputFile(name, to_json(pulled(market, now_ns // _NS_PER_MS, *reasons)))
        for market, names in file_names(markets).items()
        for name in names
    ]


def seconds_left(market: MarketView, now_ns: int) -> float | None:
    """Seconds to the end of the quoted period, never negative; None before a period is known."""
    end_ns = market.end_ns()
    return None if end_ns is None else round(max(end_ns - now_ns, 0) / NS_PER_S, 3)


def _lines(layers: Iterable[Layer]) -> list[QuoteLine]:
    return [
        QuoteLine(
            side=each.side,
            price=each.price,
            size=each.size,
            layer=each.layer,
            ticks=each.ticks,
            execution=each.execution,
            execution_price=each.execution_price,
        )
        for each in layers
    ]


def held(view: SystemView, market: MarketView) -> HeldPosition | None:
    """What we hold; None while nobody knows."""
    position = market.position_now(view.now_ns)
    return None if position is None else msgspec.convert(position, HeldPosition, from_attributes=True)


def order_lines(view: SystemView, market: MarketView) -> list[OrderLine] | None:
    """Our open orders; None while no executor speaks."""
    orders = market.orders_now(view.now_ns)
    return None if orders is None else [msgspec.convert(each, OrderLine, from_attributes=True) for each in orders]


def market_status(view: SystemView, market: MarketView, lease_expiries: int) -> MarketStatus:
    """One market's part of the status file."""
    stands = standing(view, market)
    asset = view.assets[market.series.asset]
    signals = (market.lead_lag, market.regime, market.volatility, market.flow)
    return MarketStatus(
        action=stands.action,
        reasons=stands.reasons,
        phase=market.phase(view.now_ns),
        time_to_expiry_seconds=seconds_left(market, view.now_ns),
        fair_value=None if stands.quotes is None or stands.off_lease else stands.quotes.fair_value,
        quotes_age_seconds=None if market.quotes is None else (view.now_ns - market.quotes.ts_recv_ns) / NS_PER_S,
        lease_expiries=lease_expiries,
        periods={role: msgspec.structs.asdict(each) for role, each in market.periods.items()},
        settlement=None if market.settlement is None else msgspec.structs.asdict(market.settlement),
        signals={type(each).__name__: msgspec.structs.asdict(each) for each in signals if each is not None},
        position=held(view, market),
        open_orders=order_lines(view, market),
        last_fills=[msgspec.structs.asdict(each) for each in market.fills],
        own_markout=None if market.flow is None else market.flow.own_markout,
        spot={venue: msgspec.structs.asdict(each) for venue, each in asset.spot.items()},
        oracle={kind: msgspec.structs.asdict(each) for kind, each in asset.oracle.items()},
        feeds=[msgspec.structs.asdict(each) for each in view.feeds_of(market.series)],
    )


def _part_status(part: PartView, view: SystemView) -> PartStatus:
    beat = part.heartbeat
    return PartStatus(
        service=beat.service,
        state="LIVE" if part.silent_s(view.now_ns) is None else "SILENT",
        heard_seconds_ago=round((view.now_ns - part.heard_ns) / NS_PER_S, 3),
        pid=beat.pid,
        uptime_seconds=round((view.now_ns - beat.started_ns) / NS_PER_S, 1),
        restarts=part.restarts,
        resident_bytes=beat.resident_bytes,
        metrics_port=beat.metrics_port,
        markets=beat.markets,
        counters=beat.counters,
    )

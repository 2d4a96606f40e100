"""The whole system in one process, in virtual time and without sockets.

The simulator's world and its venue sessions, joined to the feeds' venue protocols, in front of the session of cores
that the live processes run. Everything that happens is an act on the world's own schedule, so a run is as
reproducible as the world. Frames travel in no time; what a client sends takes `SEND_MS`, a REST answer twice
`REST_MS`.

At every timer the quotes that a reader of `mm_quotes.json` would find are held against the truth; `Virtual.wrong`
lists what must never be: a fair value too far from the true probability, a quote that crosses the true book, a quote
of a period that is over.
"""

from __future__ import annotations

import json
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from backtest.session import Session, trading_cores
from backtest.venues import Venues
from services.feeds.bybit import BybitProtocol
from services.feeds.chainlink.oracle_stream import HISTORY_S
from services.feeds.chainlink.polybolt import Credentials, PolyBoltProtocol
from services.feeds.chainlink.rtds import RtdsProtocol
from services.feeds.coinbase import CoinbaseProtocol
from services.feeds.polymarket.market_channel import MarketChannelProtocol
from services.feeds.protocol import Drop, Fetch, Reconnect, Send
from services.simulator import clob, gamma
from services.simulator.bybit import BybitSession
from services.simulator.coinbase import CoinbaseSession, trades_json
from services.simulator.crypto_price import crypto_price_json
from services.simulator.events import Event, OracleTick
from services.simulator.faults import FaultBoard, FaultyDoor, FaultyLine, HttpReply, Outgoing
from services.simulator.market_channel import MarketFrames, MarketSession
from services.simulator.period import Period as TruePeriod
from services.simulator.polybolt import PolyBoltSession
from services.simulator.rtds import RtdsSession
from services.simulator.session import Session as VenueSession
from services.simulator.urls import CRYPTO_PRICE_PATH
from services.simulator.world import World, WorldConfig
from services.sink.core import SinkCore
from services.sink.view import Standing, standing
from shared.config import MMConfig
from shared.market import NS_PER_S, Series
from shared.messages import AnyMessage, FeedStatus, LeadLag, OutcomeBook, Period, QuoteSet, Settlement

BASE_S = 1_791_241_200  # a start of 2, 5 and 15 minute periods
NS_PER_MS = 1_000_000
TIMER_MS = 100
SEND_MS = 10
SEND_SPACING_MS = 110
REST_MS = 30
FETCH_TIMEOUT_MS = 5_000
HEALTHY_MS = 5_000
BACKOFF_S, BACKOFF_CAP_S = 0.5, 30.0
FEEDS = ("bybit", "coinbase", "chainlink", "polymarket")

# What the quoter may know of the truth at most: how long a fault may go unnoticed (see `freshness.LIMITS`,
# `market_channel.Timing`), and how far an honest estimate of the volatility may move a probability.
UNNOTICED_S = 7.0
TOLERANCE = 0.10

Door = Literal["gamma", "clob", "website", "coinbase"]


class Truth(NamedTuple):
    """One instant of the market, as nobody but the simulator knows it."""

    ts_ms: int
    slug: str
    probability: float  # that CALL pays
    best_bid: float | None  # of the CALL book
    best_ask: float | None


class Socket:
    """One connection between a feed and a venue."""

    def __init__(self, session: VenueSession, line: FaultyLine, opened_ms: int) -> None:
        self.session = session
        self.line = line
        self.opened_ms = opened_ms
        self.is_open = True
        self.arrives_ms = opened_ms  # when the last frame on the line arrives
        self.sent_ms = 0
        self.data_ms: int | None = None


class Virtual:
    """A running system on one series. `start_s` counts from the start of a period; `parts` None means all cores."""

    def __init__(
        self,
        market: str = "btc-2m",
        *,
        start_s: float = 30.0,
        seed: int = 1,
        config: MMConfig | None = None,
        oracle: Literal["polybolt", "rtds"] = "polybolt",
        tolerance: float = TOLERANCE,
        timer_ms: int = TIMER_MS,
        keeps_journal: bool = True,
        feeds: Sequence[str] = FEEDS,
        parts: Sequence[str] | None = None,
        history_s: int = HISTORY_S,
        **world: Any,
    ) -> None:
        self.series = Series.parse(market)
        self.first_start_s = self.series.start_of(BASE_S * NS_PER_S)
        self.world = World(
            WorldConfig(**{"seed": seed, "series": (market,), **world}),
            start_ms=self.first_start_s * 1000 + round(start_s * 1000),
        )
        self.faults = FaultBoard()
        self.drops: Counter[str] = Counter()
        self.journal: list[QuoteSet] = []
        self.periods: dict[str, Period] = {}  # the last word on each, by slug
        self.settlements: dict[str, Settlement] = {}
        self.statuses: list[FeedStatus] = []  # changes of state
        self.lead_lag: LeadLag | None = None
        self.book_slugs: dict[str, int] = {}  # slug -> ms of its first published book
        self.reconnects: Counter[str] = Counter()
        self.wrong: list[str] = []  # what must never be
        self.quoting_ms: list[int] = []  # the tenths of a second in which quotes stood
        self.pull_reasons: Counter[str] = Counter()
        self._tolerance = tolerance
        self._timer_ms = timer_ms
        self._keeps_journal = keeps_journal
        self._truths: deque[Truth] = deque(maxlen=round(UNNOTICED_S * 1000 / timer_ms) + 1)
        self._states: dict[tuple[str, str, str], str] = {}
        self._sockets: dict[str, Socket] = {}
        self._attempts: Counter[str] = Counter()
        self._jitter = random.Random(seed)
        self._doors = {name: FaultyDoor(self.faults, name) for name in ("gamma", "clob", "website", "coinbase")}
        self._market_frames = MarketFrames()
        self.lies: dict[str, Callable[[dict[str, Any]], None]] = {}  # by request kind: what is edited in its answer

        asset = self.series.asset
        self.sink = SinkCore([self.series], heartbeat_ms=100)
        cores = trading_cores(config or MMConfig(), [self.series])
        self.cores = {name: core for name, core in cores.items() if parts is None or name in parts}
        self.cores["sink"] = self.sink
        self.session = Session(self.cores, [self.series])
        self.session.listeners.append(self._hear)
        self.venues = Venues(self.session, [self.series], dropped=self._on_drop, outward=self._outward)
        relay = (
            PolyBoltProtocol([asset], Credentials("a", "b", "c"), history_s=history_s)
            if oracle == "polybolt"
            else RtdsProtocol([asset], history_s=history_s)
        )
        for protocol in (BybitProtocol([asset]), CoinbaseProtocol([asset]), relay, MarketChannelProtocol([market])):
            if protocol.venue in feeds:
                self.venues.add(protocol)
        self._venue_of = {"bybit": "bybit", "coinbase": "coinbase", "chainlink": oracle, "polymarket": "market"}
        self.world.schedule.at(self.world.start_ms, self._begin)

    # --- driving ----------------------------------------

    @property
    def now_ms(self) -> int:
        """Virtual Unix milliseconds."""
        return self.world.now_ms

    @property
    def now_s(self) -> float:
        """Seconds since the first period's start."""
        return self.now_ms / 1000.0 - self.first_start_s

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.advance(self.now_ms + round(seconds * 1000.0), self._dispatch)

    def run_to(self, second: float) -> None:
        """Let time pass until that second after the first period's start."""
        self.run(second - self.now_s)

    def run_until(self, condition: Callable[[], bool], *, within_s: float) -> float:
        """Let time pass until a condition holds; the seconds it took. AssertionError when it took longer."""
        began_ms = self.now_ms
        while not condition():
            assert self.now_ms - began_ms < within_s * 1000.0, (
                f"not within {within_s} s: {self.standing().reasons}, {self.unwell()}, {dict(self.drops)}"
            )
            self.run(TIMER_MS / 1000.0)
        return (self.now_ms - began_ms) / 1000.0

    def standing(self) -> Standing:
        """What a reader of `mm_quotes.json` may rely on now."""
        return standing(self.sink.view, self.sink.view.markets[self.series.name])

    def is_quoting(self) -> bool:
        """Whether any quote stands."""
        stands = self.standing()
        return bool(stands.call or stands.put)

    def true_period(self) -> TruePeriod:
        """The period that runs, as the simulator knows it."""
        return self.world.current_period(self.series)

    def unwell(self) -> list[str]:
        """Streams that are not LIVE, in words."""
        return [
            f"{each.venue} {each.channel} {each.subject} {each.state}: {each.reason}"
            for each in self.sink.view.feeds.values()
            if each.state != "LIVE"
        ]

    def start_fault(self, name: str, venue: str = "*", *, duration_s: float | None = None) -> None:
        """Switch a fault on, as the simulator's `/sim/fault` does."""
        self.faults.start(name, venue, now_ms=self.now_ms, duration_s=duration_s)
        if name == "disconnect":
            for feed, socket in tuple(self._sockets.items()):
                if venue in (self._venue_of[feed], "*"):
                    self._hang_up(feed, socket, "close_1001")

    # --- the sockets ----------------------------------------

    def _begin(self, ts_ms: int) -> None:
        for feed in self.venues.protocols:
            self._connect(feed, ts_ms)
        self.world.schedule.at(ts_ms - ts_ms % self._timer_ms + self._timer_ms, self._on_timer)

    def _connect(self, feed: str, ts_ms: int) -> None:
        venue = self._venue_of[feed]
        if self.faults.is_on("disconnect", venue, ts_ms):
            for status in self.venues.freshness[feed].on_close(ts_ms * NS_PER_MS, "http_503"):
                self.session.publish(status)
            self._attempts[feed] += 1
            self._plan(ts_ms, 1000 + round(self._jitter.uniform(0.0, BACKOFF_S) * 1000), self._connect, feed)
            return
        session = self._open_session(venue)
        socket = self._sockets[feed] = Socket(session, FaultyLine(self.faults, venue), ts_ms)
        self.venues.open(feed, ts_ms * NS_PER_MS)
        self._push(feed, socket, socket.line.send(session.on_connect(), ts_ms), ts_ms)

    def _open_session(self, venue: str) -> VenueSession:
        match venue:
            case "bybit":
                return BybitSession(self.world, "virtual")
            case "coinbase":
                return CoinbaseSession(self.world)
            case "market":
                return MarketSession(self.world, self._market_frames)
            case "polybolt":
                return PolyBoltSession(self.world, shown=self._shown)
            case _:
                return RtdsSession(self.world, "virtual", shown=self._shown)

    def _plan(self, ts_ms: int, delay_ms: int, act: Callable[..., None], *terms: Any) -> None:
        self.world.schedule.at(ts_ms + delay_ms, lambda at_ms: act(*terms, at_ms))

    def _push(self, feed: str, socket: Socket, outgoing: list[Outgoing], ts_ms: int) -> None:
        """Put frames on the line, in order; those that need no time arrive at once."""
        for frame, delay_s in outgoing:
            due_ms = max(ts_ms + round(delay_s * 1000.0), socket.arrives_ms)
            if due_ms <= ts_ms:
                self._arrive(feed, socket, frame.text, frame.close_code, ts_ms)
            else:
                socket.arrives_ms = due_ms
                self._plan(ts_ms, due_ms - ts_ms, self._arrive, feed, socket, frame.text, frame.close_code)

    def _arrive(self, feed: str, socket: Socket, text: str, close_code: int | None, ts_ms: int) -> None:
        if not socket.is_open:
            return
        if text or close_code is None:
            self.venues.frame(feed, text, ts_ms * NS_PER_MS)
            if socket.data_ms is None:
                socket.data_ms = ts_ms
        if close_code is not None:
            self._hang_up(feed, socket, f"close_{close_code}")

    def _hang_up(self, feed: str, socket: Socket, reason: str) -> None:
        if socket.is_open:
            socket.is_open = False
            self._plan(self.now_ms, 0, self._closed, feed, socket, reason)

    def _closed(self, feed: str, socket: Socket, reason: str, ts_ms: int) -> None:
        self.reconnects[f"{feed}: {reason}"] += 1
        self.venues.close(feed, ts_ms * NS_PER_MS, reason)
        if socket.data_ms is not None and ts_ms - socket.data_ms >= HEALTHY_MS:
            self._attempts[feed] = 0
        longest_s = min(BACKOFF_S * 2.0 ** self._attempts[feed], BACKOFF_CAP_S)
        self._attempts[feed] += 1
        self._plan(ts_ms, 1 + round(self._jitter.uniform(0.0, longest_s) * 1000), self._connect, feed)

    def _dispatch(self, event: Event) -> None:
        for feed, socket in self._sockets.items():
            if socket.is_open:
                frames = socket.session.on_event(event)
                if frames:
                    self._push(feed, socket, socket.line.send(frames, event.ts_ms), event.ts_ms)

    # --- what the protocols want ----------------------------------------

    def _outward(self, feed: str, act: Send | Fetch | Reconnect, ts_ns: int) -> None:
        ts_ms = ts_ns // NS_PER_MS
        socket = self._sockets.get(feed)
        match act:
            case Fetch():
                self._plan(ts_ms, REST_MS, self._serve, feed, act)
            case Reconnect() if socket is not None:
                self._hang_up(feed, socket, act.reason)
            case Send() if socket is not None and socket.is_open:
                socket.sent_ms = max(ts_ms + SEND_MS, socket.sent_ms + SEND_SPACING_MS)
                self._plan(ts_ms, socket.sent_ms - ts_ms, self._receive, feed, socket, act.text)
            case _:
                self.drops[f"{feed}: send_while_closed"] += 1

    def _receive(self, feed: str, socket: Socket, text: str, ts_ms: int) -> None:
        if socket.is_open:
            frames = socket.session.on_text(text, ts_ms)
            self._push(feed, socket, socket.line.send(frames, ts_ms), ts_ms)

    def _serve(self, feed: str, fetch: Fetch, ts_ms: int) -> None:
        door, reply = self._answer(fetch.url, ts_ms)
        lie = self.lies.get(fetch.request.partition(":")[0])
        if lie is not None and reply.status == 200:
            told = json.loads(reply.text)
            lie(told)
            reply = reply._replace(text=json.dumps(told))
        reply = self._doors[door].answer(reply, ts_ms)
        slow = self.faults.find("slow", door, ts_ms)
        delay_ms = REST_MS + (0 if slow is None else round(slow.delay_s * 1000.0))
        status, body = reply.status, reply.text.encode()
        if delay_ms >= FETCH_TIMEOUT_MS:
            status, body, delay_ms = 0, b"", FETCH_TIMEOUT_MS
        self._plan(ts_ms, delay_ms, self._answered, feed, fetch.request, status, body)

    def _answered(self, feed: str, request: str, status: int, body: bytes, ts_ms: int) -> None:
        self.venues.response(feed, request, status, body, ts_ms * NS_PER_MS)

    def _answer(self, url: str, ts_ms: int) -> tuple[Door, HttpReply]:
        """What the simulator's REST endpoints say, without its server."""
        address = urlsplit(url)
        query, last = dict(parse_qsl(address.query)), address.path.rpartition("/")[2]
        missing = HttpReply(404, '{"error":"not found"}', {})
        door: Door = "gamma"
        found: object = None
        match address.path.split("/")[1:]:
            case ["events", "slug", _]:
                event = self.world.periods.get(last)
                found = None if event is None else gamma.event_json(event, ts_ms)
            case ["events"]:
                found = [gamma.event_json(each, ts_ms) for each in gamma.select(self.world, query)[0]]
            case ["clob-markets", _]:
                door = "clob"
                market = self.world.period_of_condition(last)
                found = None if market is None else clob.market_json(market)
            case ["book"]:
                market = self.world.period_of_token(query["token_id"])
                if market is None or market.resolved:
                    return "clob", missing
                ghost = self.faults.is_on("ghost_book", "clob", ts_ms)
                index = market.outcome_index(query["token_id"])
                return "clob", HttpReply(200, clob.book_text(market, index, ghost=ghost), {})
            case ["products", product, "trades"]:
                door = "coinbase"
                venue = self.world.coinbase[product.removesuffix("-USD")]
                found = trades_json(venue, limit=int(query.get("limit", "1000")))
            case _ if address.path == CRYPTO_PRICE_PATH:
                door = "website"
                found = crypto_price_json(self.world, query, ts_ms, late=self._strike_is_late(ts_ms))
            case _:
                raise AssertionError(f"the simulator has no {url}")
        return door, missing if found is None else HttpReply(200, json.dumps(found), {})

    # --- faults that are the server's business ----------------------------------------

    def _strike_is_late(self, ts_ms: int) -> bool:
        return any(self.faults.is_on("late_strike", venue, ts_ms) for venue in ("polybolt", "rtds", "website"))

    def _shown(self, tick: OracleTick) -> bool:
        is_boundary = tick.kind == "twap" and tick.stamp_s % self.series.length_s == 0
        return not (is_boundary and self._strike_is_late(self.now_ms))

    # --- time, and what is held against the truth ----------------------------------------

    def _on_timer(self, ts_ms: int) -> None:
        if self.faults.is_on("tick_size_change", "market", ts_ms):
            self.world.change_tick(self.true_period())
        self.venues.timer(ts_ms * NS_PER_MS)
        self.session.timer(ts_ms * NS_PER_MS)
        self._truths.append(self._truth(ts_ms))
        self._check(ts_ms)
        self.world.schedule.at(ts_ms + self._timer_ms, self._on_timer)

    def _truth(self, ts_ms: int) -> Truth:
        period = self.true_period()
        bid, ask = period.book.best_bid(), period.book.best_ask()
        return Truth(
            ts_ms,
            period.slug,
            self.world.fair_value(period, ts_ms, informed=True),
            None if bid is None else bid / 1000.0,
            None if ask is None else ask / 1000.0,
        )

    def _check(self, ts_ms: int) -> None:
        stands = self.standing()
        if not (stands.call or stands.put):
            self.pull_reasons.update(stands.reasons)
            return
        self.quoting_ms.append(ts_ms)
        quotes = stands.quotes
        assert quotes is not None
        truths = [each for each in self._truths if each.slug == quotes.slug]
        if not truths or truths[-1].ts_ms != ts_ms:
            self._accuse(f"quotes of {quotes.slug} stand after its end")
            return
        low, high = min(each.probability for each in truths), max(each.probability for each in truths)
        fair_value = quotes.fair_value
        if fair_value is None or not low - self._tolerance <= fair_value <= high + self._tolerance:
            self._accuse(f"fair value {fair_value} against the truth {low:.3f} to {high:.3f}")
        asks = [each.best_ask for each in truths if each.best_ask is not None]
        bids = [each.best_bid for each in truths if each.best_bid is not None]
        for layer in stands.call:
            if layer.side == "bid" and asks and layer.price >= max(asks):
                self._accuse(f"CALL bid {layer.price} against asks of {max(asks)} at most")
            if layer.side == "ask" and bids and layer.price <= min(bids):
                self._accuse(f"CALL ask {layer.price} against bids of {min(bids)} at least")

    def _accuse(self, text: str) -> None:
        self.wrong.append(f"at {self.now_s:.1f} s: {text}")

    def _hear(self, message: AnyMessage) -> None:
        match message:
            case QuoteSet():
                if self._keeps_journal:
                    self.journal.append(message)
            case Period():
                self.periods[message.slug] = message
            case Settlement():
                self.settlements[message.slug] = message
            case LeadLag():
                self.lead_lag = message
            case OutcomeBook():
                self.book_slugs.setdefault(message.slug, self.now_ms)
            case FeedStatus():
                key = (message.venue, message.channel, message.subject)
                if self._states.get(key) != message.state:
                    self._states[key] = message.state
                    self.statuses.append(message)
            case _:
                pass

    def _on_drop(self, venue: str, dropped: Drop) -> None:
        self.drops[f"{venue}: {dropped.reason}"] += 1

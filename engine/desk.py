"""One market inside the library: the live cores in this process, and what keeps them told.

The same analyzers and the same quoter as in the live processes hear the same messages. What the rest of the system
does is stood in for here: the feeds (`FeedStatus` LIVE for what the caller delivers, who thereby vouches for it; DOWN
for what a state no longer holds), the hedger (`Position` is what the caller says) and time (a `Timer` for each
state).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from backtest.session import Session
from engine.answers import INPUT_UNUSABLE
from engine.patient_quoter import PatientQuoter
from engine.state import AHEAD_NS, MarketState, OptionBook, OracleTick, PeriodBounds, SpotTop, ticks_of
from engine.volatility import AssumedVolatility
from services.analyzers.core import KINDS, AnalyzerCore
from services.feeds.files import FARTHEST_STRIKE
from services.quoter.action import decide
from services.quoter.inputs import LimitsNs
from shared.config import MMConfig
from shared.core import CLOCK_SLACK_NS, Core, Timer
from shared.market import NS_PER_S, Series
from shared.messages import (
    Action,
    AnyMessage,
    FeedState,
    FeedStatus,
    Fill,
    Message,
    OraclePrice,
    Outcome,
    OutcomeBook,
    Period,
    Position,
    QuoteSet,
    SpotQuote,
    TradeSide,
    Volatility,
)
from shared.projection import Config as ProjectionConfig
from shared.projection import project_oracle

REPEAT_NS = NS_PER_S
ORACLE_VENUE, BOOK_VENUE = "chainlink", "polymarket"
OUTCOMES: tuple[Outcome, ...] = ("CALL", "PUT")
_PERIODS_KEPT = 8
SHARE_DIGITS, SMALLEST_SHARE = 6, 1e-6  # the venue's tokens have six decimals
_PRINTS_TO_WARM = ProjectionConfig().prints_to_warm  # as the quoter's
_AT_EVERY_MOVE = 1e9  # sets a second: who asks is answered; the limit is for a bus

MarketPrice = SpotQuote | OraclePrice | OutcomeBook
Stream = tuple[str, str, str]  # subject, venue, channel of a FeedStatus


class Standing(NamedTuple):
    """The quotes that stand at `now_ns`: the quoter's set, emptied when the engine refuses; and what it rests on."""

    quotes: QuoteSet
    now_ns: int
    period: Period | None
    volatility: Volatility | None
    volatility_note: str
    is_refused: bool = False
    problems: tuple[str, ...] = ()


@dataclass
class PeriodMemory:
    """What the caller told of one period: what is held of its tokens, and the strike last shown for it."""

    start_ns: int
    shares: dict[Outcome, float] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0.0))
    fill_ids: set[str] = field(default_factory=set)
    shown_strike: float | None = None


class Desk:
    """Made when its market is first heard of."""

    def __init__(self, series: Series, config: MMConfig) -> None:
        self.series = series
        self.now_ns = 0
        self.slug = ""
        self.memory = PeriodMemory(0)  # of the present period
        self._memories: dict[str, PeriodMemory] = {}  # by slug
        self._config = config
        self._limits = LimitsNs.of(config.limits)
        self._oracle_stream: Stream = (f"{series.asset}.spot", ORACLE_VENUE, "OraclePrice")
        self._book_streams: dict[Outcome, Stream] = {
            outcome: (f"{series.name}.{outcome}", BOOK_VENUE, "OutcomeBook") for outcome in OUTCOMES
        }
        self._start()

    def _start(self) -> None:
        """Cores that know nothing, and nothing told to them."""
        name = self.series.name
        cores: dict[str, Core] = {kind: AnalyzerCore(kind, [name], self._config) for kind in KINDS}
        self.volatility = AssumedVolatility(
            cores["volatility"], self._config, name, is_projected=lambda: self._is_projected
        )
        cores["volatility"] = self.volatility
        self._quoter = cores["quoter"] = PatientQuoter(
            self._config.model_copy(update={"max_value_updates_per_s": _AT_EVERY_MOVE}), [name]
        )
        self._session = Session(cores, [self.series])
        self._session.listeners.append(self._hear)
        self._last: QuoteSet | None = None
        self._given: dict[Stream, object] = {}  # what a state last held of each stream
        self._live: dict[Stream, int] = {}  # streams that we vouch for, and the stamp of their last message
        self._spoken_for: set[Stream] = set()  # streams of whose health the caller speaks
        self._repeated_ns = 0
        self._timer_ns = 0
        self._period: Period | None = None
        self._rules: tuple[object, ...] = ()
        self._tick_size = 0.0
        self._former_strike: float | None = None  # that of the period before

    def _hear(self, message: AnyMessage) -> None:
        if isinstance(message, QuoteSet):
            self._last = message

    @property
    def _is_projected(self) -> bool:
        """Whether the quoter projects the oracle's price through the exchange that it last chose."""
        leading = self._quoter.markets[self.series.name].leading
        if leading is None or not self._config.techniques.oracle_projection:
            return False
        venue = self._quoter.assets[self.series.asset].venues[leading].state
        *_, is_believed = project_oracle(venue, 0.0, _PRINTS_TO_WARM, self.now_ns, 0.0)
        return is_believed

    # -- a whole state -----------------------------------------------------------------------------------------------

    def take_state(self, state: MarketState, positions: Mapping[str, float] | None) -> Standing:
        """Deliver what changed since the last state; the quotes of this instant."""
        bounds = state.bounds
        problems = list(state.problems)
        if state.now_ns < self.now_ns - CLOCK_SLACK_NS:
            problems.append(self._restart(state.now_ns))
        self._catch_up(state.now_ns)
        given, state = state, self._without_future(state, problems)
        is_refused = bool(given.problems) or state is not given
        if bounds.slug != self.slug:
            self._open(bounds.slug, bounds.start_ns)
        if positions is not None:
            self._set_positions(positions)
        self._quoter.is_waiting = True
        self._tell_period(state, bounds, problems)
        news = self._news_of(state, bounds, problems)
        self._keep_told()
        for message in news:
            self._session.publish(message)
        self._pass_time()
        for answer in self._quoter.answer(self.now_ns):
            self._session.publish(answer)
        is_refused |= self._name_stale(state, problems)
        self._name_missing(given, problems)
        return self._judge(bounds, is_refused=is_refused, problems=tuple(problems))

    def _catch_up(self, ts_ns: int) -> None:
        """Time has come this far. A message moves the quoter's time by a second at most: beyond it, a Timer does."""
        self.now_ns = max(self.now_ns, ts_ns)
        if self._timer_ns and self.now_ns > self._timer_ns + CLOCK_SLACK_NS:
            self._pass_time()

    def _pass_time(self) -> None:
        self._timer_ns = self.now_ns
        self._session.timer(self.now_ns)

    def _restart(self, now_ns: int) -> str:
        back_s = (self.now_ns - now_ns) / NS_PER_S
        self.now_ns = now_ns
        self._start()
        self._former_strike = self._strike_before(self.memory.start_ns)
        return f"time went back by {back_s:.1f} s: started afresh, with cold analyzers"

    def _strike_before(self, start_ns: int) -> float | None:
        """The strike last shown for an earlier period."""
        before = [each for each in self._memories.values() if each.start_ns < start_ns and each.shown_strike]
        return max(before, key=lambda each: each.start_ns).shown_strike if before else None

    def _open(self, slug: str, start_ns: int) -> None:
        """Another period: its tokens are other tokens."""
        self._former_strike = self._strike_before(start_ns)
        self.slug = slug
        self.memory = self._memories.setdefault(slug, PeriodMemory(start_ns))
        if len(self._memories) > _PERIODS_KEPT:
            del self._memories[min(self._memories, key=lambda each: self._memories[each].start_ns)]
        self._tick_size = 0.0
        self._rules = ()

    def _tell_period(self, state: MarketState, bounds: PeriodBounds, problems: list[str]) -> None:
        """Publish the period when anything about it is new, and its strike when it can be believed."""
        self._tick_size = min(self._tick_size or state.tick_size, state.tick_size)
        strike, source = self._strike_of(state, problems)
        rules = (
            bounds.slug,
            strike,
            source,
            state.settlement,
            state.twap_lookback_s,
            self._tick_size,
            state.min_size_shares,
            state.fee_rate,
            state.fee_exponent,
            state.rebate_rate,
            state.taker_delay_s,
        )
        if rules == self._rules:
            return
        self._rules = rules
        known_ns = min(self.now_ns, bounds.end_ns - 1)  # a period is not first heard of after its end
        self._period = Period(
            ts_event_ns=known_ns,
            ts_recv_ns=known_ns,
            market=self.series.name,
            role="current",
            slug=bounds.slug,
            condition_id="",
            start_ns=bounds.start_ns,
            end_ns=bounds.end_ns,
            settlement=state.rule,
            twap_lookback_s=state.twap_lookback_s if state.rule == "twap" else 0,
            strike=strike,
            strike_state="PENDING" if strike is None else "PROVEN",
            strike_source=source,
            call_token=f"{bounds.slug}-CALL",
            put_token=f"{bounds.slug}-PUT",
            tick_size=self._tick_size,
            min_size_shares=state.min_size_shares,
            fee_rate=state.fee_rate,
            fee_exponent=state.fee_exponent,
            rebate_rate=state.rebate_rate,
            taker_delay_s=state.taker_delay_s,
            rewards_min_shares=None,
            rewards_max_spread=None,
            version="library",
            refusal="candle_market" if state.is_settled_by_candle else None,
        )
        self._session.publish(self._period)
        self._repeated_ns = 0  # the position is another

    def _strike_of(self, state: MarketState, problems: list[str]) -> tuple[float | None, str]:
        """The strike that may be believed (None: none), and what proves or refuses it."""
        strike = state.strike
        self.memory.shown_strike = strike or self.memory.shown_strike
        if strike is None:
            problems.append("strike: there is none, so the period cannot be priced")
            return None, ""
        if state.strike_source == "file" and strike == self._former_strike:  # to the last digit: it was not renewed
            problems.append(f"strike: {strike} is still that of the period before; waiting for another")
            return None, "file_strike_inherited"
        price = strike  # without a price there is nothing to hold it against, and nothing to quote
        if state.oracle is not None:
            price = state.oracle.price
        elif state.spot:
            price = next(iter(state.spot.values())).bid
        if abs(strike - price) > FARTHEST_STRIKE * price:
            problems.append(f"strike: {strike} is more than {FARTHEST_STRIKE:.0%} from the price {price}")
            return None, f"{state.strike_source}_strike_implausible"
        return strike, state.strike_source

    def _news_of(self, state: MarketState, bounds: PeriodBounds, problems: list[str]) -> list[MarketPrice]:
        """The messages of what differs from the last state, in the order of their stamps."""
        news: list[MarketPrice] = []
        held: dict[Stream, object] = {}
        given = self._given
        for venue, top in state.spot.items():
            stream = (self.series.asset, venue, "SpotQuote")
            held[stream] = top
            if given.get(stream) != top:
                news.append(self._spot_message(venue, top))
        if state.oracle is not None:
            held[self._oracle_stream] = state.oracle
            if given.get(self._oracle_stream) != state.oracle:
                news.append(self._oracle_message(state.oracle))
        books: tuple[tuple[Outcome, OptionBook | None], ...] = (("CALL", state.call), ("PUT", state.put))
        for outcome, book in books:
            if book is None:
                continue
            if not bounds.start_ns <= book.stamp_ns < bounds.end_ns:
                problems.append(f"{outcome}: the book is stamped outside the period, so it is another token's")
                continue
            stream = self._book_streams[outcome]
            held[stream] = of_now = (book, self._tick_size, bounds.slug)
            if given.get(stream) != of_now:
                news.append(self._book_message(outcome, book))
        self._given = held
        if held.keys() != given.keys():
            self._let_go(given.keys() - held.keys())
        for message in news:
            self._vouch_for(message)
        if len(news) > 1:
            news.sort(key=_received)
        return news

    def _let_go(self, streams: Set[Stream]) -> None:
        """The state no longer holds these: their last messages may not be used, however young they are."""
        for stream in sorted(streams):
            if self._live.pop(stream, None) is not None:
                self._session.publish(self._status(stream, "DOWN", None))

    def _spot_message(self, venue: str, top: SpotTop) -> SpotQuote:
        stamp_ns = min(top.stamp_ns, self.now_ns)
        return SpotQuote(
            ts_event_ns=stamp_ns,
            ts_recv_ns=stamp_ns,
            asset=self.series.asset,
            venue=venue,
            bid=top.bid,
            bid_size=top.bid_size,
            ask=top.ask,
            ask_size=top.ask_size,
        )

    def _oracle_message(self, tick: OracleTick) -> OraclePrice:
        stamp_ns = min(tick.stamp_ns, self.now_ns)
        return OraclePrice(
            ts_event_ns=stamp_ns,
            ts_recv_ns=stamp_ns,
            asset=self.series.asset,
            kind="spot",
            price=tick.price,
            venue=ORACLE_VENUE,
        )

    def _book_message(self, outcome: Outcome, book: OptionBook) -> OutcomeBook:
        stamp_ns = min(book.stamp_ns, self.now_ns)
        return OutcomeBook(
            ts_event_ns=stamp_ns,
            ts_recv_ns=stamp_ns,
            market=self.series.name,
            slug=self.slug,
            outcome=outcome,
            tick_size=self._tick_size,
            bid_ticks=ticks_of(book.bids, self._tick_size),
            bid_sizes=tuple(size for _, size in book.bids),
            ask_ticks=ticks_of(book.asks, self._tick_size),
            ask_sizes=tuple(size for _, size in book.asks),
        )

    def _without_future(self, state: MarketState, problems: list[str]) -> MarketState:
        """The state itself, or one without what is stamped ahead of now, which is named: its age is unknown."""
        parts: dict[str, OracleTick | OptionBook | SpotTop | None] = {
            **state.spot,
            "oracle": state.oracle,
            "CALL": state.call,
            "PUT": state.put,
        }
        ahead = {
            name: part.stamp_ns - self.now_ns
            for name, part in parts.items()
            if part is not None and part.stamp_ns > self.now_ns + AHEAD_NS
        }
        if not ahead:
            return state
        for name, ahead_ns in ahead.items():
            problems.append(f"{name}: stamped {ahead_ns / NS_PER_S:.1f} s ahead of now_ns: check both clocks")
        return msgspec.structs.replace(
            state,
            spot={venue: top for venue, top in state.spot.items() if venue not in ahead},
            oracle=None if "oracle" in ahead else state.oracle,
            call=None if "CALL" in ahead else state.call,
            put=None if "PUT" in ahead else state.put,
        )

    def _name_missing(self, state: MarketState, problems: list[str]) -> None:
        """Name what is required and nobody delivers, with the arguments that bring it."""
        if state.oracle is None and not self._is_delivered(self._oracle_stream):
            problems.append(_required("oracle: there is no price", "oracle", "chainlink_path"))
        books: tuple[tuple[Outcome, OptionBook | None], ...] = (("CALL", state.call), ("PUT", state.put))
        for outcome, book in books:
            if book is None and not self._is_delivered(self._book_streams[outcome]):
                name = outcome.lower()
                problems.append(_required(f"{outcome}: there is no book", name, f"{name}_path"))
        if not state.spot and not self._has_exchange():
            problems.append(_required("spot: there is no exchange", "spot", "bybit_path or coinbase_path"))

    def _is_delivered(self, stream: Stream) -> bool:
        """Whether the caller delivers this stream, in states or events."""
        return stream in self._live or stream in self._spoken_for

    def _has_exchange(self) -> bool:
        return any(channel == "SpotQuote" for _, _, channel in (*self._live, *self._spoken_for))

    def _name_absence(self, quotes: QuoteSet) -> QuoteSet:
        """The set with the reasons of a library: what nobody delivers is missing, not of a feed that is not live."""
        absent = set()
        if not self._is_delivered(self._oracle_stream):
            absent.add("oracle")
        if not all(map(self._is_delivered, self._book_streams.values())):
            absent.add("book")
        if not self._has_exchange():
            absent.add("spot")
        known = {f"{name}_{fault}": f"{name}_missing" for name in absent for fault in ("feed_not_live", "stale")}
        if known.keys().isdisjoint(quotes.reasons):
            return quotes
        _, reasons = decide([known.get(label, label) for label in quotes.reasons])
        return msgspec.structs.replace(quotes, reasons=reasons)

    def _name_stale(self, state: MarketState, problems: list[str]) -> bool:
        """Name what is too old; True when it is an exchange's quote, which the quoter alone would pass over."""
        limits, now_ns = self._limits, self.now_ns
        is_spot_stale = False
        for venue, top in state.spot.items():
            if now_ns - top.stamp_ns > limits.spot:
                is_spot_stale = True
                problems.append(_too_old(venue, now_ns - top.stamp_ns, limits.spot))
        rest = (
            ("oracle", state.oracle, limits.oracle),
            ("CALL", state.call, limits.book),
            ("PUT", state.put, limits.book),
        )
        for name, part, limit_ns in rest:
            if part is not None and now_ns - part.stamp_ns > limit_ns:
                problems.append(_too_old(name, now_ns - part.stamp_ns, limit_ns))
        return is_spot_stale

    def _judge(self, bounds: PeriodBounds, *, is_refused: bool, problems: tuple[str, ...]) -> Standing:
        """The standing set, emptied when the state may not be quoted or the quoter speaks of another period."""
        last = self._last
        assert last is not None  # a quoter answers the first Timer, whatever it knows
        if last.action == "PULL_QUOTES":
            last = self._name_absence(last)
        if last.slug == bounds.slug:
            if is_refused and (last.call or last.put or last.action != "PULL_QUOTES"):
                last = _emptied(last, last.slug, last.reasons)
            if is_refused:
                last = msgspec.structs.replace(last, reasons=(INPUT_UNUSABLE, *last.reasons))
            return self._standing(last, is_refused=is_refused, problems=problems)
        reason = "no_period"
        if self.now_ns >= bounds.end_ns:
            reason = "period_ended"
        elif self.now_ns < bounds.start_ns:
            reason = "period_not_open"
        emptied = _emptied(_without_value(last), bounds.slug, (reason,))
        return self._standing(emptied, is_refused=is_refused, problems=problems)

    def _standing(self, quotes: QuoteSet, *, is_refused: bool, problems: tuple[str, ...]) -> Standing:
        said, period = self.volatility, self._period
        if period is not None and period.slug == quotes.slug and period.strike_state != "PROVEN":
            quotes = _without_value(quotes)  # the quoter's is that of a period whose strike is yet to come
        return Standing(quotes, self.now_ns, self._period, said.said, said.note, is_refused, problems)

    # -- single events -----------------------------------------------------------------------------------------------

    def take_event(self, event: AnyMessage | Timer) -> Standing | None:
        """Deliver one message or Timer; the quotes when the quoter said something about them."""
        before = self._last
        if isinstance(event, Timer):
            is_set_back = event.ts_ns < self.now_ns - CLOCK_SLACK_NS  # which the quoter knows how to answer
            self.now_ns = event.ts_ns if is_set_back else max(self.now_ns, event.ts_ns)
            self._keep_told()
            self._timer_ns = event.ts_ns
            self._session.timer(event.ts_ns)
            if is_set_back:  # the quoter forgot what it was told
                self._repeated_ns, self._given = 0, {}
        else:
            self._catch_up(event.ts_recv_ns)
            self._take_message(event)
        last = self._last
        return None if last is None or last is before else self._standing(last, is_refused=False, problems=())

    def _take_message(self, message: AnyMessage) -> None:
        match message:
            case Period(role="current"):
                if message.slug != self.slug:
                    self._open(message.slug, message.start_ns)
                    self._repeated_ns = 0
                self._period = message
                self._session.publish(message)
            case FeedStatus():
                stream = (message.subject, message.venue, message.channel)
                self._spoken_for.add(stream)
                self._live.pop(stream, None)
                self._session.publish(message)
            case Position():
                if message.slug == self.slug:
                    self.memory.shares = {"CALL": message.call_shares, "PUT": message.put_shares}
                self._session.publish(message)
            case _:
                self._vouch_for(message)
                self._session.publish(message)
        self._keep_told()

    # -- what we hold ------------------------------------------------------------------------------------------------

    def book_fill(self, *, outcome: Outcome, side: TradeSide, price: float, size: float, fill_id: str | None) -> None:
        """Book an execution of ours; the quoter and the flow analyzer hear of it. The same fill twice counts once."""
        memory = self.memory
        held = memory.shares[outcome]
        if fill_id is None:
            fill_id = f"unnamed-{len(memory.fill_ids)}"
        if fill_id in memory.fill_ids:
            return
        if side == "sell" and size > held + SMALLEST_SHARE:
            raise ValueError(
                f"size: cannot sell {size:g} {outcome}, only {held:g} are held "
                "(an ask without inventory is executed as a buy of the other outcome: record that)"
            )
        memory.fill_ids.add(fill_id)
        memory.shares[outcome] = max(round(held + (size if side == "buy" else -size), SHARE_DIGITS), 0.0)
        fill = Fill(
            ts_event_ns=self.now_ns,
            ts_recv_ns=self.now_ns,
            market=self.series.name,
            slug=self.slug,
            fill_id=fill_id,
            order_id="",
            outcome=outcome,
            side=side,
            price=price,
            size=size,
            fee_usd=0.0,
            rebate_usd=0.0,
            is_maker=True,
        )
        self._session.publish(fill)
        self._session.publish(self._position())

    def _set_positions(self, positions: Mapping[str, float]) -> None:
        shares = check_positions(positions)
        if shares != self.memory.shares:
            self.memory.shares = shares
            self._repeated_ns = 0

    def _position(self) -> Position:
        """The shares. What they cost and earned is the caller's to know: here it counts as nothing."""
        call, put = self.memory.shares["CALL"], self.memory.shares["PUT"]
        return Position(
            ts_event_ns=self.now_ns,
            ts_recv_ns=self.now_ns,
            market=self.series.name,
            slug=self.slug,
            call_shares=call,
            put_shares=put,
            call_average_price=None,
            put_average_price=None,
            mergeable_pairs=min(call, put),
            realized_pnl_usd=0.0,
            unrealized_pnl_usd=None,
            liquidation_pnl_usd=None,
            fees_usd=0.0,
            rebates_usd=0.0,
            worst_case_usd=0.0,
            fills=len(self.memory.fill_ids),
            sequence=0,
        )

    # -- the rest of the system --------------------------------------------------------------------------------------

    def _vouch_for(self, message: Message) -> None:
        """A message of a stream was delivered: the stream lives, unless the caller speaks for its health."""
        match message:
            case SpotQuote():
                stream = (message.asset, message.venue, "SpotQuote")
            case OraclePrice():
                stream = (f"{message.asset}.{message.kind}", message.venue, "OraclePrice")
            case OutcomeBook():
                stream = (f"{message.market}.{message.outcome}", BOOK_VENUE, "OutcomeBook")
            case _:
                return
        if stream in self._spoken_for:
            return
        is_new = stream not in self._live
        self._live[stream] = message.ts_recv_ns
        if is_new:
            self._session.publish(self._status(stream, "LIVE", message.ts_recv_ns))

    def _keep_told(self) -> None:
        """The health of the streams and the position again, each second."""
        if abs(self.now_ns - self._repeated_ns) < REPEAT_NS:
            return
        self._repeated_ns = self.now_ns
        for stream, stamp_ns in self._live.items():
            self._session.publish(self._status(stream, "LIVE", stamp_ns))
        if self.slug:
            self._session.publish(self._position())

    def _status(self, stream: Stream, state: FeedState, stamp_ns: int | None) -> FeedStatus:
        subject, venue, channel = stream
        return FeedStatus(
            ts_event_ns=self.now_ns,
            ts_recv_ns=self.now_ns,
            venue=venue,
            channel=channel,
            subject=subject,
            state=state,
            reason="" if state == "LIVE" else "the caller's state no longer holds it",
            age_s=None if stamp_ns is None else (self.now_ns - stamp_ns) / NS_PER_S,
            expected_rate_hz=0.0,
            seen_rate_hz=0.0,
            reconnects=0,
        )


def check_positions(positions: Mapping[str, float]) -> dict[Outcome, float]:
    """The shares of both outcomes; one that is not named is 0. Raises ValueError naming the field."""
    for outcome, shares in positions.items():
        if outcome not in OUTCOMES:
            raise ValueError(f"positions: there is CALL and PUT, not {outcome!r}")
        if not 0.0 <= shares < math.inf:
            raise ValueError(f"positions: {outcome} must be a number of shares of at least 0, not {shares}")
    return {outcome: float(positions.get(outcome, 0.0)) for outcome in OUTCOMES}


def _received(message: Message) -> int:
    return message.ts_recv_ns


def _too_old(name: str, age_ns: int, limit_ns: int) -> str:
    return f"{name}: {age_ns / NS_PER_S:.1f} s old, the limit is {limit_ns / NS_PER_S:g} s: is its collector running?"


def _required(what: str, argument: str, path: str) -> str:
    return f"{what}, and it is required: MarketState({argument}=...), or {path} of create_market_state_from_files"


def _without_value(quotes: QuoteSet) -> QuoteSet:
    return msgspec.structs.replace(quotes, fair_value=None, fair_low=None, fair_high=None, breakdown={})


def _emptied(quotes: QuoteSet, slug: str, reasons: tuple[str, ...]) -> QuoteSet:
    pull: Action = "PULL_QUOTES"
    return msgspec.structs.replace(quotes, slug=slug, action=pull, reasons=reasons, call=(), put=())

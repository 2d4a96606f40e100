"""One period of one market: rules, books, strike and end. Made when its rules are known, dropped when it is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from services.feeds.parsing import Punctuality, received_by
from services.feeds.polymarket.book import expected_hash
from services.feeds.polymarket.book_pair import OUTCOMES, BookPair, Tolerances
from services.feeds.polymarket.gamma import ClobFacts, EventFacts, PeriodRules, differences
from services.feeds.polymarket.resync import Resync
from services.feeds.polymarket.settlement import SettlementAudit
from services.feeds.polymarket.strike import Source, Strike
from services.feeds.polymarket.units import UNITS_PER_USD, milliseconds, price_units, size_shares
from services.feeds.polymarket.wire import (
    BookFrame,
    PriceChangeFrame,
    Refused,
    ResolvedFrame,
    RestBook,
    TickSizeFrame,
    TradeFrame,
)
from services.feeds.protocol import Act, Drop, Publish, Reconnect, Status
from shared.market import NS_PER_S, Series
from shared.messages import (
    Aggressor,
    FeedState,
    OracleKind,
    Outcome,
    OutcomeBook,
    OutcomeTrade,
    Period,
    PeriodRole,
    Settlement,
)

NS_PER_MS = 1_000_000
_REMEMBERED_TRADES = 256
_STALE_CONFIRM_NS = 1 * NS_PER_S
_AGGRESSORS: dict[str, Aggressor] = {"BUY": "buy", "SELL": "sell"}

TradeKey = tuple[str, str, str, str, str, str]


class PeriodMarket:
    """Everything about one period. Books, trades and status are published only while it is the current one."""

    def __init__(self, series: Series, facts: EventFacts, *, tolerances: Tolerances, near_ticks: int) -> None:
        rules = facts.rules
        self.series = series
        self.rules = rules
        self.current = False
        self.strike = Strike(settlement=rules.settlement, start_s=rules.start_s)
        self.audit = SettlementAudit(settlement=rules.settlement, end_s=rules.end_s)
        self.pair: BookPair | None = None
        if rules.call_token:
            self.pair = BookPair(
                condition_id=rules.condition_id,
                call_token=rules.call_token,
                put_token=rules.put_token,
                tick=rules.tick_units,
                tolerances=tolerances,
            )
        self.clob: ClobFacts | None = None
        self.resync = Resync()
        self._clob_refusal: str | None = "clob_not_confirmed"
        self._near_ticks = near_ticks
        self._told: tuple[FeedState, str] | None = None
        self._trades: deque[TradeKey] = deque(maxlen=_REMEMBERED_TRADES)
        self._seen_trades: set[TradeKey] = set()
        self._asked_ms: dict[Outcome, int] = {}
        self._behind: dict[Outcome, tuple[int, int]] = {}
        self._punctuality = Punctuality()
        self._doubt: str | None = None  # about the stamps of the changes: late, clock_ahead

    @classmethod
    def unknown(cls, series: Series, rules: PeriodRules) -> PeriodMarket:
        """A period about which nothing is known but its time, refused for that."""
        facts = EventFacts(rules=rules, price_to_beat=None, final_price=None, closed=False, official=None)
        return cls(series, facts, tolerances=Tolerances(), near_ticks=0)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Both tokens, CALL first; none when the period is refused before they are known."""
        return (self.rules.call_token, self.rules.put_token) if self.pair is not None else ()

    @property
    def refusal(self) -> str | None:
        """Why this period must not be quoted, or None."""
        if self.rules.refusal is not None:
            return self.rules.refusal
        if self._clob_refusal is not None:
            return self._clob_refusal
        return None if self.rules.accepting_orders else "not_accepting_orders"

    # What the venue's REST endpoints say

    def on_facts(self, facts: EventFacts) -> None:
        """Gamma again: orders accepted, prices that decide. Other tokens or rules than before are a refusal."""
        rules = self.rules
        fixed = (facts.rules.condition_id, facts.rules.call_token, facts.rules.put_token)
        if facts.rules.refusal is not None:
            self.rules = rules._replace(refusal=facts.rules.refusal)
        elif fixed != (rules.condition_id, rules.call_token, rules.put_token):
            self.rules = rules._replace(refusal="tokens_changed")
        elif (facts.rules.settlement, facts.rules.twap_lookback_s) != (rules.settlement, rules.twap_lookback_s):
            self.rules = rules._replace(refusal="settlement_rule_changed")
        else:
            self.rules = facts.rules._replace(tick_units=rules.tick_units)
        self._confirm()

    def on_clob(self, clob: ClobFacts) -> None:
        """The order book's own record, as the cross-check of Gamma's."""
        self.clob = clob
        self._confirm()

    def _confirm(self) -> None:
        if self.clob is not None:
            self._clob_refusal = differences(self.rules, self.clob)
            if self._clob_refusal is None and not self.clob.accepting_orders:
                self._clob_refusal = "not_accepting_orders"

    def on_published(self, source: Source, price: float) -> bool:
        """A published strike. True when the view of the strike changed."""
        return self.strike.on_published(source, price)

    def on_oracle(self, kind: OracleKind, second: int, price: float) -> tuple[bool, bool]:
        """A tick of the oracle: whether the strike changed, and whether the audit did."""
        return self.strike.on_oracle(kind, second, price), self.audit.on_oracle(kind, second, price)

    # What the market channel says

    def on_book(self, frame: BookFrame, ts_ns: int) -> list[Act]:
        """A whole book of one token."""
        if self.pair is None:
            return []
        acts = self._after(self.pair.on_book(frame, ts_ns), ts_ns, now=True)
        if frame.last_trade_price is not None and frame.tick_size is not None:
            acts += _check_hash(_as_rest(frame, min_size=self.rules.min_size_shares))
        return acts

    def on_price_change(self, frame: PriceChangeFrame, ts_ns: int) -> list[Act]:
        """Changed levels. Those far from the touch are published with the next timer, not at once."""
        if self.pair is None:
            return []
        before = self.pair.state
        ahead: tuple[Drop, ...] = ()
        refused = self.pair.on_price_change(frame, ts_ns)
        ts_ms = milliseconds(frame.timestamp)
        if refused is None and ts_ms is not None:
            ahead = received_by(ts_ms * NS_PER_MS, ts_ns, "price change")[1]
            self._doubt = self._punctuality.observe(ts_ms * NS_PER_MS, ts_ns)
        now = (
            before != self.pair.state or (self.current and self.pair.near_touch(frame, self._near_ticks))
            if refused is None
            else True
        )
        return [*ahead, *self._after(refused, ts_ns, now=now)]

    def on_tick_size(self, frame: TickSizeFrame, ts_ns: int) -> list[Act]:
        """Another price grid."""
        return [] if self.pair is None else self._after(self.pair.on_tick_size(frame, ts_ns), ts_ns, now=True)

    def on_trade(self, frame: TradeFrame, ts_ns: int) -> list[Act]:
        """A public trade: published once, while this is the current period."""
        if self.pair is None:
            return []
        units, shares, ts_ms = price_units(frame.price), size_shares(frame.size), milliseconds(frame.timestamp)
        aggressor = _AGGRESSORS.get(frame.side)
        if frame.market != self.rules.condition_id:
            return [Drop("wrong_market", f"trade in {frame.market[:14]}")]
        if units is None or not 0 < units < UNITS_PER_USD or not shares or ts_ms is None or aggressor is None:
            return [
                Drop("bad_trade", f"{frame.side[:8]} {frame.size[:20]} at {frame.price[:20]}, {frame.timestamp[:20]}")
            ]
        if abs(ts_ms * NS_PER_MS - ts_ns) > 3_600 * NS_PER_S // 2:
            return [Drop("clock_ahead" if ts_ms * NS_PER_MS > ts_ns else "clock_behind", f"trade at {ts_ms}")]
        key = (frame.asset_id, frame.price, frame.size, frame.side, frame.timestamp, frame.transaction_hash or "")
        if key in self._seen_trades:
            return [Drop("duplicate_trade", f"{key[5][:20]}")]
        if len(self._trades) == _REMEMBERED_TRADES:
            self._seen_trades.discard(self._trades[0])
        self._trades.append(key)
        self._seen_trades.add(key)
        outcome: Outcome = "CALL" if frame.asset_id == self.rules.call_token else "PUT"
        self.pair.heard_ns[outcome] = ts_ns
        if not self.current:
            return []
        ts_event_ns, ahead = received_by(ts_ms * NS_PER_MS, ts_ns, "trade")
        return [
            *ahead,
            Publish(
                OutcomeTrade(
                    ts_event_ns=ts_event_ns,
                    ts_recv_ns=ts_ns,
                    market=self.series.name,
                    slug=self.rules.slug,
                    outcome=outcome,
                    price=units / UNITS_PER_USD,
                    size=shares,
                    aggressor=aggressor,
                    trade_id=f"{(frame.transaction_hash or frame.timestamp)[:80]}:{frame.price}:{frame.size}",
                )
            ),
        ]

    def on_resolved(self, frame: ResolvedFrame, ts_ns: int) -> list[Act]:
        """The venue's word on the outcome. Before the end it is refused."""
        if frame.winning_asset_id not in self.tokens:
            return [Drop("wrong_asset", f"winner {frame.winning_asset_id[:20]!r} is not of this market")]
        if ts_ns < self.rules.end_s * NS_PER_S:
            return [Drop("resolved_early", f"{self.rules.slug} has not ended")]
        self.audit.on_official("CALL" if frame.winning_asset_id == self.rules.call_token else "PUT")
        return []

    def doubt(self, reason: str, ts_ns: int) -> list[Act]:
        """Something was lost that may have been about this book."""
        if self.pair is None:
            return []
        self.pair.doubt(reason, ts_ns)
        return self._after(None, ts_ns, now=True)

    def on_connection(self, reason: str, ts_ns: int) -> list[Act]:
        """The connection is gone, or is a new one (`disconnected`, `no_snapshot`)."""
        if self.pair is None:
            return []
        self.pair.forget(reason, ts_ns)
        self._asked_ms.clear()
        self._behind.clear()
        self._on_time()
        return self._tell()

    def _on_time(self) -> None:
        """A new connection, or a book proven by another: nothing is known of its clock."""
        self._punctuality.forget()
        self._doubt = None

    def on_timer(self, ts_ns: int) -> list[Act]:
        """Graces that ended, and what waited to be published."""
        if self.pair is None:
            return []
        self.pair.on_timer(ts_ns)
        for outcome, (rest_ms, due_ns) in list(self._behind.items()):
            if self.pair.books[outcome].newest_ms >= rest_ms:
                del self._behind[outcome]
            elif ts_ns >= due_ns:
                self._behind.clear()
                self.pair.doubt("stale_book", ts_ns)
                return [*self._tell(), Reconnect("stale_book")]
        return self._after(None, ts_ns, now=True)

    # The comparison with the venue's REST book, while the socket is quiet

    def quiet_outcomes(self, ts_ns: int, quiet_ns: int) -> list[Outcome]:
        """The tokens that said nothing for so long that their book should be proven."""
        if self.pair is None or not self.current or self.pair.state != "LIVE":
            return []
        return [outcome for outcome in OUTCOMES if ts_ns - self.pair.heard_ns[outcome] >= quiet_ns]

    def asked(self, outcome: Outcome) -> None:
        """The REST book of this token was asked for now."""
        if self.pair is not None:
            self._asked_ms[outcome] = self.pair.books[outcome].newest_ms

    def on_rest_book(self, outcome: Outcome, rest: RestBook, ts_ns: int) -> list[Act]:
        """Equal: the quiet book is proven and published again. Newer: unless we hear of it soon, the socket is dead."""
        asked_ms = self._asked_ms.pop(outcome, None)
        if self.pair is None or asked_ms is None:
            return []
        acts = _check_hash(rest)
        comparison = self.pair.compare(outcome, rest, asked_ms=asked_ms)
        if isinstance(comparison, Refused):
            return [*acts, Drop(*comparison)]
        if comparison == "equal" and self.current and self.pair.state == "LIVE":
            self._on_time()
            acts.append(Publish(self._book_message(outcome, ts_ns)))
        elif comparison == "behind":
            rest_ms = milliseconds(rest.timestamp) or 0
            if rest_ms * NS_PER_MS - ts_ns > 5 * NS_PER_S:
                return [*acts, Drop("clock_ahead", f"REST book at {rest_ms}")]
            self._behind[outcome] = (rest_ms, ts_ns + _STALE_CONFIRM_NS)
        elif comparison == "older":
            acts.append(Drop("rest_book_older", f"{rest.timestamp[:20]} against {asked_ms}"))
        elif comparison == "differs":
            acts += [Drop("rest_book_differs", f"{outcome} at {asked_ms}"), *self.doubt("rest_book_differs", ts_ns)]
        return acts

    # What others are told

    def enter(self, ts_ns: int) -> list[Act]:
        """This period is the current one from now on: its prepared books are published at once."""
        self.current = True
        self._told = None
        acts = self._tell()
        if self.pair is not None and self.pair.state == "LIVE":
            self.pair.changed.clear()
            acts += [Publish(self._book_message(outcome, ts_ns)) for outcome in OUTCOMES]
        return acts

    def leave(self) -> None:
        """The period ended: from now on only its settlement matters."""
        self.current = False

    def period_message(self, role: PeriodRole, ts_ns: int) -> Period:
        """The rules as they are known now."""
        rules, strike = self.rules, self.strike.view
        tick = rules.tick_units if self.pair is None else self.pair.tick
        delay_s = 0.0 if self.clob is not None and self.clob.taker_delayed is False else None
        return Period(
            ts_event_ns=ts_ns,
            ts_recv_ns=ts_ns,
            market=self.series.name,
            role=role,
            slug=rules.slug,
            condition_id=rules.condition_id,
            start_ns=rules.start_s * NS_PER_S,
            end_ns=rules.end_s * NS_PER_S,
            settlement=rules.settlement,
            twap_lookback_s=rules.twap_lookback_s,
            strike=strike.price,
            strike_state=strike.state,
            strike_source=strike.reason,
            call_token=rules.call_token,
            put_token=rules.put_token,
            tick_size=tick / UNITS_PER_USD,
            min_size_shares=rules.min_size_shares,
            fee_rate=rules.fee_rate,
            fee_exponent=rules.fee_exponent,
            rebate_rate=rules.rebate_rate,
            taker_delay_s=delay_s,
            rewards_min_shares=rules.rewards_min_shares,
            rewards_max_spread=rules.rewards_max_spread,
            version=rules.version,
            refusal=self.refusal,
        )

    def settlement_message(self, ts_ns: int) -> Settlement:
        """How the period ended, as far as it is known."""
        strike = self.strike.view.price
        return Settlement(
            ts_event_ns=self.rules.end_s * NS_PER_S,
            ts_recv_ns=ts_ns,
            market=self.series.name,
            slug=self.rules.slug,
            strike=strike,
            final_price=self.audit.final_price(),
            final_source=self.audit.final_source(),
            recomputed=self.audit.recomputed(strike),
            official=self.audit.official,
            agrees=self.audit.agrees(strike),
        )

    def _book_message(self, outcome: Outcome, ts_ns: int) -> OutcomeBook:
        assert self.pair is not None
        book = self.pair.books[outcome]
        bid_ticks, bid_sizes = book.bids()
        ask_ticks, ask_sizes = book.asks()
        return OutcomeBook(
            ts_event_ns=received_by(book.newest_ms * NS_PER_MS, ts_ns, outcome)[0],
            ts_recv_ns=ts_ns,
            market=self.series.name,
            slug=self.rules.slug,
            outcome=outcome,
            tick_size=book.tick_units / UNITS_PER_USD,
            bid_ticks=bid_ticks,
            bid_sizes=bid_sizes,
            ask_ticks=ask_ticks,
            ask_sizes=ask_sizes,
        )

    def _after(self, refused: Refused | None, ts_ns: int, *, now: bool) -> list[Act]:
        pair = self.pair
        assert pair is not None
        acts: list[Act] = [] if refused is None else [Drop(*refused)]
        if pair.state == "LIVE":
            self.resync.sound(ts_ns)
            if self.current and now and pair.changed:
                acts += [Publish(self._book_message(outcome, ts_ns)) for outcome in OUTCOMES if outcome in pair.changed]
                pair.changed.clear()
        if now or refused is not None:
            acts += self._tell()
        return acts

    def _tell(self) -> list[Act]:
        """The state of the books, when it is not what was told before; one word for each book's topic."""
        pair = self.pair
        if pair is None or not self.current or pair.state == "SUSPECT":
            return []
        told: tuple[FeedState, str] = ("LIVE", "")
        if pair.state == "WAITING":
            told = ("DOWN" if pair.reason == "disconnected" else "GAP", pair.reason)
        elif any(book.placeholder() for book in pair.books.values()):
            told = ("DOWN", "placeholder_book")
        elif self._doubt is not None:
            told = ("STALE", self._doubt)
        if told == self._told:
            return []
        self._told = told
        return [Status("OutcomeBook", f"{self.series.name}.{outcome}", *told) for outcome in OUTCOMES]


def _check_hash(book: RestBook) -> list[Act]:
    expected = expected_hash(book)
    if not book.hash or expected is None or expected == book.hash:
        return []
    return [
        Drop("hash_mismatch", f"{book.asset_id[:12]} at {book.timestamp[:20]}: {book.hash[:40]}, computed {expected}")
    ]


def _as_rest(frame: BookFrame, *, min_size: float) -> RestBook:
    return RestBook(
        market=frame.market,
        asset_id=frame.asset_id,
        timestamp=frame.timestamp,
        bids=frame.bids,
        asks=frame.asks,
        tick_size=frame.tick_size or "",
        hash=frame.hash,
        min_order_size=f"{min_size:g}",
        neg_risk=False,
        last_trade_price=frame.last_trade_price,
        version=frame.version,
    )


def tokens_of(markets: Iterable[PeriodMarket]) -> list[str]:
    """All tokens of these periods, in order."""
    return [token for market in markets for token in market.tokens]

"""`Flow` of one market: what takers do in the outcome tokens, and what the leading venue's book says.

What fades, fades by our clock (receive times); what is matched - a trade with the mids before and after it - by the
venue's, bounded by our receipt. What takers do in a period's tokens starts fresh with each period. What belongs to the
series carries over: the order flow of the underlying, the fill curve, and the mean markout of our own fills.
"""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.analyzers import fill_curve, imbalance, markout, mids, order_flow, spot_source, toxicity, vpin
from services.analyzers.answers import answer
from services.analyzers.config_record import config_record
from services.analyzers.reaction import CHANGED, NOTHING, Reaction
from services.analyzers.record_text import read_text, write_text
from shared.core import Delivery
from shared.kernel import Record, State, kernel
from shared.market import NS_PER_S, parse_slug
from shared.messages import Fill, Flow, LeadLag, OutcomeBook, OutcomeTrade, Period, SpotQuote

SLUG_BYTES = 64
REMEMBERED_TRADES = 64
REMEMBERED_FILLS = 64
OWN_MARKOUT = markout.Config(half_life_s=3600.0)  # our own fills are few: a long memory

STATE = np.dtype(
    [
        ("source", spot_source.STATE),
        ("order_flow", order_flow.STATE),
        ("imbalance", imbalance.STATE),
        ("vpin", vpin.STATE),
        ("mids", mids.STATE),
        ("markout", markout.STATE),
        ("own_markout", markout.STATE),
        ("fill_curve", fill_curve.STATE),
        ("slug", "u1", (SLUG_BYTES,)),
        ("start_ns", "i8"),
        ("first_ns", "i8"),  # our clock at the first event of this period; 0: none yet
        ("trade_event_ns", "i8", (2,)),  # per outcome, the venue's clock
        ("trade_ids", "u4", (REMEMBERED_TRADES,)),
        ("trades", "i8"),
        ("fill_ids", "u4", (REMEMBERED_FILLS,)),
        ("fills", "i8"),
    ],
    align=True,
)


class Settings(NamedTuple):
    """The estimators' settings. Warm when the period's tokens were watched for `warm_s` and the spot book is alive;
    a period counts as seen whole when watched from at most `whole_s` after its start."""

    source: spot_source.Config = spot_source.Config()
    order_flow: order_flow.Config = order_flow.Config()
    imbalance: imbalance.Config = imbalance.Config()
    vpin: vpin.Config = vpin.Config()
    mids: mids.Config = mids.Config()
    markout: markout.Config = markout.Config()
    own_markout: markout.Config = OWN_MARKOUT
    fill_curve: fill_curve.Config = fill_curve.Config()
    toxicity: toxicity.Config = toxicity.Config()
    warm_s: float = 15.0
    whole_s: float = 10.0


@kernel
def on_quote(
    states: State,
    configs: State,
    index: int,
    ts_event_ns: int,
    ts_recv_ns: int,
    bid: float,
    bid_size: float,
    ask: float,
    ask_size: float,
) -> bool:
    """Take one spot quote; True when it was the leading venue's."""
    state = states[0]
    settings = configs[0]
    ts_event_ns = spot_source.event_time(state.source, settings.source, index, ts_event_ns, ts_recv_ns)
    verdict = spot_source.admit(state.source, settings.source, index, ts_event_ns, ts_recv_ns)
    if verdict <= 0:
        return False
    if verdict == 2:
        order_flow.part(state.order_flow)
    order_flow.update(state.order_flow, settings.order_flow, ts_recv_ns, bid, bid_size, ask, ask_size)
    return True


@kernel
def settle_due(state: Record, settings: Settings, now_ns: int) -> None:
    """Settle the trades and fills whose horizon is over."""
    markout.resolve(state.markout, settings.markout, state.mids, settings.mids, now_ns)
    markout.resolve(state.own_markout, settings.own_markout, state.mids, settings.mids, now_ns)


@kernel
def on_book(
    states: State, configs: State, ts_event_ns: int, ts_recv_ns: int, mid: float, half_spread: float, tick_size: float
) -> bool:
    """Take CALL's mid and half-spread (NaN: not two-sided); False for a book older than the last."""
    state = states[0]
    settings = configs[0]
    ts_event_ns = min(ts_event_ns, ts_recv_ns)
    if ts_event_ns < state.mids.last_ns:
        return False
    if state.first_ns == 0:
        state.first_ns = ts_recv_ns
    mids.update(state.mids, settings.mids, ts_event_ns, mid, half_spread)
    until_ns = ts_recv_ns if math.isnan(mid) else ts_recv_ns + int(settings.mids.max_age_s * 1e9)
    fill_curve.observe_book(state.fill_curve, settings.fill_curve, ts_recv_ns, until_ns, tick_size)
    settle_due(state, settings, ts_recv_ns)
    return True


@kernel
def remember(ids: NDArray[np.uint32], count: int, hashed: int) -> bool:
    """Keep the count-th id in a ring; False when it is among the last ones already. An unknown id (0) is not kept."""
    if hashed <= 0:
        return True
    for j in range(len(ids)):
        if ids[j] == hashed:
            return False
    ids[count % len(ids)] = hashed
    return True


@kernel
def on_trade(
    states: State,
    configs: State,
    side: int,
    ts_event_ns: int,
    ts_recv_ns: int,
    call_price: float,
    signed_shares: float,
    trade_hash: int,
) -> bool:
    """Take one public trade; False for a repeated one (`trade_hash` 0: unknown id) or one older than its stream."""
    state = states[0]
    settings = configs[0]
    ts_event_ns = min(ts_event_ns, ts_recv_ns)
    if ts_event_ns < state.trade_event_ns[side]:
        return False
    if not remember(state.trade_ids, state.trades, trade_hash):
        return False
    state.trade_event_ns[side] = ts_event_ns
    state.trades += 1
    if state.first_ns == 0:
        state.first_ns = ts_recv_ns
    settle_due(state, settings, ts_recv_ns)
    imbalance.update(state.imbalance, settings.imbalance, ts_recv_ns, signed_shares)
    vpin.update(state.vpin, signed_shares)
    mid, half_spread = mids.stood_before(state.mids, settings.mids, ts_event_ns)
    markout.add_trade(state.markout, ts_event_ns, call_price, signed_shares, mid)
    fill_curve.observe_trade(
        state.fill_curve,
        settings.fill_curve,
        ts_event_ns,
        ts_recv_ns,
        call_price,
        math.copysign(1.0, signed_shares),
        mid,
        half_spread,
    )
    return True


@kernel
def on_fill(
    states: State,
    configs: State,
    ts_event_ns: int,
    ts_recv_ns: int,
    call_price: float,
    signed_shares: float,
    fill_hash: int,
) -> bool:
    """Take one fill of ours (positive: we are longer CALL by it); False for a repeated one."""
    state = states[0]
    settings = configs[0]
    if not remember(state.fill_ids, state.fills, fill_hash):
        return False
    state.fills += 1
    ts_event_ns = min(ts_event_ns, ts_recv_ns)
    settle_due(state, settings, ts_recv_ns)
    mid, _ = mids.stood_before(state.mids, settings.mids, ts_event_ns)
    markout.add_trade(state.own_markout, ts_event_ns, call_price, signed_shares, mid)
    settle_due(state, settings, ts_recv_ns)  # its horizon may be over: we learn of fills late
    return True


@kernel
def on_time(states: State, configs: State, ts_ns: int) -> None:
    """Settle the trades and fills whose horizon is over, and let the fill curve's evidence fade."""
    settle_due(states[0], configs[0], ts_ns)
    fill_curve.advance(states[0].fill_curve, configs[0].fill_curve, ts_ns)


@kernel
def read(states: State, configs: State, now_ns: int) -> tuple[bool, float, float, float, float, float, float]:
    """(warm, imbalance, VPIN, its null, toxicity, lead order flow, markout); NaN: no answer."""
    state = states[0]
    settings = configs[0]
    signed = imbalance.read(state.imbalance, settings.imbalance, now_ns)
    lead = order_flow.read(state.order_flow, settings.order_flow, now_ns)
    current, null = vpin.read(state.vpin, settings.vpin)
    gain, error = markout.read(state.markout, settings.markout)
    toxic = toxicity.toxicity(settings.toxicity, signed, lead, current, null, gain, error)
    watched = state.first_ns > 0 and (now_ns - state.first_ns) * 1e-9 >= settings.warm_s
    alive = state.order_flow.updates > 0 and (now_ns - state.order_flow.last_ns) * 1e-9 <= settings.order_flow.max_gap_s
    return watched and alive, signed, current, null, toxic, lead, gain


@kernel
def read_quoting(states: State, configs: State, now_ns: int) -> tuple[float, float, float, float]:
    """(impact, own markout, fill rate per second, its decay per dollar); NaN: no answer."""
    state = states[0]
    settings = configs[0]
    own, _ = markout.read(state.own_markout, settings.own_markout)
    rate, decay = fill_curve.read(state.fill_curve, settings.fill_curve, now_ns)
    return markout.read_impact(state.markout, settings.markout), own, rate, decay


class FlowAnalyzer:
    """Takes `OutcomeTrade` of both outcomes, `OutcomeBook` of CALL, `Fill`, `Period` current, `SpotQuote`, `LeadLag`.

    A fill in another period than the present one has no book here and is ignored.
    """

    STATE = STATE

    def __init__(self, market: str, settings: Settings | None = None) -> None:
        self.market = market
        self.record: State = np.zeros(1, STATE)
        self.settings = settings or Settings()
        self._config = config_record(self.settings)
        self._state = self.record[0]
        self._venues = spot_source.Venues(self.record["source"][0])
        self._slug = ""
        self._inputs: dict[str, int] = {}

    def reload(self) -> None:
        """The record was replaced: read what is kept beside it again."""
        self._venues.reload()
        self._slug = read_text(self._state["slug"])
        self._inputs.clear()

    def observe(self, delivery: Delivery) -> Reaction:
        """Take one message."""
        message = delivery.message
        used = False
        if isinstance(message, SpotQuote):
            used = self._observe_quote(message)
        elif isinstance(message, OutcomeBook):
            used = message.outcome == "CALL" and self._enter(message.slug) and self._observe_book(message)
        elif isinstance(message, OutcomeTrade):
            used = self._enter(message.slug) and self._observe_trade(message)
        elif isinstance(message, Fill):
            used = message.slug == self._slug and self._observe_fill(message)
        elif isinstance(message, Period):
            used = message.market == self.market and message.role == "current" and self._enter(message.slug)
        elif isinstance(message, LeadLag) and message.market == self.market:
            self._venues.lead(message.leader if message.warm else None)
            used = True
        if not used:
            return NOTHING
        self._inputs[delivery.topic] = delivery.seq
        return CHANGED

    def _enter(self, slug: str) -> bool:
        """Be in this period; False when it is already over. A later period starts the tokens' estimators fresh."""
        if slug == self._slug:
            return True
        try:
            start_ns = parse_slug(slug)[1] * NS_PER_S
        except ValueError:
            return False
        state = self._state
        if start_ns <= state["start_ns"]:
            return False
        whole_ns = int(self.settings.whole_s * NS_PER_S)
        seen_whole = 0 < state["first_ns"] <= state["start_ns"] + whole_ns
        past_volume = float(state["vpin"]["volume"]) if seen_whole else 0.0
        for name in ("imbalance", "vpin", "markout", "mids"):
            state[name] = np.zeros((), STATE[name])
        markout.forget_waiting(state["own_markout"])
        fill_curve.part(state["fill_curve"])
        vpin.start(state["vpin"], self.settings.vpin, past_volume)
        write_text(state["slug"], slug)
        state["start_ns"] = start_ns
        state["first_ns"] = 0
        state["trade_event_ns"] = 0
        self._slug = slug
        return True

    def _observe_quote(self, quote: SpotQuote) -> bool:
        index = self._venues.index_of(quote.venue)
        if index is None or spot_source.log_mid(quote) is None:
            return False
        return on_quote(
            self.record,
            self._config,
            index,
            quote.ts_event_ns,
            quote.ts_recv_ns,
            quote.bid,
            quote.bid_size,
            quote.ask,
            quote.ask_size,
        )

    def _observe_book(self, book: OutcomeBook) -> bool:
        mid = half_spread = math.nan
        if book.bid_ticks and book.ask_ticks and book.bid_ticks[0] < book.ask_ticks[0]:
            mid = 0.5 * (book.bid_ticks[0] + book.ask_ticks[0]) * book.tick_size
            half_spread = 0.5 * (book.ask_ticks[0] - book.bid_ticks[0]) * book.tick_size
        return on_book(self.record, self._config, book.ts_event_ns, book.ts_recv_ns, mid, half_spread, book.tick_size)

    def _observe_trade(self, trade: OutcomeTrade) -> bool:
        if not (trade.size > 0.0 and 0.0 < trade.price < 1.0):
            return False
        return on_trade(
            self.record,
            self._config,
            0 if trade.outcome == "CALL" else 1,
            trade.ts_event_ns,
            trade.ts_recv_ns,
            imbalance.call_price(trade.outcome, trade.price),
            imbalance.call_sign(trade.outcome, trade.aggressor) * trade.size,
            zlib.crc32(f"{trade.outcome}{trade.trade_id}".encode()) if trade.trade_id else 0,
        )

    def _observe_fill(self, fill: Fill) -> bool:
        if not (fill.size > 0.0 and 0.0 < fill.price < 1.0):
            return False
        return on_fill(
            self.record,
            self._config,
            fill.ts_event_ns,
            fill.ts_recv_ns,
            imbalance.call_price(fill.outcome, fill.price),
            imbalance.call_sign(fill.outcome, fill.side) * fill.size,
            zlib.crc32(fill.fill_id.encode()) if fill.fill_id else 0,
        )

    def observe_gap(self, topic: str) -> None:
        """Nothing is differenced across a gap: the next spot quote and the next book only set the base."""
        kind, _, rest = topic.partition(".")
        source = rest.partition(".")[2]
        state = self._state
        if kind == "SpotQuote" and self._venues.index_of(source) == state["source"]["chosen"] - 1:
            order_flow.part(state["order_flow"])
        elif kind == "OutcomeBook" and source == "CALL":
            mids.part(state["mids"])
            fill_curve.part(state["fill_curve"])

    def observe_time(self, ts_ns: int) -> Reaction:
        """Time passed: trades and fills whose horizon is over are settled on the mid that still stands."""
        on_time(self.record, self._config, ts_ns)
        return NOTHING

    def signal(self, ts_event_ns: int, ts_recv_ns: int) -> Flow:
        """The signal as of now."""
        warm, signed, current, null, toxic, lead, gain = read(self.record, self._config, ts_recv_ns)
        impact, own, rate, decay = read_quoting(self.record, self._config, ts_recv_ns)
        return Flow(
            ts_event_ns=ts_event_ns,
            ts_recv_ns=ts_recv_ns,
            market=self.market,
            slug=self._slug,
            warm=warm,
            imbalance=signed,
            vpin=answer(current),
            vpin_null=answer(null),
            toxicity=toxic,
            lead_order_flow=lead,
            markout=answer(gain),
            impact=answer(impact),
            own_markout=answer(own),
            fill_rate_per_s=answer(rate),
            fill_decay_per_usd=answer(decay),
            inputs=dict(self._inputs),
        )

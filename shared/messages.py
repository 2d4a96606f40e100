"""The language of the bus: every message, one frozen class each.

Facts are nouns. Times belong to the fact (`ts_event_ns`, the venue's clock; `ts_recv_ns`, ours);
continuity belongs to the publisher and travels in the `Envelope`. On the wire a message is a MessagePack
array whose first element is its class name, so any MessagePack library can read it.

Units are in the names. Outcome prices are dollars per share in (0, 1); spot and oracle prices are in the
quote currency of their venue. `None` means "no answer", never zero.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA_VERSION = 3

Outcome = Literal["CALL", "PUT"]
Side = Literal["bid", "ask"]
Aggressor = Literal["buy", "sell"]
TradeSide = Literal["buy", "sell"]
OracleKind = Literal["spot", "twap60"]
FeedState = Literal["LIVE", "STALE", "GAP", "DOWN"]
StrikeState = Literal["PENDING", "PROVEN"]
PeriodRole = Literal["current", "next", "next2"]
SettlementRule = Literal["twap", "spot"]
FinalSource = Literal["own_tick", "published", ""]
RegimeName = Literal["unknown", "quiet", "mean_reverting", "trending_up", "trending_down", "volatile"]
PhaseName = Literal["before", "early", "mid", "late", "final", "after"]
Action = Literal["PULL_QUOTES", "WIDEN_SPREADS", "QUOTE_BID_ONLY", "QUOTE_ASK_ONLY", "QUOTE_BOTH"]
Execution = Literal["buy", "sell", "buy_opposite"]
OrderState = Literal["pending", "resting", "canceling"]
VolatilityBasis = Literal["estimated", "implied", "prior"]


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, kw_only=True):
    """What all messages share: when it happened and when we learned of it (nanoseconds since 1970, UTC)."""

    ts_event_ns: int
    ts_recv_ns: int


class SpotQuote(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """Best bid and ask of one asset on one exchange. Topic `SpotQuote.<asset>.<venue>`."""

    asset: str
    venue: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float


class SpotTrade(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """A public trade on an exchange; `aggressor` is the taker's side whatever the venue reports."""

    asset: str
    venue: str
    price: float
    size: float
    aggressor: Aggressor
    trade_id: str


class OraclePrice(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """One tick of the settlement source; `ts_event_ns` is its own stamp. Topic `OraclePrice.<asset>.<kind>`."""

    asset: str
    kind: OracleKind
    price: float
    venue: str


class OracleHistory(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """The last minutes of one oracle stream, so that whoever joins late starts warm.

    `seconds` are the oracle's stamps (whole seconds since 1970, ascending), `prices` their values.
    Repeated every few seconds and after each reconnect. Topic `OracleHistory.<asset>.<kind>`.
    """

    asset: str
    kind: OracleKind
    venue: str
    seconds: tuple[int, ...]
    prices: tuple[float, ...]


class OutcomeBook(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """The whole depth of one token: a snapshot, never a change. Best level first.

    Prices are integer multiples of `tick_size`. Topic `OutcomeBook.<market>.<outcome>`.
    """

    market: str
    slug: str
    outcome: Outcome
    tick_size: float
    bid_ticks: tuple[int, ...]
    bid_sizes: tuple[float, ...]
    ask_ticks: tuple[int, ...]
    ask_sizes: tuple[float, ...]


class OutcomeTrade(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """A public trade of one token. Topic `OutcomeTrade.<market>.<outcome>`."""

    market: str
    slug: str
    outcome: Outcome
    price: float
    size: float
    aggressor: Aggressor
    trade_id: str


class Period(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """One window of a series and the rules it settles by. Topic `Period.<market>.<role>`.

    `refusal` names why the engine will not quote this period (unknown rule, fee form or version); None when fine.
    `strike_source` names what proved the strike. `taker_delay_s` is None when the venue does not say. A taker pays
    `fee_rate` x (p (1 - p)) ^ `fee_exponent` dollars a share; `rebate_rate` is the maker's share of it. Resting orders
    of at least `rewards_min_shares` within `rewards_max_spread` dollars of the mid earn liquidity rewards; None: none.
    """

    market: str
    role: PeriodRole
    slug: str
    condition_id: str
    start_ns: int
    end_ns: int
    settlement: SettlementRule
    twap_lookback_s: int
    strike: float | None
    strike_state: StrikeState
    strike_source: str
    call_token: str
    put_token: str
    tick_size: float
    min_size_shares: float
    fee_rate: float
    fee_exponent: float
    rebate_rate: float
    taker_delay_s: float | None
    rewards_min_shares: float | None
    rewards_max_spread: float | None
    version: str
    refusal: str | None


class Settlement(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """How a period ended: the venue's word, beside our own recomputation. Topic `Settlement.<market>`.

    `final_source` is `own_tick` (the oracle's tick stamped at the end, as we received it), `published` (that tick
    never came: the venue's own figure, so that only the strike and the rule are checked), or empty.
    """

    market: str
    slug: str
    strike: float | None
    final_price: float | None
    final_source: FinalSource
    recomputed: Outcome | None
    official: Outcome | None
    agrees: bool | None


class FeedStatus(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """Health of one stream of one venue. Topic `FeedStatus.<subject>.<venue>.<channel>`.

    `channel` is the message type the stream yields (`SpotQuote`, `OutcomeBook`, ...); `subject` is its asset, asset
    and kind (`BTC.spot` of an oracle) or market. `age_s` is the age of the last *data*, None before the first.
    """

    venue: str
    channel: str
    subject: str
    state: FeedState
    reason: str
    age_s: float | None
    expected_rate_hz: float
    seen_rate_hz: float
    reconnects: int


class LeadLag(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """Which venue leads the oracle and by how much. `leader` None: nobody does, significantly."""

    market: str
    warm: bool
    leader: str | None
    lead_s: float | None
    correlation: float
    threshold: float
    inputs: dict[str, int]


class Regime(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """The state of the underlying, and its momentum.

    `drift_per_s` is the expected log return a second from the momentum filter, `momentum_z` its standard score.
    """

    market: str
    warm: bool
    regime: RegimeName
    variance_ratio: float | None
    efficiency_ratio: float | None
    volatile_probability: float | None
    drift_per_s: float
    momentum_z: float
    inputs: dict[str, int]


class Volatility(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """Volatility per square-root second, its uncertainty, and the spike alarm.

    `sigma_per_sqrt_s` blends realized and market-implied; `relative_error` is its one-sigma relative uncertainty.
    `basis` is what it rests on: an estimate from prices seen, or (in the library only, before there is one) the
    option's own price or the configured prior.
    """

    market: str
    warm: bool
    basis: VolatilityBasis
    sigma_per_sqrt_s: float | None
    realized_per_sqrt_s: float | None
    implied_per_sqrt_s: float | None
    relative_error: float | None
    jumps_per_s: float
    spike: bool
    spike_until_ns: int
    inputs: dict[str, int]


class Flow(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """How informed the order flow is, in CALL units (buying PUT is selling CALL).

    `imbalance` in [-1, 1]; `vpin` and its no-information value `vpin_null` in [0, 1]; `toxicity` in [0, 1] is what
    the quoter acts on; `lead_order_flow` is the leading venue's order-flow imbalance in [-1, 1];
    `markout` is the mean dollars a share that public takers gained one second later, `impact` how far the mid had then
    moved their way: what a maker at distance d earns is d - impact. `own_markout` is what our own fills earned, per
    share, positive is good for us. Resting orders at distance d fill at `fill_rate_per_s` x exp(-`fill_decay_per_usd`
    x d), fitted to the public sweeps; both None until there are enough.
    """

    market: str
    slug: str
    warm: bool
    imbalance: float
    vpin: float | None
    vpin_null: float | None
    toxicity: float
    lead_order_flow: float
    markout: float | None
    impact: float | None
    own_markout: float | None
    fill_rate_per_s: float | None
    fill_decay_per_usd: float | None
    inputs: dict[str, int]


class Checkpoint(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """The state record of one estimator, so that a restart or a new owner continues warm.

    `layout` identifies the record's fields; bytes of another layout are refused. Topic `Checkpoint.<market>.<kind>`.
    """

    market: str
    kind: str
    layout: str
    state: bytes


class Layer(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One resting order of a quote set, and how to place it.

    `price` = `ticks` x tick size. `execution` says how without inventory: `buy`, or `buy_opposite` at
    `execution_price` of the other outcome; `sell` when the token is held.
    """

    side: Side
    ticks: int
    price: float
    size: float
    layer: int
    execution: Execution
    execution_price: float


class QuoteSet(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """Our quotes for one market: a lease that names its inputs and ends at `valid_until_ns`.

    `reasons` say why this action, worst first. `breakdown` is the additive story of the number (see
    `services/quoter`). `inputs` maps each topic used to its sequence number. Topic `QuoteSet.<market>`.
    """

    market: str
    slug: str
    action: Action
    reasons: tuple[str, ...]
    phase: PhaseName
    regime: RegimeName
    time_to_expiry_s: float
    tick_size: float
    fair_value: float | None
    fair_low: float | None
    fair_high: float | None
    breakdown: dict[str, float]
    call: tuple[Layer, ...]
    put: tuple[Layer, ...]
    valid_until_ns: int
    inputs: dict[str, int]
    trigger: str
    trigger_recv_ns: int


class Fill(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """An execution of ours, once it stands in the ledger. Topic `Fill.<market>`; the booking itself is a request.

    `side` `buy` or `sell` of the outcome's token; `price` in dollars a share; `fee_usd` is paid, `rebate_usd` expected.
    """

    market: str
    slug: str
    fill_id: str
    order_id: str
    outcome: Outcome
    side: TradeSide
    price: float
    size: float
    fee_usd: float
    rebate_usd: float
    is_maker: bool


class OpenOrder(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One order of ours that can still fill. `state` is `pending` until it rests, `canceling` until the cancel counts.

    `ahead` are the shares believed to be before it in the queue; None while it does not rest.
    """

    order_id: str
    outcome: Outcome
    side: TradeSide
    price: float
    left: float
    ahead: float | None
    state: OrderState


class OpenOrders(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """All orders of ours in one period that can still fill. Topic `OpenOrders.<market>`."""

    market: str
    slug: str
    orders: tuple[OpenOrder, ...]


class Position(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """What we hold in one period, and what it is worth. Topic `Position.<market>`.

    Average prices are None when none of that outcome is held. `unrealized_pnl_usd` is at the fair value,
    `liquidation_pnl_usd` at what the books pay now, net of fees; None without one. `realized_pnl_usd` is net of
    `fees_usd` and contains no rebates; `rebates_usd` are those expected by the schedule. `worst_case_usd` is the
    profit of this period under the worse outcome with every open order filled to our harm: the last ones we heard of,
    also when whoever placed them fell silent. `sequence` is the last ledger entry that is in here.
    """

    market: str
    slug: str
    call_shares: float
    put_shares: float
    call_average_price: float | None
    put_average_price: float | None
    mergeable_pairs: float
    realized_pnl_usd: float
    unrealized_pnl_usd: float | None
    liquidation_pnl_usd: float | None
    fees_usd: float
    rebates_usd: float
    worst_case_usd: float
    fills: int
    sequence: int


class Heartbeat(Message, frozen=True, array_like=True, tag=True, kw_only=True):
    """A process says that it lives. Topic `Heartbeat.<service>.<instance>`. `counters` are its main metrics.

    `markets` are those that it can serve; none in its last heartbeat: it stops.
    """

    service: str
    instance: str
    pid: int
    metrics_port: int
    markets: tuple[str, ...]
    started_ns: int
    resident_bytes: int
    counters: dict[str, float]


AnyMessage = (
    SpotQuote
    | SpotTrade
    | OraclePrice
    | OracleHistory
    | OutcomeBook
    | OutcomeTrade
    | Period
    | Settlement
    | FeedStatus
    | LeadLag
    | Regime
    | Volatility
    | Flow
    | Checkpoint
    | QuoteSet
    | Fill
    | OpenOrders
    | Position
    | Heartbeat
)


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """What the publisher adds: who, in which unbroken run (`epoch`), and which message of this topic (`seq`)."""

    version: int
    instance: str
    epoch: int
    seq: int
    ts_pub_ns: int
    body: AnyMessage


_SOURCES: dict[type[Message], tuple[str, str | None]] = {
    SpotQuote: ("asset", "venue"),
    SpotTrade: ("asset", "venue"),
    OraclePrice: ("asset", "kind"),
    OracleHistory: ("asset", "kind"),
    OutcomeBook: ("market", "outcome"),
    OutcomeTrade: ("market", "outcome"),
    Period: ("market", "role"),
    Checkpoint: ("market", "kind"),
    Heartbeat: ("service", "instance"),
}


def topic_of(message: AnyMessage) -> str:
    """The topic a message is published under: `<Class>.<market or asset>[.<source>]`."""
    kind = type(message)
    if kind is FeedStatus:
        return f"FeedStatus.{message.subject}.{message.venue}.{message.channel}"  # type: ignore[union-attr]
    subject, source = _SOURCES.get(kind, ("market", None))
    if source is None:
        return f"{kind.__name__}.{getattr(message, subject)}"
    return f"{kind.__name__}.{getattr(message, subject)}.{getattr(message, source)}"

"""What happens in the world, before any protocol writes it. Times are Unix ms of the event unless named otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from services.simulator.period import Period

Side = Literal["buy", "sell"]


class BybitQuote(NamedTuple):
    """Level 1 on Bybit; a repeat has the same update number."""

    ts_ms: int
    asset: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    update_number: int
    sequence: int


class BybitTrade(NamedTuple):
    ts_ms: int
    asset: str
    price: str
    size: str
    taker_side: Side
    trade_id: str
    sequence: int


class CoinbaseMatch(NamedTuple):
    ts_ms: int
    asset: str
    price: str
    size: str
    taker_side: Side
    trade_id: int
    maker_order_id: str
    taker_order_id: str
    sequence: int
    best_bid: str
    best_bid_size: str
    best_ask: str
    best_ask_size: str


class CoinbaseLevels(NamedTuple):
    """One level2_batch: (`buy` or `sell`, price, absolute size)."""

    ts_ms: int
    asset: str
    changes: tuple[tuple[Side, str, str], ...]


class CoinbaseBeat(NamedTuple):
    ts_ms: int
    asset: str
    sequence: int
    last_trade_id: int


class OracleTick(NamedTuple):
    """A Chainlink value: `spot` or the 60 s `twap`, stamped at a whole second, delivered later."""

    ts_ms: int  # delivery
    asset: str
    kind: Literal["spot", "twap"]
    stamp_s: int
    number: float
    e18: int


class RelayTick(NamedTuple):
    """The Binance price in the legacy stream."""

    ts_ms: int
    asset: str
    stamp_s: int
    number: float


class LevelChange(NamedTuple):
    """One price level of the logical book: Up price in mills (1/1000 dollar), Up side."""

    mills: int
    is_bid: bool


class BookUpdate(NamedTuple):
    """One level changed; the period's book already has the new state."""

    ts_ms: int
    period: Period
    change: LevelChange
    clearing: bool


class OutcomeTrade(NamedTuple):
    ts_ms: int
    period: Period
    outcome_index: int  # 0 Up, 1 Down: the token the taker named
    mills: int  # price of that token
    micro_shares: int
    taker_side: Side
    transaction_hash: str
    is_informed: bool  # truth only: the wire does not say it


class BookRefresh(NamedTuple):
    """The venue repeats both books after a trade."""

    ts_ms: int
    period: Period


class TickSizeChange(NamedTuple):
    ts_ms: int
    period: Period
    old_mills: int
    new_mills: int


class MarketCreated(NamedTuple):
    ts_ms: int
    period: Period


class MarketResolved(NamedTuple):
    ts_ms: int
    period: Period


Event = (
    BybitQuote
    | BybitTrade
    | CoinbaseMatch
    | CoinbaseLevels
    | CoinbaseBeat
    | OracleTick
    | RelayTick
    | BookUpdate
    | OutcomeTrade
    | BookRefresh
    | TickSizeChange
    | MarketCreated
    | MarketResolved
)

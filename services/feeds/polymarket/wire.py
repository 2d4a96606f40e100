"""The frames of the market channel and the answers of the REST endpoints, as typed records.

Everything the venue sends as a string stays a string here; `units.py` gives it a meaning or refuses it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

MAX_FRAME_BYTES = 4_000_000


class LevelRecord(msgspec.Struct, frozen=True):
    """One level of a book."""

    price: str
    size: str


class BookFrame(msgspec.Struct, frozen=True, tag="book", tag_field="event_type"):
    """A whole book. Only the first one on a subscription has tick size and last trade price."""

    market: str
    asset_id: str
    timestamp: str
    bids: list[LevelRecord]
    asks: list[LevelRecord]
    hash: str = ""
    tick_size: str | None = None
    last_trade_price: str | None = None
    version: str | None = None


class RestBook(msgspec.Struct, frozen=True):
    """The answer of `GET /book`."""

    market: str
    asset_id: str
    timestamp: str
    bids: list[LevelRecord]
    asks: list[LevelRecord]
    tick_size: str
    hash: str = ""
    min_order_size: str | None = None
    neg_risk: bool | None = None
    last_trade_price: str | None = None
    version: str | None = None


class Leg(msgspec.Struct, frozen=True):
    """One token's share of a price change: `size` is what now rests at the level; best bid and ask are after it."""

    asset_id: str
    price: str
    size: str
    side: str
    hash: str = ""
    best_bid: str | None = None
    best_ask: str | None = None


class PriceChangeFrame(msgspec.Struct, frozen=True, tag="price_change", tag_field="event_type"):
    """Levels that changed, both tokens in one frame."""

    market: str
    price_changes: list[Leg]
    timestamp: str


class TradeFrame(msgspec.Struct, frozen=True, tag="last_trade_price", tag_field="event_type"):
    """A public trade; `side` is the taker's."""

    market: str
    asset_id: str
    price: str
    size: str
    side: str
    timestamp: str
    transaction_hash: str | None = None


class TickSizeFrame(msgspec.Struct, frozen=True, tag="tick_size_change", tag_field="event_type"):
    """The price grid of one token changed."""

    market: str
    asset_id: str
    old_tick_size: str
    new_tick_size: str
    timestamp: str


class BestFrame(msgspec.Struct, frozen=True, tag="best_bid_ask", tag_field="event_type"):
    """Best bid and ask of one token: intermittent and sometimes wrong, so nothing is decided by it."""

    market: str
    asset_id: str
    best_bid: str
    best_ask: str
    timestamp: str


class NewMarketFrame(msgspec.Struct, frozen=True, tag="new_market", tag_field="event_type"):
    """A market was made, of any kind, anywhere on the venue."""

    market: str
    slug: str = ""


class ResolvedFrame(msgspec.Struct, frozen=True, tag="market_resolved", tag_field="event_type"):
    """The venue's word on the outcome."""

    market: str
    winning_asset_id: str
    timestamp: str
    winning_outcome: str = ""


ChannelFrame = BookFrame | PriceChangeFrame | TradeFrame | TickSizeFrame | BestFrame | NewMarketFrame | ResolvedFrame

_frames = msgspec.json.Decoder(ChannelFrame | list[ChannelFrame])
_anything = msgspec.json.Decoder()
_rest_book = msgspec.json.Decoder(RestBook)
_EVENTS = frozenset(
    {"book", "price_change", "last_trade_price", "tick_size_change", "best_bid_ask", "new_market", "market_resolved"}
)


class Refused(NamedTuple):
    """Venue bytes that cannot be used: a short stable label, and the detail for the log."""

    reason: str
    detail: str


def decode_frame(frame: str | bytes) -> list[ChannelFrame | Refused]:
    """The records in one frame. Unusable ones come back as `Refused`; their neighbours in an array are kept.

    Reasons: `frame_too_large`, `malformed_frame` (not JSON: anything may have been lost), `malformed_<event>`
    (JSON, but not the shape of its event), `unknown_event`.
    """
    if len(frame) > MAX_FRAME_BYTES:
        return [Refused("frame_too_large", f"{len(frame)} bytes")]
    try:
        decoded = _frames.decode(frame)
    except (msgspec.ValidationError, RecursionError, UnicodeError):
        return _one_by_one(frame)
    except msgspec.DecodeError as error:
        return [Refused("malformed_frame", f"{error}: {frame[:120]!r}")]
    return [*decoded] if isinstance(decoded, list) else [decoded]


def _one_by_one(frame: str | bytes) -> list[ChannelFrame | Refused]:
    try:
        decoded = _anything.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        return [Refused("malformed_frame", f"{error}: {frame[:120]!r}")]
    return [_convert(node) for node in (decoded if isinstance(decoded, list) else [decoded])]


def _convert(node: object) -> ChannelFrame | Refused:
    event = node.get("event_type") if isinstance(node, dict) else None
    if not isinstance(event, str):
        return Refused("malformed_frame", f"no event type: {str(node)[:120]}")
    if event not in _EVENTS:
        return Refused("unknown_event", event[:60])
    try:
        converted: ChannelFrame = msgspec.convert(node, ChannelFrame)
    except (msgspec.ValidationError, RecursionError) as error:
        return Refused(f"malformed_{event}", f"{error}: {str(node)[:120]}")
    return converted


def decode_rest_book(body: bytes) -> RestBook | Refused:
    """The answer of `GET /book`."""
    if len(body) > MAX_FRAME_BYTES:
        return Refused("frame_too_large", f"{len(body)} bytes")
    try:
        return _rest_book.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        return Refused("malformed_rest_book", f"{error}: {body[:120]!r}")

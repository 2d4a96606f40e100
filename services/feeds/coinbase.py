"""Coinbase Exchange: best bid and ask from `level2_batch`, trades from `matches`.

Source: docs.cdp.coinbase.com, Exchange websocket channels. What the docs and the recordings say:

- `ticker` is sent on trades only, so its best bid and ask are stale between trades: it is used only while there is
  no level 2 book. The book itself has no sequence number; in doubt it is subscribed afresh.
- The side of a `match` is the maker's; the aggressor is the other one (97 of 97 recorded trades against `ticker`).
- `last_match` repeats the last trade before the subscription: a starting point for trade ids, not a trade.
- `heartbeat` (one a second) carries the last trade id, which proves the trade stream or shows a gap, and the sequence
  number of the whole product: while that stands still, a silent book is proven, not stale.
- Dirty fields occur: time `0001-01-01T00:00:00.000000Z`, size `0.-10000`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from services.feeds.parsing import (
    DECODE_ERRORS,
    NS_PER_MS,
    NS_PER_S,
    Evidence,
    PriceGuard,
    Punctuality,
    drop,
    is_clock_plausible,
    parse_decimal,
    parse_iso_ns,
    parse_positive,
    received_by,
)
from services.feeds.protocol import Act, Fetch, Publish, Reconnect, Send, Status
from shared.messages import SpotQuote, SpotTrade

VENUE = "coinbase"
CHANNELS = ("level2_batch", "matches", "ticker", "heartbeat")
SNAPSHOT_TIMEOUT_NS = 10 * NS_PER_S
RESYNC_INTERVAL_NS = 2 * NS_PER_S
REFILL_INTERVAL_NS = 5 * NS_PER_S
REPEAT_NS = 500 * NS_PER_MS  # an unchanged best bid and ask of a changing book is repeated this often
LARGEST_REFILL = 1000  # trades in one answer of the venue
OLDEST_TICKER_NS = 5 * NS_PER_S
OLDEST_REFILL_NS = 600 * NS_PER_S
WIDEST_SPREAD = 0.2
MAX_TRADE_ID = 1 << 62


class _Frame(msgspec.Struct):
    kind: str = msgspec.field(name="type")
    product_id: str = ""
    time: str = ""
    sequence: int = 0
    trade_id: int = 0
    last_trade_id: int = 0
    price: str = ""
    size: str = ""
    side: str = ""
    best_bid: str = ""
    best_bid_size: str = ""
    best_ask: str = ""
    best_ask_size: str = ""
    changes: list[tuple[str, str, str]] = []
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    message: str = ""
    reason: str = ""


class _RestTrade(msgspec.Struct):
    time: str
    trade_id: int
    price: str
    size: str
    side: str


_frames = msgspec.json.Decoder(_Frame)
_rest_trades = msgspec.json.Decoder(list[_RestTrade])


class Ladder:
    """The levels of one side in order, best last: a binary search and a short move for each change."""

    __slots__ = ("_keys", "_sign", "_sizes")

    def __init__(self, *, is_bid: bool) -> None:
        self._sign = 1.0 if is_bid else -1.0
        self._keys: list[float] = []
        self._sizes: dict[float, float] = {}

    def replace(self, levels: Iterable[tuple[float, float]]) -> None:
        """Forget everything, then take these levels."""
        self._sizes = {self._sign * price: size for price, size in levels if size > 0.0}
        self._keys = sorted(self._sizes)

    def put(self, price: float, size: float) -> None:
        """Set the absolute size of a level; zero removes it."""
        key = self._sign * price
        if size > 0.0:
            if key not in self._sizes:
                insort(self._keys, key)
            self._sizes[key] = size
        elif self._sizes.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def best(self) -> tuple[float, float] | None:
        """(price, size) of the best level; None when the side is empty."""
        if not self._keys:
            return None
        key = self._keys[-1]
        return self._sign * key, self._sizes[key]

    def __len__(self) -> int:
        return len(self._keys)


@dataclass(slots=True)
class _Product:
    """One product on this connection."""

    asset: str
    product_id: str
    bids: Ladder = field(default_factory=lambda: Ladder(is_bid=True))
    asks: Ladder = field(default_factory=lambda: Ladder(is_bid=False))
    has_book: bool = False
    had_book: bool = False
    waiting_since_ns: int | None = None
    resynced_ns: int | None = None
    needs_resync: bool = False
    published: tuple[float, float, float, float] | None = None
    published_ns: int = 0
    ticker_sequence: int = 0
    heartbeat_sequence: int | None = None
    book_changes: int = 0
    changes_at_heartbeat: int = 0
    last_trade_id: int | None = None
    promised_trade_id: int | None = None
    missing: tuple[int, int] | None = None  # first and last trade id to refill
    fetched_ns: int | None = None
    is_fetching: bool = False
    punctuality: Punctuality = field(default_factory=Punctuality)
    guard: PriceGuard = field(default_factory=PriceGuard)
    trade_guard: PriceGuard = field(default_factory=PriceGuard)

    def restart(self, ts_ns: int) -> None:
        """A new connection: the book and the trade ids start over."""
        self.has_book = self.had_book = self.is_fetching = self.needs_resync = False
        self.bids.replace(())
        self.asks.replace(())
        self.waiting_since_ns = ts_ns
        self.resynced_ns = self.published = self.heartbeat_sequence = self.fetched_ns = None
        self.last_trade_id = self.promised_trade_id = self.missing = None
        self.ticker_sequence = 0
        self.punctuality.forget()


class CoinbaseProtocol:
    """One socket of Coinbase Exchange for these assets, each against USD."""

    venue = VENUE

    def __init__(self, assets: Sequence[str], *, rest_url: str = "https://api.exchange.coinbase.com") -> None:
        self._products = {f"{asset}-USD": _Product(asset, f"{asset}-USD") for asset in assets}
        self._rest_url = rest_url.rstrip("/")
        self._evidence = Evidence()
        self._refused: set[str] = set()
        self._level2_refused = False
        self._is_open = False

    def on_open(self, ts_ns: int) -> Sequence[Act]:
        """Subscribe at once (the venue hangs up after 5 s), one request a product so that one cannot fail another."""
        self._is_open = True
        acts: list[Act] = []
        for product in self._products.values():
            product.restart(ts_ns)
            if product.product_id in self._refused:
                product.waiting_since_ns = None
                acts.extend(self._doubt_all(product, "unknown product"))
                continue
            if self._level2_refused:
                product.waiting_since_ns = None
            channels = [name for name in CHANNELS if not (self._level2_refused and name == "level2_batch")]
            acts.append(_request("subscribe", product, channels))
        return acts

    def _doubt_all(self, product: _Product, reason: str) -> tuple[Act, ...]:
        return (
            *self._evidence.doubt("SpotQuote", product.asset, "DOWN", reason),
            *self._evidence.doubt("SpotTrade", product.asset, "DOWN", reason),
        )

    def on_frame(self, frame: str | bytes, ts_recv_ns: int) -> Sequence[Act]:
        """One frame. Never raises."""
        try:
            parsed = _frames.decode(frame)
        except DECODE_ERRORS as error:
            return (drop("malformed", error),)
        kind = parsed.kind
        if kind == "subscriptions":
            return ()
        if kind == "error":
            return self._on_error(parsed)
        product = self._products.get(parsed.product_id)
        if product is None:
            return (drop("unknown_product", f"{kind} of {parsed.product_id}"),)
        match kind:
            case "l2update":
                return self._on_changes(product, parsed, ts_recv_ns)
            case "match":
                return self._on_match(product, parsed, ts_recv_ns)
            case "ticker":
                return self._on_ticker(product, parsed, ts_recv_ns)
            case "heartbeat":
                return self._on_heartbeat(product, parsed, ts_recv_ns)
            case "snapshot":
                return self._on_snapshot(product, parsed, ts_recv_ns)
            case "last_match":
                if product.last_trade_id is None and 0 < parsed.trade_id < MAX_TRADE_ID:
                    product.last_trade_id = parsed.trade_id
                return ()
        return (drop("unknown_type", kind),)

    def _on_snapshot(self, product: _Product, frame: _Frame, ts_recv_ns: int) -> Sequence[Act]:
        acts: list[Act] = []
        for ladder, texts in ((product.bids, frame.bids), (product.asks, frame.asks)):
            levels = []
            for price_text, size_text in texts:
                price, size = parse_positive(price_text), parse_decimal(size_text)
                if price is None or size is None:
                    acts.append(drop("dirty_level", f"{product.product_id} {price_text} x {size_text}"))
                else:
                    levels.append((price, size))
            ladder.replace(levels)
        product.has_book = product.had_book = True
        product.needs_resync = False
        product.waiting_since_ns = product.published = None
        product.book_changes += 1
        acts.extend(self._quote(product, frame.time, ts_recv_ns))
        return acts

    def _on_changes(self, product: _Product, frame: _Frame, ts_recv_ns: int) -> Sequence[Act]:
        if not product.has_book:
            return ()  # the snapshot that is on its way holds it
        for side, price_text, size_text in frame.changes:
            price, size = parse_positive(price_text), parse_decimal(size_text)
            if price is None or size is None or side not in ("buy", "sell"):
                detail = f"{product.product_id} {side} {price_text} x {size_text}"
                return self._lose_book(product, "dirty_level", detail, ts_recv_ns)
            (product.bids if side == "buy" else product.asks).put(price, size)
        product.book_changes += 1
        return self._quote(product, frame.time, ts_recv_ns)

    def _quote(self, product: _Product, time_text: str, ts_recv_ns: int) -> Sequence[Act]:
        best_bid, best_ask = product.bids.best(), product.asks.best()
        if best_bid is None or best_ask is None:
            return self._evidence.doubt("SpotQuote", product.asset, "STALE", "one_sided")
        (bid, bid_size), (ask, ask_size) = best_bid, best_ask
        if bid >= ask:
            return self._lose_book(product, "crossed", f"{product.product_id} {bid} / {ask}", ts_recv_ns)
        top = (bid, bid_size, ask, ask_size)
        if top == product.published and ts_recv_ns - product.published_ns < REPEAT_NS:
            return ()
        dropped: tuple[Act, ...] = ()
        ts_event_ns = parse_iso_ns(time_text)
        if ts_event_ns is None or ts_event_ns <= 0:
            ts_event_ns = ts_recv_ns
            if time_text:  # snapshots may come without a time
                dropped = (drop("dirty_time", f"{product.product_id} {time_text}"),)
        elif not is_clock_plausible(ts_event_ns, ts_recv_ns):
            return (
                drop("clock", f"{product.product_id} stamped {time_text}"),
                *self._evidence.doubt("SpotQuote", product.asset, "STALE", "clock"),
            )
        if ask - bid > WIDEST_SPREAD * bid or not product.guard.accept(0.5 * (bid + ask)):
            return (*dropped, drop("absurd", f"{product.product_id} {bid} / {ask}"))
        product.published, product.published_ns = top, ts_recv_ns
        stamp_ns, ahead = received_by(ts_event_ns, ts_recv_ns, product.product_id)
        dropped = (*dropped, *ahead)
        quote = _spot_quote(product.asset, top, stamp_ns, ts_recv_ns)
        doubt = product.punctuality.observe(ts_event_ns, ts_recv_ns)
        if doubt is not None:
            return (*dropped, Publish(quote), *self._evidence.doubt("SpotQuote", product.asset, "STALE", doubt))
        return (*dropped, Publish(quote), *self._evidence.trust("SpotQuote", product.asset))

    def _lose_book(self, product: _Product, reason: str, detail: str, ts_ns: int) -> Sequence[Act]:
        product.has_book = False
        product.published = None
        product.needs_resync = True
        return (
            drop(reason, detail),
            *self._evidence.doubt("SpotQuote", product.asset, "GAP", reason),
            *self._resync(product, ts_ns),
        )

    def _resync(self, product: _Product, ts_ns: int) -> Sequence[Act]:
        """Ask for the book again, but not too often: a resync that must wait is made by the timer."""
        if product.resynced_ns is not None and ts_ns - product.resynced_ns < RESYNC_INTERVAL_NS:
            return ()
        product.needs_resync = False
        product.resynced_ns = product.waiting_since_ns = ts_ns
        return (
            _request("unsubscribe", product, ["level2_batch"]),
            _request("subscribe", product, ["level2_batch"]),
        )

    def _on_ticker(self, product: _Product, frame: _Frame, ts_recv_ns: int) -> Sequence[Act]:
        if frame.sequence and frame.sequence < product.ticker_sequence:
            return (drop("out_of_order", f"{product.product_id} sequence {frame.sequence}"),)
        product.ticker_sequence = frame.sequence
        if product.had_book:
            return ()
        ts_event_ns = parse_iso_ns(frame.time)
        if ts_event_ns is None or abs(ts_recv_ns - ts_event_ns) > OLDEST_TICKER_NS:
            return (drop("old_ticker", f"{product.product_id} stamped {frame.time}"),)
        bid, ask = parse_positive(frame.best_bid), parse_positive(frame.best_ask)
        bid_size, ask_size = parse_positive(frame.best_bid_size), parse_positive(frame.best_ask_size)
        if bid is None or ask is None or bid_size is None or ask_size is None:
            return (drop("incomplete_ticker", f"{product.product_id} {frame.best_bid} / {frame.best_ask}"),)
        if bid >= ask:
            return (drop("crossed", f"{product.product_id} {bid} / {ask}"),)
        if ask - bid > WIDEST_SPREAD * bid or not product.guard.accept(0.5 * (bid + ask)):
            return (drop("absurd", f"{product.product_id} {bid} / {ask}"),)
        stamp_ns, ahead = received_by(ts_event_ns, ts_recv_ns, product.product_id)
        quote = _spot_quote(product.asset, (bid, bid_size, ask, ask_size), stamp_ns, ts_recv_ns)
        doubt = product.punctuality.observe(ts_event_ns, ts_recv_ns)
        if doubt is not None:
            return (*ahead, Publish(quote), *self._evidence.doubt("SpotQuote", product.asset, "STALE", doubt))
        return (*ahead, Publish(quote), *self._evidence.trust("SpotQuote", product.asset))

    def _on_match(self, product: _Product, frame: _Frame, ts_recv_ns: int) -> Sequence[Act]:
        trade_id = frame.trade_id
        last = product.last_trade_id
        if not 0 < trade_id < MAX_TRADE_ID:
            return (drop("malformed", f"trade id {str(trade_id)[:40]}"),)
        if last is not None and trade_id <= last:
            return (drop("duplicate", f"{product.product_id} trade {trade_id} after {last}"),)
        trade = self._trade(product, frame, ts_recv_ns)
        if isinstance(trade, str):
            return (drop(trade, f"{product.product_id} {frame.price} x {frame.size} {frame.side} {frame.time}"),)
        acts: list[Act] = []
        if last is not None and trade_id > last + 1:
            acts.extend(self._refill(product, last + 1, trade_id - 1, ts_recv_ns))
        product.last_trade_id = trade_id
        acts.extend(received_by(parse_iso_ns(frame.time) or 0, ts_recv_ns, f"{product.product_id} trade")[1])
        acts.append(Publish(trade))
        return acts

    def _trade(self, product: _Product, frame: _Frame | _RestTrade, ts_recv_ns: int) -> SpotTrade | str:
        """The trade, or the reason why there is none."""
        if frame.side not in ("buy", "sell"):
            return "unknown_side"
        ts_event_ns = parse_iso_ns(frame.time)
        if ts_event_ns is None or ts_event_ns <= 0:
            return "dirty_time"
        is_refill = isinstance(frame, _RestTrade)
        if is_refill:
            if not 0 <= ts_recv_ns - ts_event_ns + NS_PER_S <= OLDEST_REFILL_NS:
                return "clock"
        elif not is_clock_plausible(ts_event_ns, ts_recv_ns):
            return "clock"
        price, size = parse_positive(frame.price), parse_positive(frame.size)
        if price is None or size is None or not product.trade_guard.accept(price):
            return "absurd"
        return SpotTrade(
            ts_event_ns=received_by(ts_event_ns, ts_recv_ns, product.product_id)[0],
            ts_recv_ns=ts_recv_ns,
            asset=product.asset,
            venue=VENUE,
            price=price,
            size=size,
            aggressor="buy" if frame.side == "sell" else "sell",
            trade_id=str(frame.trade_id),
        )

    def _on_heartbeat(self, product: _Product, frame: _Frame, ts_recv_ns: int) -> Sequence[Act]:
        ts_event_ns = parse_iso_ns(frame.time)
        if ts_event_ns is not None and ts_event_ns > 0 and not is_clock_plausible(ts_event_ns, ts_recv_ns):
            return (drop("clock", f"{product.product_id} heartbeat stamped {frame.time}"),)
        acts: list[Act] = []
        silent = product.book_changes == product.changes_at_heartbeat
        if (
            product.has_book
            and silent
            and frame.sequence == product.heartbeat_sequence
            and not self._evidence.is_doubted("SpotQuote", product.asset)
        ):
            acts.append(Status("SpotQuote", product.asset, "LIVE", "nothing happened since"))
        product.heartbeat_sequence = frame.sequence
        product.changes_at_heartbeat = product.book_changes
        acts.extend(self._check_trades(product, frame.last_trade_id, ts_recv_ns))
        return acts

    def _check_trades(self, product: _Product, venue_trade_id: int, ts_recv_ns: int) -> Sequence[Act]:
        """Compare the venue's last trade with ours; a trade still missing one heartbeat later is lost."""
        last = product.last_trade_id
        if not 0 < venue_trade_id < MAX_TRADE_ID:
            return ()
        if last is None:
            product.last_trade_id = venue_trade_id
            return ()
        if venue_trade_id <= last:
            product.promised_trade_id = None
            if self._evidence.is_doubted("SpotTrade", product.asset):
                return ()
            return (Status("SpotTrade", product.asset, "LIVE", "no trade is missing"),)
        promised, product.promised_trade_id = product.promised_trade_id, venue_trade_id
        if promised is None or promised <= last:
            return ()
        product.last_trade_id = promised
        return self._refill(product, last + 1, promised, ts_recv_ns)

    def _refill(self, product: _Product, first: int, last: int, ts_ns: int) -> Sequence[Act]:
        count = last - first + 1
        acts: list[Act] = [
            drop("lost_trades", f"{product.product_id} {count} trades from {first}"),
            *self._evidence.doubt("SpotTrade", product.asset, "GAP", "trades missing"),
        ]
        product.missing = (product.missing[0] if product.missing else first, last)
        acts.extend(self._fetch_missing(product, ts_ns))
        return acts

    def _fetch_missing(self, product: _Product, ts_ns: int) -> Sequence[Act]:
        if product.is_fetching or (product.fetched_ns is not None and ts_ns - product.fetched_ns < REFILL_INTERVAL_NS):
            return ()
        product.is_fetching = True
        product.fetched_ns = ts_ns
        url = f"{self._rest_url}/products/{product.product_id}/trades?limit={LARGEST_REFILL}"
        return (Fetch(f"trades:{product.product_id}", url),)

    def _on_error(self, frame: _Frame) -> Sequence[Act]:
        text = f"{frame.message}: {frame.reason}"
        acts: list[Act] = [drop("venue_error", text)]
        if "level2" in text:
            self._level2_refused = True
            for product in self._products.values():
                product.waiting_since_ns = None
            return (*acts, Reconnect("level2_refused"))
        for product in self._products.values():
            if product.product_id in text:
                self._refused.add(product.product_id)
                product.waiting_since_ns = None
                acts.extend(self._doubt_all(product, "unknown product"))
        return acts

    def on_response(self, request: str, status: int, body: bytes, ts_recv_ns: int) -> Sequence[Act]:
        """Missing trades, by REST. What it does not hold stays lost, and the stream goes on."""
        product = self._products.get(request.partition(":")[2])
        if product is None or product.missing is None:
            return ()
        product.is_fetching = False
        first, last = product.missing
        product.missing = None
        if status != 200:
            lost = drop("refill_failed", f"{product.product_id} status {status}")
            return (lost, *self._evidence.trust("SpotTrade", product.asset, "trades lost"))
        try:
            rows = _rest_trades.decode(body)
        except DECODE_ERRORS as error:
            lost = drop("refill_failed", error)
            return (lost, *self._evidence.trust("SpotTrade", product.asset, "trades lost"))
        acts: list[Act] = []
        found: set[int] = set()
        for row in sorted(rows, key=lambda each: each.trade_id):
            if not first <= row.trade_id <= last or row.trade_id in found:
                continue
            trade = self._trade(product, row, ts_recv_ns)
            if isinstance(trade, str):
                acts.append(drop(trade, f"{product.product_id} refilled trade"))
            else:
                found.add(row.trade_id)
                acts.append(Publish(trade))
        if len(found) < last - first + 1:
            acts.append(drop("refill_incomplete", f"{product.product_id} {len(found)} of {last - first + 1}"))
        acts.extend(self._evidence.trust("SpotTrade", product.asset, "refilled"))
        return acts

    def on_timer(self, ts_ns: int) -> Sequence[Act]:
        """Snapshots that did not come; resyncs and refills that had to wait."""
        if not self._is_open:
            return ()
        acts: list[Act] = []
        for product in self._products.values():
            if product.missing is not None:
                acts.extend(self._fetch_missing(product, ts_ns))
            if product.needs_resync:
                acts.extend(self._resync(product, ts_ns))
            if product.waiting_since_ns is not None and ts_ns - product.waiting_since_ns >= SNAPSHOT_TIMEOUT_NS:
                product.waiting_since_ns = None
                if product.published_ns == 0 and not product.had_book and product.ticker_sequence:
                    continue  # a venue without level 2: its ticker serves
                acts.append(Reconnect("no_snapshot"))
        return acts

    def on_close(self, ts_ns: int) -> Sequence[Act]:
        """Nothing learned on this socket is fresh any more."""
        self._is_open = False
        self._evidence.forget()
        for product in self._products.values():
            product.restart(ts_ns)
            product.waiting_since_ns = None
        return ()


def _request(op: str, product: _Product, channels: list[str]) -> Send:
    body = {"type": op, "product_ids": [product.product_id], "channels": channels}
    return Send(msgspec.json.encode(body).decode())


def _spot_quote(asset: str, top: tuple[float, float, float, float], ts_event_ns: int, ts_recv_ns: int) -> SpotQuote:
    bid, bid_size, ask, ask_size = top
    return SpotQuote(
        ts_event_ns=ts_event_ns,
        ts_recv_ns=ts_recv_ns,
        asset=asset,
        venue=VENUE,
        bid=bid,
        bid_size=bid_size,
        ask=ask,
        ask_size=ask_size,
    )

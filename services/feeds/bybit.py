"""Bybit v5 public spot: best bid and ask (`orderbook.1`) and public trades.

Source: bybit-exchange/docs, v5 websocket public (orderbook, trade, connect). What the docs and the recordings say:

- `orderbook.1` is snapshots only today and repeats the same `u` every 3 s; in 2023 it sent changes too. Both are read.
- Any later snapshot replaces the book, also `u` = 1 after a restart of their service. A change must be `u` + 1;
  anything further is a lost frame, and the topic is subscribed afresh.
- In `publicTrade`, `S` is the taker's side. Block (`BT`) and RPI trades never touched the public book.
- A `pong` proves the socket, not the stream: only topic frames are evidence of freshness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from services.feeds.parsing import (
    DECODE_ERRORS,
    NS_PER_MS,
    NS_PER_S,
    Evidence,
    PriceGuard,
    Punctuality,
    RecentIds,
    drop,
    is_clock_plausible,
    parse_decimal,
    parse_positive,
    received_by,
)
from services.feeds.protocol import Act, Publish, Reconnect, Send
from shared.messages import SpotQuote, SpotTrade

VENUE = "bybit"
PING_INTERVAL_NS = 20 * NS_PER_S
ANSWER_TIMEOUT_NS = 10 * NS_PER_S  # for an acknowledgement, and for the snapshot after a subscription
RESYNC_INTERVAL_NS = 2 * NS_PER_S
REFUSED_RETRY_NS = 60 * NS_PER_S
WIDEST_SPREAD = 0.2  # of the bid; wider is an absurd frame, not a market
MAX_ID_CHARS = 64

Level = tuple[float, float]  # price, size
Levels = list[tuple[str, str]]


class _Frame(msgspec.Struct):
    topic: str = ""
    kind: str = msgspec.field(name="type", default="")
    ts: int = 0
    cts: int = 0
    body: msgspec.Raw = msgspec.field(name="data", default_factory=msgspec.Raw)
    op: str = ""
    success: bool = True
    ret_msg: str = ""
    req_id: str = ""


class _BookBody(msgspec.Struct):
    symbol: str = msgspec.field(name="s")
    bids: Levels = msgspec.field(name="b")
    asks: Levels = msgspec.field(name="a")
    update_id: int = msgspec.field(name="u")


class _TradeBody(msgspec.Struct):
    ts_ms: int = msgspec.field(name="T")
    symbol: str = msgspec.field(name="s")
    taker_side: str = msgspec.field(name="S")
    size: str = msgspec.field(name="v")
    price: str = msgspec.field(name="p")
    trade_id: str = msgspec.field(name="i")
    block: bool = msgspec.field(name="BT", default=False)
    rpi: bool = msgspec.field(name="RPI", default=False)


_frames = msgspec.json.Decoder(_Frame)
_books = msgspec.json.Decoder(_BookBody)
_trades = msgspec.json.Decoder(list[_TradeBody])


@dataclass(slots=True)
class _Top:
    """The best level of one symbol, as far as it is known."""

    asset: str
    symbol: str
    bid: Level | None = None
    ask: Level | None = None
    update_id: int | None = None  # None: waiting for a snapshot
    ts_ms: int = 0
    waiting_since_ns: int | None = None
    resynced_ns: int | None = None
    needs_resync: bool = False
    retry_ns: int | None = None
    acknowledged: bool = False
    punctuality: Punctuality = field(default_factory=Punctuality)
    guard: PriceGuard = field(default_factory=PriceGuard)
    trade_guard: PriceGuard = field(default_factory=PriceGuard)
    trade_ids: RecentIds = field(default_factory=RecentIds)


class BybitProtocol:
    """One socket of Bybit spot for these assets, each against USDT."""

    venue = VENUE

    def __init__(self, assets: Sequence[str]) -> None:
        self._tops = {f"{asset}USDT": _Top(asset, f"{asset}USDT") for asset in assets}
        self._evidence = Evidence()
        self._pinged_ns = 0
        self._requests = 0
        self._is_open = False

    def on_open(self, ts_ns: int) -> Sequence[Act]:
        """Subscribe, one request an asset: one bad topic fails its whole request."""
        self._is_open = True
        self._pinged_ns = ts_ns
        acts: list[Act] = []
        for top in self._tops.values():
            top.bid = top.ask = top.update_id = None
            top.ts_ms = 0
            top.acknowledged = top.needs_resync = False
            top.waiting_since_ns = ts_ns
            top.resynced_ns = top.retry_ns = None
            top.punctuality.forget()
            acts.append(self._subscribe(top, "sub"))
        return acts

    def _subscribe(self, top: _Top, purpose: str) -> Send:
        topics = [f"orderbook.1.{top.symbol}"]
        if purpose == "sub":
            topics.append(f"publicTrade.{top.symbol}")
        return self._request("subscribe", f"{purpose}-{top.symbol}", topics)

    def _request(self, op: str, request: str, topics: list[str]) -> Send:
        self._requests += 1
        body = {"req_id": f"{request}-{self._requests}", "op": op, "args": topics}
        return Send(msgspec.json.encode(body).decode())

    def on_frame(self, frame: str | bytes, ts_recv_ns: int) -> Sequence[Act]:
        """One frame. Never raises."""
        try:
            parsed = _frames.decode(frame)
            topic = parsed.topic
            if topic.startswith("orderbook.1."):
                return self._on_book(topic[12:], parsed, _books.decode(parsed.body), ts_recv_ns)
            if topic.startswith("publicTrade."):
                return self._on_trades(topic[12:], _trades.decode(parsed.body), ts_recv_ns)
        except DECODE_ERRORS as error:
            return (drop("malformed", error),)
        if topic:
            return (drop("unknown_topic", topic),)
        return self._on_answer(parsed, ts_recv_ns)

    def _on_book(self, symbol: str, frame: _Frame, body: _BookBody, ts_recv_ns: int) -> Sequence[Act]:
        top = self._tops.get(symbol)
        if top is None:
            return (drop("unknown_symbol", symbol),)
        if body.symbol != symbol:
            return (drop("wrong_symbol", f"{body.symbol} in the topic of {symbol}"),)
        if not is_clock_plausible(frame.ts * NS_PER_MS, ts_recv_ns):
            return (
                drop("clock", f"{symbol} stamped {frame.ts} ms"),
                *self._evidence.doubt("SpotQuote", top.asset, "STALE", "clock"),
            )
        match frame.kind:
            case "snapshot":
                refusal = self._replace(top, frame, body)
            case "delta":
                refusal = self._change(top, body)
            case other:
                return (drop("unknown_type", other),)
        if refusal is not None:
            return self._refuse(top, *refusal, ts_recv_ns)
        return self._quote(top, frame, ts_recv_ns)

    def _replace(self, top: _Top, frame: _Frame, body: _BookBody) -> tuple[str, str] | None:
        if top.update_id is not None and 1 < body.update_id < top.update_id and frame.ts < top.ts_ms:
            return "out_of_order", f"{top.symbol} u {body.update_id} after {top.update_id}"
        bid, ask = _changed(None, body.bids, is_bid=True), _changed(None, body.asks, is_bid=False)
        if bid is _UNREADABLE or ask is _UNREADABLE:
            return "malformed", f"{top.symbol} snapshot {body.bids} {body.asks}"
        top.bid, top.ask = bid, ask
        top.update_id, top.ts_ms, top.waiting_since_ns = body.update_id, frame.ts, None
        top.needs_resync = False
        return None

    def _change(self, top: _Top, body: _BookBody) -> tuple[str, str] | None:
        if top.update_id is None:
            return "no_snapshot", f"{top.symbol} change before a snapshot"
        if body.update_id <= top.update_id:
            return "duplicate", f"{top.symbol} u {body.update_id} after {top.update_id}"
        if body.update_id != top.update_id + 1:
            return "gap", f"{top.symbol} u {body.update_id} after {top.update_id}"
        bid = _changed(top.bid, body.bids, is_bid=True)
        ask = _changed(top.ask, body.asks, is_bid=False)
        if bid is _UNREADABLE or ask is _UNREADABLE:
            return "malformed_change", f"{top.symbol} change {body.bids} {body.asks}"
        top.bid, top.ask, top.update_id = bid, ask, body.update_id
        return None

    def _quote(self, top: _Top, frame: _Frame, ts_recv_ns: int) -> Sequence[Act]:
        top.ts_ms = frame.ts
        if top.bid is None or top.ask is None:
            return self._evidence.doubt("SpotQuote", top.asset, "STALE", "one_sided")
        (bid, bid_size), (ask, ask_size) = top.bid, top.ask
        if bid >= ask:
            return self._refuse(top, "crossed", f"{top.symbol} {bid} / {ask}", ts_recv_ns)
        if ask - bid > WIDEST_SPREAD * bid or not top.guard.accept(0.5 * (bid + ask)):
            return (drop("absurd", f"{top.symbol} {bid} / {ask}"),)
        event_ms = frame.cts if frame.cts and abs(frame.cts - frame.ts) < 60_000 else frame.ts
        ts_event_ns, ahead = received_by(event_ms * NS_PER_MS, ts_recv_ns, top.symbol)
        quote = SpotQuote(
            ts_event_ns=ts_event_ns,
            ts_recv_ns=ts_recv_ns,
            asset=top.asset,
            venue=VENUE,
            bid=bid,
            bid_size=bid_size,
            ask=ask,
            ask_size=ask_size,
        )
        doubt = top.punctuality.observe(frame.ts * NS_PER_MS, ts_recv_ns)
        if doubt is not None:
            return (*ahead, Publish(quote), *self._evidence.doubt("SpotQuote", top.asset, "STALE", doubt))
        return (*ahead, Publish(quote), *self._evidence.trust("SpotQuote", top.asset))

    def _refuse(self, top: _Top, reason: str, detail: str, ts_recv_ns: int) -> Sequence[Act]:
        dropped = drop(reason, detail)
        if reason not in ("gap", "crossed", "malformed_change"):
            return (dropped,)
        top.update_id = top.bid = top.ask = None
        top.needs_resync = True
        return (
            dropped,
            *self._evidence.doubt("SpotQuote", top.asset, "GAP", reason),
            *self._resync(top, ts_recv_ns),
        )

    def _resync(self, top: _Top, ts_ns: int) -> Sequence[Act]:
        """Ask for the book again, but not too often: a resync that must wait is made by the timer."""
        if top.resynced_ns is not None and ts_ns - top.resynced_ns < RESYNC_INTERVAL_NS:
            return ()
        top.needs_resync = False
        top.resynced_ns = top.waiting_since_ns = ts_ns
        topics = [f"orderbook.1.{top.symbol}"]
        return (
            self._request("unsubscribe", f"unsub-{top.symbol}", topics),
            self._request("subscribe", f"resync-{top.symbol}", topics),
        )

    def _on_trades(self, symbol: str, trades: list[_TradeBody], ts_recv_ns: int) -> Sequence[Act]:
        top = self._tops.get(symbol)
        if top is None:
            return (drop("unknown_symbol", symbol),)
        acts: list[Act] = []
        for trade in trades:
            refusal = _refusal_of(trade, top, ts_recv_ns)
            if refusal is not None:
                acts.append(drop(refusal, trade))
                continue
            price, size = parse_positive(trade.price), parse_positive(trade.size)
            if price is None or size is None or not top.trade_guard.accept(price):
                acts.append(drop("absurd", trade))
                continue
            if not top.trade_ids.add(trade.trade_id):
                acts.append(drop("duplicate", trade))
                continue
            ts_event_ns, ahead = received_by(trade.ts_ms * NS_PER_MS, ts_recv_ns, f"{symbol} trade")
            acts.extend(ahead)
            acts.append(
                Publish(
                    SpotTrade(
                        ts_event_ns=ts_event_ns,
                        ts_recv_ns=ts_recv_ns,
                        asset=top.asset,
                        venue=VENUE,
                        price=price,
                        size=size,
                        aggressor="buy" if trade.taker_side == "Buy" else "sell",
                        trade_id=trade.trade_id,
                    )
                )
            )
        return acts

    def _on_answer(self, answer: _Frame, ts_ns: int) -> Sequence[Act]:
        if answer.op not in ("subscribe", "unsubscribe"):
            known = answer.op in ("ping", "pong") or answer.ret_msg == "pong"
            return () if known else (drop("unknown_frame", answer),)
        top = next((each for each in self._tops.values() if each.symbol in answer.req_id.split("-")), None)
        if top is None:
            top = next((each for each in self._tops.values() if each.symbol in answer.ret_msg), None)
        if answer.success or "already subscribed" in answer.ret_msg:
            if top is not None and answer.op == "subscribe":
                top.acknowledged = True
            return ()
        dropped = drop("subscribe_refused", f"{answer.req_id} {answer.ret_msg}")
        if top is None or answer.op == "unsubscribe":
            return (dropped,)
        top.acknowledged = True
        top.waiting_since_ns = None
        top.retry_ns = ts_ns + REFUSED_RETRY_NS
        return (
            dropped,
            *self._evidence.doubt("SpotQuote", top.asset, "DOWN", "subscribe_refused"),
            *self._evidence.doubt("SpotTrade", top.asset, "DOWN", "subscribe_refused"),
        )

    def on_response(self, request: str, status: int, body: bytes, ts_recv_ns: int) -> Sequence[Act]:  # noqa: ARG002
        """This venue is never asked by REST."""
        return ()

    def on_timer(self, ts_ns: int) -> Sequence[Act]:
        """Pings; what was not acknowledged or not followed by a snapshot in time."""
        if not self._is_open:
            return ()
        acts: list[Act] = []
        if ts_ns - self._pinged_ns >= PING_INTERVAL_NS:
            self._pinged_ns = ts_ns
            self._requests += 1
            acts.append(Send(f'{{"req_id":"ping-{self._requests}","op":"ping"}}'))
        for top in self._tops.values():
            if top.needs_resync:
                acts.extend(self._resync(top, ts_ns))
            if top.retry_ns is not None and ts_ns >= top.retry_ns:
                top.retry_ns = None
                top.waiting_since_ns = ts_ns
                self._evidence.trust("SpotTrade", top.asset)
                acts.extend(self._evidence.doubt("SpotQuote", top.asset, "DOWN", "subscribing again"))
                acts.append(self._subscribe(top, "sub"))
            elif top.waiting_since_ns is not None and ts_ns - top.waiting_since_ns >= ANSWER_TIMEOUT_NS:
                top.waiting_since_ns = ts_ns
                acts.append(Reconnect("no_snapshot" if top.acknowledged else "no_acknowledgement"))
                break
        return acts

    def on_close(self, ts_ns: int) -> Sequence[Act]:  # noqa: ARG002
        """Nothing learned on this socket is fresh any more."""
        self._is_open = False
        self._evidence.forget()
        for top in self._tops.values():
            top.bid = top.ask = top.update_id = top.waiting_since_ns = top.retry_ns = None
        return ()


_UNREADABLE = (-1.0, -1.0)


def _changed(standing: Level | None, levels: Levels, *, is_bid: bool) -> Level | None:
    """The best level after these absolute sizes; `_UNREADABLE` when one of them is not a level."""
    found: Level | None = None
    for price_text, size_text in levels:
        price, size = parse_positive(price_text), parse_decimal(size_text)
        if price is None or size is None:
            return _UNREADABLE
        if size == 0.0:
            if standing is not None and standing[0] == price:
                standing = None
        elif found is None or (price > found[0] if is_bid else price < found[0]):
            found = (price, size)
    return standing if found is None else found


def _refusal_of(trade: _TradeBody, top: _Top, ts_recv_ns: int) -> str | None:
    """Why this trade is no signal; None when it is one."""
    if trade.symbol != top.symbol:
        return "wrong_symbol"
    if trade.block:
        return "block_trade"
    if trade.rpi:
        return "rpi_trade"
    if trade.taker_side not in ("Buy", "Sell"):
        return "unknown_side"
    if not is_clock_plausible(trade.ts_ms * NS_PER_MS, ts_recv_ns):
        return "clock"
    if not 0 < len(trade.trade_id) <= MAX_ID_CHARS:
        return "malformed"
    return None

"""Turns the two recorded 5-minute windows with everything at once into frames, as the venues send them.

The recording holds values, not frames, and no book before the last 90 s. So here:
- Chainlink spot and TWAP values become frames of the older price stream, at their recorded receipt times;
- the Binance relay (USDT, one value a second) becomes Bybit level-1 frames one cent wide: the only exchange there is;
- prints become trade frames; the taker's side is not recorded: a print above the last one is a buy, else a sell;
- from +210 s the book is the recorded best bid and ask (one level, size assumed); before that, one tick around the
  last print. Enough to drive the engine through every phase; nothing to judge it by.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from backtest.replay import Summary, run_records
from services.feeds.recording_io import OPEN, RESPONSE, pack_response
from shared.config import load_config
from shared.market import Series
from shared.segments_io import Record

RECORDING = Path(__file__).parents[3] / "shared" / "data" / "arnavbhatia1_btc5m_full" / "parity_windows.json.gz"
SIZE = "250"
PERIOD_S = 300
PRESET = "aggressive"
SERIES = [Series.parse("btc-5m")]


@cache
def load_windows() -> list[dict[str, Any]]:
    """The recorded windows."""
    with gzip.open(RECORDING) as file:
        windows: list[dict[str, Any]] = json.load(file)["windows"]
    return windows


def records_of(window: dict[str, Any]) -> Iterator[Record]:
    """All frames of a window, in order of receipt."""
    return iter(sorted(_records(window), key=lambda record: record.ts_recv_ns))


@cache
def played(number: int) -> Summary:
    """What the engine makes of a window under the aggressive preset."""
    summary, steps = run_records(list(records_of(load_windows()[number])), config=load_config(PRESET), series=SERIES)
    for _ in steps:
        pass
    return summary


def _ns(second: float) -> int:
    return round(second * 1e3) * 1_000_000


def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _records(window: dict[str, Any]) -> Iterator[Record]:
    start, events = window["window_ts"], window["events"]
    begin_ns = _ns(events[0][0]) - 1_000_000
    for venue in ("chainlink", "bybit", "polymarket"):
        yield Record(begin_ns, venue + OPEN, b"")
    slug = f"btc-updown-5m-{start}"
    for request, body in (
        (f"event:{slug}", event_of(window, resolved=False)),
        (f"clob:{condition_of(window)}", clob_market_of(window)),
    ):
        yield Record(
            begin_ns + 500_000_000, "polymarket" + RESPONSE, pack_response(request, 200, json.dumps(body).encode())
        )
    yield from _oracle(events)
    yield from _exchange(events)
    yield from _market(window)
    end_ns = _ns(start + PERIOD_S + 75)
    resolved = json.dumps(event_of(window, resolved=True)).encode()
    yield Record(end_ns, "polymarket" + RESPONSE, pack_response(f"event:{slug}", 200, resolved))
    winner = window["token_up"] if window["label"]["resolved_up"] else window["token_down"]
    yield Record(end_ns + 1, "polymarket", json.dumps(_resolution(window, winner, start + PERIOD_S + 75)))


def _oracle(events: list[list[Any]]) -> Iterator[Record]:
    topics = {"l": "crypto_prices_chainlink", "t": "crypto_prices_twap_sixty"}
    for received_s, kind, stamp, *rest in events:
        if kind in topics:
            price = rest[0]
            payload = {
                "full_accuracy_value": str(round(price * 10**9) * 10**9),
                "symbol": "btc/usd",
                "timestamp": round(stamp * 1000),
                "value": price,
            }
            if kind == "t":
                payload["window_s"] = 60
                payload["full_accuracy_value"] = f"{price:.13f}".replace(".", "") + "00000"
            frame = {
                "connection_id": "x",
                "payload": payload,
                "timestamp": round(received_s * 1000),
                "topic": topics[kind],
                "type": "update",
            }
            yield Record(_ns(received_s), "chainlink", json.dumps(frame))


def _exchange(events: list[list[Any]]) -> Iterator[Record]:
    update = 0
    for received_s, kind, _, *rest in events:
        if kind == "s":
            update += 1
            ms = round(received_s * 1000)
            frame = {
                "topic": "orderbook.1.BTCUSDT",
                "ts": ms,
                "type": "snapshot",
                "data": {
                    "s": "BTCUSDT",
                    "b": [[f"{rest[0] - 0.01:.2f}", "1"]],
                    "a": [[f"{rest[0]:.2f}", "1"]],
                    "u": update,
                    "seq": update,
                },
                "cts": ms,
            }
            yield Record(_ns(received_s), "bybit", json.dumps(frame))


def _market(window: dict[str, Any]) -> Iterator[Record]:
    up, last, side = window["token_up"], None, "BUY"
    top: tuple[float, float] | None = None
    for received_s, kind, token, *rest in window["events"]:
        if kind == "p":
            price = float(rest[0]) if token == up else 1 - float(rest[0])
            if last is not None and price != last:
                side = "BUY" if price > last else "SELL"
            last = price
            taker_side = side if token == up else ("SELL" if side == "BUY" else "BUY")
            if received_s < window["window_ts"] + 210:
                moved = (round(max(price - 0.01, 0.01), 2), round(min(price + 0.01, 0.99), 2))
                if moved != top:
                    top = moved
                    yield Record(_ns(received_s), "polymarket", json.dumps(_books(window, top, received_s)))
            frame = {
                "market": condition_of(window),
                "asset_id": token,
                "price": rest[0],
                "size": rest[1],
                "fee_rate_bps": "0",
                "side": taker_side,
                "timestamp": str(round(received_s * 1000)),
                "event_type": "last_trade_price",
                "transaction_hash": f"0x{len(rest[1])}{received_s}",
            }
            yield Record(_ns(received_s) + 1, "polymarket", json.dumps(frame))
        elif kind == "b" and token == up:
            bid, ask = float(rest[0] or 0), float(rest[1] or 1)
            if (bid, ask) != top:
                top = (bid, ask)
                yield Record(_ns(received_s), "polymarket", json.dumps(_books(window, top, received_s)))


def _books(window: dict[str, Any], top: tuple[float, float], at_s: float) -> list[dict[str, Any]]:
    bid, ask = top
    frames = []
    for token, best_bid, best_ask in ((window["token_up"], bid, ask), (window["token_down"], 1 - ask, 1 - bid)):
        frames.append(
            {
                "market": condition_of(window),
                "asset_id": token,
                "timestamp": str(round(at_s * 1000)),
                "hash": "",
                "bids": [{"price": f"{best_bid:.2f}", "size": SIZE}] if best_bid > 0 else [],
                "asks": [{"price": f"{best_ask:.2f}", "size": SIZE}] if best_ask < 1 else [],
                "tick_size": "0.01",
                "event_type": "book",
                "last_trade_price": "",
            }
        )
    return frames


def _resolution(window: dict[str, Any], winner: str, at_s: int) -> dict[str, Any]:
    return {
        "id": "1",
        "market": condition_of(window),
        "assets_ids": [window["token_up"], window["token_down"]],
        "winning_asset_id": winner,
        "winning_outcome": "Up" if winner == window["token_up"] else "Down",
        "event_message": None,
        "timestamp": str(at_s * 1000),
        "event_type": "market_resolved",
        "tags": [],
    }


def condition_of(window: dict[str, Any]) -> str:
    """A condition id: the recording has none."""
    return f"0x{window['window_ts']:064x}"


def event_of(window: dict[str, Any], *, resolved: bool) -> dict[str, Any]:
    """Gamma's event of the window."""
    start = window["window_ts"]
    slug, label = f"btc-updown-5m-{start}", window["label"]
    prices = ["1", "0"] if label["resolved_up"] else ["0", "1"]
    market = {
        "slug": slug,
        "conditionId": condition_of(window),
        "resolutionSource": "https://data.chain.link/streams/btc-usd-twap-60s-streams",
        "endDate": _iso(start + PERIOD_S),
        "outcomes": '["Up", "Down"]',
        "outcomePrices": json.dumps(prices if resolved else ["0.5", "0.5"]),
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "clobTokenIds": json.dumps([window["token_up"], window["token_down"]]),
        "acceptingOrders": not resolved,
        "closed": resolved,
        "negRisk": False,
        "eventStartTime": _iso(start),
        "feesEnabled": True,
        "feeType": "crypto_fees_v2",
        "feeSchedule": {"exponent": 1, "rate": 0.07, "takerOnly": True, "rebateRate": 0.2},
        "cryptoMarketConfig": {
            "id": "btc-5m-twap-60",
            "asset": "btc",
            "duration": "5m",
            "twapEnabled": True,
            "twapLookbackSeconds": 60,
        },
        "version": "v1",
    }
    event: dict[str, Any] = {
        "slug": slug,
        "seriesSlug": "btc-up-or-down-5m",
        "startTime": _iso(start),
        "endDate": _iso(start + PERIOD_S),
        "closed": resolved,
        "markets": [market],
    }
    if resolved:
        event["eventMetadata"] = {"finalPrice": label["final_price"], "priceToBeat": label["price_to_beat"]}
    return event


def clob_market_of(window: dict[str, Any]) -> dict[str, Any]:
    """The order book's own view of the window."""
    return {
        "t": [{"t": window["token_up"], "o": "Up"}, {"t": window["token_down"], "o": "Down"}],
        "c": condition_of(window),
        "mos": 5,
        "mts": 0.01,
        "ao": True,
        "itode": True,
        "fd": {"r": 0.07, "e": 1, "to": True},
        "v": "v1",
    }

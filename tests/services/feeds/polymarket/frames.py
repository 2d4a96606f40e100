"""Hand-made frames and answers of the venue's shapes, for machines without the recordings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

START_S = 1_791_241_200
SLUG = f"btc-updown-15m-{START_S}"
NS = 1_000_000_000
CONDITION = "0x" + "c1" * 32
CALL = "111111111111111111111111111111111111111111111111111111111111111111111111111"
PUT = "222222222222222222222222222222222222222222222222222222222222222222222222222"
TWAP_SOURCE = "https://data.chain.link/streams/btc-usd-twap-60s-streams"
SPOT_SOURCE = "https://data.chain.link/streams/btc-usd"

BIDS = {"0.48": "200", "0.49": "100.5"}
ASKS = {"0.52": "80", "0.51": "120.25"}


def ms(second: float = START_S + 60) -> str:
    """A venue timestamp."""
    return str(int(second * 1000))


def mirror(levels: Mapping[str, str]) -> dict[str, str]:
    """The sister token's levels: $1 minus the price, the same size."""
    return {f"{(10_000 - round(float(price) * 10_000)) / 10_000:g}": size for price, size in levels.items()}


def levels(side: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"price": price, "size": size} for price, size in side.items()]


def book(
    token: str = CALL,
    bids: Mapping[str, str] = BIDS,
    asks: Mapping[str, str] = ASKS,
    *,
    at: str = ms(),
    market: str = CONDITION,
    **more: Any,
) -> dict[str, Any]:
    """A whole book as the channel sends it: worst level first."""
    frame = {
        "market": market,
        "asset_id": token,
        "timestamp": at,
        "hash": "",
        "bids": levels(bids),
        "asks": levels(asks),
    }
    return frame | {"tick_size": "0.01", "event_type": "book"} | more


def both_books(
    bids: Mapping[str, str] = BIDS, asks: Mapping[str, str] = ASKS, *, call: str = CALL, put: str = PUT, **more: Any
) -> list[dict[str, Any]]:
    """The first frame on a subscription: an array of both tokens' books."""
    return [book(call, bids, asks, **more), book(put, mirror(asks), mirror(bids), **more)]


def change(
    price: str = "0.49",
    size: str = "75",
    side: str = "BUY",
    *,
    best: tuple[str, str] = ("0.49", "0.51"),
    at: str = ms(START_S + 61),
    market: str = CONDITION,
    call: str = CALL,
    put: str = PUT,
) -> dict[str, Any]:
    """One level, both legs, with each leg's best prices after it."""
    other = "SELL" if side == "BUY" else "BUY"
    legs = [
        leg(call, price, size, side, best),
        leg(put, _one_minus(price), size, other, (_one_minus(best[1]), _one_minus(best[0]))),
    ]
    return {"market": market, "price_changes": legs, "timestamp": at, "event_type": "price_change"}


def leg(token: str, price: str, size: str, side: str, best: tuple[str, str]) -> dict[str, str]:
    return {
        "asset_id": token,
        "price": price,
        "size": size,
        "side": side,
        "hash": "",
        "best_bid": best[0],
        "best_ask": best[1],
    }


def trade(token: str = CALL, price: str = "0.51", size: str = "5", side: str = "BUY", **more: Any) -> dict[str, Any]:
    frame = {"market": CONDITION, "asset_id": token, "price": price, "size": size, "fee_rate_bps": "0", "side": side}
    return frame | {"timestamp": ms(START_S + 62), "event_type": "last_trade_price", "transaction_hash": "0xaa"} | more


def tick_change(token: str = CALL, old: str = "0.01", new: str = "0.001") -> dict[str, Any]:
    frame = {"market": CONDITION, "asset_id": token, "old_tick_size": old, "new_tick_size": new}
    return frame | {"timestamp": ms(START_S + 63), "event_type": "tick_size_change"}


def resolved(winner: str = CALL, *, at: str = ms(START_S + 990), market: str = CONDITION) -> dict[str, Any]:
    frame = {"market": market, "assets_ids": [CALL, PUT], "winning_asset_id": winner, "winning_outcome": "Up"}
    return frame | {"timestamp": at, "event_type": "market_resolved", "tags": ["Crypto"]}


def rest_book(token: str = CALL, **more: Any) -> dict[str, Any]:
    frame = book(token, **more)
    del frame["event_type"]
    return frame | {"min_order_size": "5", "neg_risk": False, "last_trade_price": "0.5"}


def gamma_market(start_s: int = START_S, length: str = "15m", length_s: int = 900, **more: Any) -> dict[str, Any]:
    """A live 15-minute market inside its window."""
    market = {
        "slug": f"btc-updown-{length}-{start_s}",
        "conditionId": condition(start_s),
        "resolutionSource": TWAP_SOURCE,
        "eventStartTime": iso(start_s),
        "endDate": iso(start_s + length_s),
        "outcomes": '["Up", "Down"]',
        "outcomePrices": '["0.5", "0.5"]',
        "clobTokenIds": json.dumps(list(tokens(start_s))),
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "rewardsMinSize": 50,
        "rewardsMaxSpread": 4.5,
        "acceptingOrders": True,
        "closed": False,
        "negRisk": False,
        "feesEnabled": True,
        "feeSchedule": {"exponent": 1, "rate": 0.07, "takerOnly": True, "rebateRate": 0.2},
        "cryptoMarketConfig": {"asset": "btc", "duration": length, "twapEnabled": True, "twapLookbackSeconds": 60},
        "version": "v1",
    }
    return market | more


def gamma_event(start_s: int = START_S, *, metadata: Mapping[str, float] | None = None, **more: Any) -> dict[str, Any]:
    market = gamma_market(start_s, **more)
    event = {"slug": market["slug"], "seriesSlug": "btc-up-or-down-15m", "markets": [market]}
    return event if metadata is None else event | {"eventMetadata": dict(metadata)}


def clob_market(start_s: int = START_S, **more: Any) -> dict[str, Any]:
    call, put = tokens(start_s)
    market = {
        "c": condition(start_s),
        "t": [{"t": call, "o": "Up"}, {"t": put, "o": "Down"}],
        "mos": 5,
        "mts": 0.01,
        "ao": True,
        "itode": True,
        "fd": {"r": 0.07, "e": 1, "to": True},
        "v": "v1",
    }
    return market | more


def condition(start_s: int = START_S) -> str:
    return CONDITION if start_s == START_S else f"0x{start_s:064x}"


def tokens(start_s: int = START_S) -> tuple[str, str]:
    return (CALL, PUT) if start_s == START_S else (f"{start_s}1", f"{start_s}2")


def iso(second: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def text(frame: Mapping[str, Any] | Sequence[Any]) -> str:
    return json.dumps(frame)


def body(answer: object) -> bytes:
    return json.dumps(answer).encode()


def _one_minus(price: str) -> str:
    return f"{(10_000 - round(float(price) * 10_000)) / 10_000:g}"

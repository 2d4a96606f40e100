"""Polymarket CLOB REST: market parameters and books."""

from __future__ import annotations

import json
from typing import Any

from services.simulator.outcome_book import price_text
from services.simulator.period import Period
from services.simulator.wire import iso

_LABELS = ("Up", "Down")


def market_json(period: Period) -> dict[str, Any]:
    """`/clob-markets/{conditionId}` with its short keys."""
    clears = {"cbos": True} if period.version == "v2" else {}
    return {
        "r": {"mi": 50, "ma": 4.5, "moas": 30},
        "t": [{"t": token, "o": label} for token, label in zip(period.tokens, _LABELS, strict=True)],
        "c": period.condition_id,
        "mos": 5,
        "mts": period.book.tick_mills / 1000.0,
        "mbf": 1000,
        "tbf": 1000,
        "ao": not period.resolved,
        **clears,
        "aot": iso(period.created_ms + 10_000),
        "itode": True,
        "fd": {"r": 0.07, "e": 1, "to": True},
        "v": period.version,
    }


def book_text(period: Period, outcome_index: int, *, ghost: bool = False) -> str:
    """`/book`: worst to best. A ghost book (fault F26, py-clob-client#180) has 0.01 and 0.99 and nothing between."""
    book = period.book
    bids, asks = book.side_texts(outcome_index)
    digest = period.book_hash(outcome_index, book.last_change_ms)
    if ghost:
        bids, asks = '[{"price":"0.01","size":"12330"}]', '[{"price":"0.99","size":"12330"}]'
    tail = ',"version":"v2"' if period.version == "v2" else ""
    return (
        f'{{"market":"{period.condition_id}","asset_id":"{period.tokens[outcome_index]}",'
        f'"timestamp":"{book.last_change_ms}","hash":"{digest}","bids":{bids},"asks":{asks},"min_order_size":"5",'
        f'"tick_size":"{price_text(book.tick_mills)}","neg_risk":false,'
        f'"last_trade_price":"{book.last_trade_texts[outcome_index]}"{tail}}}'
    )


def requested_tokens(body: str) -> list[str] | None:
    """Token ids of a `POST /books` body; None when it is not a list of objects."""
    try:
        rows = json.loads(body)
    except ValueError:
        return None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    return [str(row.get("token_id", "")) for row in rows]

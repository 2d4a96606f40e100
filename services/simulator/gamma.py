"""Polymarket Gamma REST: markets and events as the venue shapes them, with lists as JSON inside strings.

`eventMetadata` is absent while a period runs and appears about a minute after its end, with both values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.simulator import params
from services.simulator.market_channel import describe, resolution_source
from services.simulator.outcome_book import MICRO
from services.simulator.period import Period, gamma_series_id, gamma_series_slug
from services.simulator.wire import iso, parse_iso_s, trim
from services.simulator.world import World

_TAG_SLUGS = ("up-or-down", "crypto", "recurring", "crypto-prices")
_TAG_ID = "102127"


def _number(mills: int) -> float | int:
    return mills // 1000 if mills % 1000 == 0 else mills / 1000.0


def _outcome_prices(period: Period) -> list[str]:
    if period.resolved:
        return ["1", "0"] if period.up_won else ["0", "1"]
    mid = period.book.mid()
    up = 0.5 if mid is None else mid
    return [trim(f"{up:.4f}"), trim(f"{1.0 - up:.4f}")]


def _versioned_tokens(period: Period) -> dict[str, Any]:
    if period.version == "v2":
        return {"clobTokenIds": None, "positionIds": list(period.tokens)}
    return {"clobTokenIds": json.dumps(list(period.tokens))}


def _closing(period: Period) -> dict[str, Any]:
    """Fields that only a resolved market has."""
    if not period.resolved:
        return {}
    closed = iso(period.resolve_ms)
    return {
        "closedTime": f"{closed[:10]} {closed[11:19]}+00",
        "umaEndDate": closed,
        "umaResolutionStatus": "resolved",
        "automaticallyResolved": True,
    }


def market_json(period: Period, now_ms: int, *, schema: bool = True) -> dict[str, Any]:
    """One market, keys in the venue's order."""
    book = period.book
    best_bid, best_ask = book.best_bid() or 0, book.best_ask() or 1000
    last = float(book.last_trade_texts[0]) if book.last_trade_texts[0] else 0.5
    volume = period.micro_usdc_traded / MICRO
    config = f"{period.series.name}-twap-{params.TWAP_SECONDS}"
    icon = f"https://polymarket-upload.s3.us-east-2.amazonaws.com/{period.series.asset}+fullsize.png"
    return {
        **({"$schema": "https://gamma-api.polymarket.com/schemas/Market.json"} if schema else {}),
        "id": period.market_id,
        "question": period.question,
        "conditionId": period.condition_id,
        "slug": period.slug,
        "resolutionSource": resolution_source(period),
        "endDate": iso(period.end_s * 1000),
        "liquidity": "18191.2606",
        "startDate": iso(period.created_ms + 100_000, digits=6),
        "image": icon,
        "icon": icon,
        "description": describe(period),
        "outcomes": '["Up", "Down"]',
        "outcomePrices": json.dumps(_outcome_prices(period)),
        "volume": str(volume),
        "active": True,
        "closed": period.resolved,
        "marketMakerAddress": "",
        "createdAt": iso(period.created_ms, digits=6),
        "updatedAt": iso(now_ms - now_ms % 30_000, digits=6),
        **({"closedTime": _closing(period)["closedTime"]} if period.resolved else {}),
        "new": False,
        "featured": False,
        "archived": False,
        "restricted": True,
        "groupItemThreshold": "0",
        "questionID": period.question_id,
        **({"umaEndDate": _closing(period)["umaEndDate"]} if period.resolved else {}),
        "enableOrderBook": True,
        "orderPriceMinTickSize": book.tick_mills / 1000.0,
        "orderMinSize": params.MIN_ORDER_SHARES,
        **({"umaResolutionStatus": "resolved"} if period.resolved else {}),
        "volumeNum": volume,
        "liquidityNum": 18191.2606,
        "endDateIso": iso(period.end_s * 1000)[:10],
        "startDateIso": iso(period.created_ms)[:10],
        "hasReviewedDates": True,
        **_versioned_tokens(period),
        "comboStatus": "disabled",
        "liquidityClob": 18191.2606,
        "makerBaseFee": 1000,
        "takerBaseFee": 1000,
        "acceptingOrders": not period.resolved,
        "negRisk": False,
        "ready": False,
        "funded": False,
        "acceptingOrdersTimestamp": iso(period.created_ms + 10_000),
        "cyom": False,
        "competitive": 0.8990986535997662,
        "approved": True,
        "rewardsMinSize": 50,
        "rewardsMaxSpread": 4.5,
        "spread": _number(best_ask - best_bid),
        **({"automaticallyResolved": True} if period.resolved else {}),
        "oneDayPriceChange": round(last - 0.5, 3),
        "oneHourPriceChange": round(last - 0.5, 3),
        "lastTradePrice": last,
        "bestBid": _number(best_bid),
        "bestAsk": _number(best_ask),
        "automaticallyActive": True,
        "clearBookOnStart": False,
        "showGmpSeries": False,
        "showGmpOutcome": False,
        "manualActivation": False,
        "negRiskOther": False,
        "umaResolutionStatuses": "[]",
        "pendingDeployment": False,
        "deploying": False,
        "rfqEnabled": False,
        "eventStartTime": iso(period.start_s * 1000),
        "holdingRewardsEnabled": False,
        "feesEnabled": True,
        "makerRebatesFeeShareBps": 10000,
        "feeType": "crypto_fees_v2",
        "feeSchedule": {"exponent": 1, "rate": 0.07, "takerOnly": True, "rebateRate": 0.2},
        "cryptoMarketConfigId": config,
        "cryptoMarketConfig": {
            "id": config,
            "asset": period.series.asset.lower(),
            "duration": period.series.length_text,
            "twapEnabled": True,
            "twapLookbackSeconds": params.TWAP_SECONDS,
        },
        "version": period.version,
    }


def event_json(period: Period, now_ms: int) -> dict[str, Any]:
    """One event with its market; `eventMetadata` only once it is published."""
    series = period.series
    slug = gamma_series_slug(series)
    published = now_ms >= period.metadata_ms and period.final is not None and period.strike is not None
    metadata = {"eventMetadata": {"finalPrice": period.final, "priceToBeat": period.strike}} if published else {}
    closed = {"closedTime": iso(period.resolve_ms), "automaticallyResolved": True} if period.resolved else {}
    return {
        "id": period.event_id,
        "ticker": period.slug,
        "slug": period.slug,
        "title": period.question,
        "resolutionSource": resolution_source(period),
        "startDate": iso(period.created_ms + 100_000, digits=6),
        "creationDate": iso(period.created_ms + 165_000, digits=6),
        "endDate": iso(period.end_s * 1000),
        "active": True,
        "closed": period.resolved,
        "archived": False,
        "restricted": True,
        "volume": period.micro_usdc_traded / MICRO,
        "enableOrderBook": True,
        "negRisk": False,
        "markets": [market_json(period, now_ms, schema=False)],
        "series": [
            {
                "id": gamma_series_id(series),
                "ticker": slug,
                "slug": slug,
                "title": f"{series.asset} Up or Down {series.length_text}",
                "seriesType": "single",
                "recurrence": series.length_text,
                "active": True,
                "closed": False,
            }
        ],
        **closed,
        "startTime": iso(period.start_s * 1000),
        "seriesSlug": slug,
        **metadata,
        "version": period.version,
    }


def _matches(period: Period, query: Mapping[str, str], *, closed_default: str | None) -> bool:
    closed = query.get("closed", closed_default)
    tag = query.get("tag_slug")
    wanted = (
        closed is None or (closed.lower() == "true") == period.resolved,
        query.get("active", "true").lower() == "true",
        tag is None or tag in _TAG_SLUGS,
        query.get("tag_id", _TAG_ID) == _TAG_ID,
        query.get("slug", period.slug) == period.slug,
        query.get("series_id", gamma_series_id(period.series)) == gamma_series_id(period.series),
        "end_date_min" not in query or period.end_s >= parse_iso_s(query["end_date_min"]),
        "end_date_max" not in query or period.end_s <= parse_iso_s(query["end_date_max"]),
        "start_date_min" not in query or period.created_ms // 1000 >= parse_iso_s(query["start_date_min"]),
        "start_date_max" not in query or period.created_ms // 1000 <= parse_iso_s(query["start_date_max"]),
    )
    return all(wanted)


def select(
    world: World, query: Mapping[str, str], *, closed_default: str | None = None, skip: int = 0
) -> tuple[list[Period], bool]:
    """Periods a listing asks for, and whether there are more; raises ValueError for a bad date or number."""
    found = [p for p in world.periods.values() if _matches(p, query, closed_default=closed_default)]
    by_end = query.get("order", "") in ("endDate", "end_date")
    descending = query.get("ascending", "true").lower() != "true"
    found.sort(key=lambda p: (p.end_s if by_end else p.start_s, p.slug), reverse=descending)
    first = skip + int(query.get("offset", "0"))
    last = first + min(max(int(query.get("limit", "20")), 0), 500)
    return found[first:last], last < len(found)

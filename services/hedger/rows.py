"""The rows of `pnl` and `fills`: dictionaries in dollars and shares, for people and for JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.hedger.accounts import Account
from services.hedger.entries import Entry
from shared.market import NS_PER_S
from shared.messages import Position
from shared.money import from_micro


def pnl_row(account: Account, position: Position) -> dict[str, Any]:
    """One period. `total_usd` is what is certain: realized and paid rebates; rebates expected stand beside it.

    `waiting_since_ns` is its end while the period is over and its outcome is not known, None otherwise.
    """
    return {
        "market": account.market,
        "slug": account.slug,
        "outcome": account.outcome,
        "waiting_since_ns": account.end_ns if account.is_waiting(position.ts_recv_ns) else None,
        "call_shares": position.call_shares,
        "put_shares": position.put_shares,
        "realized_usd": position.realized_pnl_usd,
        "rebates_paid_usd": from_micro(account.rebates_paid_micro),
        "total_usd": from_micro(account.realized_micro + account.rebates_paid_micro),
        "unrealized_usd": position.unrealized_pnl_usd,
        "liquidation_usd": position.liquidation_pnl_usd,
        "worst_case_usd": position.worst_case_usd,
        "fees_usd": position.fees_usd,
        "rebates_expected_usd": position.rebates_usd,
        "cash_usd": from_micro(account.cash_micro),
        "fills": account.fills,
        "last_ts_ns": account.last_ts_ns,
    }


def entry_row(entry: Entry) -> dict[str, Any]:
    """One booking."""
    is_trade = entry.kind in ("fill", "reversal")
    return {
        "sequence": entry.sequence,
        "kind": entry.kind,
        "id": entry.entry_id,
        "market": entry.market,
        "slug": entry.slug,
        "outcome": entry.outcome or None,
        "side": entry.side or None,
        "price": from_micro(entry.price_micro) if is_trade else None,
        "shares": from_micro(entry.units) if entry.units else None,
        "cash_usd": from_micro(entry.cash_micro),
        "fee_usd": from_micro(entry.fee_micro),
        "rebate_expected_usd": from_micro(entry.rebate_micro),
        "liquidity": entry.liquidity or None,
        "order_id": entry.order_id or None,
        "reverses": entry.reverses,
        "reason": entry.reason or None,
        "ts_ns": entry.ts_ns,
        "booked_ns": entry.booked_ns,
    }


def utc_text(ts_ns: int) -> str:
    """A time to the second, such as 2026-10-06T01:15:00Z."""
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""An answer as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import RenderableType
from rich.table import Table

from services.hedger.hedge_report import group_rows
from services.hedger.hedge_table import page_of
from services.hedger.rows import utc_text
from shared.requests import Answer

# What a reader of the table needs; `--json` has everything.
_POSITION = (
    "slug", "call_shares", "put_shares", "call_average_price", "put_average_price", "mergeable_pairs",
    "realized_pnl_usd", "unrealized_pnl_usd", "liquidation_pnl_usd", "fees_usd", "rebates_usd", "worst_case_usd",
    "fills", "waiting_since",
)  # fmt: skip
_COLUMNS: dict[str, tuple[str, ...]] = {
    "positions": _POSITION,
    "position": _POSITION,
    "pnl": (
        "slug", "outcome", "call_shares", "put_shares", "total_usd", "realized_usd", "rebates_paid_usd",
        "unrealized_usd", "liquidation_usd", "worst_case_usd", "fees_usd", "rebates_expected_usd", "fills",
        "waiting_since",
    ),
    "fills": (
        "sequence", "kind", "id", "slug", "outcome", "side", "price", "shares", "fee_usd", "cash_usd", "liquidity",
        "reason",
    ),
}  # fmt: skip
_WHOLE = ("slug", "waiting_since")  # what is on one line however narrow the page


def table_of(answer: Answer, command: str) -> RenderableType:
    """The rows or positions of an answer; the table says so when there are none."""
    if command == "hedge":
        return page_of(group_rows(answer.rows))
    rows: Sequence[dict[str, Any]] = answer.rows
    if not rows:
        positions = [msgspec.structs.asdict(position) for position in answer.positions]
        rows = [each | {"waiting_since_ns": answer.waiting.get(each["slug"])} for each in positions]
    rows = [each | {"waiting_since": _since(each.get("waiting_since_ns"))} for each in rows]
    table = Table(title=f"{command} in dollars and shares, ledger entry {answer.sequence}", title_justify="left")
    if not rows:
        table.add_column("nothing yet")
        return table
    names = _COLUMNS.get(command, tuple(rows[0]))
    if all(each["waiting_since"] is None for each in rows):
        names = tuple(name for name in names if name != "waiting_since")
    for name in names:
        heading = name.replace("_pnl", "").removesuffix("_usd").replace("_", " ")
        is_number = any(isinstance(row.get(name), int | float) for row in rows)
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold", no_wrap=name in _WHOLE)
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    return table


def _since(ts_ns: int | None) -> str | None:
    return None if ts_ns is None else utc_text(ts_ns)


def _cell(content: Any) -> str:
    if content is None:
        return "-"
    if isinstance(content, float):
        return f"{content:,.6f}".rstrip("0").rstrip(".")
    return str(content)

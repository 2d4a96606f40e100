"""What we hold, what it earned, and our open orders: the lines of the panel, the weightiest first.

What nobody knows is shown as unknown, never as zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.text import Text

from bot.results_io import Results
from services.sink.view import MarketView, SystemView
from shared.market import NS_PER_S
from shared.messages import Fill, OpenOrder, Outcome, Position

LABEL_COLUMNS = 11
_DIM = "grey58"
_UNKNOWN = "unknown"


def money_lines(view: SystemView, market: MarketView, results: Results | None, *, is_wide: bool) -> list[Text]:
    """Position, profit, orders, ledger, last fills: one line each. `is_wide`: there is room to list the orders."""
    position = market.position_now(view.now_ns)
    orders = market.orders_now(view.now_ns)
    own_markout = None if market.flow is None else market.flow.own_markout
    return [
        _line("position", _position(position)),
        _line("P&L", _profit(position)),
        _line("orders", _orders(orders, is_wide=is_wide)),
        _line("ledger", _ledger(position, results)),
        _line("last fills", _fills(market.fills, own_markout)),
    ]


def _line(label: str, content: Text) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    return line.append(f"{label:<{LABEL_COLUMNS}}", _DIM).append_text(content)


def _position(position: Position | None) -> Text:
    if position is None:
        return Text("unknown: the hedger is not heard", "orange1")
    if not position.call_shares and not position.put_shares:
        return Text("flat", _DIM)
    inventory = position.call_shares - position.put_shares
    return Text.assemble(
        _leg("CALL", position.call_shares, position.call_average_price),
        "  ",
        _leg("PUT", position.put_shares, position.put_average_price),
        ("  inventory ", _DIM),
        (f"{'+' if inventory > 0 else ''}{_shares(inventory)}", "bold"),
        ("  pairs ", _DIM),
        _shares(position.mergeable_pairs),
    )


def _leg(outcome: Outcome, shares: float, average_price: float | None) -> Text:
    text = Text.assemble((f"{_shares(shares)} {outcome}", "bold"))
    return text if average_price is None else text.append(f"@{average_price:.4f}")


def _profit(position: Position | None) -> Text:
    if position is None:
        return Text(_UNKNOWN, _DIM)
    return Text.assemble(
        ("realized ", _DIM),
        _usd(position.realized_pnl_usd),
        ("  fair ", _DIM),
        _usd(position.unrealized_pnl_usd),
        ("  sold now ", _DIM),
        _usd(position.liquidation_pnl_usd),
        ("  worst ", _DIM),
        _usd(position.worst_case_usd),
    )


def _orders(orders: Sequence[OpenOrder] | None, *, is_wide: bool) -> Text:
    if orders is None:
        return Text("no executor is heard", _DIM)
    if not orders:
        return Text("none open", _DIM)
    groups: dict[tuple[Outcome, str], list[OpenOrder]] = {}
    for each in sorted(orders, key=lambda order: (order.outcome, order.side)):
        groups.setdefault((each.outcome, each.side), []).append(each)
    text = Text()
    for (outcome, side), group in groups.items():
        text.append("  " if text.plain else "")
        text.append(f"{len(group)} {side} {outcome} ", "green3" if side == "buy" else "red3")
        if is_wide:
            best_first = sorted(group, key=lambda order: order.price, reverse=side == "buy")
            text.append(" ".join(f"{_shares(each.left)}@{each.price:g}" for each in best_first))
        else:
            text.append(_shares(sum(each.left for each in group)))
    return text


def _ledger(position: Position | None, results: Results | None) -> Text:
    text = Text()
    if position is None:
        text.append(_UNKNOWN, _DIM)
    else:
        text.append(f"{position.fills} fills")
        text.append("  fees ", _DIM).append(f"{position.fees_usd:,.2f}")
        text.append("  rebates ", _DIM).append(f"{position.rebates_usd:,.2f}")
    if results is not None:
        periods = f"{results.periods} period{'' if results.periods == 1 else 's'}"
        text.append(f"  {periods} ", _DIM).append_text(_usd(results.total_usd))
        text.append(f", {results.open_periods} open" if results.open_periods else "")
    return text


def _fills(fills: Sequence[Fill], own_markout: float | None) -> Text:
    text = Text()
    for each in reversed(fills):
        at = datetime.fromtimestamp(each.ts_event_ns / NS_PER_S, UTC)
        text.append("  " if text.plain else "").append(f"{at:%H:%M:%S} ", _DIM)
        text.append("bought " if each.side == "buy" else "sold ", "green3" if each.side == "buy" else "red3")
        text.append(f"{_shares(each.size)} {each.outcome}@{each.price:g}")
    if not text.plain:
        text.append("none since this began", _DIM)
    markout = _UNKNOWN if own_markout is None else f"{own_markout:+.4f}"
    return Text.assemble(("markout ", _DIM), (markout, _color(own_markout)), "  ").append_text(text)


def _shares(count: float) -> str:
    """Two decimals at most; less than one share as it is."""
    return f"{count:,.2f}".rstrip("0").rstrip(".") if abs(count) >= 1.0 else f"{count:.4g}"


def _usd(dollars: float | None) -> Text:
    return Text(_UNKNOWN, _DIM) if dollars is None else Text(f"{dollars:+,.2f}", _color(dollars))


def _color(gain: float | None) -> str:
    return _DIM if not gain else "green3" if gain > 0 else "red3"

"""A hedge report as a page for a trader: what to do, what each way comes to, and why. Drawn from its rows, so that the
running hedger's answer looks the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

COLUMNS = 110
_DIM = "grey62"
_ORDER = {"possible": 0, "conditional": 1, "impossible": 2}


def page_of(report: Mapping[str, Any]) -> RenderableType:
    """The page of `HedgeReport.to_dict()` (or of `group_rows` of an answer's rows)."""
    alternatives = sorted(
        report["alternatives"],
        key=lambda each: (_ORDER[each["status"]], -(each["certainty_equivalent_usd"] or 0.0)),
    )
    parts: list[RenderableType] = [_headline(report["position"]), Text(), _table(report, alternatives), Text()]
    parts += _section("do", _advice(report["recommendation"]), style="bold")
    parts += _section("mind", [Text(each) for each in report["position"]["warnings"]], style="bold orange1")
    parts += _section("arbitrage", [Text(each["text"]) for each in report["arbitrages"]], style="bold green3")
    parts += _section("parity", [Text(report["parity"]["text"])])
    parts += _section("netting", _netting(report["netting"], report["recommendation"]["name"]))
    parts += _section("why", [_why(each) for each in alternatives if each["notes"]])
    parts += _section("why not", _why_not(alternatives))
    return Group(*parts)


def _headline(position: Mapping[str, Any]) -> Text:
    fair = f"fair {position['fair']:g}"
    if position["fair_low"] is not None or position["fair_high"] is not None:
        low, high = (
            position[key] if position[key] is not None else position["fair"] for key in ("fair_low", "fair_high")
        )
        fair += f" ({low:g} to {high:g})"
    pieces = (
        position["market"] or "position",
        f"{position['call_shares']:.10g} CALL, {position['put_shares']:.10g} PUT",
        f"cost {_money(position['cost_usd'])}",
        fair,
        f"{position['time_left_s']:g} s left",
        f"gamma {position['gamma_per_usd']:g} per $",
    )
    return Text(" · ".join(pieces), style="bold")


def _table(report: Mapping[str, Any], alternatives: list[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style=_DIM, show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("alternative", no_wrap=True)
    table.add_column("orders", ratio=1)
    for name in ("cash now", "fees", "left C/P", "expected", "std", "worst", "certain"):
        table.add_column(name, justify="right", no_wrap=True)
    chosen = report["recommendation"]
    marks = {chosen["name"]: "→", chosen["runner_up"]: "2"}
    for each in alternatives:
        style = {"possible": "", "conditional": "italic", "impossible": _DIM}[each["status"]]
        if each["name"] == chosen["name"]:
            style = "bold"
        table.add_row(marks.get(each["name"], ""), each["title"], _orders(each), *_figures(each), style=style)
    table.caption = (
        "dollars; profits against the cost; certain = certainty equivalent; * if filled, or if it held: no promise"
    )
    table.caption_justify = "left"
    table.caption_style = _DIM
    return table


def _orders(each: Mapping[str, Any]) -> str:
    if each["status"] == "impossible":
        return "not possible"
    if each["name"] == "perpetual":
        return "see below"
    unfilled = f" ({each['unfilled_shares']:.10g} unfilled)" if each["unfilled_shares"] else ""
    return f"{each['what']}{unfilled}"


def _figures(each: Mapping[str, Any]) -> tuple[str, ...]:
    if each["status"] == "impossible":
        return ("",) * 7
    star = "*" if each["status"] == "conditional" else ""
    return (
        _money(each["cash_now_usd"]),
        _money(each["fees_usd"]),
        f"{each['call_shares_left']:.10g}/{each['put_shares_left']:.10g}",
        _money(each["expected_usd"], sign=True) + star,
        _money(each["standard_deviation_usd"]),
        _money(each["worst_case_usd"], sign=True),
        _money(each["certainty_equivalent_usd"], sign=True),
    )


def _advice(chosen: Mapping[str, Any]) -> list[Text]:
    lines = [Text(chosen["sentence"], style="bold")]
    ends = [
        f"with fair at its {end}: {chosen[key]}"
        for end, key in (("low", "at_fair_low"), ("high", "at_fair_high"))
        if chosen[key]
    ]
    return [*lines, *(Text(each) for each in ends)]


def _netting(netting: Mapping[str, Any] | None, chosen: str) -> list[Text]:
    if netting is None:
        return []
    verb = "give up" if netting["shares_to_neutral"] >= 0.0 else "add"
    return [
        Text(
            f"own {netting['own_usd_per_bp']:+.2f} $/bp, others {netting['others_usd_per_bp']:+.2f}, "
            f"net {netting['net_usd_per_bp']:+.2f}; the recommendation leaves {netting['left_usd_per_bp'][chosen]:+.2f}"
        ),
        Text(
            f"neutral over all windows: {verb} {abs(netting['shares_to_neutral']):.0f} CALL (or the opposite in PUT); "
            f"{netting['unnettable_usd_per_bp']:.2f} $/bp of other assets cannot be netted here"
        ),
    ]


def _why(each: Mapping[str, Any]) -> Text:
    return Text(f"{each['title']}: ").append("; ".join(each["notes"]), style=_DIM)


def _why_not(alternatives: list[Mapping[str, Any]]) -> list[Text]:
    """What is impossible, by reason: many share one."""
    titles: dict[str, list[str]] = {}
    for each in alternatives:
        if each["status"] == "impossible":
            titles.setdefault(each["why_not"], []).append(each["title"])
    return [Text(f"{' / '.join(names)}: ").append(reason, style=_DIM) for reason, names in titles.items()]


def _section(name: str, lines: list[Text], *, style: str = _DIM) -> list[RenderableType]:
    if not lines:
        return []
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=10, style=style)
    grid.add_column(ratio=1, overflow="fold")
    for row, line in enumerate(lines):
        grid.add_row("" if row else name, line)
    return [grid]


def _money(dollars: float | None, *, sign: bool = False) -> str:
    if dollars is None:
        return "–"
    text = f"{dollars:+,.2f}" if sign else f"{dollars:,.2f}"
    return text.replace("-0.00", "0.00").replace("+0.00", "0.00") if abs(dollars) < 0.005 else text

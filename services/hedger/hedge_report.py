"""What the hedge analysis answers: the alternatives, the recommendation, and both as rows for the wire and for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.hedger.hedge_depth import Arbitrage
from services.hedger.hedge_inputs import HedgePosition, HedgePrices
from services.hedger.hedge_risk import Netting, PerpetualHedge
from shared.messages import Outcome, TradeSide
from shared.money import MICRO, from_micro

Name = Literal[
    "hold",
    "close_now",
    "buy_opposite",
    "buy_opposite_and_merge",
    "merge_pairs",
    "reduce",
    "close_passively",
    "perpetual",
]
Status = Literal["possible", "impossible", "conditional"]

TITLES: dict[Name, str] = {
    "hold": "hold to expiry",
    "close_now": "close now",
    "buy_opposite": "opposite, keep both",
    "buy_opposite_and_merge": "opposite, merge",
    "merge_pairs": "merge the pairs",
    "reduce": "reduce (optimum)",
    "close_passively": "close passively",
    "perpetual": "perpetual hedge",
}


@dataclass(frozen=True, kw_only=True)
class HedgeOrder:
    """One order: a limit no worse than `price_micro`; a maker's rests, a taker's takes what is there."""

    outcome: Outcome
    side: TradeSide
    price_micro: int
    units: int
    is_maker: bool = False

    def __str__(self) -> str:
        limit = "≥" if self.side == "sell" else "≤"
        at = "resting at " if self.is_maker else f"at {limit}"
        return f"{self.side} {shares_text(self.units)} {self.outcome} {at}{self.price_micro / MICRO:g}"


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One way to go on. Profits are against what the position cost.

    Amounts are None where there is no number: all of them when impossible (`why_not` says why), the certainty
    equivalent when conditional. `expected_usd` of a conditional one is the profit if what it depends on happens.
    """

    name: Name
    status: Status = "possible"
    orders: tuple[HedgeOrder, ...] = ()
    merge_units: int = 0
    cash_micro: int | None = None
    fee_micro: int | None = None
    rebate_micro: int = 0
    call_units_left: int | None = None
    put_units_left: int | None = None
    unfilled_units: int = 0
    expected_usd: float | None = None
    deviation_usd: float | None = None
    worst_case_usd: float | None = None
    certainty_equivalent_usd: float | None = None
    why_not: str = ""
    notes: tuple[str, ...] = ()

    @property
    def result(self) -> tuple[int, int]:
        """What it comes to: CALL less PUT left, and cash with pairs at a dollar. Equal results are the same trade."""
        assert self.call_units_left is not None
        assert self.put_units_left is not None
        assert self.cash_micro is not None
        pairs = min(self.call_units_left, self.put_units_left)
        return self.call_units_left - self.put_units_left, self.cash_micro + pairs

    def what(self) -> str:
        """What to do, in words."""
        steps = [str(each) for each in self.orders]
        if self.merge_units:
            steps.append(f"merge {shares_text(self.merge_units)} pairs")
        return ", ".join(steps) or "do nothing"

    def to_dict(self) -> dict[str, Any]:
        """For JSON and MessagePack: dollars and shares."""
        return {
            "name": self.name,
            "title": TITLES[self.name],
            "status": self.status,
            "what": self.what() if self.status != "impossible" else "",
            "orders": [
                {
                    "token": each.outcome,
                    "side": each.side,
                    "price": from_micro(each.price_micro),
                    "shares": from_micro(each.units),
                    "is_maker": each.is_maker,
                }
                for each in self.orders
            ],
            "merge_shares": from_micro(self.merge_units),
            "cash_now_usd": _dollars(self.cash_micro),
            "fees_usd": _dollars(self.fee_micro),
            "rebate_usd": _dollars(self.rebate_micro),
            "call_shares_left": _dollars(self.call_units_left),
            "put_shares_left": _dollars(self.put_units_left),
            "unfilled_shares": from_micro(self.unfilled_units),
            "expected_usd": _rounded(self.expected_usd),
            "standard_deviation_usd": _rounded(self.deviation_usd),
            "worst_case_usd": _rounded(self.worst_case_usd),
            "certainty_equivalent_usd": _rounded(self.certainty_equivalent_usd),
            "why_not": self.why_not,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The highest certainty equivalent; `runner_up` is the best that is another trade, None when there is none."""

    name: Name
    runner_up: Name | None
    difference_usd: float | None
    sentence: str
    at_fair_low: str = ""  # what it would be at the ends of the fair value's range; empty without one
    at_fair_high: str = ""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Selling against buying the opposite and merging, for as many shares as both books take."""

    mirrors: bool | None  # the two books show the same orders; None without both
    shares: float
    sell_net_usd: float | None
    opposite_net_usd: float | None
    text: str


@dataclass(frozen=True, kw_only=True)
class HedgeReport:
    """The answer of `HedgeAnalyzer.analyze`."""

    position: HedgePosition
    prices: HedgePrices
    gamma_per_usd: float
    alternatives: tuple[Alternative, ...]
    recommendation: Recommendation
    parity: Parity
    arbitrages: tuple[Arbitrage, ...]
    perpetual: PerpetualHedge | None
    netting: Netting | None
    warnings: tuple[str, ...] = ()

    def alternative(self, name: Name) -> Alternative:
        """The alternative of this name."""
        return next(each for each in self.alternatives if each.name == name)

    def rows(self) -> tuple[dict[str, Any], ...]:
        """The report as flat rows, each with its kind in `row`: what travels in `shared.requests.Answer.rows`."""
        summary = {
            "row": "position",
            "market": self.prices.market,
            "call_shares": self.position.call_shares,
            "put_shares": self.position.put_shares,
            "cost_usd": from_micro(self.position.cost_micro),
            "fair": self.prices.fair,
            "fair_low": self.prices.fair_low,
            "fair_high": self.prices.fair_high,
            "time_left_s": self.prices.time_left_s,
            "gamma_per_usd": self.gamma_per_usd,
            "warnings": list(self.warnings),
        }
        chosen = self.recommendation
        advice = {
            "row": "recommendation",
            "name": chosen.name,
            "what": self.alternative(chosen.name).what(),
            "runner_up": chosen.runner_up,
            "difference_usd": _rounded(chosen.difference_usd),
            "sentence": chosen.sentence,
            "at_fair_low": chosen.at_fair_low,
            "at_fair_high": chosen.at_fair_high,
        }
        parity = {
            "row": "parity",
            "mirrors": self.parity.mirrors,
            "shares": self.parity.shares,
            "sell_net_usd": self.parity.sell_net_usd,
            "opposite_net_usd": self.parity.opposite_net_usd,
            "text": self.parity.text,
        }
        rows: list[dict[str, Any]] = [summary, advice]
        rows += [{"row": "alternative"} | each.to_dict() for each in self.alternatives]
        rows.append(parity)
        rows += [{"row": "arbitrage"} | _arbitrage_dict(each) for each in self.arbitrages]
        if self.perpetual is not None:
            rows.append({"row": "perpetual"} | {name: _rounded(each) for name, each in vars(self.perpetual).items()})
        if self.netting is not None:
            rows.append({"row": "netting"} | _netting_dict(self.netting))
        return tuple(rows)

    def to_dict(self) -> dict[str, Any]:
        """The report as one JSON object; see `group_rows`."""
        return group_rows(self.rows())


def group_rows(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One object of flat rows: `position`, `recommendation`, `alternatives`, `parity`, `arbitrages`, `perpetual`,
    `netting`; the last two None when there was no volatility or no other position. Rows of other kinds are left out.
    """
    grouped: dict[str, Any] = {
        "position": None,
        "recommendation": None,
        "alternatives": [],
        "parity": None,
        "arbitrages": [],
        "perpetual": None,
        "netting": None,
    }
    for row in rows:
        kind, content = row.get("row"), {key: each for key, each in row.items() if key != "row"}
        if kind in ("alternative", "arbitrage"):
            grouped[f"{kind}s"].append(content)
        elif kind in grouped:
            grouped[kind] = content
    return grouped


def _arbitrage_dict(found: Arbitrage) -> dict[str, Any]:
    verb = "buy" if found.side == "buy" else "sell"
    then = "merge" if found.side == "buy" else "from pairs held, or split from dollars"
    profit = from_micro(found.profit_micro)
    return {
        "side": found.side,
        "shares": from_micro(found.units),
        "call_price": from_micro(found.call_limit_micro),
        "put_price": from_micro(found.put_limit_micro),
        "fees_usd": from_micro(found.fee_micro),
        "profit_usd": profit,
        "text": f"{verb} {shares_text(found.units)} CALL at {found.call_limit_micro / MICRO:g} and as many PUT at "
        f"{found.put_limit_micro / MICRO:g}, {then}: {usd_text(profit)} net, whatever happens; the venue keeps one "
        "book: check that both are of the same instant",
    }


def _netting_dict(netting: Netting) -> dict[str, Any]:
    return {
        "own_usd_per_bp": _rounded(netting.own_usd_per_bp),
        "others_usd_per_bp": _rounded(netting.others_usd_per_bp),
        "net_usd_per_bp": _rounded(netting.net_usd_per_bp),
        "unnettable_usd_per_bp": _rounded(netting.unnettable_usd_per_bp),
        "shares_to_neutral": _rounded(netting.shares_to_neutral),
        "left_usd_per_bp": {name: _rounded(each) for name, each in netting.left_usd_per_bp.items()},
    }


def _dollars(micro: int | None) -> float | None:
    return None if micro is None else from_micro(micro)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)


def usd_text(dollars: float) -> str:
    return f"${dollars:,.2f}" if dollars >= 0.0 else f"-${-dollars:,.2f}"


def signed_text(dollars: float) -> str:
    return f"+{usd_text(dollars)}" if dollars >= 0.0 else usd_text(dollars)


def shares_text(units: int) -> str:
    return f"{units / MICRO:.10g}"

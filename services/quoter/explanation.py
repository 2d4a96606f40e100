"""Why a quote set is what it is: every price as a column of dollars that adds up (pure).

`explain` reads a published `QuoteSet` and nothing else, so it works on the bus, on a recording and on a journal. What
the numbers of the breakdown mean is told in `records.py`. A PUT layer is the mirror of the CALL layer of the other
side: price 1 - CALL price, model value 1 - model value, every other term with its sign turned.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from services.quoter.action import BARS_ASK, BARS_BID, RULES
from services.quoter.ladder import ON_TICK
from shared.messages import Action, Layer, Outcome, PhaseName, QuoteSet, RegimeName, Side

WIDTH = 100
UNEXPLAINED = "unexplained"
_COLUMNS_PER_TABLE = 8
_NUMBER_WIDTH = 9  # +0.123456
_EXACT_USD = 1e-9
_SHOWN_FROM_USD = 5e-7  # less is 0 to six digits, and a row of zeros says nothing
_RULE = {rule.label: rule for rule in RULES}
_VALUE_NUMBERS = ("model_value", "projection", "momentum_skew", "inventory_skew", "reservation")
_SPREAD_NUMBERS = ("base_spread", "clamp", "spread", "floor", "half_spread")
_SIZE_NUMBERS = ("size_factor", "size_share_bid", "size_share_ask")
_TOLD = frozenset((*_VALUE_NUMBERS, *_SPREAD_NUMBERS, *_SIZE_NUMBERS, "reward_bid", "reward_ask"))
_TOLD_BEGINNINGS = ("factor_", "floor_", "half_spread_", "rounding_", "post_only_")
_SECONDS_A_YEAR = 31_536_000.0


@dataclass(frozen=True, slots=True)
class Guard:
    """A reason that bit; `action` is what it asks for, None when this version does not know the reason."""

    reason: str
    action: Action | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Term:
    """One line of a column: what it adds, in dollars a share. `factor` is what it multiplied by, if it did."""

    name: str
    dollars: float
    factor: float | None = None


@dataclass(frozen=True, slots=True)
class ValueStory:
    """model value + projection = fair value; + momentum skew + inventory skew = reservation price (of CALL)."""

    model_value: float
    projection: float
    fair_value: float
    fair_low: float | None
    fair_high: float | None
    momentum_skew: float
    inventory_skew: float
    reservation: float


@dataclass(frozen=True, slots=True)
class SpreadStory:
    """The sum of `terms` is `spread` (bid to ask); `half_from_spread` + `floor` is `half_spread`, of layer 0.

    A factor's dollars are what it changed when its turn came. `floors` are the least half-spreads asked for; `binding`
    is the one that decided, empty when the spread did.
    """

    terms: tuple[Term, ...]
    spread: float
    half_from_spread: float
    floors: tuple[Term, ...]
    floor: float
    binding: str
    half_spread: float


@dataclass(frozen=True, slots=True)
class LayerStory:
    """One resting order; `terms` add up to its price, and are empty when the set carries too little to tell."""

    outcome: Outcome
    side: Side
    layer: int
    price: float
    size_shares: float
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class EmptySide:
    """A side of CALL (and the other side of PUT) without a layer, and the guards that bar it, if any do."""

    side: Side
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it; `str` gives the table, `as_map` plain values for JSON.

    `value` and `spread` are None when the set carries no such numbers, as a pull before there is a value.
    `size_factor` is the phase's on the tiers' sizes, `size_shares` (CALL bids, CALL asks) what the limits leave of
    that. `facts` are the numbers of the breakdown that are in no column, by their names in `records.py`.
    """

    market: str
    slug: str
    ts_ns: int
    valid_until_ns: int
    trigger: str
    phase: PhaseName
    regime: RegimeName
    time_to_expiry_s: float
    action: Action
    guards: tuple[Guard, ...]
    value: ValueStory | None
    spread: SpreadStory | None
    size_factor: float | None
    size_shares: tuple[float, float] | None
    layers: tuple[LayerStory, ...]
    empty_sides: tuple[EmptySide, ...]
    facts: dict[str, float]

    def as_map(self) -> dict[str, Any]:
        """Maps, lists, numbers and strings only."""
        return asdict(self)

    def __str__(self) -> str:
        return _as_text(self)


def explain(quotes: QuoteSet) -> Explanation:
    """The explanation of a quote set. Whatever its breakdown lacks is left out, never made up."""
    breakdown = quotes.breakdown
    value = _value_story(quotes)
    spread = _spread_story(breakdown)
    reasons = quotes.reasons
    empty: list[EmptySide] = []
    if quotes.action != "PULL_QUOTES":
        sides: tuple[tuple[Side, frozenset[str]], ...] = (("bid", BARS_BID), ("ask", BARS_ASK))
        for side, bars in sides:
            if not any(layer.side == side for layer in quotes.call):
                empty.append(EmptySide(side, tuple(reason for reason in reasons if reason in bars)))
    return Explanation(
        market=quotes.market,
        slug=quotes.slug,
        ts_ns=quotes.ts_event_ns,
        valid_until_ns=quotes.valid_until_ns,
        trigger=quotes.trigger,
        phase=quotes.phase,
        regime=quotes.regime,
        time_to_expiry_s=quotes.time_to_expiry_s,
        action=quotes.action,
        guards=tuple(_guard(reason) for reason in reasons),
        value=value,
        spread=spread,
        size_factor=breakdown.get("size_factor"),
        size_shares=_size_shares(breakdown),
        layers=_layer_stories(quotes, value, spread),
        empty_sides=tuple(empty),
        facts={name: number for name, number in breakdown.items() if not _is_told(name)},
    )


def _size_shares(breakdown: Mapping[str, float]) -> tuple[float, float] | None:
    bid, ask = breakdown.get("size_share_bid"), breakdown.get("size_share_ask")
    return None if bid is None or ask is None else (bid, ask)


def half_spread_of(breakdown: Mapping[str, float], layer: int) -> float | None:
    """Half-spread of a layer before the grid: that of layer 0, and of another where the breakdown carries it."""
    return breakdown.get("half_spread" if layer == 0 else f"half_spread_{layer}")


def _is_told(name: str) -> bool:
    """Whether a number of the breakdown is a line of one of the columns."""
    return name in _TOLD or name.startswith(_TOLD_BEGINNINGS)


def _guard(reason: str) -> Guard:
    rule = _RULE.get(reason)
    if rule is None:
        return Guard(reason, None, "a reason that this version does not know")
    return Guard(reason, rule.action, rule.meaning)


def _value_story(quotes: QuoteSet) -> ValueStory | None:
    breakdown = quotes.breakdown
    if quotes.fair_value is None or any(name not in breakdown for name in _VALUE_NUMBERS):
        return None
    return ValueStory(
        fair_value=quotes.fair_value,
        fair_low=quotes.fair_low,
        fair_high=quotes.fair_high,
        **{name: breakdown[name] for name in _VALUE_NUMBERS},
    )


def _spread_story(breakdown: Mapping[str, float]) -> SpreadStory | None:
    if any(name not in breakdown for name in _SPREAD_NUMBERS) or breakdown["spread"] <= 0.0:
        return None
    running = breakdown["base_spread"]
    terms = [Term("base spread", running)]
    for name, factor in breakdown.items():
        if name.startswith("factor_"):
            terms.append(Term(_words(name.removeprefix("factor_")), running * (factor - 1.0), factor))
            running *= factor
    terms.append(Term("clamp", breakdown["clamp"]))
    terms = _completed(terms, breakdown["spread"])
    floors = tuple(
        Term(_words(name.removeprefix("floor_")), number)
        for name, number in breakdown.items()
        if name.startswith("floor_")
    )
    binds = breakdown["floor"] > 0.0 and floors
    return SpreadStory(
        terms=tuple(terms),
        spread=breakdown["spread"],
        half_from_spread=breakdown["half_spread"] - breakdown["floor"],
        floors=floors,
        floor=breakdown["floor"],
        binding=max(floors, key=lambda each: each.dollars).name if binds else "",
        half_spread=breakdown["half_spread"],
    )


def _layer_stories(quotes: QuoteSet, value: ValueStory | None, spread: SpreadStory | None) -> tuple[LayerStory, ...]:
    stories: list[LayerStory] = []
    ladders: tuple[tuple[Outcome, tuple[Layer, ...]], ...] = (("CALL", quotes.call), ("PUT", quotes.put))
    for outcome, ladder in ladders:
        for layer in ladder:
            terms: tuple[Term, ...] = ()
            if value is not None and spread is not None and quotes.tick_size > 0.0:
                is_call = outcome == "CALL"
                side: Side = layer.side if is_call else "ask" if layer.side == "bid" else "bid"
                price = layer.price if is_call else 1.0 - layer.price
                terms = _call_terms(quotes, value, spread, side, layer.layer, price)
                terms = terms if is_call else tuple(_mirrored(term) for term in terms)
            stories.append(LayerStory(outcome, layer.side, layer.layer, layer.price, layer.size, terms))
    return tuple(stories)


def _call_terms(
    quotes: QuoteSet, value: ValueStory, spread: SpreadStory, side: Side, layer: int, price: float
) -> tuple[Term, ...]:
    """What adds up to the price of one CALL layer. Away from the reservation price is -1 for a bid, +1 for an ask."""
    away = -1.0 if side == "bid" else 1.0
    terms = [
        Term("model value", value.model_value),
        Term("projection", value.projection),
        Term("momentum skew", value.momentum_skew),
        Term("inventory skew", value.inventory_skew),
    ]
    half_per_spread = spread.half_from_spread / spread.spread
    base, *changes = spread.terms
    terms.append(Term("innermost tier", away * half_per_spread * base.dollars))
    terms += [Term(each.name, away * half_per_spread * each.dollars, each.factor) for each in changes]
    terms.append(Term("floor", away * spread.floor))
    breakdown = quotes.breakdown
    half = half_spread_of(breakdown, layer)
    if half is None:  # the tier's distance is only in the price, with its rounding
        terms.append(Term("tier, on the grid", price - _sum(terms)))
        return tuple(terms)
    terms.append(Term("tier", away * (half - spread.half_spread)))
    reward = breakdown.get(f"reward_{side}", 0.0) if layer == 0 else 0.0
    if reward:
        terms.append(Term("closer, for rewards", -away * reward))
    rounding = breakdown.get(f"rounding_{side}") if layer == 0 else None
    if rounding is None:
        rounding = _rounding(value.reservation + away * half, quotes.tick_size, side)
    terms.append(Term("rounding", away * rounding))
    if layer == 0:  # exactly what the kernel says, so that a price it does not explain shows
        terms.append(Term("post-only", away * breakdown.get(f"post_only_{side}", 0.0)))
        return tuple(_completed(terms, price))
    terms.append(Term("post-only, spacing", price - _sum(terms)))
    return tuple(terms)


def _rounding(wanted: float, tick_size: float, side: Side) -> float:
    """Dollars from the wanted price to the tick it is rounded to, away from the reservation price: as `layer_ticks`."""
    if side == "bid":
        return wanted - math.floor(wanted / tick_size + ON_TICK) * tick_size
    return math.ceil(wanted / tick_size - ON_TICK) * tick_size - wanted


def _mirrored(term: Term) -> Term:
    return Term(term.name, 1.0 - term.dollars if term.name == "model value" else 0.0 - term.dollars, term.factor)


def _completed(terms: Sequence[Term], total: float) -> list[Term]:
    """The terms, and one more when they do not add up: a recording whose formula was another one."""
    missing = total - _sum(terms)
    return [*terms, Term(UNEXPLAINED, missing)] if abs(missing) > _EXACT_USD else list(terms)


def _sum(terms: Sequence[Term]) -> float:
    return math.fsum(term.dollars for term in terms)


def _words(name: str) -> str:
    return name.replace("_", " ")


# -- as text ---------------------------------------------------------------------------------------------------------


def _as_text(told: Explanation) -> str:
    parts: list[RenderableType] = [*_heading(told), *_guards(told)]
    if told.value is None:
        parts += ["", "value and spread: not known"]
    else:
        parts += ["", *_situation(told), _value_table(told.value, told.facts)]
    if told.spread is not None:
        parts += ["", _spread_table(told.spread)]
    for empty in told.empty_sides:
        mirror = "asks" if empty.side == "bid" else "bids"
        why = f"barred by {', '.join(empty.reasons)}" if empty.reasons else "no layer fits the grid and the limits"
        parts += ["", f"no CALL {empty.side}s and no PUT {mirror}: {why}"]
    for columns in _chunks([story for story in told.layers if story.outcome == "CALL"]):
        parts += ["", _layer_table(columns)]
    parts += _sizes(told)
    put = [f"{story.side} {story.price:g} x {story.size_shares:g}" for story in told.layers if story.outcome == "PUT"]
    if put:
        parts += ["", "PUT is the mirror, each term with its sign turned: " + ", ".join(put)]
    text = io.StringIO()
    console = Console(
        file=text, width=WIDTH, color_system=None, markup=False, emoji=False, highlight=False, legacy_windows=False
    )
    for part in parts:
        console.print(part)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _situation(told: Explanation) -> list[str]:
    """What the value is about: strike, prices, distance, volatility, and our best prices beside the book."""
    facts, lines = told.facts, []
    strike, oracle, reference = (facts.get(name, 0.0) for name in ("strike", "oracle_price", "reference_price"))
    if oracle > 0.0:
        prices = f"strike {strike:,.2f}" if strike > 0.0 else "strike unknown"
        prices += f", oracle {oracle:,.2f} ({facts.get('oracle_age_s', 0.0):.1f} s old), expected {reference:,.2f}"
        if strike > 0.0:
            prices += f": {(reference / strike - 1.0) * 1e4:+.2f} bp or {facts.get('distance_sd', 0.0):+.2f} sd"
        lines.append(prices)
    sigma = facts.get("sigma")
    if sigma is not None:
        volatility = f"volatility {100.0 * sigma * math.sqrt(_SECONDS_A_YEAR):.0f} % a year"
        delta = facts.get("delta_per_bp")
        lines.append(volatility if delta is None else f"{volatility}, delta {100.0 * delta:.2f} cents a basis point")
    best = {
        side: next((story.price for story in told.layers if story.outcome == "CALL" and story.side == side), None)
        for side in ("bid", "ask")
    }
    if best["bid"] is not None and best["ask"] is not None:
        apart = best["ask"] - best["bid"]
        lines.append(f"CALL at {best['bid']:g} / {best['ask']:g}, {100.0 * apart:.1f} cents apart")
    return [*lines, ""] if lines else []


def _sizes(told: Explanation) -> list[RenderableType]:
    """Why the shares are not the tiers' sizes, when they are not."""
    lines: list[RenderableType] = []
    if told.layers and told.size_factor is not None and told.size_factor != 1.0:
        lines.append(f"sizes: the tiers' x {told.size_factor:g} in this phase")
    if told.layers and told.size_shares is not None and min(told.size_shares) < 0.995:
        bid, ask = told.size_shares
        lines.append(
            f"sizes: {100 * bid:.0f} % of the CALL bids' and {100 * ask:.0f} % of the CALL asks' shares fit in"
        )
        lines.append("       what max_inventory_imbalance and max_position_size leave with every layer filled")
    return ["", *lines] if lines else []


def _heading(told: Explanation) -> list[str]:
    lines = [f"{told.market}  {told.slug or 'no period'}  {told.action}"]
    lines.append(f"quoted {iso(told.ts_ns)}, stands until {iso(told.valid_until_ns)}")
    if told.slug:
        lines.append(f"phase {told.phase}, regime {told.regime}, {_clock(told.time_to_expiry_s)} to expiry")
    lines.append(f"set off by {told.trigger}")
    return lines


def _guards(told: Explanation) -> list[RenderableType]:
    if not told.guards:
        return ["", "guards: none"]
    table = _table("guards", "asks for", "because")
    for guard in told.guards:
        table.add_row(guard.reason, guard.action or "?", guard.meaning)
    return ["", table]


def _value_table(value: ValueStory, facts: Mapping[str, float]) -> Table:
    table = _table("value of CALL", ">dollars", "")
    age_s, move = facts.get("oracle_age_s"), facts.get("projection_move")
    last_print = "" if age_s is None else f"at the oracle's own last print, {age_s:.1f} s old"
    if value.projection == 0.0:
        moved = "none"
    else:
        moved = "" if move is None else f"the leading venue puts the oracle {move * 1e4:+.2f} bp from its last print"
    band = ""
    if value.fair_low is not None and value.fair_high is not None:
        band = f"band {value.fair_low:.4f} to {value.fair_high:.4f}"
    mid = facts.get("book_mid", 0.0)
    if mid > 0.0:
        band += f"{', ' if band else ''}book mid {mid:.4f}"
    table.add_row("  model value", f"{value.model_value:.6f}", last_print)
    table.add_row("+ projection", _signed(value.projection), moved)
    table.add_row("= fair value", f"{value.fair_value:.6f}", band)
    table.add_row("+ momentum skew", _signed(value.momentum_skew), "")
    table.add_row("+ inventory skew", _signed(value.inventory_skew), "")
    table.add_row("= reservation price", f"{value.reservation:.6f}", "")
    return table


def _spread_table(spread: SpreadStory) -> Table:
    table = _table("spread, bid to ask", ">dollars", "")
    for place, term in enumerate(spread.terms):
        note = "" if term.factor is None else f"x {term.factor:.4f}"
        number = _signed(term.dollars) if place else f"{term.dollars:.6f}"
        table.add_row(f"{'+' if place else ' '} {term.name}", number, note)
    table.add_row("= spread", f"{spread.spread:.6f}", "")
    table.add_row("half-spread of layer 0", "", "")
    table.add_row("  from the spread", f"{spread.half_from_spread:.6f}", "innermost tier x spread / base spread")
    for each in spread.floors:
        table.add_row(f"  floor: {each.name}", f"{each.dollars:.6f}", "binds" if each.name == spread.binding else "")
    table.add_row("+ what the floor adds", _signed(spread.floor), "")
    table.add_row("= half-spread", f"{spread.half_spread:.6f}", "")
    return table


def _layer_table(stories: Sequence[LayerStory]) -> Table:
    outcome = stories[0].outcome
    table = _table(outcome, *(f">{story.side} {story.layer}" for story in stories), gap=1)
    names = list(dict.fromkeys(term.name for story in stories for term in story.terms))
    for name in names:
        column = [{term.name: term.dollars for term in story.terms}.get(name) for story in stories]
        if any(number is not None and abs(number) >= _SHOWN_FROM_USD for number in column):
            table.add_row(name, *("" if number is None else _signed(number) for number in column))
    table.add_row("= price", *(f"{story.price:.6f}" for story in stories))
    table.add_row("shares", *(f"{story.size_shares:g}" for story in stories))
    return table


def _chunks(stories: Sequence[LayerStory]) -> list[Sequence[LayerStory]]:
    """The columns of each table: one table when they fit beside each other, else one for each side."""
    if len(stories) <= _COLUMNS_PER_TABLE:
        return [stories] if stories else []
    return [list(group) for _, group in itertools.groupby(stories, key=lambda story: story.side)]


def _table(*headings: str, gap: int = 2) -> Table:
    """Columns without lines; a heading that begins with > is of numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="", collapse_padding=True)
    for place, heading in enumerate(headings):
        numbers = heading.startswith(">")
        table.add_column(
            Text(heading.removeprefix(">")),
            justify="right" if numbers else "left",
            no_wrap=numbers or place == 0,
            min_width=_NUMBER_WIDTH if numbers else None,
        )
    return table


def _signed(dollars: float) -> str:
    """To a millionth of a dollar; a zero has no sign."""
    text = f"{dollars:+.6f}"
    return "0.000000" if float(text) == 0.0 else text


def _clock(seconds: float) -> str:
    if seconds < 0.0:
        return "-" + _clock(-seconds)
    minutes, rest = divmod(math.floor(seconds * 10.0) / 10.0, 60.0)
    return f"{int(minutes)}:{rest:04.1f}"


def iso(ts_ns: int) -> str:
    """UTC, to the millisecond."""
    second, rest_ns = divmod(ts_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1_000_000:03d}Z"

"""Close, hedge with the opposite outcome, merge or hold: every way compared net of fees, on the depth that is there.

CALL and PUT of one period pay $1 together, so buying PUT at a is selling CALL at 1 - a, and only CALL less PUT is at
risk. Each way out is walked level by level with integers (`hedge_depth`), and judged by its profit: expected, worst,
and as a certainty equivalent at a risk aversion of `gamma_per_usd` (`hedge_risk`). The highest certainty equivalent is
recommended; with gamma 0 that is the highest expected profit.

What depends on somebody else's order (resting) or on another venue (a perpetual) is shown with what must hold, and
never recommended: its outcome is no number we have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from services.hedger.hedge_depth import (
    Arbitrage,
    ExitLevel,
    Walk,
    best_units,
    cheapest_levels,
    find_arbitrage,
    opposite_levels,
    sell_levels,
    walk,
)
from services.hedger.hedge_inputs import (
    Fees,
    HedgeBook,
    HedgeError,
    HedgePosition,
    HedgePrices,
    OtherPosition,
    averaging_s,
)
from services.hedger.hedge_report import (
    TITLES,
    Alternative,
    HedgeOrder,
    HedgeReport,
    Name,
    Parity,
    Recommendation,
    shares_text,
    signed_text,
    usd_text,
)
from services.hedger.hedge_risk import (
    Netting,
    PerpetualHedge,
    certainty_equivalent_usd,
    fair_deviation_per_sqrt_s,
    fair_per_bp,
    net_positions,
    perpetual_hedge,
)
from services.hedger.pnl import worst_case_micro
from shared.market import NS_PER_S
from shared.messages import OpenOrder, Outcome, OutcomeBook, Period
from shared.money import MICRO, from_micro, product_micro


@dataclass(frozen=True, kw_only=True)
class HedgeAnalyzer:
    """Compares what can be done with a position.

    `gamma_per_usd` is the risk aversion (0.003 to 0.02 for swings of $50 to $200; 0 looks at expected profit only).
    Books older than `max_age_s` are not traded on, and orders not heard of for longer are no fact, though they count.
    `round_trip_bps` is what opening and closing a perpetual costs, and
    `correlation` stands for two different assets.
    """

    gamma_per_usd: float
    fees: Fees
    max_age_s: float = 5.0
    round_trip_bps: float = 4.0
    correlation: float = 0.85

    def __post_init__(self) -> None:
        for name, least, most in (
            ("gamma_per_usd", 0.0, 10.0),
            ("max_age_s", 0.0, 86_400.0),
            ("round_trip_bps", 0.0, 1000.0),
            ("correlation", -1.0, 1.0),
        ):
            given = getattr(self, name)
            if not least <= given <= most:
                raise HedgeError(name, f"{given:g} is not possible", f"give a number from {least:g} to {most:g}")

    def analyze(self, position: HedgePosition, prices: HedgePrices) -> HedgeReport:
        """All alternatives, and the one to take. Raises HedgeError; impossible alternatives are part of the answer."""
        scene = _Scene(analyzer=self, position=position, prices=prices)
        alternatives = scene.alternatives()
        recommendation = _recommend(alternatives, gamma_per_usd=self.gamma_per_usd)

        def at(fair: float | None) -> str:
            return "" if fair is None else _choice_at(replace(scene, prices=_at_fair(prices, fair)))

        per_bp = scene.fair_per_bp()
        netting = None
        if prices.others and per_bp is not None:
            netting = net_positions(
                prices.others,
                asset=prices.market.split("-")[0].lower(),
                correlation=self.correlation,
                fair_per_bp=per_bp,
                net_shares=from_micro(position.call_units - position.put_units),
                net_shares_left={
                    each.name: from_micro(each.result[0]) for each in alternatives if each.status == "possible"
                },
            )
        return HedgeReport(
            position=position,
            prices=prices,
            gamma_per_usd=self.gamma_per_usd,
            alternatives=alternatives,
            recommendation=replace(recommendation, at_fair_low=at(prices.fair_low), at_fair_high=at(prices.fair_high)),
            parity=scene.parity(),
            arbitrages=scene.arbitrages(),
            perpetual=scene.perpetual(),
            netting=netting,
            warnings=scene.warnings(recommendation.name, netting),
        )


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """One position at one fair value, seen from the token that is held more: its books, its probability."""

    analyzer: HedgeAnalyzer
    position: HedgePosition
    prices: HedgePrices

    @property
    def held(self) -> Outcome:
        """The outcome that is held more."""
        return "CALL" if self.position.call_units >= self.position.put_units else "PUT"

    @property
    def opposite(self) -> Outcome:
        """The other one."""
        return "PUT" if self.held == "CALL" else "CALL"

    @property
    def net_units(self) -> int:
        """What is held more of it: all that is at risk."""
        return abs(self.position.call_units - self.position.put_units)

    @property
    def pair_units(self) -> int:
        """Pairs: cash that can be merged."""
        return min(self.position.call_units, self.position.put_units)

    # What there is to trade with.

    def book(self, outcome: Outcome) -> HedgeBook | None:
        """The book of this outcome when it is there and fresh."""
        book = self.prices.call if outcome == "CALL" else self.prices.put
        return None if book is None or self._is_stale(book) else book

    def _is_stale(self, book: HedgeBook) -> bool:
        return book.age_s is not None and book.age_s > self.analyzer.max_age_s

    def _no_book(self, outcome: Outcome) -> str:
        """Why there is no book to trade on; empty when there is one."""
        book = self.prices.call if outcome == "CALL" else self.prices.put
        if book is None:
            return f"no {outcome} book is known: give one"
        if self._is_stale(book):
            most = self.analyzer.max_age_s
            return f"the {outcome} book is {book.age_s:.1f} s old, at most {most:g} s: wait for a fresh one"
        return ""

    def sell_levels(self) -> tuple[ExitLevel, ...]:
        """The exit through the held token's bids."""
        book = self.book(self.held)
        return sell_levels(book.bid_levels) if book else ()

    def opposite_levels(self) -> tuple[ExitLevel, ...]:
        """The exit through the opposite's asks."""
        book = self.book(self.opposite)
        return opposite_levels(book.ask_levels) if book else ()

    def cheapest_levels(self) -> tuple[ExitLevel, ...]:
        """Both, the better price first."""
        return cheapest_levels(self.sell_levels(), self.opposite_levels())

    # What it is worth.

    def _probability(self) -> float:
        """That the held token pays."""
        return self.prices.fair if self.held == "CALL" else 1.0 - self.prices.fair

    def worth_usd(self, shares: float) -> float:
        """The certainty equivalent of so many shares of the held token."""
        return certainty_equivalent_usd(
            shares, probability=self._probability(), gamma_per_usd=self.analyzer.gamma_per_usd
        )

    def fair_per_bp(self) -> float | None:
        """Dollars a share that CALL gains per basis point of the asset; None without volatility, and at the end."""
        deviation = self._fair_deviation()
        sigma = self.prices.sigma_per_sqrt_s
        if deviation is None or sigma is None:
            return None
        return fair_per_bp(deviation_per_sqrt_s=deviation, sigma_per_sqrt_s=sigma)

    def _fair_deviation(self) -> float | None:
        return fair_deviation_per_sqrt_s(
            fair=self.prices.fair, time_left_s=self.prices.time_left_s, averaging_s=self.prices.averaging_s
        )

    def _units_left(self, *, sold: int, bought: int, merged: int) -> tuple[int, int]:
        """CALL and PUT left, of the held token and its opposite."""
        held, opposite = self.net_units + self.pair_units - sold - merged, self.pair_units + bought - merged
        return (held, opposite) if self.held == "CALL" else (opposite, held)

    def _done(
        self, name: Name, *, taken: Walk | None = None, merged: int = 0, notes: tuple[str, ...] = ()
    ) -> Alternative:
        """The alternative in which this walk is traded and so many pairs are merged."""
        sold, bought = (taken.units_by("sell"), taken.units_by("buy_opposite")) if taken else (0, 0)
        call_left, put_left = self._units_left(sold=sold, bought=bought, merged=merged)
        fee = taken.fee_micro if taken else 0
        cash = merged + (taken.proceeds_micro - taken.cost_micro - fee if taken else 0)
        net_left = self.net_units - sold - bought
        certain_usd = from_micro(cash - self.position.cost_micro + min(call_left, put_left))
        probability, shares = self._probability(), from_micro(net_left)
        unfilled = taken.unfilled_units if taken else 0
        if 0 < net_left < self.prices.min_units:
            notes = (
                *notes,
                f"{shares_text(net_left)} {self.held} left are below the smallest order: held by necessity",
            )
        return Alternative(
            name=name,
            orders=self._orders(taken),
            merge_units=merged,
            cash_micro=cash,
            fee_micro=fee,
            call_units_left=call_left,
            put_units_left=put_left,
            unfilled_units=unfilled,
            expected_usd=certain_usd + shares * probability,
            deviation_usd=shares * (probability * (1.0 - probability)) ** 0.5,
            worst_case_usd=self._worst_usd(call_left, put_left, cash),
            certainty_equivalent_usd=certain_usd + self.worth_usd(shares),
            notes=notes,
        )

    def _worst_usd(self, call_left: int, put_left: int, cash_micro: int) -> float:
        cash_micro -= self.position.cost_micro
        worst_micro = worst_case_micro(
            cash_micro=cash_micro, call_units=call_left, put_units=put_left, orders=self.position.resting
        )
        return from_micro(worst_micro)

    def _orders(self, taken: Walk | None) -> tuple[HedgeOrder, ...]:
        orders = []
        if taken is not None and (units := taken.units_by("sell")):
            orders.append(
                HedgeOrder(outcome=self.held, side="sell", price_micro=taken.limit_micro("sell"), units=units)
            )
        if taken is not None and (units := taken.units_by("buy_opposite")):
            limit = MICRO - taken.limit_micro("buy_opposite")
            orders.append(HedgeOrder(outcome=self.opposite, side="buy", price_micro=limit, units=units))
        return tuple(orders)

    # The alternatives.

    def alternatives(self) -> tuple[Alternative, ...]:
        """All of them, in a fixed order: what stands first is the simpler trade."""
        hold = self._done("hold")
        return (
            hold,
            self._close_now(),
            self._buy_opposite("buy_opposite"),
            self._buy_opposite("buy_opposite_and_merge"),
            self._merge_pairs(),
            self._reduce(),
            self._close_passively(hold),
            self._perpetual_alternative(hold),
        )

    def _nothing_at_risk(self) -> str:
        """Why the net position cannot be traded at all; empty when it can."""
        if self.net_units == 0:
            return "nothing is unpaired" if self.pair_units else "nothing is held"
        if self.net_units < self.prices.min_units:
            return (
                f"{shares_text(self.net_units)} unpaired {self.held} are below the smallest order of "
                f"{shares_text(self.prices.min_units)}: dust, held by necessity"
            )
        return ""

    def _why_no_walk(self, taken: Walk, *, outcome: Outcome, side: str) -> str:
        if not taken.units:
            return f"no {outcome} {side}s: no depth"
        if taken.units < self.prices.min_units:
            smallest = shares_text(self.prices.min_units)
            return f"only {shares_text(taken.units)} {outcome} in the {side}s, the smallest order is {smallest}"
        return ""

    def _close_now(self) -> Alternative:
        taken = walk(self.sell_levels(), units=self.net_units, fees=self.analyzer.fees)
        why = self._nothing_at_risk() or self._no_book(self.held)
        why = why or self._why_no_walk(taken, outcome=self.held, side="bid")
        if why:
            return Alternative(name="close_now", status="impossible", why_not=why)
        return self._done("close_now", taken=taken, merged=self.pair_units, notes=(self._average_note(taken),))

    def _buy_opposite(self, name: Literal["buy_opposite", "buy_opposite_and_merge"]) -> Alternative:
        taken = walk(self.opposite_levels(), units=self.net_units, fees=self.analyzer.fees)
        why = self._nothing_at_risk() or self._no_book(self.opposite)
        why = why or self._why_no_walk(taken, outcome=self.opposite, side="ask")
        if why:
            return Alternative(name=name, status="impossible", why_not=why)
        (order,) = self._orders(taken)
        bought_at = order.price_micro / MICRO
        same = f"buying {self.opposite} at {bought_at:g} is selling {self.held} at {1.0 - bought_at:g}"
        if name == "buy_opposite":
            outlay = usd_text(from_micro(taken.cost_micro + taken.fee_micro))
            return self._done(name, taken=taken, notes=(f"{same}; {outlay} stays tied up until expiry",))
        note = f"{same}; {self._average_note(taken)}; the merge takes seconds on chain"
        return self._done(name, taken=taken, merged=self.pair_units + taken.units, notes=(note,))

    def _average_note(self, taken: Walk) -> str:
        return f"{taken.net_micro / taken.units:.4f} a share net of fees"

    def _merge_pairs(self) -> Alternative:
        if not self.pair_units:
            return Alternative(name="merge_pairs", status="impossible", why_not="no pairs are held")
        note = f"releases {usd_text(from_micro(self.pair_units))}; the risk stays what it is"
        return self._done("merge_pairs", merged=self.pair_units, notes=(note,))

    def _reduce(self) -> Alternative:
        if why := self._nothing_at_risk():
            return Alternative(name="reduce", status="impossible", why_not=why)
        sell, opposite, cheapest = self.sell_levels(), self.opposite_levels(), self.cheapest_levels()
        if not cheapest:
            why = self._no_book(self.held) or self._no_book(self.opposite) or "neither book has depth"
            return Alternative(name="reduce", status="impossible", why_not=why)
        candidates = [self._done("reduce", merged=self.pair_units, notes=(self._first_share_note(cheapest),))]
        for levels in (sell, opposite, cheapest):
            best = best_units(levels, held_units=self.net_units, fees=self.analyzer.fees, worth_usd=self.worth_usd)
            for units in {best, max(best, self.prices.min_units), self.net_units}:
                taken = walk(levels, units=min(units, self.net_units), fees=self.analyzer.fees)
                if self._is_tradable(taken):
                    taken = replace(taken, unfilled_units=0)  # what stays, stays by choice
                    merged = self.pair_units + taken.units_by("buy_opposite")
                    note = (self._marginal_note(levels, taken),)
                    candidates.append(self._done("reduce", taken=taken, merged=merged, notes=note))
        return max(candidates, key=_rank)

    def _is_tradable(self, taken: Walk) -> bool:
        sizes = [size for size in (taken.units_by("sell"), taken.units_by("buy_opposite")) if size]
        return bool(sizes) and min(sizes) >= self.prices.min_units

    def _net_price(self, level: ExitLevel) -> float:
        return level.exit_micro / MICRO - self.analyzer.fees.per_share_usd(level.exit_micro)

    def _first_share_note(self, levels: Sequence[ExitLevel]) -> str:
        net = from_micro(self.net_units)
        keeps = self.worth_usd(net) - self.worth_usd(net - 1.0)
        return f"the best price is {self._net_price(levels[0]):.4f} net, the last share is worth {keeps:.4f}: sell none"

    def _marginal_note(self, levels: Sequence[ExitLevel], taken: Walk) -> str:
        left = from_micro(self.net_units - taken.units)
        if left < 1.0:
            return f"every share sells for more than it is worth; {self._average_note(taken)}"
        further = walk(levels, units=taken.units + MICRO, fees=self.analyzer.fees)
        keeps = self.worth_usd(left) - self.worth_usd(left - 1.0)
        if further.units <= taken.units:
            return f"{self._average_note(taken)}; all the depth is taken; the next share is worth {keeps:.4f}"
        brings = self._net_price(further.taken[-1])
        return f"{self._average_note(taken)}; the next share would bring {brings:.4f} and is worth {keeps:.4f}"

    # What is not in our hands.

    def _touch(self) -> tuple[int | None, int | None]:
        """The best bid and ask of the held token, in micro-dollars: its own book and the opposite's, mirrored."""
        own, other = self.book(self.held), self.book(self.opposite)
        bids = [book.bid_levels[0].price_micro for book in (own,) if book and book.bid_levels]
        asks = [book.ask_levels[0].price_micro for book in (own,) if book and book.ask_levels]
        if other and other.ask_levels:
            bids.append(MICRO - other.ask_levels[0].price_micro)
        if other and other.bid_levels:
            asks.append(MICRO - other.bid_levels[0].price_micro)
        return max(bids, default=None), min(asks, default=None)

    def _close_passively(self, hold: Alternative) -> Alternative:
        bid, ask = self._touch()
        why = self._nothing_at_risk()
        if not why and ask is None:
            why = self._no_book(self.held) or f"nobody offers {self.held}: no price to rest beside"
        if why or ask is None:
            return Alternative(name="close_passively", status="impossible", why_not=why)
        if bid is not None and ask <= bid:
            why = f"the two books cross (bid {bid / MICRO:g}, ask {ask / MICRO:g}): nothing would rest"
            return Alternative(name="close_passively", status="impossible", why_not=why)
        inside = ask - self.prices.tick_micro
        price = inside if inside > (bid or 0) else ask
        fees, units = self.analyzer.fees, self.net_units
        fee, rebate = fees.maker_micro(price, units), fees.rebate_micro(price, units)
        cash = product_micro(price, units) - fee + self.pair_units
        call_left, put_left = self._units_left(sold=units, bought=0, merged=self.pair_units)
        filled_usd = from_micro(cash + rebate - self.position.cost_micro)
        assert hold.worst_case_usd is not None
        return Alternative(
            name="close_passively",
            status="conditional",
            orders=(HedgeOrder(outcome=self.held, side="sell", price_micro=price, units=units, is_maker=True),),
            merge_units=self.pair_units,
            cash_micro=cash,
            fee_micro=fee,
            rebate_micro=rebate,
            call_units_left=call_left,
            put_units_left=put_left,
            expected_usd=filled_usd,
            worst_case_usd=min(hold.worst_case_usd, filled_usd),
            notes=(
                f"or buy {self.opposite} resting at {1.0 - price / MICRO:g}",
                *self._passive_notes(price, fee, rebate),
            ),
        )

    def _passive_notes(self, price: int, fee: int, rebate: int) -> tuple[str, ...]:
        taken = walk(self.cheapest_levels(), units=self.net_units, fees=self.analyzer.fees)
        if not taken.units:
            return ("nobody bids: there is no price of closing now to compare with",)
        resting = price / MICRO + (rebate - fee) / self.net_units
        gain = resting - taken.net_micro / taken.units
        saved = taken.fee_micro / taken.units - fee / self.net_units
        notes = [
            f"{100 * gain:.2f} c a share more than closing now ({100 * saved:.2f} c fee saved, "
            f"{100 * rebate / self.net_units:.2f} c rebate), if it fills: no promise"
        ]
        deviation = self._fair_deviation()
        moves = ""
        if deviation is not None and gain > 0.0:
            moves = f"; one standard deviation takes {(gain / deviation) ** 2:.1f} s"
        notes.append(f"break-even: {self.held} falls {100 * gain:.2f} c before the fill{moves}")
        return tuple(notes)

    def perpetual(self) -> PerpetualHedge | None:
        """The hedge of what is unpaired; None without volatility, at the end, or when nothing is."""
        per_bp = self.fair_per_bp()
        if per_bp is None or self.net_units == 0:
            return None
        net = self.position.call_units - self.position.put_units
        return perpetual_hedge(
            net_shares=from_micro(net), fair_per_bp=per_bp, round_trip_bps=self.analyzer.round_trip_bps
        )

    def _perpetual_alternative(self, hold: Alternative) -> Alternative:
        hedge = self.perpetual()
        if hedge is None:
            why = "nothing is unpaired" if self.net_units == 0 else "no volatility is known (--sigma), or it is the end"
            return Alternative(name="perpetual", status="impossible", why_not=why)
        assert hold.expected_usd is not None
        assert hold.certainty_equivalent_usd is not None
        premium_usd = hold.expected_usd - hold.certainty_equivalent_usd
        exit_walk = walk(self.cheapest_levels(), units=self.net_units, fees=self.analyzer.fees)
        fair_usd = from_micro(exit_walk.units) * self._probability()
        exit_usd = None if exit_walk.unfilled_units else fair_usd - from_micro(exit_walk.net_micro)
        if hedge.cost_usd >= premium_usd:
            verdict = f"not worth it: it costs more than all the risk is worth ({usd_text(premium_usd)})"
        elif exit_usd is not None and hedge.cost_usd >= exit_usd:
            verdict = f"not worth it: closing everything costs {usd_text(exit_usd)} against fair and takes all the risk"
        else:
            verdict = f"worth a look: all the risk is worth {usd_text(premium_usd)}, if hedging once were enough"
        side, notional = ("sell" if hedge.notional_usd > 0.0 else "buy"), usd_text(abs(hedge.notional_usd))
        return Alternative(
            name="perpetual",
            status="conditional",
            cash_micro=0,
            fee_micro=round(hedge.cost_usd * MICRO),
            call_units_left=self.position.call_units,
            put_units_left=self.position.put_units,
            expected_usd=hold.expected_usd - hedge.cost_usd,
            notes=(
                f"{side} {notional} of the perpetual: {usd_text(hedge.cost_usd)} for the round "
                f"trip of {hedge.round_trip_bps:g} bp, {hedge.cost_per_share_cents:.2f} c a share",
                f"{verdict}; the delta changes by the second, and the jump at expiry stays",
            ),
        )

    # The two books beside each other.

    def parity(self) -> Parity:
        """The same trade seen in both books."""
        call, put = self.book("CALL"), self.book("PUT")
        mirrors = None
        if call is not None and put is not None:
            mirrors = call.bid_levels == _mirrored(put.ask_levels) and call.ask_levels == _mirrored(put.bid_levels)
        sell, opposite = self.sell_levels(), self.opposite_levels()
        units = min(self.net_units, sum(each.units for each in sell), sum(each.units for each in opposite))
        rule = f"buying {self.opposite} at a and merging is selling {self.held} at 1 - a"
        if mirrors is None:
            return _parity(None, 0, f"{rule}; with one book only, the two prices cannot be compared")
        same = "the books mirror exactly" if mirrors else "the books differ"
        if not units:
            return _parity(mirrors, 0, f"{rule}; {same}; there is no trade to compare")
        fees = self.analyzer.fees
        sold = walk(sell, units=units, fees=fees).net_micro
        bought = walk(opposite, units=units, fees=fees).net_micro
        gain = usd_text(from_micro(abs(sold - bought)))
        if sold == bought:
            verdict = (
                f"{same}: the same trade, {usd_text(from_micro(sold))} net for {shares_text(units)} shares either way"
            )
        elif sold > bought:
            verdict = f"{same}: selling {self.held} brings {gain} more for {shares_text(units)} shares"
        else:
            verdict = f"{same}: buying {self.opposite} and merging brings {gain} more for {shares_text(units)} shares"
        return _parity(mirrors, units, f"{rule}; {verdict}", sold, bought)

    def arbitrages(self) -> tuple[Arbitrage, ...]:
        """Pairs below, or above, a dollar net of fees, of at least the smallest order."""
        call, put = self.book("CALL"), self.book("PUT")
        if call is None or put is None:
            return ()
        fees = self.analyzer.fees
        found = (
            find_arbitrage(call.ask_levels, put.ask_levels, side="buy", fees=fees),
            find_arbitrage(call.bid_levels, put.bid_levels, side="sell", fees=fees),
        )
        return tuple(each for each in found if each is not None and each.units >= self.prices.min_units)

    def warnings(self, chosen: Name, netting: Netting | None) -> tuple[str, ...]:
        """What else to know before acting."""
        found = [text for outcome in ("CALL", "PUT") if (text := self._no_book(outcome))]
        assumed = [book for book in (self.prices.call, self.prices.put) if book is not None and book.has_assumed_sizes]
        found += [f"the sizes in the {each.outcome} book are assumed, and nothing behind them" for each in assumed]
        if self.position.resting:
            found.append(self._resting_text())
        without_value = self.prices.others_without_value
        found += [f"{each} is held too and has no fair value now: not netted" for each in without_value]
        if self.prices.others and netting is None:
            found.append("other positions were given, but without volatility (--sigma) nothing can be netted")
        if netting is not None and abs(netting.left_usd_per_bp[chosen]) > abs(netting.net_usd_per_bp) + 1e-9:
            found.append(
                f"the recommendation looks at this window alone: it takes the net delta of all windows from "
                f"{netting.net_usd_per_bp:+.2f} to {netting.left_usd_per_bp[chosen]:+.2f} $/bp"
            )
        return tuple(found)

    def _resting_text(self) -> str:
        count, age_s = len(self.position.resting), self.position.resting_age_s
        if age_s is None or age_s <= self.analyzer.max_age_s:
            return f"{count} resting orders count in every worst case: cancel them first"
        return (
            f"{count} orders of ours were last heard of {age_s:.0f} s ago and may rest, be filled or be gone: "
            "they count as filled in every worst case; find out, and cancel what rests"
        )


def answer_hedge(
    *,
    period: Period,
    now_ns: int,
    call_units: int,
    put_units: int,
    cost_micro: int,
    call_book: OutcomeBook | None,
    put_book: OutcomeBook | None,
    fair: float | None,
    fair_low: float | None = None,
    fair_high: float | None = None,
    sigma_per_sqrt_s: float | None = None,
    gamma_per_usd: float,
    max_age_s: float = 5.0,
    resting: Sequence[OpenOrder] = (),
    resting_age_s: float | None = None,
    others: Sequence[OtherPosition] = (),
    others_without_value: Sequence[str] = (),
) -> tuple[dict[str, Any], ...]:
    """The rows that answer a `shared.requests.HedgeQuery`; see `HedgeReport.rows`.

    `cost_micro` is what the shares held now cost, `resting_age_s` how long ago `resting` were said. Books of another
    period count as unknown, ages are by `ts_recv_ns`.
    `others_without_value` are markets in which something is held that cannot be netted now.
    Raises HedgeError when there is no answer: no fair value, the period is over or refused (its fees may be unknown),
    a crossed book.
    """
    if fair is None:
        raise HedgeError("fair", "there is no fair value now", "ask again when the quoter has one")
    if period.refusal is not None:
        raise HedgeError("period", f"{period.slug} is refused ({period.refusal})", "see its rules at the venue")
    if now_ns >= period.end_ns:
        raise HedgeError("period", f"{period.slug} is over", "its outcome decides; redeem what paid")
    books = {each.outcome: each for each in (call_book, put_book) if each is not None and each.slug == period.slug}
    analyzer = HedgeAnalyzer(
        gamma_per_usd=gamma_per_usd,
        fees=Fees(rate=period.fee_rate, exponent=period.fee_exponent, rebate_rate=period.rebate_rate),
        max_age_s=max_age_s,
    )
    position = HedgePosition(
        call_shares=from_micro(call_units),
        put_shares=from_micro(put_units),
        cost_usd=from_micro(cost_micro),
        resting=tuple(resting),
        resting_age_s=resting_age_s,
    )
    prices = HedgePrices(
        fair=fair,
        fair_low=fair_low,
        fair_high=fair_high,
        time_left_s=(period.end_ns - now_ns) / NS_PER_S,
        call=_book_of(books.get("CALL"), now_ns),
        put=_book_of(books.get("PUT"), now_ns),
        sigma_per_sqrt_s=sigma_per_sqrt_s,
        averaging_s=averaging_s(period),
        tick_size=min([period.tick_size, *(each.tick_size for each in books.values())]),
        min_size_shares=period.min_size_shares,
        market=period.market,
        others=tuple(others),
        others_without_value=tuple(others_without_value),
    )
    return analyzer.analyze(position, prices).rows()


def _book_of(book: OutcomeBook | None, now_ns: int) -> HedgeBook | None:
    if book is None:
        return None
    return HedgeBook(
        outcome=book.outcome,
        bids=_pairs(book.bid_ticks, book.bid_sizes, book.tick_size),
        asks=_pairs(book.ask_ticks, book.ask_sizes, book.tick_size),
        age_s=max(0, now_ns - book.ts_recv_ns) / NS_PER_S,
    )


def _pairs(ticks: Sequence[int], sizes: Sequence[float], tick_size: float) -> tuple[tuple[float, float], ...]:
    return tuple((step * tick_size, size) for step, size in zip(ticks, sizes, strict=True))


def _at_fair(prices: HedgePrices, fair: float) -> HedgePrices:
    return replace(prices, fair=fair, fair_low=None, fair_high=None)


def _choice_at(scene: _Scene) -> str:
    alternatives = scene.alternatives()
    name = _recommend(alternatives, gamma_per_usd=scene.analyzer.gamma_per_usd).name
    chosen = next(each for each in alternatives if each.name == name)
    return f"{TITLES[name]}: {chosen.what()}"


def _rank(alternative: Alternative) -> tuple[float, int, int]:
    """Highest certainty equivalent (to the micro-dollar), then most cash now, then fewest steps."""
    assert alternative.certainty_equivalent_usd is not None
    assert alternative.cash_micro is not None
    steps = len(alternative.orders) + (alternative.merge_units > 0)
    return round(alternative.certainty_equivalent_usd, 6), alternative.cash_micro, -steps


def _recommend(alternatives: Sequence[Alternative], *, gamma_per_usd: float) -> Recommendation:
    possible = sorted((each for each in alternatives if each.status == "possible"), key=_rank, reverse=True)
    best = possible[0]
    second = next((each for each in possible if each.result != best.result), None)
    assert best.certainty_equivalent_usd is not None
    measure = "expected profit" if gamma_per_usd == 0.0 else "certainty equivalent"
    sentence = (
        f"{TITLES[best.name].capitalize()}: {best.what()}: {measure} {signed_text(best.certainty_equivalent_usd)}"
    )
    if second is None:
        return Recommendation(
            name=best.name, runner_up=None, difference_usd=None, sentence=f"{sentence}; there is no other trade."
        )
    assert second.certainty_equivalent_usd is not None
    difference = best.certainty_equivalent_usd - second.certainty_equivalent_usd
    return Recommendation(
        name=best.name,
        runner_up=second.name,
        difference_usd=difference,
        sentence=f"{sentence}, {usd_text(difference)} more than the runner-up, {TITLES[second.name]}"
        f" ({second.what()}).",
    )


def _mirrored(levels: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(each.mirrored() for each in levels)


def _parity(mirrors: bool | None, units: int, text: str, sold: int | None = None, bought: int | None = None) -> Parity:
    return Parity(
        mirrors=mirrors,
        shares=from_micro(units),
        sell_net_usd=None if sold is None else from_micro(sold),
        opposite_net_usd=None if bought is None else from_micro(bought),
        text=text,
    )

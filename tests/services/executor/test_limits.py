"""The limits hold when everything that can still fill does, whatever the venue and the ledger do to us meanwhile."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from services.executor import period_orders
from services.executor.wanted import OrderKey
from shared.config import MMConfig
from shared.exchange import FREE, ORDERS, PENDING, STATE, Report, ReportKind
from shared.messages import Layer, Outcome, TradeSide
from shared.money import from_micro, to_micro
from tests.services.executor.scene import Scene, ask, bid

IMBALANCE, POSITION = 120, 200
CONFIG = MMConfig.model_validate({"max_position_size": POSITION, "max_inventory_imbalance": IMBALANCE})


class WorstVenue:
    """Accepts every order, fills it and heeds its cancel when it pleases, and says so as late as it pleases.

    `held` is what we really have, `live` what can still fill, however little we know of it.
    """

    def __init__(self) -> None:
        self.held: Counter[Outcome] = Counter()
        self.live: dict[int, tuple[Outcome, TradeSide, int, int]] = {}  # token, side, price, units left
        self.asked_to_cancel: set[int] = set()
        self.unsaid: list[Report] = []
        self.due = 0
        self.record = np.zeros(1, STATE)  # of the orders as far as it has said anything about them
        self._slots: dict[int, int] = {}

    def place(self, number: int, *, outcome: Outcome, side: TradeSide, price_micro: int, units: int, **_: int) -> None:
        self.live[number] = (outcome, side, price_micro, units)
        slot = self._slots[number] = next(each for each in range(ORDERS) if self.record["stage"][0, each] == FREE)
        key = OrderKey(outcome, side, price_micro)
        told = dict(zip(("outcome", "side", "price_micro"), key.on_call, strict=True))
        for name, known in (told | {"stage": PENDING, "order_id": number, "left": units, "cancel_ns": 0}).items():
            self.record[name][0, slot] = known

    def cancel(self, number: int, _arrives_ns: int) -> bool:
        self.asked_to_cancel.add(number)
        self.record["cancel_ns"][0, self._slots[number]] = 1
        return True

    def advance(self, _to_ns: int) -> list[Report]:
        said, self.unsaid, self.due = self.unsaid[: self.due], self.unsaid[self.due :], 0
        for report in said:
            slot = self._slots[report.order_id]
            self.record["left"][0, slot] = report.left_units
            if report.kind == "canceled" or report.left_units == 0:
                self.record["stage"][0, slot] = FREE
        return said

    def take_book(self, _at_ns: int, **_: Any) -> list[Report]:
        return []

    def ahead_units(self, _number: int) -> None:
        return None

    # -- what it does to us ------------------------------------------------------------------------------------------

    def fill(self, place: int, *, is_whole: bool) -> None:
        """Fill one of the live orders."""
        if not self.live:
            return
        number = sorted(self.live)[place % len(self.live)]
        outcome, side, price_micro, left = self.live.pop(number)
        units = left if is_whole else (left + 1) // 2
        self.held[outcome] += units if side == "buy" else -units
        if units < left:
            self.live[number] = (outcome, side, price_micro, left - units)
        self._say("fill", number, outcome, side, price_micro, units, left - units)

    def heed(self, place: int) -> None:
        """Heed one of the cancels."""
        heeded = sorted(self.asked_to_cancel & set(self.live))
        if heeded:
            number = heeded[place % len(heeded)]
            self._say("canceled", number, *self.live.pop(number), 0)

    def _say(
        self, kind: ReportKind, number: int, outcome: Outcome, side: TradeSide, price_micro: int, units: int, left: int
    ) -> None:
        self.unsaid.append(
            Report(
                kind=kind,
                order_id=number,
                outcome=outcome,
                side=side,
                price_micro=price_micro,
                units=units,
                left_units=left,
                is_maker=True,
                ts_ns=1,
                ahead_units=0.0,
            )
        )

    # -- what must hold ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Whichever of the live orders fill, no limit is passed and nothing is sold that is not held."""
        call, put = self.held["CALL"], self.held["PUT"]
        left: Counter[tuple[Outcome, TradeSide]] = Counter()
        for outcome, side, _, units in self.live.values():
            left[outcome, side] += units
        assert call + left["CALL", "buy"] <= to_micro(POSITION)
        assert put + left["PUT", "buy"] <= to_micro(POSITION)
        assert call - put + left["CALL", "buy"] <= to_micro(IMBALANCE)
        assert put - call + left["PUT", "buy"] + left["CALL", "sell"] <= to_micro(IMBALANCE)
        assert left["CALL", "sell"] <= call


def layers() -> st.SearchStrategy[tuple[Layer, ...]]:
    size = st.sampled_from((5.0, 20.0, 50.0, 100.0))
    bids = st.lists(st.builds(bid, st.integers(40, 49), size), max_size=4)
    asks = st.lists(st.builds(ask, st.integers(51, 60), size, held=st.booleans()), max_size=4)
    return st.tuples(bids, asks).map(lambda sides: (*sides[0], *sides[1]))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), layers()),
        st.tuples(st.just("fill"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("fill and say"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("heed"), st.integers(0, 9)),
        st.tuples(st.just("say"), st.integers(1, 3)),
        st.tuples(st.just("book"), st.integers(1, 3)),
        st.tuples(st.just("show")),
        st.tuples(st.just("answer"), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.sampled_from((0.05, 0.2))),
    ),
    min_size=10,
    max_size=40,
)


class Ledger:
    """Books our fills in their order, shows what it has booked, and answers: each as late as it pleases."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._booked = 0
        self._answered = 0

    def book(self, count: int) -> None:
        self._booked = min(self._booked + count, len(self._scene.fills))

    def show(self) -> None:
        held = Counter[str]()
        for each in self._scene.fills[: self._booked]:
            held[each.outcome] += each.units if each.side == "buy" else -each.units
        self._scene.position = {
            "call_shares": from_micro(held["CALL"]),
            "put_shares": from_micro(held["PUT"]),
            "sequence": self._booked,
        }
        self._scene.refresh()

    def answer(self, count: int) -> None:
        for place in range(self._answered, min(self._answered + count, self._booked)):
            self._scene.core.confirm(self._scene.fills[place].fill_id, entry=place + 1)
            self._answered += 1


def drive(steps: list[tuple[Any, ...]]) -> WorstVenue:
    """Run these steps, checking after each; then fill everything that is left, one order after the other."""
    venue = WorstVenue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(period_orders, "Exchange", lambda _queue: venue)
        scene = Scene(config=CONFIG)
        scene.confirms = False
        ledger = Ledger(scene)
        for step in steps:
            match step:
                case ("quote", wanted):
                    scene.quote(*wanted)
                case ("fill", place, is_whole):
                    venue.fill(place, is_whole=is_whole)
                case ("fill and say", place, is_whole):
                    venue.fill(place, is_whole=is_whole)
                    venue.due = len(venue.unsaid)
                    scene.timer()
                case ("heed", place):
                    venue.heed(place)
                case ("say", count):
                    venue.due = count
                    scene.timer()
                case ("book", count):
                    ledger.book(count)
                case ("show",):
                    ledger.show()
                case ("answer", count):
                    ledger.answer(count)
                case ("wait", seconds):
                    scene.wait(seconds)
            venue.check()
    for place in itertools.count():
        if not venue.live:
            return venue
        venue.fill(place, is_whole=True)
        venue.check()
    raise AssertionError("every order fills in the end")


@given(STEPS)
@settings(max_examples=300, phases=(Phase.generate,))  # to shrink a failure takes minutes
def test_no_limit_is_passed_whatever_fills_in_whatever_order_and_is_heard_of_however_late(
    steps: list[tuple[Any, ...]],
) -> None:
    drive(steps)


def test_the_worst_venue_fills_up_to_the_limit_and_not_beyond() -> None:
    quote, wait = ("quote", (bid(49, 50.0), bid(48, 50.0), bid(47, 50.0))), ("wait", 0.1)
    ledger = (("book", 1), ("show",), ("answer", 1))
    venue = drive([quote, ("fill", 0, True), quote, wait, ("say", 1), quote, *ledger, quote, wait])
    assert venue.held == {"CALL": to_micro(100)}

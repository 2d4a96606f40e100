"""What `Flow` says to a quoter: impact, the markout of our own fills, and the fill curve."""

from __future__ import annotations

from typing import Any

import pytest

from services.analyzers.core import AnalyzerCore
from shared.core import Gap, Timer
from shared.messages import Fill, Flow, OutcomeBook, OutcomeTrade, SpotQuote
from tests.builders import SLUG, START_S, build
from tests.services.analyzers.fixtures import Tape, ns

MARKET = "btc-15m"
NEXT_SLUG = f"btc-updown-15m-{START_S + 900}"


class Scene:
    """The flow analyzer and the messages it hears."""

    def __init__(self) -> None:
        self.core, self.tape = AnalyzerCore("flow", [MARKET]), Tape()
        self.ids = 0

    def book(self, at_s: float, mid: float, *, spread_ticks: int = 2, slug: str = SLUG, **fields: Any) -> None:
        bid = round(mid * 100 - spread_ticks / 2)
        levels = {"bid_ticks": (bid,), "bid_sizes": (9.0,), "ask_ticks": (bid + spread_ticks,), "ask_sizes": (9.0,)}
        told = build(OutcomeBook, at_s=START_S + at_s, slug=slug, **(levels | fields))
        self.core.update(self.tape.deliver(told))

    def trade(self, at_s: float, price: float, **fields: Any) -> None:
        self.ids += 1
        told = build(OutcomeTrade, **({"at_s": START_S + at_s, "price": price, "trade_id": f"t{self.ids}"} | fields))
        self.core.update(self.tape.deliver(told))

    def fill(self, at_s: float, price: float, *, learned_s: float | None = None, **fields: Any) -> None:
        self.ids += 1
        learned_ns = ns(at_s if learned_s is None else learned_s)
        times = {"ts_event_ns": ns(at_s), "ts_recv_ns": learned_ns}
        told = build(Fill, **(times | {"price": price, "fill_id": f"f{self.ids}"} | fields))
        self.core.update(self.tape.deliver(told))

    def told(self, at_s: float) -> Flow:
        self.core.update(Timer(ns(at_s)))
        flow = self.core._desks[MARKET].analyzer.signal(ns(at_s), ns(at_s))
        assert isinstance(flow, Flow)
        return flow


def test_impact_is_the_move_of_the_mid_after_the_taker_and_the_markout_less_than_that() -> None:
    scene = Scene()
    for i in range(6):
        at_s = 4.0 * i
        scene.book(at_s, 0.50)
        scene.trade(at_s + 1.0, 0.51)
        scene.book(at_s + 1.5, 0.53)
        scene.trade(at_s + 2.6, 0.48, outcome="PUT", aggressor="buy")  # sells CALL at 0.52
        scene.book(at_s + 3.0, 0.50)
        assert (scene.told(at_s + 3.9).impact is None) == (i < 2)
    assert scene.told(26.0).impact == pytest.approx(0.03)
    assert scene.told(27.5).markout == pytest.approx(0.02)


def test_the_book_that_shows_the_trade_itself_is_not_the_mid_before_it() -> None:
    scene = Scene()
    for i in range(6):
        scene.book(4.0 * i, 0.50)
        scene.book(4.0 * i + 0.98, 0.52)  # the sweep, told 20 ms before its print
        scene.trade(4.0 * i + 1.0, 0.53)
    assert scene.told(24.0).impact == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("outcome", "side", "price", "expected"),
    [
        ("CALL", "buy", 0.49, 0.04),
        ("PUT", "sell", 0.51, 0.04),  # CALL bought at 0.49
        ("CALL", "sell", 0.49, -0.04),
        ("PUT", "buy", 0.51, -0.04),  # CALL sold at 0.49
    ],
)
def test_our_own_markout_is_positive_when_the_mid_goes_our_way(
    outcome: str, side: str, price: float, expected: float
) -> None:
    scene = Scene()
    for i in range(5):
        scene.book(3.0 * i, 0.50)
        scene.fill(3.0 * i + 1.0, price, outcome=outcome, side=side)
        scene.book(3.0 * i + 1.9, 0.53)
        assert (scene.told(3.0 * i + 2.9).own_markout is None) == (i < 4)
    flow = scene.told(17.0)
    assert flow.own_markout == pytest.approx(expected)
    assert "Fill.btc-15m" in flow.inputs
    assert flow.imbalance == 0.0  # our fills are no takers of their own


def test_a_fill_learned_late_is_settled_on_the_mid_a_second_after_it_happened() -> None:
    scene = Scene()
    for i in range(5):
        scene.book(10.0 * i, 0.50)
        scene.book(10.0 * i + 1.5, 0.52)
        scene.book(10.0 * i + 2.5, 0.70)
        scene.fill(10.0 * i + 1.0, 0.49, learned_s=10.0 * i + 4.0)
    assert scene.told(46.0).own_markout == pytest.approx(0.03)


def test_a_fill_stamped_ahead_of_us_counts_from_when_we_learned_of_it() -> None:
    scene = Scene()
    for i in range(5):
        scene.book(10.0 * i, 0.50)
        scene.fill(10.0 * i + 4.0, 0.49, learned_s=10.0 * i + 1.0)
        scene.book(10.0 * i + 2.5, 0.70)
    assert scene.told(46.0).own_markout == pytest.approx(0.01)


def test_a_repeated_fill_counts_once_and_one_of_another_period_not_at_all() -> None:
    scene = Scene()
    scene.book(0.0, 0.50)
    for _ in range(10):
        scene.fill(1.0, 0.49, fill_id="same")
        scene.fill(1.0, 0.49, slug=NEXT_SLUG)
    scene.book(2.5, 0.50)
    flow = scene.told(3.0)
    assert flow.own_markout is None
    assert flow.slug == SLUG
    record = scene.core._desks[MARKET].analyzer.record
    assert record["own_markout"]["resolved"][0] == 1


def test_our_own_markout_outlives_the_period_and_what_waited_does_not() -> None:
    scene = Scene()
    for i in range(5):
        scene.book(3.0 * i, 0.50)
        scene.fill(3.0 * i + 1.0, 0.49)
    scene.book(16.0, 0.50)
    before = scene.told(17.0)
    scene.fill(899.9, 0.20)
    scene.book(900.1, 0.60, slug=NEXT_SLUG)
    after = scene.told(903.0)
    assert after.slug == NEXT_SLUG
    assert after.own_markout == pytest.approx(before.own_markout)


def sweeps(scene: Scene, *, count: int, from_s: float = 0.0, slug: str = SLUG) -> None:
    """One sweep a second, half of them a tick beyond the touch of 0.50 - 0.52."""
    for i in range(count):
        at_s = from_s + i
        scene.book(at_s, 0.51, slug=slug)
        for level in range(1 + i % 2):
            scene.trade(at_s + 0.5, 0.52 + 0.01 * level, slug=slug, size=20.0)


def test_the_fill_curve_comes_with_enough_sweeps() -> None:
    scene = Scene()
    sweeps(scene, count=19)
    assert scene.told(19.0).fill_decay_per_usd is None
    sweeps(scene, count=41, from_s=19.0)
    flow = scene.told(60.0)
    assert flow.fill_decay_per_usd is not None
    assert flow.fill_rate_per_s is not None
    assert 60.0 < flow.fill_decay_per_usd < 111.0  # log(3) / tick without a prior, drawn to 60
    at_touch = flow.fill_rate_per_s * 2.718281828459045 ** (-flow.fill_decay_per_usd * 0.01)
    assert at_touch == pytest.approx(0.5, rel=0.03)  # one sweep a second, of both directions


def test_the_fill_curve_carries_over_to_the_next_period_and_ends_when_no_book_comes() -> None:
    scene = Scene()
    sweeps(scene, count=60)
    before = scene.told(60.0)
    scene.book(900.0, 0.51, slug=NEXT_SLUG)
    assert scene.told(901.5).fill_decay_per_usd is None  # most of it is an hour's eighth old
    warm = Scene()
    sweeps(warm, count=60, from_s=840.0)
    warm.book(900.1, 0.51, slug=NEXT_SLUG)
    flow = warm.told(902.0)
    assert (flow.slug, flow.warm) == (NEXT_SLUG, False)
    assert flow.fill_decay_per_usd == pytest.approx(before.fill_decay_per_usd, rel=0.02)
    assert warm.told(970.0).fill_decay_per_usd is None


def test_a_sweep_after_lost_books_is_not_measured() -> None:
    scene = Scene()
    scene.book(0.0, 0.51)
    scene.core.update(Gap("OutcomeBook.btc-15m.CALL", 1, ns(0.5)))
    scene.trade(1.0, 0.52)
    curve = scene.core._desks[MARKET].analyzer.record["fill_curve"]
    assert curve["sweeps"][0] == 0.0
    scene.book(2.0, 0.51)
    scene.trade(2.5, 0.52)
    assert curve["sweeps"][0] == 1.0


def test_without_an_answer_nothing_is_said() -> None:
    scene = Scene()
    scene.core.update(scene.tape.deliver(build(SpotQuote, at_s=START_S)))
    flow = scene.told(1.5)
    said = (flow.impact, flow.own_markout, flow.fill_rate_per_s, flow.fill_decay_per_usd)
    assert said == (None, None, None, None)

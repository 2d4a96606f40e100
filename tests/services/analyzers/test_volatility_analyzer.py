"""The settlement window of the volatility analyzer: which prints of the oracle it takes."""

from __future__ import annotations

import math

import pytest

from services.analyzers.volatility_analyzer import VolatilityAnalyzer
from shared.kernel import layout_of, pack_state, unpack_state
from shared.messages import Message, OracleHistory, OraclePrice, Period, SpotQuote
from tests.builders import NS, START_S, build
from tests.services.analyzers.fixtures import Tape

END_S = 900
NOW_S = 870.0  # inside the settlement window
PRICE = 80_000.0
WILD = 80_400.0


class Scene:
    """A calm venue and a calm oracle up to `NOW_S`, a second at a time."""

    def __init__(self) -> None:
        self.analyzer, self.tape = VolatilityAnalyzer("btc-15m"), Tape()
        self.at_s = NOW_S - 20.0
        self.say(build(Period, at_s=START_S, strike=PRICE))
        while self.at_s < NOW_S:
            self.tick(PRICE)

    def say(self, message: Message) -> None:
        self.analyzer.observe(self.tape.deliver(message))  # type: ignore[arg-type]

    def quote(self) -> None:
        self.say(build(SpotQuote, at_s=START_S + self.at_s, venue="coinbase", bid=PRICE - 0.5, ask=PRICE + 0.5))

    def tick(self, price: float) -> int:
        """A second passes and a print comes, 1.7 s late; its stamp in seconds since the start."""
        for _ in range(5):
            self.at_s += 0.2
            self.quote()
        stamp_s = round(self.at_s) - 2
        self.say_print(stamp_s, price)
        return stamp_s

    def say_print(self, stamp_s: int, price: float) -> None:
        recv_ns = round((START_S + self.at_s) * NS)
        self.say(build(OraclePrice, price=price, ts_event_ns=(START_S + stamp_s) * NS, ts_recv_ns=recv_ns))

    def say_history(self, *prints: tuple[int, float]) -> None:
        self.say(
            build(
                OracleHistory,
                at_s=START_S + self.at_s,
                seconds=tuple(START_S + stamp_s for stamp_s, _ in prints),
                prices=tuple(price for _, price in prints),
            )
        )

    def held(self, stamp_s: int) -> float | None:
        """The price that the window holds of a stamp."""
        window = self.analyzer.record["windows"][0, 1]
        index = ((START_S + stamp_s) * NS - int(window["first_ns"])) // NS
        assert 0 <= index < window["count"]
        return math.exp(window["logs"][index]) if window["is_seen"][index] else None


def test_prints_enter_the_window() -> None:
    scene = Scene()
    assert scene.held(scene.tick(PRICE)) == pytest.approx(PRICE)


def test_a_refused_print_enters_neither_live_nor_when_a_history_repeats_it() -> None:
    scene = Scene()
    stamp_s = scene.tick(WILD)
    assert scene.held(stamp_s) is None
    for _ in range(2):
        scene.say_history((stamp_s - 1, PRICE), (stamp_s, WILD))
        assert scene.held(stamp_s) is None
    assert scene.held(stamp_s - 1) == pytest.approx(PRICE)


def test_a_refused_print_stays_out_when_nobody_has_an_opinion_any_more() -> None:
    scene = Scene()
    stamp_s = scene.tick(WILD)
    scene.at_s += 6.0  # the venue is silent
    scene.say_history((stamp_s, WILD))
    assert scene.held(stamp_s) is None


def test_a_refused_print_stays_out_through_a_checkpoint() -> None:
    scene, heir = Scene(), Scene()
    stamp_s = scene.tick(WILD)
    state = scene.analyzer.STATE
    heir.analyzer.record[:] = unpack_state(pack_state(scene.analyzer.record), dtype=state, layout=layout_of(state))
    heir.analyzer.reload()
    heir.at_s = scene.at_s + 6.0  # nobody contradicts it any more
    heir.say_history((stamp_s, WILD))
    assert heir.held(stamp_s) is None


def test_a_corrected_print_enters_by_a_history_and_live() -> None:
    by_history, live = Scene(), Scene()
    stamp_s = by_history.tick(WILD)
    by_history.say_history((stamp_s, PRICE))
    assert live.tick(WILD) == stamp_s
    live.say_print(stamp_s, PRICE)
    assert by_history.held(stamp_s) == live.held(stamp_s) == pytest.approx(PRICE)


@pytest.mark.parametrize("by_history", [False, True])
def test_a_wild_correction_is_refused_too(by_history: bool) -> None:
    scene = Scene()
    stamp_s = scene.tick(PRICE)
    if by_history:
        scene.say_history((stamp_s, WILD))
    else:
        scene.say_print(stamp_s, WILD)
    assert scene.held(stamp_s) == pytest.approx(PRICE)


def test_a_level_that_stays_is_confirmed_with_all_its_prints() -> None:
    scene = Scene()
    stamps = []
    for _ in range(6):
        stamps.append(scene.tick(WILD))
        scene.say_history(*((stamp_s, WILD) for stamp_s in stamps))
        known = [scene.held(stamp_s) is not None for stamp_s in stamps]
        assert known == [len(stamps) == 6] * len(stamps)
    assert scene.held(stamps[0]) == pytest.approx(WILD)


def test_a_missed_print_enters_by_a_history() -> None:
    scene = Scene()
    scene.at_s += 1.0
    scene.quote()
    stamp_s = round(scene.at_s) - 2
    assert scene.held(stamp_s) is None
    scene.say_history((stamp_s, PRICE + 1.0))
    assert scene.held(stamp_s) == pytest.approx(PRICE + 1.0)


def test_a_silent_venue_contradicts_nothing() -> None:
    scene = Scene()
    scene.at_s += 6.0
    stamp_s = round(scene.at_s) - 2
    scene.say_print(stamp_s, WILD)
    scene.say_history((stamp_s - 1, WILD))
    assert scene.held(stamp_s) == scene.held(stamp_s - 1) == pytest.approx(WILD)

"""A jump is one exchange's move against itself within a second, and nothing else."""

from __future__ import annotations

import math

import msgspec
import pytest

from services.quoter.asset_prices import AssetPrices
from shared.config import MMConfig, Techniques
from shared.messages import OracleHistory, SpotQuote
from shared.projection import Config
from tests.builders import build
from tests.services.quoter.scene import MARKET, SECOND, START, Scene, moneyness

CALM = MMConfig(max_model_mid_disagreement=0.9)


def quote(at_s: float, mid: float, venue: str = "bybit") -> SpotQuote:
    at_ns = START + round(at_s * SECOND)
    return build(SpotQuote, ts_event_ns=at_ns, ts_recv_ns=at_ns, venue=venue, bid=mid - 0.5, ask=mid + 0.5)


def prices(config: MMConfig = CALM) -> AssetPrices:
    return AssetPrices("BTC", config, Config())


def spikes(told: list[SpotQuote], config: MMConfig = CALM) -> bool:
    asset = prices(config)
    for each in told:
        asset.take_quote(each, each.ts_recv_ns)
    return asset.spike_until_ns > 0


def test_a_jump_within_a_second_is_a_spike() -> None:
    assert spikes([quote(0.0, 60_000.0), quote(0.9, 60_000.0), quote(1.2, 60_130.0)])
    assert not spikes([quote(0.0, 60_000.0), quote(0.9, 60_000.0), quote(1.2, 60_110.0)])


def test_a_first_quote_is_not_a_spike() -> None:
    assert not spikes([quote(0.0, 60_000.0)])
    assert not spikes([quote(0.0, 60_000.0), quote(0.4, 61_000.0)])  # not yet a second to compare with


@pytest.mark.parametrize("basis", [25.0, 500.0])
def test_the_basis_between_two_exchanges_is_not_a_spike(basis: float) -> None:
    told = [
        each
        for step in range(40)
        for each in (quote(0.1 * step, 60_000.0 + basis, "bybit"), quote(0.1 * step + 0.05, 60_000.0, "coinbase"))
    ]
    assert not spikes(told)


def test_a_return_to_life_at_another_price_is_not_a_spike() -> None:
    assert not spikes([quote(0.0, 60_000.0), quote(1.0, 60_000.0), quote(7.0, 60_500.0)])


def test_without_the_technique_nothing_is_a_spike() -> None:
    jump = [quote(0.0, 60_000.0), quote(1.2, 61_000.0)]
    assert spikes(jump)
    assert not spikes(jump, MMConfig(techniques=Techniques(volatility=False)))


def test_switching_to_an_exchange_with_another_basis_does_not_pull_for_a_spike() -> None:
    scene = Scene(CALM)
    scene.say(scene.status("BTC", "coinbase", "SpotQuote", state="DOWN"))
    scene.silent = {"SpotQuote.BTC.coinbase", "FeedStatus.BTC.coinbase.SpotQuote"}
    seen = {reason for quotes in scene.published for reason in quotes.reasons}
    scene.run(8.0)
    seen |= {reason for quotes in scene.published for reason in quotes.reasons}
    scene.silent.clear()
    scene.spot = moneyness(12.0)  # while nobody looked
    scene.run(1.0)
    seen |= {reason for quotes in scene.published for reason in quotes.reasons}
    assert "leader_unusable" in seen
    assert "volatility_spike" not in seen


def test_a_stamp_ahead_of_our_clock_silences_no_later_quote() -> None:
    scene = Scene(CALM)
    ahead = msgspec.structs.replace(scene.quote(), ts_event_ns=scene.now + 4 * SECOND)
    scene.say(ahead)
    scene.now += SECOND // 20
    moved = msgspec.structs.replace(scene.quote(mid=moneyness(3.0)), ts_event_ns=scene.now - SECOND // 10)
    scene.say(moved)
    state = scene.core.assets["BTC"].venues["coinbase"].state
    assert state["log_mid"][0] == pytest.approx(math.log(moneyness(3.0)), abs=1e-12)
    assert state["ts_ns"][0] <= scene.now


def test_a_stamp_older_than_the_last_true_one_is_still_ignored() -> None:
    scene = Scene(CALM)
    scene.say(msgspec.structs.replace(scene.quote(mid=moneyness(3.0)), ts_event_ns=scene.now - SECOND // 10))
    state = scene.core.assets["BTC"].venues["coinbase"].state
    assert state["log_mid"][0] == pytest.approx(math.log(scene.spot), abs=1e-12)


WILD = moneyness(50.0)


def value_of(scene: Scene) -> float:
    return scene.core.assets["BTC"].oracle_log


def test_a_print_that_the_exchanges_contradict_pulls_and_is_no_reference() -> None:
    scene = Scene(CALM)
    before = value_of(scene)
    scene.tick(1.0)
    pulled = scene.say(scene.oracle(price=WILD))[-1]
    assert (pulled.action, "oracle_doubted" in pulled.reasons) == ("PULL_QUOTES", True)
    assert pulled.fair_value == pytest.approx(0.5, abs=0.02)
    assert value_of(scene) == before
    scene.run(1.0)  # the next print is as the exchanges allow
    quotes = scene.latest()
    assert quotes.reasons == ()
    assert quotes.breakdown["missing_prints"] == 0.0


def test_a_level_that_stays_is_confirmed_with_all_its_prints() -> None:
    scene = Scene(CALM)
    scene.latest()
    scene.tick(0.4)
    scene.silent = {"OraclePrice"}
    stamps = []
    for _ in range(6):
        scene.run(1.0)
        stamps.append(scene.oracle().ts_event_ns)
        scene.say(scene.oracle(price=WILD))
        assert ("oracle_doubted" in scene.published[-1].reasons) == (len(stamps) < 6)
        prints = scene.core.assets["BTC"].prints
        assert [stamp in prints for stamp in stamps] == [len(stamps) == 6] * len(stamps)
    assert value_of(scene) == pytest.approx(math.log(WILD))


def in_settlement() -> Scene:
    return Scene(MMConfig(quote_final_phase=True), at_s=870.0)


def settlement_log(scene: Scene, stamp_ns: int) -> float | None:
    """What the settlement window holds of a stamp."""
    period = scene.core.markets[MARKET].active
    assert period is not None
    window = period.windows[1]
    index = (stamp_ns - int(window["first_ns"])) // SECOND
    return float(window["logs"][index]) if window["is_seen"][index] else None


@pytest.mark.parametrize("by_history", [False, True])
def test_a_correction_replaces_the_print_of_its_stamp(by_history: bool) -> None:
    scene = in_settlement()
    stamp_ns = scene.oracle().ts_event_ns
    assert settlement_log(scene, stamp_ns) == math.log(scene.spot)
    right = moneyness(0.1)
    scene.say(scene.history([stamp_ns // SECOND], [right]) if by_history else scene.oracle(price=right))
    assert settlement_log(scene, stamp_ns) == value_of(scene) == math.log(right)
    assert scene.core.assets["BTC"].prints[stamp_ns] == math.log(right)


def test_a_refused_print_enters_no_window_nor_does_a_history_that_repeats_it() -> None:
    scene = in_settlement()
    scene.tick(1.0)
    stamp_ns = scene.oracle().ts_event_ns
    scene.say(scene.oracle(price=WILD))
    assert settlement_log(scene, stamp_ns) is None
    scene.say(scene.history([stamp_ns // SECOND], [WILD]))
    assert settlement_log(scene, stamp_ns) is None
    scene.say(scene.history([stamp_ns // SECOND], [scene.spot]))  # corrected
    assert settlement_log(scene, stamp_ns) == math.log(scene.spot)


def test_a_wild_correction_is_refused_too() -> None:
    scene = in_settlement()
    stamp_ns = scene.oracle().ts_event_ns
    scene.say(scene.oracle(price=WILD))
    assert settlement_log(scene, stamp_ns) == value_of(scene) == math.log(scene.spot)


def test_a_history_repeated_a_little_later_gives_only_its_news() -> None:
    held = prices()
    seconds, values = range(START // SECOND - 960, START // SECOND + 10), [60_000.0 + i % 7 for i in range(970)]

    def history(begin: int, **changed: float) -> OracleHistory:
        told = dict(zip(seconds, values, strict=True))
        told.update({seconds[int(at[1:])]: price for at, price in changed.items()})
        kept = list(told.items())[begin : begin + 960]
        return build(OracleHistory, seconds=tuple(s for s, _ in kept), prices=tuple(p for _, p in kept))

    now_ns = START + 20 * SECOND
    assert len(held.take_history(history(0), now_ns)) == 960
    assert [stamp for stamp, _ in held.take_history(history(5), now_ns)] == [
        second * SECOND for second in seconds[960:965]
    ]
    assert held.take_history(history(5), now_ns) == []
    assert held.take_history(history(5, _900=61_000.0), now_ns) == [(seconds[900] * SECOND, math.log(61_000.0))]

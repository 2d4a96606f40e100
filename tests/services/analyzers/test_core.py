"""The four analyzers inside their core, on a synthetic market whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from services.analyzers.core import CHECKPOINT_NS, KINDS, SIGNAL_NS, AnalyzerCore, Kind
from services.analyzers.volatility_analyzer import VolatilityAnalyzer, settings_of
from shared.codec import decode, encode
from shared.config import MMConfig
from shared.core import Delivery, Event, Gap, Timer, time_of
from shared.messages import (
    SCHEMA_VERSION,
    AnyMessage,
    Checkpoint,
    Envelope,
    Flow,
    LeadLag,
    OraclePrice,
    OutcomeBook,
    OutcomeTrade,
    Period,
    Regime,
    SpotQuote,
    Volatility,
)
from tests.builders import NS, SLUG, START_S, build
from tests.services.analyzers.fixtures import Tape, ns, synthetic_market

SIGMA = 9e-5
MARKET = "btc-15m"
SIGNALS: dict[Kind, type[AnyMessage]] = {"lead_lag": LeadLag, "regime": Regime, "volatility": Volatility, "flow": Flow}
NEXT_SLUG = f"btc-updown-15m-{START_S + 900}"


@pytest.fixture(scope="module")
def market() -> list[Event]:
    return synthetic_market(seed=1, seconds=150)


def run(core: AnalyzerCore, events: Iterable[Event]) -> list[AnyMessage]:
    return [message for event in events for message in core.update(event)]


def signals_of(messages: Iterable[AnyMessage]) -> list[Any]:
    return [each for each in messages if not isinstance(each, Checkpoint)]


def without_inputs(messages: Iterable[AnyMessage]) -> list[AnyMessage]:
    return [each if isinstance(each, Checkpoint) else msgspec.structs.replace(each, inputs={}) for each in messages]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_publishes_its_signal_and_warms_up(kind: Kind, market: list[Event]) -> None:
    signals = signals_of(run(AnalyzerCore(kind, [MARKET]), market))
    assert {type(each) for each in signals} == {SIGNALS[kind]}
    assert not signals[0].warm
    assert signals[-1].warm
    assert signals[-1].market == MARKET


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_events_give_the_same_messages(kind: Kind, market: list[Event]) -> None:
    assert run(AnalyzerCore(kind, [MARKET]), market) == run(AnalyzerCore(kind, [MARKET]), market)


@pytest.mark.parametrize("kind", KINDS)
def test_a_restart_from_a_checkpoint_continues_bit_for_bit(kind: Kind, market: list[Event]) -> None:
    unbroken, messages = AnalyzerCore(kind, [MARKET]), []
    for position, event in enumerate(market):
        messages = list(unbroken.update(event))
        if position > len(market) // 2 and messages and isinstance(messages[-1], Checkpoint):
            break
    restarted = AnalyzerCore(kind, [MARKET])
    assert restarted.restore(messages[-1])
    rest = market[position + 1 :]
    expected, found = run(unbroken, rest), run(restarted, rest)
    assert len(expected) > 50
    assert without_inputs(found) == without_inputs(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_signals_and_checkpoints_keep_their_pace_and_can_be_encoded(kind: Kind, market: list[Event]) -> None:
    messages = run(AnalyzerCore(kind, [MARKET]), market)
    calm = [each for each in signals_of(messages) if not getattr(each, "spike", False)]
    gaps = [b.ts_recv_ns - a.ts_recv_ns for a, b in pairwise(calm)]
    assert sum(gap >= SIGNAL_NS for gap in gaps) >= len(gaps) - 3  # urgent ones may come sooner
    assert max(gaps) <= 1.2 * NS
    checkpoints = [each for each in messages if isinstance(each, Checkpoint)]
    assert len(checkpoints) == pytest.approx(150 * NS / CHECKPOINT_NS, abs=2)
    for message in (messages[0], messages[-1], checkpoints[-1]):  # the codec refuses NaN and infinity
        envelope = Envelope(version=SCHEMA_VERSION, instance="a", epoch=1, seq=1, ts_pub_ns=1, body=message)
        assert decode(encode(envelope)).body == message


def test_volatility_is_warm_within_seconds_thanks_to_the_history(market: list[Event]) -> None:
    warm = next(each for each in signals_of(run(AnalyzerCore("volatility", [MARKET]), market)) if each.warm)
    assert warm.ts_recv_ns < ns(3)
    assert warm.sigma_per_sqrt_s == pytest.approx(SIGMA, rel=0.3)


def test_volatility_ends_near_the_truth(market: list[Event]) -> None:
    last = signals_of(run(AnalyzerCore("volatility", [MARKET]), market))[-1]
    assert abs(last.realized_per_sqrt_s / SIGMA - 1.0) < 3.0 * last.relative_error
    assert not last.spike


def test_the_leader_is_named_with_its_lead(market: list[Event]) -> None:
    last = signals_of(run(AnalyzerCore("lead_lag", [MARKET]), market))[-1]
    assert last.leader == "coinbase"
    assert last.lead_s == pytest.approx(1.0, abs=0.15)
    assert last.correlation > last.threshold


def test_a_repeated_delivery_changes_nothing(market: list[Event]) -> None:
    doubled = [copy for event in market for copy in ((event, event) if isinstance(event, Delivery) else (event,))]
    for kind in KINDS:
        assert run(AnalyzerCore(kind, [MARKET]), doubled) == run(AnalyzerCore(kind, [MARKET]), market)


def test_markets_of_other_assets_hear_nothing(market: list[Event]) -> None:
    core = AnalyzerCore("volatility", ["eth-15m"])
    assert all(not each.warm for each in signals_of(run(core, market)))


def test_two_markets_of_one_asset_are_both_served(market: list[Event]) -> None:
    core = AnalyzerCore("regime", [MARKET, "btc-5m"])
    assert {each.market for each in signals_of(run(core, market[:2000]))} == {MARKET, "btc-5m"}
    core.drop("btc-5m")
    assert core.markets == (MARKET,)
    core.adopt("btc-5m")
    assert core.markets == (MARKET, "btc-5m")


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_name_the_last_sequence_number_of_each_topic(kind: Kind, market: list[Event]) -> None:
    last_seq = {event.topic: event.seq for event in market if isinstance(event, Delivery)}
    inputs = signals_of(run(AnalyzerCore(kind, [MARKET]), market))[-1].inputs
    assert inputs
    assert "SpotQuote.BTC.coinbase" in inputs
    for topic, seq in inputs.items():
        assert seq <= last_seq[topic]


def test_a_checkpoint_of_another_layout_is_refused_and_changes_nothing() -> None:
    core = AnalyzerCore("flow", [MARKET])
    stranger = build(Checkpoint, kind="flow")
    with pytest.raises(ValueError, match="layout"):
        core.restore(stranger)
    assert core.update(Delivery("Checkpoint.btc-15m.flow", 1, 1, stranger)) == ()
    assert not core.restore(build(Checkpoint, kind="regime"))


def test_a_new_owner_takes_over_from_the_bus_but_an_owner_does_not(market: list[Event]) -> None:
    half = len(market) // 2
    old = AnalyzerCore("volatility", [MARKET])
    last = [each for each in run(old, market[:half]) if isinstance(each, Checkpoint)][-1]
    new = AnalyzerCore("volatility", [MARKET])
    new.update(Delivery("Checkpoint.btc-15m.volatility", 1, 1, last))
    taken = signals_of(new.update(Timer(last.ts_recv_ns + 2 * NS)))
    assert taken[0].warm
    owner = AnalyzerCore("volatility", [MARKET])
    run(owner, market[: half // 2])
    before = owner.update(Timer(ns(200)))
    owner.update(Delivery("Checkpoint.btc-15m.volatility", 1, 1, last))
    after = owner.update(Timer(ns(202)))
    assert signals_of(after)[0].realized_per_sqrt_s == signals_of(before)[0].realized_per_sqrt_s


def jump(events: list[Event], *, at_s: float, factor: float) -> list[Event]:
    def moved(event: Event) -> Event:
        if isinstance(event, Delivery) and isinstance(event.message, SpotQuote) and time_of(event) > ns(at_s):
            quote = event.message
            return event._replace(
                message=msgspec.structs.replace(quote, bid=quote.bid * factor, ask=quote.ask * factor)
            )
        return event

    return [moved(event) for event in events]


def test_a_spike_is_published_at_once_and_ends_after_its_cool_down(market: list[Event]) -> None:
    signals = signals_of(run(AnalyzerCore("volatility", [MARKET]), jump(market, at_s=100.0, factor=1.002)))
    on = [each for each in signals if each.spike]
    assert ns(100.0) < on[0].ts_recv_ns < ns(100.2)
    assert on[0].spike_until_ns == on[0].ts_recv_ns + 3 * NS
    assert ns(103.0) < on[-1].ts_recv_ns < ns(106.0)
    assert on[-1].jumps_per_s > 0.0
    assert signals[-1].realized_per_sqrt_s == pytest.approx(SIGMA, rel=0.4)


def test_a_gap_alone_makes_no_increment(market: list[Event]) -> None:
    gap = [Gap(event.topic, 7, time_of(event)) for event in market[-20:] if isinstance(event, Delivery)]
    for kind in KINDS:
        core = AnalyzerCore(kind, [MARKET])
        run(core, market)
        before = signals_of(core.update(Timer(ns(160))))
        assert run(core, gap) == []
        after = signals_of(core.update(Timer(ns(161.5))))
        if kind != "flow":  # flow fades with time
            assert msgspec.structs.replace(after[0], ts_event_ns=0, ts_recv_ns=0) == msgspec.structs.replace(
                before[0], ts_event_ns=0, ts_recv_ns=0
            )


def test_the_twap_stream_is_never_an_input_of_lead_lag(market: list[Event]) -> None:
    core = AnalyzerCore("lead_lag", [MARKET])
    run(core, market)
    core.update(Delivery("OraclePrice.BTC.twap60", 1, 1, build(OraclePrice, at_s=START_S + 150, kind="twap60")))
    assert "OraclePrice.BTC.twap60" not in signals_of(core.update(Timer(ns(160))))[-1].inputs


def implied_market(*, settlement: str, strike_state: str = "PROVEN", sigma: float = 1.5 * SIGMA) -> list[Event]:
    """A flat spot 20 basis points above the strike, and a book that prices `sigma`, from second 100 on."""
    tape = Tape()
    price, strike = 80_160.0, 80_000.0
    events: list[Event] = [
        tape.deliver(build(Period, at_s=START_S, settlement=settlement, strike=strike, strike_state=strike_state))
    ]
    for tick in range(60 * 5):
        at_s = 100.0 + tick / 5
        wobble = 1.0 + 2e-5 * math.sin(tick)
        events.append(
            tape.deliver(build(SpotQuote, at_s=START_S + at_s, bid=price * wobble - 0.5, ask=price * wobble + 0.5))
        )
        if tick % 5 == 0:
            events.append(tape.deliver(build(OraclePrice, at_s=START_S + at_s, price=price)))
            variance_s = 900.0 - at_s - 1.5 - (43.0 - 0.5 if settlement == "twap" else 0.0)
            total = sigma * math.sqrt(variance_s)
            p = 0.5 * math.erfc(-(math.log(price / strike) / total - total / 2) / math.sqrt(2.0))
            mid = round(p * 1000)
            events.append(
                tape.deliver(
                    build(
                        OutcomeBook,
                        at_s=START_S + at_s,
                        tick_size=0.001,
                        bid_ticks=(mid - 5,),
                        ask_ticks=(mid + 5,),
                        bid_sizes=(10.0,),
                        ask_sizes=(10.0,),
                    )
                )
            )
    return events


@pytest.mark.parametrize("settlement", ["twap", "spot"])
def test_the_book_implies_its_volatility_under_either_settlement(settlement: str) -> None:
    last = signals_of(run(AnalyzerCore("volatility", [MARKET]), implied_market(settlement=settlement)))[-1]
    assert last.implied_per_sqrt_s == pytest.approx(1.5 * SIGMA, rel=0.03)
    assert last.realized_per_sqrt_s < last.sigma_per_sqrt_s < last.implied_per_sqrt_s


def test_without_a_proven_strike_nothing_is_implied() -> None:
    events = implied_market(settlement="twap", strike_state="PENDING")
    last = signals_of(run(AnalyzerCore("volatility", [MARKET]), events))[-1]
    assert last.implied_per_sqrt_s is None
    assert last.sigma_per_sqrt_s == last.realized_per_sqrt_s


def test_a_new_period_forgets_the_implied_volatility_and_keeps_the_realized() -> None:
    core = AnalyzerCore("volatility", [MARKET])
    before = signals_of(run(core, implied_market(settlement="twap")))[-1]
    rollover = build(
        Period,
        at_s=START_S + 901,
        slug=NEXT_SLUG,
        start_ns=ns(900),
        end_ns=ns(1800),
        strike=None,
        strike_state="PENDING",
    )
    core.update(Delivery("Period.btc-15m.current", 1, 99, rollover))
    after = signals_of(core.update(Timer(ns(161))))[-1]
    assert before.implied_per_sqrt_s is not None
    assert after.implied_per_sqrt_s is None
    assert after.realized_per_sqrt_s == before.realized_per_sqrt_s


def flow_after(trades: list[dict[str, Any]], *, end_s: float = 20.0) -> Flow:
    core, tape = AnalyzerCore("flow", [MARKET]), Tape()
    core.update(tape.deliver(build(OutcomeBook, at_s=START_S)))
    for i, trade in enumerate(trades):
        core.update(tape.deliver(build(OutcomeTrade, **({"at_s": START_S + i + 1.0, "trade_id": f"t{i}"} | trade))))
    flow = signals_of(core.update(Timer(ns(end_s))))[-1]
    assert isinstance(flow, Flow)
    return flow


def test_buying_put_counts_as_selling_call() -> None:
    assert flow_after([{"outcome": "PUT", "price": 0.49, "aggressor": "buy"}]) == msgspec.structs.replace(
        flow_after([{"outcome": "CALL", "price": 0.51, "aggressor": "sell"}]),
        inputs={"OutcomeBook.btc-15m.CALL": 1, "OutcomeTrade.btc-15m.PUT": 1},
    )
    assert flow_after([{"outcome": "PUT", "price": 0.49, "aggressor": "buy"}]).imbalance < 0.0


def test_a_repeated_trade_id_and_an_older_trade_count_once() -> None:
    once = flow_after([{"size": 30.0}])
    assert flow_after([{"size": 30.0}, {"size": 30.0, "trade_id": "t0"}]).imbalance == once.imbalance
    assert flow_after([{"size": 30.0}, {"size": 30.0, "at_s": START_S + 0.5}]).imbalance == once.imbalance


def test_informed_takers_make_the_flow_toxic() -> None:
    """Takers buy just before the mid rises, along with the leading venue's order flow."""
    core, tape = AnalyzerCore("flow", [MARKET]), Tape()
    for i in range(40):
        at_s, bid = START_S + i, 5 + 2 * i
        core.update(tape.deliver(build(SpotQuote, at_s=at_s, bid=80_000.0 + i, ask=80_001.0 + i)))
        core.update(tape.deliver(build(OutcomeBook, at_s=at_s, bid_ticks=(bid,), ask_ticks=(bid + 1,))))
        trade = build(OutcomeTrade, at_s=at_s + 0.1, price=(bid + 1) / 100, size=100.0, trade_id=f"{i}")
        core.update(tape.deliver(trade))
    informed = signals_of(core.update(Timer(ns(40.5))))[-1]
    assert informed.warm
    assert informed.markout > 0.01
    assert informed.lead_order_flow > 0.3
    assert informed.toxicity > 0.7
    noise = flow_after([{"size": 10.0, "aggressor": "buy" if i % 2 else "sell"} for i in range(20)], end_s=25.0)
    assert noise.toxicity < 0.1


def test_flow_starts_fresh_when_the_slug_changes_and_ignores_the_old_period() -> None:
    core, tape = AnalyzerCore("flow", [MARKET]), Tape()
    for i in range(30):
        core.update(tape.deliver(build(OutcomeTrade, at_s=START_S + i, size=50.0, trade_id=f"{i}")))
    old = signals_of(core.update(Timer(ns(31))))[-1]
    core.update(tape.deliver(build(OutcomeBook, at_s=START_S + 900.1, slug=NEXT_SLUG)))
    core.update(tape.deliver(build(OutcomeTrade, at_s=START_S + 900.2, slug=SLUG, size=50.0, trade_id="late")))
    new = signals_of(core.update(Timer(ns(902))))[-1]
    assert (old.slug, new.slug) == (SLUG, NEXT_SLUG)
    assert old.imbalance > 0.5
    assert (new.imbalance, new.toxicity, new.vpin, new.warm) == (0.0, 0.0, None, False)


def told(core: AnalyzerCore, at_s: float) -> Any:
    return signals_of(core.update(Timer(ns(at_s))))[-1]


def test_volatility_is_not_warm_once_its_mid_is_silent(market: list[Event]) -> None:
    core = AnalyzerCore("volatility", [MARKET])
    run(core, market)
    assert told(core, 153.0).warm
    silent = told(core, 156.0)
    assert not silent.warm
    assert silent.ts_event_ns <= ns(150.0)  # the time of what it says
    core.update(Delivery("SpotQuote.BTC.coinbase", 2, 1, build(SpotQuote, at_s=START_S + 157.0, venue="coinbase")))
    assert told(core, 158.5).warm


def test_volatility_is_not_warm_after_lost_quotes_until_the_next_one(market: list[Event]) -> None:
    core = AnalyzerCore("volatility", [MARKET])
    run(core, market)
    core.update(Gap("SpotQuote.BTC.bybit", 1, ns(150)))
    assert told(core, 152.8).warm
    core.update(Gap("SpotQuote.BTC.coinbase", 1, ns(153)))
    assert not told(core, 153.9).warm
    core.update(Delivery("SpotQuote.BTC.coinbase", 2, 1, build(SpotQuote, at_s=START_S + 154.0, venue="coinbase")))
    assert told(core, 155.1).warm


def test_the_settings_shared_with_the_quoter_come_from_its_configuration() -> None:
    config = MMConfig(window_offset_s=1.0, default_lead_s=0.7, vol_pullback_seconds=9.0)
    core = AnalyzerCore("volatility", [MARKET], config)
    analyzer = core._desks[MARKET].analyzer
    assert isinstance(analyzer, VolatilityAnalyzer)
    assert analyzer.settings == settings_of(config)
    assert (analyzer.settings.offset_s, analyzer.settings.default_lead_s) == (1.0, 0.7)
    assert analyzer.settings.spike.cooldown_s == 9.0


def test_a_print_that_the_venue_contradicts_enters_no_settlement_window() -> None:
    events = implied_market(settlement="twap")
    core = AnalyzerCore("volatility", [MARKET])
    run(core, events)
    record = core._desks[MARKET].analyzer.record
    assert record["projection"]["updates"][0, 0] >= 5
    before = record["windows"].tobytes()
    wild = build(OraclePrice, at_s=START_S + 160.0, price=40_000.0)
    core.update(Delivery("OraclePrice.BTC.spot", 2, 1, wild))
    assert int(record["projection"]["refused"][0, 0]) > 0
    assert record["windows"].tobytes() == before

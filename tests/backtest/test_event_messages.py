"""Events become the messages that the bus would have carried, and every stream has its health."""

from __future__ import annotations

from typing import Any

import pytest

from backtest.event_messages import messages
from backtest.events import Events
from backtest.events_build import EventsBuilder
from backtest.session import Session
from services.quoter.core import QuoterCore
from shared.config import load_config
from shared.core import Delivery
from shared.market import Series
from shared.messages import FeedStatus, Message, OraclePrice, OutcomeBook, OutcomeTrade, Period, SpotQuote, topic_of
from tests.backtest.small_events import builder_of_everything, everything
from tests.builders import NS, SLUG, START_S, build


def events_of(*told: Message, outages: tuple[tuple[float, float], ...] = ()) -> Events:
    builder = EventsBuilder()
    for message in told:
        builder.take(message)  # type: ignore[arg-type]
    for start_s, end_s in outages:
        builder.outage(
            start_ns=round((START_S + start_s) * NS),
            end_ns=round((START_S + end_s) * NS),
            venue="bybit",
            channel="SpotQuote",
            subject="BTC",
        )
    return builder.build("test")


def states(events: Events, topic: str = "FeedStatus.BTC.bybit.SpotQuote") -> list[tuple[float, str]]:
    """When a stream was said to be in which state, repeats left out."""
    found: list[tuple[float, str]] = []
    for message in messages(events):
        if isinstance(message, FeedStatus) and topic_of(message) == topic:
            if found and found[-1][1] == message.state:
                continue
            found.append((round((message.ts_recv_ns - START_S * NS) / NS, 6), message.state))
    return found


def test_every_message_comes_back_as_it_was_told() -> None:
    told = [
        build(Period),
        build(OraclePrice, kind="twap60", price=80_001.5),
        build(SpotQuote, venue="coinbase"),
        build(OutcomeBook),
        build(OutcomeBook, outcome="PUT", ask_ticks=(), ask_sizes=(), tick_size=0.001),
        build(OutcomeTrade, aggressor="sell", trade_id="12"),
        build(OutcomeTrade, trade_id=""),
    ]
    assert [each for each in messages(events_of(*told)) if not isinstance(each, FeedStatus)] == told


def test_messages_come_in_order_of_receipt_and_at_one_instant_by_kind() -> None:
    told = [build(kind) for kind in (OutcomeTrade, OutcomeBook, SpotQuote, OraclePrice, Period)]
    earlier = build(OutcomeTrade, at_s=START_S + 299.5)
    kinds = [type(each).__name__ for each in messages(events_of(*told, earlier))]
    assert kinds[:6] == ["OutcomeTrade", "Period", "OraclePrice", "SpotQuote", "OutcomeBook", "OutcomeTrade"]
    assert set(kinds[6:]) == {"FeedStatus"}
    times = [each.ts_recv_ns for each in messages(everything())]
    assert times == sorted(times)


def test_many_messages_cross_the_parts_they_are_made_in(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(messages(everything()))
    monkeypatch.setattr("backtest.event_messages.ROWS_AT_ONCE", 3)
    assert list(messages(everything())) == whole


def test_only_the_chosen_periods_and_their_assets_are_told() -> None:
    other = f"eth-updown-5m-{START_S}"
    builder = builder_of_everything()
    for message in (
        build(Period, slug=other, market="eth-5m"),
        build(SpotQuote, asset="ETH"),
        build(OraclePrice, asset="ETH"),
        build(OutcomeBook, slug=other, market="eth-5m"),
        build(OutcomeTrade, slug=other, market="eth-5m"),
    ):
        builder.take(message)
    events = builder.build("test")
    assert list(messages(events, slugs=[SLUG])) == list(messages(builder_of_everything().build("test")))
    of_other = list(messages(events, slugs=[other]))
    assert len(of_other) == 8
    assert {topic_of(each).split(".")[1] for each in of_other} == {"ETH", "eth-5m"}
    assert list(messages(events, slugs=[])) == []


def test_a_market_is_known_by_its_slug_when_no_period_was_announced() -> None:
    book = next(each for each in messages(events_of(build(OutcomeBook))) if isinstance(each, OutcomeBook))
    assert book.market == "btc-15m"


# -- health ----------------------------------------------------------------------------------------------------------


def test_a_stream_is_live_from_its_first_row_until_it_is_silent_too_long() -> None:
    quotes = [build(SpotQuote, at_s=START_S + second) for second in (0.5, 2.5, 12.5)]
    beyond = build(SpotQuote, at_s=START_S + 30, venue="coinbase")
    assert states(events_of(*quotes, beyond)) == [(0.5, "LIVE"), (7.5, "STALE"), (12.5, "LIVE"), (17.5, "STALE")]


def test_prints_of_the_oracle_age_by_their_own_stamps() -> None:
    topic = "FeedStatus.BTC.spot.chainlink.OraclePrice"
    prints = [
        build(OraclePrice, at_s=START_S + second, ts_event_ns=(START_S + stamp) * NS)
        for second, stamp in ((2, 0), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (9, 7))
    ]
    assert states(events_of(*prints), topic) == [(2.0, "LIVE"), (7.0, "STALE"), (9.0, "LIVE")]


def test_a_stream_is_down_inside_an_outage_whatever_it_said() -> None:
    quotes = [build(SpotQuote, at_s=START_S + second) for second in range(8)]
    overlapping = ((2.25, 4.5), (3.0, 5.5))
    assert states(events_of(*quotes, outages=overlapping)) == [(0.0, "LIVE"), (2.25, "DOWN"), (5.5, "LIVE")]


def test_nothing_is_said_of_a_stream_before_it_spoke() -> None:
    told = [build(SpotQuote, at_s=START_S + second) for second in (0, 1, 2, 3)]
    book = build(OutcomeBook, at_s=START_S + 2.5)
    found = states(events_of(*told, book), "FeedStatus.btc-15m.CALL.polymarket.OutcomeBook")
    assert found == [(2.5, "LIVE")]


def test_states_are_repeated_each_second_with_ages_and_rates() -> None:
    quotes = [build(SpotQuote, at_s=START_S + second / 4) for second in range(41)]
    statuses = [each for each in messages(events_of(*quotes)) if isinstance(each, FeedStatus)]
    assert [each.ts_recv_ns for each in statuses] == [(START_S + second) * NS for second in range(11)]
    last = statuses[-1]
    assert last.age_s == 0.0
    assert last.seen_rate_hz == pytest.approx(4.0, rel=0.1)
    assert last.expected_rate_hz == pytest.approx(4.1)
    assert statuses[0].seen_rate_hz == 0.0
    assert {each.reason for each in statuses} == {""}


def test_repeats_end_a_minute_after_everything_fell_silent() -> None:
    quotes = [build(SpotQuote, at_s=START_S + second) for second in (0, 100_000)]
    statuses = [each for each in messages(events_of(*quotes)) if isinstance(each, FeedStatus)]
    assert len(statuses) == 62  # sixty repeats, the change to STALE between two of them, and the last quote's own
    assert statuses[5].state == "LIVE"
    assert statuses[6].reason == "no data for more than 5 s"


def test_events_of_nothing_are_no_messages() -> None:
    assert list(messages(EventsBuilder().build("nothing"))) == []


def test_the_quoter_takes_every_status_as_one_of_its_inputs() -> None:
    quoter = QuoterCore(load_config("default"), ["btc-15m"])
    market = quoter.markets["btc-15m"]
    taken: list[Any] = []
    for seq, message in enumerate(messages(everything()), 1):
        touched = quoter.take(Delivery(topic_of(message), 1, seq, message))
        if isinstance(message, FeedStatus):
            taken.append((message.subject, bool(touched)))
    # The average of a minute has a health of its own, and no quote depends on it.
    assert {subject for subject, is_used in taken if is_used} == {"BTC", "BTC.spot", "btc-15m.CALL", "btc-15m.PUT"}
    signals = market.signals
    assert signals.call_status.message is not None
    assert signals.call_status.message.state == "LIVE"
    assert signals.put_status.message is not None


def test_a_session_plays_them() -> None:
    session = Session({}, [Series.parse("btc-15m")])
    heard: list[str] = []
    session.listeners.append(lambda message: heard.append(type(message).__name__))
    for message in messages(everything()):
        session.publish(message)
    assert heard.count("OutcomeBook") == 10

"""The whole protocol: discovery, subscriptions, books, rollover, strike, settlement, doubt and recovery."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.feeds.polymarket import MarketChannelProtocol
from services.feeds.protocol import Act, Drop, Fetch, Publish, Reconnect, Send, Status
from shared.codec import encode
from shared.messages import (
    Envelope,
    OracleHistory,
    OraclePrice,
    OutcomeBook,
    OutcomeTrade,
    Period,
    Settlement,
)
from tests.services.feeds.polymarket import frames as make

START = make.START_S
NS = make.NS
TICK_NS = NS // 10


class Venue:
    """A hand-written stand-in for the runner and the venue's REST side."""

    def __init__(self, *, at_s: float = START + 60, markets: Sequence[str] = ("btc-15m",)) -> None:
        self.protocol = MarketChannelProtocol(markets)
        self.ts_ns = int(at_s * NS)
        self.acts: list[Act] = []
        self.answers: dict[str, Callable[[], tuple[int, bytes]]] = {}
        self.metadata: dict[int, dict[str, float]] = {}
        self.changes: dict[int, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.open_price: float | None = None
        self.answers_pings = True

    def do(self, acts: Sequence[Act]) -> list[Act]:
        self.acts += acts
        for act in acts:
            if isinstance(act, Fetch):
                self.requests.append(act.request)
                status, body = self.answer(act.request)
                self.do(self.protocol.on_response(act.request, status, body, self.ts_ns))
            if act == Send("PING") and self.answers_pings:
                self.do(self.protocol.on_frame("PONG", self.ts_ns))
        return list(acts)

    def answer(self, request: str) -> tuple[int, bytes]:
        if request in self.answers:
            return self.answers[request]()
        kind, _, subject = request.partition(":")
        if kind == "event":
            start_s = int(subject.rpartition("-")[2])
            event = make.gamma_event(start_s, metadata=self.metadata.get(start_s), **self.changes.get(start_s, {}))
            return 200, make.body(event)
        if kind == "clob":
            start_s = START if subject == make.CONDITION else int(subject, 16)
            return 200, make.body(make.clob_market(start_s))
        if kind == "price":
            return 200, make.body({"openPrice": self.open_price, "closePrice": None, "completed": False})
        if kind == "listing":
            return 200, make.body([{"slug": make.SLUG}])
        return 404, b""

    def run(self, seconds: float) -> Venue:
        for _ in range(round(seconds * 10)):
            self.ts_ns += TICK_NS
            self.do(self.protocol.on_timer(self.ts_ns))
        return self

    def open(self) -> Venue:
        self.do(self.protocol.on_open(self.ts_ns))
        return self

    def send(self, frame: Any) -> list[Act]:
        return self.do(self.protocol.on_frame(make.text(frame), self.ts_ns))

    def books(self, start_s: int = START, **more: Any) -> list[Act]:
        call, put = make.tokens(start_s)
        more = {"at": str(self.ts_ns // 1_000_000), "market": make.condition(start_s)} | more
        return self.send(make.both_books(call=call, put=put, **more))

    def change(self, **more: Any) -> list[Act]:
        return self.send(make.change(**({"at": str(self.ts_ns // 1_000_000)} | more)))

    def published(self, kind: type[Any]) -> list[Any]:
        return [act.message for act in self.acts if isinstance(act, Publish) and isinstance(act.message, kind)]

    def period(self, role: str = "current") -> Period:
        found: Period = [message for message in self.published(Period) if message.role == role][-1]
        return found

    def state(self) -> tuple[str, str]:
        status = [act for act in self.acts if isinstance(act, Status) and act.channel == "OutcomeBook"][-1]
        return status.state, status.reason

    def drops(self) -> set[str]:
        return {act.reason for act in self.acts if isinstance(act, Drop)}

    def sent(self) -> list[Any]:
        return [json.loads(act.text) for act in self.acts if isinstance(act, Send) and act.text != "PING"]


def live(**more: Any) -> Venue:
    """A venue whose current period is known, subscribed and live."""
    venue = Venue(**more).open().run(0.3)
    for index in range(3):
        venue.books(START + 900 * index)
    assert venue.state() == ("LIVE", "")
    return venue


def books_in(acts: Sequence[Act]) -> list[OutcomeBook]:
    return [act.message for act in acts if isinstance(act, Publish) and isinstance(act.message, OutcomeBook)]


def test_the_current_and_the_next_two_periods_are_found_by_slug() -> None:
    venue = Venue().run(0.3)
    assert [venue.period(role).slug for role in ("current", "next", "next2")] == [
        f"btc-updown-15m-{START + 900 * index}" for index in range(3)
    ]
    assert venue.period().refusal is None
    assert (venue.period().call_token, venue.period().tick_size, venue.period().fee_rate) == (make.CALL, 0.01, 0.07)
    assert (venue.period().rewards_min_shares, venue.period().rewards_max_spread) == (50.0, 0.045)


def test_a_period_is_refused_until_the_order_books_record_confirms_it() -> None:
    venue = Venue()
    venue.answers[f"clob:{make.CONDITION}"] = lambda: (503, b"")
    venue.run(0.3)
    assert venue.period().refusal == "clob_not_confirmed"
    del venue.answers[f"clob:{make.CONDITION}"]
    venue.run(5)
    assert venue.period().refusal is None


def test_a_period_that_is_not_listed_is_refused_and_looked_for_again() -> None:
    venue = Venue()
    venue.answers[f"event:{make.SLUG}"] = lambda: (404, b"")
    venue.run(0.5)
    assert venue.period().refusal == "not_listed"
    assert Status("Period", "btc-15m", "DOWN", "not_listed") in venue.acts
    del venue.answers[f"event:{make.SLUG}"]
    venue.run(5)
    assert venue.period().refusal is None


def test_an_unknown_rule_is_refused_in_the_period() -> None:
    venue = Venue()
    venue.changes[START] = {"resolutionSource": "https://example.org"}
    venue.run(0.3)
    assert venue.period().refusal == "unknown_settlement_rule"


def test_all_tokens_are_subscribed_in_the_first_message_of_a_connection() -> None:
    venue = Venue().run(0.3).open()
    (greeting,) = venue.sent()
    assert (greeting["type"], greeting["custom_feature_enabled"], len(greeting["assets_ids"])) == ("market", True, 6)


def test_a_period_is_not_refused_while_it_is_asked_for_the_first_time() -> None:
    venue = Venue()
    acts = venue.protocol.on_timer(venue.ts_ns)
    assert [act for act in acts if isinstance(act, Publish) and isinstance(act.message, Period)] == []
    (told,) = [act for act in acts if isinstance(act, Status) and act.channel == "Period"]
    assert (told.state, told.reason) == ("DOWN", "not_discovered")
    later = venue.protocol.on_timer(venue.ts_ns + 3 * NS // 2)
    refused = [act.message for act in later if isinstance(act, Publish) and isinstance(act.message, Period)]
    assert [(one.role, one.refusal) for one in refused] == [
        (role, "not_discovered") for role in ("current", "next", "next2")
    ]


def test_a_period_that_was_asked_for_in_vain_is_refused_at_once() -> None:
    venue = Venue()
    venue.answers[f"event:{make.SLUG}"] = lambda: (404, b"")
    venue.run(0.3)
    assert venue.period().refusal == "not_listed"


def test_tokens_found_later_are_subscribed_on_the_open_connection() -> None:
    venue = Venue()
    venue.answers[f"event:btc-updown-15m-{START + 900}"] = lambda: (404, b"")
    venue.open().run(0.3)
    del venue.answers[f"event:btc-updown-15m-{START + 900}"]
    venue.run(5)
    subscribed = [one for one in venue.sent() if one.get("operation") == "subscribe"]
    assert any(set(make.tokens(START + 900)) == set(one["assets_ids"]) for one in subscribed)
    assert venue.sent()[0]["type"] == "market"


def test_books_of_the_current_period_are_published_whole_and_best_first() -> None:
    call, put = live().published(OutcomeBook)
    assert (call.outcome, call.bid_ticks, call.bid_sizes, call.ask_ticks) == (
        "CALL",
        (49, 48),
        (100.5, 200.0),
        (51, 52),
    )
    assert (put.outcome, put.bid_ticks, put.bid_sizes) == ("PUT", (49, 48), (120.25, 80.0))


def test_books_of_prepared_periods_are_not_published() -> None:
    venue = live()
    assert books_in(venue.books(START + 900)) == []


def test_a_change_near_the_touch_is_published_at_once_for_both_outcomes() -> None:
    venue = live()
    published = books_in(venue.change(size="75"))
    assert [(book.outcome, book.bid_sizes[0], book.ask_sizes[0]) for book in published] == [
        ("CALL", 75.0, 120.25),
        ("PUT", 120.25, 75.0),
    ]


def test_a_change_far_from_the_touch_waits_for_the_timer() -> None:
    venue = live()
    assert books_in(venue.change(price="0.01", size="5")) == []
    before = len(venue.published(OutcomeBook))
    venue.run(0.1)
    assert len(venue.published(OutcomeBook)) == before + 2
    assert venue.published(OutcomeBook)[-2].bid_ticks == (49, 48, 1)


def test_a_frame_that_changes_nothing_publishes_nothing() -> None:
    venue = live()
    venue.change(size="75")
    assert books_in(venue.change(size="75")) == []


def test_trades_carry_the_takers_side_and_count_once() -> None:
    venue = live()
    frame = make.trade(side="SELL", timestamp=str(venue.ts_ns // 1_000_000))
    venue.send(frame)
    venue.send(frame)
    (trade,) = venue.published(OutcomeTrade)
    assert (trade.outcome, trade.aggressor, trade.price, trade.size) == ("CALL", "sell", 0.51, 5.0)
    assert "duplicate_trade" in venue.drops()


def test_a_tick_size_change_reaches_the_period_and_the_books() -> None:
    venue = live()
    venue.send(make.tick_change())
    assert venue.period().tick_size == 0.001
    assert venue.published(OutcomeBook)[-1].tick_size == 0.001
    assert venue.published(OutcomeBook)[-1].bid_ticks == (490, 480)


def test_at_the_boundary_the_prepared_book_is_published_at_once() -> None:
    venue = live(at_s=START + 880)
    venue.books(START + 900)
    venue.run((START + 900) - venue.ts_ns / NS - 0.1)
    assert venue.period().slug == make.SLUG
    venue.acts.clear()
    venue.run(0.1)
    assert venue.ts_ns == (START + 900) * NS
    assert [(book.slug, book.outcome) for book in venue.published(OutcomeBook)] == [
        (f"btc-updown-15m-{START + 900}", "CALL"),
        (f"btc-updown-15m-{START + 900}", "PUT"),
    ]
    assert venue.period().slug == f"btc-updown-15m-{START + 900}"
    assert venue.state() == ("LIVE", "")


def test_the_first_frame_after_the_boundary_rolls_even_before_the_timer() -> None:
    venue = live(at_s=START + 890)
    venue.books(START + 900)
    venue.ts_ns = (START + 900) * NS + 5
    acts = venue.send(make.change(at=str(venue.ts_ns // 1_000_000)))
    assert {book.slug for book in books_in(acts)} == {f"btc-updown-15m-{START + 900}"}


def test_a_new_period_without_a_snapshot_says_so() -> None:
    venue = Venue(at_s=START + 890).open().run(0.3)
    venue.books()
    assert venue.state() == ("LIVE", "")
    venue.run(10)
    assert venue.state() == ("GAP", "no_snapshot")


def test_periods_are_repeated_every_five_seconds() -> None:
    venue = live()
    venue.acts.clear()
    venue.run(10.1)
    assert len([message for message in venue.published(Period) if message.role == "next2"]) == 2


def test_the_own_twap_tick_at_the_start_proves_the_strike() -> None:
    venue = live()
    assert venue.period().strike_state == "PENDING"
    tick = OraclePrice(
        ts_event_ns=START * NS, ts_recv_ns=venue.ts_ns, asset="BTC", kind="twap60", price=86_000.5, venue="x"
    )
    venue.do(venue.protocol.on_message(tick))
    assert (venue.period().strike, venue.period().strike_source) == (86_000.5, "own_twap60_tick")


def test_a_history_seen_before_the_rules_proves_the_strike_as_well() -> None:
    venue = Venue()
    history = OracleHistory(
        ts_event_ns=0,
        ts_recv_ns=venue.ts_ns,
        asset="BTC",
        kind="twap60",
        venue="x",
        seconds=(START - 1, START),
        prices=(86_000.0, 86_000.5),
    )
    venue.do(venue.protocol.on_message(history))
    venue.run(0.3)
    assert venue.period().strike == 86_000.5


def test_a_missed_start_is_proven_by_the_website_and_the_period_before() -> None:
    venue = Venue()
    venue.open_price = 86_000.5
    venue.run(0.3)
    assert (venue.period().strike_state, venue.period().strike_source) == ("PENDING", "only_website")
    venue.metadata[START - 900] = {"finalPrice": 86_000.5, "priceToBeat": 1.0}
    venue.run(16)
    assert (venue.period().strike_state, venue.period().strike) == ("PROVEN", 86_000.5)


def test_a_tick_stamped_within_the_second_of_the_start_proves_nothing() -> None:
    venue = live()
    stamp_ns = START * NS + NS // 5
    tick = OraclePrice(
        ts_event_ns=stamp_ns, ts_recv_ns=venue.ts_ns, asset="BTC", kind="twap60", price=86_000.5, venue="x"
    )
    venue.do(venue.protocol.on_message(tick))
    assert venue.period().strike_state == "PENDING"


def test_a_final_price_by_another_rule_is_no_evidence_for_the_next_strike() -> None:
    venue = Venue()
    venue.open_price = 86_000.5
    venue.metadata[START - 900] = {"finalPrice": 86_000.5}
    venue.changes[START - 900] = {"resolutionSource": make.SPOT_SOURCE, "cryptoMarketConfig": {"twapEnabled": False}}
    venue.run(0.3)
    assert (venue.period().strike_state, venue.period().strike_source) == ("PENDING", "only_website")


def test_sources_that_disagree_leave_the_strike_pending() -> None:
    venue = Venue()
    venue.open_price = 86_009.5
    venue.metadata[START - 900] = {"finalPrice": 86_000.5}
    venue.run(0.3)
    assert venue.period().strike_state == "PENDING"
    assert venue.period().strike_source.startswith("disagreement")


def test_the_prints_that_came_before_the_period_was_known_judge_its_own_tick() -> None:
    venue = Venue()
    for second in range(START - 62, START - 2):
        venue.do(venue.protocol.on_oracle("BTC", "spot", second, 86_000.5, ts_recv_ns=venue.ts_ns))
    venue.do(venue.protocol.on_oracle("BTC", "twap60", START, 86_100.0, ts_recv_ns=venue.ts_ns))
    venue.run(0.3)
    assert (venue.period().strike_state, venue.period().strike_source) == ("PENDING", "own_tick_implausible")


def test_a_contradicted_strike_is_no_longer_proven() -> None:
    venue = live()
    venue.do(venue.protocol.on_oracle("BTC", "twap60", START, 86_000.5, ts_recv_ns=venue.ts_ns))
    assert venue.period().strike_state == "PROVEN"
    venue.open_price = 86_009.5
    venue.run(70)
    assert (venue.period().strike_state, venue.period().strike) == ("PENDING", None)
    assert venue.period().strike_source.startswith("contradicted")


@pytest.mark.parametrize(("final", "winner", "agrees"), [(86_000.5, make.CALL, True), (85_999.0, make.CALL, False)])
def test_the_settlement_is_recomputed_and_compared(final: float, winner: str, agrees: bool) -> None:
    venue = live(at_s=START + 880)
    venue.do(venue.protocol.on_oracle("BTC", "twap60", START, 86_000.5, ts_recv_ns=venue.ts_ns))
    venue.run(22)
    venue.do(venue.protocol.on_oracle("BTC", "twap60", START + 900, final, ts_recv_ns=venue.ts_ns))
    venue.send(make.resolved(winner, at=str(venue.ts_ns // 1_000_000)))
    settlement: Settlement = venue.published(Settlement)[-1]
    assert (settlement.slug, settlement.strike, settlement.final_price) == (make.SLUG, 86_000.5, final)
    assert (settlement.recomputed, settlement.official, settlement.agrees) == (
        "CALL" if agrees else "PUT",
        "CALL",
        agrees,
    )
    assert venue.period().strike == final


def test_a_settlement_that_the_channel_never_tells_is_read_from_gamma() -> None:
    venue = live(at_s=START + 890)
    venue.metadata[START] = {"finalPrice": 86_010.0, "priceToBeat": 86_000.5}
    venue.changes[START] = {"closed": True, "outcomePrices": '["1", "0"]'}
    venue.run(80)
    settlement: Settlement = venue.published(Settlement)[-1]
    assert (settlement.official, settlement.final_price, settlement.agrees) == ("CALL", 86_010.0, None)


def test_a_resolution_before_the_end_is_refused() -> None:
    venue = live()
    venue.send(make.resolved(at=str(venue.ts_ns // 1_000_000)))
    assert venue.published(Settlement) == []
    assert "resolved_early" in venue.drops()


def test_a_settled_period_is_left_and_its_tokens_unsubscribed() -> None:
    venue = live(at_s=START + 890)
    venue.metadata[START] = {"finalPrice": 86_010.0}
    venue.changes[START] = {"closed": True, "outcomePrices": '["1", "0"]'}
    venue.run(12)
    venue.do(venue.protocol.on_oracle("BTC", "twap60", START + 900, 86_010.0, ts_recv_ns=venue.ts_ns))
    venue.run(80)
    left = [one for one in venue.sent() if one.get("operation") == "unsubscribe"]
    assert {make.CALL, make.PUT} in [set(one["assets_ids"]) for one in left]
    venue.acts.clear()
    venue.change()
    assert venue.drops() == set()


def test_memory_is_flat_over_a_day_of_rollovers() -> None:
    venue = live(at_s=START + 890)
    for _ in range(96):
        venue.ts_ns += 900 * NS
        venue.acts.clear()
        venue.requests.clear()
        venue.do(venue.protocol.on_timer(venue.ts_ns))
        venue.run(0.2)
    protocol = venue.protocol
    assert len(protocol._all_markets()) <= 5
    assert len(protocol._by_token) <= 10
    assert len(protocol._polls) < 40


def test_a_doubted_book_is_not_published_and_is_asked_for_again() -> None:
    venue = live()
    frame = make.change(at=str(venue.ts_ns // 1_000_000))
    frame["price_changes"][0]["size"] = "-1"
    assert books_in(venue.send(frame)) == []
    assert venue.state() == ("GAP", "bad_size")
    venue.acts.clear()
    venue.run(2.1)
    assert [one["operation"] for one in venue.sent()] == ["unsubscribe", "subscribe"]
    assert len(books_in(venue.books())) == 2
    assert venue.state() == ("LIVE", "")


def test_a_first_doubt_is_resynchronized_at_once() -> None:
    venue = live().run(35)
    venue.acts.clear()
    venue.do(venue.protocol.on_frame("{not json", venue.ts_ns))
    assert venue.state() == ("GAP", "malformed_frame")
    venue.run(0.1)
    assert {make.CALL, make.PUT} in [set(one["assets_ids"]) for one in venue.sent()]


def test_a_snapshot_that_never_comes_reconnects_once() -> None:
    venue = Venue().open().run(40)
    assert [act for act in venue.acts if isinstance(act, Reconnect)] == [Reconnect("no_snapshot")]


def test_a_socket_without_even_a_pong_is_reconnected_after_half_a_minute() -> None:
    venue = live()
    venue.answers_pings = False
    venue.run(29)
    assert Reconnect("silent") not in venue.acts
    venue.run(2)
    assert Reconnect("silent") in venue.acts


def test_a_ping_goes_out_every_ten_seconds() -> None:
    venue = live()
    venue.run(25)
    assert venue.acts.count(Send("PING")) == 2


def test_a_quiet_book_that_rest_confirms_is_published_again_as_evidence() -> None:
    venue = live()
    at = str(venue.ts_ns // 1_000_000)
    venue.answers[f"book:{make.CALL}"] = lambda: (200, make.body(make.rest_book(at=at)))
    venue.run(2.5)
    assert not [request for request in venue.requests if request.startswith("book:")]
    venue.acts.clear()
    venue.run(1)
    (again,) = venue.published(OutcomeBook)
    assert (again.outcome, again.ts_event_ns, again.bid_ticks) == ("CALL", int(at) * 1_000_000, (49, 48))
    assert venue.ts_ns - again.ts_recv_ns < NS


def test_a_frozen_socket_is_found_by_rest_and_reconnected() -> None:
    venue = live()
    venue.answers[f"book:{make.CALL}"] = lambda: (
        200,
        make.body(make.rest_book(bids={"0.3": "5"}, at=str(venue.ts_ns // 1_000_000))),
    )
    venue.run(3.5)
    assert venue.state() == ("LIVE", "")
    venue.run(2)
    assert Reconnect("stale_book") in venue.acts
    assert venue.state() == ("GAP", "stale_book")


def test_books_that_keep_changing_late_are_stale_until_one_is_on_time() -> None:
    venue = live()
    for _ in range(12):
        venue.run(0.1)
        venue.change(at=str(venue.ts_ns // 1_000_000 - 3_000 + 100))
    assert venue.state() == ("STALE", "late")
    venue.change()
    assert venue.state() == ("LIVE", "")


def test_a_book_whose_changes_are_stamped_ahead_is_stale_and_stamped_with_the_receipt() -> None:
    venue = live()
    for _ in range(12):
        venue.run(0.1)
        venue.change(at=str(venue.ts_ns // 1_000_000 + 2_000))
    assert venue.state() == ("STALE", "clock_ahead")
    assert "clock_ahead" in venue.drops()
    assert all(book.ts_event_ns <= book.ts_recv_ns for book in venue.published(OutcomeBook))


def test_a_trade_stamped_ahead_is_published_with_its_receipt() -> None:
    venue = live()
    venue.send(make.trade(timestamp=str(venue.ts_ns // 1_000_000 + 60_000)))
    assert venue.published(OutcomeTrade)[-1].ts_event_ns == venue.ts_ns
    assert "clock_ahead" in venue.drops()


def test_a_late_book_that_rest_confirms_is_late_no_more() -> None:
    venue = live()
    at = str(venue.ts_ns // 1_000_000)
    for _ in range(12):
        venue.run(0.1)
        venue.change(at=str(venue.ts_ns // 1_000_000 - 2_900))
    assert venue.state() == ("STALE", "late")
    venue.answers[f"book:{make.CALL}"] = lambda: (200, make.body(make.rest_book(at=at)))
    venue.run(4)
    assert venue.state() == ("LIVE", "")


def test_a_ghost_book_of_rest_does_not_disturb_the_live_one() -> None:
    venue = live()
    ghost = make.rest_book(bids={"0.01": "5"}, asks={"0.99": "5"}, at=make.ms(START - 100))
    venue.answers[f"book:{make.CALL}"] = lambda: (200, make.body(ghost))
    venue.run(5)
    assert venue.state() == ("LIVE", "")
    assert "rest_book_older" in venue.drops()


def test_a_placeholder_book_is_marked() -> None:
    venue = Venue().open().run(0.3)
    venue.books(bids={"0.01": "5"}, asks={"0.99": "5"})
    assert venue.state() == ("DOWN", "placeholder_book")
    venue.ts_ns += NS
    venue.books()
    assert venue.state() == ("LIVE", "")


def test_after_a_disconnection_nothing_is_known_until_the_next_snapshot() -> None:
    venue = live()
    venue.do(venue.protocol.on_close(venue.ts_ns))
    assert venue.state() == ("DOWN", "disconnected")
    venue.open()
    assert venue.state() == ("GAP", "no_snapshot")
    assert books_in(venue.change(size="75")) == []
    assert len(books_in(venue.books(at=str(venue.ts_ns // 1_000_000)))) == 2


def test_frames_about_strangers_are_dropped_without_doubt() -> None:
    venue = live()
    venue.send(make.book("99", market="0x99"))
    venue.send({"event_type": "something_new"})
    venue.send({"event_type": "new_market", "market": "0x1", "slug": "who-wins"})
    assert venue.drops() == {"unknown_token", "unknown_event"}
    assert venue.state() == ("LIVE", "")


def test_one_bad_frame_of_an_array_does_not_take_its_neighbours() -> None:
    venue = Venue().open().run(0.3)
    call, put = make.both_books(at=str(venue.ts_ns // 1_000_000))
    venue.send([{"event_type": "unheard_of"}, call, put])
    assert venue.state() == ("LIVE", "")


def test_the_listing_that_names_other_periods_is_a_mismatch() -> None:
    venue = Venue()
    venue.answers["listing"] = lambda: (200, make.body([{"slug": "btc-updown-15m-1"}]))
    venue.run(0.2)
    assert "listing_mismatch" in venue.drops()


def test_several_series_live_side_by_side() -> None:
    venue = Venue(markets=("btc-15m", "btc-5m"))
    venue.answers[f"event:btc-updown-5m-{START}"] = lambda: (404, b"")
    venue.open().run(0.3)
    assert {message.market for message in venue.published(Period)} == {"btc-15m", "btc-5m"}
    venue.books()
    assert {book.market for book in venue.published(OutcomeBook)} == {"btc-15m"}


def test_no_answer_at_all_is_named_and_asked_again_later() -> None:
    venue = Venue()
    venue.answers[f"event:{make.SLUG}"] = lambda: (0, b"")
    venue.run(20)
    assert "no_answer" in venue.drops()
    assert venue.period().refusal == "gamma_unreachable"
    assert 2 <= venue.requests.count(f"event:{make.SLUG}") < 10


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["NaN", "-1", "0", "1", "0.5", "0.505", "1e400", make.CALL, make.PUT, make.CONDITION, "BUY", "SELL", "1e3"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
shapes = st.sampled_from(
    [make.book(), make.change(), make.trade(), make.tick_change(), make.resolved(), make.rest_book()]
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A real frame with one thing changed, somewhere."""
    frame = json.loads(json.dumps(draw(shapes)))
    node: Any = frame
    for _ in range(draw(st.integers(0, 2))):
        inner = [
            key
            for key, child in (node.items() if isinstance(node, dict) else enumerate(node))
            if child and isinstance(child, dict | list)
        ]
        if inner:
            node = node[draw(st.sampled_from(inner))]
    if isinstance(node, dict):
        node[draw(st.sampled_from(sorted(node)))] = draw(junk)
    else:
        node[draw(st.integers(0, len(node) - 1))] = draw(junk)
    return frame


def sound(venue: Venue, acts: Sequence[Act]) -> None:
    """Whatever came in: what goes out can be put on the bus, and books are on the grid and not crossed."""
    for act in acts:
        if isinstance(act, Publish):
            encode(Envelope(version=1, instance="t", epoch=1, seq=1, ts_pub_ns=0, body=act.message))
            if isinstance(act.message, OutcomeBook):
                book = act.message
                assert list(book.bid_ticks) == sorted(set(book.bid_ticks), reverse=True)
                assert list(book.ask_ticks) == sorted(set(book.ask_ticks))
                assert all(0 < ticks < round(1 / book.tick_size) for ticks in book.bid_ticks + book.ask_ticks)
                assert all(size > 0 for size in book.bid_sizes + book.ask_sizes)
                assert not (book.bid_ticks and book.ask_ticks) or book.bid_ticks[0] < book.ask_ticks[0]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(mutated() | junk, min_size=1, max_size=6))
def test_no_mutated_frame_raises_or_makes_a_bad_book_and_a_reconnection_heals(frames: list[Any]) -> None:
    venue = live()
    for frame in frames:
        sound(venue, venue.send(frame))
        venue.ts_ns += TICK_NS
        sound(venue, venue.do(venue.protocol.on_timer(venue.ts_ns)))
    venue.do(venue.protocol.on_close(venue.ts_ns))
    venue.open()
    venue.ts_ns += NS
    sound(venue, venue.books())
    venue.run(2.1)
    assert venue.state() == ("LIVE", "")


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_no_bytes_raise(frame: bytes | str) -> None:
    venue = Venue().run(0.1)
    venue.do(venue.protocol.on_frame(frame, venue.ts_ns))


requests = ["event:x", f"event:{make.SLUG}", "clob:x", f"book:{make.CALL}", f"price:{make.SLUG}", "listing", "?"]
answers = st.binary(max_size=100) | junk.map(lambda node: json.dumps(node).encode())


@given(st.sampled_from(requests), st.integers(0, 599), answers)
def test_no_answer_raises(request_name: str, status: int, body: bytes) -> None:
    venue = Venue().run(0.1)
    venue.protocol.on_response(request_name, status, body, venue.ts_ns)
    venue.protocol.on_response(request_name, 200, body, venue.ts_ns)


def test_a_huge_frame_is_refused_unread() -> None:
    venue = live()
    venue.do(venue.protocol.on_frame("[" + " " * 5_000_000 + "]", venue.ts_ns))
    assert "frame_too_large" in venue.drops()


def test_a_deeply_nested_frame_is_refused() -> None:
    venue = live()
    venue.do(venue.protocol.on_frame("[" * 100_000, venue.ts_ns))
    assert "malformed_frame" in venue.drops()


def test_an_answer_that_comes_before_the_first_timer_is_taken() -> None:
    """A recording may begin with one."""
    venue = Venue()
    request = f"event:btc-updown-15m-{START}"
    status, body = venue.answer(request)
    venue.do(venue.protocol.on_response(request, status, body, venue.ts_ns))
    published = [act.message for act in venue.acts if isinstance(act, Publish)]
    assert [(each.role, each.slug) for each in published if isinstance(each, Period)] == [
        ("current", f"btc-updown-15m-{START}")
    ]

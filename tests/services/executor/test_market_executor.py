from __future__ import annotations

from typing import Any

import pytest

from services.executor.market_executor import BOOKING_LIMIT_NS
from shared.config import MMConfig
from shared.messages import FeedStatus, OutcomeBook, Period, Position, QuoteSet
from tests.builders import NS, SLUG, START_S, build
from tests.services.executor.scene import BOOK_STREAMS, Scene, ask, bid

BID_ORDER = ("CALL", "buy", 0.48, 50.0)
ASK_ORDER = ("PUT", "buy", 0.48, 50.0)


def quoting(**arguments: Any) -> Scene:
    """A bid at 48 and an ask at 52 rest."""
    scene = Scene(**arguments)
    scene.quote(bid(48), ask(52))
    scene.wait(0.5)
    assert scene.standing() == [BID_ORDER, ASK_ORDER]
    assert {each.state for each in scene.orders()} == {"resting"}
    return scene


# -- following -------------------------------------------------------------------------------------------------------


def test_the_orders_are_those_of_the_quote_set() -> None:
    scene = Scene()
    scene.position = {"call_shares": 60.0}
    scene.refresh()
    scene.quote(bid(48), bid(47, 100.0), ask(52, held=True), ask(53))
    assert [each.state for each in scene.orders()] == ["pending"] * 4
    assert scene.standing() == [
        ("CALL", "buy", 0.48, 50.0),
        ("CALL", "buy", 0.47, 100.0),
        ("CALL", "sell", 0.52, 50.0),
        ("PUT", "buy", 0.47, 50.0),
    ]


def test_the_same_quotes_again_change_nothing() -> None:
    scene = quoting()
    ids = [each.order_id for each in scene.orders()]
    scene.wait(5.0)
    assert [each.order_id for each in scene.orders()] == ids
    assert (scene.count("placed"), scene.market.counts["cancel_sent", "not_wanted"]) == (2, 0)


def test_an_order_keeps_its_place_when_another_layer_moves_or_it_may_be_larger() -> None:
    scene = quoting()
    kept = scene.orders()[0].order_id
    scene.quote(bid(48, 80.0), ask(53))
    scene.wait(0.5)
    assert scene.standing() == [BID_ORDER, ("PUT", "buy", 0.47, 50.0)]
    assert scene.orders()[0].order_id == kept


@pytest.mark.parametrize(("wanted", "stands"), [(48, 48), (49, 48), (50, 50), (47, 47)])
def test_a_quote_a_tick_nearer_leaves_the_order_its_place_in_the_queue(wanted: int, stands: int) -> None:
    """Two ticks nearer, or any tick further away, moves it: a quote is never stood in for by a bolder one."""
    scene = quoting()
    scene.book = {"bid_ticks": (46, 45), "ask_ticks": (52, 53)}
    scene.refresh()
    scene.quote(bid(wanted), ask(52))
    scene.wait(0.5)
    assert sorted(scene.standing()) == [("CALL", "buy", stands / 100, 50.0), ASK_ORDER]


def test_an_order_larger_than_wanted_is_replaced() -> None:
    scene = quoting()
    scene.quote(bid(48, 20.0), ask(52))
    assert [each.state for each in scene.orders()] == ["canceling", "resting", "pending"]
    scene.wait(0.5)
    assert scene.standing() == [ASK_ORDER, ("CALL", "buy", 0.48, 20.0)]


def test_a_partly_filled_order_stays_and_a_filled_one_comes_again() -> None:
    scene = quoting()
    kept = scene.orders()[0].order_id
    scene.trade(0.48, 30.0)
    scene.wait(0.5)
    assert (scene.orders()[0].order_id, scene.orders()[0].left) == (kept, 20.0)
    scene.trade(0.48, 30.0)
    scene.wait(0.5)
    assert sorted(scene.standing()) == [BID_ORDER, ASK_ORDER]
    assert kept not in {each.order_id for each in scene.orders()}


@pytest.mark.parametrize("cents", [48, 49])
def test_what_is_left_below_the_minimum_size_does_not_stand_in_for_an_order(cents: int) -> None:
    scene = quoting()
    dust = scene.orders()[0].order_id
    scene.quote(bid(cents), ask(52))
    assert scene.orders()[0].order_id == dust
    scene.trade(0.48, 47.0)
    scene.wait(0.5)
    assert sorted(scene.standing()) == [("CALL", "buy", cents / 100, 50.0), ASK_ORDER]
    assert dust not in {each.order_id for each in scene.orders()}


def test_orders_at_one_price_are_together_not_more_than_wanted() -> None:
    scene = quoting()
    scene.quote(bid(49), bid(48, 20.0))
    scene.wait(0.5)  # the order at 48 stands in for the one at 49, and another one at 48 has come
    both = [BID_ORDER, ("CALL", "buy", 0.48, 20.0)]
    assert scene.standing() == both
    scene.quote(bid(48, 70.0))
    scene.wait(0.5)
    assert scene.standing() == both
    scene.quote(bid(48, 69.0))
    scene.wait(0.5)
    assert scene.standing() == [BID_ORDER]


def test_a_cancel_in_flight_can_still_fill() -> None:
    scene = quoting()
    scene.quote(ask(52))
    assert [each.state for each in scene.orders()] == ["canceling", "resting"]
    scene.trade(0.48, 30.0, ts_event_ns=scene.now_ns + NS // 20, ts_recv_ns=scene.now_ns + NS // 20)
    assert [each.units for each in scene.fills] == [30_000_000]
    scene.wait(0.5)
    assert scene.standing() == [ASK_ORDER]
    scene.trade(0.48, 30.0)
    assert len(scene.fills) == 1


def test_an_ask_that_would_meet_a_canceling_bid_waits_for_it() -> None:
    scene = quoting()
    scene.book = {"bid_ticks": (45, 44), "ask_ticks": (47, 49)}
    scene.refresh()
    scene.quote(bid(45), ask(48))
    assert scene.count("skipped", "self_cross") == 1
    assert ("PUT", "buy", 0.52, 50.0) not in scene.standing()
    scene.wait(0.5)
    assert scene.standing() == [("CALL", "buy", 0.45, 50.0), ("PUT", "buy", 0.52, 50.0)]
    assert scene.count("skipped", "self_cross") == 1


def test_an_order_the_venue_rejects_is_tried_again_with_the_next_quotes_only() -> None:
    scene = Scene()
    scene.silent = {QuoteSet}
    scene.quote(bid(51))
    scene.wait(0.9)
    assert scene.standing() == []
    assert (scene.count("placed"), scene.count("rejected", "post_only")) == (1, 1)
    scene.quote(bid(51))
    scene.wait(0.5)
    assert scene.count("rejected", "post_only") == 2


@pytest.mark.parametrize(
    ("layer", "reason"),
    [(bid(48, 4.0), "below_minimum_size"), (ask(52, 50.0, held=True), "not_held")],
)
def test_what_the_venue_would_refuse_is_not_sent(layer: Any, reason: str) -> None:
    scene = Scene()
    scene.quote(layer)
    scene.wait(1.0)
    assert scene.standing() == []
    assert (scene.count("placed"), scene.count("skipped", reason)) == (0, 1)


def test_a_price_off_the_books_grid_is_not_sent_until_the_tick_is_finer() -> None:
    scene = Scene()
    off_grid = bid(48)
    off_grid = type(off_grid)(
        side="bid", ticks=485, price=0.485, size=50.0, layer=0, execution="buy", execution_price=0.485
    )
    scene.quote(off_grid)
    assert scene.count("skipped", "off_grid") == 1
    scene.book = {"tick_size": 0.001, "bid_ticks": (490, 480), "ask_ticks": (510, 520)}
    scene.wait(0.5)
    assert scene.standing() == [("CALL", "buy", 0.485, 50.0)]


def test_a_finer_tick_keeps_the_orders_that_stand() -> None:
    scene = quoting()
    ids = [each.order_id for each in scene.orders()]
    scene.book = {"tick_size": 0.001, "bid_ticks": (490, 480), "ask_ticks": (510, 520)}
    scene.wait(1.0)
    assert [each.order_id for each in scene.orders()] == ids


# -- limits ----------------------------------------------------------------------------------------------------------


def limited(**limits: float) -> MMConfig:
    return MMConfig.model_validate({"max_position_size": 1000.0, "max_inventory_imbalance": 1000.0} | limits)


def test_every_order_that_may_still_fill_counts_in_the_imbalance() -> None:
    scene = Scene(config=limited(max_inventory_imbalance=120.0))
    scene.quote(bid(48), bid(47), bid(46))
    assert len(scene.standing()) == 2
    assert scene.count("skipped", "max_inventory_imbalance") == 1
    scene.quote(bid(45))  # the others are being canceled, and can fill until they are
    assert scene.standing() == []
    scene.wait(0.5)
    assert scene.standing() == [("CALL", "buy", 0.45, 50.0)]


def test_inventory_bars_the_side_that_adds_to_it_and_not_the_other() -> None:
    scene = Scene(config=limited(max_inventory_imbalance=120.0))
    scene.position = {"call_shares": 100.0}
    scene.refresh()
    scene.quote(bid(48), ask(52), ask(53, held=True))
    assert scene.standing() == [ASK_ORDER, ("CALL", "sell", 0.53, 50.0)]


@pytest.mark.parametrize(("held", "layer"), [({"call_shares": 960.0}, bid(48)), ({"put_shares": 960.0}, ask(52))])
def test_no_outcome_is_held_beyond_its_limit(held: dict[str, float], layer: Any) -> None:
    scene = Scene()
    scene.position = {"call_shares": 900.0, "put_shares": 900.0} | held
    scene.refresh()
    scene.quote(layer)
    assert scene.standing() == []
    assert scene.count("skipped", "max_position_size") == 1


def test_a_fill_the_ledger_has_not_shown_yet_counts_already() -> None:
    scene = Scene(config=limited(max_inventory_imbalance=100.0))
    scene.quote(bid(48), bid(47))
    scene.wait(0.5)
    scene.trade(0.47, 100.0)
    assert sum(each.units for each in scene.fills) == 100_000_000
    scene.wait(0.5)
    assert scene.standing() == []
    scene.position = {"call_shares": 100.0, "sequence": len(scene.fills)}
    scene.wait(0.5)
    assert scene.standing() == []
    scene.position = {"call_shares": 50.0, "sequence": len(scene.fills) + 1}  # 50 were sold elsewhere
    scene.wait(0.5)
    assert len(scene.standing()) == 1


# -- when nothing may stand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [QuoteSet, FeedStatus, OutcomeBook, Position])
def test_silence_cancels_everything(kind: type) -> None:
    scene = quoting()
    scene.silent = {kind}
    scene.wait(31.0 if kind is OutcomeBook else 6.0)
    assert scene.orders() == []
    reason = {
        QuoteSet: "lease_expired",
        FeedStatus: "book_not_live",
        OutcomeBook: "book_missing",
        Position: "position_missing",
    }[kind]
    assert (scene.market.obstacle, scene.count("halted", reason), scene.count("cancel_sent", reason)) == (reason, 1, 2)
    scene.silent = set()
    scene.wait(0.5)
    assert sorted(scene.standing()) == [BID_ORDER, ASK_ORDER]


def test_a_position_stamped_in_the_future_is_not_fresh_for_longer() -> None:
    scene = quoting()
    scene.silent = {Position}
    scene.say(Position, ts_recv_ns=scene.now_ns + 3600 * NS)
    scene.wait(6.0)
    assert (scene.market.obstacle, scene.orders()) == ("position_missing", [])


def test_a_lease_is_never_longer_than_ours() -> None:
    scene = quoting()
    scene.quote(bid(48), ask(52), valid_until_ns=scene.now_ns + 3600 * NS)
    scene.silent = {QuoteSet}
    scene.wait(2.0)
    assert scene.market.obstacle == "lease_expired"


def test_pulled_quotes_cancel_everything() -> None:
    scene = quoting()
    scene.silent = {QuoteSet}
    scene.quote(action="PULL_QUOTES")
    assert {each.state for each in scene.orders()} == {"canceling"}
    scene.wait(0.5)
    assert scene.orders() == []
    assert scene.count("cancel_sent", "pulled") == 2


@pytest.mark.parametrize("subject", ["btc-15m.CALL", "btc-15m.PUT"])
def test_a_book_stream_that_is_not_live_cancels_everything(subject: str) -> None:
    scene = quoting()
    scene.say(FeedStatus, venue="polymarket", channel="OutcomeBook", subject=subject, state="STALE")
    assert scene.market.obstacle == "book_not_live"
    assert {each.state for each in scene.orders()} == {"canceling"}


def test_another_stream_of_the_venue_may_be_down() -> None:
    scene = quoting()
    scene.say(FeedStatus, venue="polymarket", channel="OutcomeTrade", subject="btc-15m.CALL", state="DOWN")
    assert scene.market.obstacle is None


def test_an_unconfirmed_fill_stops_everything_until_the_ledger_answers() -> None:
    scene = quoting()
    scene.confirms = False
    scene.trade(0.48, 5.0)
    scene.wait(BOOKING_LIMIT_NS / NS)
    assert scene.market.obstacle is None
    scene.wait(0.5)
    assert (scene.market.obstacle, scene.orders()) == ("hedger_unreachable", [])
    assert scene.count("halted", "hedger_unreachable") == 1
    scene.core.confirm(scene.fills[0].fill_id, entry=1)
    scene.wait(0.5)
    assert len(scene.standing()) == 2


def test_a_fill_the_ledger_refuses_stops_everything_for_good() -> None:
    scene = quoting()
    scene.confirms = False
    scene.trade(0.48, 5.0)
    scene.core.confirm(scene.fills[0].fill_id, entry=None)
    scene.wait(0.5)
    assert (scene.market.obstacle, scene.orders()) == ("ledger_refused", [])
    assert scene.count("booking", "refused") == 1


def test_a_refused_period_is_not_traded() -> None:
    scene = quoting()
    scene.say(Period, refusal="unknown fee form")
    scene.wait(0.5)
    assert (scene.market.obstacle, scene.orders()) == ("period_refused", [])


def test_the_period_before_is_left_when_the_next_is_quoted() -> None:
    scene = quoting()
    following = f"btc-updown-15m-{START_S + 900}"
    scene.say(Period, slug=following, role="next", start_ns=(START_S + 900) * NS, end_ns=(START_S + 1800) * NS)
    scene.say(OutcomeBook, slug=following)
    scene.say(Position, slug=following)
    scene.silent = {Position, OutcomeBook, QuoteSet}
    scene.quote(bid(48), slug=following)
    assert {each.state for each in scene.orders(SLUG)} == {"canceling"}
    assert [each.state for each in scene.orders(following)] == ["pending"]


def test_at_the_end_of_the_period_everything_is_gone() -> None:
    scene = Scene()
    scene.now_ns = (START_S + 898) * NS
    scene.timer()
    scene.refresh()
    scene.quote(bid(48), ask(52))
    scene.wait(1.0)
    assert len(scene.standing()) == 2
    scene.now_ns = (START_S + 900) * NS
    scene.trade(0.48, 5.0)
    assert scene.fills == []
    scene.trade(0.48, 5.0, ts_event_ns=scene.now_ns - 1)  # the tape is late; the trade was not
    assert len(scene.fills) == 1
    scene.wait(0.4)
    assert scene.orders() == []
    assert scene.market.periods == {}


def test_a_book_that_came_before_its_period_is_used() -> None:
    scene = Scene()
    market = scene.market
    market.periods.clear()
    scene.refresh()
    scene.silent = {OutcomeBook}
    scene.say(Period)
    scene.quote(bid(48))
    assert len(scene.standing()) == 1


def test_a_clock_set_back_drops_all_orders_and_starts_again() -> None:
    scene = quoting()
    ids = {each.order_id for each in scene.orders()}
    scene.now_ns -= 20 * NS
    scene.timer()
    assert scene.orders() == []
    assert scene.count("canceled", "clock_set_back") == 2
    scene.refresh()
    scene.wait(0.5)
    assert len(scene.standing()) == 2
    assert ids.isdisjoint(each.order_id for each in scene.orders())


def test_a_clock_set_back_across_the_end_of_a_period_uses_no_id_twice() -> None:
    scene = quoting()
    scene.trade(0.48, 5.0)
    scene.now_ns = (START_S + 901) * NS
    scene.timer()
    scene.timer()
    assert scene.market.periods == {}
    scene.now_ns = (START_S + 300) * NS
    scene.timer()
    scene.say(Period)
    scene.wait(0.5)
    scene.trade(0.48, 5.0)
    assert len(scene.fills) == 2
    assert len({each.fill_id for each in scene.fills}) == 2
    assert len({each.order_id for each in scene.fills}) == 2


def test_a_fill_counts_still_after_a_clock_set_back_across_the_end_of_its_period() -> None:
    scene = quoting()
    scene.trade(0.48, 50.0)
    scene.now_ns = (START_S + 901) * NS
    scene.timer()
    scene.timer()
    scene.now_ns = (START_S + 300) * NS
    scene.timer()
    scene.say(Period)
    scene.refresh()
    position = build(Position)  # of before the fill
    assert scene.market.periods[SLUG].holding(position).call_least == 50_000_000


def test_a_ledger_that_knows_less_than_before_is_not_followed() -> None:
    scene = quoting()
    scene.position = {"sequence": 7}
    scene.wait(0.1)
    scene.position = {"sequence": 6, "call_shares": 500.0}
    scene.wait(6.0)
    assert (scene.market.obstacle, scene.orders()) == ("position_missing", [])
    assert scene.count("position_refused", "ledger_went_back") > 0


def test_while_the_ledger_has_not_answered_a_fill_counts_where_it_is_worse() -> None:
    scene = Scene(config=limited(max_inventory_imbalance=100.0))
    scene.confirms = False
    scene.quote(bid(48))
    scene.wait(0.5)
    scene.trade(0.48, 50.0)
    scene.quote()
    scene.wait(0.5)
    scene.position = {"call_shares": 50.0, "sequence": 1}  # is it ours, or somebody else's purchase?
    scene.refresh()
    scene.quote(bid(47), ask(55, 60.0, held=True))
    assert scene.standing() == []
    assert (scene.count("skipped", "max_inventory_imbalance"), scene.count("skipped", "not_held")) == (1, 1)
    scene.core.confirm(scene.fills[0].fill_id, entry=1)
    scene.timer()
    assert scene.standing() == [("CALL", "buy", 0.47, 50.0)]


def test_a_status_stamped_in_the_future_is_not_fresh_for_longer() -> None:
    scene = quoting()
    scene.silent = {FeedStatus}
    for subject in BOOK_STREAMS:
        ahead_ns = scene.now_ns + 3600 * NS
        scene.say(FeedStatus, venue="polymarket", channel="OutcomeBook", subject=subject, ts_recv_ns=ahead_ns)
    scene.wait(6.0)
    assert (scene.market.obstacle, scene.orders()) == ("book_not_live", [])


def test_the_books_of_put_say_nothing_more() -> None:
    scene = quoting()
    before = scene.orders()
    scene.deliver(build(OutcomeBook, outcome="PUT", ts_recv_ns=scene.now_ns, bid_ticks=(10,), bid_sizes=(1.0,)))
    scene.wait(1.0)
    assert scene.orders() == before

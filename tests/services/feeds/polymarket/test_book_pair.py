"""The two books of a period: taken whole, changed by the newest word, and doubted together."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feeds.polymarket.book_pair import BookPair, IllegalStepError, PairState, Tolerances
from services.feeds.polymarket.wire import (
    BookFrame,
    PriceChangeFrame,
    Refused,
    RestBook,
    TickSizeFrame,
)
from tests.services.feeds.polymarket import frames as make

NOW = (make.START_S + 70) * make.NS


def pair(*, seeded: bool = True, **books: Any) -> BookPair:
    one = BookPair(
        condition_id=make.CONDITION, call_token=make.CALL, put_token=make.PUT, tick=100, tolerances=Tolerances()
    )
    if seeded:
        for frame in make.both_books(**books):
            assert whole(one, frame) is None
    return one


def state(one: BookPair) -> PairState:
    return one.state


def whole(one: BookPair, frame: dict[str, Any], ts_ns: int = NOW) -> Refused | None:
    return one.on_book(msgspec.convert(frame, BookFrame), ts_ns)


def change(one: BookPair, *, ts_ns: int = NOW, **more: Any) -> Refused | None:
    return one.on_price_change(msgspec.convert(make.change(**more), PriceChangeFrame), ts_ns)


def tick(one: BookPair, new: str, token: str = make.CALL) -> Refused | None:
    return one.on_tick_size(msgspec.convert(make.tick_change(token, new=new), TickSizeFrame), NOW)


def compare(one: BookPair, *, asked_ms: int | None = None, **more: Any) -> object:
    rest = msgspec.convert(make.rest_book(**more), RestBook)
    return one.compare("CALL", rest, asked_ms=one.books["CALL"].newest_ms if asked_ms is None else asked_ms)


def test_both_whole_books_make_a_live_pair_sorted_best_first() -> None:
    one = pair()
    assert state(one) == "LIVE"
    assert one.books["CALL"].bids() == ((49, 48), (100.5, 200.0))
    assert one.books["CALL"].asks() == ((51, 52), (120.25, 80.0))
    assert one.books["PUT"].bids() == ((49, 48), (120.25, 80.0))


def test_one_whole_book_is_not_enough() -> None:
    one = pair(seeded=False)
    whole(one, make.book())
    assert (state(one), one.reason) == ("WAITING", "no_snapshot")


def test_a_change_sets_the_whole_size_of_a_level_and_zero_removes_it() -> None:
    one = pair()
    change(one, price="0.49", size="75")
    assert one.books["CALL"].levels("bid")[4900] == 75.0
    assert one.books["PUT"].levels("ask")[5100] == 75.0
    change(one, price="0.49", size="0", best=("0.48", "0.51"), at=make.ms(make.START_S + 62))
    assert one.books["CALL"].best_bid() == 4800
    assert state(one) == "LIVE"


def test_a_late_change_does_not_overrule_a_newer_one() -> None:
    one = pair()
    change(one, size="75", at=make.ms(make.START_S + 62))
    change(one, size="99", at=make.ms(make.START_S + 61))
    assert one.books["CALL"].levels("bid")[4900] == 75.0
    assert state(one) == "LIVE"


def test_a_late_whole_book_keeps_what_changed_after_it() -> None:
    one = pair()
    change(one, size="75", at=make.ms(make.START_S + 62))
    for frame in make.both_books(bids={"0.49": "1", "0.47": "3"}, at=make.ms(make.START_S + 61)):
        whole(one, frame)
    assert one.books["CALL"].levels("bid") == {4900: 75.0, 4700: 3.0}


def test_a_whole_book_older_than_the_last_one_is_ignored() -> None:
    one = pair()
    assert whole(one, make.book(bids={"0.4": "1"}, at=make.ms(make.START_S + 50))) is None
    assert one.books["CALL"].best_bid() == 4900


def test_a_late_frame_does_not_clear_the_suspicion_of_a_newer_one() -> None:
    one = pair()
    change(one, best=("0.5", "0.51"))
    change(one, at=make.ms(make.START_S + 60.5))
    assert (state(one), one.reason) == ("SUSPECT", "best_differs")
    change(one, at=make.ms(make.START_S + 62))
    assert state(one) == "LIVE"


def test_changes_before_the_first_whole_book_are_kept_for_it() -> None:
    one = pair(seeded=False)
    change(one, size="75")
    assert state(one) == "WAITING"
    for frame in make.both_books():
        whole(one, frame)
    assert state(one) == "LIVE"
    assert one.books["CALL"].levels("bid")[4900] == 75.0


def test_a_wrong_side_update_is_refused_whole_and_leaves_doubt() -> None:
    one = pair()
    frame = make.change(price="0.49", size="75")
    frame["price_changes"][1]["side"] = "BUY"
    refused = one.on_price_change(msgspec.convert(frame, PriceChangeFrame), NOW)
    assert refused is not None
    assert refused.reason == "wrong_side"
    assert (state(one), one.reason) == ("WAITING", "wrong_side")
    assert one.books["CALL"].levels("bid")[4900] == 100.5


def test_a_wrong_side_update_on_both_legs_contradicts_its_own_best_prices() -> None:
    one = pair()
    refused = change(one, price="0.49", size="75", side="SELL", best=("0.49", "0.51"))
    assert refused is not None
    assert refused.reason == "wrong_side"
    assert one.books["CALL"].best_bid() == 4900


def test_a_book_that_stays_crossed_is_doubted_after_the_grace() -> None:
    one = pair()
    change(one, price="0.51", size="9", best=("0.51", "0.52"))
    assert (state(one), one.reason) == ("SUSPECT", "crossed_book")
    one.on_timer(NOW + 300_000_000)
    assert (state(one), one.reason) == ("WAITING", "crossed_book")


def test_a_book_doubted_again_and_again_must_be_sound_for_two_seconds() -> None:
    one = pair()
    for index in range(3):
        one.doubt("best_differs", NOW + index)
        for frame in make.both_books(at=make.ms(make.START_S + 65)):
            whole(one, frame, NOW + index)
    assert state(one) == "WAITING"
    assert one.on_probation
    one.on_timer(NOW + 1_900_000_000)
    assert state(one) == "WAITING"
    one.on_timer(NOW + 2_100_000_000)
    assert state(one) == "LIVE"


def test_a_crossed_moment_between_two_frames_is_no_doubt() -> None:
    one = pair()
    change(one, price="0.51", size="9", best=("0.51", "0.52"))
    assert state(one) == "SUSPECT"
    change(one, price="0.51", size="0", side="SELL", best=("0.51", "0.52"))
    assert state(one) == "LIVE"


def test_best_prices_that_differ_from_the_frame_are_doubted_after_the_grace() -> None:
    one = pair()
    change(one, best=("0.5", "0.51"))
    assert (state(one), one.reason) == ("SUSPECT", "best_differs")
    one.on_timer(NOW + 100_000_000)
    assert state(one) == "SUSPECT"
    one.on_timer(NOW + 300_000_000)
    assert state(one) == "WAITING"


def test_a_fresh_snapshot_ends_the_doubt() -> None:
    one = pair()
    one.doubt("best_differs", NOW)
    for frame in make.both_books(at=make.ms(make.START_S + 65)):
        whole(one, frame)
    assert state(one) == "LIVE"


def test_a_frozen_sister_token_is_noticed() -> None:
    one = pair()
    frame = make.change(price="0.5", size="75", best=("0.5", "0.51"))
    del frame["price_changes"][1]
    assert one.on_price_change(msgspec.convert(frame, PriceChangeFrame), NOW) is None
    assert (state(one), one.reason) == ("SUSPECT", "mirror")


def test_depth_that_stays_unmirrored_is_doubted_after_two_seconds() -> None:
    one = pair()
    frame = make.change(price="0.48", size="7")
    del frame["price_changes"][1]
    one.on_price_change(msgspec.convert(frame, PriceChangeFrame), NOW)
    assert state(one) == "LIVE"
    one.on_timer(NOW)
    one.on_timer(NOW + 2_100_000_000)
    assert (state(one), one.reason) == ("WAITING", "mirror")


def test_one_sided_books_are_normal_near_the_end() -> None:
    one = pair(bids={"0.99": "500"}, asks={})
    assert state(one) == "LIVE"
    assert not one.books["CALL"].placeholder()


def test_a_book_cleared_at_resolution_is_empty_and_sound() -> None:
    one = pair(bids={"0.1": "5"}, asks={})
    change(one, price="0.1", size="0", best=("0", "1"))
    assert state(one) == "LIVE"
    assert one.books["CALL"].placeholder()


def test_nobody_quoting_is_a_placeholder() -> None:
    assert pair(bids={"0.01": "5"}, asks={"0.99": "5"}).books["CALL"].placeholder()
    assert not pair().books["CALL"].placeholder()


def test_a_finer_tick_keeps_the_levels_of_both_books() -> None:
    one = pair()
    assert tick(one, "0.001") is None
    assert one.books["PUT"].bids() == ((490, 480), (120.25, 80.0))
    assert tick(one, "0.001", make.PUT) is None
    change(one, price="0.495", size="3", best=("0.495", "0.51"))
    assert one.books["CALL"].bids()[0] == (495, 490, 480)
    assert state(one) == "LIVE"


def test_a_coarser_tick_that_does_not_fit_forgets_both_books() -> None:
    one = pair()
    refused = tick(one, "0.1")
    assert refused is not None
    assert (refused.reason, one.state) == ("off_grid", "WAITING")
    assert one.books["CALL"].bids() == ((), ())


def test_a_missed_tick_change_is_healed_by_the_snapshot() -> None:
    one = pair()
    refused = change(one, price="0.495", size="3", best=("0.495", "0.51"))
    assert refused is not None
    assert refused.reason == "off_grid"
    for frame in make.both_books(bids={"0.495": "3"}, tick_size="0.001", at=make.ms(make.START_S + 65)):
        whole(one, frame)
    assert (state(one), one.tick, one.books["CALL"].bids()) == ("LIVE", 10, ((495,), (3.0,)))


@pytest.mark.parametrize(
    ("mutation", "reason"),
    [
        ({"price": "0.495"}, "off_grid"),
        ({"price": "1.2"}, "bad_price"),
        ({"price": "0"}, "bad_price"),
        ({"price": "1"}, "bad_price"),
        ({"price": "NaN"}, "bad_price"),
        ({"price": "-0.4"}, "bad_price"),
        ({"size": "-5"}, "bad_size"),
        ({"size": "NaN"}, "bad_size"),
        ({"size": "Infinity"}, "bad_size"),
        ({"size": ""}, "bad_size"),
        ({"side": "HOLD"}, "bad_side"),
        ({"asset_id": "3"}, "wrong_asset"),
    ],
)
def test_an_absurd_leg_refuses_the_frame_and_leaves_doubt(mutation: dict[str, str], reason: str) -> None:
    one = pair()
    before = dict(one.books["PUT"].levels("ask"))
    frame = make.change()
    frame["price_changes"][0] |= mutation
    refused = one.on_price_change(msgspec.convert(frame, PriceChangeFrame), NOW)
    assert refused is not None
    assert refused.reason == reason
    assert (state(one), one.reason) == ("WAITING", reason)
    assert one.books["PUT"].levels("ask") == before


@pytest.mark.parametrize(("shift_s", "reason"), [(3_600, "clock_ahead"), (-3_600, "late")])
def test_a_clock_an_hour_off_changes_nothing(shift_s: int, reason: str) -> None:
    one = pair()
    refused = change(one, size="75", at=make.ms(make.START_S + 61 + shift_s))
    assert refused is not None
    assert refused.reason == reason
    assert one.books["CALL"].levels("bid")[4900] == 100.5


def test_changes_an_hour_behind_our_clock_are_doubted_not_trusted() -> None:
    one = pair()
    refused = change(one, size="75", ts_ns=NOW + 3_600 * make.NS)
    assert refused is not None
    assert refused.reason == "clock_behind"
    assert state(one) == "WAITING"


@pytest.mark.parametrize(
    ("books", "reason"),
    [
        ({"bids": {"0.52": "1"}, "asks": {"0.51": "1"}}, "crossed_book"),
        ({"bids": {"0.51": "1"}, "asks": {"0.51": "1"}}, "crossed_book"),
        ({"bids": {"0.49": "1", "0.490": "2"}}, "duplicate_level"),
        ({"bids": {"0.49": "-1"}}, "bad_size"),
        ({"bids": {"1": "1"}}, "bad_price"),
        ({"bids": {"0.495": "1"}}, "off_grid"),
        ({"tick_size": "0.03"}, "bad_tick_size"),
        ({"at": "soon"}, "bad_timestamp"),
        ({"at": "-5"}, "bad_timestamp"),
        ({"market": "0xother"}, "wrong_market"),
    ],
)
def test_an_absurd_whole_book_is_refused_whole(books: dict[str, Any], reason: str) -> None:
    one = pair()
    refused = whole(one, make.book(**books))
    assert refused is not None
    assert (refused.reason, one.state) == (reason, "WAITING")


def test_an_equal_rest_book_proves_a_quiet_one() -> None:
    assert compare(pair()) == "equal"


def test_a_newer_rest_book_says_we_are_behind() -> None:
    assert compare(pair(), bids={"0.49": "9"}, at=make.ms(make.START_S + 65)) == "behind"


def test_an_older_rest_book_decides_nothing() -> None:
    assert compare(pair(), bids={"0.01": "9"}, asks={"0.99": "9"}, at=make.ms(make.START_S)) == "older"


def test_another_rest_book_of_the_same_time_differs() -> None:
    assert compare(pair(), bids={"0.49": "9"}) == "differs"


def test_a_book_that_moved_while_it_was_asked_for_proves_nothing() -> None:
    assert compare(pair(), asked_ms=1) == "moved"


def test_an_illegal_step_raises_and_changes_nothing() -> None:
    one = pair()
    with pytest.raises(IllegalStepError):
        one.step("complete", reason="", ts_ns=NOW)
    assert state(one) == "LIVE"


updates = st.lists(
    st.tuples(st.integers(1, 48), st.integers(52, 99), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30
)


@given(updates, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_of_the_same_frames_ends_in_the_same_book(
    steps: list[tuple[int, int, int, int]], shuffle: random.Random
) -> None:
    sent = []
    for index, (bid, ask, bid_size, ask_size) in enumerate(steps):
        at = str(int(make.ms()) + 10 * index)
        sent.append(make.change(price=f"{bid / 100:g}", size=str(bid_size), at=at, best=("0", "1")))
        at = str(int(at) + 5)
        sent.append(make.change(price=f"{ask / 100:g}", size=str(ask_size), side="SELL", at=at, best=("0", "1")))
    mixed = [*sent, *sent[::3]]
    shuffle.shuffle(mixed)
    straight, other = pair(), pair()
    for one, order in ((straight, sent), (other, mixed)):
        for frame in order:
            one.on_price_change(msgspec.convert(frame, PriceChangeFrame), NOW)
    for outcome in straight.books:
        assert straight.books[outcome].bids() == other.books[outcome].bids()
        assert straight.books[outcome].asks() == other.books[outcome].asks()

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.feeds.chainlink.oracle_stream import OracleStream
from services.feeds.parsing import Evidence
from services.feeds.protocol import Act
from shared.messages import OracleHistory, OraclePrice
from tests.services.feeds.acts import S, assert_sound, dropped, published, statuses

SECOND = 1_788_600_000


class Stream:
    """An oracle stream whose ticks arrive 1.5 s after the second they are stamped with, unless told otherwise."""

    def __init__(self, history_s: int = 960) -> None:
        self.stream = OracleStream("BTC", "spot", history_s=history_s)
        self.evidence = Evidence()

    def tick(self, second: float, price: float, *, at: float | None = None) -> list[Act]:
        ts_ns = int((SECOND + (second + 1.5 if at is None else at)) * S)
        return list(self.stream.on_tick(int((SECOND + second) * 1000), price, ts_ns, self.evidence))

    def history(self, at: float = 0.0) -> OracleHistory:
        (history,) = published(self.stream.on_timer(int((SECOND + at + 10_000) * S)), OracleHistory)
        return history


def test_a_late_tick_enters_the_history_and_never_the_present() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    stream.tick(2, 100.2)
    acts = stream.tick(1, 100.1, at=4.0)
    assert published(acts, OraclePrice) == []
    (history,) = published(acts, OracleHistory)
    assert history.seconds == (SECOND, SECOND + 1, SECOND + 2)
    assert history.prices == (100.0, 100.1, 100.2)


def test_of_two_values_for_one_second_the_later_receipt_wins() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    acts = stream.tick(0, 100.5, at=2.0)
    assert [price.price for price in published(acts, OraclePrice)] == [100.5]
    assert published(acts, OracleHistory)[0].prices == (100.5,)


def test_the_same_tick_twice_is_a_duplicate() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    assert dropped(stream.tick(0, 100.0, at=2.0)) == ["duplicate"]


def test_the_stamp_nearest_to_the_second_stands_in_the_history() -> None:
    stream = Stream()
    stream.tick(0.2, 99.9)
    stream.tick(1.0, 100.0)
    stream.tick(1.2, 100.1)
    stream.tick(1.4, 100.2)
    assert stream.history().prices == (99.9, 100.0)


def test_skipped_seconds_are_a_gap_that_is_told() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    assert statuses(stream.tick(2, 100.0)) == []  # single seconds are missing every day
    acts = stream.tick(10, 100.0)
    assert [each[2:] for each in statuses(acts)] == [("GAP", "7 s missing"), ("LIVE", "resumed")]


def test_the_history_is_repeated_every_five_seconds() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    assert len(stream.stream.on_timer((SECOND + 10) * S)) == 1
    assert stream.stream.on_timer((SECOND + 14) * S) == ()
    assert len(stream.stream.on_timer((SECOND + 15) * S)) == 1


def test_the_history_is_as_long_as_it_was_told_and_no_longer() -> None:
    stream = Stream(history_s=180)
    for second in range(500):
        stream.tick(second, 100.0 + second / 1000)
    assert stream.history().seconds == tuple(range(SECOND + 320, SECOND + 500))


def test_a_snapshot_with_fewer_digits_does_not_replace_the_exact_value() -> None:
    stream = Stream()
    exact = 79697.575317474428059648
    stream.tick(0, exact)
    stream.stream.on_snapshot([(SECOND * 1000, 79697.57531)], (SECOND + 2) * S)
    assert stream.history().prices == (exact,)


def test_one_absurd_tick_is_refused() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    assert dropped(stream.tick(1, 1000.0)) == ["absurd"]
    assert published(stream.tick(2, 100.1), OraclePrice)[0].price == 100.1


def test_a_tick_two_percent_away_waits_and_does_not_enter_the_history() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    assert dropped(stream.tick(1, 102.0)) == ["absurd"]
    assert published(stream.tick(2, 100.1), OraclePrice)[0].price == 100.1
    assert stream.history().prices == (100.0, 100.1)


def test_a_jump_that_persists_for_three_seconds_is_believed_and_completes_the_history() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    assert dropped(stream.tick(1, 101.2)) == ["absurd"]
    assert dropped(stream.tick(2, 101.3)) == ["absurd"]
    acts = stream.tick(3, 101.1)
    assert [price.price for price in published(acts, OraclePrice)] == [101.1]
    assert published(acts, OracleHistory)[0].prices == (100.0, 101.2, 101.3, 101.1)
    assert published(stream.tick(4, 101.2), OraclePrice)[0].price == 101.2


def test_absurd_values_of_one_second_confirm_nothing_however_often_they_come() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    for part in range(6):
        assert dropped(stream.tick(1 + part / 10, 150.0)) == ["absurd"]
    assert dropped(stream.tick(1, 150.0, at=2.0)) == ["absurd"]
    assert published(stream.tick(2, 100.1), OraclePrice)[0].price == 100.1


def test_absurd_ticks_far_apart_or_late_confirm_nothing() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    assert not any(published(stream.tick(second, 150.0), OraclePrice) for second in (4, 8, 12, 16))
    stream.tick(20, 100.0)
    for second in (17, 18, 19):
        assert dropped(stream.tick(second, 150.0, at=21.0)) == ["absurd"]


def test_after_a_minute_of_silence_a_move_of_some_percent_is_no_surprise() -> None:
    stream = Stream()
    stream.tick(0, 100.0)
    assert published(stream.tick(90, 104.0), OraclePrice)[0].price == 104.0
    assert dropped(stream.tick(200, 150.0)) == ["absurd"]


def test_a_snapshot_that_begins_with_an_absurd_tick_is_judged_by_its_middle() -> None:
    stream = Stream()
    ticks = [(SECOND * 1000 + 1000 * second, price) for second, price in enumerate((150.0, 100.0, 100.1, 100.0))]
    acts = stream.stream.on_snapshot(ticks, (SECOND + 5) * S)
    assert dropped(acts) == ["absurd"]
    assert published(acts, OracleHistory)[0].prices == (100.0, 100.1, 100.0)


def test_a_stamp_more_than_two_seconds_ahead_is_refused() -> None:
    stream = Stream()
    assert dropped(stream.tick(10, 100.0, at=7.9)) == ["clock"]
    assert len(published(stream.tick(10, 100.0, at=8.1), OraclePrice)) == 1


@given(st.lists(st.tuples(st.integers(0, 30_000), st.floats(99.0, 101.0)), max_size=60))
def test_whatever_the_order_prices_move_forward_and_the_history_is_sorted(ticks: list[tuple[int, float]]) -> None:
    stream = Stream()
    newest = 0
    for stamp_ms, price in ticks:
        acts = stream.tick(stamp_ms / 1000, price, at=40.0)
        assert_sound(acts)
        for message in published(acts, OraclePrice):
            assert message.ts_event_ns >= newest
            newest = message.ts_event_ns

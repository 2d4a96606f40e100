from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from services.feeds.files import FileAssumptions, FilesFeed
from services.feeds.protocol import Drop
from shared.market import Series
from shared.messages import OracleHistory, OraclePrice, OutcomeBook, Period, SpotQuote
from tests.services.feeds.acts import S, assert_sound, dropped, published

START = 1_791_241_200
NOW = (START + 100) * S


def contents(at_s: float = 100.0, **fields: Any) -> bytes:
    return json.dumps({"timestamp": int((START + at_s) * 1000)} | fields).encode()


@pytest.fixture
def feed() -> FilesFeed:
    return FilesFeed(Series.parse("btc-15m"))


@pytest.mark.parametrize("venue", ["bybit", "coinbase"])
def test_a_price_is_a_quote_with_equal_bid_and_ask_under_the_name_of_its_venue(feed: FilesFeed, venue: str) -> None:
    (quote,) = published(feed.on_file(f"{venue}.json", contents(price=76568.5), NOW), SpotQuote)
    assert (quote.venue, quote.bid, quote.ask, quote.bid_size) == (venue, 76568.5, 76568.5, 1.0)
    assert quote.ts_event_ns == (START + 100) * S


def test_numbers_may_be_texts(feed: FilesFeed) -> None:
    raw = json.dumps({"price": "76568.5", "timestamp": str((START + 100) * 1000)}).encode()
    assert published(feed.on_file("bybit.json", raw, NOW), SpotQuote)[0].bid == 76568.5


def test_a_strike_that_is_trusted_is_proven_at_once() -> None:
    feed = FilesFeed(Series.parse("btc-15m"), assumptions=FileAssumptions(trust_strike=True))
    acts = feed.on_file("chainlink.json", contents(price=76570.0, strike=76500.25), NOW)
    (period,) = published(acts, Period)
    assert (period.slug, period.start_ns, period.end_ns) == (
        f"btc-updown-15m-{START}",
        START * S,
        (START + 900) * S,
    )
    assert (period.strike, period.strike_state, period.strike_source) == (76500.25, "PROVEN", "file_trusted")
    assert (period.settlement, period.twap_lookback_s) == ("twap", 60)
    (price,) = published(acts, OraclePrice)
    assert (price.kind, price.price) == ("spot", 76570.0)


def test_the_first_strike_ever_seen_proves_nothing_and_says_what_it_waits_for(feed: FilesFeed) -> None:
    acts = feed.on_file("chainlink.json", contents(price=76570.0, strike=76500.25), NOW)
    (period,) = published(acts, Period)
    assert (period.strike, period.strike_state, period.strike_source) == (None, "PENDING", "file_strike_inherited")
    (told,) = [act for act in acts if isinstance(act, Drop)]
    assert told.reason == "file_strike_inherited"
    assert "MM_FEED_FILES_TRUST_STRIKE=true" in told.detail
    again = feed.on_file("chainlink.json", contents(101, price=76571.0, strike=76500.25), NOW + S)
    assert (dropped(again), published(again, Period)) == ([], [])


def test_a_strike_that_changes_within_its_period_is_proven(feed: FilesFeed) -> None:
    feed.on_file("chainlink.json", contents(price=76570.0, strike=76400.0), NOW)
    acts = feed.on_file("chainlink.json", contents(101, price=76571.0, strike=76500.25), NOW + S)
    assert [(each.strike, each.strike_source) for each in published(acts, Period)] == [(76500.25, "file_change")]


def test_a_strike_after_an_absurd_one_is_the_first_that_we_saw(feed: FilesFeed) -> None:
    assert dropped(feed.on_file("chainlink.json", contents(price=76570.0, strike=-1), NOW)) == ["absurd"]
    acts = feed.on_file("chainlink.json", contents(101, price=76571.0, strike=76500.25), NOW + S)
    assert [each.strike_source for each in published(acts, Period)] == ["file_strike_inherited"]


def test_a_strike_that_appears_within_its_period_is_proven(feed: FilesFeed) -> None:
    feed.on_file("chainlink.json", contents(price=76570.0), NOW)
    acts = feed.on_file("chainlink.json", contents(101, price=76571.0, strike=76500.25), NOW + S)
    assert [(each.strike, each.strike_source) for each in published(acts, Period)] == [(76500.25, "file_change")]


@pytest.mark.parametrize(
    ("at_s", "price", "state"), [(3, 76530.0, "PROVEN"), (4, 76530.0, "PENDING"), (3, 76540.0, "PENDING")]
)
def test_the_first_strike_is_proven_by_the_price_that_we_saw_at_the_start(
    feed: FilesFeed, at_s: int, price: float, state: str
) -> None:
    acts = feed.on_file("chainlink.json", contents(at_s, price=price, strike=76500.25), (START + at_s) * S)
    assert [each.strike_state for each in published(acts, Period)] == [state]


def test_after_a_rollover_a_strike_near_the_price_is_still_the_old_one(feed: FilesFeed) -> None:
    feed.on_file("chainlink.json", contents(price=76501.0, strike=76500.25), NOW)
    acts = feed.on_file("chainlink.json", contents(901, price=76501.0, strike=76500.25), (START + 901) * S)
    assert [each.strike_source for each in published(acts, Period)] == ["file_strike_inherited"]


@pytest.mark.parametrize("trust_strike", [True, False])
def test_a_strike_more_than_five_percent_away_is_refused_whatever_proves_it(trust_strike: bool) -> None:
    feed = FilesFeed(Series.parse("btc-15m"), assumptions=FileAssumptions(trust_strike=trust_strike))
    feed.on_file("chainlink.json", contents(price=76500.0), NOW)
    acts = feed.on_file("chainlink.json", contents(101, price=76500.0, strike=7650.0), NOW + S)
    assert [(each.strike, each.strike_source) for each in published(acts, Period)] == [
        (None, "file_strike_implausible")
    ]
    assert dropped(acts) == ["file_strike_implausible"]
    acts = feed.on_file("chainlink.json", contents(102, price=76500.0, strike=76490.0), NOW + 2 * S)
    assert [each.strike for each in published(acts, Period)] == [76490.0]


def test_a_proven_strike_survives_a_price_that_moves_away_from_it(feed: FilesFeed) -> None:
    feed.on_file("chainlink.json", contents(price=76500.0), NOW)
    feed.on_file("chainlink.json", contents(101, price=76500.0, strike=76490.0), NOW + S)
    for second in range(200, 204):
        feed.on_file("chainlink.json", contents(second, price=82000.0, strike=76490.0), (START + second) * S)
    assert published(feed.on_timer((START + 210) * S), Period)[0].strike == 76490.0


def test_without_a_strike_the_period_is_pending(feed: FilesFeed) -> None:
    (period,) = published(feed.on_file("chainlink.json", contents(price=76570.0), NOW), Period)
    assert (period.strike, period.strike_state) == (None, "PENDING")


def test_after_a_rollover_the_strike_of_the_last_period_proves_nothing(feed: FilesFeed) -> None:
    feed.on_file("chainlink.json", contents(price=76570.0, strike=76500.25), NOW)
    rolled = feed.on_file("chainlink.json", contents(901, price=76580.0, strike=76500.25), (START + 901) * S)
    assert [(each.slug[-10:], each.strike_state) for each in published(rolled, Period)] == [
        (str(START + 900), "PENDING")
    ]
    known = feed.on_file("chainlink.json", contents(903, price=76581.0, strike=76575.5), (START + 903) * S)
    assert [(each.strike, each.strike_state) for each in published(known, Period)] == [(76575.5, "PROVEN")]


def test_an_option_file_is_a_book_of_one_level_a_side(feed: FilesFeed) -> None:
    (book,) = published(feed.on_file("call.json", contents(best_bid=0.42, best_ask=0.45), NOW), OutcomeBook)
    assert (book.market, book.slug, book.outcome) == ("btc-15m", f"btc-updown-15m-{START}", "CALL")
    assert (book.bid_ticks, book.ask_ticks, book.tick_size) == ((42,), (45,), 0.01)


def test_a_finer_price_makes_a_finer_tick_for_both_outcomes(feed: FilesFeed) -> None:
    (call,) = published(feed.on_file("call.json", contents(best_bid=0.975, best_ask=0.98), NOW), OutcomeBook)
    (put,) = published(feed.on_file("put.json", contents(best_bid=0.02, best_ask=0.03), NOW), OutcomeBook)
    assert (call.bid_ticks, call.ask_ticks, call.tick_size) == ((975,), (980,), 0.001)
    assert (put.bid_ticks, put.tick_size) == ((20,), 0.001)


@pytest.mark.parametrize(
    ("fields", "bids", "asks"),
    [
        ({"best_bid": None, "best_ask": 0.02}, (), (2,)),
        ({"best_bid": 0, "best_ask": 0.02}, (), (2,)),
        ({"best_bid": 0.98, "best_ask": 1}, (98,), ()),
        ({"best_bid": 0.98}, (98,), ()),
    ],
)
def test_an_empty_side_is_empty(
    feed: FilesFeed, fields: dict[str, Any], bids: tuple[int, ...], asks: tuple[int, ...]
) -> None:
    (book,) = published(feed.on_file("put.json", contents(**fields), NOW), OutcomeBook)
    assert (book.bid_ticks, book.ask_ticks) == (bids, asks)


@pytest.mark.parametrize("cut", [0, 1, 10, 20])
def test_a_half_written_file_is_waited_for(feed: FilesFeed, cut: int) -> None:
    whole = contents(price=76568.5)
    assert dropped(feed.on_file("bybit.json", whole[:cut], NOW)) == ["incomplete"]
    assert len(published(feed.on_file("bybit.json", whole, NOW), SpotQuote)) == 1


def test_the_same_contents_again_are_not_news(feed: FilesFeed) -> None:
    feed.on_file("bybit.json", contents(price=76568.5), NOW)
    assert feed.on_file("bybit.json", contents(price=76568.5), NOW + S) == ()


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("bybit.json", contents(price=-1), "absurd"),
        ("bybit.json", contents(price=None), "absurd"),
        ("bybit.json", contents(price="nan"), "absurd"),
        ("bybit.json", contents(-4000, price=1.0), "clock"),
        ("bybit.json", b'{"price":1.0}', "clock"),
        ("bybit.json", b"[1,2]}", "malformed"),
        ("call.json", contents(best_bid=0.5, best_ask=0.4), "crossed"),
        ("call.json", contents(best_bid=0.5, best_ask=1.4), "absurd"),
        ("call.json", contents(best_bid=0.12345, best_ask=0.4), "off_tick"),
        ("chainlink.json", contents(price=0), "absurd"),
    ],
)
def test_what_cannot_be_is_named(feed: FilesFeed, name: str, raw: bytes, reason: str) -> None:
    acts = feed.on_file(name, raw, NOW)
    assert_sound(acts)
    assert dropped(acts) == [reason]


def test_an_older_file_does_not_replace_a_newer_one(feed: FilesFeed) -> None:
    feed.on_file("bybit.json", contents(100, price=76568.5), NOW)
    assert dropped(feed.on_file("bybit.json", contents(99, price=76568.6), NOW)) == ["out_of_order"]


def test_period_and_history_are_repeated(feed: FilesFeed) -> None:
    feed.on_file("chainlink.json", contents(price=76570.0, strike=76500.25), NOW)
    acts = feed.on_timer(NOW + 5 * S)
    assert len(published(acts, Period)) == 1
    assert len(published(acts, OracleHistory)) == 1


def test_the_assumptions_are_what_the_settings_say() -> None:
    feed = FilesFeed(Series.parse("eth-5m"), assumptions=FileAssumptions(size=7.0, settlement="spot"))
    (period,) = published(feed.on_file("chainlink.json", contents(price=3000.0), NOW), Period)
    assert (period.market, period.settlement, period.twap_lookback_s) == ("eth-5m", "spot", 0)
    (quote,) = published(feed.on_file("bybit.json", contents(price=3000.0), NOW), SpotQuote)
    assert quote.ask_size == 7.0


@pytest.mark.parametrize(
    ("series", "settlement", "refusal"),
    [
        ("btc-15m", None, None),
        ("btc-4h", None, None),
        ("btc-1h", None, "candle_market"),
        ("btc-24h", None, "candle_market"),
        ("btc-1h", "twap", None),
    ],
)
def test_a_market_that_settles_by_a_candle_is_refused_unless_its_rule_is_named(
    series: str, settlement: Literal["twap", "spot"] | None, refusal: str | None
) -> None:
    feed = FilesFeed(Series.parse(series), assumptions=FileAssumptions(settlement=settlement))
    acts = feed.on_file("chainlink.json", contents(price=80_000.0, strike=80_000.0), NOW)
    (period,) = published(acts, Period)
    assert period.refusal == refusal

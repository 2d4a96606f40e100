from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feeds.coinbase import CoinbaseProtocol, Ladder
from services.feeds.parsing import parse_iso_ns
from shared.messages import SpotQuote, SpotTrade
from tests.services.feeds.acts import S, assert_sound, dropped, fetches, published, reconnects, sent, statuses
from tests.services.feeds.recordings import cryptofeed_coinbase_frames, frames_in_list, jonah_frames, needs_recordings

TIME = "2026-04-29T02:10:52.525376Z"
NOW = (parse_iso_ns(TIME) or 0) + 30_000_000


def frame(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, "product_id": "BTC-USD", "time": TIME} | fields)


def snapshot(**fields: Any) -> str:
    bids, asks = [["100.00", "1"], ["99.99", "2"]], [["100.02", "3"], ["100.03", "4"]]
    return frame("snapshot", **{"bids": bids, "asks": asks} | fields)


def change(*changes: list[str], **fields: Any) -> str:
    return frame("l2update", changes=changes, **fields)


def match(trade_id: int, **fields: Any) -> str:
    return frame("match", trade_id=trade_id, **{"side": "sell", "size": "0.5", "price": "100.02"} | fields)


def heartbeat(*, sequence: int, last_trade_id: int) -> str:
    return frame("heartbeat", sequence=sequence, last_trade_id=last_trade_id)


def ticker(**fields: Any) -> str:
    best = {"best_bid": "100.00", "best_bid_size": "1", "best_ask": "100.01", "best_ask_size": "2", "sequence": 5}
    return frame("ticker", **best | fields)


@pytest.fixture
def coinbase() -> CoinbaseProtocol:
    protocol = CoinbaseProtocol(["BTC"], rest_url="http://rest/")
    protocol.on_open(NOW)
    return protocol


def test_it_subscribes_at_once() -> None:
    (request,) = sent(CoinbaseProtocol(["BTC"]).on_open(NOW))
    assert request == {
        "type": "subscribe",
        "product_ids": ["BTC-USD"],
        "channels": ["level2_batch", "matches", "ticker", "heartbeat"],
    }


def test_a_snapshot_becomes_a_quote(coinbase: CoinbaseProtocol) -> None:
    (quote,) = published(coinbase.on_frame(snapshot(), NOW), SpotQuote)
    assert (quote.venue, quote.asset) == ("coinbase", "BTC")
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (100.0, 1.0, 100.02, 3.0)


def test_quotes_that_keep_coming_late_are_stale_until_one_is_on_time(coinbase: CoinbaseProtocol) -> None:
    coinbase.on_frame(snapshot(), NOW + 3 * S)
    acts = coinbase.on_frame(change(["buy", "100.00", "2"]), NOW + 4 * S)
    assert [status[2:4] for status in statuses(acts)] == [("STALE", "late")]
    (status,) = statuses(coinbase.on_frame(change(["buy", "100.00", "3"]), NOW + S))
    assert status[2] == "LIVE"


def test_a_clock_ahead_is_replaced_by_the_receipt_and_stale_when_it_stays(coinbase: CoinbaseProtocol) -> None:
    acts = coinbase.on_frame(snapshot(), NOW - 5 * S)
    assert [quote.ts_event_ns for quote in published(acts, SpotQuote)] == [NOW - 5 * S]
    assert (dropped(acts), statuses(acts)) == (["clock_ahead"], [])
    acts = coinbase.on_frame(change(["buy", "100.00", "2"]), NOW - 4 * S)
    assert [status[2:4] for status in statuses(acts)] == [("STALE", "clock_ahead")]
    (status,) = statuses(coinbase.on_frame(change(["buy", "100.00", "3"]), NOW))
    assert status[2] == "LIVE"


def test_a_trade_stamped_ahead_is_stamped_with_its_receipt(coinbase: CoinbaseProtocol) -> None:
    acts = coinbase.on_frame(match(7), NOW - 5 * S)
    assert [trade.ts_event_ns for trade in published(acts, SpotTrade)] == [NOW - 5 * S]
    assert dropped(acts) == ["clock_ahead"]


def test_a_removed_level_uncovers_the_next(coinbase: CoinbaseProtocol) -> None:
    coinbase.on_frame(snapshot(), NOW)
    acts = coinbase.on_frame(change(["buy", "100.00", "0.00000000"], ["sell", "100.010", "9"]), NOW)
    (quote,) = published(acts, SpotQuote)
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (99.99, 2.0, 100.01, 9.0)


def test_a_change_deep_in_the_book_repeats_the_quote_only_now_and_then(coinbase: CoinbaseProtocol) -> None:
    coinbase.on_frame(snapshot(), NOW)
    assert coinbase.on_frame(change(["buy", "90", "1"]), NOW + 1000) == ()
    assert len(published(coinbase.on_frame(change(["buy", "90", "2"]), NOW + S), SpotQuote)) == 1


def test_changes_before_the_snapshot_wait_for_it(coinbase: CoinbaseProtocol) -> None:
    assert coinbase.on_frame(change(["buy", "100", "1"]), NOW) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["buy", "100.05", "1"], "crossed"),
        (["buy", "100.01", "0.-10000"], "dirty_level"),
        (["hold", "100.01", "1"], "dirty_level"),
        (["buy", "-1", "1"], "dirty_level"),
    ],
)
def test_a_book_in_doubt_is_subscribed_afresh(coinbase: CoinbaseProtocol, changes: list[str], reason: str) -> None:
    coinbase.on_frame(snapshot(), NOW)
    acts = coinbase.on_frame(change(changes), NOW)
    assert dropped(acts) == [reason]
    assert published(acts, SpotQuote) == []
    assert statuses(acts) == [("SpotQuote", "BTC", "GAP", reason)]
    assert [(request["type"], request["channels"]) for request in sent(acts)] == [
        ("unsubscribe", ["level2_batch"]),
        ("subscribe", ["level2_batch"]),
    ]
    assert coinbase.on_frame(change(["buy", "99", "1"]), NOW) == ()
    healed = coinbase.on_frame(snapshot(), NOW)
    assert len(published(healed, SpotQuote)) == 1
    assert statuses(healed) == [("SpotQuote", "BTC", "LIVE", "recovered")]


def test_a_book_lost_again_at_once_is_asked_for_a_little_later(coinbase: CoinbaseProtocol) -> None:
    for _ in range(2):
        coinbase.on_frame(snapshot(), NOW)
        acts = coinbase.on_frame(change(["buy", "100.05", "1"]), NOW)
    assert sent(acts) == []
    assert sent(coinbase.on_timer(NOW + S)) == []
    assert [request["type"] for request in sent(coinbase.on_timer(NOW + 2 * S))] == ["unsubscribe", "subscribe"]
    assert reconnects(coinbase.on_timer(NOW + 11 * S)) == []
    assert reconnects(coinbase.on_timer(NOW + 12 * S)) == ["no_snapshot"]


def test_a_dirty_time_is_replaced_by_the_receipt_and_counted(coinbase: CoinbaseProtocol) -> None:
    acts = coinbase.on_frame(snapshot(time="0001-01-01T00:00:00.000000Z"), NOW)
    assert published(acts, SpotQuote)[0].ts_event_ns == NOW
    assert dropped(acts) == ["dirty_time"]


def test_a_clock_an_hour_off_makes_no_quote(coinbase: CoinbaseProtocol) -> None:
    acts = coinbase.on_frame(snapshot(), NOW + 3600 * S)
    assert published(acts, SpotQuote) == []
    assert statuses(acts) == [("SpotQuote", "BTC", "STALE", "clock")]


def test_a_dirty_level_of_a_snapshot_is_left_out(coinbase: CoinbaseProtocol) -> None:
    acts = coinbase.on_frame(snapshot(bids=[["100.00", "1"], ["100.01", "0.-10000"]]), NOW)
    assert published(acts, SpotQuote)[0].bid == 100.0
    assert dropped(acts) == ["dirty_level"]


def test_the_ticker_serves_only_until_there_is_a_book(coinbase: CoinbaseProtocol) -> None:
    assert published(coinbase.on_frame(ticker(), NOW), SpotQuote)[0].ask == 100.01
    coinbase.on_frame(snapshot(), NOW)
    assert coinbase.on_frame(ticker(sequence=6), NOW) == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"time": "2026-04-29T02:10:02Z"}, "old_ticker"),
        ({"best_bid_size": ""}, "incomplete_ticker"),
        ({"best_bid": "100.01"}, "crossed"),
        ({"best_bid": "10"}, "absurd"),
    ],
)
def test_a_ticker_that_proves_nothing_is_dropped(
    coinbase: CoinbaseProtocol, fields: dict[str, Any], reason: str
) -> None:
    acts = coinbase.on_frame(ticker(**fields), NOW)
    assert dropped(acts) == [reason]
    assert published(acts, SpotQuote) == []


def test_a_ticker_from_the_past_is_out_of_order(coinbase: CoinbaseProtocol) -> None:
    coinbase.on_frame(ticker(sequence=10), NOW)
    assert dropped(coinbase.on_frame(ticker(sequence=9), NOW)) == ["out_of_order"]


def test_the_side_of_a_match_is_the_makers(coinbase: CoinbaseProtocol) -> None:
    (trade,) = published(coinbase.on_frame(match(7, side="sell"), NOW), SpotTrade)
    assert (trade.aggressor, trade.price, trade.size, trade.trade_id) == ("buy", 100.02, 0.5, "7")


def test_the_last_match_is_where_trade_ids_begin_and_no_trade(coinbase: CoinbaseProtocol) -> None:
    assert coinbase.on_frame(match(7).replace('"match"', '"last_match"'), NOW) == ()
    assert dropped(coinbase.on_frame(match(7), NOW)) == ["duplicate"]
    assert len(published(coinbase.on_frame(match(8), NOW), SpotTrade)) == 1


def rest_trades(*trade_ids: int) -> bytes:
    row = {"time": TIME, "price": "100.01", "size": "1", "side": "buy"}
    return json.dumps([row | {"trade_id": trade_id} for trade_id in trade_ids]).encode()


def test_missing_trades_are_a_gap_and_are_refilled(coinbase: CoinbaseProtocol) -> None:
    coinbase.on_frame(match(7), NOW)
    acts = coinbase.on_frame(match(10), NOW)
    assert statuses(acts) == [("SpotTrade", "BTC", "GAP", "trades missing")]
    (fetch,) = fetches(acts)
    assert fetch.url.startswith("http://rest/products/BTC-USD/trades")
    answer = coinbase.on_response(fetch.request, 200, rest_trades(11, 10, 9, 8, 7), NOW + S)
    assert [(each.trade_id, each.aggressor) for each in published(answer, SpotTrade)] == [("8", "sell"), ("9", "sell")]
    assert statuses(answer) == [("SpotTrade", "BTC", "LIVE", "refilled")]


@pytest.mark.parametrize(("status", "body"), [(0, b""), (429, b""), (200, b"<html>"), (200, b"[]")])
def test_a_refill_without_an_answer_leaves_the_stream_alive(
    coinbase: CoinbaseProtocol, status: int, body: bytes
) -> None:
    coinbase.on_frame(match(7), NOW)
    (fetch,) = fetches(coinbase.on_frame(match(9), NOW))
    acts = coinbase.on_response(fetch.request, status, body, NOW + S)
    assert published(acts, SpotTrade) == []
    assert [each[2] for each in statuses(acts)] == ["LIVE"]
    assert len(dropped(acts)) == 1


def test_a_heartbeat_finds_the_trade_that_never_came(coinbase: CoinbaseProtocol) -> None:
    coinbase.on_frame(match(7), NOW)
    assert statuses(coinbase.on_frame(heartbeat(sequence=1, last_trade_id=8), NOW)) == []  # it may be on its way
    acts = coinbase.on_frame(heartbeat(sequence=2, last_trade_id=9), NOW + S)
    assert statuses(acts) == [("SpotTrade", "BTC", "GAP", "trades missing")]
    assert len(fetches(acts)) == 1


def test_a_heartbeat_proves_a_quiet_book_and_quiet_trades(coinbase: CoinbaseProtocol) -> None:
    coinbase.on_frame(snapshot(), NOW)
    coinbase.on_frame(match(7), NOW)
    coinbase.on_frame(heartbeat(sequence=5, last_trade_id=7), NOW)
    acts = coinbase.on_frame(heartbeat(sequence=5, last_trade_id=7), NOW + S)
    assert [each[:3] for each in statuses(acts)] == [("SpotQuote", "BTC", "LIVE"), ("SpotTrade", "BTC", "LIVE")]


def test_a_heartbeat_does_not_prove_a_book_that_should_have_changed(coinbase: CoinbaseProtocol) -> None:
    coinbase.on_frame(snapshot(), NOW)
    coinbase.on_frame(heartbeat(sequence=5, last_trade_id=7), NOW)
    acts = coinbase.on_frame(heartbeat(sequence=900, last_trade_id=7), NOW + S)
    assert [each[0] for each in statuses(acts)] == ["SpotTrade"]


def test_without_a_snapshot_it_connects_anew(coinbase: CoinbaseProtocol) -> None:
    assert reconnects(coinbase.on_timer(NOW + 9 * S)) == []
    assert reconnects(coinbase.on_timer(NOW + 10 * S)) == ["no_snapshot"]


def test_a_product_the_venue_does_not_know_is_down_and_not_asked_for_again() -> None:
    protocol = CoinbaseProtocol(["BTC", "HYPE"])
    protocol.on_open(NOW)
    error = json.dumps({"type": "error", "message": "Failed to subscribe", "reason": "HYPE-USD is not a valid product"})
    acts = protocol.on_frame(error, NOW)
    assert {each[1:] for each in statuses(acts)} == {("HYPE", "DOWN", "unknown product")}
    protocol.on_close(NOW)
    assert [request["product_ids"] for request in sent(protocol.on_open(NOW))] == [["BTC-USD"]]


def test_without_level_two_it_lives_on_the_ticker() -> None:
    protocol = CoinbaseProtocol(["BTC"])
    protocol.on_open(NOW)
    error = json.dumps({"type": "error", "message": "Failed to subscribe", "reason": "level2_batch needs auth"})
    assert reconnects(protocol.on_frame(error, NOW)) == ["level2_refused"]
    protocol.on_close(NOW)
    assert sent(protocol.on_open(NOW))[0]["channels"] == ["matches", "ticker", "heartbeat"]
    assert reconnects(protocol.on_timer(NOW + 60 * S)) == []
    assert len(published(protocol.on_frame(ticker(), NOW), SpotQuote)) == 1


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=60), st.booleans())
def test_a_ladder_agrees_with_a_dictionary(changes: list[tuple[int, int]], is_bid: bool) -> None:
    ladder, levels = Ladder(is_bid=is_bid), dict[float, float]()
    for price, size in changes:
        ladder.put(float(price), float(size))
        levels[float(price)] = float(size)
        standing = sorted(price for price, size in levels.items() if size > 0.0)
        best = standing[-1 if is_bid else 0] if standing else None
        assert ladder.best() == (None if best is None else (best, levels[best]))
        assert len(ladder) == len(standing)


@needs_recordings
def test_the_recorded_session_gives_the_books_an_independent_reading_gives() -> None:
    """Best bid and ask after each recorded frame, against plain dictionaries; trades against the tickers."""
    frames = list(cryptofeed_coinbase_frames())
    assets = sorted(
        {
            found["product_id"].removesuffix("-USD")
            for _, text in frames
            if (found := json.loads(text)).get("product_id", "").endswith("-USD")
        }
    )
    protocol = CoinbaseProtocol(assets)
    protocol.on_open(frames[0][0])
    books: dict[str, tuple[dict[float, float], dict[float, float]]] = {}
    taker_sides: dict[tuple[str, str], str] = {}
    quotes = trades = 0
    for ts_ns, text in frames:
        parsed = json.loads(text)
        acts = protocol.on_frame(text, ts_ns)
        assert_sound(acts)
        product = parsed.get("product_id", "")
        if not product.endswith("-USD"):
            continue
        assert set(dropped(acts)) <= {"absurd"}
        if parsed["type"] == "snapshot":
            bids, asks = ({float(p): float(q) for p, q in parsed[side]} for side in ("bids", "asks"))
            books[product] = bids, asks
        elif parsed["type"] == "l2update":
            for side, price, size in parsed["changes"]:
                book = books[product][side == "sell"]
                book[float(price)] = float(size)
        elif parsed["type"] == "ticker":
            taker_sides[product, str(parsed["trade_id"])] = parsed["side"]
        for quote in published(acts, SpotQuote):
            bids, asks = ({p: q for p, q in side.items() if q > 0} for side in books[product])
            assert (quote.bid, quote.ask) == (max(bids), min(asks))
            assert (quote.bid_size, quote.ask_size) == (bids[quote.bid], asks[quote.ask])
            quotes += 1
        for trade in published(acts, SpotTrade):
            side = taker_sides.get((product, trade.trade_id))
            assert side in (None, trade.aggressor)
            trades += 1
    assert quotes > 50
    assert trades > 0


@needs_recordings
def test_recorded_tickers_become_the_quotes_they_name() -> None:
    protocol = CoinbaseProtocol(["BTC", "ETH", "SOL"])
    protocol.on_open(0)
    count = 0
    for _, text in jonah_frames("coinbase"):
        parsed = json.loads(text)
        ts_ns = (parse_iso_ns(parsed.get("time", "")) or 0) + 50_000_000
        if parsed["type"] == "subscriptions":
            protocol.on_close(ts_ns)
            protocol.on_open(ts_ns)
        acts = protocol.on_frame(text, ts_ns)
        assert_sound(acts)
        assert dropped(acts) in ([], ["out_of_order"])
        for quote in published(acts, SpotQuote):
            assert (quote.bid, quote.ask) == (float(parsed["best_bid"]), float(parsed["best_ask"]))
            count += 1
    assert count > 300


@needs_recordings
def test_recorded_examples_with_dirty_fields_never_make_a_bad_quote() -> None:
    protocol = CoinbaseProtocol(["BTC", "ETH", "YFI", "ETC"])
    for text in frames_in_list("tardis_wire_examples/coinbase_exchange.json"):
        protocol.on_open(0)
        parsed = json.loads(text)
        ts_ns = parse_iso_ns(parsed.get("time", "")) or 1_617_235_200 * S
        acts = protocol.on_frame(text, max(ts_ns, S))
        assert_sound(acts)
        if parsed["product_id"] == "YFI-USD":
            assert published(acts, SpotQuote)[0].bid == 40533.24
            assert dropped(acts) == ["dirty_level"]

from __future__ import annotations

import json
from typing import Any

import pytest

from services.feeds.bybit import BybitProtocol
from services.feeds.protocol import Act
from shared.messages import SpotQuote, SpotTrade
from tests.services.feeds.acts import S, assert_sound, dropped, published, reconnects, sent, statuses
from tests.services.feeds.recordings import frames_in_list, needs_recordings

NOW_MS = 1_680_652_806_504
NOW = NOW_MS * 1_000_000


def book(
    kind: str = "snapshot",
    *,
    u: int = 100,
    bids: list[list[str]] | None = None,
    asks: list[list[str]] | None = None,
    symbol: str = "BTCUSDT",
    ts_ms: int = NOW_MS,
    **more: Any,
) -> str:
    body = {
        "s": symbol,
        "b": [["100.00", "1.5"]] if bids is None else bids,
        "a": [["100.01", "2.5"]] if asks is None else asks,
        "u": u,
        "seq": 7,
    }
    return json.dumps({"topic": f"orderbook.1.{symbol}", "ts": ts_ms, "type": kind, "data": body, **more})


def trade(**changes: Any) -> dict[str, Any]:
    return {"i": "1", "T": NOW_MS, "p": "100.00", "v": "0.5", "S": "Sell", "s": "BTCUSDT", "BT": False} | changes


def trades(*rows: dict[str, Any]) -> str:
    return json.dumps({"topic": "publicTrade.BTCUSDT", "ts": NOW_MS, "type": "snapshot", "data": rows})


@pytest.fixture
def bybit() -> BybitProtocol:
    protocol = BybitProtocol(["BTC", "ETH"])
    protocol.on_open(NOW)
    return protocol


def test_each_asset_is_subscribed_in_a_request_of_its_own() -> None:
    requests = sent(BybitProtocol(["BTC", "ETH"]).on_open(NOW))
    assert [request["op"] for request in requests] == ["subscribe", "subscribe"]
    assert [request["args"] for request in requests] == [
        ["orderbook.1.BTCUSDT", "publicTrade.BTCUSDT"],
        ["orderbook.1.ETHUSDT", "publicTrade.ETHUSDT"],
    ]


def test_a_snapshot_becomes_a_quote(bybit: BybitProtocol) -> None:
    acts = bybit.on_frame(book(cts=NOW_MS - 2), NOW)
    (quote,) = published(acts, SpotQuote)
    assert (quote.asset, quote.venue) == ("BTC", "bybit")
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (100.0, 1.5, 100.01, 2.5)
    assert quote.ts_event_ns == (NOW_MS - 2) * 1_000_000
    assert quote.ts_recv_ns == NOW


def test_quotes_that_keep_coming_late_are_stale_until_one_is_on_time(bybit: BybitProtocol) -> None:
    late_ns, second_ns = 3_000_000_000, 1_000_000_000
    assert statuses(bybit.on_frame(book(), NOW + late_ns)) == []
    acts = bybit.on_frame(book(u=101, ts_ms=NOW_MS + 1000), NOW + second_ns + late_ns)
    assert [status[2:4] for status in statuses(acts)] == [("STALE", "late")]
    assert len(published(acts, SpotQuote)) == 1
    (status,) = statuses(bybit.on_frame(book(u=102, ts_ms=NOW_MS + 4100), NOW + 4 * second_ns + 200_000_000))
    assert status[2] == "LIVE"


@pytest.mark.parametrize("ahead_ms", [600, 4_900, 59_000])
def test_a_stamp_ahead_of_its_receipt_becomes_the_receipt_and_is_counted(bybit: BybitProtocol, ahead_ms: int) -> None:
    acts = bybit.on_frame(book(ts_ms=NOW_MS + ahead_ms), NOW)
    assert [quote.ts_event_ns for quote in published(acts, SpotQuote)] == [NOW]
    assert (dropped(acts), statuses(acts)) == (["clock_ahead"], [])
    acts = bybit.on_frame(trades(trade(T=NOW_MS + ahead_ms)), NOW)
    assert [each.ts_event_ns for each in published(acts, SpotTrade)] == [NOW]
    assert dropped(acts) == ["clock_ahead"]


def test_a_stamp_a_little_ahead_is_kept(bybit: BybitProtocol) -> None:
    acts = bybit.on_frame(book(ts_ms=NOW_MS + 400), NOW)
    assert published(acts, SpotQuote)[0].ts_event_ns == NOW + 400_000_000
    assert dropped(acts) == []


def test_a_clock_that_stays_ahead_makes_the_quote_stale_until_it_is_right(bybit: BybitProtocol) -> None:
    bybit.on_frame(book(ts_ms=NOW_MS + 4_900), NOW)
    acts = bybit.on_frame(book(u=101, ts_ms=NOW_MS + 5_900), NOW + S)
    assert statuses(acts) == [("SpotQuote", "BTC", "STALE", "clock_ahead")]
    acts = bybit.on_frame(book(u=102, ts_ms=NOW_MS + 1_990), NOW + 2 * S)
    assert [status[2] for status in statuses(acts)] == ["LIVE"]


def test_a_change_replaces_only_the_side_it_names(bybit: BybitProtocol) -> None:
    bybit.on_frame(book(), NOW)
    (quote,) = published(bybit.on_frame(book("delta", u=101, bids=[["100.00", "0.7"]], asks=[]), NOW), SpotQuote)
    assert (quote.bid_size, quote.ask, quote.ask_size) == (0.7, 100.01, 2.5)


@pytest.mark.parametrize("order", [1, -1])
def test_a_level_that_is_removed_gives_way_to_the_one_that_comes_with_it(bybit: BybitProtocol, order: int) -> None:
    bybit.on_frame(book(), NOW)
    bids = [["100.00", "0"], ["99.98", "3"]][::order]
    (quote,) = published(bybit.on_frame(book("delta", u=101, bids=bids, asks=[]), NOW), SpotQuote)
    assert (quote.bid, quote.bid_size) == (99.98, 3.0)


def test_of_several_levels_the_best_is_the_quote(bybit: BybitProtocol) -> None:
    bids, asks = [["99.98", "1"], ["100.00", "2"], ["99.99", "3"]], [["100.03", "4"], ["100.01", "5"]]
    (quote,) = published(bybit.on_frame(book(bids=bids, asks=asks), NOW), SpotQuote)
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (100.0, 2.0, 100.01, 5.0)


def test_a_book_without_a_side_is_no_quote_and_is_told(bybit: BybitProtocol) -> None:
    bybit.on_frame(book(), NOW)
    acts = bybit.on_frame(book("delta", u=101, bids=[["100.00", "0"]], asks=[]), NOW)
    assert published(acts, SpotQuote) == []
    assert statuses(acts) == [("SpotQuote", "BTC", "STALE", "one_sided")]


def test_a_missing_update_is_a_gap_and_the_topic_is_subscribed_afresh(bybit: BybitProtocol) -> None:
    bybit.on_frame(book(), NOW)
    acts = bybit.on_frame(book("delta", u=102), NOW)
    assert dropped(acts) == ["gap"]
    assert statuses(acts) == [("SpotQuote", "BTC", "GAP", "gap")]
    assert [(request["op"], request["args"]) for request in sent(acts)] == [
        ("unsubscribe", ["orderbook.1.BTCUSDT"]),
        ("subscribe", ["orderbook.1.BTCUSDT"]),
    ]
    assert dropped(bybit.on_frame(book("delta", u=103), NOW)) == ["no_snapshot"]
    healed = bybit.on_frame(book(u=200), NOW)
    assert len(published(healed, SpotQuote)) == 1
    assert statuses(healed) == [("SpotQuote", "BTC", "LIVE", "recovered")]


def test_a_repeated_snapshot_proves_the_quote_again(bybit: BybitProtocol) -> None:
    bybit.on_frame(book(), NOW)
    (quote,) = published(bybit.on_frame(book(ts_ms=NOW_MS + 3000), NOW + 3 * S), SpotQuote)
    assert quote.ts_recv_ns == NOW + 3 * S


def test_a_repeated_change_counts_once(bybit: BybitProtocol) -> None:
    bybit.on_frame(book(), NOW)
    bybit.on_frame(book("delta", u=101), NOW)
    assert dropped(bybit.on_frame(book("delta", u=101), NOW)) == ["duplicate"]


def test_a_snapshot_after_a_restart_of_the_venue_replaces_the_book(bybit: BybitProtocol) -> None:
    bybit.on_frame(book(), NOW)
    (quote,) = published(bybit.on_frame(book(u=1, bids=[["99.5", "1"]]), NOW), SpotQuote)
    assert quote.bid == 99.5
    assert dropped(bybit.on_frame(book("delta", u=2), NOW)) == []


def test_an_older_snapshot_is_out_of_order(bybit: BybitProtocol) -> None:
    bybit.on_frame(book(), NOW)
    assert dropped(bybit.on_frame(book(u=99, ts_ms=NOW_MS - 10), NOW)) == ["out_of_order"]


def test_a_crossed_book_is_never_a_quote(bybit: BybitProtocol) -> None:
    acts = bybit.on_frame(book(bids=[["100.02", "1"]]), NOW)
    assert published(acts, SpotQuote) == []
    assert dropped(acts) == ["crossed"]
    assert statuses(acts) == [("SpotQuote", "BTC", "GAP", "crossed")]
    assert len(sent(acts)) == 2
    again = bybit.on_frame(book(bids=[["100.02", "1"]]), NOW + S)
    assert sent(again) == []  # asked a second ago
    assert [request["op"] for request in sent(bybit.on_timer(NOW + 2 * S))] == ["unsubscribe", "subscribe"]
    assert sent(bybit.on_timer(NOW + 4 * S)) == []


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (book(symbol="XRPUSDT"), "unknown_symbol"),
        (book().replace('"s": "BTCUSDT"', '"s": "ETHUSDT"'), "wrong_symbol"),
        (book("partial"), "unknown_type"),
        (book(ts_ms=NOW_MS - 3_600_000), "clock"),
        (book(bids=[["-100", "1"]]), "malformed"),
        (book(bids=[["100", "nan"]]), "malformed"),
        (book(bids=[["1", "1"]]), "absurd"),
        ('{"topic":"tickers.BTCUSDT","data":{}}', "unknown_topic"),
        ('{"op":"auth"}', "unknown_frame"),
        ("garbage", "malformed"),
        (b"\xff\xfe", "malformed"),
        ("[" * 100_000, "malformed"),
    ],
)
def test_what_cannot_be_used_is_named(bybit: BybitProtocol, frame: str | bytes, reason: str) -> None:
    acts = bybit.on_frame(frame, NOW)
    assert dropped(acts) == [reason]
    assert published(acts, SpotQuote) == []


def test_trades_carry_the_takers_side(bybit: BybitProtocol) -> None:
    acts = bybit.on_frame(trades(trade(), trade(i="2", S="Buy", p="100.01")), NOW)
    assert [(each.aggressor, each.price, each.size) for each in published(acts, SpotTrade)] == [
        ("sell", 100.0, 0.5),
        ("buy", 100.01, 0.5),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"BT": True}, "block_trade"),
        ({"RPI": True}, "rpi_trade"),
        ({"S": "Hold"}, "unknown_side"),
        ({"s": "ETHUSDT"}, "wrong_symbol"),
        ({"T": NOW_MS - 3_600_000}, "clock"),
        ({"T": 10**30}, "clock"),
        ({"v": "0"}, "absurd"),
        ({"v": "-1"}, "absurd"),
        ({"i": "x" * 100}, "malformed"),
    ],
)
def test_trades_that_are_no_signal_are_dropped(bybit: BybitProtocol, changes: dict[str, Any], reason: str) -> None:
    acts = bybit.on_frame(trades(trade(**changes)), NOW)
    assert dropped(acts) == [reason]
    assert published(acts, SpotTrade) == []


def test_a_trade_counts_once(bybit: BybitProtocol) -> None:
    bybit.on_frame(trades(trade()), NOW)
    assert dropped(bybit.on_frame(trades(trade()), NOW)) == ["duplicate"]


def test_it_pings_every_twenty_seconds_and_a_pong_is_nothing(bybit: BybitProtocol) -> None:
    bybit.on_frame(book(), NOW)
    bybit.on_frame(book(symbol="ETHUSDT"), NOW)
    assert bybit.on_timer(NOW + 19 * S) == []
    (ping,) = sent(bybit.on_timer(NOW + 20 * S))
    assert ping["op"] == "ping"
    assert bybit.on_frame('{"success":true,"ret_msg":"pong","conn_id":"c","req_id":"","op":"ping"}', NOW + 20 * S) == ()


def test_a_refused_subscription_is_down_and_tried_again_later(bybit: BybitProtocol) -> None:
    refusal = '{"success":false,"ret_msg":"Invalid symbol :[publicTrade.ETHUSDT]","req_id":"","op":"subscribe"}'
    acts = bybit.on_frame(refusal, NOW)
    assert dropped(acts) == ["subscribe_refused"]
    assert {status[1:] for status in statuses(acts)} == {("ETH", "DOWN", "subscribe_refused")}
    bybit.on_frame(book(), NOW)
    assert reconnects(bybit.on_timer(NOW + 15 * S)) == []
    later = bybit.on_timer(NOW + 60 * S)
    assert [request["args"] for request in sent(later) if request["op"] == "subscribe"] == [
        ["orderbook.1.ETHUSDT", "publicTrade.ETHUSDT"]
    ]


def test_without_a_snapshot_it_connects_anew(bybit: BybitProtocol) -> None:
    assert reconnects(bybit.on_timer(NOW + 9 * S)) == []
    assert reconnects(bybit.on_timer(NOW + 10 * S)) == ["no_acknowledgement"]


def test_a_closed_connection_needs_a_snapshot_before_changes(bybit: BybitProtocol) -> None:
    bybit.on_frame(book(), NOW)
    bybit.on_close(NOW)
    bybit.on_open(NOW)
    assert dropped(bybit.on_frame(book("delta", u=101), NOW)) == ["no_snapshot"]


@needs_recordings
def test_recorded_spot_frames_become_what_they_say() -> None:
    protocol = BybitProtocol(["BTC"])
    protocol.on_open(NOW)
    acts: list[Act] = []
    for frame in frames_in_list("tardis_wire_examples/bybit_spot_v5.json"):
        received = protocol.on_frame(frame, json.loads(frame)["ts"] * 1_000_000 + 5_000_000)
        assert_sound(received)
        acts.extend(received)
    assert [(each.bid, each.bid_size, each.ask, each.ask_size) for each in published(acts, SpotQuote)] == [
        (28165.07, 0.175231, 28165.08, 0.996816),
        (28165.07, 0.166754, 28165.08, 0.996816),
    ]
    assert [(each.size, each.aggressor) for each in published(acts, SpotTrade)] == [
        (0.041732, "sell"),
        (0.008513, "sell"),
        (0.042384, "sell"),
        (0.055371, "sell"),
    ]
    assert sorted(set(dropped(acts))) == ["unknown_symbol", "unknown_topic"]  # BTCUSDC; the 50-level book


@needs_recordings
def test_recorded_derivatives_frames_are_read_whatever_their_key_order() -> None:
    protocol = BybitProtocol(["BTC"])
    protocol.on_open(NOW)
    for frame in frames_in_list("tardis_wire_examples/bybit_derivatives_v5.json"):
        acts = protocol.on_frame(frame, json.loads(frame)["ts"] * 1_000_000)
        assert_sound(acts)
        assert "malformed" not in dropped(acts)

from __future__ import annotations

import json
from typing import Any

import pytest

from services.feeds.chainlink.polybolt import Credentials, PolyBoltProtocol
from shared.messages import OracleHistory, OraclePrice
from tests.services.feeds.acts import S, assert_sound, dropped, published, reconnects, sent, statuses
from tests.services.feeds.recordings import FOLDER, needs_recordings

SECOND = 1_788_886_177
NOW = SECOND * S + 1_700_000_000
TWAP, SPOT = "price.crypto.twap", "price.crypto"


def update(
    *,
    seq: int,
    channel: str = TWAP,
    stamp_ms: int = SECOND * 1000,
    envelope: dict[str, Any] | None = None,
    **payload: Any,
) -> str:
    body = {
        "symbol": "btcusd",
        "value": 78803.71526109411,
        "full_accuracy_value": "78803.715261094101516288",
        "timestamp": stamp_ms,
        "source": "chainlink",
    } | ({"window_seconds": 60} if channel == TWAP else {})
    frame = {"v": 1, "channel": channel, "seq": seq, "ts": stamp_ms, "payload": body | payload}
    return json.dumps(frame | (envelope or {}))


def snapshot(*, seq: int, channel: str = TWAP, points: dict[int, str]) -> str:
    rows = [
        {"timestamp": second * 1000, "value": float(text), "full_accuracy_value": text}
        for second, text in points.items()
    ]
    return update(seq=seq, channel=channel, envelope={"snapshot": True}, data=rows)


@pytest.fixture
def bolt() -> PolyBoltProtocol:
    protocol = PolyBoltProtocol(["BTC", "ETH"], Credentials("key", "secret", "pass"))
    protocol.on_open(NOW)
    protocol.on_frame('{"op":"authed","rid":"auth"}', NOW)
    for symbol in ("btcusd", "ethusd"):
        for channel in (TWAP, SPOT):
            protocol.on_frame(json.dumps({"op": "subscribed", "channel": channel, "rid": symbol}), NOW)
    return protocol


def test_it_authenticates_and_then_subscribes_both_streams_of_each_asset() -> None:
    protocol = PolyBoltProtocol(["BTC"], Credentials("key", "secret", "pass"))
    assert sent(protocol.on_open(NOW)) == [
        {"op": "auth", "rid": "auth", "auth": {"apiKey": "key", "secret": "secret", "passphrase": "pass"}}
    ]
    (request,) = sent(protocol.on_frame('{"op":"authed","rid":"auth"}', NOW))
    assert request["subscriptions"] == [
        {"channel": TWAP, "filter": {"symbol": "btcusd", "window_seconds": 60}},
        {"channel": SPOT, "filter": {"symbol": "btcusd", "provider": "chainlink"}},
    ]


def test_an_update_becomes_the_exact_price_with_its_own_stamp(bolt: PolyBoltProtocol) -> None:
    (price,) = published(bolt.on_frame(update(seq=1), NOW), OraclePrice)
    assert (price.asset, price.kind, price.venue) == ("BTC", "twap60", "chainlink")
    assert price.price == float("78803.715261094101516288")
    assert price.ts_event_ns == SECOND * S


def test_a_snapshot_fills_the_history_and_gives_the_newest_price(bolt: PolyBoltProtocol) -> None:
    points = {SECOND - 2: "100.1", SECOND - 1: "100.2", SECOND: "100.3"}
    acts = bolt.on_frame(snapshot(seq=1, points=points), NOW)
    (history,) = published(acts, OracleHistory)
    assert history.seconds == (SECOND - 2, SECOND - 1, SECOND)
    assert history.prices == (100.1, 100.2, 100.3)
    assert [price.price for price in published(acts, OraclePrice)] == [100.3]


def test_an_empty_snapshot_is_nothing(bolt: PolyBoltProtocol) -> None:
    assert bolt.on_frame(snapshot(seq=1, points={}), NOW) == []


def test_a_missing_sequence_number_is_a_gap_of_the_whole_channel(bolt: PolyBoltProtocol) -> None:
    bolt.on_frame(update(seq=1), NOW)
    bolt.on_frame(update(seq=2, symbol="ethusd"), NOW)  # numbered over all symbols of the channel
    acts = bolt.on_frame(update(seq=4), NOW)
    assert reconnects(acts) == ["gap"]
    assert {each[1:3] for each in statuses(acts)} == {("BTC.twap60", "GAP"), ("ETH.twap60", "GAP")}
    assert published(acts, OraclePrice) == []


def test_each_channel_counts_for_itself(bolt: PolyBoltProtocol) -> None:
    bolt.on_frame(update(seq=5), NOW)
    assert dropped(bolt.on_frame(update(seq=1, channel=SPOT), NOW)) == []


def test_frames_lost_for_slowness_are_a_gap(bolt: PolyBoltProtocol) -> None:
    assert reconnects(bolt.on_frame(update(seq=1, envelope={"dropped": 3}), NOW)) == ["dropped"]


def test_sequence_numbers_start_over_on_a_new_connection(bolt: PolyBoltProtocol) -> None:
    bolt.on_frame(update(seq=9), NOW)
    bolt.on_close(NOW)
    bolt.on_open(NOW)
    assert dropped(bolt.on_frame(update(seq=1, stamp_ms=(SECOND + 1) * 1000), NOW)) == []


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (update(seq=1, source="pyth"), "wrong_source"),
        (update(seq=1, window_seconds=30), "wrong_window"),
        (update(seq=1, symbol="btc/usd"), "unknown_symbol"),
        (update(seq=1, envelope={"v": 2}), "version"),
        (update(seq=1, envelope={"seq": None}), "malformed"),
        (update(seq=1, full_accuracy_value="78803715261094101516288"), "inconsistent"),
        (update(seq=1, full_accuracy_value="-1.5"), "inconsistent"),
        (update(seq=1, is_carried_forward=True), "carried_forward"),
        (update(seq=1, stamp_ms=(SECOND - 3600) * 1000), "clock"),
        (update(seq=1, stamp_ms=(SECOND + 60) * 1000), "clock"),
        (update(seq=1, stamp_ms=10**40), "clock"),
        ("[]", "malformed"),
        ("{}", "unknown_frame"),
    ],
)
def test_what_cannot_settle_a_market_is_refused(bolt: PolyBoltProtocol, frame: str, reason: str) -> None:
    acts = bolt.on_frame(frame, NOW)
    assert dropped(acts) == [reason]
    assert published(acts, OraclePrice) == []


def test_another_source_is_told_until_the_right_one_is_back(bolt: PolyBoltProtocol) -> None:
    wrong = bolt.on_frame(update(seq=1, channel=SPOT, source="pyth"), NOW)
    assert statuses(wrong) == [("OraclePrice", "BTC.spot", "STALE", "wrong_source")]
    right = bolt.on_frame(update(seq=2, channel=SPOT), NOW)
    assert statuses(right) == [("OraclePrice", "BTC.spot", "LIVE", "recovered")]


def test_refused_credentials_end_the_connection(bolt: PolyBoltProtocol) -> None:
    acts = bolt.on_frame('{"op":"error","code":"auth_invalid","rid":"auth"}', NOW)
    assert reconnects(acts) == ["auth_invalid"]
    assert {each[2] for each in statuses(acts)} == {"DOWN"}


def test_a_refused_stream_is_down_and_the_others_go_on(bolt: PolyBoltProtocol) -> None:
    error = json.dumps({"op": "error", "code": "bad_filter", "channel": SPOT, "rid": "ethusd"})
    acts = bolt.on_frame(error, NOW)
    assert statuses(acts) == [("OraclePrice", "ETH.spot", "DOWN", "bad_filter")]
    assert reconnects(acts) == []


def test_a_code_nobody_knows_does_not_become_a_metric_label(bolt: PolyBoltProtocol) -> None:
    assert dropped(bolt.on_frame('{"op":"error","code":"x1"}', NOW)) == ["venue_error"]


def test_without_answers_it_connects_anew() -> None:
    protocol = PolyBoltProtocol(["BTC"], Credentials("key", "secret", "pass"))
    protocol.on_open(NOW)
    assert reconnects(protocol.on_timer(NOW + 10 * S)) == ["no_authentication"]
    protocol.on_open(NOW)
    protocol.on_frame('{"op":"authed","rid":"auth"}', NOW + S)
    assert reconnects(protocol.on_timer(NOW + 11 * S)) == ["no_acknowledgement"]


def test_acknowledged_subscriptions_are_left_in_peace(bolt: PolyBoltProtocol) -> None:
    assert reconnects(bolt.on_timer(NOW + 60 * S)) == []


@needs_recordings
def test_the_documented_frames_are_understood() -> None:
    folder = FOLDER / "polymarket/polybolt"
    protocol = PolyBoltProtocol(["BTC"], Credentials("key", "secret", "pass"))
    protocol.on_open(NOW)
    ts_ns = 1_788_973_002 * S + 2 * S
    for path in sorted(folder.glob("server_*.json")):
        acts = protocol.on_frame(path.read_text().strip(), ts_ns)
        assert_sound(acts)
        if "twap_update" in path.name:
            assert [price.price for price in published(acts, OraclePrice)] == [64120.7]
        if "error" in path.name:
            assert reconnects(acts) == ["auth_required"]

from __future__ import annotations

import json
from typing import Any

import pytest

from services.feeds.chainlink.rtds import RtdsProtocol
from services.feeds.protocol import Send
from shared.messages import OracleHistory, OraclePrice
from tests.services.feeds.acts import S, assert_sound, dropped, published, statuses
from tests.services.feeds.recordings import FOLDER, jonah_frames, needs_recordings

SECOND = 1_788_600_388
NOW = SECOND * S + 1_500_000_000
SPOT, TWAP = "crypto_prices_chainlink", "crypto_prices_twap_sixty"


def update(topic: str = TWAP, kind: str = "update", *, second: int = SECOND, **payload: Any) -> str:
    body = {
        "full_accuracy_value": "79697575317474428059648",
        "symbol": "btc/usd",
        "timestamp": second * 1000,
        "value": 79697.57531747443,
    } | ({"window_s": 60} if topic == TWAP else {})
    return json.dumps(
        {
            "connection_id": "c",
            "payload": body | payload,
            "timestamp": second * 1000 + 1400,
            "topic": topic,
            "type": kind,
        }
    )


def snapshot(topic: str, points: dict[int, float], **payload: Any) -> str:
    rows = [{"timestamp": second * 1000, "value": number} for second, number in points.items()]
    body = {"data": rows, "symbol": "btc/usd"} | payload
    return json.dumps({"payload": body, "timestamp": SECOND * 1000, "topic": topic, "type": "subscribe"})


@pytest.fixture
def rtds() -> RtdsProtocol:
    protocol = RtdsProtocol(["BTC"])
    protocol.on_open(NOW)
    return protocol


def test_each_stream_is_subscribed_alone_with_a_compact_filter() -> None:
    requests = [act.text for act in RtdsProtocol(["BTC", "ETH"]).on_open(NOW) if isinstance(act, Send)]
    assert len(requests) == 4
    assert requests[0] == (
        '{"action":"subscribe","subscriptions":[{"topic":"crypto_prices_twap_sixty","type":"*",'
        '"filters":"{\\"symbol\\":\\"btc/usd\\"}"}]}'
    )


@pytest.mark.parametrize(("topic", "kind"), [(TWAP, "twap60"), (SPOT, "spot")])
def test_an_update_is_an_integer_of_ten_to_the_minus_eighteen(rtds: RtdsProtocol, topic: str, kind: str) -> None:
    (price,) = published(rtds.on_frame(update(topic), NOW), OraclePrice)
    assert (price.kind, price.price, price.ts_event_ns) == (kind, float("79697.575317474428059648"), SECOND * S)


def test_the_mislabelled_spot_snapshot_is_told_by_its_symbol(rtds: RtdsProtocol) -> None:
    acts = rtds.on_frame(snapshot("crypto_prices", {SECOND - 1: 100.1, SECOND: 100.2}), NOW)
    (history,) = published(acts, OracleHistory)
    assert (history.kind, history.prices) == ("spot", (100.1, 100.2))


def test_a_price_of_another_source_is_never_an_oracle_price(rtds: RtdsProtocol) -> None:
    acts = rtds.on_frame(update("crypto_prices", symbol="btcusdt", full_accuracy_value="79697.73", value=79697.73), NOW)
    assert dropped(acts) == ["other_source"]
    assert published(acts, OraclePrice) == []


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (update(window_s=30), "wrong_window"),
        (update(symbol="doge/usd"), "unknown_symbol"),
        (update("crypto_prices_twap_thirty"), "unknown_symbol"),
        (update(full_accuracy_value="1e18"), "inconsistent"),
        (update(full_accuracy_value="797"), "inconsistent"),
        (update(value=1e300, full_accuracy_value=None), "inconsistent"),
        (update(kind="gossip"), "unknown_type"),
        (update(second=SECOND + 100), "clock"),
        ("{", "malformed"),
        ("{}", "unknown_frame"),
    ],
)
def test_what_cannot_be_an_oracle_price_is_refused(rtds: RtdsProtocol, frame: str, reason: str) -> None:
    acts = rtds.on_frame(frame, NOW)
    assert dropped(acts) == [reason]
    assert published(acts, OraclePrice) == []


@pytest.mark.parametrize("frame", ["", "PONG", b""])
def test_empty_frames_and_pongs_are_nothing(rtds: RtdsProtocol, frame: str | bytes) -> None:
    assert rtds.on_frame(frame, NOW) == ()


def test_a_refused_topic_is_down(rtds: RtdsProtocol) -> None:
    error = {"body": {"message": f"leger GetTopics error: topic: {TWAP} and type: * not found"}, "statusCode": 401}
    acts = rtds.on_frame(json.dumps(error), NOW)
    assert dropped(acts) == ["venue_error"]
    assert statuses(acts) == [("OraclePrice", "BTC.twap60", "DOWN", "topic refused")]


def test_it_sends_the_text_ping_every_five_seconds(rtds: RtdsProtocol) -> None:
    assert Send("PING") not in rtds.on_timer(NOW + 4 * S)
    assert Send("PING") in rtds.on_timer(NOW + 5 * S)
    assert Send("PING") not in rtds.on_timer(NOW + 6 * S)


@needs_recordings
def test_every_recorded_update_becomes_the_price_its_exact_value_says() -> None:
    protocol = RtdsProtocol(["BTC", "ETH", "SOL", "XRP"])
    protocol.on_open(0)
    prices = snapshots = 0
    for _, text in jonah_frames("polymarket_rtds_chainlink"):
        parsed = json.loads(text)
        acts = protocol.on_frame(text, parsed["timestamp"] * 1_000_000 + 200_000_000)
        assert_sound(acts)
        assert set(dropped(acts)) <= {"duplicate", "unknown_symbol"}
        payload = parsed["payload"]
        if parsed["type"] == "subscribe":
            snapshots += bool(published(acts, OracleHistory))
            continue
        for price in published(acts, OraclePrice):
            assert price.kind == "spot"
            assert price.price == float(payload["full_accuracy_value"] + "e-18")
            assert price.ts_event_ns == payload["timestamp"] * 1_000_000
            prices += 1
    assert prices > 500
    assert snapshots > 50


@needs_recordings
def test_the_single_recorded_frames_are_understood() -> None:
    expected = {
        "chainlink_update_2026-07-06.json": ("spot", float("63621.3930869460475")),
        "crypto_prices_chainlink_update.json": ("spot", float("79696.94817428796")),
        "crypto_prices_twap_sixty_update.json": ("twap60", float("79697.575317474428059648")),
        "twap_sixty_update_2026-08-23.json": ("twap60", float("76227.641250796072337408")),
    }
    for path in sorted((FOLDER / "polymarket/rtds").glob("*.json")):
        protocol = RtdsProtocol(["BTC"])
        protocol.on_open(0)
        text = path.read_text().strip()
        acts = protocol.on_frame(text, json.loads(text).get("timestamp", 0) * 1_000_000 + 100_000_000)
        assert_sound(acts)
        found = [(price.kind, price.price) for price in published(acts, OraclePrice)]
        assert found == ([expected[path.name]] if path.name in expected else []), path.name

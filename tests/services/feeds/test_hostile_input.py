"""Whatever arrives on any feed: no parser raises, and nothing is published that nobody could defend."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.feeds.bybit import BybitProtocol
from services.feeds.chainlink.polybolt import Credentials, PolyBoltProtocol
from services.feeds.chainlink.rtds import RtdsProtocol
from services.feeds.coinbase import CoinbaseProtocol
from services.feeds.files import FILE_NAMES, FilesFeed
from services.feeds.protocol import VenueProtocol
from shared.market import Series
from tests.services.feeds import test_bybit, test_coinbase, test_files
from tests.services.feeds.acts import S, assert_sound
from tests.services.feeds.chainlink import test_polybolt, test_rtds


def polybolt() -> PolyBoltProtocol:
    return PolyBoltProtocol(["BTC"], Credentials("key", "secret", "pass"))


# For each venue: how to make it, the time of its frames, and sound frames to spoil.
VENUES: dict[str, tuple[Callable[[], VenueProtocol], int, list[str]]] = {
    "bybit": (
        lambda: BybitProtocol(["BTC"]),
        test_bybit.NOW,
        [
            test_bybit.book(),
            test_bybit.book("delta", u=101),
            test_bybit.book(u=1, bids=[]),
            test_bybit.trades(test_bybit.trade(), test_bybit.trade(i="2", S="Buy")),
            '{"success":true,"ret_msg":"subscribe","conn_id":"c","req_id":"sub-BTCUSDT-1","op":"subscribe"}',
        ],
    ),
    "coinbase": (
        lambda: CoinbaseProtocol(["BTC"]),
        test_coinbase.NOW,
        [
            test_coinbase.snapshot(),
            test_coinbase.change(["buy", "100.00", "0"], ["sell", "100.01", "3"]),
            test_coinbase.match(7),
            test_coinbase.match(9),
            test_coinbase.heartbeat(sequence=3, last_trade_id=12),
            test_coinbase.ticker(),
            '{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}',
        ],
    ),
    "polybolt": (
        polybolt,
        test_polybolt.NOW,
        [
            '{"op":"authed","rid":"auth"}',
            test_polybolt.update(seq=1),
            test_polybolt.update(seq=2, channel="price.crypto"),
            test_polybolt.snapshot(seq=2, points={test_polybolt.SECOND - 1: "100.5", test_polybolt.SECOND: "100.6"}),
            '{"op":"error","code":"bad_filter","channel":"price.crypto","rid":"btcusd"}',
        ],
    ),
    "rtds": (
        lambda: RtdsProtocol(["BTC"]),
        test_rtds.NOW,
        [
            test_rtds.update(),
            test_rtds.update("crypto_prices_chainlink"),
            test_rtds.snapshot("crypto_prices", {test_rtds.SECOND - 1: 100.1, test_rtds.SECOND: 100.2}),
            '{"body":{"message":"topic: crypto_prices_chainlink not found"},"statusCode":401}',
        ],
    ),
}

odd_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["", "0", "-1", "1e400", "NaN", "Infinity", "0.-10000", "9" * 400, "1_0", "١"]),
    st.builds(list),  # made anew each time, because a later change may reach into them
    st.builds(dict),
    st.builds(lambda: [["1", "2"]]),
)


def paths_of(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        found.extend(paths_of(child, (*path, key)))
    return found


@st.composite
def spoiled(draw: st.DrawFn, texts: list[str]) -> str | bytes:
    """A sound frame with some of its parts replaced or removed, or its text cut, or something else altogether."""
    kind = draw(st.sampled_from(["sound", "part", "part", "part", "cut", "text", "bytes"]))
    text = draw(st.sampled_from(texts))
    if kind == "text":
        return draw(st.text(max_size=60))
    if kind == "bytes":
        return draw(st.binary(max_size=60))
    if kind == "cut":
        return text[: draw(st.integers(0, len(text)))]
    if kind == "part":
        frame = json.loads(text)
        for _ in range(draw(st.integers(1, 3))):
            paths = paths_of(frame)
            if not paths:
                break
            *parents, key = draw(st.sampled_from(paths))
            node = frame
            for parent in parents:
                node = node[parent]
            if draw(st.booleans()) or isinstance(node, list):
                node[key] = draw(odd_leaves)
            else:
                del node[key]
        text = json.dumps(frame, ensure_ascii=draw(st.booleans()))
    return text.encode("utf-8", "surrogatepass") if draw(st.booleans()) else text


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=150, deadline=None)
@given(chosen=st.data())
def test_no_sequence_of_spoiled_frames_breaks_a_protocol(venue: str, chosen: st.DataObject) -> None:
    make, now, texts = VENUES[venue]
    protocol, ts_ns = make(), now
    assert_sound(protocol.on_open(ts_ns))
    for _ in range(chosen.draw(st.integers(1, 12))):
        step = chosen.draw(st.sampled_from(["frame"] * 6 + ["timer", "response", "reopen"]))
        ts_ns += chosen.draw(st.sampled_from([0, 1_000_000, S, 11 * S]))
        match step:
            case "frame":
                assert_sound(protocol.on_frame(chosen.draw(spoiled(texts)), ts_ns))
            case "timer":
                assert_sound(protocol.on_timer(ts_ns))
            case "response":
                body = chosen.draw(st.one_of(st.binary(max_size=40), st.just(test_coinbase.rest_trades(8, 9, 10))))
                assert_sound(
                    protocol.on_response("trades:BTC-USD", chosen.draw(st.sampled_from([0, 200, 500])), body, ts_ns)
                )
            case _:
                assert_sound(protocol.on_close(ts_ns))
                assert_sound(protocol.on_open(ts_ns))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    "frame",
    [
        "\ud800",
        "[" * 200_000,
        '{"a":' * 100_000,
        "null",
        "0",
        '"x"',
        b"\xff\xfe\x00",
        "x" * 5_000_000,
        '{"ts":1' + "0" * 5000 + "}",
    ],
    ids=["surrogate", "deep list", "deep object", "null", "number", "string", "bytes", "huge", "huge number"],
)
def test_frames_that_attack_the_decoder_are_dropped(venue: str, frame: str | bytes) -> None:
    make, now, _ = VENUES[venue]
    protocol = make()
    protocol.on_open(now)
    acts = protocol.on_frame(frame, now)
    assert_sound(acts)
    assert len(acts) == 1


@settings(max_examples=200, deadline=None)
@given(chosen=st.data())
def test_no_spoiled_file_breaks_the_files_feed(chosen: st.DataObject) -> None:
    feed = FilesFeed(Series.parse("btc-15m"))
    texts = [
        test_files.contents(price=76568.5, strike=76500.0).decode(),
        test_files.contents(best_bid=0.42, best_ask=0.45).decode(),
    ]
    for _ in range(chosen.draw(st.integers(1, 8))):
        raw = chosen.draw(spoiled(texts))
        name = chosen.draw(st.sampled_from(sorted(FILE_NAMES)))
        assert_sound(
            feed.on_file(name, raw if isinstance(raw, bytes) else raw.encode("utf-8", "replace"), test_files.NOW)
        )
        assert_sound(feed.on_timer(test_files.NOW))

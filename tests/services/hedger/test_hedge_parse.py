"""Texts and files become positions and books, or say what to write instead."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.hedger.hedge_inputs import HedgeBook, HedgeError, HedgePosition, OtherPosition
from services.hedger.hedge_parse import (
    book_of,
    parse_book,
    parse_holding,
    parse_object,
    parse_other,
    position_of,
)

NOW_MS = 1_795_408_000_123
NOW_NS = NOW_MS * 1_000_000


def book(contents: dict[str, Any], *, top_size_shares: float | None = None) -> HedgeBook:
    return book_of(contents, "CALL", name="call.json", now_ns=NOW_NS, top_size_shares=top_size_shares)


def test_a_book_on_the_command_line_is_read_in_either_order_with_either_side_missing() -> None:
    expected = HedgeBook(outcome="CALL", bids=((0.55, 30.0), (0.54, 60.0)), asks=((0.57, 50.0),))
    assert parse_book("bid 0.55x30,0.54x60 ask 0.57x50", "CALL") == expected
    assert parse_book("asks 0.57 x 50 bids 0.55x30, 0.54x60", "CALL") == expected
    assert parse_book("ask 0.57x50", "CALL").bids == ()


@pytest.mark.parametrize(
    "text", ["", "0.55x30", "bid 0.55", "bid 0.5.5x3", "bid 0.5x1 bid 0.4x1", "bid nanx5", "bid 0.5xe"]
)
def test_a_text_that_is_no_book_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write it as: bid"):
        parse_book(text, "CALL")


def test_a_holding_is_shares_and_a_price() -> None:
    assert parse_holding("100@0.52") == (100.0, 0.52)
    assert parse_holding("0") == (0.0, None)
    with pytest.raises(ValueError, match="write shares@average price"):
        parse_holding("many")


def test_another_position_is_a_market_and_its_delta() -> None:
    assert parse_other("btc-5m:delta=-1.2") == OtherPosition(market="btc-5m", usd_per_bp=-1.2)
    assert parse_other("eth-5m:delta=1, correlation=0.9").correlation == 0.9
    for text in ("btc-5m", "btc-5m:delta=x", "btc-5m:gamma=1", "btc-5m:delta=1,beta=2"):
        with pytest.raises(ValueError, match="write it as btc-5m:delta="):
            parse_other(text)


@pytest.mark.parametrize(
    "contents",
    [
        {"call_shares": 100, "call_average_price": 0.52, "put_shares": 20, "put_average_price": "0.4", "market": "x"},
        {"call": {"shares": "100", "average_price": 0.52}, "put": {"shares": 20, "average_price": 0.4}},
        {"CALL": {"shares": 100, "average_price": 0.52}, "PUT": {"shares": 20, "average_price": 0.4}},
        {"position": {"call_shares": 100, "call_average_price": 0.52, "put_shares": 20, "put_average_price": 0.4}},
    ],
)
def test_every_shape_of_a_position_file_says_the_same(contents: dict[str, Any]) -> None:
    expected = HedgePosition(call_shares=100.0, call_average_price=0.52, put_shares=20.0, put_average_price=0.4)
    assert position_of(contents, name="position.json") == expected


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        ({}, "position.json: no position in it"),
        ({"call_shares": 100}, "position.call_average_price: missing"),
        ({"call_shares": "many"}, "position.json: call_shares: 'many' is no number"),
        ({"call": {"shares": True}}, "position.json: call: shares: True is no number"),
    ],
)
def test_a_position_file_that_says_too_little_is_refused(contents: dict[str, Any], text: str) -> None:
    with pytest.raises(HedgeError) as refused:
        position_of(contents, name="position.json")
    assert text in str(refused.value)


def test_full_depth_is_read_as_pairs_or_as_the_venues_objects_and_has_an_age() -> None:
    pairs = book({"bids": [[0.54, 60], [0.55, 30]], "asks": [], "timestamp": NOW_MS - 1500})
    objects = book(
        {"bids": [{"price": "0.55", "size": "30"}, {"price": "0.54", "size": "60"}], "timestamp": str(NOW_MS)}
    )
    assert pairs.bid_levels == objects.bid_levels
    assert (pairs.age_s, objects.age_s) == (1.5, 0.0)


def test_the_top_of_a_book_has_no_sizes_until_they_are_given() -> None:
    top = {"best_bid": "0.55", "best_ask": 0.57, "timestamp": NOW_MS}
    with pytest.raises(HedgeError, match="--top-size"):
        book(top)
    assert book(top, top_size_shares=40.0).bids == ((0.55, 40.0),)
    assert book(top, top_size_shares=40.0).has_assumed_sizes
    assert book({"best_bid": None, "best_ask": 0.57}, top_size_shares=40.0).bids == ()


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        ({}, "no book in it"),
        ({"bids": {"0.55": 30}}, "call.json: bids: not a list"),
        ({"bids": [[0.55]]}, "[0.55] is no level"),
        ({"bids": [{"price": 0.55}]}, "is no level"),
        ({"bids": [[0.55, float("nan")]]}, "nan is no number"),
        ({"bids": [], "timestamp": NOW_MS * 1000}, "ahead of this machine's clock"),
        ({"bids": [], "timestamp": "soon"}, "'soon' is no number"),
    ],
)
def test_a_book_that_is_none_is_refused(contents: dict[str, Any], text: str) -> None:
    with pytest.raises(HedgeError) as refused:
        book(contents)
    assert text in str(refused.value)


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", json.dumps("text").encode(), b"\xff"])
def test_a_file_that_holds_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(HedgeError, match="give one JSON object"):
        parse_object(raw, name="prices.json")

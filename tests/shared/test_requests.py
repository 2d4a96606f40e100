from __future__ import annotations

import msgpack
import pytest

from shared.messages import Position
from shared.requests import (
    Answer,
    FillsQuery,
    HedgeQuery,
    PnlQuery,
    PositionQuery,
    PositionsQuery,
    Question,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
)
from tests.builders import build
from tests.services.hedger.scene import cash, fill, merge, outcome, reversal

QUESTIONS: tuple[Question, ...] = (
    fill(), reversal(), merge(5), cash("fee", -1), outcome(), PositionsQuery(), PositionQuery(market="btc-15m"),
    PnlQuery(market="btc-15m", periods=3), FillsQuery(count=3), HedgeQuery(market="btc-15m"),
)  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: type(question).__name__)
def test_a_question_comes_back_as_it_was(question: Question) -> None:
    assert decode_question(encode_question(question)) == question


def test_a_question_is_a_map_that_any_messagepack_library_can_write() -> None:
    assert decode_question(msgpack.packb({"query": "pnl", "market": "btc-15m"})) == PnlQuery(market="btc-15m")
    assert msgpack.unpackb(encode_question(PositionsQuery())) == {"query": "positions"}


@pytest.mark.parametrize(
    "encoded", [b"", b"junk", msgpack.packb({"query": "rob"}), msgpack.packb({"query": "position"}), b"\x91" * 99_999]
)
def test_what_is_no_question_says_what_is_wrong(encoded: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 the text is msgspec's
        decode_question(encoded)


def test_amounts_are_integers_and_a_float_is_refused() -> None:
    fields = msgpack.unpackb(encode_question(fill())) | {"price_micro": 0.49}
    with pytest.raises(ValueError, match="price_micro"):
        decode_question(msgpack.packb(fields))


def test_an_answer_comes_back_and_another_version_is_refused() -> None:
    answer = Answer(
        positions=(build(Position),), rows=({"id": "f1", "price": 0.49, "reason": None},), sequence=7, waiting={"s": 9}
    )
    assert decode_answer(encode_answer(answer)) == answer
    with pytest.raises(ValueError, match="version 1"):
        decode_answer(encode_answer(Answer(version=1)))
    with pytest.raises(ValueError, match="Expected"):
        decode_answer(b"junk")

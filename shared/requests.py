"""What one may ask the hedger, and what it answers: MessagePack maps over request/reply.

Bookings are commands with an id of the sender's choice. Sending one again is safe: an id counts once, and the answer is
the same `ok`. No answer means unknown, not no: ask again with the same id. All amounts are integers, in micro-dollars
(`_micro`) and micro-shares (`_units`); see `shared/money.py`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shared.messages import Outcome, Position, TradeSide

ANSWER_VERSION = 3

Status = Literal["ok", "refused", "unknown_market", "malformed", "unavailable"]


class BookFill(msgspec.Struct, frozen=True, kw_only=True, tag="book_fill", tag_field="query"):
    """Book one execution. `fill_id` is unique forever; all fills of `order_id` together never exceed its size.

    `fee_micro` was paid (0 for a maker), `rebate_micro` is expected by the market's schedule.
    """

    fill_id: str
    order_id: str
    order_units: int
    market: str
    slug: str
    outcome: Outcome
    side: TradeSide
    price_micro: int
    units: int
    fee_micro: int
    rebate_micro: int
    is_maker: bool
    ts_ns: int


class BookReversal(msgspec.Struct, frozen=True, kw_only=True, tag="book_reversal", tag_field="query"):
    """Take one booked fill back (it failed on chain): a second entry with the opposite signs, never a deletion."""

    entry_id: str
    fill_id: str
    reason: str
    ts_ns: int


class BookMerge(msgspec.Struct, frozen=True, kw_only=True, tag="book_merge", tag_field="query"):
    """`units` pairs of CALL and PUT were merged into a dollar each."""

    entry_id: str
    market: str
    slug: str
    units: int
    ts_ns: int


class BookCash(msgspec.Struct, frozen=True, kw_only=True, tag="book_cash", tag_field="query"):
    """A fee or rebate that was charged or paid outside a fill (rebates come once a day). Received is positive."""

    entry_id: str
    kind: Literal["fee", "rebate"]
    market: str
    slug: str
    cash_micro: int
    ts_ns: int


class BookSettlement(msgspec.Struct, frozen=True, kw_only=True, tag="book_settlement", tag_field="query"):
    """How a period ended, by hand: for an outcome that the venue announced while no hedger listened.

    Refused while the period runs, and when another outcome stands; `ok` when this one stands already.
    """

    entry_id: str
    market: str
    slug: str
    outcome: Outcome
    ts_ns: int


class PositionsQuery(msgspec.Struct, frozen=True, tag="positions", tag_field="query"):
    """All positions that are open now."""


class PositionQuery(msgspec.Struct, frozen=True, tag="position", tag_field="query"):
    """The position in the current period of one market."""

    market: str


class PnlQuery(msgspec.Struct, frozen=True, tag="pnl", tag_field="query"):
    """Profit and loss per period, newest first, of one market or (empty) of all."""

    market: str = ""
    periods: int = 20


class FillsQuery(msgspec.Struct, frozen=True, tag="fills", tag_field="query"):
    """The last bookings of one market or (empty) of all, newest first."""

    market: str = ""
    count: int = 50


class HedgeQuery(msgspec.Struct, frozen=True, tag="hedge", tag_field="query"):
    """What to do with the position in the current period of one market: close, hedge, merge or hold."""

    market: str


Booking = BookFill | BookReversal | BookMerge | BookCash | BookSettlement
Question = Booking | PositionsQuery | PositionQuery | PnlQuery | FillsQuery | HedgeQuery


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to any question. Whatever is not `ok` carries its reason in `detail`.

    `sequence` is the ledger's last entry that the answer knows of; `entry` is the one that a booking is, also when it
    was booked before, and 0 where there is none (an outcome that stood already has none of its own). `rows` are the
    rows of `pnl`, `fills` and `hedge`. `waiting` are the slugs among `positions` that are over and whose outcome is not
    known, and when they ended (ns).
    """

    version: int = ANSWER_VERSION
    status: Status = "ok"
    detail: str = ""
    sequence: int = 0
    entry: int = 0
    positions: tuple[Position, ...] = ()
    waiting: dict[str, int] = {}
    rows: tuple[dict[str, Any], ...] = ()


_encoder = msgspec.msgpack.Encoder()
_question_decoder: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_answer_decoder = msgspec.msgpack.Decoder(Answer)


def encode_question(question: Question) -> bytes:
    """The bytes of a question."""
    return _encoder.encode(question)


def decode_question(encoded: bytes) -> Question:
    """The question in these bytes. Raises ValueError saying what is wrong."""
    try:
        return _question_decoder.decode(encoded)
    except (ValueError, RecursionError) as error:  # msgspec's own errors, invalid UTF-8, absurd nesting
        raise ValueError(str(error)) from error


def encode_answer(answer: Answer) -> bytes:
    """The bytes of an answer."""
    return _encoder.encode(answer)


def decode_answer(encoded: bytes) -> Answer:
    """The answer in these bytes. Raises ValueError for anything else, other versions included."""
    try:
        answer = _answer_decoder.decode(encoded)
    except (ValueError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if answer.version != ANSWER_VERSION:
        raise ValueError(f"answer of version {answer.version}, this engine speaks {ANSWER_VERSION}")
    return answer

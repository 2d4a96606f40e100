"""Bookings for tests: a test names only the fields under test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.hedger.core import HedgerCore
from services.hedger.entries import Entry
from services.hedger.journal import JournalError, MemoryJournal
from shared.config import MMConfig
from shared.core import Delivery
from shared.messages import AnyMessage, Period, topic_of
from shared.money import MICRO
from shared.requests import (
    Answer,
    BookCash,
    BookFill,
    BookMerge,
    BookReversal,
    BookSettlement,
    Question,
    decode_answer,
    encode_question,
)
from tests.builders import NS, SLUG, START_S, build

AT_NS = (START_S + 300) * NS
END_NS = (START_S + 900) * NS


def fill(fill_id: str = "f1", **fields: Any) -> BookFill:
    """Ten CALL bought at 49 cents, the whole of an order of its own."""
    defaults = {
        "fill_id": fill_id,
        "order_id": f"order-{fill_id}",
        "order_units": fields.get("units", 10 * MICRO),
        "market": "btc-15m",
        "slug": SLUG,
        "outcome": "CALL",
        "side": "buy",
        "price_micro": 490_000,
        "units": 10 * MICRO,
        "fee_micro": 0,
        "rebate_micro": 0,
        "is_maker": True,
        "ts_ns": AT_NS,
    }
    return BookFill(**(defaults | fields))


def reversal(fill_id: str = "f1", **fields: Any) -> BookReversal:
    """A fill that failed on chain."""
    defaults = {"entry_id": f"reversal-{fill_id}", "fill_id": fill_id, "reason": "failed on chain", "ts_ns": AT_NS + 1}
    return BookReversal(**(defaults | fields))


def merge(units: int, **fields: Any) -> BookMerge:
    """Merged pairs."""
    defaults = {"entry_id": "m1", "market": "btc-15m", "slug": SLUG, "units": units, "ts_ns": AT_NS + 2}
    return BookMerge(**(defaults | fields))


def cash(kind: str, cash_micro: int, **fields: Any) -> BookCash:
    """A fee or rebate outside a fill."""
    defaults = {"entry_id": f"{kind}-1", "kind": kind, "market": "btc-15m", "slug": SLUG, "ts_ns": AT_NS + 3}
    return BookCash(**(defaults | {"cash_micro": cash_micro} | fields))


def outcome(won: str = "CALL", **fields: Any) -> BookSettlement:
    """How the period ended, by hand."""
    defaults = {"entry_id": "o1", "market": "btc-15m", "slug": SLUG, "outcome": won, "ts_ns": END_NS}
    return BookSettlement(**(defaults | fields))


def ask_all(hedger: HedgerCore, *questions: Question, now_ns: int = AT_NS) -> list[Answer]:
    """All at once, as they wait in the socket together."""
    encoded = hedger.answer_all([encode_question(each) for each in questions], now_ns=now_ns)
    return [decode_answer(each) for each in encoded]


def ask(hedger: HedgerCore, question: Question, *, now_ns: int = AT_NS) -> Answer:
    """One question."""
    return ask_all(hedger, question, now_ns=now_ns)[0]


def deliver(hedger: HedgerCore, message: AnyMessage) -> list[AnyMessage]:
    """One message from the bus; returns what the hedger publishes."""
    return list(hedger.update(Delivery(topic_of(message), 1, 1, message)))


def hedger_in_a_period(journal: Any = None, config: MMConfig | None = None) -> HedgerCore:
    """A hedger of two markets, in a period of the first."""
    hedger = HedgerCore(["btc-15m", "eth-15m"], journal, config)
    deliver(hedger, build(Period))
    return hedger


class BreakableJournal(MemoryJournal):
    """A journal that can stop to take entries."""

    is_broken = False

    def append(self, entries: Sequence[Entry]) -> None:
        if self.is_broken:
            raise JournalError("database or disk is full")
        super().append(entries)

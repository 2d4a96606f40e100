"""What stands in the ledger: one frozen entry for each thing that moved our cash or our tokens.

Each entry says the facts (who traded what at which price) and what they moved for us. `movements` names the other side
of it, so that cash, CALL and PUT of all parties together never change: what we receive, somebody gave. All amounts are
integers, in micro-dollars (`_micro`) and micro-shares (`_units`).
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import msgspec

from shared.market import opposite
from shared.messages import Outcome
from shared.money import product_micro
from shared.requests import BookCash, BookFill, BookMerge, BookReversal

EntryKind = Literal["fill", "reversal", "settlement", "merge", "fee", "rebate"]
Party = Literal["ours", "counterparty", "venue", "contract"]

# Ids of the ledger's own entries begin so; nobody else's may.
SETTLEMENT_PREFIX = "settlement:"


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row of the ledger; a field that its kind does not have is empty or zero.

    `cash_micro`, `call_units` and `put_units` are what it moved for us. `fee_micro` was paid, `rebate_micro` is
    expected (in a reversal: both are of the fill that is taken back). `outcome` is the token traded, or the one that
    won. `reverses` is the fill that a reversal takes back. `ts_ns` is when it happened, `booked_ns` when we booked it.
    """

    sequence: int
    kind: EntryKind
    entry_id: str
    market: str
    slug: str
    cash_micro: int
    call_units: int
    put_units: int
    fee_micro: int
    rebate_micro: int
    order_id: str
    order_units: int
    outcome: str
    side: str
    liquidity: str
    price_micro: int
    units: int
    reverses: str | None
    reason: str
    ts_ns: int
    booked_ns: int


FIELDS = Entry.__struct_fields__


class Movement(NamedTuple):
    """What one party received (negative: gave) through an entry."""

    party: Party
    cash_micro: int
    call_units: int
    put_units: int


def movements(entry: Entry) -> tuple[Movement, ...]:
    """Who received what. Ours is what the entry says it moved; the others' follow from its facts alone.

    A counterparty trades at the price, the venue takes fees and pays rebates, the contract pays a dollar for a merged
    pair or a winning share. The entry is balanced when all of them add up to nothing.
    """
    ours = Movement("ours", entry.cash_micro, entry.call_units, entry.put_units)
    match entry.kind:
        case "fill" | "reversal":
            gave = entry.units if (entry.side == "buy") == (entry.kind == "fill") else -entry.units
            notional = product_micro(entry.price_micro, entry.units)
            paid = notional if gave > 0 else -notional
            calls, puts = (gave, 0) if entry.outcome == "CALL" else (0, gave)
            fee = entry.fee_micro if entry.kind == "fill" else -entry.fee_micro
            return ours, Movement("counterparty", paid, -calls, -puts), Movement("venue", fee, 0, 0)
        case "merge":
            return ours, Movement("contract", -entry.units, entry.units, entry.units)
        case "settlement":
            winners = entry.call_units if entry.outcome == "CALL" else entry.put_units
            return ours, Movement("contract", winners, -entry.call_units, -entry.put_units)
        case "fee" | "rebate":
            return ours, Movement("venue", -entry.cash_micro, 0, 0)


def is_balanced(entry: Entry) -> bool:
    """Whether nothing came from nowhere: the movements of all parties add up to zero, each kind on its own."""
    cash_micro = call_units = put_units = 0
    for _, cash, calls, puts in movements(entry):
        cash_micro += cash
        call_units += calls
        put_units += puts
    return cash_micro == call_units == put_units == 0


def same_booking(one: Entry, other: Entry) -> bool:
    """Whether two entries say the same: all but their place in the ledger and the time they were booked at."""
    return one == msgspec.structs.replace(other, sequence=one.sequence, booked_ns=one.booked_ns)


def of_fill(fill: BookFill, *, sequence: int, booked_ns: int) -> Entry:
    """The entry of one execution: shares against price x units, and the fee."""
    notional = product_micro(fill.price_micro, fill.units)
    is_buy = fill.side == "buy"
    units = fill.units if is_buy else -fill.units
    return Entry(
        sequence=sequence,
        kind="fill",
        entry_id=fill.fill_id,
        market=fill.market,
        slug=fill.slug,
        cash_micro=(-notional if is_buy else notional) - fill.fee_micro,
        call_units=units if fill.outcome == "CALL" else 0,
        put_units=units if fill.outcome == "PUT" else 0,
        fee_micro=fill.fee_micro,
        rebate_micro=fill.rebate_micro,
        order_id=fill.order_id,
        order_units=fill.order_units,
        outcome=fill.outcome,
        side=fill.side,
        liquidity="maker" if fill.is_maker else "taker",
        price_micro=fill.price_micro,
        units=fill.units,
        reverses=None,
        reason="",
        ts_ns=fill.ts_ns,
        booked_ns=booked_ns,
    )


def of_reversal(reversal: BookReversal, fill: Entry, *, sequence: int, booked_ns: int) -> Entry:
    """The entry that takes a booked fill back: its facts, with every movement turned around."""
    return msgspec.structs.replace(
        fill,
        sequence=sequence,
        kind="reversal",
        entry_id=reversal.entry_id,
        cash_micro=-fill.cash_micro,
        call_units=-fill.call_units,
        put_units=-fill.put_units,
        reverses=fill.entry_id,
        reason=reversal.reason,
        ts_ns=reversal.ts_ns,
        booked_ns=booked_ns,
    )


def of_merge(merge: BookMerge, *, sequence: int, booked_ns: int) -> Entry:
    """The entry of merged pairs: a dollar for each CALL and PUT given up together."""
    return _bare(
        sequence, "merge", merge.entry_id, merge.market, merge.slug, merge.ts_ns, booked_ns,
        cash_micro=merge.units, call_units=-merge.units, put_units=-merge.units, units=merge.units,
    )  # fmt: skip


def of_cash(cash: BookCash, *, sequence: int, booked_ns: int) -> Entry:
    """The entry of a fee or rebate outside a fill; received is positive."""
    return _bare(
        sequence, cash.kind, cash.entry_id, cash.market, cash.slug, cash.ts_ns, booked_ns, cash_micro=cash.cash_micro
    )


def of_settlement(
    *, market: str, slug: str, outcome: Outcome, call_units: int, put_units: int, sequence: int, ts_ns: int,
    booked_ns: int, entry_id: str = "",
) -> Entry:  # fmt: skip
    """The entry that redeems what is held (negative: takes back what was redeemed too much): $1 for each winner.

    `entry_id` is that of whoever booked the outcome; empty: the ledger's own.
    """
    return _bare(
        sequence, "settlement", entry_id or f"{SETTLEMENT_PREFIX}{slug}:{sequence}", market, slug, ts_ns, booked_ns,
        cash_micro=call_units if outcome == "CALL" else put_units,
        call_units=-call_units, put_units=-put_units, outcome=outcome,
        reason=f"{opposite(outcome)} pays nothing",
    )  # fmt: skip


def _bare(
    sequence: int, kind: EntryKind, entry_id: str, market: str, slug: str, ts_ns: int, booked_ns: int, *,
    cash_micro: int = 0, call_units: int = 0, put_units: int = 0, outcome: str = "", units: int = 0, reason: str = "",
) -> Entry:  # fmt: skip
    return Entry(
        sequence=sequence, kind=kind, entry_id=entry_id, market=market, slug=slug, cash_micro=cash_micro,
        call_units=call_units, put_units=put_units, fee_micro=0, rebate_micro=0, order_id="", order_units=0,
        outcome=outcome, side="", liquidity="", price_micro=0, units=units, reverses=None, reason=reason, ts_ns=ts_ns,
        booked_ns=booked_ns,
    )  # fmt: skip


FIRST_LINK = hashlib.sha256(b"polymarket-market-maker ledger 1").digest()

_canonical = msgspec.msgpack.Encoder().encode


def link(previous: bytes, entry: Entry) -> bytes:
    """The hash of an entry in the chain: SHA-256 of the hash before it and the entry as a MessagePack array.

    Whoever changes, removes or inserts a row breaks every hash after it. What it cannot show is that the last rows
    were cut off: compare the last hash with one noted elsewhere (it is in the log of every start).
    """
    return hashlib.sha256(previous + _canonical(entry)).digest()

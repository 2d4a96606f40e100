from __future__ import annotations

import hashlib

import msgpack
import msgspec
import pytest

from services.hedger.entries import (
    FIRST_LINK,
    Entry,
    is_balanced,
    link,
    movements,
    of_cash,
    of_fill,
    of_merge,
    of_reversal,
    of_settlement,
    same_booking,
)
from shared.money import MICRO
from tests.builders import SLUG
from tests.services.hedger.scene import cash, fill, merge, reversal


def one_of_each() -> list[Entry]:
    bought = of_fill(fill(fee_micro=7), sequence=1, booked_ns=1)
    return [
        bought,
        of_fill(fill(side="sell", outcome="PUT", fee_micro=7), sequence=2, booked_ns=1),
        of_reversal(reversal(), bought, sequence=3, booked_ns=1),
        of_merge(merge(5), sequence=4, booked_ns=1),
        of_cash(cash("fee", -3), sequence=5, booked_ns=1),
        of_settlement(
            market="btc-15m", slug=SLUG, outcome="PUT", call_units=4, put_units=9, sequence=6, ts_ns=1, booked_ns=1
        ),
    ]


def test_what_we_receive_somebody_gave() -> None:
    for entry in one_of_each():
        assert is_balanced(entry), entry.kind


@pytest.mark.parametrize("field", ["cash_micro", "call_units", "put_units"])
def test_an_entry_that_makes_something_of_nothing_is_not_balanced(field: str) -> None:
    bought, sold, taken_back, merged, _, _ = one_of_each()
    for entry in (bought, sold, taken_back, merged):
        assert not is_balanced(msgspec.structs.replace(entry, **{field: getattr(entry, field) + 1})), entry.kind


def test_a_settlement_that_pays_more_than_a_dollar_is_not_balanced() -> None:
    settled = one_of_each()[-1]
    assert not is_balanced(msgspec.structs.replace(settled, cash_micro=settled.cash_micro + 1))


def test_a_purchase_costs_price_times_shares_and_the_fee() -> None:
    entry = of_fill(fill(price_micro=333_333, units=1_500_001, fee_micro=11), sequence=1, booked_ns=1)
    assert (entry.cash_micro, entry.call_units, entry.put_units) == (-500_000 - 11, 1_500_001, 0)
    assert [each.party for each in movements(entry)] == ["ours", "counterparty", "venue"]
    assert movements(entry)[2].cash_micro == 11


def test_a_sale_brings_price_times_shares_less_the_fee() -> None:
    entry = of_fill(fill(side="sell", outcome="PUT", fee_micro=11), sequence=1, booked_ns=1)
    assert (entry.cash_micro, entry.call_units, entry.put_units) == (4_900_000 - 11, 0, -10 * MICRO)


def test_a_reversal_moves_everything_back() -> None:
    bought = of_fill(fill(fee_micro=11), sequence=1, booked_ns=1)
    taken_back = of_reversal(reversal(), bought, sequence=2, booked_ns=2)
    assert taken_back.cash_micro == -bought.cash_micro
    assert taken_back.call_units == -bought.call_units
    assert taken_back.reverses == "f1"


def test_a_winning_share_pays_a_dollar_and_a_losing_one_nothing() -> None:
    entry = one_of_each()[-1]
    assert (entry.cash_micro, entry.call_units, entry.put_units) == (9, -4, -9)


def test_a_booking_is_the_same_whatever_its_place_and_time() -> None:
    one = of_fill(fill(), sequence=1, booked_ns=1)
    assert same_booking(one, of_fill(fill(), sequence=8, booked_ns=9))
    assert not same_booking(one, of_fill(fill(price_micro=490_001), sequence=8, booked_ns=9))


def test_a_link_is_sha256_of_the_link_before_and_the_messagepack_array() -> None:
    entry = one_of_each()[0]
    fields = [getattr(entry, name) for name in entry.__struct_fields__]
    assert link(FIRST_LINK, entry) == hashlib.sha256(FIRST_LINK + msgpack.packb(fields)).digest()

"""What cannot be analyzed is refused with the field and the remedy; fees are the venue's curve."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.hedger.hedge_inputs import (
    Fees,
    HedgeBook,
    HedgeError,
    HedgePosition,
    HedgePrices,
    OtherPosition,
    averaging_s,
)
from shared.fees import FEE_STEP_MICRO
from shared.messages import Period
from shared.money import MICRO, to_micro
from tests.builders import build
from tests.services.hedger.test_pnl import order

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors"
CRYPTO = Fees(rate=0.07, rebate_rate=0.2)


def vectors(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no vectors at {path}: this machine has only the repository")
    return json.loads(path.read_text())


def test_both_published_fee_schedules_agree_with_their_tables() -> None:
    for case in vectors("fees_hedging.json")["fees"]:
        fees = Fees(rate=0.25, exponent=2.0) if case["schedule"].startswith("2026-01") else CRYPTO
        expected = case["fee_usd"]
        assert fees.per_share_usd(to_micro(case["price"])) * case["shares"] == pytest.approx(expected, abs=1e-9)
        charged = fees.taker_micro(to_micro(case["price"]), case["shares"] * MICRO)
        assert charged == pytest.approx(expected * MICRO, abs=FEE_STEP_MICRO / 2)


def test_the_general_fee_form_and_the_makers_share_agree_with_independent_numbers() -> None:
    for case in vectors("fees_hedging.json")["fee_general"]:
        fees = Fees(rate=case["rate"], exponent=case["exponent"], rebate_rate=0.2)
        price, units = to_micro(case["price"]), case["shares"] * MICRO
        assert fees.taker_micro(price, units) == pytest.approx(case["fee"] * MICRO, abs=FEE_STEP_MICRO / 2)
        if case["maker_rebate"] is not None:
            assert fees.rebate_micro(price, units) == pytest.approx(case["maker_rebate"] * MICRO, abs=0.51)


@given(price=st.integers(1, MICRO - 1), units=st.integers(0, 10**12), exponent=st.sampled_from([1.0, 1.5, 2.0]))
def test_a_fee_is_the_same_on_both_sides_of_a_pair(price: int, units: int, exponent: float) -> None:
    fees = Fees(rate=0.07, exponent=exponent)
    assert fees.taker_micro(price, units) == fees.taker_micro(MICRO - price, units)


def test_a_maker_pays_only_where_the_schedule_says_so() -> None:
    assert CRYPTO.maker_micro(500_000, MICRO) == 0
    assert Fees(rate=0.07, is_taker_only=False).maker_micro(500_000, MICRO) == 17_500


def test_a_book_is_sorted_and_repeated_prices_are_added_up() -> None:
    book = HedgeBook(outcome="CALL", bids=((0.54, 60.0), (0.55, 10.0), (0.55, 20.0)), asks=((0.58, 1.0), (0.57, 2.0)))
    assert [(each.price_micro, each.units) for each in book.bid_levels] == [
        (550_000, 30 * MICRO),
        (540_000, 60 * MICRO),
    ]
    assert [each.price_micro for each in book.ask_levels] == [570_000, 580_000]


def test_what_was_paid_is_exact_whether_by_averages_or_in_all() -> None:
    held = HedgePosition(call_shares=33.0, call_average_price=0.333333, put_shares=10.0, put_average_price=0.1)
    assert held.cost_micro == 33 * 333_333 + 1_000_000
    assert HedgePosition(call_shares=33.0, cost_usd=12.0).cost_micro == 12_000_000


BOOK = HedgeBook(outcome="CALL", bids=((0.55, 30.0),), asks=((0.57, 50.0),))


@pytest.mark.parametrize(
    ("make", "field", "remedy"),
    [
        (lambda: HedgeBook(outcome="CALL", bids=((0.56, 1.0),), asks=((0.56, 1.0),)), "CALL book", "fresh snapshot"),
        (lambda: HedgeBook(outcome="PUT", bids=((1.0, 1.0),)), "PUT book: bid 1x1", "such as 0.55"),
        (lambda: HedgeBook(outcome="PUT", asks=((math.nan, 1.0),)), "PUT book: ask", "such as 0.55"),
        (lambda: HedgeBook(outcome="PUT", asks=((0.5, 0.0),)), "PUT book: ask 0.5x0", "leave out levels"),
        (lambda: HedgeBook(outcome="PUT", asks=((0.5, 1e-9),)), "PUT book: ask 0.5x1e-09", "leave out levels"),
        (lambda: HedgePosition(call_shares=-1.0, call_average_price=0.5), "position.call_shares", "holding PUT"),
        (lambda: HedgePosition(put_shares=5.0), "position.put_average_price", "--put 5@0.52"),
        (
            lambda: HedgePosition(put_shares=5.0, put_average_price=52.0),
            "position.put_average_price",
            "dollars a share",
        ),
        (lambda: HedgePosition(call_shares=5.0, call_average_price=0.5, cost_usd=2.5), "position.cost_usd", "one of"),
        (lambda: HedgePrices(fair=56.0, time_left_s=1.0), "fair", "from 0 to 1"),
        (lambda: HedgePrices(fair=0.5, fair_low=0.6, time_left_s=1.0), "fair_low", "from 0 to 0.5"),
        (lambda: HedgePrices(fair=0.5, time_left_s=-1.0), "time_left_s", "at least 0"),
        (lambda: HedgePrices(fair=math.nan, time_left_s=1.0), "fair", "from 0 to 1"),
        (lambda: HedgePrices(fair=0.5, time_left_s=1.0, call=BOOK, tick_size=0.1), "CALL book", "--tick"),
        (lambda: HedgePrices(fair=0.5, time_left_s=1.0, put=BOOK), "put book", "exchange"),
        (
            lambda: HedgePrices(fair=0.5, time_left_s=1.0, others=(OtherPosition(market="btc-5m", usd_per_bp=1.0),)),
            "market",
            "btc-15m",
        ),
        (lambda: Fees(rate=1.0), "fees.rate", "from 0 to 0.999"),
        (lambda: Fees(rate=0.07, exponent=0.5), "fees.exponent", "at least 1"),
        (lambda: OtherPosition(market="", usd_per_bp=1.0), "other.market", "btc-5m"),
        (lambda: OtherPosition(market="btc-5m", usd_per_bp=math.inf), "other btc-5m: usd_per_bp", "at least"),
        (lambda: HedgePosition(resting=(order("CALL", "buy", 1.5, 1.0),)), "resting buy CALL", "such as 0.55"),
        (lambda: HedgePosition(resting=(order("PUT", "sell", 0.5, -1.0),)), "resting sell PUT: shares", "at least 0"),
    ],
)
def test_a_mistake_is_named_with_its_field_and_its_remedy(make: Callable[[], object], field: str, remedy: str) -> None:
    with pytest.raises(HedgeError) as refused:
        make()
    assert field in str(refused.value)
    assert remedy in str(refused.value)


def test_a_spot_settlement_averages_nothing() -> None:
    assert averaging_s(build(Period, twap_lookback_s=60)) == 60.0
    assert averaging_s(build(Period, settlement="spot")) == 0.0

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtest import warm
from backtest.tape import (
    BOOK_STEP,
    IMAGE_WORDS,
    MARKET_PART,
    OWN_FIELDS,
    REQUOTE,
    SECOND_PASS,
    SECOND_PASS_TECHNIQUES,
    TIMER_STEP,
    TRADE_STEP,
    Tape,
    tape_key,
    tapes_of,
)
from shared.config import MMConfig
from shared.messages import AnyMessage, OutcomeBook, OutcomeTrade
from shared.money import to_micro

MARKET = "btc-5m"


def messages(steps: int) -> list[AnyMessage]:
    return [each for step in range(steps) for each in warm.moment(step)]


def tape_under(config: MMConfig, heard: list[AnyMessage]) -> Tape:
    (tape,) = tapes_of(heard, config, [MARKET], {})
    return tape


def are_equal(one: Tape, other: Tape) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def another(name: str, setting: Any) -> Any:
    """A different, valid setting."""
    special = {"tier_mode": "preset", "inventory_skew_mode": "linear", "quote_final_phase": True, "lease_s": 3.0}
    if name in special:
        return special[name]
    if isinstance(setting, tuple):
        return [1.1 * each for each in setting]
    if isinstance(setting, float):
        return 1.01 * setting + 0.001
    return {inner: 1.1 * number for inner, number in setting.model_dump().items()}


def test_a_setting_that_only_the_second_pass_reads_leaves_the_tape_as_it_is() -> None:
    heard = messages(900)
    default = MMConfig()
    changed = {name: another(name, getattr(default, name)) for name in SECOND_PASS}
    other = MMConfig.model_validate(changed | {"techniques": dict.fromkeys(SECOND_PASS_TECHNIQUES, False)})
    assert all(getattr(other, name) != getattr(default, name) for name in SECOND_PASS)
    assert tape_key(other) == tape_key(default)
    assert are_equal(tape_under(other, heard), tape_under(default, heard))


@pytest.mark.parametrize(
    "changed",
    [
        {"vol_spike_threshold": 0.001},
        {"high_toxicity": 0.5},
        {"limits": {"book_s": 1.0}},
        {"techniques": {"momentum_skew": False}},
        {"techniques": {"lead_lag": False}},
        {"default_lead_s": 1.0},
    ],
)
def test_a_setting_that_the_first_pass_reads_asks_for_a_tape_of_its_own(changed: dict[str, Any]) -> None:
    assert tape_key(MMConfig.model_validate(changed)) != tape_key(MMConfig())


def test_books_and_trades_are_on_the_tape_as_the_venue_stamped_them() -> None:
    heard = messages(600)
    tape = tape_under(MMConfig(), heard)
    begun_ns = tape.steps["now_ns"][0]
    books = [each for each in heard if isinstance(each, OutcomeBook) and each.outcome == "CALL"]
    trades = [each for each in heard if isinstance(each, OutcomeTrade) and each.ts_recv_ns >= begun_ns]
    last, row = books[-1], tape.books[-1]
    assert (row["at_ns"], row["tick_micro"]) == (last.ts_event_ns, to_micro(last.tick_size))
    standing: dict[int, float] = {}
    for price, units in zip(tape.change_micro.tolist(), tape.change_units.tolist(), strict=True):
        standing[price] = units
    bids = {price: units for price, units in standing.items() if price > 0 and units > 0.0}
    asks = {-price: units for price, units in standing.items() if price < 0 and units > 0.0}
    assert bids == {10_000 * tick: 1e6 * size for tick, size in zip(last.bid_ticks, last.bid_sizes, strict=True)}
    assert asks == {10_000 * tick: 1e6 * size for tick, size in zip(last.ask_ticks, last.ask_sizes, strict=True)}
    assert tape.trades["ts_ns"].tolist() == [each.ts_event_ns for each in trades]
    assert (tape.trades["units"] == 20_000_000).all()
    kinds = tape.steps["kind"]
    assert ((kinds & BOOK_STEP) > 0).sum() == len(tape.books)
    assert ((kinds & TRADE_STEP) > 0).sum() == len(tape.trades)
    assert ((kinds & TIMER_STEP) > 0).sum() == pytest.approx(630, abs=10)


def test_words_come_in_order_and_never_those_that_our_own_orders_decide() -> None:
    tape = tape_under(MMConfig(), messages(600))
    assert (np.diff(tape.steps["now_ns"]) >= 0).all()
    assert (np.diff(tape.steps["patch_end"]) >= 0).all()
    assert tape.steps["patch_end"][-1] == len(tape.patch_at) == len(tape.patch_word)
    assert tape.patch_at.max() < IMAGE_WORDS
    fields = MARKET_PART.dtype.fields
    assert fields is not None
    own = [MARKET_PART.first + fields[name][1] // 8 for name in OWN_FIELDS]
    assert not np.isin(tape.patch_at, own).any()


def test_only_steps_with_a_requote_bring_words() -> None:
    tape = tape_under(MMConfig(), messages(600))
    brought = np.diff(tape.steps["patch_end"], prepend=0)
    assert (brought[(tape.steps["kind"] & REQUOTE) == 0] == 0).all()
    assert (brought[(tape.steps["kind"] & REQUOTE) > 0] > 0).mean() > 0.3

"""Every fault of the simulator on every venue: a named state, no bad quote, and recovery.

The expectation of a fault is what names it: `<feed>: <label>` of a drop, `<feed> <state>: <reason>` of a stream, or
both are empty where the fault takes nothing away that can be missed (`HARMLESS`). The second text is the reason why
quotes are then pulled or widened; empty where other inputs carry them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.messages import FeedStatus
from tests.system.virtual import Virtual

FAULT_S = 12.0
# A connection that keeps failing is made anew after up to 16 s (full jitter, doubling from 0.5 s).
RECOVERED_WITHIN_S = 20.0
HARMLESS = ""

FAULTS: dict[tuple[str, str], tuple[str, str]] = {
    ("bybit", "freeze"): ("bybit STALE: no data for more than 5 s", "leader_unusable"),
    ("bybit", "gap"): (HARMLESS, ""),  # level 1 comes as snapshots only; trades have no numbers
    ("bybit", "disconnect"): ("bybit DOWN: close_1001", "leader_unusable"),
    ("bybit", "slow"): ("bybit STALE: late", "leader_unusable"),
    ("bybit", "garbage"): ("bybit: malformed", ""),
    ("bybit", "clock_skew"): ("bybit STALE: clock", "leader_unusable"),
    ("bybit", "out_of_order"): ("bybit: out_of_order", ""),
    ("bybit", "duplicate"): ("bybit: duplicate", ""),
    ("bybit", "crossed_book"): ("bybit GAP: crossed", "leader_unusable"),
    ("bybit", "wrong_side"): (HARMLESS, ""),  # the side of a trade alone: nothing contradicts it
    ("coinbase", "freeze"): ("coinbase STALE: no data for more than 5 s", ""),
    ("coinbase", "gap"): ("coinbase GAP: crossed", ""),
    ("coinbase", "disconnect"): ("coinbase DOWN: close_1001", ""),
    ("coinbase", "slow"): ("coinbase STALE: late", ""),
    ("coinbase", "garbage"): ("coinbase: malformed", ""),
    ("coinbase", "clock_skew"): ("coinbase STALE: clock", ""),
    ("coinbase", "out_of_order"): ("coinbase GAP: crossed", ""),
    ("coinbase", "duplicate"): ("coinbase: duplicate", ""),
    ("coinbase", "crossed_book"): ("coinbase GAP: crossed", ""),
    ("coinbase", "wrong_side"): ("coinbase GAP: crossed", ""),
    ("coinbase", "http_errors"): (HARMLESS, ""),  # asked only for trades that are missing: see below
    ("market", "freeze"): ("polymarket GAP: stale_book", "book_feed_not_live"),
    ("market", "gap"): ("polymarket GAP: crossed_book", "book_feed_not_live"),
    ("market", "disconnect"): ("polymarket DOWN: disconnected", "book_feed_not_live"),
    ("market", "slow"): ("polymarket STALE: late", "book_feed_not_live"),
    ("market", "garbage"): ("polymarket: malformed_frame", "book_feed_not_live"),
    ("market", "clock_skew"): ("polymarket: clock_ahead", "book_feed_not_live"),
    ("market", "out_of_order"): (HARMLESS, ""),  # levels have their own times: the later one stands
    ("market", "duplicate"): ("polymarket: duplicate_trade", ""),
    ("market", "crossed_book"): ("polymarket: crossed_book", "book_feed_not_live"),
    ("market", "wrong_side"): ("polymarket: wrong_side", "book_feed_not_live"),
    ("polybolt", "freeze"): ("chainlink STALE: no data for more than 6 s", "oracle_stale"),
    ("polybolt", "gap"): ("chainlink: gap", "oracle_feed_not_live"),
    ("polybolt", "disconnect"): ("chainlink DOWN: close_1001", "oracle_feed_not_live"),
    ("polybolt", "slow"): ("chainlink STALE: no data for more than 6 s", ""),
    ("polybolt", "garbage"): ("chainlink: malformed", "oracle_feed_not_live"),
    ("polybolt", "clock_skew"): ("chainlink STALE: clock", "oracle_feed_not_live"),
    ("polybolt", "out_of_order"): (
        HARMLESS,
        "",
    ),  # neighbours are mostly of the two channels, each with its own numbers
    ("polybolt", "duplicate"): ("chainlink: duplicate", ""),
    ("rtds", "freeze"): ("chainlink STALE: no data for more than 6 s", "oracle_stale"),
    ("rtds", "gap"): (HARMLESS, ""),  # single seconds are missing every day; their uncertainty is carried
    ("rtds", "disconnect"): ("chainlink DOWN: close_1001", "oracle_feed_not_live"),
    ("rtds", "slow"): ("chainlink STALE: no data for more than 6 s", ""),
    ("rtds", "garbage"): ("chainlink: malformed", ""),
    ("rtds", "clock_skew"): ("chainlink STALE: clock", "oracle_feed_not_live"),
    ("rtds", "out_of_order"): (HARMLESS, ""),
    ("rtds", "duplicate"): ("chainlink: duplicate", ""),
}

# What a fault may say besides, by chance: two neighbours of one channel.
ALSO: dict[tuple[str, str], set[str]] = {
    ("polybolt", "out_of_order"): {
        "chainlink: gap",
        "chainlink GAP: gap",
        "chainlink DOWN: gap",
        "chainlink: duplicate",
    }
}

_ready: dict[str, Virtual] = {}  # a system that ended one test well serves the next


@pytest.fixture
def system(venue: str) -> Iterator[Virtual]:
    """A warm system that quotes, early in a long calm period."""
    oracle = "rtds" if venue == "rtds" else "polybolt"
    found = _ready.pop(oracle, None)
    if found is None or found.now_s > 2_500.0:
        found = Virtual(
            "btc-1h",
            start_s=60.0,
            oracle="rtds" if venue == "rtds" else "polybolt",
            sigma_scale=0.5,
            book_rate=0.4,
            quote_rate=0.4,
            tolerance=0.05,
        )
        found.run(100.0)  # 90 s to the first verdict on the leader
    found.run_until(lambda: found.is_quoting() and not found.unwell(), within_s=10.0)
    yield found
    if not found.wrong and found.is_quoting() and not found.unwell():
        _ready[oracle] = found


class Seen:
    """What is said from here on."""

    def __init__(self, system: Virtual) -> None:
        self._system = system
        self._drops = system.drops.copy()
        self._statuses = len(system.statuses)
        self._journal = len(system.journal)

    def names(self) -> set[str]:
        """Labels of drops and of streams that are not LIVE."""
        statuses: list[FeedStatus] = self._system.statuses[self._statuses :]
        streams = {f"{each.venue} {each.state}: {each.reason}" for each in statuses if each.state != "LIVE"}
        return streams | set(self._system.drops - self._drops)

    def reasons(self) -> set[str]:
        """Reasons of quote sets."""
        return {reason for quotes in self._system.journal[self._journal :] for reason in quotes.reasons}


@pytest.mark.parametrize(("venue", "fault"), FAULTS)
def test_a_fault_is_named_never_quoted_on_and_healed(system: Virtual, venue: str, fault: str) -> None:
    named, reason = FAULTS[venue, fault]
    seen = Seen(system)
    system.start_fault(fault, venue, duration_s=FAULT_S)
    system.run(FAULT_S)
    if named == HARMLESS:
        assert seen.names() <= ALSO.get((venue, fault), set())
    else:
        assert named in seen.names()
    if reason:
        assert reason in seen.reasons()
    system.run_until(lambda: system.is_quoting() and not system.unwell(), within_s=RECOVERED_WITHIN_S)
    system.run(2.0)
    assert system.wrong == []


@pytest.mark.parametrize("venue", ["market"])
def test_a_change_of_tick_size_moves_the_quotes_to_the_new_grid_at_once(venue: str) -> None:
    system = Virtual("btc-1h", start_s=60.0, sigma_scale=0.5, book_rate=0.4, quote_rate=0.4, tolerance=0.05)
    system.run(70.0)
    quotes = system.standing().quotes
    assert quotes is not None
    assert quotes.tick_size == 0.01
    system.start_fault("tick_size_change", venue, duration_s=1.0)
    system.run(1.0)
    quotes = system.standing().quotes
    assert quotes is not None
    assert (quotes.tick_size, system.is_quoting(), system.wrong) == (0.001, True, [])
    assert any(layer.ticks % 10 for layer in quotes.call)


@pytest.mark.parametrize("venue", ["coinbase"])
def test_trades_that_are_lost_and_cannot_be_refilled_are_a_named_gap(system: Virtual, venue: str) -> None:
    seen = Seen(system)
    system.start_fault("gap", venue, duration_s=FAULT_S)
    system.start_fault("http_errors", venue, duration_s=FAULT_S)
    system.run(FAULT_S)
    assert {"coinbase: lost_trades", "coinbase: refill_failed"} <= seen.names()
    system.run_until(lambda: system.is_quoting() and not system.unwell(), within_s=RECOVERED_WITHIN_S)
    assert system.wrong == []


@pytest.mark.parametrize("venue", ["market"])
def test_a_ghost_book_of_rest_is_never_published(system: Virtual, venue: str) -> None:
    seen = Seen(system)
    system.start_fault("freeze", venue, duration_s=FAULT_S)  # only a quiet book is compared with the one of REST
    system.start_fault("ghost_book", "clob", duration_s=FAULT_S)
    system.run(FAULT_S)
    assert "polymarket: hash_mismatch" in seen.names()
    assert "book_placeholder" not in seen.reasons()
    system.run_until(lambda: system.is_quoting() and not system.unwell(), within_s=RECOVERED_WITHIN_S)
    assert system.wrong == []


# REST is asked when there is something to learn: at a start, and at a rollover.
REST_FAULTS: dict[tuple[str, str], tuple[str, str]] = {
    ("gamma", "disconnect"): ("polymarket: http_503", "period_refused"),
    ("gamma", "http_errors"): ("polymarket: http_500", "period_refused"),
    ("gamma", "slow"): (HARMLESS, "period_refused"),
    ("gamma", "garbage"): ("polymarket: malformed_gamma", "period_refused"),
    ("clob", "disconnect"): ("polymarket: http_503", "period_refused"),
    ("clob", "http_errors"): ("polymarket: http_500", "period_refused"),
    ("clob", "slow"): (HARMLESS, "period_refused"),
    ("clob", "garbage"): ("polymarket: malformed_clob_market", "period_refused"),
    ("clob", "clock_skew"): (HARMLESS, ""),  # nothing in a market record is a time that is used
    ("website", "disconnect"): ("polymarket: http_503", "strike_not_proven"),
    ("website", "http_errors"): ("polymarket: http_500", "strike_not_proven"),
    ("website", "slow"): (HARMLESS, "strike_not_proven"),
    ("website", "garbage"): ("polymarket: malformed_crypto_price", "strike_not_proven"),
    ("website", "clock_skew"): (HARMLESS, ""),  # nor in an open price
}


@pytest.mark.parametrize(("venue", "fault"), REST_FAULTS)
def test_a_start_into_a_fault_of_rest_is_not_quoted_and_comes_right(venue: str, fault: str) -> None:
    named, reason = REST_FAULTS[venue, fault]
    system = Virtual("btc-15m", start_s=300.0, sigma_scale=0.5, book_rate=0.2, quote_rate=0.2)
    system.start_fault(fault, venue, duration_s=FAULT_S)
    seen = Seen(system)
    system.run(2.0)
    if reason:
        assert reason in system.standing().reasons
    else:
        assert not {"period_refused", "strike_not_proven"} & set(system.standing().reasons)
    system.run(FAULT_S - 2.0)
    assert named == HARMLESS or named in seen.names()
    system.run_until(
        lambda: not {"period_refused", "strike_not_proven"} & set(system.standing().reasons),
        within_s=RECOVERED_WITHIN_S,
    )
    system.run(1.0)
    assert system.unwell() == []


@pytest.mark.parametrize("venue", ["polybolt", "website"])
def test_a_late_strike_is_waited_for_by_name_and_proven_when_it_is_published(venue: str) -> None:
    system = Virtual("btc-2m", start_s=100.0, sigma_scale=0.5, book_rate=0.2, quote_rate=0.2)
    system.run(10.0)
    system.start_fault("late_strike", venue)
    system.run_to(150.0)
    assert system.standing().reasons[0] == "strike_not_proven"
    assert system.periods[system.true_period().slug].strike_state == "PENDING"
    system.run_to(190.0)  # Gamma's word on the period before is there by now: one origin alone
    assert system.periods[system.true_period().slug].strike_source == "only_gamma_previous_final"
    system.faults.clear()
    system.run_until(lambda: "strike_not_proven" not in system.standing().reasons, within_s=12.0)
    assert system.periods[system.true_period().slug].strike_source == "gamma_previous_final+website"
    assert system.wrong == []

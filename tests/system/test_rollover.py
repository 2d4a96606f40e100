"""Three periods of a short series and the two rollovers between them, in virtual time."""

from __future__ import annotations

import pytest

from shared.market import NS_PER_S
from tests.system.virtual import Virtual

LENGTH_S = 120
ROLLOVERS_S = (LENGTH_S, 2 * LENGTH_S)
# The strike is a TWAP tick that the relay delivers 1.3 to 3.1 s after the start; the first quotes follow at once.
BACK_WITHIN_S = 4.0


@pytest.fixture(scope="module")
def told() -> Virtual:
    """A system that saw it all, up to the settlement of the first two periods (53 to 66 s after an end, mostly)."""
    system = Virtual("btc-2m", start_s=5.0, seed=3, sigma_scale=0.5, missing_share=0.0, book_rate=0.1, quote_rate=0.1)
    system.run_to(2 * LENGTH_S + 80.0)
    return system


def slugs(system: Virtual) -> list[str]:
    return [system.series.slug(system.first_start_s + number * LENGTH_S) for number in range(3)]


def test_quotes_stand_in_every_period(told: Virtual) -> None:
    quoted = {quotes.slug for quotes in told.journal if quotes.call}
    assert quoted >= set(slugs(told))


def test_each_strike_is_proven_by_the_own_twap_tick_stamped_at_the_start(told: Virtual) -> None:
    for slug in slugs(told):
        period, truth = told.periods[slug], told.world.periods[slug]
        assert (period.strike_state, period.strike_source) == ("PROVEN", "own_twap60_tick")
        assert period.strike == pytest.approx(truth.strike, rel=1e-12)


def test_each_recomputed_settlement_is_the_official_one(told: Virtual) -> None:
    for slug in slugs(told)[:2]:
        settlement, truth = told.settlements[slug], told.world.periods[slug]
        assert (settlement.final_source, settlement.agrees) == ("own_tick", True)
        assert settlement.recomputed == settlement.official == ("CALL" if truth.up_won else "PUT")
        assert settlement.final_price == pytest.approx(truth.final, rel=1e-12)


def test_no_quote_set_is_made_for_a_period_that_is_over_or_not_yet_begun(told: Virtual) -> None:
    for quotes in told.journal:
        if quotes.call or quotes.put:
            start_s = int(quotes.slug.rpartition("-")[2])
            assert start_s * NS_PER_S <= quotes.ts_event_ns < (start_s + LENGTH_S) * NS_PER_S


def test_what_stands_is_never_wrong(told: Virtual) -> None:
    assert told.wrong == []


def test_the_books_of_the_next_period_are_there_at_once(told: Virtual) -> None:
    for slug in slugs(told)[1:]:
        start_ms = told.world.periods[slug].start_s * 1000
        assert 0 <= told.book_slugs[slug] - start_ms <= 100


def test_quotes_return_within_seconds_of_a_rollover(told: Virtual) -> None:
    for rollover_s in ROLLOVERS_S:
        start_ms = (told.first_start_s + rollover_s) * 1000
        back_ms = next(ts_ms for ts_ms in told.quoting_ms if ts_ms >= start_ms)
        assert 1_000 <= back_ms - start_ms <= BACK_WITHIN_S * 1000


def test_nothing_was_refused_and_no_connection_was_made_anew(told: Virtual) -> None:
    assert (dict(told.drops), dict(told.reconnects)) == ({}, {})

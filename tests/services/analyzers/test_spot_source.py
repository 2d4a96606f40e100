from __future__ import annotations

from services.analyzers.spot_source import (
    MAX_VENUES,
    REFUSED,
    SPARE,
    STATE,
    SWITCHED,
    USED,
    Config,
    Venues,
    admit,
    event_time,
    log_mid,
)
from shared.kernel import Record
from shared.messages import SpotQuote
from tests.builders import build
from tests.services.analyzers.fixtures import cold, ns

CONFIG = Config()


def at(state: Record, venues: Venues, venue: str, event_s: float, received_s: float | None = None) -> int:
    index = venues.index_of(venue)
    assert index is not None
    return admit(state, CONFIG, index, ns(event_s), ns(event_s if received_s is None else received_s))


def test_the_first_venue_is_used_until_a_better_one_speaks() -> None:
    state = cold(STATE)
    venues = Venues(state)
    assert [at(state, venues, "bybit", 0.0), at(state, venues, "bybit", 0.1)] == [SWITCHED, USED]
    assert [at(state, venues, "coinbase", 0.2), at(state, venues, "bybit", 0.3)] == [SWITCHED, SPARE]


def test_a_silent_venue_hands_over_and_takes_back() -> None:
    state = cold(STATE)
    venues = Venues(state)
    at(state, venues, "coinbase", 0.0)
    assert at(state, venues, "bybit", CONFIG.fallback_s - 0.1) == SPARE
    assert at(state, venues, "bybit", CONFIG.fallback_s + 0.1) == SWITCHED
    assert at(state, venues, "coinbase", CONFIG.fallback_s + 0.2) == SWITCHED


def test_the_leader_is_preferred_while_it_is_alive() -> None:
    state = cold(STATE)
    venues = Venues(state)
    at(state, venues, "coinbase", 0.0)
    venues.lead("bybit")
    assert at(state, venues, "bybit", 0.1) == SWITCHED
    assert at(state, venues, "coinbase", 0.2) == SPARE
    venues.lead(None)
    assert at(state, venues, "coinbase", 0.3) == SWITCHED


def test_older_and_repeated_stamps_and_broken_clocks_are_refused() -> None:
    state = cold(STATE)
    venues = Venues(state)
    at(state, venues, "bybit", 1.0)
    assert at(state, venues, "bybit", 1.0) == REFUSED
    assert at(state, venues, "bybit", 0.5) == REFUSED
    assert at(state, venues, "bybit", 100.0, 2.0) == REFUSED


def test_names_survive_in_the_record() -> None:
    state = cold(STATE)
    Venues(state).index_of("bybit")
    again = Venues(state)
    assert again.index_of("bybit") == 0
    assert again.name(0) == "bybit"
    for i in range(MAX_VENUES - 1):
        assert again.index_of(f"venue{i}") == i + 1
    assert again.index_of("one too many") is None


def test_an_empty_or_crossed_quote_has_no_mid() -> None:
    assert log_mid(build(SpotQuote, bid=0.0)) is None
    assert log_mid(build(SpotQuote, bid=2.0, ask=1.0)) is None
    assert log_mid(build(SpotQuote, bid=1.0, ask=1.0)) == 0.0


def instant(state: Record, event_s: float, received_s: float) -> int:
    stamp = event_time(state, CONFIG, 0, ns(event_s), ns(received_s))
    assert admit(state, CONFIG, 0, stamp, ns(received_s)) in (USED, SWITCHED)
    return int(stamp)


def test_a_stamp_ahead_of_us_counts_as_our_receipt_and_silences_nothing() -> None:
    state = cold(STATE)
    Venues(state).index_of("bybit")
    assert instant(state, 9.0, 1.0) == ns(1.0)
    assert instant(state, 0.95, 1.05) == ns(1.0) + 1
    assert instant(state, 0.98, 1.08) == ns(1.0) + 2
    assert instant(state, 1.2, 1.3) == ns(1.2)

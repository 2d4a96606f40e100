"""Starting at any moment of a period: what proves the strike, and how soon quotes stand."""

from __future__ import annotations

from typing import Any

import pytest

from shared.market import NS_PER_S
from tests.system.virtual import Virtual


def current(system: Virtual) -> Any:
    return system.periods[system.true_period().slug]


def proven_within(system: Virtual, seconds: float) -> str:
    """What proved the strike of the present period, within so many seconds."""
    system.run_until(lambda: bool(system.periods), within_s=1.0)
    system.run_until(lambda: current(system).strike_state == "PROVEN", within_s=seconds)
    assert current(system).strike == pytest.approx(system.true_period().strike, rel=1e-12)
    return str(current(system).strike_source)


@pytest.mark.parametrize("start_s", [5.0, 60.0, 110.0])
def test_a_start_within_two_minutes_proves_the_strike_from_the_streams_snapshot(start_s: float) -> None:
    assert proven_within(Virtual("btc-15m", start_s=start_s, missing_share=0.0), 1.0) == "own_twap60_tick"


@pytest.mark.parametrize("start_s", [130.0, 450.0, 890.0])
def test_a_later_start_proves_it_by_two_published_sources_that_agree(start_s: float) -> None:
    assert proven_within(Virtual("btc-15m", start_s=start_s), 1.0) == "gamma_previous_final+website"


def test_the_older_stream_remembers_one_minute_and_proves_from_that() -> None:
    assert proven_within(Virtual("btc-15m", start_s=50.0, oracle="rtds", missing_share=0.0), 1.0) == "own_twap60_tick"
    assert proven_within(Virtual("btc-15m", start_s=130.0, oracle="rtds"), 1.0) == "gamma_previous_final+website"


def test_published_sources_that_disagree_are_never_quoted() -> None:
    system = Virtual("btc-15m", start_s=300.0, book_rate=0.2, quote_rate=0.2)
    system.lies["price"] = lambda answer: answer.update(openPrice=answer["openPrice"] + 5.0)
    system.run(40.0)
    assert current(system).strike_source.startswith("disagreement: website ")
    assert system.standing().reasons[0] == "strike_not_proven"
    assert system.quoting_ms == []


def test_one_published_source_is_no_proof() -> None:
    system = Virtual("btc-15m", start_s=300.0, book_rate=0.2, quote_rate=0.2)
    system.lies["price"] = lambda answer: answer.update(openPrice=None)
    system.run(40.0)
    assert current(system).strike_source == "only_gamma_previous_final"
    assert system.standing().reasons[0] == "strike_not_proven"
    assert system.quoting_ms == []


# Within two minutes of the start the stream's snapshot holds the strike, later two published sources do. Right after a
# start everybody waits for the tick itself, up to 3.1 s.
STARTS = [("btc-5m", second) for second in (0.0, 1.5, 30.0, 100.0, 160.0, 285.0)]
STARTS += [("btc-15m", second) for second in (0.5, 60.0, 118.0, 125.0, 400.0, 700.0, 895.0)]


@pytest.mark.parametrize(("market", "start_s"), STARTS)
def test_first_quotes_stand_within_ten_seconds_of_any_start(market: str, start_s: float) -> None:
    system = Virtual(market, start_s=start_s, sigma_scale=0.5, missing_share=0.0, book_rate=0.2, quote_rate=0.4)
    final_s = system.series.length_s / 15
    left_s = system.series.length_s - start_s
    waits_s = left_s if left_s <= final_s + 10.0 else 0.0  # the final phase is not quoted: the next period is
    assert system.run_until(system.is_quoting, within_s=10.0 + waits_s) >= 0.0
    assert system.wrong == []


def test_every_reason_not_to_quote_is_named_from_the_first_moment() -> None:
    system = Virtual("btc-2m", start_s=40.0)
    system.run(5.0)
    assert system.journal[0].reasons == ("no_period",)
    assert all(quotes.reasons for quotes in system.journal if quotes.action == "PULL_QUOTES")
    assert system.journal[0].ts_event_ns - system.world.start_ms * 1_000_000 < NS_PER_S

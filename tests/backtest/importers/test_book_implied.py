"""Prices implied by the book: the engine's own law gives the mid back at each, and the engine quotes around it."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from backtest.events import ORACLE, Events
from backtest.importers.book_implied import LAG_NS, NOMINAL_STRIKE, SOURCE, STALE_NS, VENUE, with_implied_prices
from services.quoter.fair_value import digital_value, settlement_law
from shared.config import MMConfig
from shared.digital import observe_print, open_window
from shared.market import NS_PER_S, Series
from shared.messages import Period, QuoteSet
from tests.backtest.importers.made import SPOT_START_S, START_S, Shown, events_of
from tests.backtest.importers.playing import quote_sets

SIGMA = 0.5 / math.sqrt(365.0 * 86_400.0)
CONFIG = MMConfig()


def _at_mid(at_s: float, mid: float, *, tick_size: float = 0.01) -> list[Shown]:
    """CALL's book one tick around a mid (on the half tick), and PUT's mirror."""
    bid, ask = mid - 0.5 * tick_size, mid + 0.5 * tick_size
    call = Shown(at_s, [(bid, 100.0)], [(ask, 100.0)], 0, tick_size)
    return [call, Shown(at_s, [(1.0 - ask, 100.0)], [(1.0 - bid, 100.0)], 1, tick_size)]


def _walk(seconds: int, *, seed: int) -> NDArray[np.float64]:
    """Mids (on the half tick) of a market whose underlying is a Brownian motion of the given volatility."""
    moves = np.random.default_rng(seed).normal(0.0, SIGMA, seconds)
    left_s = 860.0 - np.arange(seconds)
    scores = np.cumsum(moves) / (SIGMA * np.sqrt(left_s))
    mids = np.array([0.5 * math.erfc(-score / math.sqrt(2.0)) for score in scores])
    return np.asarray(np.clip(np.floor(mids * 100.0), 1, 98) / 100.0 + 0.005)


def _replayed(events: Events, period: Period, *, strike: float) -> dict[int, float]:
    """The value of CALL at each print, by the quoter's kernels from nothing but the prints before it.

    By the second, since the start, at which the book was read.
    """
    averaged = period.settlement == "twap"
    windows = np.concatenate(
        [
            open_window(end_ns=end_ns, lookback_s=period.twap_lookback_s or 1, offset_s=CONFIG.window_offset_s)
            for end_ns in (period.start_ns, period.end_ns)
        ]
    )
    values = {}
    for row in events.oracle:
        at_ns, log_price = int(row["ts_recv_ns"]), math.log(row["price"])
        if not period.start_ns <= at_ns < period.end_ns:
            continue
        observe_print(windows, 1, at_ns, log_price)
        law = settlement_law(
            windows, averaged, True, math.log(strike), period.start_ns, period.end_ns, at_ns, log_price
        )
        values[(at_ns - LAG_NS - period.start_ns) // NS_PER_S] = digital_value(
            *law[:3], averaged, SIGMA, 0.0, CONFIG.tail_kurtosis, CONFIG.tail_below_s
        )[0]
    return values


def _proven(events: Events) -> list[Period]:
    return [period for period in events.periods if period.strike_state == "PROVEN"]


@pytest.mark.parametrize("start_s", [START_S, SPOT_START_S])
def test_the_engines_value_at_each_print_is_the_mid_last_received(start_s: int) -> None:
    mids = [0.5 + 0.4 * math.sin(second / 60.0) for second in range(900)]
    shown = [Shown(second - 0.5, [(mid - 0.02, 1.0)], [(mid + 0.02, 1.0)], 0, 1e-4) for second, mid in enumerate(mids)]
    events = with_implied_prices(events_of(shown, start_s=start_s))
    (period,) = _proven(events)
    values = _replayed(events, period, strike=NOMINAL_STRIKE)
    assert set(values) == set(range(898))
    # after the last sample of the average the price repeats itself; on its way there it is exact to the grid
    for second in range(894 if period.settlement == "twap" else 898):
        assert values[second] == pytest.approx(mids[second], abs=1.01e-4)


def test_the_oracle_prints_what_the_exchange_said_two_seconds_before() -> None:
    events = with_implied_prices(events_of([each for at_s in range(30) for each in _at_mid(at_s, 0.615)]))
    assert (events.spot["ts_recv_ns"] + 2 * NS_PER_S == events.oracle["ts_recv_ns"]).all()
    assert (events.oracle["ts_event_ns"] == events.oracle["ts_recv_ns"]).all()
    assert (events.spot["ts_event_ns"] == events.spot["ts_recv_ns"]).all()
    assert (events.spot["bid"] == events.oracle["price"]).all()
    assert (events.spot["ask"] == events.oracle["price"]).all()
    assert {events.names[place] for place in events.spot["venue"]} == {VENUE}
    assert {events.names[place] for place in events.spot["asset"]} == {"BTC"}
    assert {int(stamp) % NS_PER_S for stamp in events.oracle["ts_event_ns"]} == {0}
    assert (events.oracle["price"] > NOMINAL_STRIKE).all()


def test_a_print_knows_nothing_that_was_received_after_it() -> None:
    shown = [each for at_s in range(60) for each in _at_mid(at_s + 0.2, 0.405 + 0.01 * (at_s % 7))]
    whole = with_implied_prices(events_of(shown)).spot
    until_s = START_S + 30
    early = with_implied_prices(events_of([each for each in shown if each.at_s <= 30.0])).spot
    assert (early[early["ts_recv_ns"] <= until_s * NS_PER_S] == whole[whole["ts_recv_ns"] <= until_s * NS_PER_S]).all()
    changed = [each._replace(bids=[(0.9, 1.0)], asks=[(0.91, 1.0)]) if each.at_s > 30.0 else each for each in shown]
    other = with_implied_prices(events_of(changed)).spot
    assert (other["bid"][:30] == whole["bid"][:30]).all()
    assert other["bid"][30] != whole["bid"][30]


def test_an_old_wide_or_empty_book_prints_nothing() -> None:
    stale_s = STALE_NS // NS_PER_S
    shown = [*_at_mid(0.0, 0.505), Shown(20.0, [(0.2, 1.0)], [(0.8, 1.0)]), Shown(30.0, [], []), *_at_mid(40.0, 0.505)]
    events = with_implied_prices(events_of(shown))
    seconds = ((events.spot["ts_recv_ns"] - START_S * NS_PER_S) // NS_PER_S).tolist()
    assert seconds == [*range(stale_s + 1), *range(40, 40 + stale_s + 1)]


def test_a_mid_at_the_edge_counts_as_half_a_tick_from_it() -> None:
    one_sided = [Shown(float(at_s), [(0.999, 1.0)], [], 0, 0.001) for at_s in range(5)]
    events = with_implied_prices(events_of(one_sided))
    (period,) = _proven(events)
    values = _replayed(events, period, strike=NOMINAL_STRIKE)
    assert values[0] == pytest.approx(0.9995, abs=1e-9)
    empty = [Shown(float(at_s), [], [(0.001, 1.0)], 0, 0.001) for at_s in range(5)]
    assert with_implied_prices(events_of(empty)).oracle["price"][0] < NOMINAL_STRIKE


def test_the_price_goes_on_from_period_to_period_and_the_strike_makes_room() -> None:
    first = [each for at_s in range(880, 900) for each in _at_mid(at_s, 0.905)]
    second = [each for at_s in range(900, 920) for each in _at_mid(at_s, 0.455)]
    events = with_implied_prices(events_of([*first, *second], periods=2))
    one, two = _proven(events)
    assert one.strike == NOMINAL_STRIKE
    assert two.strike is not None
    last, opening = events.oracle["price"][19:21]
    assert opening == pytest.approx(last, rel=1e-12)
    assert two.strike > opening  # a mid under one half: the price is below its strike
    values = _replayed(events, two, strike=two.strike)
    assert values[0] == pytest.approx(0.455, abs=1e-9)


def test_a_strike_is_proven_by_the_first_print_of_its_period() -> None:
    events = with_implied_prices(events_of([each for at_s in range(7, 9) for each in _at_mid(at_s, 0.505)]))
    (period,) = _proven(events)
    assert (period.strike, period.strike_source, period.role) == (NOMINAL_STRIKE, SOURCE, "current")
    assert period.ts_recv_ns == int(events.spot["ts_recv_ns"][0]) == (START_S + 7) * NS_PER_S
    assert [each.strike for each in events.periods] == [None, None, NOMINAL_STRIKE]


def test_put_alone_is_read_in_the_mirror() -> None:
    both = [each for at_s in range(10) for each in _at_mid(at_s, 0.325)]
    only_put = with_implied_prices(events_of([each for each in both if each.outcome == 1]))
    assert only_put.oracle["price"] == pytest.approx(with_implied_prices(events_of(both)).oracle["price"])


def test_a_greater_volatility_only_scales_the_moves() -> None:
    events = events_of([each for at_s in range(60) for each in _at_mid(at_s, 0.405 + 0.01 * (at_s % 7))])
    calm = np.log(with_implied_prices(events).oracle["price"] / NOMINAL_STRIKE)
    wild = np.log(with_implied_prices(events, volatility_per_year=1.0).oracle["price"] / NOMINAL_STRIKE)
    assert wild == pytest.approx(2.0 * calm, rel=1e-9)


def test_a_recording_with_prices_two_series_or_a_volatility_that_is_none_is_refused() -> None:
    events = events_of(_at_mid(0.0, 0.505))
    with pytest.raises(ValueError, match="prices of its own"):
        with_implied_prices(events._replace(oracle=np.zeros(1, ORACLE)))
    other = events_of(_at_mid(0.0, 0.505)).periods[0]
    five = type(other)(**{name: getattr(other, name) for name in other.__struct_fields__} | {"market": "btc-5m"})
    mixed = events._replace(periods=(*events.periods, _renamed(five)))
    with pytest.raises(ValueError, match="btc-15m, btc-5m"):
        with_implied_prices(mixed)
    with pytest.raises(ValueError, match="volatility"):
        with_implied_prices(events, volatility_per_year=0.0)


def _renamed(period: Period) -> Period:
    fields = {name: getattr(period, name) for name in period.__struct_fields__}
    return Period(**fields | {"slug": f"btc-updown-5m-{START_S}"})


def test_the_engine_quotes_around_the_mid() -> None:
    mids = _walk(300, seed=4)
    shown = [each for second, mid in enumerate(mids) for each in _at_mid(second - 0.4, float(mid))]
    events = with_implied_prices(events_of(shown))
    start_ns = START_S * NS_PER_S
    sets = quote_sets(events, Series.parse("btc-15m"), from_ns=start_ns, until_ns=start_ns + 299 * NS_PER_S)
    late = [each for each in sets if each.time_to_expiry_s <= 780.0]
    standing = [each for each in late if each.call and each.fair_value is not None]
    printed = [each for each in standing if 0 < each.ts_event_ns % NS_PER_S < 600_000_000]  # print taken, no new book
    off = np.array([abs((each.fair_value or 0.0) - each.breakdown["book_mid"]) for each in printed])
    # the same at the given volatility instead of the one that the engine measured
    given = np.array([abs(_value_at_given_volatility(each) - each.breakdown["book_mid"]) for each in printed])
    reasons = Counter(reason for each in late for reason in each.reasons)
    print(f"{len(standing)} of {len(late)} sets stand for {dict(reasons)}; off the mid: median {np.median(off):.4f}, ")
    print(f"90 % {np.quantile(off, 0.9):.4f}; at the given volatility {np.quantile(given, [0.5, 0.9, 1.0]).round(4)}")
    assert len(standing) >= 0.9 * len(late)
    assert given.max() <= 0.005
    assert np.median(off) <= 0.01
    assert {side for each in standing for side in _sides(each)} == {"bid", "ask"}
    assert reasons["oracle_doubted"] <= 0.02 * len(late)
    assert "model_market_disagreement" not in reasons


def _value_at_given_volatility(quotes: QuoteSet) -> float:
    score = quotes.breakdown["distance_sd"] * quotes.breakdown["sigma"] / SIGMA
    return 0.5 * math.erfc(-score / math.sqrt(2.0))


def _sides(quotes: QuoteSet) -> set[str]:
    return {layer.side for layer in quotes.call}

"""Prices for a recording that has only books: an underlying that says what the book says.

At each whole second of a period, from CALL's book as last received, the price S at which the engine's own settlement
law gives the book's mid m back under a given volatility sigma:

    E[ln(settlement / strike)] (S) = d(m) sigma sqrt(V)        d = Phi^-1, or Student's quantile where tails are fat

with mean and effective time V of `settlement_law`: linear in ln S, so an average whose first samples are fixed is
solved exactly. Under a spot rule half the variance is added. S is the quote of an exchange named `book` at that second,
and the oracle's print 2 s later, at whose stamp the law is taken: as live, an exchange leads the oracle, and the engine
projects through it.

The strike is nominal: 100,000 for the first period, and for each later one whatever lets the price go on without a
jump. What comes out measures spread capture and adverse selection around the market's own mid, not an edge from prices.
Pure: prices, volatility and `MMConfig` in, `Events` out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from backtest.events import ORACLE, ORACLE_KINDS, OUTCOMES, SPOT, Events, Rows
from backtest.importers.eras import Strike, proven
from services.quoter.fair_value import settlement_law
from shared.config import MMConfig
from shared.digital import observe_print, open_window, tail_dof
from shared.kernel import State
from shared.market import NS_PER_S, parse_slug
from shared.messages import Period

VENUE = SOURCE = "book"
NOMINAL_STRIKE = 100_000.0
VOLATILITY_PER_YEAR = 0.5
LAG_NS = 2 * NS_PER_S  # the oracle prints what the exchange said so long ago: near `default_lead_s`, in whole seconds
STALE_NS = 5 * NS_PER_S  # an older book has no opinion
_YEAR_S = 365.0 * 86_400.0
NOTES = (
    "Value and volatility come from the book: the result measures spread capture and adverse selection around the "
    "market's own mid, not an edge from prices.",
    "The prices are implied, not recorded: each second the price at which the settlement law gives CALL's last "
    "received mid at {volatility:.0%} a year. The strike is nominal: 100,000, then without a jump from one period to "
    "the next.",
    "The engine measures its own volatility from these prices. Where the book moved more or less than its own prices "
    "say it should, that differs from {volatility:.0%} (another figure here changes nothing: it scales both), and the "
    "engine's value lies off the mid: by up to 0.24 times the relative difference, most at mids of 0.16 and 0.84.",
    "A mid nearer to 0 or 1 than half a tick counts as half a tick away; an empty side as 0 or 1. No print comes from "
    "a book older than 5 s, at least {placeholder:g} wide, or empty. Once the last sample of the average is fixed the "
    "price repeats itself.",
    "There is one exchange, `book`; the oracle prints its price 2 s later, so it leads. Until that is measured quotes "
    "carry `lead_lag_missing` or `no_leader`. Its sizes are 0: its order-flow imbalance says nothing.",
)


class Implied(NamedTuple):
    """The quotes of one period: receipts (whole seconds) and log prices, and its nominal strike in dollars."""

    period: Period
    strike: float
    recv_ns: NDArray[np.int64]
    logs: NDArray[np.float64]


class Mids(NamedTuple):
    """CALL's mid in order of receipt, NaN where the book has no opinion, and the tick size."""

    recv_ns: NDArray[np.int64]
    mids: NDArray[np.float64]
    tick_sizes: NDArray[np.float64]


def with_implied_prices(
    events: Events, *, volatility_per_year: float = VOLATILITY_PER_YEAR, config: MMConfig | None = None
) -> Events:
    """The events with prices, an exchange and proven strikes implied by CALL's book.

    `config` says when the average ends and how fat the tails are, as the quoter takes them. Raises ValueError when the
    recording has prices of its own, holds two series of one asset, or the volatility is not positive.
    """
    config = config or MMConfig()
    if not 0.0 < volatility_per_year < math.inf:
        raise ValueError(f"the volatility must be positive, a share a year such as 0.5, not {volatility_per_year}")
    if len(events.spot) or len(events.oracle):
        raise ValueError(f"{events.source} has prices of its own: none need be implied by the book")
    by_asset = _last_announcements(events)
    names = list(events.names)
    periods = [period for period in events.periods if period.strike_state != "PROVEN"]
    spot: list[Rows] = [np.zeros(0, SPOT)]
    oracle: list[Rows] = [np.zeros(0, ORACLE)]
    for asset, announced in by_asset.items():
        for implied in _implied_of(events, announced, volatility_per_year / math.sqrt(_YEAR_S), config):
            spot.append(_quotes(implied, _place(names, asset), _place(names, VENUE)))
            oracle.append(_prints(implied, _place(names, asset), _place(names, SOURCE)))
            strike = Strike(implied.strike, int(implied.recv_ns[0]), SOURCE)
            periods.append(proven(implied.period, strike))
    notes = (each.format(volatility=volatility_per_year, placeholder=config.placeholder_spread) for each in NOTES)
    spots, oracles = np.concatenate(spot), np.concatenate(oracle)
    return events._replace(
        notes=(*events.notes, *notes),
        names=tuple(names),
        spot=spots[np.argsort(spots["ts_recv_ns"], kind="stable")],
        oracle=oracles[np.argsort(oracles["ts_recv_ns"], kind="stable")],
        periods=tuple(sorted(periods, key=lambda period: period.ts_recv_ns)),
    )


def implied_log(
    windows: State, period: Period, strike_log: float, at_ns: int, *, mid: float, sigma: float, config: MMConfig
) -> float:
    """The log price at an instant under which the period's CALL is worth `mid`; NaN when no price moves it any more."""
    averaged = period.settlement == "twap"
    law = settlement_law(windows, averaged, True, strike_log, period.start_ns, period.end_ns, at_ns, 0.0)
    at_zero, sensitivity, variance_s, _ = law
    if not (sensitivity > 0.0 and variance_s > 0.0):
        return math.nan
    dof = tail_dof(variance_s, config.tail_kurtosis) if variance_s < config.tail_below_s else 0.0
    deviation = sigma * math.sqrt(variance_s)
    wanted = _score(mid, dof) * deviation
    if not averaged:
        wanted += 0.5 * deviation * deviation
    return (wanted - at_zero) / sensitivity


def call_mids(events: Events, slug: str, *, placeholder_spread: float) -> Mids:
    """CALL's mids of a period as its books were received; PUT's mirrored when only they were recorded."""
    slugs = events.books["slug"] == (events.names.index(slug) if slug in events.names else -1)
    for outcome in OUTCOMES:
        rows = events.books[slugs & (events.books["outcome"] == OUTCOMES.index(outcome))]
        if len(rows):
            bids, asks = best_prices(events, rows)
            mids = 0.5 * (bids + asks)
            mids[asks - bids >= placeholder_spread] = np.nan
            return Mids(rows["ts_recv_ns"], mids if outcome == "CALL" else 1.0 - mids, rows["tick_size"])
    return Mids(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def best_prices(events: Events, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Best bid and ask of books; 0 and 1 for an empty side."""
    bids, asks = np.zeros(len(rows)), np.ones(len(rows))
    has_bid, has_ask = rows["bids"] > 0, rows["asks"] > 0
    ticks = events.levels["ticks"]
    bids[has_bid] = ticks[rows["first"][has_bid]] * rows["tick_size"][has_bid]
    asks[has_ask] = ticks[(rows["first"] + rows["bids"])[has_ask]] * rows["tick_size"][has_ask]
    return bids, asks


def _last_announcements(events: Events) -> dict[str, list[Period]]:
    """Each period as last announced, in order of time, by asset. ValueError for two series of one asset."""
    by_asset: dict[str, dict[str, Period]] = {}
    for period in events.periods:
        by_asset.setdefault(parse_slug(period.slug)[0].asset, {})[period.slug] = period
    for asset, periods in by_asset.items():
        markets = sorted({period.market for period in periods.values()})
        if len(markets) > 1:
            raise ValueError(f"{asset} can have one price only, not one each for {', '.join(markets)}: import one")
    return {asset: sorted(found.values(), key=lambda each: each.start_ns) for asset, found in by_asset.items()}


def _implied_of(events: Events, periods: list[Period], sigma: float, config: MMConfig) -> Iterator[Implied]:
    """The prints of one asset's periods, one after the other; a period without any is left out."""
    log_price: float | None = None
    for period in periods:
        mids = call_mids(events, period.slug, placeholder_spread=config.placeholder_spread)
        implied = _implied_in(period, mids, log_price, sigma, config)
        if len(implied.recv_ns):
            log_price = float(implied.logs[-1])
            yield implied


def _implied_in(period: Period, books: Mids, last_log: float | None, sigma: float, config: MMConfig) -> Implied:
    averaged = period.settlement == "twap"
    lookback_s = period.twap_lookback_s if averaged else 1
    ends_ns = (period.start_ns, period.end_ns)
    windows = np.concatenate(
        [open_window(end_ns=end_ns, lookback_s=lookback_s, offset_s=config.window_offset_s) for end_ns in ends_ns]
    )
    strike = NOMINAL_STRIKE if last_log is None else math.nan
    first_ns = -(-max(period.start_ns, period.ts_recv_ns) // NS_PER_S) * NS_PER_S
    seconds = np.arange(first_ns, period.end_ns, NS_PER_S, dtype=np.int64)
    places = np.searchsorted(books.recv_ns, seconds, side="right") - 1
    recv_ns, logs = list[int](), list[float]()
    for at_ns, place in zip(seconds.tolist(), places.tolist(), strict=True):
        if place < 0 or at_ns - int(books.recv_ns[place]) > STALE_NS or math.isnan(books.mids[place]):
            continue
        half_tick = 0.5 * float(books.tick_sizes[place])
        mid = min(max(float(books.mids[place]), half_tick), 1.0 - half_tick)
        if math.isnan(strike) and last_log is not None:  # whatever strike makes this mid of the last price
            above = implied_log(windows, period, 0.0, at_ns + LAG_NS, mid=mid, sigma=sigma, config=config)
            strike = math.exp(last_log - above)
        strike_log = math.log(strike)
        log_price = implied_log(windows, period, strike_log, at_ns + LAG_NS, mid=mid, sigma=sigma, config=config)
        if math.isnan(log_price):
            if not logs:
                continue
            log_price = logs[-1]
        observe_print(windows, 1, at_ns + LAG_NS, log_price)
        recv_ns.append(at_ns)
        logs.append(log_price)
    return Implied(period, strike, np.array(recv_ns, np.int64), np.array(logs, np.float64))


def _score(mid: float, dof: float) -> float:
    """The standard score whose probability is `mid`: of a unit-variance Student t when `dof` > 2, else Gaussian."""
    if dof > 2.0:
        return float(stdtrit(dof, mid)) / math.sqrt(dof / (dof - 2.0))
    return float(ndtri(mid))


def _quotes(implied: Implied, asset: int, venue: int) -> Rows:
    rows = np.zeros(len(implied.recv_ns), SPOT)
    rows["ts_event_ns"] = rows["ts_recv_ns"] = implied.recv_ns
    rows["asset"], rows["venue"] = asset, venue
    rows["bid"] = rows["ask"] = np.exp(implied.logs)
    return rows


def _prints(implied: Implied, asset: int, venue: int) -> Rows:
    rows = np.zeros(len(implied.recv_ns), ORACLE)
    rows["ts_event_ns"] = rows["ts_recv_ns"] = implied.recv_ns + LAG_NS
    rows["asset"], rows["venue"], rows["kind"] = asset, venue, ORACLE_KINDS.index("spot")
    rows["price"] = np.exp(implied.logs)
    return rows


def _place(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)

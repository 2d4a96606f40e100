"""Every competitor's probability that CALL pays, at the same instants, from what had been received by then.

Ours is the live quoter's own compiled call (`services/quoter/requote.py`) on the live records: prints go through
`AssetPrices` (which refuses what a venue contradicts) into the windows of `PeriodQuotes`; volatility is the live
estimator's (`services/analyzers/volatility.py`). Volatility is realized only: the live blend with the market's implied
volatility would let the book into the model that is compared with the book.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from backtest.fair_value.recordings_io import Book, Recording, Session, Stream, Window
from services.analyzers import volatility
from services.analyzers.config_record import config_record
from services.quoter.asset_prices import AssetPrices, VenueView
from services.quoter.inputs import nanoseconds
from services.quoter.period_quotes import PeriodQuotes
from services.quoter.records import settings_of
from services.quoter.requote import requote
from shared.config import MMConfig
from shared.digital import point_digital
from shared.market import NS_PER_S
from shared.messages import FeedStatus, OraclePrice, Period, SpotQuote
from shared.projection import Config as ProjectionConfig
from shared.projection import new_venue

Competitor = Literal["ours", "own_print", "fast_sigma", "point", "naive", "first_print", "mid"]

TITLES: dict[Competitor, str] = {
    "ours": "our fair value",
    "own_print": "ours, not projected",
    "fast_sigma": "ours, σ from 1 s steps",
    "point": "point digital, our σ",
    "naive": "naive digital, σ 50 %",
    "first_print": "naive, first-print strike",
    "mid": "book mid",
}

SECONDS_PER_YEAR = 31_536_000.0
NAIVE_SIGMA = 0.50 / math.sqrt(SECONDS_PER_YEAR)  # 50 % a year

LIVE_STEPS = volatility.Config()
# What the live estimator would have said without stepping over the smoothing of the oracle's one-second prints.
FAST_STEPS = volatility.Config(sample_s=1.0, max_gap_s=10.0, winsor_after=20.0, warm_s=58.0)

TAUS_S: dict[int, tuple[int, ...]] = {300: (240, 180, 120, 60, 30, 10), 900: (600, 300, 120, 60, 30, 10)}
BOOK_LABEL_TAU_S = 60  # where the outcome was read off the book, nothing nearer to the end is scored

_VENUE = "recorded"

Key = tuple[str, str]  # group and slug of a window


@dataclass(frozen=True)
class Row:
    """One instant of one window: what each competitor said, and what came."""

    group: str
    slug: str
    tau_s: int
    is_up: bool
    said: dict[Competitor, float]


@dataclass(frozen=True)
class Forecast:
    """Our volatility at a window's start, per sqrt second: as live, and from 1 s steps of the oracle.

    The latter is None when it is not warm, or when a venue's prices were recorded.
    """

    group: str
    slug: str
    start_s: int
    end_s: int
    sigma: float
    fast_sigma: float | None


@dataclass(frozen=True)
class Priced:
    """What a session gave: rows, forecasts, and the instants that were dropped, by (group, reason)."""

    rows: list[Row]
    forecasts: list[Forecast]
    drops: Counter[tuple[str, str]]


class Sigma:
    """The live volatility kernels over one stream of prices."""

    def __init__(self, config: volatility.Config) -> None:
        self._config = config_record(config)[0]
        self._state = np.zeros(1, volatility.STATE)[0]

    def take(self, ts_ns: int, log_price: float) -> None:
        """Take one price."""
        volatility.update(self._state, self._config, ts_ns, log_price)

    def at(self, now_ns: int) -> tuple[float, float] | None:
        """(sigma per sqrt second, relative error); None while it is not warm."""
        sigma, error, _, warm = volatility.read(self._state, self._config, now_ns)
        return (sigma, error) if warm and sigma > 0.0 else None


class Market:
    """One asset as the live quoter would have known it at an instant: told in order of receipt, never ahead."""

    def __init__(self, session: Session, config: MMConfig) -> None:
        assert session.oracle is not None
        self._oracle: Stream = session.oracle
        self._venue = session.venue
        self._next_print = 0
        self._next_quote = 0
        self._config = config
        self._projection = ProjectionConfig()
        self._asset = AssetPrices(session.asset, config, self._projection)
        self._settings = settings_of(config, self._projection)
        point = config.model_copy(
            update={"techniques": config.techniques.model_copy(update={"settlement_twap": False})}
        )
        self._point_settings = settings_of(point, self._projection)
        self._no_venue = new_venue()
        self._open: dict[Key, PeriodQuotes] = {}
        self._first_prints: dict[Key, float] = {}
        self.sigma = Sigma(LIVE_STEPS)
        self.fast_sigma = Sigma(FAST_STEPS)
        self.print_recv_ns = 0

    def advance(self, now_ns: int) -> None:
        """Take everything received until now, in order."""
        prints, quotes = self._oracle, self._venue
        while True:
            print_ns = _next_recv(prints, self._next_print)
            quote_ns = _next_recv(quotes, self._next_quote)
            if min(print_ns, quote_ns) > now_ns:
                return
            if quotes is not None and quote_ns <= print_ns:
                self._take_quote(quotes, self._next_quote)
                self._next_quote += 1
            else:
                self._take_print(self._next_print)
                self._next_print += 1

    def _take_quote(self, quotes: Stream, place: int) -> None:
        stamp_ns, recv_ns = int(quotes.stamp_ns[place]), int(quotes.recv_ns[place])
        price, asset = float(quotes.prices[place]), self._asset
        at = {"ts_event_ns": stamp_ns, "ts_recv_ns": recv_ns}
        live = FeedStatus(
            **at,
            venue=_VENUE,
            channel="SpotQuote",
            subject=asset.asset,
            state="LIVE",
            reason="",
            age_s=0.0,
            expected_rate_hz=1.0,
            seen_rate_hz=1.0,
            reconnects=0,
        )
        asset.take_status(live, "", recv_ns)
        quote = SpotQuote(
            **at, asset=asset.asset, venue=_VENUE, bid=price, bid_size=1.0, ask=price, ask_size=1.0
        )  # the recording has one price, not two
        asset.take_quote(quote, recv_ns)
        self.sigma.take(stamp_ns, math.log(price))

    def _take_print(self, place: int) -> None:
        oracle = self._oracle
        stamp_ns, recv_ns, price = int(oracle.stamp_ns[place]), int(oracle.recv_ns[place]), float(oracle.prices[place])
        message = OraclePrice(
            ts_event_ns=stamp_ns, ts_recv_ns=recv_ns, asset=self._asset.asset, kind="spot", price=price, venue="oracle"
        )
        admitted = self._asset.take_print(message, recv_ns) or []
        self.print_recv_ns = recv_ns
        for each_ns, log_price in admitted:
            for period in self._open.values():
                if period.market["averaged"][0]:
                    period.take_print(each_ns, log_price)
        if self._venue is None:
            self.sigma.take(stamp_ns, math.log(price))
            self.fast_sigma.take(stamp_ns, math.log(price))

    def _period(self, window: Window) -> PeriodQuotes:
        """The live object of a window, opened as the quoter does: with the prints already known."""
        period = self._open.get((window.group, window.slug))
        if period is None:
            period = self._open[window.group, window.slug] = PeriodQuotes(_period_of(window), self._config)
            if window.settlement == "twap":
                for stamp_ns, log_price in self._asset.prints.items():
                    period.take_print(stamp_ns, log_price)
        return period

    def close(self, window: Window) -> None:
        """Forget a window."""
        self._open.pop((window.group, window.slug), None)

    def price(self, window: Window, now_ns: int) -> dict[Competitor, float] | str:
        """What every competitor without a book says now, or why there is no answer."""
        asset, config = self._asset, self._config
        known = self.sigma.at(now_ns)
        if known is None:
            return "volatility not warm"
        period = self._period(window)
        period.take_oracle(asset.oracle_ns, asset.oracle_log)
        view = asset.venues.get(_VENUE)
        limits = config.limits
        if view is not None and view.fault(
            now_ns, spot_ns=nanoseconds(limits.spot_s), status_ns=nanoseconds(limits.feed_status_s)
        ):
            view = None
        values = self._requote(period, known, now_ns, view)
        if values is None or window.strike is None:
            return "no fair value"
        said: dict[Competitor, float] = {"ours": values[0]}
        if self._venue is not None:
            said["own_print"] = values[1]
        else:
            fast = self.fast_sigma.at(now_ns)
            if fast is None:
                return "volatility not warm"
            fast_values = self._requote(period, fast, now_ns, None)
            if fast_values is None:
                return "no fair value"
            said["fast_sigma"] = fast_values[0]
        if window.settlement == "twap":
            point = self._requote(period, known, now_ns, view, point=True)
            if point is None:
                return "no fair value"
            said["point"] = point[0]
        tau_s, strike_log = window.end_s - now_ns / NS_PER_S, math.log(window.strike)
        spot = math.exp(asset.oracle_log)
        said["naive"] = point_digital(asset.oracle_log - strike_log, NAIVE_SIGMA, tau_s, spot)[0]
        if window.settlement == "twap":
            first = self._first_print(window)
            if first is None:
                return "no first print"
            said["first_print"] = point_digital(asset.oracle_log - first, NAIVE_SIGMA, tau_s, spot)[0]
        return said

    def _requote(
        self,
        period: PeriodQuotes,
        sigma: tuple[float, float],
        now_ns: int,
        view: VenueView | None,
        *,
        point: bool = False,
    ) -> tuple[float, float] | None:
        """(fair value, the same on the oracle's own print) by the live call; None when it is not defined."""
        period.market["sigma"], period.market["sigma_error"] = sigma
        requote(
            period.market,
            period.windows,
            self._no_venue if view is None else view.state,
            self._point_settings if point else self._settings,
            period.quote,
            now_ns,
            view is not None,
            self._config.default_lead_s,
            False,
            False,
            0,
            True,
            True,
        )
        if period.quote["is_defined"][0] != 1.0:
            return None
        return float(period.quote["fair_value"][0]), float(period.quote["model_value"][0])

    def _first_print(self, window: Window) -> float | None:
        """Log of the first print stamped at or after the start; None while there is none."""
        key = (window.group, window.slug)
        if key not in self._first_prints:
            received = self._oracle.stamp_ns[: self._next_print]
            places = np.flatnonzero(received >= window.start_s * NS_PER_S)
            if not len(places):
                return None
            self._first_prints[key] = math.log(float(self._oracle.prices[places[0]]))
        return self._first_prints[key]


def _next_recv(stream: Stream | None, place: int) -> int:
    if stream is None or place >= len(stream.recv_ns):
        return 2**63 - 1
    return int(stream.recv_ns[place])


def _period_of(window: Window) -> Period:
    start_ns, end_ns = window.start_s * NS_PER_S, window.end_s * NS_PER_S
    return Period(
        ts_event_ns=start_ns,
        ts_recv_ns=start_ns,
        market=window.group,
        role="current",
        slug=window.slug,
        condition_id="",
        start_ns=start_ns,
        end_ns=end_ns,
        settlement=window.settlement,
        twap_lookback_s=60 if window.settlement == "twap" else 0,
        strike=window.strike,
        strike_state="PROVEN" if window.strike is not None else "PENDING",
        strike_source="recording",
        call_token="",
        put_token="",
        tick_size=0.01,
        min_size_shares=5.0,
        fee_rate=0.0,
        fee_exponent=1.0,
        rebate_rate=0.0,
        taker_delay_s=None,
        rewards_min_shares=None,
        rewards_max_spread=None,
        version="recording",
        refusal=None,
    )


def mid_at(book: Book, now_ns: int, *, stale_s: float, placeholder_spread: float) -> float | str:
    """The book's mid at an instant, or why it has none: no book yet, stale, or too wide to be an opinion."""
    place = int(np.searchsorted(book.recv_ns, now_ns, side="right")) - 1
    if place < 0:
        return "no book yet"
    if now_ns - book.recv_ns[place] > stale_s * NS_PER_S:
        return "mid stale"
    bid, ask = float(book.bids[place]), float(book.asks[place])
    if ask - bid >= placeholder_spread:
        return "book too wide"
    return 0.5 * (bid + ask)


def moments_of(windows: Sequence[Window]) -> list[tuple[int, int, Window]]:
    """(instant, seconds left or 0 for the start, window) of all windows, in time order."""
    moments = []
    for window in windows:
        moments.append((window.start_s * NS_PER_S, 0, window))
        for tau_s in TAUS_S[window.end_s - window.start_s]:
            moments.append(((window.end_s - tau_s) * NS_PER_S, tau_s, window))
    return sorted(moments, key=lambda each: (each[0], each[2].group, each[1]))


def price_session(session: Session, recording: Recording, config: MMConfig, priced: Priced) -> Iterator[int]:
    """Price every window of a session into `priced`; yields the number of instants done so far."""
    market = Market(session, config) if session.oracle is not None else None
    stale_ns = nanoseconds(recording.stale_s)
    for number, (now_ns, tau_s, window) in enumerate(moments_of(session.windows), 1):
        if market is not None:
            market.advance(now_ns)
        if tau_s == 0:
            if market is not None and window.is_up is not None:
                _forecast(market, window, now_ns, priced)
        else:
            answer = _said(market, window, now_ns, tau_s, recording, config, stale_ns)
            if isinstance(answer, str):
                priced.drops[window.group, answer] += 1
            else:
                assert window.is_up is not None
                priced.rows.append(Row(window.group, window.slug, tau_s, window.is_up, answer))
            if market is not None and tau_s == TAUS_S[window.end_s - window.start_s][-1]:
                market.close(window)
        yield number


def _forecast(market: Market, window: Window, now_ns: int, priced: Priced) -> None:
    known, fast = market.sigma.at(now_ns), market.fast_sigma.at(now_ns)
    if known is not None:
        fast_sigma = None if fast is None else fast[0]
        priced.forecasts.append(Forecast(window.group, window.slug, window.start_s, window.end_s, known[0], fast_sigma))


def _said(
    market: Market | None,
    window: Window,
    now_ns: int,
    tau_s: int,
    recording: Recording,
    config: MMConfig,
    stale_ns: int,
) -> dict[Competitor, float] | str:
    """What all competitors of the window say at an instant; the first reason why one of them cannot."""
    if window.is_up is None:
        return "no outcome"
    if recording.labels_from_book and tau_s < BOOK_LABEL_TAU_S:
        return f"outcome read off the book, under {BOOK_LABEL_TAU_S} s left"
    said: dict[Competitor, float] = {}
    if market is not None:
        if window.strike is None:
            return "no strike"
        if market.print_recv_ns == 0:
            return "no oracle print yet"
        if now_ns - market.print_recv_ns > stale_ns:
            return "oracle stale"
        answer = market.price(window, now_ns)
        if isinstance(answer, str):
            return answer
        said.update(answer)
    if window.book is not None:
        mid = mid_at(window.book, now_ns, stale_s=recording.stale_s, placeholder_spread=config.placeholder_spread)
        if isinstance(mid, str):
            return mid
        said["mid"] = mid
    return said

"""A volatility before there is an estimate: the one that the option's own price implies, else the configured prior.

The live quoter waits about a minute for its analyzer. A caller who asks once cannot, so this core stands around the
analyzer: what it says is passed on once it is warm, and until then replaced by an assumption that says what it is:

| `basis` | sigma | `relative_error` |
|---|---|---|
| `estimated` | the analyzer's | the analyzer's |
| `implied` | the CALL book's view of the last 30 s and the prior, blended | that of the blend, at least 0.3 |
| `prior` | `MMConfig.reference_sigma_per_sqrt_s` | 0.5 |

The blend is in logs, weighted by precision (`services.analyzers.implied_volatility.blend`): the prior's error is 0.5,
the book's its own, at least 0.3 (0.3 where the analyzer says none), so it weighs at most 0.74. The book only counts
within a factor of 3 of the prior: a free implied volatility turns any option price, a stale one too, into the fair
value again, so that nothing would be left to disagree with. A factor of 3 is two standard deviations of an error of
0.55, hence the prior's 0.5. The quoter calls implied and realized volatility far apart at a factor of 1.7, two
standard deviations of 0.27, hence the 0.3.

The book's view is the analyzer's, which inverts at the projected oracle price. While the quoter projects nothing it
may be our own, at the oracle's last print: a book ahead of that print shows as volatility, and the quoter has no
projection to add the same lead a second time. Readings need a root that is unique and well-conditioned (0.3 < |z| <
2.2) under the period's own settlement law.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from services.analyzers import implied_volatility
from services.analyzers.config_record import config_record
from services.quoter.fair_value import settlement_law
from shared.config import MMConfig
from shared.core import Core, Delivery, Event, Timer, time_of
from shared.digital import observe_print, open_window
from shared.kernel import State
from shared.market import NS_PER_S
from shared.messages import AnyMessage, OracleHistory, OraclePrice, OutcomeBook, Period, Volatility, VolatilityBasis

PRIOR_ERROR = 0.5
LEAST_ERROR = 0.3
FARTHEST_FROM_PRIOR = 3.0
TOGETHER_NS = 5 * NS_PER_S  # a book and an oracle price further apart are not of one moment
REPEAT_NS = NS_PER_S
READING = config_record(implied_volatility.Config(min_samples=1.0))[0]  # as the analyzer's: compiled once


class AssumedVolatility:
    """Implements `shared.core.Core` around the volatility analyzer's core, for one market.

    `is_projected` says whether the quoter now projects the oracle's price through an exchange.
    """

    def __init__(self, analyzer: Core, config: MMConfig, market: str, *, is_projected: Callable[[], bool]) -> None:
        self.said: Volatility | None = None
        self.note = "nothing was said of the volatility yet"
        self._analyzer = analyzer
        self._market = market
        self._prior = config.reference_sigma_per_sqrt_s
        self._offset_s = config.window_offset_s
        self._is_projected = is_projected
        self._estimate: Volatility | None = None
        self._period: Period | None = None
        self._windows: State | None = None
        self._oracle: OraclePrice | None = None
        self._book: OutcomeBook | None = None
        self._unread = ""  # why there is no reading
        self._readings: State = np.zeros(1, implied_volatility.STATE)

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; the analyzer's messages, with an assumption for each estimate that is not warm."""
        said = self._analyzer.update(event)
        if not said and self._estimate is not None and self._estimate.warm:
            return said
        messages: list[AnyMessage] = []
        is_due = isinstance(event, Timer)
        for message in said:
            if isinstance(message, Volatility):
                self._estimate = message
                if not message.warm:
                    is_due = True
                    continue
                self.said = message
                self.note = "estimated from the prices seen"
            messages.append(message)
        estimate = self._estimate
        if estimate is not None and estimate.warm:
            return messages
        if isinstance(event, Delivery):
            self._observe(event.message)
        if is_due:
            now_ns = time_of(event)
            self._read_market()
            assumed = self._assume(now_ns)
            if self._is_news(assumed):
                self.said = assumed
                messages.append(assumed)
        return messages

    def _observe(self, message: AnyMessage) -> None:
        match message:
            case OraclePrice(kind="spot") if message.price > 0.0:
                if self._oracle is None or message.ts_event_ns >= self._oracle.ts_event_ns:
                    self._oracle = message
                self._put(message.ts_event_ns, message.price)
            case OracleHistory(kind="spot"):
                for second, price in zip(message.seconds, message.prices, strict=False):
                    if price > 0.0:
                        self._put(second * NS_PER_S, price)
            case OutcomeBook(outcome="CALL"):
                self._book = message
            case Period(role="current"):
                self._open(message)
            case _:
                pass

    def _put(self, stamp_ns: int, price: float) -> None:
        if self._windows is not None:
            observe_print(self._windows, 1, stamp_ns, math.log(price))

    def _open(self, period: Period) -> None:
        known, self._period = self._period, period
        if known is not None and known.slug == period.slug:
            return
        self._readings[:] = np.zeros((), implied_volatility.STATE)
        lookback_s = period.twap_lookback_s if period.settlement == "twap" else 1
        ends_ns = (period.start_ns, period.end_ns)
        try:
            windows = [open_window(end_ns=each, lookback_s=lookback_s, offset_s=self._offset_s) for each in ends_ns]
        except ValueError:  # a settlement that cannot be priced implies nothing; the quoter refuses the period
            self._windows = None
            return
        self._windows = np.concatenate(windows)
        if self._oracle is not None:
            self._put(self._oracle.ts_event_ns, self._oracle.price)

    def _read_market(self) -> None:
        """Take the CALL book's reading at the oracle's print, when the two are of one moment and nothing is projected.

        What was read before a projection is forgotten with it: the lead is in those readings.
        """
        if self._is_projected():
            self._unread = "at the projected price the CALL book has not implied any yet"
            self._readings[:] = np.zeros((), implied_volatility.STATE)
            return
        period, book, oracle, windows = self._period, self._book, self._oracle, self._windows
        self._unread = "there is no CALL book of both sides beside an oracle price of the moment"
        if period is None or book is None or oracle is None or windows is None:
            return
        apart_ns = abs(book.ts_recv_ns - oracle.ts_recv_ns)
        is_whole = book.slug == period.slug and book.bid_ticks and book.ask_ticks and period.strike is not None
        if not is_whole or period.strike is None or period.strike_state != "PROVEN" or apart_ns > TOGETHER_NS:
            return
        mean, weight, variance_s, _ = settlement_law(
            windows,
            period.settlement == "twap",
            True,
            math.log(period.strike),
            period.start_ns,
            period.end_ns,
            oracle.ts_event_ns,
            math.log(oracle.price),
        )
        moved = self._prior * math.sqrt(apart_ns / NS_PER_S)  # what the price may have moved between the two
        bid, ask = book.bid_ticks[0] * book.tick_size, book.ask_ticks[0] * book.tick_size
        self._unread = (
            f"CALL at {bid:.3f} / {ask:.3f} implies none (near a coin flip or certainty, wide, or against spot)"
        )
        implied_volatility.update(
            self._readings[0],
            READING,
            book.ts_recv_ns,
            bid,
            ask,
            mean,
            weight * moved,
            variance_s,
        )

    def _implied(self, now_ns: int) -> tuple[float, float]:
        """(the CALL book's volatility, its relative error); NaN when there is none."""
        if self._estimate is not None and self._estimate.implied_per_sqrt_s is not None:
            return self._estimate.implied_per_sqrt_s, LEAST_ERROR
        implied, error = implied_volatility.read(self._readings[0], READING, now_ns)
        return implied, max(error, LEAST_ERROR)

    def _assume(self, now_ns: int) -> Volatility:
        implied, implied_error = self._implied(now_ns)
        is_read = math.isfinite(implied)
        ratio = implied / self._prior
        basis: VolatilityBasis = "implied"
        if is_read and 1.0 / FARTHEST_FROM_PRIOR <= ratio <= FARTHEST_FROM_PRIOR:
            assumed, error = implied_volatility.blend(self._prior, PRIOR_ERROR, implied, implied_error, 1.0)
            error = max(error, LEAST_ERROR)
            taken = assumed / self._prior
            self.note = f"implied by the CALL book: {ratio:.2f} x the prior, blended with it: {taken:.2f} x"
        else:
            basis, assumed, error = "prior", self._prior, PRIOR_ERROR
            why = self._unread
            if is_read:
                why = f"the CALL book asks for {ratio:.2f} x it, beyond a factor of {FARTHEST_FROM_PRIOR:.0f}"
            self.note = f"the prior, reference_sigma_per_sqrt_s: {why}"
        estimate = self._estimate
        return Volatility(
            ts_event_ns=now_ns,
            ts_recv_ns=now_ns,
            market=self._market,
            warm=True,
            basis=basis,
            sigma_per_sqrt_s=assumed,
            realized_per_sqrt_s=None,
            implied_per_sqrt_s=implied if is_read else None,
            relative_error=error,
            jumps_per_s=0.0 if estimate is None else estimate.jumps_per_s,
            spike=False if estimate is None else estimate.spike,
            spike_until_ns=0 if estimate is None else estimate.spike_until_ns,
            inputs={} if estimate is None else estimate.inputs,
        )

    def _is_news(self, assumed: Volatility) -> bool:
        said = self.said
        if said is None or assumed.ts_recv_ns - said.ts_recv_ns >= REPEAT_NS or assumed.ts_recv_ns < said.ts_recv_ns:
            return True
        stamps = {"ts_event_ns": said.ts_event_ns, "ts_recv_ns": said.ts_recv_ns, "inputs": said.inputs}
        return msgspec.structs.replace(assumed, **stamps) != said

"""One asset's prices, shared by all its markets: the oracle and the exchanges."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

from services.quoter.inputs import Input, is_live, nanoseconds
from shared.config import MMConfig
from shared.kernel import State
from shared.market import NS_PER_S
from shared.messages import FeedStatus, OracleHistory, OraclePrice, SpotQuote
from shared.projection import Config as ProjectionConfig
from shared.projection import new_venue, observe_oracle, observe_return, opinion_of_print

# A venue's clock ahead of ours, or further than this behind it, is not believed; our receive time is used instead.
CLOCK_TOLERANCE_NS = 5 * NS_PER_S
PRINT_AHEAD_NS = NS_PER_S  # an oracle print stamped further ahead of our clock than this is none
SPIKE_HORIZON_NS = NS_PER_S
_OPINION_NS = 30 * NS_PER_S  # beyond the reach of the venues' rings: nobody has an opinion of an older print
_PRINTS_KEPT = 2048  # half of them, which stay at a clean-up, are more than a whole history
_REFUSED_KEPT = 64
_NO_HISTORY: tuple[tuple[int, ...], tuple[float, ...]] = ((), ())

Print = tuple[int, float]  # the oracle's stamp (ns), log price


class VenueView:
    """One exchange's quotes of one asset: the last one, the feed's health, the basis to the oracle."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.quote: Input[SpotQuote] = Input()
        self.status: Input[FeedStatus] = Input()
        self.state: State = new_venue()
        self._lifted_ns = 0

    def time_of(self, quote: SpotQuote, now_ns: int) -> int:
        """The instant of a quote: the venue's stamp, or our receipt when that stamp cannot be.

        What follows a stamp that was not believed is never older than it: only a stamp that was true may say so.
        """
        recv_ns = min(quote.ts_recv_ns, now_ns)
        if not recv_ns - CLOCK_TOLERANCE_NS <= quote.ts_event_ns <= recv_ns:
            self._lifted_ns = recv_ns
            return recv_ns
        return max(quote.ts_event_ns, self._lifted_ns)

    def forget(self) -> None:
        """As if nothing had been received."""
        self.quote.forget()
        self.status.forget()
        self.state = new_venue()
        self._lifted_ns = 0

    def fault(self, now_ns: int, *, spot_ns: int, status_ns: int) -> str | None:
        """Why its quote cannot be used: `missing`, `feed_not_live`, `gap`, `stale`; None when it can."""
        found = self.quote.fault(now_ns, spot_ns)
        if found == "missing":
            return found
        return found if is_live(self.status, now_ns, status_ns) else "feed_not_live"


class AssetPrices:
    """The last oracle print, the last quote of each exchange, and whether one of them jumped."""

    def __init__(self, asset: str, config: MMConfig, projection: ProjectionConfig) -> None:
        self.asset = asset
        self.venues: dict[str, VenueView] = {}
        self.oracle: Input[OraclePrice] = Input()
        self.oracle_status: dict[str, Input[FeedStatus]] = {}
        self.oracle_ns = 0
        self.oracle_log = 0.0
        self.twap: OraclePrice | None = None
        self.prints: dict[int, float] = {}  # log prices of the last minutes by oracle stamp, for windows opened late
        self.refused: dict[int, float] = {}  # prints that the exchanges contradict: no window's until confirmed
        self.is_doubted = False  # the last print is one of them
        self._believed_ns = 0
        self._judged_ns = 0  # the newest stamp that the filters were shown
        self._history = _NO_HISTORY
        self.spike_until_ns = 0
        self.leads_s: dict[str, float] = {}
        self._projection = projection
        self._default_lead_s = config.default_lead_s
        self._spot_ns = nanoseconds(config.limits.spot_s)
        self._status_ns = nanoseconds(config.limits.feed_status_s)
        self._spike_threshold = config.vol_spike_threshold if config.techniques.volatility else math.inf
        self._pullback_ns = nanoseconds(config.vol_pullback_seconds)

    def venue(self, name: str) -> VenueView:
        """The view of an exchange, made when first heard of."""
        view = self.venues.get(name)
        if view is None:
            view = self.venues[name] = VenueView(name)
        return view

    def take_quote(self, quote: SpotQuote, now_ns: int) -> bool | None:
        """Take an exchange's quote; None when it is not a quote (a price not positive, or crossed).

        True when it changes more than the price: the venue was not usable before, or its price jumped. A jump is a
        return of one venue against itself within a second, so neither a first quote, nor the basis between two
        venues, nor a return to life is one.
        """
        bid, ask = quote.bid, quote.ask
        if not 0.0 < bid <= ask < math.inf:
            return None
        view = self.venues.get(quote.venue) or self.venue(quote.venue)
        was_usable = view.quote.is_usable(now_ns, self._spot_ns)
        view.quote.take(quote, now_ns)
        ts_ns = view.time_of(quote, now_ns)
        moved = observe_return(view.state, ts_ns, math.log(0.5 * (bid + ask)), SPIKE_HORIZON_NS)
        if not was_usable:
            return True
        if abs(moved) >= self._spike_threshold:  # False when there is nothing to compare with
            self.spike_until_ns = now_ns + self._pullback_ns
            return True
        return False

    def take_print(self, price: OraclePrice, now_ns: int) -> list[Print] | None:
        """Take one oracle print; the prints that may enter the windows because of it: usually itself.

        None when it cannot be a print (not positive, or stamped in the future). A print that a usable warm venue's
        filter refuses, and none believes, is doubted: it is kept aside. It is confirmed when a filter starts anew on
        that level, and then enters with those refused just before it. The later value of a stamp replaces the earlier.
        """
        stamp_ns = price.ts_event_ns
        if not 0.0 < price.price < math.inf or stamp_ns > now_ns + PRINT_AHEAD_NS:
            return None
        self.oracle.take(price, now_ns)
        log_price = math.log(price.price)
        if stamp_ns <= self._judged_ns:
            return self._take_old([(stamp_ns, log_price)], now_ns)
        self._judged_ns = stamp_ns
        is_believed = is_refused = has_moved = False
        for view in self.venues.values():
            was_warm = self._is_warm(view)
            accepted = observe_oracle(view.state, self._projection, stamp_ns, log_price, self._lead_of(view))
            if not was_warm or view.fault(now_ns, spot_ns=self._spot_ns, status_ns=self._status_ns) is not None:
                continue
            is_believed |= accepted
            is_refused |= self.refuses(view)
            has_moved |= accepted and not self._is_warm(view)
        self.is_doubted = is_refused and not is_believed
        if self.is_doubted:
            self._refuse(stamp_ns, log_price)
            return []
        confirmed = [each for each in self.refused.items() if has_moved and each[0] > self._believed_ns]
        self._believed_ns = stamp_ns
        return self._admit([*confirmed, (stamp_ns, log_price)])

    def take_history(self, history: OracleHistory, now_ns: int) -> list[Print]:
        """Take the prints of a history that are news; they do not count as the oracle being alive."""
        prints = [
            (second * NS_PER_S, math.log(price))
            for second, price in self._unseen(history.seconds, history.prices)
            if 0.0 < price < math.inf and second * NS_PER_S <= now_ns + PRINT_AHEAD_NS
        ]
        return self._take_old(prints, now_ns)

    def refuses(self, view: VenueView) -> bool:
        """Whether this venue's filter is warm and did not believe the last print."""
        return self._is_warm(view) and bool(view.state["refused_in_a_row"][0] > 0)

    def forget(self) -> None:
        """Time was set back: nothing received has a known age. The prints stay: their stamps are the oracle's own."""
        for view in self.venues.values():
            view.forget()
        self.oracle.forget()
        for status in self.oracle_status.values():
            status.forget()
        self.twap = None
        self.spike_until_ns = 0
        self.is_doubted = False
        self._judged_ns = 0

    def _is_warm(self, view: VenueView) -> bool:
        return bool(view.state["updates"][0] >= self._projection.prints_to_warm)

    def _lead_of(self, view: VenueView) -> float:
        return self.leads_s.get(view.name, self._default_lead_s)

    def _unseen(self, seconds: tuple[int, ...], prices: tuple[float, ...]) -> list[tuple[int, float]]:
        """The end of a history that the one before did not have; all of it when anything earlier differs."""
        old_seconds, old_prices = self._history
        start = bisect_left(old_seconds, seconds[0]) if seconds else 0
        shared = len(old_seconds) - start
        self._history = (seconds, prices)
        if seconds[:shared] != old_seconds[start:] or prices[:shared] != old_prices[start:]:
            shared = 0
        return list(zip(seconds[shared:], prices[shared:], strict=False))

    def _take_old(self, prints: list[Print], now_ns: int) -> list[Print]:
        """Take prints that the filters are not shown: corrections, and what was missed."""
        news = []
        for stamp_ns, log_price in prints:
            if self.prints.get(stamp_ns) == log_price or self.refused.get(stamp_ns) == log_price:
                continue
            if stamp_ns > now_ns - _OPINION_NS and self._contradicts(stamp_ns, log_price, now_ns):
                self._refuse(stamp_ns, log_price)
            else:
                news.append((stamp_ns, log_price))
        return self._admit(news)

    def _contradicts(self, stamp_ns: int, log_price: float, now_ns: int) -> bool:
        """Whether a usable warm venue contradicts a print, and none supports it."""
        opinions = [
            opinion_of_print(view.state, self._projection, stamp_ns, log_price, self._lead_of(view))
            for view in self.venues.values()
            if view.fault(now_ns, spot_ns=self._spot_ns, status_ns=self._status_ns) is None
        ]
        return -1 in opinions and 1 not in opinions

    def _refuse(self, stamp_ns: int, log_price: float) -> None:
        self.refused[stamp_ns] = log_price
        if len(self.refused) > _REFUSED_KEPT:
            del self.refused[min(self.refused)]

    def _admit(self, prints: list[Print]) -> list[Print]:
        """Keep prints for windows that open late, and the newest one as the oracle's price."""
        for stamp_ns, log_price in prints:
            self.prints[stamp_ns] = log_price
            self.refused.pop(stamp_ns, None)
            if stamp_ns >= self.oracle_ns:
                self.oracle_ns = stamp_ns
                self.oracle_log = log_price
        if len(self.prints) > _PRINTS_KEPT:
            for stamp in sorted(self.prints)[: _PRINTS_KEPT // 2]:
                del self.prints[stamp]
        return prints

    def take_status(self, status: FeedStatus, part: str, now_ns: int) -> bool:
        """Take the health of one stream of this asset; False when no quote depends on that stream."""
        if status.channel == "SpotQuote":
            self.venue(status.venue).status.take(status, now_ns)
        elif status.channel == "OraclePrice" and part == "spot":
            self.oracle_status.setdefault(status.venue, Input()).take(status, now_ns)
        else:
            return False
        return True

    def lose(self, name: str, source: str) -> bool:
        """Messages `name` of `source` were lost: stale that input until its next one. False: it is not used."""
        held: Input[Any] | None = None
        if name == "SpotQuote" and source in self.venues:
            held = self.venues[source].quote
        elif name == "OraclePrice" and source == "spot":
            held = self.oracle
        elif name == "FeedStatus":
            *_, venue, channel = ("", *source.split("."))  # `<venue>.<channel>`, of an oracle `<kind>.` before it
            if channel == "SpotQuote" and venue in self.venues:
                held = self.venues[venue].status
            elif channel == "OraclePrice":
                held = self.oracle_status.get(venue)
        if held is None:
            return False
        held.has_gap = True
        return True

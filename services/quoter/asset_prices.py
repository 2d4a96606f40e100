"""One asset's prices, shared by all its markets: the oracle and the exchanges."""

from __future__ import annotations

import math
from typing import Any

from services.quoter.inputs import Input, is_live, nanoseconds
from shared.config import MMConfig
from shared.kernel import State
from shared.market import NS_PER_S
from shared.messages import FeedStatus, OracleHistory, OraclePrice, SpotQuote
from shared.projection import Config as ProjectionConfig
from shared.projection import new_venue, observe_oracle, observe_return

# A venue's clock further than this from ours is not believed; our receive time is used instead.
CLOCK_TOLERANCE_NS = 5 * NS_PER_S
SPIKE_HORIZON_NS = NS_PER_S
_PRINTS_KEPT = 600

Print = tuple[int, float]  # the oracle's stamp (ns), log price


class VenueView:
    """One exchange's quotes of one asset: the last one, the feed's health, the basis to the oracle."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.quote: Input[SpotQuote] = Input()
        self.status: Input[FeedStatus] = Input()
        self.state: State = new_venue()

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
        self.spike_until_ns = 0
        self.leads_s: dict[str, float] = {}
        self._projection = projection
        self._default_lead_s = config.default_lead_s
        self._spot_ns = nanoseconds(config.limits.spot_s)
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
        ts_ns = quote.ts_event_ns
        if abs(ts_ns - quote.ts_recv_ns) > CLOCK_TOLERANCE_NS:
            ts_ns = quote.ts_recv_ns
        moved = observe_return(view.state, ts_ns, math.log(0.5 * (bid + ask)), SPIKE_HORIZON_NS)
        if not was_usable:
            return True
        if abs(moved) >= self._spike_threshold:  # False when there is nothing to compare with
            self.spike_until_ns = now_ns + self._pullback_ns
            return True
        return False

    def take_print(self, price: OraclePrice, now_ns: int) -> Print | None:
        """Take one oracle print; None when it cannot be one (not positive, or stamped in the future)."""
        stamp_ns = price.ts_event_ns
        if not 0.0 < price.price < math.inf or stamp_ns > now_ns + CLOCK_TOLERANCE_NS:
            return None
        self.oracle.take(price, now_ns)
        log_price = math.log(price.price)
        for view in self.venues.values():
            lead_s = self.leads_s.get(view.name, self._default_lead_s)
            observe_oracle(view.state, self._projection, stamp_ns, log_price, lead_s)
        return stamp_ns, self._remember_print(stamp_ns, log_price)

    def take_history(self, history: OracleHistory, now_ns: int) -> list[Print]:
        """Take the prints of a history that can be prints; they do not count as the oracle being alive."""
        prints = [
            (second * NS_PER_S, math.log(price))
            for second, price in zip(history.seconds, history.prices, strict=False)
            if 0.0 < price < math.inf and second * NS_PER_S <= now_ns + NS_PER_S
        ]
        for stamp_ns, log_price in prints:
            self._remember_print(stamp_ns, log_price)
        return prints

    def _remember_print(self, stamp_ns: int, log_price: float) -> float:
        """Keep a print for windows that open late, and as the newest one if it is; the first of a stamp counts."""
        counted = self.prints.setdefault(stamp_ns, log_price)
        if stamp_ns >= self.oracle_ns:
            self.oracle_ns = stamp_ns
            self.oracle_log = log_price
        if len(self.prints) > _PRINTS_KEPT:
            for stamp in sorted(self.prints)[: _PRINTS_KEPT // 2]:
                del self.prints[stamp]
        return counted

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

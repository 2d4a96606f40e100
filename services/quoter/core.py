"""The quoter's pure core: market data and signals in, QuoteSets out. This file only says what concerns whom.

One `AssetPrices` an asset and one `MarketQuoter` a market, made at the start; one `PeriodQuotes` a period, made when it
is announced, dropped after its end. Not quoting is the default: every reason in `action.py` that holds is named.

Time is the latest Timer, or a `ts_recv_ns` at most `CLOCK_SLACK_NS` ahead of it; there is no clock here. A Timer
further back than that says that the clock was set back: nothing that was received has a known age any more, and all of
it is missing until it comes again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from services.quoter.asset_prices import AssetPrices
from services.quoter.market_quoter import MarketQuoter
from services.quoter.signals import Signal
from shared.config import MMConfig
from shared.core import Delivery, Event, EventClock, Gap, Timer, time_of
from shared.market import Series
from shared.messages import (
    AnyMessage,
    FeedStatus,
    Flow,
    LeadLag,
    OracleHistory,
    OraclePrice,
    OutcomeBook,
    Period,
    Position,
    Regime,
    SpotQuote,
    Volatility,
)
from shared.projection import Config as ProjectionConfig

_HOT = frozenset({SpotQuote, OutcomeBook})  # these say themselves whether they change what the inputs allow
_ANALYZED = frozenset({"Volatility", "Regime", "Flow", "LeadLag"})  # each message is whole, whoever says it
_NOBODY: tuple[MarketQuoter, ...] = ()


class QuoterCore:
    """Implements `shared.core.Core` for the quoter: any number of markets, any number of assets."""

    def __init__(self, config: MMConfig, markets: Sequence[str]) -> None:
        if not markets:
            raise ValueError("the quoter needs at least one market, such as btc-15m")
        self.config = config
        self.now_ns = 0
        self._clock = EventClock()
        projection = ProjectionConfig()
        self.assets: dict[str, AssetPrices] = {}
        self.markets: dict[str, MarketQuoter] = {}
        for series in map(Series.parse, markets):
            if series.asset not in self.assets:
                self.assets[series.asset] = AssetPrices(series.asset, config, projection)
            if series.name not in self.markets:
                prices = self.assets[series.asset]
                self.markets[series.name] = MarketQuoter(series, prices, config, projection)
        self._of_asset = {
            asset: tuple(each for each in self.markets.values() if each.asset is prices)
            for asset, prices in self.assets.items()
        }
        self._takers: dict[type, Callable[[Any, Delivery], Sequence[MarketQuoter]]] = {
            SpotQuote: self._take_spot_quote,
            OutcomeBook: self._take_book,
            OraclePrice: self._take_oracle_price,
            OracleHistory: self._take_oracle_history,
            FeedStatus: self._take_feed_status,
            Period: self._take_period,
            Volatility: self._take_signal,
            Regime: self._take_signal,
            Flow: self._take_signal,
            LeadLag: self._take_signal,
            Position: self._take_signal,
        }

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; the quote sets to publish because of it."""
        touched = self.take(event)
        trigger = "Timer" if isinstance(event, Timer) else event.topic
        at_ns = time_of(event)
        quotes: list[AnyMessage] = []
        for market in touched:
            quote = market.requote(self.now_ns, trigger=trigger, trigger_recv_ns=at_ns)
            if quote is not None:
                quotes.append(quote)
        return quotes

    def take(self, event: Event) -> Sequence[MarketQuoter]:
        """Take one event without an answer; the markets whose quotes it may change."""
        if self._clock.take(event):
            self._forget()
        self.now_ns = self._clock.now_ns
        if isinstance(event, Delivery):
            message = event.message
            take = self._takers.get(type(message))
            touched = _NOBODY if take is None else take(message, event)
            if type(message) in _HOT:
                return touched
        elif isinstance(event, Timer):
            return tuple(self.markets.values())
        else:
            touched = self._take_gap(event)
        for market in touched:
            market.recheck_ns = 0
        return touched

    def signal_ages(self, now_ns: int) -> dict[tuple[str, str], float]:
        """Seconds since the data behind each signal, by (market, signal); what was never said is left out."""
        return {
            (market.name, signal): age_s
            for market in self.markets.values()
            for signal, age_s in market.signals.ages_s(now_ns).items()
        }

    def _forget(self) -> None:
        """The clock was set back."""
        for prices in self.assets.values():
            prices.forget()
        for market in self.markets.values():
            market.forget()

    # -- prices of an asset ------------------------------------------------------------------------------------------

    def _take_spot_quote(self, quote: SpotQuote, event: Delivery) -> Sequence[MarketQuoter]:
        prices = self.assets.get(quote.asset)
        if prices is None:
            return _NOBODY
        news = prices.take_quote(quote, self.now_ns)
        if news is None:
            return _NOBODY
        touched = []
        for market in self._of_asset[quote.asset]:
            market.inputs[event.topic] = event.seq
            if news:
                market.recheck_ns = 0
            if news or market.leading is None or market.leading == quote.venue:
                touched.append(market)
        return touched

    def _take_oracle_price(self, price: OraclePrice, event: Delivery) -> Sequence[MarketQuoter]:
        prices = self.assets.get(price.asset)
        if prices is None:
            return _NOBODY
        if price.kind != "spot":
            if 0.0 < price.price < math.inf:
                prices.twap = price
                self._note(self._of_asset[price.asset], event)
            return _NOBODY
        taken = prices.take_print(price, self.now_ns)
        if taken is None:
            return _NOBODY
        markets = self._of_asset[price.asset]
        for market in markets:
            market.take_prints(taken)
        return self._note(markets, event)

    def _take_oracle_history(self, history: OracleHistory, event: Delivery) -> Sequence[MarketQuoter]:
        prices = self.assets.get(history.asset)
        if prices is None or history.kind != "spot":
            return _NOBODY
        taken = prices.take_history(history, self.now_ns)
        markets = self._of_asset[history.asset]
        for market in markets:
            market.take_prints(taken)
        return self._note(markets, event)

    # -- one market --------------------------------------------------------------------------------------------------

    def _take_book(self, book: OutcomeBook, event: Delivery) -> Sequence[MarketQuoter]:
        market = self.markets.get(book.market)
        if market is None:
            return _NOBODY
        market.inputs[event.topic] = event.seq
        return (market,) if market.take_book(book, self.now_ns) else _NOBODY

    def _take_period(self, period: Period, event: Delivery) -> Sequence[MarketQuoter]:
        market = self.markets.get(period.market)
        if market is None:
            return _NOBODY
        market.take_period(period, self.now_ns)
        return self._note((market,), event)

    def _take_signal(self, signal: Signal, event: Delivery) -> Sequence[MarketQuoter]:
        market = self.markets.get(signal.market)
        if market is None:
            return _NOBODY
        market.take_signal(signal, self.now_ns)
        return self._note((market,), event)

    # -- either ------------------------------------------------------------------------------------------------------

    def _take_feed_status(self, status: FeedStatus, event: Delivery) -> Sequence[MarketQuoter]:
        subject, _, part = status.subject.partition(".")
        owner = self.assets.get(subject) or self.markets.get(subject)
        if owner is None or not owner.take_status(status, part, self.now_ns):
            return _NOBODY
        return self._note(self._concerned(subject), event)

    def _take_gap(self, gap: Gap) -> Sequence[MarketQuoter]:
        """Stale the input whose messages were lost, until its next message.

        An analyzer that hands a market to another instance loses nothing: it is the voice that changes.
        """
        name, _, rest = gap.topic.partition(".")
        if gap.lost == 0 and name in _ANALYZED:
            return _NOBODY
        subject, _, source = rest.partition(".")
        owner = self.assets.get(subject) or self.markets.get(subject)
        if owner is None or not owner.lose(name, source):
            return _NOBODY
        return self._concerned(subject)

    def _concerned(self, subject: str) -> Sequence[MarketQuoter]:
        return self._of_asset[subject] if subject in self._of_asset else (self.markets[subject],)

    @staticmethod
    def _note(markets: Sequence[MarketQuoter], event: Delivery) -> Sequence[MarketQuoter]:
        """Remember the message as an input of these markets' quotes."""
        for market in markets:
            market.inputs[event.topic] = event.seq
        return markets

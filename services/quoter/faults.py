"""From inputs to reasons: what is missing, stale, broken or dangerous about what the quoter knows at an instant.

The judgment is remembered: `until_ns` is the next instant at which it can change by time alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from services.quoter.action import BARS_ASK, BARS_BID
from services.quoter.asset_prices import AssetPrices, VenueView
from services.quoter.inputs import LimitsNs, is_live, nanoseconds
from services.quoter.period_quotes import PeriodQuotes
from services.quoter.reasons import bits_of, decision_of
from services.quoter.signals import Signals
from shared.config import MMConfig
from shared.market import NS_PER_S
from shared.messages import Flow, Regime, RegimeName

# The reasons that count as an optional input missing; the exchange is counted apart.
_COUNTED = frozenset(
    {"regime_missing", "extreme_momentum", "flow_missing", "volatility_disagreement", "volatility_assumed"}
)


class Judgment(NamedTuple):
    """What the inputs allow: the reasons as labels and as bits, the venue to project through, and what is there."""

    labels: tuple[str, ...]
    bits: int  # the same, as `reasons.py` counts them
    venue: VenueView | None
    lead_s: float
    has_regime: bool
    has_flow: bool
    missing: int  # optional inputs that are missing or doubtful
    allow_bid: bool
    allow_ask: bool
    regime: RegimeName
    until_ns: int


class Choice(NamedTuple):
    """The exchange to project through (None: none), by how much it leads, and how many inputs are missing."""

    venue: VenueView | None
    lead_s: float
    missing: int


class FaultFinder:
    """Judges one market's inputs under its configuration."""

    def __init__(self, config: MMConfig, prices: AssetPrices, signals: Signals) -> None:
        self._config = config
        self._prices = prices
        self._signals = signals
        self._limits = LimitsNs.of(config.limits)
        self._mirror_ns = nanoseconds(config.mirror_patience_s)

    def judge(self, period: PeriodQuotes, now_ns: int) -> Judgment:
        """Judge every input."""
        labels = [*self._of_period(period, now_ns), *self._of_oracle(now_ns), *self._of_books(period, now_ns)]
        labels.extend(self._of_volatility(period, now_ns))
        labels.extend(self._of_position(period, now_ns))
        regime, flow = self._usable_regime(now_ns), self._usable_flow(period, now_ns)
        doubts = [*self._of_regime(regime), *self._of_flow(flow, regime)]
        labels.extend(doubts)
        choice = self._choose_venue(now_ns, labels)
        if self._prices.is_doubted or (choice.venue is not None and self._prices.refuses(choice.venue)):
            labels.append("oracle_doubted")
        bits = bits_of(labels)
        return Judgment(
            labels=decision_of(bits)[1],
            bits=bits,
            venue=choice.venue,
            lead_s=choice.lead_s,
            has_regime=regime is not None,
            has_flow=flow is not None,
            missing=sum(label in _COUNTED for label in labels) + choice.missing,
            allow_bid=BARS_BID.isdisjoint(labels),
            allow_ask=BARS_ASK.isdisjoint(labels),
            regime="unknown" if regime is None else regime.regime,
            until_ns=min(turn for turn in self._turns(period, now_ns) if turn > now_ns),
        )

    # -- what pulls --------------------------------------------------------------------------------------------------

    def _of_period(self, period: PeriodQuotes, now_ns: int) -> Iterator[str]:
        if period.refusal is not None:
            yield "period_refused"
        if now_ns >= period.end_ns:
            yield "period_ended"
        elif now_ns < period.start_ns:
            yield "period_not_open"
        if not period.is_proven:
            yield "strike_not_proven"

    def _of_oracle(self, now_ns: int) -> Iterator[str]:
        prices, limits = self._prices, self._limits
        oracle = prices.oracle
        fault = oracle.fault(now_ns, limits.oracle)
        if fault is None and oracle.message is not None:
            if now_ns - prices.oracle_ns > 2 * limits.oracle:  # repeated, but always the same old print
                fault = "stale"
            elif not is_live(prices.oracle_status.get(oracle.message.venue), now_ns, limits.feed_status):
                fault = "feed_not_live"
        if fault is not None:
            yield "oracle_" + fault

    def _of_books(self, period: PeriodQuotes, now_ns: int) -> Iterator[str]:
        limits, signals = self._limits, self._signals
        faults = [book.fault(now_ns, limits.book) for book in period.books.values()]
        for fault in faults:
            if fault is not None:
                yield "book_" + fault
        statuses = (signals.call_status, signals.put_status)
        if "missing" not in faults and not all(is_live(each, now_ns, limits.feed_status) for each in statuses):
            yield "book_feed_not_live"
        if period.book_fault is not None:
            yield period.book_fault
        elif period.mirror_broken_since_ns and now_ns - period.mirror_broken_since_ns > self._mirror_ns:
            yield "mirror_broken"

    def _of_volatility(self, period: PeriodQuotes, now_ns: int) -> Iterator[str]:
        held = self._signals.volatility
        fault = held.fault(now_ns, self._limits.volatility)
        volatility = held.message
        if fault is not None or volatility is None:
            yield "volatility_missing" if fault == "missing" else "volatility_stale"
        elif period.market["sigma"][0] <= 0.0:
            yield "volatility_cold"
        elif volatility.basis != "estimated":
            yield "volatility_assumed"
        if not self._config.techniques.volatility:
            return
        if now_ns < self._prices.spike_until_ns or (
            volatility is not None and (now_ns < volatility.spike_until_ns or (volatility.spike and fault is None))
        ):
            yield "volatility_spike"
        if volatility is not None and volatility.implied_per_sqrt_s and volatility.realized_per_sqrt_s:
            ratio = volatility.implied_per_sqrt_s / volatility.realized_per_sqrt_s
            if max(ratio, 1.0 / ratio) > self._config.max_volatility_ratio:
                yield "volatility_disagreement"

    def _of_position(self, period: PeriodQuotes, now_ns: int) -> Iterator[str]:
        held = self._signals.position
        position = held.message
        if position is None or not held.is_usable(now_ns, self._limits.position) or position.slug != period.slug:
            yield "position_unknown"

    # -- what widens or bars a side ----------------------------------------------------------------------------------

    def _usable_regime(self, now_ns: int) -> Regime | None:
        held = self._signals.regime
        regime = held.message
        return regime if regime is not None and regime.warm and held.is_usable(now_ns, self._limits.regime) else None

    def _usable_flow(self, period: PeriodQuotes, now_ns: int) -> Flow | None:
        held = self._signals.flow
        flow = held.message
        usable = flow is not None and flow.warm and flow.slug == period.slug
        return flow if usable and held.is_usable(now_ns, self._limits.flow) else None

    def _of_regime(self, regime: Regime | None) -> Iterator[str]:
        techniques = self._config.techniques
        if regime is None:
            if techniques.regime or techniques.momentum_skew:
                yield "regime_missing"
        elif techniques.regime:
            if regime.regime == "volatile":
                yield "volatile_regime"
            if abs(regime.momentum_z) >= self._config.extreme_momentum_z:
                yield "extreme_momentum"

    def _of_flow(self, flow: Flow | None, regime: Regime | None) -> Iterator[str]:
        config = self._config
        if not config.techniques.toxicity:
            return
        if flow is None:
            yield "flow_missing"
            return
        if flow.toxicity >= config.extreme_toxicity:
            yield "extreme_toxicity"
        elif flow.toxicity >= config.high_toxicity:
            yield "high_toxicity"
        if flow.toxicity >= config.medium_toxicity and config.techniques.regime and regime is not None:
            if regime.momentum_z >= config.directional_momentum_z:
                yield "momentum_up"
            elif regime.momentum_z <= -config.directional_momentum_z:
                yield "momentum_down"

    # -- the exchange ------------------------------------------------------------------------------------------------

    def _choose_venue(self, now_ns: int, labels: list[str]) -> Choice:
        """The leader when there is one that can be used, else the first usable exchange; appends the reasons."""
        missing = 0
        if self._config.techniques.lead_lag:
            held = self._signals.lead_lag
            signal = held.message
            if signal is None or not signal.warm or not held.is_usable(now_ns, self._limits.lead_lag):
                labels.append("lead_lag_missing")
            elif signal.leader is None:
                labels.append("no_leader")
            else:
                leader = self._prices.venues.get(signal.leader)
                if leader is not None and self._fault_of(leader, now_ns) is None:
                    return Choice(leader, self._prices.leads_s.get(leader.name, self._config.default_lead_s), 0)
                labels.append("leader_unusable")
            missing = 1
        worst: str | None = None
        for view in self._preferred_venues():
            fault = self._fault_of(view, now_ns)
            if fault is None:
                return Choice(view, self._config.default_lead_s, missing)
            if worst is None or worst == "missing":
                worst = fault
        labels.append("spot_" + (worst or "missing"))
        return Choice(None, self._config.default_lead_s, missing)

    def _fault_of(self, view: VenueView, now_ns: int) -> str | None:
        return view.fault(now_ns, spot_ns=self._limits.spot, status_ns=self._limits.feed_status)

    def _preferred_venues(self) -> Iterator[VenueView]:
        preferred, venues = self._config.projection_venues, self._prices.venues
        for name in (*preferred, *sorted(name for name in venues if name not in preferred)):
            if name in venues:
                yield venues[name]

    # -- time --------------------------------------------------------------------------------------------------------

    def _turns(self, period: PeriodQuotes, now_ns: int) -> Iterator[int]:
        """The instants at which the judgment can change by time alone; at the latest in a second."""
        prices, signals, limits = self._prices, self._signals, self._limits
        yield now_ns + NS_PER_S
        yield from (period.start_ns, period.end_ns, prices.spike_until_ns)
        yield prices.oracle.recv_ns + limits.oracle + 1
        yield prices.oracle_ns + 2 * limits.oracle + 1
        yield signals.volatility.recv_ns + limits.volatility + 1
        yield signals.regime.recv_ns + limits.regime + 1
        yield signals.flow.recv_ns + limits.flow + 1
        yield signals.lead_lag.recv_ns + limits.lead_lag + 1
        yield signals.position.recv_ns + limits.position + 1
        if signals.volatility.message is not None:
            yield signals.volatility.message.spike_until_ns
        if period.mirror_broken_since_ns:
            yield period.mirror_broken_since_ns + self._mirror_ns + 1
        for book in period.books.values():
            yield book.recv_ns + limits.book + 1
        for status in (signals.call_status, signals.put_status, *prices.oracle_status.values()):
            yield status.recv_ns + limits.feed_status + 1
        for view in prices.venues.values():
            yield view.status.recv_ns + limits.feed_status + 1
            yield view.quote.recv_ns + limits.spot + 1

"""`Volatility` of one market: realized from the leading venue, implied from the CALL book, and the spike alarm."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.analyzers import doubted, implied_volatility, spike, spot_source, volatility
from services.analyzers.answers import answer
from services.analyzers.config_record import config_record
from services.analyzers.reaction import CHANGED, NOTHING, URGENT, Reaction
from services.analyzers.record_text import read_text, write_text
from shared import digital, projection
from shared.config import MMConfig
from shared.core import Delivery
from shared.kernel import Record, State, kernel
from shared.market import NS_PER_S
from shared.messages import LeadLag, OracleHistory, OraclePrice, OutcomeBook, Period, SpotQuote, Volatility

SLUG_BYTES = 64
OPINION_NS = 30 * NS_PER_S  # beyond the reach of the venue's ring: it has no opinion of an older print

STATE = np.dtype(
    [
        ("source", spot_source.STATE),
        ("volatility", volatility.STATE),
        ("spikes", spike.STATE, (spot_source.MAX_VENUES,)),
        ("implied", implied_volatility.STATE),
        ("projection", projection.VENUE, (1,)),  # of the chosen venue
        ("windows", digital.WINDOW, (2,)),  # row 1 is the settlement window of the period
        ("doubted", doubted.STATE),
        ("believed_ns", "i8"),  # the oracle's stamp of the last live print that was not doubted
        ("lead_s", "f8"),
        ("spiking", "i8"),
        ("mid_ns", "i8"),  # our clock, the chosen venue
        ("slug", "u1", (SLUG_BYTES,)),
        ("start_ns", "i8"),
        ("end_ns", "i8"),
        ("is_twap", "i8"),
        ("log_strike", "f8"),
        ("proven", "i8"),
    ],
    align=True,
)


class Settings(NamedTuple):
    """The estimators' settings, and: the settlement window's `offset_s` (the last print that counts, before the end);
    the lead of the venue over the oracle until one is known (`default_lead_s`); how old a mid may be (`fresh_s`), and
    how old before nothing is warm (`silent_s`: longer than a hand-over to another venue takes);
    `forecast_error`, what a perfect estimate of the past still misses of the coming minutes (relative); and the most
    that the market's view may weigh (`implied_cap`)."""

    source: spot_source.Config = spot_source.Config()
    volatility: volatility.Config = volatility.Config()
    spike: spike.Config = spike.Config()
    implied: implied_volatility.Config = implied_volatility.Config()
    projection: projection.Config = projection.Config()
    offset_s: float = 3.0
    default_lead_s: float = 1.5
    fresh_s: float = 2.0
    silent_s: float = 5.5
    forecast_error: float = 0.10
    implied_cap: float = 0.5


def settings_of(config: MMConfig) -> Settings:
    """The settings that the quoter shares: the settlement window, the lead, and how long an alarm stands at least.

    `vol_spike_threshold` has no counterpart: the alarm is relative to the volatility, and its `floor` only a least.
    """
    return Settings(
        spike=spike.Config(cooldown_s=config.vol_pullback_seconds),
        offset_s=config.window_offset_s,
        default_lead_s=config.default_lead_s,
    )


@kernel
def forget_projection(venue: State) -> None:
    """Another venue is the spot price now: its mids and its basis are unknown."""
    venue[0].newest = -1
    venue[0].filled = 0
    venue[0].ts_ns = 0
    venue[0].updates = 0
    venue[0].refused_in_a_row = 0
    venue[0].variance = 0.0
    venue[0].last_print_ns = 0


@kernel
def any_spike(state: Record) -> int:
    """1 while the alarm of any venue stands."""
    for j in range(len(state.spikes)):
        if state.spikes[j].on > 0:
            return 1
    return 0


@kernel
def on_quote(states: State, configs: State, index: int, ts_event_ns: int, ts_recv_ns: int, log_mid: float) -> int:
    """Take one quote of one venue; -1 refused, 0 alarm only, 1 counted, +2 when the alarm changed."""
    state = states[0]
    settings = configs[0]
    ts_event_ns = spot_source.event_time(state.source, settings.source, index, ts_event_ns, ts_recv_ns)
    verdict = spot_source.admit(state.source, settings.source, index, ts_event_ns, ts_recv_ns)
    if verdict < 0:
        return -1
    sigma = 0.0
    if state.volatility.samples >= settings.volatility.winsor_after:
        sigma = math.sqrt(max(volatility.variance(state.volatility, settings.volatility), 0.0))
    spike.update(state.spikes[index], settings.spike, ts_recv_ns, log_mid, sigma)
    spiking = any_spike(state)
    changed = 2 if spiking != state.spiking else 0
    state.spiking = spiking
    if verdict == 0:
        return changed
    if verdict == 2:
        volatility.anchor(state.volatility, ts_event_ns, log_mid)
        forget_projection(state.projection)
    else:
        volatility.update(state.volatility, settings.volatility, ts_event_ns, log_mid)
    projection.observe_mid(state.projection, ts_event_ns, log_mid)
    state.mid_ns = ts_recv_ns
    return 1 + changed


@kernel
def on_time(states: State, configs: State, ts_ns: int) -> bool:
    """Let standing alarms see that nothing moved; True when the alarm changed."""
    state = states[0]
    settings = configs[0]
    if state.spiking == 0:
        return False
    sigma = math.sqrt(max(volatility.variance(state.volatility, settings.volatility), 0.0))
    for j in range(len(state.spikes)):
        if state.spikes[j].on > 0:
            spike.update(state.spikes[j], settings.spike, ts_ns, state.spikes[j].last_log, sigma)
    spiking = any_spike(state)
    changed = spiking != state.spiking
    state.spiking = spiking
    return bool(changed)


@kernel
def is_usable(state: Record, settings: Settings, now_ns: int) -> bool:
    """Whether the venue's mid is fresh, so that it may contradict a print."""
    return bool(state.mid_ns > 0 and abs(now_ns - state.mid_ns) * 1e-9 <= settings.fresh_s)


@kernel
def admit_print(state: Record, stamp_ns: int, log_print: float) -> None:
    """Put a believed print into the settlement window."""
    doubted.clear(state.doubted, stamp_ns)
    if state.is_twap > 0:
        digital.observe_print(state.windows, 1, stamp_ns, log_print)


@kernel
def take_old_print(state: Record, settings: Settings, stamp_ns: int, log_print: float, now_ns: int) -> None:
    """Take a print that the filter is not shown: missed, repeated or corrected. A doubted one stays out."""
    window = state.windows[1]
    index = (stamp_ns - window.first_ns + NS_PER_S // 2) // NS_PER_S
    inside = state.is_twap > 0 and 0 <= index < window.count
    if inside and window.is_seen[index] and window.logs[index] == log_print:
        return
    if doubted.is_doubted(state.doubted, stamp_ns, log_print):
        return
    if stamp_ns > now_ns - OPINION_NS and is_usable(state, settings, now_ns):
        opinion = projection.opinion_of_print(state.projection, settings.projection, stamp_ns, log_print, state.lead_s)
        if opinion < 0:
            doubted.doubt(state.doubted, stamp_ns, log_print)
            return
    admit_print(state, stamp_ns, log_print)


@kernel
def on_print(states: State, configs: State, stamp_ns: int, log_print: float, now_ns: int) -> None:
    """Take one spot print of the oracle: the projection of the venue, and the settlement window unless that doubts it.

    What was doubted is confirmed when the filter starts anew on that level, and enters with the print that did it.
    """
    state = states[0]
    settings = configs[0]
    venue = state.projection[0]
    if stamp_ns <= venue.last_print_ns:
        take_old_print(state, settings, stamp_ns, log_print, now_ns)
        return
    was_warm = venue.updates >= settings.projection.prints_to_warm
    refused = venue.refused
    if state.mid_ns > 0:
        projection.observe_oracle(state.projection, settings.projection, stamp_ns, log_print, state.lead_s)
    if was_warm and venue.refused > refused and is_usable(state, settings, now_ns):
        doubted.doubt(state.doubted, stamp_ns, log_print)
        return
    if was_warm and venue.updates < settings.projection.prints_to_warm:
        for j in range(len(state.doubted.stamp_ns)):
            if state.doubted.stamp_ns[j] > state.believed_ns:
                admit_print(state, state.doubted.stamp_ns[j], state.doubted.log_price[j])
    state.believed_ns = stamp_ns
    admit_print(state, stamp_ns, log_print)


@kernel
def on_history(
    states: State, configs: State, seconds: NDArray[np.int64], prices: NDArray[np.float64], now_ns: int
) -> int:
    """Take a history of spot prints; the returns it added."""
    state = states[0]
    settings = configs[0]
    for i in range(len(seconds)):
        if prices[i] > 0.0:
            take_old_print(state, settings, seconds[i] * NS_PER_S, math.log(prices[i]), now_ns)
    return volatility.include_history(state.volatility, settings.volatility, seconds, prices)


@kernel
def on_book(states: State, configs: State, ts_recv_ns: int, bid: float, ask: float) -> bool:
    """Take CALL's best quotes; True when they became a reading of implied volatility.

    The moneyness is the quoter's own: the venue's mid projected onto the oracle, and the prints already known.
    """
    state = states[0]
    settings = configs[0]
    if state.proven == 0 or not state.start_ns <= ts_recv_ns < state.end_ns:
        return False
    if abs(ts_recv_ns - state.mid_ns) * 1e-9 > settings.fresh_s:
        return False
    log_price, error, believed = projection.project_oracle(
        state.projection,
        settings.projection.drift_per_sqrt_s,
        settings.projection.prints_to_warm,
        ts_recv_ns,
        state.lead_s,
    )
    if not believed:
        return False
    ref_ns = ts_recv_ns + int(state.lead_s * 1e9)
    if state.is_twap > 0:
        mean, weight, variance_s, _ = digital.twap_law(state.windows, True, state.log_strike, ref_ns, log_price)
        error *= weight
    else:
        mean = log_price - state.log_strike
        variance_s = (state.end_ns - ref_ns) * 1e-9
    return implied_volatility.update(state.implied, settings.implied, ts_recv_ns, bid, ask, mean, error, variance_s)


@kernel
def read(states: State, configs: State, now_ns: int) -> tuple[float, float, float, float, float, bool, bool, int]:
    """(sigma, realized, implied, relative error, jumps per second, warm, spike, spike until); NaN: no answer."""
    state = states[0]
    settings = configs[0]
    realized, error, jumps, warm = volatility.read(state.volatility, settings.volatility, now_ns)
    implied, implied_error = implied_volatility.read(state.implied, settings.implied, now_ns)
    realized_error = math.sqrt(error * error + settings.forecast_error * settings.forecast_error)
    sigma, relative_error = implied_volatility.blend(
        realized, realized_error, implied, implied_error, settings.implied_cap
    )
    warm = warm and state.mid_ns > 0 and abs(now_ns - state.mid_ns) * 1e-9 <= settings.silent_s
    until_ns = 0
    for j in range(len(state.spikes)):
        until_ns = max(until_ns, spike.until_ns(state.spikes[j], settings.spike))
    return sigma, realized, implied, relative_error, jumps, warm, state.spiking > 0, until_ns


class VolatilityAnalyzer:
    """Takes `SpotQuote`, `OraclePrice` and `OracleHistory` spot, `OutcomeBook` of CALL, `Period` current, `LeadLag`.

    The spot venue is the leader while it quotes, else the best-ranked one. `Period` starts the implied part fresh;
    everything of the underlying carries over.
    """

    STATE = STATE

    def __init__(self, market: str, settings: Settings | None = None) -> None:
        self.market = market
        self.record: State = np.zeros(1, STATE)
        self.settings = settings or Settings()
        self._config = config_record(self.settings)
        self._state = self.record[0]
        self._state["projection"] = projection.new_venue()
        self._state["lead_s"] = self.settings.default_lead_s
        self._venues = spot_source.Venues(self.record["source"][0])
        self._slug = ""
        self._inputs: dict[str, int] = {}

    def reload(self) -> None:
        """The record was replaced: read what is kept beside it again."""
        self._venues.reload()
        self._slug = read_text(self._state["slug"])
        self._inputs.clear()

    def observe(self, delivery: Delivery) -> Reaction:
        """Take one message."""
        message = delivery.message
        reaction = NOTHING
        if isinstance(message, SpotQuote):
            reaction = self._observe_quote(message)
        elif isinstance(message, OutcomeBook):
            reaction = self._observe_book(message)
        elif isinstance(message, OraclePrice):
            is_possible = message.ts_event_ns <= message.ts_recv_ns + NS_PER_S  # a future stamp would silence the next
            if message.kind == "spot" and message.price > 0.0 and is_possible:
                log_print = math.log(message.price)
                on_print(self.record, self._config, message.ts_event_ns, log_print, message.ts_recv_ns)
                reaction = CHANGED
        elif isinstance(message, OracleHistory):
            if message.kind == "spot" and len(message.seconds) == len(message.prices):
                seconds = np.array(message.seconds, np.int64)
                prices = np.array(message.prices, np.float64)
                on_history(self.record, self._config, seconds, prices, message.ts_recv_ns)
                reaction = CHANGED
        elif isinstance(message, Period):
            reaction = self._observe_period(message)
        elif isinstance(message, LeadLag) and message.market == self.market:
            self._observe_leader(message)
            reaction = CHANGED
        if reaction != NOTHING:
            self._inputs[delivery.topic] = delivery.seq
        return reaction

    def _observe_leader(self, signal: LeadLag) -> None:
        self._venues.lead(signal.leader if signal.warm else None)
        known = signal.warm and signal.leader is not None and signal.lead_s is not None
        self._state["lead_s"] = signal.lead_s if known else self.settings.default_lead_s

    def _observe_quote(self, quote: SpotQuote) -> Reaction:
        index = self._venues.index_of(quote.venue)
        log_price = spot_source.log_mid(quote)
        if index is None or log_price is None:
            return NOTHING
        outcome = on_quote(self.record, self._config, index, quote.ts_event_ns, quote.ts_recv_ns, log_price)
        if outcome < 0:
            return NOTHING
        return URGENT if outcome >= 2 else CHANGED

    def _observe_book(self, book: OutcomeBook) -> Reaction:
        if book.outcome != "CALL" or book.slug != self._slug or not book.bid_ticks or not book.ask_ticks:
            return NOTHING
        bid, ask = book.bid_ticks[0] * book.tick_size, book.ask_ticks[0] * book.tick_size
        return CHANGED if on_book(self.record, self._config, book.ts_recv_ns, bid, ask) else NOTHING

    def _observe_period(self, period: Period) -> Reaction:
        state = self._state
        if period.market != self.market or period.role != "current" or period.start_ns < state["start_ns"]:
            return NOTHING
        if period.slug != self._slug:
            self._slug = period.slug
            write_text(state["slug"], period.slug)
            state["start_ns"] = period.start_ns
            state["implied"] = np.zeros((), implied_volatility.STATE)
            state["is_twap"] = 0
        state["end_ns"] = period.end_ns
        proven = period.strike_state == "PROVEN" and period.strike is not None and period.strike > 0.0
        state["log_strike"] = math.log(period.strike) if proven and period.strike is not None else 0.0
        state["proven"] = int(proven)
        if period.settlement == "twap" and state["is_twap"] == 0:
            if not 1 <= period.twap_lookback_s <= digital.MAX_SAMPLES:
                state["proven"] = 0  # a settlement that cannot be priced implies nothing
                return CHANGED
            state["windows"][1] = digital.open_window(
                end_ns=period.end_ns, lookback_s=period.twap_lookback_s, offset_s=self.settings.offset_s
            )[0]
            state["is_twap"] = 1
        return CHANGED

    def observe_gap(self, topic: str) -> None:
        """Prices are levels: the next sample's return is right however many were lost; long silences re-anchor.

        Until the next quote of the chosen venue its mid is unknown, and nothing is warm.
        """
        kind, _, rest = topic.partition(".")
        source = rest.partition(".")[2]
        if kind == "SpotQuote" and self._venues.index_of(source) == self._state["source"]["chosen"] - 1:
            self._state["mid_ns"] = 0

    def observe_time(self, ts_ns: int) -> Reaction:
        """Time passed: a standing alarm may end."""
        return URGENT if on_time(self.record, self._config, ts_ns) else NOTHING

    def signal(self, ts_event_ns: int, ts_recv_ns: int) -> Volatility:
        """The signal as of now."""
        sigma, realized, implied, error, jumps, warm, spiking, until_ns = read(self.record, self._config, ts_recv_ns)
        return Volatility(
            ts_event_ns=ts_event_ns,
            ts_recv_ns=ts_recv_ns,
            market=self.market,
            warm=warm,
            basis="estimated",
            sigma_per_sqrt_s=answer(sigma),
            realized_per_sqrt_s=answer(realized),
            implied_per_sqrt_s=answer(implied),
            relative_error=answer(error),
            jumps_per_s=jumps,
            spike=spiking,
            spike_until_ns=until_ns,
            inputs=dict(self._inputs),
        )

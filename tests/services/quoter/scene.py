"""A market in good order, as the quoter sees it, in which a test changes only what it is about."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from services.quoter.core import QuoterCore
from shared.config import MMConfig
from shared.core import Delivery, Gap, Timer
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
    QuoteSet,
    Regime,
    SpotQuote,
    Volatility,
    topic_of,
)
from tests.builders import build

SECOND = 1_000_000_000
START_S = 1_791_241_200
START = START_S * SECOND
LENGTH_S = 900
END = START + LENGTH_S * SECOND
MARKET = "btc-15m"
SLUG = f"btc-updown-15m-{START_S}"
STRIKE = 60_000.0
SIGMA = 9e-5


def book(outcome: str, *, bid: int, ask: int, tick_size: float = 0.01, slug: str = SLUG, depth: int = 3) -> OutcomeBook:
    return OutcomeBook(
        ts_event_ns=0,
        ts_recv_ns=0,
        market=MARKET,
        slug=slug,
        outcome=outcome,  # type: ignore[arg-type]
        tick_size=tick_size,
        bid_ticks=tuple(range(bid, bid - depth, -1)),
        bid_sizes=(100.0,) * depth,
        ask_ticks=tuple(range(ask, ask + depth)),
        ask_sizes=(100.0,) * depth,
    )


class Scene:
    """Runs a core through a minute of healthy market and keeps it healthy; `say` changes one thing."""

    def __init__(self, config: MMConfig | None = None, *, at_s: float = 300.0, **state: Any) -> None:
        self.config = config or MMConfig()
        self.core = QuoterCore(self.config, [MARKET])
        self.now = START + round((at_s - 70.0) * SECOND)
        self.seqs: dict[str, int] = {}
        self.published: list[QuoteSet] = []
        self.spot = state.pop("spot", STRIKE)
        self.oracle_offset = state.pop("oracle_offset", 0.0)
        self.call_bid, self.call_ask = state.pop("book", (49, 51))
        self.tick_size = state.pop("tick_size", 0.01)
        self.period: dict[str, Any] = {"strike": STRIKE, **state.pop("period", {})}
        self.volatility: dict[str, Any] = state.pop("volatility", {})
        self.regime: dict[str, Any] = state.pop("regime", {})
        self.flow: dict[str, Any] = state.pop("flow", {})
        self.lead_lag: dict[str, Any] = state.pop("lead_lag", {})
        self.position: dict[str, Any] = state.pop("position", {})
        self.silent: set[str] = set(state.pop("silent", ()))
        assert not state, f"no such state: {sorted(state)}"
        self.run(70.0)

    # -- messages ----------------------------------------------------------------------------------------------------

    def period_message(self, **changes: Any) -> Period:
        fields: dict[str, Any] = {
            "market": MARKET,
            "role": "current",
            "slug": SLUG,
            "condition_id": "0x1",
            "start_ns": START,
            "end_ns": END,
            "settlement": "twap",
            "twap_lookback_s": 60,
            "strike": STRIKE,
            "strike_state": "PROVEN",
            "strike_source": "twap_tick",
            "call_token": "1",
            "put_token": "2",
            "tick_size": 0.01,
            "min_size_shares": 5.0,
            "fee_rate": 0.07,
            "fee_exponent": 1.0,
            "rebate_rate": 0.2,
            "taker_delay_s": None,
            "rewards_min_shares": None,
            "rewards_max_spread": None,
            "version": "v1",
            "refusal": None,
        }
        return Period(ts_event_ns=self.now, ts_recv_ns=self.now, **{**fields, **self.period, **changes})

    def status(self, subject: str, venue: str, channel: str, *, state: str = "LIVE") -> FeedStatus:
        return FeedStatus(
            ts_event_ns=self.now,
            ts_recv_ns=self.now,
            venue=venue,
            channel=channel,
            subject=subject,
            state=state,  # type: ignore[arg-type]
            reason="",
            age_s=0.1,
            expected_rate_hz=1.0,
            seen_rate_hz=1.0,
            reconnects=0,
        )

    def quote(self, venue: str = "coinbase", *, mid: float | None = None) -> SpotQuote:
        mid = self.spot if mid is None else mid
        return SpotQuote(
            ts_event_ns=self.now,
            ts_recv_ns=self.now,
            asset="BTC",
            venue=venue,
            bid=mid - 0.5,
            bid_size=1.0,
            ask=mid + 0.5,
            ask_size=1.0,
        )

    def oracle(self, *, price: float | None = None, kind: str = "spot", age_s: float = 0.0) -> OraclePrice:
        return OraclePrice(
            ts_event_ns=self.now // SECOND * SECOND - round(age_s * SECOND),
            ts_recv_ns=self.now,
            asset="BTC",
            kind=kind,  # type: ignore[arg-type]
            price=self.spot + self.oracle_offset if price is None else price,
            venue="chainlink",
        )

    def history(self, seconds: Sequence[int], prices: Sequence[float]) -> OracleHistory:
        return OracleHistory(
            ts_event_ns=self.now,
            ts_recv_ns=self.now,
            asset="BTC",
            kind="spot",
            venue="chainlink",
            seconds=tuple(seconds),
            prices=tuple(prices),
        )

    def signals(self) -> list[AnyMessage]:
        common: dict[str, Any] = {"ts_event_ns": self.now, "ts_recv_ns": self.now, "market": MARKET}
        volatility: dict[str, Any] = {
            "warm": True,
            "basis": "estimated",
            "sigma_per_sqrt_s": SIGMA,
            "realized_per_sqrt_s": SIGMA,
            "implied_per_sqrt_s": None,
            "relative_error": 0.1,
            "jumps_per_s": 0.0,
            "spike": False,
            "spike_until_ns": 0,
        }
        regime: dict[str, Any] = {
            "warm": True,
            "regime": "quiet",
            "variance_ratio": 1.0,
            "efficiency_ratio": 0.1,
            "volatile_probability": 0.1,
            "drift_per_s": 0.0,
            "momentum_z": 0.0,
        }
        flow: dict[str, Any] = {
            "slug": SLUG,
            "warm": True,
            "imbalance": 0.0,
            "vpin": 0.2,
            "vpin_null": 0.2,
            "toxicity": 0.1,
            "lead_order_flow": 0.0,
            "markout": 0.0,
            "impact": 0.0,
            "own_markout": None,
            "fill_rate_per_s": None,
            "fill_decay_per_usd": None,
        }
        lead_lag: dict[str, Any] = {
            "warm": True,
            "leader": "coinbase",
            "lead_s": 1.5,
            "correlation": 0.8,
            "threshold": 0.1,
        }
        return [
            Volatility(**common, inputs={}, **{**volatility, **self.volatility}),
            Regime(**common, inputs={}, **{**regime, **self.regime}),
            Flow(**common, inputs={}, **{**flow, **self.flow}),
            LeadLag(**common, inputs={}, **{**lead_lag, **self.lead_lag}),
            msgspec.structs.replace(build(Position), **common, **{"slug": SLUG, **self.position}),
        ]

    def books(self) -> list[AnyMessage]:
        per_dollar = round(1.0 / self.tick_size)
        return [
            book("CALL", bid=self.call_bid, ask=self.call_ask, tick_size=self.tick_size),
            book("PUT", bid=per_dollar - self.call_ask, ask=per_dollar - self.call_bid, tick_size=self.tick_size),
        ]

    # -- time --------------------------------------------------------------------------------------------------------

    def say(self, message: AnyMessage) -> list[QuoteSet]:
        """Deliver one message now."""
        topic = topic_of(message)
        seq = self.seqs[topic] = self.seqs.get(topic, 0) + 1
        stamped = msgspec.structs.replace(message, ts_recv_ns=self.now)
        return self._keep(self.core.update(Delivery(topic, 1, seq, stamped)))

    def lose(self, topic: str, lost: int = 1) -> list[QuoteSet]:
        return self._keep(self.core.update(Gap(topic, lost, self.now)))

    def tick(self, seconds: float = 0.0) -> list[QuoteSet]:
        """Time passes in silence."""
        self.now += round(seconds * SECOND)
        return self._keep(self.core.update(Timer(self.now)))

    def _keep(self, messages: Iterable[AnyMessage]) -> list[QuoteSet]:
        kept = [message for message in messages if isinstance(message, QuoteSet)]
        self.published.extend(kept)
        return kept

    def refresh(self) -> None:
        """One second's worth of everything that is not silent."""
        statuses = (
            ("BTC", "coinbase", "SpotQuote"),
            ("BTC", "bybit", "SpotQuote"),
            ("BTC.spot", "chainlink", "OraclePrice"),
            (f"{MARKET}.CALL", "polymarket", "OutcomeBook"),
            (f"{MARKET}.PUT", "polymarket", "OutcomeBook"),
        )
        messages: list[AnyMessage] = [self.status(*status) for status in statuses]
        messages += [self.period_message(), self.quote("coinbase"), self.quote("bybit", mid=self.spot * 1.0005)]
        messages += [self.oracle(), *self.signals(), *self.books()]
        for message in messages:
            if type(message).__name__ not in self.silent and topic_of(message) not in self.silent:
                self.say(message)

    def run(self, seconds: float) -> None:
        """Healthy seconds."""
        until = self.now + round(seconds * SECOND)
        while self.now + SECOND <= until:
            self.tick(1.0)
            self.refresh()
        self.now = until

    def latest(self) -> QuoteSet:
        """What stands now: the last set, after a timer."""
        self.tick(0.6)
        return self.published[-1]


def prices(quotes: QuoteSet, *, outcome: str = "CALL", side: str = "bid") -> list[float]:
    ladder = quotes.call if outcome == "CALL" else quotes.put
    return [layer.price for layer in ladder if layer.side == side]


def moneyness(basis_points: float) -> float:
    """A price so far above the strike."""
    return STRIKE * math.exp(basis_points * 1e-4)

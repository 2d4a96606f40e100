"""Builders of messages: a test names only the fields under test."""

from __future__ import annotations

from typing import Any, TypeVar

from shared.messages import (
    Checkpoint,
    FeedStatus,
    Flow,
    Heartbeat,
    Layer,
    LeadLag,
    Message,
    OracleHistory,
    OraclePrice,
    OutcomeBook,
    OutcomeTrade,
    Period,
    Position,
    QuoteSet,
    Regime,
    Settlement,
    SpotQuote,
    SpotTrade,
    Volatility,
)

START_S = 1_791_241_200
NS = 1_000_000_000
SLUG = f"btc-updown-15m-{START_S}"

_layer = Layer(side="bid", ticks=42, price=0.42, size=50.0, layer=0, execution="buy", execution_price=0.42)

_DEFAULTS: dict[type[Message], dict[str, Any]] = {
    SpotQuote: {"asset": "BTC", "venue": "bybit", "bid": 80_000.0, "bid_size": 1.5, "ask": 80_000.1, "ask_size": 0.5},
    SpotTrade: {"asset": "BTC", "venue": "bybit", "price": 80_000.0, "size": 0.1, "aggressor": "buy", "trade_id": "1"},
    OraclePrice: {"asset": "BTC", "kind": "spot", "price": 80_000.0, "venue": "chainlink"},
    OracleHistory: {
        "asset": "BTC",
        "kind": "spot",
        "venue": "chainlink",
        "seconds": (START_S - 2, START_S - 1),
        "prices": (80_000.0, 80_001.0),
    },
    OutcomeBook: {
        "market": "btc-15m",
        "slug": SLUG,
        "outcome": "CALL",
        "tick_size": 0.01,
        "bid_ticks": (49, 48),
        "bid_sizes": (100.0, 200.0),
        "ask_ticks": (51, 52),
        "ask_sizes": (100.0, 200.0),
    },
    OutcomeTrade: {
        "market": "btc-15m",
        "slug": SLUG,
        "outcome": "CALL",
        "price": 0.51,
        "size": 10.0,
        "aggressor": "buy",
        "trade_id": "0x1",
    },
    Period: {
        "market": "btc-15m",
        "role": "current",
        "slug": SLUG,
        "condition_id": "0xc",
        "start_ns": START_S * NS,
        "end_ns": (START_S + 900) * NS,
        "settlement": "twap",
        "twap_lookback_s": 60,
        "strike": 80_000.0,
        "strike_state": "PROVEN",
        "strike_source": "twap_tick",
        "call_token": "1",
        "put_token": "2",
        "tick_size": 0.01,
        "min_size_shares": 5.0,
        "fee_rate": 0.07,
        "fee_exponent": 1.0,
        "rebate_rate": 0.2,
        "taker_delay_s": 0.15,
        "version": "v1",
        "refusal": None,
    },
    Settlement: {
        "market": "btc-15m",
        "slug": SLUG,
        "strike": 80_000.0,
        "final_price": 80_001.0,
        "final_source": "own_tick",
        "recomputed": "CALL",
        "official": "CALL",
        "agrees": True,
    },
    FeedStatus: {
        "venue": "bybit",
        "channel": "SpotQuote",
        "subject": "BTC",
        "state": "LIVE",
        "reason": "",
        "age_s": 0.1,
        "expected_rate_hz": 10.0,
        "seen_rate_hz": 10.0,
        "reconnects": 0,
    },
    LeadLag: {
        "market": "btc-15m",
        "warm": True,
        "leader": "bybit",
        "lead_s": 0.4,
        "correlation": 0.8,
        "threshold": 0.1,
        "inputs": {},
    },
    Regime: {
        "market": "btc-15m",
        "warm": True,
        "regime": "quiet",
        "variance_ratio": 1.0,
        "efficiency_ratio": 0.1,
        "volatile_probability": 0.1,
        "drift_per_s": 0.0,
        "momentum_z": 0.0,
        "inputs": {},
    },
    Volatility: {
        "market": "btc-15m",
        "warm": True,
        "sigma_per_sqrt_s": 9e-5,
        "realized_per_sqrt_s": 9e-5,
        "implied_per_sqrt_s": None,
        "relative_error": 0.1,
        "jumps_per_s": 0.0,
        "spike": False,
        "spike_until_ns": 0,
        "inputs": {},
    },
    Flow: {
        "market": "btc-15m",
        "slug": SLUG,
        "warm": True,
        "imbalance": 0.0,
        "vpin": 0.2,
        "vpin_null": 0.2,
        "toxicity": 0.0,
        "lead_order_flow": 0.0,
        "markout": 0.0,
        "inputs": {},
    },
    Checkpoint: {"market": "btc-15m", "kind": "volatility", "layout": "abc", "state": b"\x00\x01"},
    QuoteSet: {
        "market": "btc-15m",
        "slug": SLUG,
        "action": "QUOTE_BOTH",
        "reasons": (),
        "phase": "early",
        "regime": "quiet",
        "time_to_expiry_s": 600.0,
        "tick_size": 0.01,
        "fair_value": 0.5,
        "fair_low": 0.48,
        "fair_high": 0.52,
        "breakdown": {"model_value": 0.5},
        "call": (_layer,),
        "put": (_layer,),
        "valid_until_ns": (START_S + 302) * NS,
        "inputs": {},
        "trigger": "SpotQuote.BTC.bybit",
        "trigger_recv_ns": (START_S + 300) * NS,
    },
    Position: {
        "market": "btc-15m",
        "slug": SLUG,
        "call_shares": 0.0,
        "put_shares": 0.0,
        "realized_pnl_usd": 0.0,
        "unrealized_pnl_usd": 0.0,
    },
    Heartbeat: {
        "service": "quoter",
        "instance": "quoter-1",
        "pid": 1,
        "metrics_port": 9100,
        "markets": ("btc-15m",),
        "started_ns": START_S * NS,
        "resident_bytes": 1 << 20,
        "counters": {},
    },
}

AnyKind = TypeVar("AnyKind", bound=Message)

EVERY_KIND: tuple[type[Message], ...] = tuple(_DEFAULTS)


def build(kind: type[AnyKind], /, *, at_s: float = START_S + 300, **fields: Any) -> AnyKind:
    """A plausible message of this class, 300 s into the period, with the named fields changed."""
    ts_ns = round(at_s * NS)
    return kind(**({"ts_event_ns": ts_ns, "ts_recv_ns": ts_ns} | _DEFAULTS[kind] | fields))

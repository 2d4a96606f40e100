"""What the analyzers' tests share: published vectors, cold states, and a small synthetic market."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.core import Delivery, Event, Timer
from shared.kernel import Record
from shared.messages import (
    AnyMessage,
    OracleHistory,
    OraclePrice,
    OutcomeBook,
    OutcomeTrade,
    Period,
    SpotQuote,
    topic_of,
)
from tests.builders import NS, START_S, build

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors"


def vectors(name: str) -> Any:
    """A file of reference numbers; skips the test where they are not on this machine."""
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no vectors at {path}: this machine has only the repository")
    return json.loads(path.read_text())


def cold(dtype: np.dtype[Any]) -> Record:
    """A state that has seen nothing."""
    return np.zeros(1, dtype)[0]


def ns(seconds: float) -> int:
    """Seconds since the period's start, as a stamp."""
    return START_S * NS + round(seconds * 1e9)


class Tape:
    """Numbers the messages as a bus would."""

    def __init__(self) -> None:
        self._seq: dict[str, int] = {}

    def deliver(self, message: AnyMessage) -> Delivery:
        topic = topic_of(message)
        self._seq[topic] = self._seq.get(topic, 0) + 1
        return Delivery(topic, 1, self._seq[topic], message)


def synthetic_market(*, seed: int, seconds: int, sigma: float = 9e-5, lead_s: float = 1.0) -> list[Event]:
    """A driftless market: coinbase first, bybit .3 s later, the oracle `lead_s` later; books, trades, timers."""
    rng = np.random.default_rng(seed)
    step_s, warm_up_s = 0.05, 250
    path = np.log(80_000.0) + np.cumsum(
        rng.standard_normal(int((seconds + warm_up_s + 20) / step_s)) * sigma * step_s**0.5
    )

    def price_at(at_s: float) -> float:
        return float(np.exp(path[round((at_s + warm_up_s) / step_s)]))

    def quote(venue: str, mid: float, event_s: float, delay_s: float) -> tuple[int, AnyMessage]:
        bid_size, ask_size = (float(each) for each in rng.uniform(0.1, 3.0, 2))
        received = ns(event_s + delay_s)
        return received, build(
            SpotQuote,
            venue=venue,
            bid=mid - 0.5,
            ask=mid + 0.5,
            bid_size=bid_size,
            ask_size=ask_size,
            ts_event_ns=ns(event_s),
            ts_recv_ns=received,
        )

    events: list[tuple[int, AnyMessage | None]] = [(ns(0), build(Period, at_s=START_S, strike=price_at(0.0)))]
    for tick in range(int(seconds / step_s)):
        at_s = tick * step_s
        if tick % 2 == 0:
            events.append(quote("coinbase", price_at(at_s), at_s, 0.02))
        if tick % 3 == 0:
            events.append(quote("bybit", price_at(at_s - 0.3), at_s, 0.03))
        if tick % 20 == 0:
            printed = price_at(at_s - lead_s)
            events.append(
                (ns(at_s + 1.7), build(OraclePrice, price=printed, ts_event_ns=ns(at_s), ts_recv_ns=ns(at_s + 1.7)))
            )
        if tick % 100 == 20:
            stamps = tuple(range(START_S + int(at_s) - 119, START_S + int(at_s) - 1))
            prices = tuple(price_at(stamp - START_S - lead_s) for stamp in stamps)
            events.append((ns(at_s), build(OracleHistory, at_s=START_S + at_s, seconds=stamps, prices=prices)))
        if tick % 4 == 0:
            bid = int(rng.integers(45, 55))
            events.append(
                (
                    ns(at_s),
                    build(
                        OutcomeBook,
                        at_s=START_S + at_s,
                        bid_ticks=(bid,),
                        ask_ticks=(bid + 2,),
                        bid_sizes=(10.0,),
                        ask_sizes=(10.0,),
                    ),
                )
            )
        if tick % 20 == 7:
            events.append(
                (
                    ns(at_s),
                    build(
                        OutcomeTrade,
                        at_s=START_S + at_s,
                        size=float(rng.uniform(5, 100)),
                        aggressor="buy" if rng.random() < 0.5 else "sell",
                        trade_id=f"t{tick}",
                    ),
                )
            )
        if tick % 2 == 1:
            events.append((ns(at_s), None))
    tape = Tape()
    events.sort(key=lambda each: each[0])
    return [Timer(at) if message is None else tape.deliver(message) for at, message in events]

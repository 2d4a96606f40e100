"""When the spot venues speak: Poisson quotes and trades, 50 ms batches, one heartbeat a second."""

from __future__ import annotations

from collections.abc import Callable

from services.simulator import params
from services.simulator.events import Event
from services.simulator.schedule import Schedule, poisson_ms
from services.simulator.spot_venue import Bybit, Coinbase

Sink = Callable[[Event], None]


def start_bybit(venue: Bybit, *, schedule: Schedule, sink: Sink, start_ms: int, rate: float) -> None:
    """Level 1 at each change, or every three seconds with the same `u`; and trades."""
    quotes_per_s, trades_per_s = params.QUOTES_PER_S * rate, params.BYBIT_TRADES_PER_S * rate

    def quote(ts_ms: int) -> None:
        sink(venue.quote(ts_ms))
        due_ms = poisson_ms(venue.rng, ts_ms, quotes_per_s)
        if due_ms > ts_ms + params.BYBIT_REPEAT_MS:
            schedule.at(ts_ms + params.BYBIT_REPEAT_MS, lambda at_ms: repeat(at_ms, due_ms))
        schedule.at(due_ms, quote)

    def repeat(ts_ms: int, due_ms: int) -> None:
        sink(venue.last._replace(ts_ms=ts_ms))
        if due_ms > ts_ms + params.BYBIT_REPEAT_MS:
            schedule.at(ts_ms + params.BYBIT_REPEAT_MS, lambda at_ms: repeat(at_ms, due_ms))

    def trade(ts_ms: int) -> None:
        sink(venue.trade(ts_ms))
        schedule.at(poisson_ms(venue.rng, ts_ms, trades_per_s), trade)

    schedule.at(start_ms + 1, quote)
    schedule.at(poisson_ms(venue.rng, start_ms, trades_per_s), trade)


def start_coinbase(venue: Coinbase, *, schedule: Schedule, sink: Sink, start_ms: int, rate: float) -> None:
    """Batches of levels, matches and heartbeats."""
    trades_per_s = params.COINBASE_TRADES_PER_S * rate

    def batch(ts_ms: int) -> None:
        levels = venue.batch(ts_ms)
        if levels.changes:
            sink(levels)
        schedule.at(ts_ms + params.COINBASE_BATCH_MS, batch)

    def match(ts_ms: int) -> None:
        sink(venue.match(ts_ms))
        schedule.at(poisson_ms(venue.rng, ts_ms, trades_per_s), match)

    def beat(ts_ms: int) -> None:
        sink(venue.beat(ts_ms))
        schedule.at(ts_ms + 1000, beat)

    schedule.at(start_ms + params.COINBASE_BATCH_MS, batch)
    schedule.at(poisson_ms(venue.rng, start_ms, trades_per_s), match)
    schedule.at(start_ms + 1000, beat)

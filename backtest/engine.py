"""Runs a configuration over tapes: the second pass of a backtest.

    run(tapes, config, RunOptions(queue="pessimistic")) -> Run

The periods of one market follow each other as they do live: the markouts of our own fills carry over, positions do not.
What fills pay and cost is worked out with the ledger's own arithmetic. Same tapes, settings and options: same Run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.baselines import STRATEGIES
from backtest.events import OUTCOMES
from backtest.loop import DONE, ENGINE, LOOP, OPTIONS, OUTPUT_FULL, play
from backtest.records import FILL, PERIOD, QUOTE_ROW, UNKNOWN
from backtest.tape import (
    IMAGE_WORDS,
    JUDGED_PART,
    MARKET_PART,
    VENUE_PART,
    WINDOWS_PART,
    Tape,
)
from services.analyzers import markout, mids
from services.analyzers.flow_analyzer import OWN_MARKOUT
from services.executor.plan import LIMITS, MOST_WANTED, STEPS, WANTED, WORK
from services.executor.plan import STEP as PLAN_STEP
from services.quoter.records import LADDER_AT, QUOTE, flat_view, settings_of
from shared.config import MMConfig
from shared.exchange import QUEUES, REPORT, REPORTS, STATE, QueueName
from shared.fees import rebate_micro, taker_fee_micro
from shared.kernel import State
from shared.market import NS_PER_S
from shared.messages import Period
from shared.money import MICRO, product_micro, to_micro
from shared.projection import Config as ProjectionConfig

_SETTINGS_PROJECTION = ProjectionConfig()
_LATENCIES = 4096
_FILLS_AT_FIRST, _QUOTES_AT_FIRST = 1 << 12, 1 << 12

Progress = Callable[[int], None]  # told how many steps were played


class LatencyModel(NamedTuple):
    """How long a message to the venue travels: a constant, or a gamma distribution of this mean and spread."""

    mean_s: float = 0.1
    sd_s: float = 0.0

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """`count` latencies in nanoseconds. ValueError for a mean or spread that cannot be."""
        if not (0.0 <= self.mean_s <= 60.0 and 0.0 <= self.sd_s <= 60.0):
            raise ValueError(f"a latency of {self.mean_s} s with a spread of {self.sd_s} s: give 0 to 60 s each")
        if self.sd_s > 0.0 and self.mean_s == 0.0:
            raise ValueError(f"a latency of 0 s cannot spread by {self.sd_s} s: give it a mean, or no spread")
        if self.sd_s == 0.0:
            return np.full(1, round(self.mean_s * NS_PER_S), np.int64)
        shape = (self.mean_s / self.sd_s) ** 2
        drawn = rng.gamma(shape, self.mean_s / shape, count)
        return np.rint(drawn * NS_PER_S).astype(np.int64)


class RunOptions(NamedTuple):
    """What a run assumes about the venue, and which strategy quotes (None: the engine)."""

    queue: QueueName = "probabilistic"
    order: LatencyModel = LatencyModel()
    cancel: LatencyModel = LatencyModel()
    patience_ticks: int = 1
    requote_s: float = 0.0  # at least so long between two requotes; 0: at every event, as live
    strategy: str | None = None
    buys_opposite: bool = True  # an ask without the CALL to sell buys PUT; else it is not placed
    keeps_quotes: bool = False
    seed: int = 0  # of the drawn latencies


class Run(NamedTuple):
    """What happened: a row of `periods` for each tape; `fills` and `quotes` name their period by its place."""

    config: MMConfig
    options: RunOptions
    periods: NDArray[Any]  # PERIOD
    fills: NDArray[Any]  # FILL
    quotes: NDArray[Any]  # QUOTE_ROW; empty unless kept
    steps: int

    @property
    def pnl_usd(self) -> NDArray[np.float64]:
        """Profit of each period, in dollars."""
        profits: NDArray[np.float64] = self.periods["pnl_micro"] / MICRO
        return profits


class _Outputs:
    """Fills and quotes, in arrays that grow."""

    def __init__(self, *, keeps_quotes: bool) -> None:
        self.fills: NDArray[Any] = np.zeros(_FILLS_AT_FIRST, FILL)
        self.quotes: NDArray[Any] = np.zeros(_QUOTES_AT_FIRST if keeps_quotes else 1, QUOTE_ROW)

    def grow(self) -> None:
        """Twice the room."""
        self.fills = np.concatenate([self.fills, np.zeros_like(self.fills)])
        self.quotes = np.concatenate([self.quotes, np.zeros_like(self.quotes)])


def run(
    tapes: Sequence[Tape],
    config: MMConfig,
    options: RunOptions | None = None,
    *,
    progress: Progress | None = None,
    chunk: int = 1 << 18,
) -> Run:
    """Run a configuration over tapes that were written for it (`tape_key`), in the order given.

    `progress` hears of every `chunk` steps. ValueError for an unknown queue model or strategy.
    """
    chosen = options or RunOptions()
    if chosen.queue not in QUEUES:
        raise ValueError(f"queue model {chosen.queue!r}: choose {', '.join(QUEUES)}")
    if chosen.strategy is not None and chosen.strategy not in STRATEGIES:
        raise ValueError(f"strategy {chosen.strategy!r}: choose {', '.join(STRATEGIES)}")
    if not 0.0 <= chosen.requote_s <= 60.0:
        raise ValueError(f"{chosen.requote_s} s between two requotes: give 0 to 60 s")
    rng = np.random.default_rng(chosen.seed)
    order_ns, cancel_ns = chosen.order.draw(rng, _LATENCIES), chosen.cancel.draw(rng, _LATENCIES)
    settings = settings_of(config, _SETTINGS_PROJECTION)
    option_record = np.zeros(1, OPTIONS)
    option_record["strategy"] = ENGINE if chosen.strategy is None else STRATEGIES.index(chosen.strategy)
    option_record["patience_ticks"] = chosen.patience_ticks
    option_record["pulls_final"] = config.techniques.phases and not config.quote_final_phase
    option_record["requote_ns"] = round(chosen.requote_s * NS_PER_S)
    option_record["keeps_quotes"] = chosen.keeps_quotes
    option_record["buys_opposite"] = chosen.buys_opposite
    limits = np.zeros(1, LIMITS)
    limits["max_position_units"] = to_micro(config.max_position_size)
    limits["max_imbalance_units"] = to_micro(config.max_inventory_imbalance)
    own = {tape.period.market: np.zeros(1, markout.STATE) for tape in tapes}
    loop = np.zeros(1, LOOP)
    loop["orders"] = 1
    outputs = _Outputs(keeps_quotes=chosen.keeps_quotes)
    periods = np.zeros(len(tapes), PERIOD)
    reports = np.zeros(REPORTS, REPORT)
    works, plans = np.zeros(1, WORK), np.zeros(STEPS, PLAN_STEP)
    steps = 0
    for place, tape in enumerate(tapes):
        image = np.zeros(IMAGE_WORDS, np.uint64)
        quote: State = np.zeros(1, QUOTE)
        exchange: State = np.zeros(1, STATE)
        exchange["queue_model"] = QUEUES[chosen.queue]
        _open_period(periods[place], loop, limits, tape.period)
        _forget_waiting(own[tape.period.market])
        wanted, book_mids = np.zeros(MOST_WANTED, WANTED), np.zeros(1, mids.STATE)
        market = MARKET_PART.view(image)
        market["own_markout"] = np.nan
        market["start_ns"], market["end_ns"] = tape.period.start_ns, tape.period.end_ns
        status = OUTPUT_FULL
        while status != DONE:
            until = int(loop["step"][0]) + chunk
            before = int(loop["step"][0])
            status = play(
                loop, option_record, periods, place, image, JUDGED_PART.view(image), market,
                WINDOWS_PART.view(image), VENUE_PART.view(image), quote, flat_view(quote)[:LADDER_AT], settings,
                exchange, reports, limits, works, wanted, plans, book_mids, mids.Config(), own[tape.period.market],
                OWN_MARKOUT, order_ns, cancel_ns, tape.steps, tape.patch_at, tape.patch_word, tape.books,
                tape.change_micro, tape.change_units, tape.trades, outputs.fills, outputs.quotes, until,
            )  # fmt: skip
            steps += int(loop["step"][0]) - before
            if status == OUTPUT_FULL:
                outputs.grow()
            if progress is not None:
                progress(steps)
        periods[place]["call_units"], periods[place]["put_units"] = loop["call_units"][0], loop["put_units"][0]
    fills = outputs.fills[: int(loop["fills"][0])].copy()
    _settle(tapes, periods, fills)
    return Run(config, chosen, periods, fills, outputs.quotes[: int(loop["quotes"][0])].copy(), steps)


def _open_period(row: Any, loop: State, limits: State, period: Period) -> None:
    """Nothing is held, nothing stands, nothing was seen."""
    row["start_ns"], row["end_ns"] = period.start_ns, period.end_ns
    row["last_mid_micro"] = UNKNOWN
    orders, fills, quotes = (int(loop[name][0]) for name in ("orders", "fills", "quotes"))
    loop[:] = 0
    loop["orders"], loop["fills"], loop["quotes"] = orders, fills, quotes
    loop["mid_micro"] = UNKNOWN
    limits["least_units"] = to_micro(period.min_size_shares)


def _forget_waiting(own: State) -> None:
    """Fills of the period before whose markout is still open: their book is over."""
    own["dropped"] += own["head"] - own["tail"]
    own["tail"] = own["head"]


def _settle(tapes: Sequence[Tape], periods: NDArray[Any], fills: NDArray[Any]) -> None:
    """What each fill paid and cost, and what each period came to, by the market's schedule and outcome."""
    for fill in fills:
        period = tapes[fill["period"]].period
        price, units = int(fill["price_micro"]), int(fill["units"])
        row = periods[fill["period"]]
        if fill["is_maker"]:
            fill["rebate_micro"] = rebate_micro(
                price, units, fee_rate=period.fee_rate, fee_exponent=period.fee_exponent,
                rebate_rate=period.rebate_rate,
            )  # fmt: skip
        else:
            fill["fee_micro"] = taker_fee_micro(
                price, units, fee_rate=period.fee_rate, fee_exponent=period.fee_exponent
            )
        row["cash_micro"] -= int(fill["side"]) * product_micro(price, units)
        row["fee_micro"] += fill["fee_micro"]
        row["rebate_micro"] += fill["rebate_micro"]
    for tape, row in zip(tapes, periods, strict=True):
        call, put, mid = int(row["call_units"]), int(row["put_units"]), int(row["last_mid_micro"])
        row["winner"] = UNKNOWN if tape.winner is None else OUTCOMES.index(tape.winner)
        if tape.winner is not None:
            row["payout_micro"] = call if tape.winner == "CALL" else put
        elif mid != UNKNOWN:
            row["payout_micro"] = product_micro(mid, call) + product_micro(MICRO - mid, put)
        else:
            row["payout_micro"] = min(call, put)  # a pair is worth $1 whatever happens; nobody values the rest
        row["pnl_micro"] = row["cash_micro"] + row["payout_micro"] - row["fee_micro"] + row["rebate_micro"]

"""The market maker as an object inside somebody's own loop."""

from __future__ import annotations

import math
from collections.abc import Mapping

from engine.answers import INPUT_UNUSABLE, MEANING, Decision, Quote, Quotes
from engine.desk import OUTCOMES, Desk, Standing
from engine.state import MarketState, series_of
from services.quoter.explanation import explain
from shared.config import MMConfig
from shared.core import Timer
from shared.market import NS_PER_S, phase_at
from shared.messages import AnyMessage, Layer, Message, Outcome, TradeSide

_LADDERS_KEPT = 2048


class AdvancedMarketMaker:
    """Quotes for one market or several, from states (`generate_all_quotes`) or from single events (`update`).

    Deterministic: it reads no clock, so the same calls give the same quotes. It keeps what it learned between calls
    (the analyzers warm up; what is held), so make one object and keep it. It is not thread-safe.
    The first call in a process takes about half a second, in which the compiled kernels are loaded: make it, with any
    state, before it matters (after an update also `python -m backtest.warm`, which compiles them).

    `config`: an `MMConfig`; None: the defaults. `load_config(preset="aggressive", overrides=["base_spread=0.03"])`
    makes one, and raises a `ConfigError` that suggests the right name for a wrong one; `MMConfig(base_spread=0.03)`
    itself raises pydantic's `ValidationError`. `market` is the one that `update` answers for until a state or a period
    names another. Raises TypeError for a `config` of another type, ValueError for an unknown market.
    """

    def __init__(self, config: MMConfig | None = None, *, market: str = "btc-15m") -> None:
        if config is not None and not isinstance(config, MMConfig):
            raise TypeError(
                f"config must be an MMConfig, not {type(config).__name__}: MMConfig(base_spread=0.02), or "
                'load_config(preset="aggressive", overrides=["base_spread=0.03"])'
            )
        self._config = config or MMConfig()
        self._desks: dict[str, Desk] = {}
        self._desk = self._desk_of(market)
        self._standing: Standing | None = None
        self._decision: Decision | None = None
        self._known: dict[int, tuple[tuple[Layer, ...], tuple[Quote, ...]]] = {}  # by the ladder's identity

    @property
    def config(self) -> MMConfig:
        """The configuration."""
        return self._config

    @property
    def market(self) -> str:
        """The market that the last call was about."""
        return self._desk.series.name

    def generate_all_quotes(self, state: MarketState, *, positions: Mapping[str, float] | None = None) -> Quotes:
        """The quotes of this instant for CALL and PUT, bids first, innermost first; empty lists when it will not quote.

        Why is in `last_decision`. `positions` sets what is held in this period, `{"CALL": shares, "PUT": shares}`; None
        leaves it as it is. Another market is quoted beside this one; another period starts with nothing held. A state
        up to a second older than the last counts as of the last's instant. One older than that starts the market
        afresh, which `last_decision.problems` says: a clock set back must not stop a loop, nor may old prices look
        young by it. Raises ValueError for positions that cannot be.
        """
        self._desk = self._desk_of(state.market)
        return self._answer(self._desk.take_state(state, positions))

    def update(self, event: AnyMessage | Timer) -> Quotes | None:
        """Take one tick (any of `shared.messages`) or `Timer`; the new quotes, None while the last ones stand.

        Time is `ts_recv_ns` of the messages and `ts_ns` of the Timers: send one every 100 ms or so, also when nothing
        comes, so that what grows old is noticed. A stream counts as live while its messages come, unless the caller
        sends its `FeedStatus`. Raises TypeError for anything else.
        """
        if not isinstance(event, Message | Timer):
            raise TypeError(f"update takes a message of shared.messages or a Timer, not {type(event).__name__}")
        named = getattr(event, "market", None)
        if named is not None:
            self._desk = self._desk_of(named)
        answer: Standing | None = None
        for desk in self._desks.values() if named is None else (self._desk,):
            standing = desk.take_event(event)
            if desk is self._desk:
                answer = standing
        return None if answer is None else self._answer(answer)

    def record_fill(
        self, *, outcome: Outcome, side: TradeSide, price: float, size: float, fill_id: str | None = None
    ) -> None:
        """Book an execution of ours in the present period: `side` is `buy` or `sell` of the outcome's token.

        `fill_id`: the venue's name of it; the same one again changes nothing. An ask placed as `buy_opposite` fills as
        a buy of the other outcome. Raises ValueError naming the field, also for selling more than is held.
        """
        if outcome not in OUTCOMES:
            raise ValueError(f"outcome must be CALL or PUT, not {outcome!r}")
        if side not in ("buy", "sell"):
            raise ValueError(f"side must be buy or sell, not {side!r}: a bid that fills is a buy")
        if not 0.0 < price < 1.0:
            raise ValueError(f"price must be dollars in (0, 1), not {price}")
        if not 0.0 < size < math.inf:
            raise ValueError(f"size must be a number of shares above 0, not {size}")
        if not self._desk.slug:
            raise ValueError("no period is open yet: call generate_all_quotes with a state first")
        self._desk.book_fill(outcome=outcome, side=side, price=price, size=size, fill_id=fill_id)

    @property
    def positions(self) -> dict[Outcome, float]:
        """Shares of each outcome in the present period of the present market."""
        return dict(self._desk.memory.shares)

    @property
    def last_decision(self) -> Decision | None:
        """Why the last quotes are what they are; None before the first."""
        if self._decision is None and self._standing is not None:
            self._decision = self._decide(self._standing)
        return self._decision

    def explain(self) -> str:
        """The last decision in words, and the additive story of its number as a table."""
        if self._standing is None:
            return "nothing was asked yet"
        return f"{self.last_decision}\n{explain(self._standing.quotes)}"

    def _desk_of(self, market: str) -> Desk:
        series = series_of(market)
        desk = self._desks.get(series.name)
        if desk is None:
            desk = self._desks[series.name] = Desk(series, self._config)
        return desk

    def _answer(self, standing: Standing) -> Quotes:
        self._standing, self._decision = standing, None
        quotes = standing.quotes
        return {"CALL": list(self._quotes_of("CALL", quotes.call)), "PUT": list(self._quotes_of("PUT", quotes.put))}

    def _quotes_of(self, outcome: Outcome, ladder: tuple[Layer, ...]) -> tuple[Quote, ...]:
        """A ladder as quotes, remembered: the quoter gives the same ladder again as the same object."""
        known = self._known.get(id(ladder))
        if known is None or known[0] is not ladder:
            if len(self._known) >= _LADDERS_KEPT:
                self._known.clear()
            known = self._known[id(ladder)] = ladder, tuple(Quote.of(outcome, each) for each in ladder)
        return known[1]

    @staticmethod
    def _decide(standing: Standing) -> Decision:
        quotes, period, now_ns = standing.quotes, standing.period, standing.now_ns
        labels = quotes.reasons
        if standing.is_refused and INPUT_UNUSABLE not in labels:
            labels = (INPUT_UNUSABLE, *labels)
        phase, left_s = quotes.phase, quotes.time_to_expiry_s
        if period is not None:  # the set may stand since a moment ago, or be of another period
            phase = phase_at(now_ns, start_ns=period.start_ns, end_ns=period.end_ns)
            left_s = (period.end_ns - now_ns) / NS_PER_S
        return Decision(
            market=quotes.market,
            slug=quotes.slug,
            now_ns=now_ns,
            action=quotes.action,
            reasons={label: MEANING[label] for label in labels},
            fair_value=quotes.fair_value,
            fair_low=quotes.fair_low,
            fair_high=quotes.fair_high,
            phase=phase,
            regime=quotes.regime,
            time_to_expiry_s=left_s,
            volatility_basis=None if standing.volatility is None else standing.volatility.basis,
            volatility_note=standing.volatility_note,
            breakdown=quotes.breakdown,
            problems=standing.problems,
        )

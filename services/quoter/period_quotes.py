"""One period: its rules, settlement windows and books, and the records that `requote` reads and writes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from services.quoter.inputs import Input
from services.quoter.records import LADDER_AT, MARKET, QUOTE, REGIME_INDEX, flat_view
from services.quoter.signals import Signal
from shared.config import MMConfig
from shared.digital import observe_print, open_window
from shared.kernel import State
from shared.messages import Flow, Outcome, OutcomeBook, Period, Position, Regime, Volatility


def rules_of(period: Period) -> tuple[object, ...]:
    """What the windows and books of a period are made for; with other rules it is another period."""
    return (
        period.start_ns,
        period.end_ns,
        period.settlement,
        period.twap_lookback_s,
        period.call_token,
        period.put_token,
    )


class PeriodQuotes:
    """Made when a period is announced or its rules change, dropped after its end."""

    def __init__(self, period: Period, config: MMConfig) -> None:
        self.slug = period.slug
        self.books: dict[Outcome, Input[OutcomeBook]] = {"CALL": Input(), "PUT": Input()}
        self.book_fault: str | None = None  # of the books' content
        self.mirror_broken_since_ns = 0
        self.market: State = np.zeros(1, dtype=MARKET)
        self.quote: State = np.zeros(1, dtype=QUOTE)
        self._view()
        self.tick_size = period.tick_size
        self.per_dollar = 0  # ticks in a dollar; 0 until a usable tick size is known
        self.prices: tuple[float, ...] = ()
        self._config = config
        self._unfit: str | None = None  # our own reason not to quote it, for good
        self.windows = self._open_windows(period)
        self.market["averaged"] = period.settlement == "twap"
        self.take(period)

    def _open_windows(self, period: Period) -> State:
        lookback_s = period.twap_lookback_s if period.settlement == "twap" else 1
        ends_ns = (period.start_ns, period.end_ns)
        offset_s = self._config.window_offset_s
        try:
            return np.concatenate(
                [open_window(end_ns=end_ns, lookback_s=lookback_s, offset_s=offset_s) for end_ns in ends_ns]
            )
        except ValueError as error:
            self._unfit = str(error)
            return np.concatenate([open_window(end_ns=1, lookback_s=1, offset_s=0.0)] * 2)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy's views must be of the copy's own record."""
        self.__dict__.update(state)
        self._view()

    def _view(self) -> None:
        """The answer of `requote` as plain numbers: the breakdown and answers, and the ladders."""
        flat = flat_view(self.quote)
        self.answer, self.ladder = flat[:LADDER_AT], flat[LADDER_AT:]

    def take(self, period: Period) -> None:
        """Take a newer description of the period, under the same rules."""
        self.period = period
        self.start_ns = period.start_ns
        self.end_ns = period.end_ns
        strike = period.strike if period.strike_state == "PROVEN" else None
        self.is_proven = strike is not None and strike > 0.0
        record = self.market[0]
        record["start_ns"] = period.start_ns
        record["end_ns"] = period.end_ns
        record["strike_known"] = self.is_proven
        record["strike_log"] = math.log(strike) if strike is not None and strike > 0.0 else 0.0
        record["min_size"] = period.min_size_shares
        record["taker_delay_s"] = period.taker_delay_s or 0.0
        record["fee_rate"] = period.fee_rate
        record["fee_exponent"] = period.fee_exponent
        record["rebate_rate"] = period.rebate_rate
        record["rewards_min_shares"] = period.rewards_min_shares or 0.0
        record["rewards_max_spread"] = period.rewards_max_spread or 0.0
        unfit = self._unfit
        if not self.per_dollar and not self.set_tick(period.tick_size):  # later the books say what the tick is
            unfit = f"tick size {period.tick_size} does not divide a dollar"
        self.refusal = period.refusal or unfit

    def set_tick(self, tick_size: float) -> bool:
        """Set the grid; False, and nothing changes, when the tick does not divide a dollar."""
        per_dollar = round(1.0 / tick_size) if tick_size > 0.0 else 0
        if not 2 <= per_dollar <= 10_000 or abs(per_dollar * tick_size - 1.0) > 1e-9:
            return False
        self.tick_size = tick_size
        self.per_dollar = per_dollar
        self.prices = tuple(ticks / per_dollar for ticks in range(per_dollar + 1))
        self.market["ticks_per_dollar"] = per_dollar
        self.market["tick_size"] = tick_size
        return True

    def take_print(self, stamp_ns: int, log_price: float) -> None:
        """Put an oracle print into both windows."""
        observe_print(self.windows, 0, stamp_ns, log_price)
        observe_print(self.windows, 1, stamp_ns, log_price)

    def take_oracle(self, stamp_ns: int, log_price: float) -> None:
        """Take the oracle's newest print as the reference."""
        self.market["oracle_ns"] = stamp_ns
        self.market["oracle_log"] = log_price

    def take_signal(self, signal: Signal | None) -> None:
        """Put the numbers of a signal into the record; one of another period's tokens is left out."""
        record = self.market[0]
        match signal:
            case Volatility():
                blended = self._config.techniques.volatility
                sigma = signal.sigma_per_sqrt_s if blended else signal.realized_per_sqrt_s
                error = signal.relative_error  # an estimate that cannot say how wrong it is, is none
                known = signal.warm and sigma is not None and sigma > 0.0 and error is not None
                record["sigma"] = sigma if known else 0.0
                record["sigma_error"] = error if known else 0.0
            case Regime():
                record["regime"] = REGIME_INDEX[signal.regime]
                record["drift_per_s"] = signal.drift_per_s
            case Flow() if signal.slug == self.slug:
                record["toxicity"] = signal.toxicity
                record["impact"] = math.nan if signal.impact is None else signal.impact
                record["own_markout"] = math.nan if signal.own_markout is None else signal.own_markout
                record["fitted_rate_per_s"] = signal.fill_rate_per_s or 0.0
                record["fitted_decay_per_usd"] = signal.fill_decay_per_usd or 0.0
            case Position() if signal.slug == self.slug:
                record["call_shares"] = signal.call_shares
                record["put_shares"] = signal.put_shares
            case _:
                pass

    def forget(self) -> None:
        """Time was set back: the books, and since when they were wrong, are unknown."""
        for held in self.books.values():
            held.forget()
        self.book_fault = None
        self.mirror_broken_since_ns = 0
        self.market["book_mid"] = 0.0
        self.market["agreed_ns"] = 0

    # -- books -------------------------------------------------------------------------------------------------------

    def take_book(self, book: OutcomeBook, now_ns: int) -> None:
        """Take one outcome's book and judge both."""
        self.books[book.outcome].take(book, now_ns)
        record = self.market[0]
        self.book_fault = self._judge_books(now_ns, book.tick_size)
        if self.book_fault is not None:
            record["book_mid"] = 0.0  # a book in doubt has no opinion to disagree with

    def adopt_books(self, earlier: PeriodQuotes) -> None:
        """Take over the books that came while the period was known by other rules, unless of other tokens."""
        old, new = earlier.period, self.period
        if (old.call_token, old.put_token) not in (("", ""), (new.call_token, new.put_token)):
            return
        for outcome, held in earlier.books.items():
            if held.message is not None:
                self.take_book(held.message, held.recv_ns)
                self.books[outcome].has_gap = held.has_gap

    def _judge_books(self, now_ns: int, tick_size: float) -> str | None:
        """Why the books cannot be quoted against; None, and their best prices noted, when they can."""
        if tick_size != self.market["tick_size"][0] and not self.set_tick(tick_size):
            return "book_crossed"
        call, put = self.books["CALL"].message, self.books["PUT"].message
        if call is None or put is None:
            return None
        if call.tick_size != put.tick_size:  # one of them still stands on the old grid
            self._note_mirror(broken=True, now_ns=now_ns)
            return "mirror_broken"
        per_dollar = self.per_dollar
        fault = self._fault_of(call) or self._fault_of(put)
        if fault is not None:
            return fault
        call_bid, call_ask = call.bid_ticks[0], call.ask_ticks[0]
        mirror_bid, mirror_ask = per_dollar - put.ask_ticks[0], per_dollar - put.bid_ticks[0]
        tolerance = self._config.mirror_tolerance_ticks
        self._note_mirror(
            broken=abs(call_bid - mirror_bid) > tolerance or abs(call_ask - mirror_ask) > tolerance, now_ns=now_ns
        )
        record = self.market[0]
        record["best_bid"] = max(call_bid, mirror_bid)
        record["best_ask"] = min(call_ask, mirror_ask)
        record["book_mid"] = 0.5 * (call_bid + call_ask) / per_dollar
        return None

    def _fault_of(self, book: OutcomeBook) -> str | None:
        """Why one book cannot be quoted against; None when it can."""
        if not book.bid_ticks or not book.ask_ticks:
            return "book_one_sided" if book.bid_ticks or book.ask_ticks else "book_placeholder"
        bid, ask = book.bid_ticks[0], book.ask_ticks[0]
        if not 0 < bid < ask < self.per_dollar:
            return "book_crossed"
        return "book_placeholder" if (ask - bid) >= self._config.placeholder_spread * self.per_dollar else None

    def _note_mirror(self, *, broken: bool, now_ns: int) -> None:
        if not broken:
            self.mirror_broken_since_ns = 0
        elif self.mirror_broken_since_ns == 0:
            self.mirror_broken_since_ns = now_ns

"""Everybody else in one outcome book: makers around a fair value, noise and informed takers.

Functions change the book one level at a time and yield each change right after it, so that a reader sees the book
between two changes as the venue's readers do. When they act is the world's business.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from services.simulator import params
from services.simulator.events import LevelChange
from services.simulator.outcome_book import MICRO, OutcomeBook

_CENT_SHARE = MICRO // 100
_MAX_LEVELS = 110


class Fill(NamedTuple):
    """One level a taker took: Up price in mills, and how much."""

    mills: int
    micro_shares: int


class Crowd:
    """The other traders of one market."""

    def __init__(self, book: OutcomeBook, rng: np.random.Generator) -> None:
        self._book = book
        self._rng = rng
        self._error = 0.0  # the makers' common error, dollars per share

    def _level_size(self, distance_ticks: int, mills: int, *, is_bid: bool) -> int:
        """Micro-shares for a new level."""
        from_edge = (mills if is_bid else 1000 - mills) // 10
        if 1 <= from_edge <= len(params.EDGE_SHARES) and distance_ticks > 4 and mills % 10 == 0:
            median, sigma = float(params.EDGE_SHARES[from_edge - 1]), 0.2
        else:
            median = params.DEPTH_SHARES[min(distance_ticks, len(params.DEPTH_SHARES) - 1)]
            sigma = params.DEPTH_SIGMA[min(distance_ticks, len(params.DEPTH_SIGMA) - 1)]
            median *= 0.3 if self._book.tick_mills < 10 else 1.0
        shares = max(params.MIN_ORDER_SHARES, median * math.exp(sigma * self._rng.standard_normal()))
        return round(shares * 100.0) * _CENT_SHARE

    def _put(self, mills: int, micro_shares: int, ts_ms: int, *, is_bid: bool) -> LevelChange:
        self._book.put(mills, is_bid=is_bid, micro_shares=micro_shares, ts_ms=ts_ms)
        return LevelChange(mills, is_bid)

    def open_book(self, fair: float, ts_ms: int) -> None:
        """Fill an empty book around a fair value in (0, 1)."""
        middle = min(max(round(fair * 100.0) * 10, 20), 980)
        for step in range(1, 100):
            bid, ask = middle - 10 * step, middle + 10 * (step - 1)
            if bid >= 10:
                self._put(bid, self._level_size(step - 1, bid, is_bid=True), ts_ms, is_bid=True)
            if ask <= 990:
                self._put(ask, self._level_size(step - 1, ask, is_bid=False), ts_ms, is_bid=False)

    def perceived(self, fair: float, *, elapsed_s: float) -> float:
        """The makers' fair value: the true one at their information, plus a common mean-reverting error."""
        keep = 0.5 ** (elapsed_s / params.FAIR_NOISE_HALF_LIFE_S)
        scale = params.FAIR_NOISE * min(1.0, 4.0 * fair * (1.0 - fair) + 0.02)
        self._error = keep * self._error + scale * math.sqrt(1.0 - keep * keep) * self._rng.standard_normal()
        return min(max(fair + self._error, 0.0), 1.0)

    def requote(self, fair: float, ts_ms: int) -> Iterator[LevelChange]:
        """Pull touches the fair value has passed, then close the gap around it."""
        book, tick = self._book, self._book.tick_mills
        target, slack = fair * 1000.0, params.TOUCH_TOLERANCE_TICKS * self._book.tick_mills
        moved = False
        while (bid := book.best_bid()) is not None and bid > target + slack:
            moved = True
            yield self._put(bid, 0, ts_ms, is_bid=True)
        while (ask := book.best_ask()) is not None and ask < target - slack:
            moved = True
            yield self._put(ask, 0, ts_ms, is_bid=False)
        bid, ask = book.best_bid() or 0, book.best_ask() or 1000
        if ask - bid > tick and (moved or self._rng.random() >= params.WIDE_SHARE):
            top = min(math.floor(target / tick) * tick, ask - tick, 1000 - tick)
            low = max(math.ceil(target / tick) * tick, top + tick, bid + tick, tick)
            for step, mills in enumerate(range(top, max(bid, top - 6 * tick), -tick)):
                if mills >= tick:
                    yield self._put(mills, self._level_size(step, mills, is_bid=True), ts_ms, is_bid=True)
            for step, mills in enumerate(range(low, min(ask, low + 6 * tick), tick)):
                if mills <= 1000 - tick:
                    yield self._put(mills, self._level_size(step, mills, is_bid=False), ts_ms, is_bid=False)

    def churn(self, ts_ms: int) -> LevelChange | None:
        """One maker changes the size of one level; None when the chosen side is empty."""
        rng, book = self._rng, self._book
        is_bid = bool(rng.random() < 0.5)
        count = book.level_count(is_bid=is_bid)
        if count == 0:
            return None
        place = rng.random()
        if place < params.TOUCH_SHARE:
            step = 0
        elif place < params.TOUCH_SHARE + params.NEAR_SHARE:
            step = min(int(rng.integers(1, 11)), count - 1)
        else:
            step = count - 1
        mills = book.level_from_best(step, is_bid=is_bid)
        if mills is None:
            return None
        if count > _MAX_LEVELS:  # fine ticks leave many levels behind: somebody tidies up
            fine = [m for m, _ in book.levels(is_bid=is_bid) if m % 10]
            if fine:
                return self._put(fine[0], 0, ts_ms, is_bid=is_bid)
        size = book.size(mills, is_bid=is_bid)
        lot = round(rng.uniform(*params.LOT_SHARES) * 100.0) * _CENT_SHARE
        normal = params.DEPTH_SHARES[min(step, len(params.DEPTH_SHARES) - 1)] * MICRO
        grows = rng.random() < (0.65 if size < normal else 0.42)
        floor = params.MIN_ORDER_SHARES * MICRO
        return self._put(mills, size + lot if grows else max(size - lot, floor), ts_ms, is_bid=is_bid)

    def taker_size(self) -> int:
        """Micro-shares of a market order: log-normal, as measured."""
        shares = params.TRADE_MEDIAN_SHARES * math.exp(params.TRADE_SIGMA * self._rng.standard_normal())
        whole = self._rng.random() < 0.4
        return max(MICRO, round(shares) * MICRO if whole else round(shares * MICRO))

    def take(self, micro_shares: int, ts_ms: int, *, buys_up: bool, max_levels: int = 3) -> Iterator[Fill]:
        """Trade against the best levels, best first; nothing when that side is empty."""
        book = self._book
        for _ in range(max_levels):
            mills = book.best_ask() if buys_up else book.best_bid()
            if mills is None or micro_shares <= 0:
                return
            resting = book.size(mills, is_bid=not buys_up)
            taken = min(resting, micro_shares)
            book.put(mills, is_bid=not buys_up, micro_shares=resting - taken, ts_ms=ts_ms)
            book.last_trade_texts = (f"{mills / 1000.0:.3f}", f"{(1000 - mills) / 1000.0:.3f}")
            micro_shares -= taken
            yield Fill(mills, taken)

    def clear(self, ts_ms: int) -> Iterator[LevelChange]:
        """Remove every level, as the venue does at resolution."""
        for is_bid in (True, False):
            for mills, _ in self._book.levels(is_bid=is_bid):
                yield self._put(mills, 0, ts_ms, is_bid=is_bid)

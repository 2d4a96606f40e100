"""The settlement average from recorded prints: which prints it is made of, and the outcomes it gives.

The venue does not publish how its 60 s average is sampled. Taken here: the mean of `lookback_s` whole-second prints,
the last of which is stamped `offset_s` before the average's own stamp. `calibrate_offset` finds the offset.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backtest.fair_value.recordings_io import Stream, Window
from shared.market import NS_PER_S, Series


@dataclass(frozen=True)
class OffsetFit:
    """Errors in dollars by offset (seconds), over the ticks that all offsets can be judged on."""

    offsets_s: tuple[int, ...]
    errors_usd: tuple[tuple[float, ...], ...]  # one tuple an offset, one number a tick
    best_offset_s: int
    skipped: int  # ticks for which some offset misses a print

    @property
    def medians_usd(self) -> tuple[float, ...]:
        """The median error of each offset."""
        return tuple(float(np.median(errors)) for errors in self.errors_usd)

    @property
    def ticks(self) -> int:
        """How many ticks were used."""
        return len(self.errors_usd[0])


def by_second(stream: Stream) -> dict[int, float]:
    """The price of each whole second of the stamps; the last one received counts."""
    seconds = (stream.stamp_ns + NS_PER_S // 2) // NS_PER_S
    return dict(zip(seconds.tolist(), stream.prices.tolist(), strict=True))


def mean_ending(
    prices: Mapping[int, float], end_s: int, *, offset_s: int, lookback_s: int = 60, at_least: int | None = None
) -> float | None:
    """Mean of the prints of seconds end - offset - lookback + 1 ... end - offset.

    None when fewer than `at_least` (default: all) of them were recorded; missing ones are left out of the mean.
    """
    last = end_s - offset_s
    found = [prices[second] for second in range(last - lookback_s + 1, last + 1) if second in prices]
    if len(found) < (lookback_s if at_least is None else at_least):
        return None
    return math.fsum(found) / len(found)


def calibrate_offset(
    prints: Sequence[Mapping[int, float]],
    ticks: Sequence[Mapping[int, float]],
    *,
    offsets_s: Sequence[int] = tuple(range(7)),
    lookback_s: int = 60,
) -> OffsetFit | None:
    """The offset whose means of prints come nearest to the official averages: the least median |mean - tick|.

    `prints[i]` and `ticks[i]` are dollars by whole second of one session. Only ticks whose prints are complete for
    every offset count, so that all offsets are judged on the same ticks. None when there is no such tick.
    """
    errors: list[list[float]] = [[] for _ in offsets_s]
    skipped = 0
    for session_prints, session_ticks in zip(prints, ticks, strict=True):
        for end_s, official in session_ticks.items():
            means = [
                mean_ending(session_prints, end_s, offset_s=offset_s, lookback_s=lookback_s) for offset_s in offsets_s
            ]
            known = [mean for mean in means if mean is not None]
            if len(known) < len(means):
                skipped += 1
                continue
            for kept, mean in zip(errors, known, strict=True):
                kept.append(abs(mean - official))
    if not errors or not errors[0]:
        return None
    best = int(np.argmin([np.median(each) for each in errors]))
    return OffsetFit(tuple(offsets_s), tuple(map(tuple, errors)), offsets_s[best], skipped)


def recomputed_windows(
    oracle: Stream, series: Series, *, group: str, offset_s: int, at_least: int
) -> tuple[list[Window], int]:
    """Every window of a series inside the stream, settled by our own averages at both ends; a tie is Up.

    Also how many windows were left out because an average had fewer than `at_least` prints.
    """
    prices = by_second(oracle)
    windows: list[Window] = []
    refused = 0
    if not prices:
        return windows, refused
    length_s = series.length_s
    for start_s in range(min(prices) // length_s * length_s, max(prices), length_s):
        strike = mean_ending(prices, start_s, offset_s=offset_s, at_least=at_least)
        final = mean_ending(prices, start_s + length_s, offset_s=offset_s, at_least=at_least)
        if strike is None or final is None:
            refused += 1
            continue
        slug = series.slug(start_s)
        windows.append(Window(group, slug, start_s, start_s + length_s, "twap", strike, final >= strike))
    return windows, refused

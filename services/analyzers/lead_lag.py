"""Who leads the oracle, and by how much: the shifted Hayashi-Yoshida contrast, streaming.

    U(theta)   = sum_ij dX_i dY_j 1{I_i meets J_j - theta}          theta > 0: X leads Y
    rho(theta) = U(theta) / sqrt(sum_j dX_j(theta)^2 sum_j dY_j^2)

Summing over i first, the contribution of one increment of Y over (t0, t1] is dY times X(first tick at or after
t1 - theta) - X(last tick at or before t0 - theta): exact Hayashi-Yoshida in O(lags) per increment of Y, with stamps
rounded up to `BIN_NS`. The whole interval of Y is met, so a 1 Hz oracle does not add the half second that a
cross-correlation of sampled returns shows. rho is normalized by the very increments it pairs: it stays in [-1, 1].
All sums forget with `half_life_s`. Increments of X and Y are clipped at `winsor` standard deviations (from their mean
absolute size), and the first `scale_increments` only tell that scale: returns have heavy tails, and one jump, or one at
the start, would otherwise place the peak by itself.

Significance: the standard error of rho without dependence is sqrt(sum w^2 dX^2 dY^2) / sqrt(sum dX^2 sum dY^2) (robust
to changing volatility, mean over lags); with m independent lags in the window, the 95 % null of max|rho| is
Phi^-1(1 - .05 / 2m) of those (Sidak); a lead must exceed `significance` times it, in three evaluations that agree, and
is lost below the null. The used lag may drift at most `slew_s_per_min`.

Times are the sources' own stamps (`ts_event_ns`): an offset between their clocks is a bias of the lag, which nothing in
the stamps can reveal; stamps far from our clock are refused by the analyzer. Feed it spot prints of the oracle, never
the 60 s mean, whose averaging looks like 30 s of lag. Increments are never taken across a silence above `max_gap_s` or
a reported gap. Increments wait `LATENESS_BINS` so that slow prints and the ticks after them have arrived.

Sources: Hayashi and Yoshida (2005); Hoffmann, Rosenbaum and Yoshida (2013); reference/quant.md section 5.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from services.analyzers.implied_volatility import normal_quantile
from shared.kernel import Record, kernel

BIN_NS = 100_000_000
BIN_S = 0.1
BINS = 256  # ring length, 25.6 s
TRAIL_LAGS = 30  # lags down to -3 s
LEAD_LAGS = 50  # lags up to +5 s
LAGS = TRAIL_LAGS + 1 + LEAD_LAGS
LATENESS_BINS = 45
ORACLE = 0  # stream 0; venues are 1, 2, 3
STREAMS = 4
PAIRS = 6  # 0..2: venue 1..3 over the oracle; 3: (1, 2), 4: (1, 3), 5: (2, 3)

STATE = np.dtype(
    [
        ("before", "f8", (STREAMS, BINS)),  # log price of the last tick at or before the end of the bin
        ("after", "f8", (STREAMS, BINS)),  # log price of the first tick at or after it; NaN inside a gap
        ("ticked", "i8", (STREAMS, BINS)),
        ("event_ns", "i8", (STREAMS,)),
        ("last_bin", "i8", (STREAMS,)),
        ("last_log", "f8", (STREAMS,)),
        ("broken", "i8", (STREAMS,)),
        ("taken_bin", "i8", (STREAMS,)),  # the last tick that was paired, per stream
        ("taken_log", "f8", (STREAMS,)),
        ("head_bin", "i8"),
        ("cursor_bin", "i8"),
        ("contrast", "f8", (PAIRS, LAGS)),
        ("x_square", "f8", (PAIRS, LAGS)),
        ("y_square", "f8", (PAIRS,)),
        ("noise", "f8", (PAIRS,)),  # sum of w^2 dX^2 dY^2, mean over lags
        ("x_scale", "f8", (PAIRS,)),  # sum of |dX| / sqrt(dt), mean over lags
        ("y_scale", "f8", (PAIRS,)),  # sum of |dY| / sqrt(dt)
        ("scale_weight", "f8", (PAIRS,)),
        ("increments", "f8", (PAIRS,)),  # sum of weights
        ("seconds", "f8", (PAIRS,)),  # sum of weights times the lengths of Y's intervals
        ("decayed_bin", "i8", (PAIRS,)),
        ("moves", "f8", (LAGS,)),  # scratch
        ("evaluated_bin", "i8"),
        ("peak_lag_s", "f8", (PAIRS,)),
        ("peak_rho", "f8", (PAIRS,)),
        ("threshold", "f8", (PAIRS,)),
        ("agreed", "i8", (PAIRS,)),
        ("accepted", "i8", (PAIRS,)),
        ("used_lag_s", "f8", (PAIRS,)),
        ("leader", "i8"),  # stream; 0 is nobody
        ("challenger", "i8"),
        ("challenges", "i8"),
    ],
    align=True,
)


class Config(NamedTuple):
    """Times in seconds; `winsor` in standard deviations, known from `scale_increments` (decayed) on.

    A lead below `min_lead_s` is no lead; warm after `warm_increments` of a venue over the oracle, as long as the last
    evaluation is younger than `stale_s`.
    """

    half_life_s: float = 300.0
    max_gap_s: float = 5.0
    winsor: float = 3.0
    scale_increments: float = 10.0
    evaluate_s: float = 10.0
    significance: float = 1.5
    null_tail: float = 0.05
    agree_s: float = 0.3
    agree_times: int = 3
    slew_s_per_min: float = 0.1
    min_lead_s: float = 0.1
    warm_increments: float = 40.0
    stale_s: float = 60.0


@kernel
def pair_streams(pair: int) -> tuple[int, int]:
    """(X, Y) of a pair."""
    if pair < 3:
        return pair + 1, 0
    if pair == 3:
        return 1, 2
    if pair == 4:
        return 1, 3
    return 2, 3


@kernel
def level_before(state: Record, stream: int, at_bin: int, gap_bins: int) -> float:
    """X of the last tick at or before the end of a bin; NaN when unknown."""
    last = state.last_bin[stream]
    if at_bin > last:
        return float(state.last_log[stream]) if at_bin - last <= gap_bins else math.nan
    if at_bin <= last - BINS:
        return math.nan
    return float(state.before[stream, at_bin % BINS])


@kernel
def level_after(state: Record, stream: int, at_bin: int, gap_bins: int) -> float:
    """X of the first tick at or after the end of a bin; the last known one when it has not come; NaN when unknown."""
    last = state.last_bin[stream]
    if at_bin > last:
        return float(state.last_log[stream]) if at_bin - last <= gap_bins else math.nan
    if at_bin <= last - BINS:
        return math.nan
    return float(state.after[stream, at_bin % BINS])


@kernel
def pair_up(state: Record, config: Config, pair: int, x: int, start_bin: int, end_bin: int, y_move: float) -> None:
    """Add one increment of Y over (start, end] to a pair; skipped when X is unknown for any lag.

    What stood still so far has no scale and is not clipped.
    """
    if state.last_bin[x] == 0:
        return
    gap_bins = int(config.max_gap_s / BIN_S)
    size_sum = 0.0
    for k in range(LAGS):
        lag = k - TRAIL_LAGS
        upper = level_after(state, x, end_bin - lag, gap_bins)
        move = upper - level_before(state, x, start_bin - lag, gap_bins)
        if math.isnan(move):
            return
        state.moves[k] = move
        size_sum += abs(move)
    keep = 1.0
    if state.decayed_bin[pair] > 0:
        keep = 2.0 ** (-(end_bin - state.decayed_bin[pair]) * BIN_S / config.half_life_s)
    state.decayed_bin[pair] = end_bin
    interval_s = (end_bin - start_bin) * BIN_S
    is_scaled = state.scale_weight[pair] >= config.scale_increments
    x_bound = math.inf
    y_bound = math.inf
    if is_scaled:
        times = config.winsor * math.sqrt(0.5 * math.pi * interval_s) / state.scale_weight[pair]
        x_bound = times * state.x_scale[pair] if state.x_scale[pair] > 0.0 else math.inf
        y_bound = times * state.y_scale[pair] if state.y_scale[pair] > 0.0 else math.inf
    y_move = min(max(y_move, -y_bound), y_bound)
    state.x_scale[pair] = keep * state.x_scale[pair] + min(size_sum / LAGS, x_bound) / math.sqrt(interval_s)
    state.y_scale[pair] = keep * state.y_scale[pair] + abs(y_move) / math.sqrt(interval_s)
    state.scale_weight[pair] = keep * state.scale_weight[pair] + 1.0
    if not is_scaled:
        return
    y_square = y_move * y_move
    square_sum = 0.0
    for k in range(LAGS):
        move = min(max(state.moves[k], -x_bound), x_bound)
        state.contrast[pair, k] = keep * state.contrast[pair, k] + move * y_move
        state.x_square[pair, k] = keep * state.x_square[pair, k] + move * move
        square_sum += move * move
    state.y_square[pair] = keep * state.y_square[pair] + y_square
    state.noise[pair] = keep * keep * state.noise[pair] + y_square * square_sum / LAGS
    state.increments[pair] = keep * state.increments[pair] + 1.0
    state.seconds[pair] = keep * state.seconds[pair] + interval_s


@kernel
def take_bin(state: Record, config: Config, at_bin: int) -> None:
    """Pair the increments that end in this bin."""
    gap_bins = int(config.max_gap_s / BIN_S)
    for y in range(STREAMS):
        if at_bin > state.last_bin[y] or at_bin <= state.last_bin[y] - BINS or state.ticked[y, at_bin % BINS] == 0:
            continue
        start_bin = state.taken_bin[y]
        log_price = state.before[y, at_bin % BINS]
        joined = 0 < start_bin < at_bin and at_bin - start_bin <= gap_bins
        if joined and start_bin < at_bin - 1 and math.isnan(state.before[y, (at_bin - 1) % BINS]):
            joined = False
        if joined and state.ticked[y, at_bin % BINS] == 2:
            joined = False
        if joined:
            y_move = log_price - state.taken_log[y]
            for pair in range(PAIRS):
                x, other = pair_streams(pair)
                if other == y:
                    pair_up(state, config, pair, x, start_bin, at_bin, y_move)
        state.taken_bin[y] = at_bin
        state.taken_log[y] = log_price


@kernel
def update(state: Record, config: Config, stream: int, ts_ns: int, log_price: float) -> bool:
    """Take one tick of a stream (0: the oracle) by its source's stamp; True when an evaluation ran.

    Ticks not newer than the stream's last are ignored.
    """
    if ts_ns <= state.event_ns[stream]:
        return False
    state.event_ns[stream] = ts_ns
    tick_bin = (ts_ns + BIN_NS - 1) // BIN_NS
    gap_bins = int(config.max_gap_s / BIN_S)
    last = state.last_bin[stream]
    if tick_bin > last:
        apart = last == 0 or tick_bin - last > gap_bins or state.broken[stream] > 0
        for b in range(max(last + 1, tick_bin - BINS + 1), tick_bin):
            state.before[stream, b % BINS] = math.nan if apart else state.last_log[stream]
            state.after[stream, b % BINS] = math.nan if apart else log_price
            state.ticked[stream, b % BINS] = 0
        state.ticked[stream, tick_bin % BINS] = 2 if apart else 1  # 2: nothing may be joined to what came before
        state.broken[stream] = 0
        state.last_bin[stream] = tick_bin
    state.before[stream, tick_bin % BINS] = log_price
    state.after[stream, tick_bin % BINS] = log_price
    state.last_log[stream] = log_price
    if tick_bin <= state.head_bin:
        return False
    if state.head_bin == 0 or tick_bin - state.head_bin > BINS // 2:
        state.cursor_bin = tick_bin - LATENESS_BINS  # a start, or a silence of all streams: begin here
        state.evaluated_bin = tick_bin
    state.head_bin = tick_bin
    while state.cursor_bin < tick_bin - LATENESS_BINS:
        state.cursor_bin += 1
        take_bin(state, config, state.cursor_bin)
    if (tick_bin - state.evaluated_bin) * BIN_S < config.evaluate_s:
        return False
    evaluate(state, config)
    return True


@kernel
def mark_gap(state: Record, stream: int) -> None:
    """Ticks of this stream were lost: nothing is joined across."""
    state.broken[stream] = 1


@kernel
def correlation(state: Record, pair: int, k: int) -> float:
    """rho at one lag index; 0 before anything was paired."""
    square = state.x_square[pair, k] * state.y_square[pair]
    return state.contrast[pair, k] / math.sqrt(square) if square > 0.0 else 0.0


@kernel
def null_of_maximum(state: Record, config: Config, pair: int) -> float:
    """The 95 % value of max|rho| over the lags without dependence; 1 before anything was paired."""
    mean_square = 0.0
    for k in range(LAGS):
        mean_square += state.x_square[pair, k] / LAGS
    mean_square *= state.y_square[pair]
    if mean_square <= 0.0 or state.seconds[pair] <= 0.0:
        return 1.0
    interval_s = state.seconds[pair] / state.increments[pair]
    independent = min(max(LAGS * BIN_S / interval_s, 1.0), float(LAGS))
    return normal_quantile(1.0 - config.null_tail / (2.0 * independent)) * math.sqrt(state.noise[pair] / mean_square)


@kernel
def peak(state: Record, pair: int) -> tuple[float, float]:
    """Lag (seconds) and height of the largest rho; between bins by a least-squares parabola over 0.4 s each side."""
    best = 0
    for k in range(LAGS):
        if correlation(state, pair, k) > correlation(state, pair, best):
            best = k
    height = correlation(state, pair, best)
    reach = min(4, best, LAGS - 1 - best)
    lag_s = (best - TRAIL_LAGS) * BIN_S
    if reach < 2:
        return lag_s, height
    n = 2.0 * reach + 1.0
    s2 = 0.0
    s4 = 0.0
    y0 = 0.0
    y1 = 0.0
    y2 = 0.0
    for j in range(-reach, reach + 1):
        rho = correlation(state, pair, best + j)
        s2 += j * j
        s4 += j * j * j * j
        y0 += rho
        y1 += j * rho
        y2 += j * j * rho
    bend = (n * y2 - s2 * y0) / (n * s4 - s2 * s2)
    slope = y1 / s2
    if bend >= 0.0 or abs(slope) > 2.0 * abs(bend) * reach:
        return lag_s, height
    return lag_s - 0.5 * slope / bend * BIN_S, height


@kernel
def judge_pair(state: Record, config: Config, pair: int, elapsed_s: float) -> None:
    """One evaluation of a pair: peak, threshold, acceptance with hysteresis, slow drift of the used lag."""
    null = null_of_maximum(state, config, pair)
    lag_s, rho = peak(state, pair)
    threshold = min(config.significance * null, 1.0)
    enough = state.increments[pair] >= config.warm_increments
    agrees = abs(lag_s - state.peak_lag_s[pair]) <= config.agree_s
    if enough and rho >= threshold:
        state.agreed[pair] = state.agreed[pair] + 1 if agrees and state.agreed[pair] > 0 else 1
    else:
        state.agreed[pair] = 0
    state.peak_lag_s[pair] = lag_s
    state.peak_rho[pair] = rho
    state.threshold[pair] = threshold
    if state.accepted[pair] == 0:
        if state.agreed[pair] >= config.agree_times:
            state.accepted[pair] = 1
            state.used_lag_s[pair] = lag_s
    elif rho < null or not enough:
        state.accepted[pair] = 0
    elif rho >= threshold:
        room = config.slew_s_per_min * elapsed_s / 60.0
        state.used_lag_s[pair] += min(max(lag_s - state.used_lag_s[pair], -room), room)


@kernel
def lead_over(state: Record, config: Config, one: int, other: int) -> float:
    """By how many seconds venue `one` leads venue `other` (below 0: is led), by their own pair; 0 when undecided."""
    low = min(one, other)
    high = max(one, other)
    pair = 3 if high == 2 else (4 if low == 1 else 5)
    lead_s = state.used_lag_s[pair] if low == one else -state.used_lag_s[pair]
    return float(lead_s) if state.accepted[pair] > 0 and abs(lead_s) >= config.min_lead_s else 0.0


@kernel
def outruns(state: Record, config: Config, one: int, other: int) -> bool:
    """Whether venue `one` leads venue `other`, by their own pair; by height over the oracle when that is undecided."""
    lead_s = lead_over(state, config, one, other)
    if lead_s != 0.0:
        return bool(lead_s > 0.0)
    return bool(state.peak_rho[one - 1] > state.peak_rho[other - 1])


@kernel
def is_led(state: Record, config: Config, stream: int) -> bool:
    """Whether another venue that still ticks leads this one: it follows, whoever was first proven over the oracle."""
    gap_bins = int(config.max_gap_s / BIN_S)
    for other in range(1, STREAMS):
        ticks = state.last_bin[other] > 0 and state.head_bin - state.last_bin[other] <= gap_bins
        if other != stream and ticks and lead_over(state, config, other, stream) > 0.0:
            return True
    return False


@kernel
def evaluate(state: Record, config: Config) -> None:
    """Judge all pairs, then name the leader, which nobody leads; a challenger must win three evaluations in a row."""
    elapsed_s = (state.head_bin - state.evaluated_bin) * BIN_S
    state.evaluated_bin = state.head_bin
    for pair in range(PAIRS):
        judge_pair(state, config, pair, elapsed_s)
    best = 0
    for stream in range(1, STREAMS):
        leads = state.accepted[stream - 1] > 0 and state.used_lag_s[stream - 1] >= config.min_lead_s
        leads = leads and not is_led(state, config, stream)
        if leads and (best == 0 or outruns(state, config, stream, best)):
            best = stream
    current = state.leader
    held = current > 0 and state.accepted[current - 1] > 0 and state.used_lag_s[current - 1] >= config.min_lead_s
    if not held or best == current:
        state.leader = best
        state.challenges = 0
    elif state.challenger == best:
        state.challenges += 1
        if state.challenges >= config.agree_times:
            state.leader = best
            state.challenges = 0
    else:
        state.challenges = 1
    state.challenger = best


@kernel
def read(state: Record, config: Config, now_ns: int) -> tuple[int, float, float, float, bool]:
    """(leader stream or 0, its lag in seconds or NaN, rho, threshold, warm).

    Without a leader: rho and threshold of the best pair. When the last evaluation is stale there is no leader.
    """
    fresh = (now_ns - state.evaluated_bin * BIN_NS) * 1e-9 <= config.stale_s
    warm = False
    best = 0
    for pair in range(3):
        warm = warm or (fresh and state.increments[pair] >= config.warm_increments)
        if state.peak_rho[pair] > state.peak_rho[best]:
            best = pair
    if state.leader > 0 and fresh:
        pair = state.leader - 1
        return state.leader, state.used_lag_s[pair], state.peak_rho[pair], state.threshold[pair], warm
    threshold = state.threshold[best]
    return 0, math.nan, state.peak_rho[best], threshold if threshold > 0.0 else 1.0, warm

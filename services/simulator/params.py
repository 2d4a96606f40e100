"""What the simulated venues look like, and where each figure comes from.

Every figure was measured on real recordings (outside the project; nothing of them is copied) or is stated by the
venue's documentation. Sources: [A] a raw market-channel capture of a BTC 5-minute market near its end (10.3 s, 5,182
price_change frames, 2026-04-21); [B] two BTC 5-minute windows with every print and both oracle streams
(2026-08-20/21); [C] ten BTC 15-minute books, 20 levels, about one snapshot a second (2026-09-28); [D] Coinbase
tickers (2026-04-29); [E] Binance spot frames (2024-08-09); [F] venue documentation.
"""

from __future__ import annotations

from typing import NamedTuple


class AssetParams(NamedTuple):
    """One underlying. Prices in USD; sizes in units of the asset."""

    name: str  # "BTC"
    title: str  # the name in a market's question
    start_price_usd: float
    sigma_annual: float  # long-run volatility; [B] 60 s returns gave 0.57 and 0.62 for BTC
    basis_mean_usd: float  # USDT venue minus USD; [B] +52 and +23 USD on BTC
    basis_sd_usd: float  # [B] 4-5 USD within ten minutes
    price_decimals: int  # of Bybit and Coinbase
    size_decimals: int  # of Bybit trades and quotes
    median_trade_size: float


ASSETS: dict[str, AssetParams] = {
    "BTC": AssetParams("BTC", "Bitcoin", 79_700.0, 0.50, 35.0, 5.0, 2, 6, 0.004),
    "ETH": AssetParams("ETH", "Ethereum", 2_350.0, 0.65, 1.0, 0.2, 2, 5, 0.08),
    "SOL": AssetParams("SOL", "Solana", 88.0, 0.80, 0.04, 0.008, 2, 3, 2.0),
    "XRP": AssetParams("XRP", "XRP", 1.45, 0.75, 0.0006, 0.0002, 4, 2, 120.0),
}

SECONDS_PER_YEAR = 365.0 * 86_400.0

# --- latent price ----------------------------------------
STEP_MS = 20  # grid of the latent price
FACTOR_CORRELATION = 0.77  # of returns between coins (a published study of these markets)
VOL_FAST_SD, VOL_FAST_HALF_LIFE_S = 0.30, 60.0  # log-volatility factors (stationary sd, half-life)
VOL_SLOW_SD, VOL_SLOW_HALF_LIFE_S = 0.30, 1_800.0
JUMP_RATE_PER_S = 1.0 / 1_200.0
JUMP_SD = 8e-4  # log return of a jump
BASIS_HALF_LIFE_S = 600.0

# --- oracle ----------------------------------------
# Cross-correlation of 1 s returns, Binance against Chainlink [B]: 0.45 / 0.74 / 0.22 at 0 / 1 / 2 s, which is a box of
# 1.2 s centered 0.85 s before the stamp.
ORACLE_CENTER_MS = 850
ORACLE_BOX_MS = 1_200
ORACLE_NOISE = 5e-7  # relative; the median over sources
SPOT_LAG_MS = (1_650.0, 270.0, 1_160.0, 3_400.0)  # mean, sd, min, max from stamp to receipt [B]: p50 1.61-1.74
TWAP_LAG_MS = (1_780.0, 290.0, 1_300.0, 3_100.0)  # [B]: p50 1.76-1.80
RELAY_LAG_MS = (340.0, 70.0, 230.0, 750.0)  # Binance relay [B]: p50 0.30-0.40
TWAP_SECONDS = 60
TWAP_FIRST, TWAP_LAST = 62, 3  # TWAP60 stamped t is the mean of the spot values stamped t-62 .. t-3 [B]
SNAPSHOT_SECONDS = 120  # PolyBolt snapshot depth [F]
RTDS_SNAPSHOT_SECONDS = 60

# --- spot venues ----------------------------------------
QUOTES_PER_S = 25.0  # Bybit level 1; [E] 148 bookTicker/s on the largest venue, Bybit pushes at most each 10 ms [F]
BYBIT_TRADES_PER_S = 5.0  # [E] 33/s on Binance; Bybit spot trades about a seventh of it
COINBASE_TRADES_PER_S = 2.0  # [D] bursty recording, 0.06-2.4/s by session
TRADE_SIZE_SIGMA = 1.9  # log sd; [D] q10-q50-q90 of sizes 6e-8, 8e-5, 1.2e-2
VENUE_NOISE = 1.0e-6  # relative noise of a venue's mid around the latent price
TRADE_MOMENTUM = 0.35  # how far the taker side follows the latest move: P(side = move) = 0.5 + TRADE_MOMENTUM / 2
BYBIT_REPEAT_MS = 3_000  # level 1 repeats with the same u [F]
COINBASE_BATCH_MS = 50  # level2_batch [F]
COINBASE_LEVELS = 30
COINBASE_TRADES_KEPT = 1_000  # in one answer of its REST trades [F]

# --- outcome books ----------------------------------------
# Median size by level from the touch while the mid is in 0.1 .. 0.9 [C]; beyond, the last figure.
DEPTH_SHARES = (125, 260, 540, 815, 1056, 1177, 1258, 655, 419, 292, 227, 190, 190, 164, 139, 112, 105, 90, 80, 75)
DEPTH_SIGMA = (1.28, 1.0, 0.8, 0.6, 0.5)  # log sd by level, last one beyond; [C] level 1 quartiles 45 / 125 / 255
EDGE_SHARES = (12_330, 1_750, 1_400, 930, 800)  # resting lottery orders at 0.01 .. 0.05 and mirrored at 0.99 .. [A]
CHURN_PER_S = 35.0  # price_change of the running period; [A] had 500/s in its last minutes, a quiet 15m market tens
NEXT_CHURN_PER_S = 5.0  # the period that starts next
LATER_CHURN_PER_S = 0.6
TOUCH_SHARE, NEAR_SHARE = (
    0.64,
    0.22,
)  # where an update lands [A]: 64 % at the touch, 22 % within ten ticks, rest at 0.01
LOT_SHARES = (5.0, 25.0)  # step of a size change at the touch [A]
TRADES_PER_S = 1.2  # of the running period; [A] 7/s, [B] 12/s in 5-minute windows: about a quarter in 15-minute ones
NEXT_TRADES_PER_S = 0.05
TRADE_MEDIAN_SHARES, TRADE_SIGMA = 7.5, 1.35  # [A], [B]: q50 6.7-8.3, q90 39-52, q99 226-300
BUY_SHARE = 0.66  # of takers, by the token they name [A]: 47 of 71
FAIR_REFRESH_MS = 100
NEXT_FAIR_REFRESH_MS = 1_000
TOUCH_TOLERANCE_TICKS = 0.2  # how far the fair value may pass a touch before its makers pull it
WIDE_SHARE = 0.3  # of refreshes that leave a gap open; gives the 98-99.7 % one-tick spreads of [A] and [C]
FAIR_NOISE = 0.004  # sd of the makers' common error, in dollars per share
FAIR_NOISE_HALF_LIFE_S = 4.0
FINE_TICK_FROM = 0.96  # old documentation; the present threshold is unpublished
MIN_ORDER_SHARES = 5

# --- end of life ----------------------------------------
RESOLVE_DELAY_S = (53.0, 66.0)  # most; [F] 53-152 s, median 55
LATE_RESOLVE_SHARE, LATE_RESOLVE_S = 0.1, (80.0, 150.0)
METADATA_DELAY_S = (58.0, 68.0)  # eventMetadata of a period appears about a minute after its end
CLOSING_PRICE_DELAY_S = 2.4  # of the website's endpoint after the boundary
CREATED_AHEAD_S = 86_400
PERIODS_AHEAD = 3
PERIODS_KEPT = 6

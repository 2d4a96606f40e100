"""Reads the files of another program's collectors into a `MarketState`: the engine's only touch of disk and clock."""

from __future__ import annotations

import os
import time
from pathlib import Path

from engine.files import Raw, state_of
from engine.state import MarketState
from services.feeds.files import LARGEST_FILE_BYTES
from shared.messages import SettlementRule

FilePath = str | os.PathLike[str] | None


def create_market_state_from_files(
    *,
    bybit_path: FilePath = None,
    chainlink_path: FilePath = None,
    coinbase_path: FilePath = None,
    call_path: FilePath = None,
    put_path: FilePath = None,
    period_start_timestamp: float,
    market: str = "btc-15m",
    now_ns: int | None = None,
    settlement: SettlementRule | None = None,
) -> MarketState:
    """What these JSON files say of the period that starts at `period_start_timestamp` (milliseconds since 1970).

    `bybit.json`, `coinbase.json`: `price`, `timestamp`; `chainlink.json`: also `strike`; `call.json`, `put.json`:
    `best_bid`, `best_ask`, `timestamp`. Times in milliseconds; numbers may be texts. One exchange's path may be None;
    without the other parts nothing is quoted. A file that is named and cannot be used, also one stamped more than a
    second ahead of `now_ns`, is a problem: it stands in `MarketState.problems`, and nothing is quoted. `now_ns` None
    reads the clock, once, after the files. What such files do not say (sizes, fees) is assumed as in
    `services.feeds.files.FileAssumptions`.

    Never raises on what the files hold. Raises ValueError for an unknown market, for a start that is not in
    milliseconds (2020 to 2100), and when no period of the market starts then.
    """
    paths = {
        "bybit": bybit_path,
        "coinbase": coinbase_path,
        "chainlink": chainlink_path,
        "call": call_path,
        "put": put_path,
    }
    files = {key: (Path(path).name, _read(path)) for key, path in paths.items() if path is not None}
    return state_of(
        files,
        now_ns=time.time_ns() if now_ns is None else now_ns,
        period_start_timestamp=period_start_timestamp,
        market=market,
        settlement=settlement,
    )


def _read(path: str | os.PathLike[str]) -> Raw:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST_FILE_BYTES)
    except OSError as error:
        return error

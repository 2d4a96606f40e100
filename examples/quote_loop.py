"""A loop over the files of your collectors, every 100 ms: `.venv/bin/python -m examples.quote_loop`.

So that it runs as it is, it writes such files itself, into a temporary folder.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from pathlib import Path

from mm_engine import AdvancedMarketMaker, MMConfig, create_market_state_from_files

PERIOD_S = 900
ROUNDS = 10
INTERVAL_S = 0.1


def write_files(folder: Path, price: float, strike: float) -> None:
    """Stand in for your collectors. Write beside and rename, so that nobody reads half a file."""
    now_ms = time.time_ns() // 1_000_000
    contents: dict[str, dict[str, float]] = {
        "bybit": {"price": price + 1.0},
        "coinbase": {"price": price},
        "chainlink": {"price": price, "strike": strike},
        "call": {"best_bid": 0.49, "best_ask": 0.51},
        "put": {"best_bid": 0.49, "best_ask": 0.51},
    }
    for name, fields in contents.items():
        beside = folder / f"{name}.tmp"
        beside.write_text(json.dumps({"timestamp": now_ms, **fields}))
        beside.rename(folder / f"{name}.json")


def main(rounds: int = ROUNDS) -> None:
    """Quote for a few rounds, then say why the quotes are what they are."""
    mm = AdvancedMarketMaker(MMConfig(base_spread=0.02))
    price = 80_000.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(rounds):
            price *= 1.0 + random.gauss(0.0, 2e-6)
            write_files(folder, price, strike=80_000.0)
            period_start_ms = int(time.time()) // PERIOD_S * PERIOD_S * 1000
            state = create_market_state_from_files(
                bybit_path=folder / "bybit.json",
                chainlink_path=folder / "chainlink.json",
                coinbase_path=folder / "coinbase.json",
                call_path=folder / "call.json",
                put_path=folder / "put.json",
                period_start_timestamp=period_start_ms,
            )
            quotes = mm.generate_all_quotes(state)
            for outcome, ladder in quotes.items():
                print(outcome, *(f"{quote.side} {quote.size:g} at {quote.price:.2f}" for quote in ladder), sep=", ")
            time.sleep(INTERVAL_S)
    print(mm.explain())


if __name__ == "__main__":
    main()

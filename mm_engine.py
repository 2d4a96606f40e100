"""The market maker as a library, inside your own loop.

    mm = AdvancedMarketMaker(MMConfig(base_spread=0.02))
    state = create_market_state_from_files(bybit_path=..., ..., period_start_timestamp=period_start_ms)
    quotes = mm.generate_all_quotes(state)    # {"CALL": [Quote, ...], "PUT": [Quote, ...]}

A configuration by preset and overrides, with errors that suggest the right name (`ConfigError`):

    config = load_config(preset="aggressive", overrides=["base_spread=0.03", "limits.book_s=10"])

It runs the analyzers and the quoter of the live system in this process, without a bus. Empty lists mean that it will
not quote; `mm.last_decision` and `mm.explain()` say why. `engine/` is behind it, `examples/` shows it at work.
Importing reads no clock and no environment and configures nothing.
"""

from __future__ import annotations

from engine.answers import Decision, Quote, Quotes
from engine.files_io import create_market_state_from_files
from engine.market_maker import AdvancedMarketMaker
from engine.state import MarketState, OptionBook, OracleTick, SpotTop
from shared.config import PRESETS, ConfigError, MMConfig, load_config
from shared.core import Timer

__all__ = [
    "PRESETS",
    "AdvancedMarketMaker",
    "ConfigError",
    "Decision",
    "MMConfig",
    "MarketState",
    "OptionBook",
    "OracleTick",
    "Quote",
    "Quotes",
    "SpotTop",
    "Timer",
    "create_market_state_from_files",
    "load_config",
]

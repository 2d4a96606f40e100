"""From the command line to a run: live, or a replay; or to keys, or an answer about settings or old quotes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from bot import exit_codes
from bot.cli import BotSettings, Options, parse
from bot.show_config import show_config
from shared.config import ConfigError, MMConfig, load_with_origins
from shared.lossy_io import LossyText
from shared.service import load_settings


def main(arguments: Sequence[str]) -> int:
    """Run what these arguments ask for; returns the exit code."""
    # What runs is imported when it is known to run: --help and mistakes answer at once.
    options = parse(arguments, load_settings(BotSettings))
    if options.explain is not None:
        from bot.explain import run_explain

        return run_explain(options.explain, out=LossyText(sys.stdout), err=sys.stderr)
    if options.keys is not None:
        from bot.keys_io import make_keys

        return make_keys(options.keys, out=sys.stdout, err=sys.stderr)
    try:
        loaded = load_with_origins(
            options.preset, file=options.config, environment=os.environ, overrides=options.overrides
        )
    except ConfigError as error:
        print(f"mm_bot.py: {error}", file=sys.stderr)
        return exit_codes.CONFIGURATION
    if options.show_config:
        print(show_config(loaded), end="", file=LossyText(sys.stdout))
        return exit_codes.CLEAN
    if options.replay is not None:
        return _replay(options, loaded.config)
    from bot.live import run_live

    return run_live(options, loaded.config)


def _replay(options: Options, config: MMConfig) -> int:
    from backtest.replay import replay

    assert options.replay is not None
    return replay(options.replay, options.out, config, options.series, progress=sys.stderr.isatty())

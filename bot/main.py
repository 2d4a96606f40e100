"""From the command line to a run: live, or a replay."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bot import exit_codes
from bot.cli import Options, parse
from shared.config import ConfigError, MMConfig, load_config
from shared.service import load_settings
from shared.settings import ServiceSettings


def main(arguments: Sequence[str]) -> int:
    """Run what these arguments ask for; returns the exit code."""
    options = parse(arguments, load_settings(ServiceSettings))
    try:
        config = load_config(options.preset, file=options.config, overrides=options.overrides)
    except ConfigError as error:
        print(f"mm_bot.py: {error}", file=sys.stderr)
        return exit_codes.CONFIGURATION
    if options.replay is not None:
        return _replay(options, config)
    from bot.live import run_live  # imported late: --help and mistakes answer at once

    return run_live(options, config)


def _replay(options: Options, config: MMConfig) -> int:
    from backtest.replay import replay

    assert options.replay is not None
    return replay(options.replay, options.out, config, options.series, progress=sys.stderr.isatty())

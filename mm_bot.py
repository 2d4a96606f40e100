"""Starts the whole market maker on this machine: `python3 mm_bot.py --help`."""

from __future__ import annotations

import sys

from shared.door import main_of

if __name__ == "__main__":
    sys.exit(main_of("bot.main")(sys.argv[1:]))

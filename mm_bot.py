"""Starts the whole market maker on this machine: `python3 mm_bot.py --help`."""

from __future__ import annotations

import sys

from bot.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
